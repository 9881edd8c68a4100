import MillraceWorkflow
import Testing

@Suite struct DefinitionForeachTests {
  /// A task `each` with these lines, behind a task `list`.
  private static func text(_ lines: String) -> String {
    "format: 1\nworkflow: w\nparameters: { p: {} }\ntasks:\n  - { id: list, handler: h }\n  - id: each\n    handler: h\n    dependencies: [list]\n"
      + lines.split(separator: "\n").map { "    \($0)\n" }.joined()
  }

  private static func read(_ lines: String) throws -> DefinitionReader.Reading {
    try DefinitionReader().read(Array(text(lines).utf8), name: "w.yaml")
  }

  @Test(
    "every form of a list is read",
    arguments: [
      ("foreach: ${tasks.list.output.files}", Foreach.list("${tasks.list.output.files}")),
      ("foreach: [a, 1, { b: \"${params.p}\" }]", .list(["a", 1, ["b": "${params.p}"]])),
      ("foreach: []", .list([])),
      ("foreach: { from: 0, to: 99 }", .range(from: 0, to: 99, step: 1)),
      ("foreach: { from: 9, to: \"${params.p}\", step: -3 }", .range(from: 9, to: "${params.p}", step: -3)),
      ("foreach: { files: data/*.csv }", .files("data/*.csv")),
      (
        "foreach: { files: \"*.${params.p}\", directory: \"${tasks.list.output}\" }",
        .files("*.${params.p}", directory: "${tasks.list.output}")
      ),
      ("foreach: { from: 1, to: 1000000 }", .range(from: 1, to: 1_000_000)),
    ])
  func forms(lines: String, foreach: Foreach) throws {
    let reading = try Self.read(
      lines
        + "\nparallelism: 16\nwhen: ${item != 3 or index == 0}\ninput: { a: \"${item}\", b: \"${index} of it\" }\nenv: { N: \"${item.n}\" }"
    )
    let task = reading.definition.tasks[1]
    #expect(task.foreach == foreach && task.parallelism == 16)
    #expect(reading.warnings == [])
    // The same made in Swift is the same value, and passes.
    try DefinitionChecker().check(reading.definition)
    var made = Definition("w", parameters: [.init("p")])
    let list = made.task("list", handler: "h")
    made.task(
      "each", handler: "h", dependencies: [list], input: ["a": "${item}", "b": "${index} of it"], when: "${item != 3 or index == 0}",
      foreach: foreach, parallelism: 16, environment: ["N": "${item.n}"])
    #expect(made == reading.definition)
  }

  @Test(
    "what is wrong is told with its place and what to do",
    arguments: [
      (
        "foreach: 3", "9:14: error: 'foreach' must be a list, a range or an expression, not a number",
        "write 'foreach: ${tasks.ID.output.files}'"
      ),
      ("foreach: a", "9:14: error: 'foreach' must be one expression and nothing else", "write 'foreach: ${tasks.ID.output.files}'"),
      (
        "foreach: x${params.p}", "9:14: error: 'foreach' must be one expression and nothing else",
        "write 'foreach: ${tasks.ID.output.files}'"
      ),
      ("foreach: ${params.q}", "9:16: error: the parameter 'q' is not declared", "declare it: 'parameters: { q: { default: VALUE } }'"),
      ("foreach: ${tasks.each.output}", "9:16: error: task 'each' refers to itself", "name a task that it depends on"),
      ("foreach: ${item}", "9:16: error: 'item' is not there yet: 'foreach' makes the items", "use params.NAME or tasks.ID.output"),
      ("foreach: [\"${index}\"]", "9:18: error: 'index' is not there yet: 'foreach' makes the items", "use params.NAME or tasks.ID.output"),
      (
        "foreach: [\"${secrets.s}\"]", "9:18: error: a secret may stand in 'env' only: elsewhere it would be written down",
        "give it to the handler: 'env: { NAME: { secret: NAME } }'"
      ),
      ("foreach: {}", "9:14: error: 'foreach' has no 'from'", "add 'from: 0'"),
      ("foreach: { from: 1 }", "9:14: error: 'foreach' has no 'to'", "add 'to: 99'"),
      ("foreach: { from: 1, to: 2, by: 2 }", "9:32: error: unknown key 'by' in 'foreach'", "the keys are from, to, step"),
      ("foreach: { from: 1, to: 2, step: 0 }", "9:38: error: 'step' is 0", "write 1, or -1 to count down"),
      (
        "foreach: { from: 1.5, to: 2 }", "9:22: error: 'from' must be a whole number, not a number",
        "write a number, or '${...}' that gives one"
      ),
      ("foreach: { from: a, to: 2 }", "9:22: error: 'from' must be a whole number, not text", "write a number, or '${...}' that gives one"),
      (
        "foreach: { from: 1, to: 1000001 }", "9:14: error: 'foreach' has 1000001 items; at most 1000000 are allowed",
        "let one item do the work of several"
      ),
      ("foreach: { files: a, from: 1 }", "9:26: error: unknown key 'from' in 'foreach'", "the keys are files, directory"),
      ("foreach: { directory: a }", "9:14: error: 'foreach' has no 'files'", "add 'files: \"data/*.csv\"'"),
      ("foreach: { files: \"\" }", "9:23: error: 'files' is empty", "write 'files: \"data/*.csv\"'"),
      ("foreach: { files: [a] }", "9:23: error: 'files' must be text, not a list", "write text"),
      (
        "foreach: { files: \"${item}\" }", "9:26: error: 'item' is not there yet: 'foreach' makes the items",
        "use params.NAME or tasks.ID.output"
      ),
      ("foreach: [1]\nparallelism: 0", "10:18: error: 'parallelism' is 0; it may be 1 to 1000000", "write a number from 1 to 1000000"),
      (
        "foreach: [1]\nparallelism: all", "10:18: error: 'parallelism' must be a whole number, not text", "write a number from 1 to 1000000"
      ),
      (
        "parallelism: 2", "9:18: error: 'parallelism' is for tasks with 'foreach': how many items are in progress at once",
        "use 'concurrency' to limit tasks, or add 'foreach: ${tasks.ID.output.files}'"
      ),
      (
        "input: \"${item}\"", "9:15: error: 'item' is there only in a task with 'foreach'",
        "add 'foreach: ${tasks.ID.output}' to the task, or use params.NAME"
      ),
      (
        "when: ${index > 0}", "9:13: error: 'index' is there only in a task with 'foreach'",
        "add 'foreach: ${tasks.ID.output}' to the task, or use params.NAME"
      ),
      (
        "env: { A: \"x${item}\" }", "9:19: error: 'item' is there only in a task with 'foreach'",
        "add 'foreach: ${tasks.ID.output}' to the task, or use params.NAME"
      ),
      (
        "foreach: [1]\npriority: ${item}", "10:17: error: a priority is settled by parameters, or by the outputs of tasks before it",
        "use params.NAME or tasks.ID.output"
      ),
      (
        "foreach: [1]\ninput: \"${itm}\"", "10:15: error: 'itm' is nothing an expression can refer to",
        "did you mean 'item'? (text stands in quotes)"
      ),
      ("for_each: [1]", "9:5: error: unknown key 'for_each' in task 'each'", "did you mean 'foreach'?"),
    ])
  func faults(lines: String, message: String, fix: String) throws {
    let error = #expect(throws: DefinitionError.self) { try Self.read(lines) }
    let printed = error?.faults.map(\.description) ?? []
    #expect(printed.contains("w.yaml:\(message)\n  fix: \(fix)"), "\(printed)")
  }

  @Test(
    "definitions made in Swift are judged as files are",
    arguments: [
      (Foreach.list(3), "'foreach' is no list"), (.list("x"), "'foreach' must be one expression and nothing else"),
      (.list(["${index}"]), "'index' is not there yet"), (.range(from: 0, to: 1_000_000), "1000001 items"),
      (.range(from: 0, to: 1, step: 0), "the step is 0"), (.range(from: "1", to: 1), "a range of whole numbers"),
      (.files(""), "an empty pattern"), (.files("a", directory: ""), "an empty pattern"), (.files("${params.q}"), "the parameter 'q'"),
      (.range(from: "${tasks.no.output}", to: 1), "refers to 'no'"),
    ])
  func inSwift(foreach: Foreach, message: String) {
    var definition = Definition("w", parameters: [.init("p")])
    definition.task("each", handler: "h", foreach: foreach)
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(definition) }
    #expect(error?.faults.contains { $0.message.contains(message) } == true, "\(String(describing: error))")
  }

  @Test("parallelism needs items, and bounds")
  func parallelism() {
    for (foreach, bound) in [(nil, 2), (Foreach.list([1]), 0), (.list([1]), 1_000_001)] {
      var definition = Definition("w")
      definition.task("each", handler: "h", foreach: foreach, parallelism: bound)
      #expect(throws: DefinitionError.self) { try DefinitionChecker().check(definition) }
    }
  }

  @Test("pictures mark a task with items")
  func pictures() throws {
    var definition = Definition("w")
    definition.task("each", handler: "files/hash", foreach: .list([1]))
    definition.task("one", handler: "files/hash")
    #expect(try Graph.text(definition).contains("each  foreach files/hash"))
    #expect(try Graph.dot(definition).contains("[label=\"each\\nforeach files/hash\"]"))
    #expect(try Graph.mermaid(definition).contains("[\"each<br/>foreach files/hash\"]"))
    #expect(try Graph.svg(definition).contains("foreach files/hash"))
    #expect(try !Graph.text(definition).contains("one   foreach"))
  }
}
