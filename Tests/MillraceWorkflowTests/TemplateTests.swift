import CMillrace
import Testing

@testable import MillraceWorkflow

/// Templates: what comes out of them, and that it means what their author and their user wrote.
@Suite struct TemplateTests {
  private func read(_ text: String) throws -> Definition { try DefinitionReader().read(Array(text.utf8), name: "w.yaml").definition }

  private static let tree = """
    format: 1
    workflow: w
    parameters: { left: { type: string, default: a }, deep: { default: { x: [1, 2] } } }
    templates:
      - template: tree
        description: Hashes a folder.
        parameters:
          folder: { type: string }
          chunks: { type: integer, default: 4 }
        result: merge
        tasks:
          - { id: split, handler: json, input: { folder: "${params.folder}", chunks: "${params.chunks}" } }
          - { id: part, handler: json, dependencies: [split], input: "${tasks.split.output.chunks}" }
          - { id: merge, handler: json, dependencies: [part], input: "${tasks.split.output.folder}/${tasks.part.output}" }
          - { id: log, handler: json, dependencies: [split] }
    tasks:
      - { id: prepare, handler: json, input: { folder: b } }
      - { id: one, template: tree, with: { folder: "${params.left}" } }
      - { id: two, template: tree, dependencies: [prepare], with: { folder: "${tasks.prepare.output.folder}", chunks: 2 } }
      - { id: last, handler: show, dependencies: [one, two], input: "${tasks.one.output} ${tasks.two.output} ${tasks.two.status}" }
    """

  @Test("a use becomes the template's tasks: sources wait for what the use waits for, dependents for all ends, the result first")
  func expansion() throws {
    let definition = try read(Self.tree)
    #expect(
      definition.tasks.map(\.id) == [
        "prepare", "one.split", "one.part", "one.merge", "one.log", "two.split", "two.part", "two.merge", "two.log", "last",
      ])
    #expect(definition.tasks[1].dependencies == [])
    #expect(definition.tasks[5].dependencies == ["prepare"])
    #expect(definition.tasks[6].dependencies == ["two.split"])
    #expect(definition.tasks[9].dependencies == ["one.merge", "one.log", "two.merge", "two.log"])
    #expect(definition.tasks[9].input == #"${tasks["one.merge"].output} ${tasks["two.merge"].output} ${tasks["two.merge"].status}"#)
    #expect(definition.arguments.map(\.name) == ["one.folder", "one.chunks", "two.folder", "two.chunks"])
    // What comes out is a definition like any other.
    try DefinitionChecker().check(definition)
    #expect(try Graph.text(definition).contains("two.merge"))
  }

  @Test("a run of it: parameters of the workflow and outputs of tasks arrive with their types")
  func run() throws {
    let world = try RunExpressionTests.world()
    let run = try world.start(read(Self.tree).resolve())
    world.drain()
    #expect(run.status == .completed)
    #expect(run.text("one.split") == #"{"folder":"a","chunks":4}"#)
    #expect(run.text("two.split") == #"{"folder":"b","chunks":2}"#)
    #expect(run.text("last")?.hasPrefix(#""a/4 b/2 COMPLETED"|"a/4""#) == true)
  }

  /// A template with the parameter `x`, whose task `t` has `input`; what the task gets when `x` is given `value`.
  private func given(_ value: String, _ input: String, more: String = "") throws -> String {
    let world = try RunExpressionTests.world()
    let text = """
      format: 1
      workflow: w
      parameters: { n: { default: 5 }, o: { default: { a: [1, { b: "$" }] } }, none: { default: null } }
      templates:
        - template: t
          parameters: { x: {} }
          tasks: [{ id: t, handler: json, input: \(input)\(more) }]
      tasks:
        - { id: a, handler: json, input: { flag: true, off: false, text: "t", list: [1, "2"], n: 18446744073709551616 } }
        - { id: u, template: t, dependencies: [a], with: { x: \(value) } }
      """
    let run = try world.start(read(text).resolve())
    world.drain()
    if run.text("u.t") == nil { return run.attempts(1).last.map { "\($0.errorType): \($0.message)" } ?? run.status.rawValue }
    return run.text("u.t") ?? ""
  }

  @Test(
    "a value means the same wherever the parameter stands",
    arguments: [
      // Literals.
      ("3", "'${params.x}'", "3"), ("'3'", "'${params.x}'", "\"3\""), ("[1, { a: 'b' }]", "'${params.x}'", #"[1,{"a":"b"}]"#),
      ("{ k: [1, { z: 7 }] }", "'${params.x.k[1].z}'", "7"), ("{ k: 1 }", "'${size params.x}'", "1"),
      ("{ k: 1 }", "'${\"k\" in params.x}'", "true"),
      ("[1, 2]", "'${2 in params.x} ${params.x}'", "\"true [1,2]\""), ("'$${y}'", "'${params.x}'", #""${y}""#),
      ("'a \"q\" b'", "'<${params.x}>'", #""<a \"q\" b>""#), ("null", "'${params.x ?? 9}'", "9"),
      // Expressions keep their type, and hold together.
      ("'${params.n}'", "'${params.x}'", "5"), ("'${params.n > 3}'", "'${not params.x}'", "false"),
      ("'${false and false}'", "'${params.x or true}'", "true"), ("'${true or true}'", "'${false and params.x}'", "false"),
      ("'${params.n == 5}'", "'${params.x == true}'", "true"), ("'${params.none ?? params.o}'", "'${params.x.a[1].b}'", "\"$\""),
      ("'${not tasks.a.output.flag}'", "'${not params.x}'", "true"),
      ("'${tasks.a.output.off or tasks.a.output.flag}'", "'${params.x and false}'", "false"),
      ("'${tasks.a.output}'", "'${params.x.list[1]}'", "\"2\""), ("'${tasks.a.output.n}'", "'${params.x}'", "1.8446744073709552e+19"),
      ("'${tasks.a.output.text}-${params.n}'", "'${params.x == \"t-5\"}'", "true"),
      ("'${tasks.a.output.text}-'", "'${size params.x}'", "2"),
      ("['${tasks.a.output.list}', '${params.n}']", "'${params.x[0][1]} ${params.x}'", #""2 [[1,\"2\"],5]""#),
      ("{ t: '${tasks.a.output.text}' }", "'<${params.x}>'", #""<{\"t\":\"t\"}>""#),
      // What is missing is missing inside.
      ("'${tasks.a.output.gone}'", "'${params.x ?? 1}'", "1"), ("'${params.o.gone}'", "'${params.x.more ?? 1}'", "1"),
      (
        "'${tasks.a.output.gone}'", "'${params.x}'",
        "expression: ${params[\"u.x\"]}: ${tasks.a.output.gone}: 'tasks.a.output' has no member 'gone'"
      ),
    ])
  func positions(_ value: String, _ input: String, _ expected: String) throws {
    let found = try given(value, input)
    #expect(expected.hasPrefix("expression") ? found.hasPrefix(expected) : found == expected, "\(found)")
  }

  @Test("values that only a run knows are held against the declaration when they are asked for; those of parameters when it starts")
  func types() throws {
    let text = { (value: String) in
      """
      format: 1
      workflow: w
      parameters: { n: { default: text } }
      templates:
        - { template: t, parameters: { x: { type: integer, maximum: 3 } }, tasks: [{ id: t, handler: json, input: "${params.x}" }] }
      tasks:
        - { id: a, handler: json, input: 4 }
        - { id: u, template: t, dependencies: [a], with: { x: \(value) } }
      """
    }
    let world = try RunExpressionTests.world()
    let run = try world.start(read(text("'${tasks.a.output}'")).resolve())
    world.drain()
    #expect(run.status == .failed)
    let message = try #require(run.attempts(1).last).message
    #expect(message.contains("the parameter 'x' of 'u' is 4; it must be at most 3"), "\(message)")
    let error = #expect(throws: DefinitionError.self) { try read(text("'${params.n}'")).resolve() }
    #expect(error?.faults.first?.message == #"the parameter 'x' of 'u' is "text"; it must be a whole number"#)
  }

  @Test("a condition of a use is that of all its tasks, before their own; what depends on the use goes on with null")
  func conditions() throws {
    let text = { (condition: String) in
      """
      format: 1
      workflow: w
      parameters: { on: { default: true } }
      templates:
        - template: inner
          parameters: { y: {} }
          result: b
          tasks:
            - { id: a, handler: json, input: 1 }
            - { id: b, handler: json, dependencies: [a], when: "${tasks.a.output == 2 or params.y}", input: 2 }
        - template: outer
          result: in
          tasks: [{ id: in, template: inner, when: "${run.workflow == 'w'}", with: { y: true } }]
      tasks:
        - { id: first, handler: json, input: { go: false } }
        - { id: u, template: outer, dependencies: [first], when: "\(condition)" }
        - { id: last, handler: json, dependencies: [u], input: "${tasks.u.output ?? 'none'}" }
      """
    }
    let world = try RunExpressionTests.world()
    let skipped = try world.start(read(text("${tasks.first.output.go}")).resolve())
    world.drain()
    #expect(skipped.status == .completed)
    #expect(skipped.text("u.in.a") == nil && skipped.text("u.in.b") == nil && skipped.text("last") == "\"none\"")
    let definition = try read(text("${params.on}"))
    #expect(
      definition.tasks[2].condition == #"${params["u.in."] and (tasks["u.in.a"].output == 2 or params["u.in.y"])}"#)
    let done = try world.start(definition.resolve())
    world.drain()
    #expect(done.text("u.in.b") == "2" && done.text("last") == "2")
  }

  @Test("the policy of a use is the default of its tasks; what a task says itself goes first, field by field for timeouts")
  func policies() throws {
    let definition = try read(
      """
      format: 1
      workflow: w
      parameters: { urgency: { default: high } }
      templates:
        - template: t
          parameters: { p: { default: low } }
          tasks:
            - { id: a, handler: h }
            - { id: b, handler: h, priority: critical, retry: { attempts: 2 }, timeouts: { heartbeat: 1s }, concurrency: { key: mine } }
            - { id: c, handler: h, priority: "${params.p}" }
      tasks:
        - id: u
          template: t
          with: { p: "${params.urgency}" }
          priority: ${params.urgency}
          retry: { attempts: 5 }
          timeouts: { startToClose: 1m, heartbeat: 5s }
          concurrency: { key: disk, limit: 2 }
      """)
    let tasks = try definition.resolve().tasks
    #expect(tasks.map(\.policy.priority) == [.high, .critical, .high])
    #expect(tasks.map(\.policy.retry?.attempts) == [5, 2, 5])
    #expect(tasks.map(\.policy.timeouts.heartbeat) == [5_000_000_000, 1_000_000_000, 5_000_000_000])
    #expect(tasks.allSatisfy { $0.policy.timeouts.startToClose == 60_000_000_000 })
    #expect(tasks.map(\.policy.concurrencyKey) == ["disk", "mine", "disk"])
    #expect(tasks.map(\.policy.concurrencyLimit) == [2, nil, 2])
  }

  @Test("a use in the cleanup sees outputs and statuses by what it is given")
  func cleanup() throws {
    let world = try RunExpressionTests.world()
    let run = try world.start(
      read(
        """
        format: 1
        workflow: w
        templates:
          - { template: tell, parameters: { of: {}, was: {} }, tasks: [{ id: t, handler: json, input: "${params.of} ${params.was}" }] }
        tasks: [{ id: a, handler: json, input: { n: 1 } }]
        cleanup: [{ id: u, template: tell, when: "${tasks.a.output.n == 1}", with: { of: "${tasks.a.output.n}", was: "${run.status}" } }]
        """
      ).resolve())
    world.drain()
    #expect(run.status == .completed)
    #expect(run.text("u.t") == "\"1 COMPLETED\"")
  }

  @Test("environments of templates take secrets and values; a literal dollar stays one")
  func environment() throws {
    let definition = try read(
      """
      format: 1
      workflow: w
      templates:
        - { template: t, parameters: { x: { default: "${d}" } }, tasks: [{ id: t, handler: h, env: { A: { secret: S }, B: "<${params.x}>" , C: "$${e}" } }] }
      tasks: [{ id: u, template: t }]
      """)
    #expect(definition.tasks[0].environment.map(\.value) == ["${secrets[\"S\"]}", "<${params[\"u.x\"]}>", "$${e}"])
    #expect(try definition.resolve().arguments[0].value == "${d}")
    #expect(definition.secrets.map(\.name) == ["S"])
  }

  @Test("ten thousand tasks out of one template, and out of ten thousand uses, are read as fast as if they stood in the file")
  func many() throws {
    let inner = (0..<10_000).map {
      "      - { id: t\($0), handler: h, dependencies: [\($0 == 0 ? "" : "t\($0 - 1)")], input: { n: \"${params.x}\" } }\n"
    }
    let one =
      "format: 1\nworkflow: w\ntemplates:\n  - template: t\n    parameters: { x: { type: integer } }\n    tasks:\n\(inner.joined())"
      + "tasks: [{ id: u, template: t, with: { x: 1 } }, { id: last, handler: h, dependencies: [u], input: \"${tasks.u.status}\" }]\n"
    let definition = try read(one)
    #expect(definition.tasks.count == 10_001 && definition.tasks[10_000].dependencies == ["u.t9999"])
    let uses = (0..<10_000).map { "  - { id: u\($0), template: t, dependencies: [\($0 == 0 ? "" : "u\($0 - 1)")], with: { x: \($0) } }\n" }
    let all = try read(
      "format: 1\nworkflow: w\ntemplates: [{ template: t, parameters: { x: {} }, tasks: [{ id: a, handler: h, input: \"${params.x}\" }] }]\ntasks:\n"
        + uses.joined())
    #expect(all.tasks.count == 10_000 && all.tasks[9_999].dependencies == ["u9998.a"])
    #expect(try all.resolve().tasks[7_000].input == 7_000)
  }

  @Test("what would come out is bounded before it does: 10^12 tasks of templates in templates are refused at once")
  func bounds() throws {
    var text = "format: 1\nworkflow: w\ntemplates:\n"
    for level in 0..<4 {
      let body = (0..<1_000).map { level == 0 ? "{ id: t\($0), handler: h }" : "{ id: t\($0), template: l\(level - 1) }" }
      text += "  - { template: l\(level), tasks: [\(body.joined(separator: ", "))] }\n"
    }
    text += "tasks: [{ id: u, template: l3 }]\n"
    let error = #expect(throws: DefinitionError.self) { try read(text) }
    #expect(error?.faults.map(\.code) == [.limit])
    #expect(error?.faults.first?.message == "more than 1000000 tasks come out of the templates")
  }
}
