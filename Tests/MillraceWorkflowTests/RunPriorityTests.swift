import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

/// Priorities that outputs decide.
@Suite struct RunPriorityTests {
  /// One slot, so that the order of starts is that of the priorities.
  private func run(_ workflow: Definition, _ parameters: [String: JSON] = [:]) throws -> (order: [String], run: WorkflowRun) {
    let world = try SteppedWorld(slots: 1)
    let order = Left<[String]>([])
    world.handler("json") { call in
      order.value.append(call.task)
      return call.done(call.input(0), MILLRACE_JSON)
    }
    try DefinitionChecker().check(workflow)
    let run = try world.start(workflow.resolve(parameters: parameters))
    world.drain()
    return (order.value, run)
  }

  @Test("a priority is settled when the task becomes ready, by what the tasks before it said")
  func ranks() throws {
    var workflow = Definition("w", parameters: [.init("usual", fallback: "normal")])
    let first = workflow.task("first", handler: "json", input: ["urgent": "b", "words": ["low", "critical"]])
    for name in ["a", "b", "c", "d"] { workflow.task(name, handler: "json", dependencies: [first]) }
    workflow.tasks[1].policy.priorityExpression = "${tasks.first.output.words[0]}"
    workflow.tasks[2].policy.priorityExpression = "${tasks.first.output.words[1]}"
    workflow.tasks[3].policy.priorityExpression = "${tasks.first.output.missing ?? params.usual}"
    workflow.tasks[4].policy.priority = .high
    let (order, run) = try run(workflow)
    #expect(order == ["first", "b", "d", "c", "a"])
    #expect(run.record(slots: 1, threads: 1).tasks.map(\.priority) == [.normal, .low, .critical, .normal, .high])
  }

  @Test("the task behind a chain gets its own priority, and stands in the line of its key by it")
  func chain() throws {
    var workflow = Definition("w")
    let first = workflow.task("first", handler: "json", input: "high", concurrencyKey: "k")
    let second = workflow.task("second", handler: "json", dependencies: [first], concurrencyKey: "k")
    workflow.task("third", handler: "json", dependencies: [second], concurrencyKey: "k")
    workflow.tasks[2].policy.priorityExpression = "${tasks.first.output}"
    for i in 0..<3 { workflow.task("n\(i)", handler: "json", concurrencyKey: "k") }
    let (order, run) = try run(workflow)
    #expect(run.status == .completed)
    // Behind all that were ready before it, but for those of its priority.
    #expect(order.firstIndex(of: "third")! == order.firstIndex(of: "second")! + 1)
  }

  @Test(
    "an expression that gives no priority fails its task, which says why; what does not depend on it goes on",
    arguments: [
      ("${tasks.first.output.x}", "'x'"), ("${tasks.first.output.word}", "it is 'urgent'"), ("${tasks.first.output.n > 1}", "it is 'true'"),
    ])
  func faults(expression: String, said: String) throws {
    var workflow = Definition("w", onFailure: .continue)
    let first = workflow.task("first", handler: "json", input: ["word": "urgent", "n": 2])
    workflow.task("bad", handler: "json", dependencies: [first])
    workflow.tasks[1].policy.priorityExpression = expression
    workflow.task("good", handler: "json", dependencies: [first])
    let (order, run) = try run(workflow)
    #expect(order == ["first", "good"])
    #expect(run.accounts == [2, 1, 0, 0])
    let attempt = try #require(run.attempts(1).last)
    #expect(attempt.errorType == EngineErrorType.expression)
    #expect(attempt.message.hasPrefix("the priority: ") && attempt.message.contains(said), "\(attempt.message)")
  }

  @Test("a priority of a cleanup task may look at what became of the run; a skipped task needs none")
  func cleanup() throws {
    var workflow = Definition("w")
    workflow.task("first", handler: "json", input: "high")
    workflow.cleanup("usual", handler: "json")
    workflow.cleanup("urgent", handler: "json")
    workflow.cleanup[1].policy.priorityExpression = "${tasks.first.output}"
    workflow.cleanup("never", handler: "json", when: "${run.status != 'COMPLETED'}")
    workflow.cleanup[2].policy.priorityExpression = "${tasks.first.output.nothing}"
    let (order, run) = try run(workflow)
    #expect(order == ["first", "urgent", "usual"])
    #expect(run.status == .completed)
  }

  @Test("a priority may name only what comes before its task, and that of all tasks only parameters")
  func check() {
    var workflow = Definition("w")
    workflow.defaults.priorityExpression = "${tasks.b.output}"
    workflow.task("a", handler: "json")
    workflow.tasks[0].policy.priorityExpression = "${tasks.b.output}"
    workflow.task("b", handler: "json")
    let error = #expect(throws: DefinitionError.self) { try DefinitionChecker().check(workflow) }
    #expect(
      error?.faults.map(\.message) == [
        "the defaults: the priority: a priority for all tasks is settled when the run starts, by its parameters",
        "task 'a' refers to 'b', which it does not depend on",
      ])
  }
}
