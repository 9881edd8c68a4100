import MillraceWorkflow
import Testing

@Suite struct DefinitionReaderTests {
  static let complete = """
    # Everything that can be said.
    format: 1
    workflow: package-census
    description: |
      What the packages
      of this machine use.
    parameters:
      status: { description: The package database., default: /var/lib/dpkg/status }
      chunks: { default: 8 }
      day:
    defaults:
      priority: normal
      retry: { attempts: 5 }
      timeouts: { startToClose: 1m30s }
    on_failure: continue
    result: report
    tasks:
      - id: split
        handler: debian/split
        priority: critical
        input: &source { file: "${params.status}", chunks: "${params.chunks}", label: "day ${params.day} in ${params.chunks} parts, $${x}" }
        timeouts: { scheduleToStart: 10s, startToClose: 5m, scheduleToClose: 1h, heartbeat: 250ms }
      - id: report
        handler: debian/report
        description: Writes it down.
        dependencies: [split]
        input: { source: *source, plain: [no, on, 12:30, 0x10, 0o17, 1e3, .5, ~, True, "1", -0.25, +7, 007, 2024-01-01] }
        retry: { attempts: 3, initial: 200s, factor: 1.5, nonRetryable: [bad-input, no-space] }
        concurrency: { key: database, limit: 2 }
    """

  private func read(_ text: String, name: String = "w.yaml") throws -> Definition {
    try DefinitionReader().read(Array(text.utf8), name: name).definition
  }

  @Test("every key of the format is read")
  func complete() throws {
    let definition = try read(Self.complete)
    #expect(definition.name == "package-census")
    #expect(definition.description == "What the packages\nof this machine use.\n")
    #expect(
      definition.parameters == [
        .init("status", description: "The package database.", fallback: "/var/lib/dpkg/status"), .init("chunks", fallback: 8), .init("day"),
      ])
    #expect(
      definition.defaults == Policy(priority: .normal, retry: RetryPolicy(attempts: 5), timeouts: Timeouts(startToClose: 90_000_000_000)))
    #expect(definition.onFailure == .continue)
    #expect(definition.result == "report")
    #expect(definition.tasks.map(\.id) == ["split", "report"])
    #expect(definition.tasks[0].policy.priority == .critical)
    #expect(
      definition.tasks[0].policy.timeouts
        == Timeouts(
          scheduleToStart: 10_000_000_000, startToClose: 300_000_000_000, scheduleToClose: 3_600_000_000_000, heartbeat: 250_000_000))
    #expect(definition.tasks[1].dependencies == ["split"])
    #expect(
      definition.tasks[1].policy
        == Policy(
          retry: RetryPolicy(
            attempts: 3, initial: 200_000_000_000, factor: 1.5, cap: 200_000_000_000, nonRetryable: ["bad-input", "no-space"]),
          concurrencyKey: "database", concurrencyLimit: 2))
  }

  @Test("a run is kept in memory unless the definition says in a log")
  func durability() throws {
    let text = { (line: String) in "format: 1\nworkflow: w\n\(line)\ntasks: [{ id: a, handler: h }]" }
    #expect(try read(text("")).durability == .none)
    #expect(try read(text("durability: none")).durability == .none)
    #expect(try read(text("durability: log")).durability == .log)
  }

  @Test("plain scalars follow the core schema of YAML 1.2, aliases stand for their value")
  func scalars() throws {
    let input = try read(Self.complete).tasks[1].input
    #expect(
      input["plain"] == ["no", "on", "12:30", 16, 15, 1000.0, 0.5, nil, true, "1", -0.25, 7, 7, "2024-01-01"])
    #expect(input["source"] == (try read(Self.complete).tasks[0].input))
  }

  @Test("parameters keep their type as a whole text and are inserted as text inside one; $${ stays ${")
  func parameters() throws {
    let resolved = try read(Self.complete).resolve(parameters: ["day": 7, "status": nil])
    #expect(resolved.tasks[0].input == ["file": nil, "chunks": 8, "label": "day 7 in 8 parts, ${x}"])
    #expect(resolved.tasks[1].input["source"] == resolved.tasks[0].input)
    #expect(resolved.parameters.map(\.fallback) == [.some(.null), .some(8), .some(7)])
  }

  @Test("a parameter that is missing and one that is unknown are both told")
  func wrongParameters() throws {
    let definition = try read(Self.complete)
    let error = #expect(throws: DefinitionError.self) { try definition.resolve(parameters: ["statsu": "x", "whatever": 1]) }
    #expect(
      error?.description == """
        package-census: error: the parameter 'day' must be given
          fix: give it: --param day=VALUE
        package-census: error: 'statsu' is no parameter of 'package-census'
          fix: did you mean 'status'?
        package-census: error: 'whatever' is no parameter of 'package-census'
          fix: its parameters are status, chunks, day
        """)
  }

  @Test("parameters with types, choices and bounds are read, and what is given is held against them")
  func typedParameters() throws {
    let definition = try read(
      """
      format: 1
      workflow: w
      parameters:
        mode: { description: How much., type: string, enum: [fast, full], default: fast }
        chunks: { type: integer, minimum: 1, maximum: 64, default: 8.0 }
        ratio: { type: number, minimum: 0.5, default: 1 }
        files: { type: array, default: [] }
        options: { type: object, default: {} }
        dry: { type: boolean, default: false }
        any: { enum: [1, null, [2]], default: null }
      tasks: [{ id: a, handler: h, priority: "${params.mode}" }]
      """)
    #expect(
      definition.parameters[0]
        == .init("mode", description: "How much.", fallback: "fast", kind: .string, choices: ["fast", "full"]))
    #expect(definition.parameters[1] == .init("chunks", fallback: 8.0, kind: .integer, minimum: 1, maximum: 64))
    #expect(definition.tasks[0].policy == Policy(priorityExpression: "${params.mode}"))
    let error = #expect(throws: DefinitionError.self) {
      try definition.resolve(
        parameters: ["mode": "slow", "chunks": 65, "ratio": 0.25, "files": "x", "options": [], "dry": 0, "any": [3]])
    }
    #expect(
      error?.description == """
        w: error: the parameter 'mode' (How much.) is "slow"; it must be one of fast, full
          fix: give another value: --param mode="fast"
        w: error: the parameter 'chunks' is 65; it must be at most 64
          fix: give another value: --param chunks=1
        w: error: the parameter 'ratio' is 0.25; it must be at least 0.5
          fix: give another value: --param ratio=1.5
        w: error: the parameter 'files' is "x"; it must be a list
          fix: give another value: --param files='[1, 2]'
        w: error: the parameter 'options' is []; it must be an object
          fix: give another value: --param options='{"key": 1}'
        w: error: the parameter 'dry' is 0; it must be true or false
          fix: give another value: --param dry=true
        w: error: the parameter 'any' is [3]; it must be one of 1, null, [2]
          fix: give another value: --param any=1
        """)
    #expect(throws: Never.self) {
      try read("format: 1\nworkflow: w\nparameters: { n: { type: integer } }\ntasks: [{ id: a, handler: h }]")
        .resolve(parameters: ["n": 3.0])
    }
  }

  @Test("the same definition in JSON is the same, by its name or its first byte", arguments: ["w.json", "w.yaml", "standard input"])
  func json(name: String) throws {
    let text = """
      { "format": 1, "workflow": "w", "tasks": [ { "id": "a", "handler": "h", "input": [1, 2.5, "x"], "timeouts": { "heartbeat": "1s" } } ] }
      """
    let yaml = "format: 1\nworkflow: w\ntasks:\n  - { id: a, handler: h, input: [1, 2.5, x], timeouts: { heartbeat: 1s } }"
    #expect(try read(text, name: name) == read(yaml))
  }

  // MARK: Limits

  private func refusal(_ text: String) -> Fault? {
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(Array(text.utf8), name: "w.yaml") }
    return error?.faults.first
  }

  @Test("a 10 MB alias bomb is refused by its size")
  func largeAliasBomb() {
    let fault = refusal("a: &a [x]\nb: [" + String(repeating: "*a,", count: 3_500_000) + "]\n")
    #expect(fault?.message == "the file has 10500016 bytes; at most 4194304 are read as YAML")
  }

  @Test("more than 1,000 aliases are refused where the first too many stands")
  func aliases() throws {
    let fault = refusal("a: &a [x]\nb: [" + String(repeating: "*a,", count: 1_300_000) + "]\n")
    #expect(fault?.message == "more than 1000 aliases")
    #expect(fault?.line == 2)
    #expect(fault?.column == 5 + 3 * 1_000)
    let quoted =
      "format: 1\nworkflow: w\ndescription: '\(String(repeating: "*a ", count: 2_000))' # \(String(repeating: "*a ", count: 2_000))\n"
    #expect(try read(quoted + "tasks: [{ id: a, handler: h }]").description.count == 6_000)
  }

  @Test("a billion laughs are refused by what they would stand for")
  func billionLaughs() {
    var text = "a0: &a0 [lol]\n"
    for level in 1...30 { text += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", "))]\n" }
    #expect(refusal(text)?.message == "the aliases stand for more than 16777216 bytes")
  }

  @Test("nesting is refused beyond 64, also where an alias adds to it")
  func depth() {
    #expect(refusal(String(repeating: "[", count: 4_000_000))?.message == "lists and maps are nested more than 64 deep")
    let half = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
    let fault = refusal("a: &a \(half)\nb: " + String(repeating: "[", count: 30) + "*a" + String(repeating: "]", count: 30))
    #expect(fault?.message == "lists and maps are nested more than 64 deep")
  }

  @Test("directives cannot make the reader slow")
  func directives() {
    let fault = refusal((0..<200_000).map { "%TAG !a\($0)! tag:x\n" }.joined() + "---\na: b\n")
    #expect(fault?.message == "a %TAG directive")
  }

  @Test("bytes that are not UTF-8 are refused with their place")
  func encoding() {
    let bytes = Array("format: 1\nworkflow: é".utf8) + [0xFF]
    let error = #expect(throws: DefinitionError.self) { try DefinitionReader().read(bytes, name: "w.yaml") }
    #expect(error?.faults.first?.description.hasPrefix("w.yaml:2:12: error: the file is not text in UTF-8") == true)
  }

  @Test("keys and aliases that would need a map as key are refused")
  func keys() {
    #expect(refusal("? [a]\n: b\n")?.message == "a key that is a list")
    #expect(refusal("a: &a x\n*a : b\n")?.message == "an alias as key")
    #expect(refusal("<<: { a: b }\n")?.message == "merge keys are not read")
  }

  @Test("durations are read and written")
  func durations() throws {
    for (text, nanoseconds): (String, UInt64) in [
      ("250ms", 250_000_000), ("10s", 10_000_000_000), ("5m", 300_000_000_000), ("2h", 7_200_000_000_000), ("1d", 86_400_000_000_000),
      ("1m30s", 90_000_000_000), ("50us", 50_000), ("10ns", 10), ("0s", 0), ("3650d", DurationText.maximum),
    ] {
      #expect(try DurationText.nanoseconds(text) == nanoseconds)
      #expect(DurationText.text(nanoseconds) == text)
    }
    for text in ["", "s", "1", "-1s", "1s1s", "1 s", "99999999999999999999s", "3650d1ns", "١s", "1sec"] {
      #expect(throws: DurationSyntaxError.self) { try DurationText.nanoseconds(text) }
    }
  }
}
