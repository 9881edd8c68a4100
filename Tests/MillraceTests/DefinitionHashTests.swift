import Foundation
import Millrace
import MillraceWorkflow
import Testing

/// What a run was made of: the definition's SHA-256 and version.
@Suite struct DefinitionHashTests {
  private func hash(_ text: String, name: String = "w.yaml") throws -> String {
    try #require(DefinitionReader().read(Array(text.utf8), name: name).definition.sha256)
  }

  private static let yaml = """
    format: 1
    workflow: w
    parameters: { n: { type: integer, default: 1 } }
    tasks:
      - { id: a, handler: h, input: { x: 1, y: ["${params.n}"] } }
      - { id: b, handler: h, dependencies: [a], when: "${tasks.a.output}", retry: { attempts: 2 } }
    """

  @Test("comments, order of keys, descriptions, the schedule and YAML or JSON make no difference; all that a run is made of does")
  func same() throws {
    let first = try hash(Self.yaml)
    #expect(first.utf8.count == 64 && first.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) })
    let other = """
      {"workflow": "w", "format": 1, "description": "words", "schedule": "@daily",
       "tasks": [{"input": {"y": ["${params.n}"], "x": 1}, "handler": "h", "id": "a", "description": "words"},
        {"id": "b", "retry": {"attempts": 2}, "when": "${tasks.a.output}", "dependencies": ["a"], "handler": "h"}],
       "parameters": {"n": {"default": 1, "type": "integer", "description": "words"}}}
      """
    #expect(try hash(other, name: "w.json") == first)
    for (old, new) in [
      ("x: 1", "x: 2"), ("attempts: 2", "attempts: 3"), ("[a]", "[]"), ("handler: h, input", "handler: g, input"),
      ("default: 1", "default: 2"),
      ("workflow: w", "workflow: w\nversion: 2"), ("workflow: w", "workflow: w\non_failure: continue"), ("workflow: w", "workflow: v"),
      ("workflow: w", "workflow: w\nversion_policy: drain"), ("workflow: w", "workflow: w\nresult: b"),
      ("workflow: w", "workflow: w\ndurability: log"), ("id: b", "id: c"),
      ("type: integer, ", ""), ("when: \"${tasks.a.output}\", ", ""), ("id: a,", "id: a, env: { A: b },"),
      ("id: a,", "id: a, timeouts: { heartbeat: 1s },"),
      ("id: a,", "id: a, foreach: [1],"), ("id: a,", "id: a, foreach: { from: 0, to: 1 },"), ("id: a,", "id: a, foreach: { files: x },"),
    ] {
      let text = Self.yaml.replacing(old, with: new)
      #expect(text != Self.yaml)
      // A task that nothing depends on any more may not be named.
      #expect(try hash(old == "[a]" ? text.replacing("${tasks.a.output}", with: "${true}") : text) != first, "\(new)")
    }
  }

  @Test("what a task waits for counts, and the workflow that it runs")
  func waitsAndChildren() throws {
    let text = { (task: String) in "format: 1\nworkflow: w\ntasks: [{ id: a, \(task) }]" }
    let tasks = [
      "wait: { signal: go }", "wait: { signal: stop }", "wait: { for: 1s }", "wait: { for: 2s }", "wait: approval", "workflow: x",
      "workflow: y",
    ]
    #expect(try Set(tasks.map { try hash(text($0)) }).count == tasks.count)
    let child = { (handler: String) throws -> String in
      let folder = NSTemporaryDirectory() + "millrace-hash-\(handler)-" + UUID().uuidString
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      defer { try? FileManager.default.removeItem(atPath: folder) }
      let inner = "format: 1\nworkflow: c\ntasks: [{ id: a, handler: \(handler) }]"
      try Data(inner.utf8).write(to: URL(filePath: folder + "/c.yaml"))
      try Data(text("workflow: c.yaml").utf8).write(to: URL(filePath: folder + "/w.yaml"))
      return try #require(DefinitionReader().read(path: folder + "/w.yaml").definition.sha256)
    }
    #expect(try child("g") != child("h"))
  }

  @Test("a template counts as what comes out of it and what it was given")
  func templates() throws {
    let text = { (value: String, comment: String) in
      """
      format: 1
      workflow: w
      templates:
        - { template: t, description: "\(comment)", parameters: { x: {} }, tasks: [{ id: a, handler: h, input: "${params.x}" }] }
      tasks: [{ id: u, template: t, with: { x: \(value) } }]
      """
    }
    #expect(try hash(text("1", "one")) == hash(text("1", "two")))
    #expect(try hash(text("1", "one")) != hash(text("2", "one")))
  }

  @Test("a version is 1 to a thousand million, in Swift as in files")
  func versions() throws {
    for (version, isGood) in [(0, false), (1, true), (1_000_000_000, true), (1_000_000_001, false)] {
      var definition = Definition("w", version: version)
      definition.task("a", handler: "h")
      if isGood {
        #expect(try DefinitionChecker().check(definition) == [])
      } else {
        let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(definition) }
        #expect(error?.faults.map(\.message) == ["the version is \(version)"])
      }
    }
  }

  @Test("a run's record has version and hash of the definition, whatever its parameters")
  func record() throws {
    let engine = try Engine()
    defer { engine.shutdown() }
    try engine.register("h") { call in .json(try call.input) }
    var definition = Definition("w", parameters: [.init("n", fallback: 1)], version: 7, versionPolicy: .drain)
    definition.task("a", handler: "h", input: ["n": "${params.n}"])
    for value in [1, 2] as [JSON] {
      let run = try engine.start(definition, parameters: ["n": value])
      #expect(run.wait() == .completed)
      let record = run.record()
      #expect(record.workflowVersion == 7 && record.plugins == [])
      #expect(record.definitionSHA256 == definition.sha256)
      #expect(RunSummary.record(record)["workflowVersion"] == 7)
    }
  }

  @Test("a handler's schema, given where it is registered, refuses an input before anything runs")
  func registeredSchema() throws {
    let engine = try Engine()
    defer { engine.shutdown() }
    let schema = try InputSchema(["type": "object", "required": ["to"], "properties": ["to": ["type": "string"]]])
    try engine.register("mail", inputSchema: schema) { (call: borrowing TaskCall) in .json(try call.input) }
    var definition = Definition("w")
    definition.task("a", handler: "mail", input: ["to": 3])
    let error = #expect(throws: DefinitionError.self) { try engine.start(definition) }
    #expect(error?.faults.map(\.message) == ["input.to of task 'a' must be text, not a number"])
    let text = "format: 1\nworkflow: w\ntasks: [{ id: a, handler: mail }]\n"
    let other = #expect(throws: DefinitionError.self) { try engine.reader.read(Array(text.utf8), name: "w.yaml") }
    #expect(other?.faults.map(\.message) == ["the input of task 'a' has no 'to'"])
  }
}
