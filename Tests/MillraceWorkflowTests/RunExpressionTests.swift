import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

@Suite struct RunExpressionTests {
  /// A world with handlers: `json` and `text` give their input back as such, `show` all inputs as text, `bytes` three bytes, `fail` fails.
  static func world() throws -> SteppedWorld {
    let world = try SteppedWorld()
    world.handler("json") { call in call.done(call.input(0), MILLRACE_JSON) }
    world.handler("text") { call in
      let text = (try? JSON(parsing: call.input(0)))?.string ?? "?"
      return call.done(text)
    }
    world.handler("show") { call in call.done((0..<call.inputCount).map { call.input($0) }.joined(separator: "|")) }
    world.handler("bytes") { call in call.done("\u{1}\u{2}\u{3}", MILLRACE_BYTES) }
    world.handler("fail") { call in call.end(MILLRACE_FAILED, "broken") }
    world.handler("flaky") { call in call.number == 1 ? call.retry() : call.done(call.input(0)) }
    world.handler("empty") { call in call.end(MILLRACE_DONE) }
    return world
  }

  private func run(_ world: SteppedWorld, _ definition: Definition, _ parameters: [String: JSON] = [:]) throws -> WorkflowRun {
    try DefinitionChecker().check(definition)
    let run = try world.start(definition.resolve(parameters: parameters))
    world.drain()
    return run
  }

  private func error(_ run: WorkflowRun, _ task: Int) -> String? {
    run.attempts(task).last.map { "\($0.errorType): \($0.message)" }
  }

  @Test("an input is made of parameters, outputs and the run when its task begins; whole texts keep their types")
  func inputs() throws {
    let world = try Self.world()
    var workflow = Definition("w", parameters: [.init("limit", fallback: 10), .init("tag", fallback: "x\"y")])
    let first = workflow.task("first", handler: "json", input: ["total": 12, "files": [["path": "p"]], "note": "${params.tag}"])
    let words = workflow.task("a.b", handler: "text", input: "line \"1\"\nline 2")
    let nothing = workflow.task("nothing", handler: "empty")
    workflow.task(
      "last", handler: "show", dependencies: [first, words, nothing],
      input: [
        "total": "${tasks.first.output.total}", "files": "${tasks.first.output.files}", "text": "<${tasks[\"a.b\"].output}>",
        "over": "${tasks.first.output.total > params.limit}", "run": "${run.workflow} ${tasks.first.status}", "literal": "$${x}",
        "none": "${tasks.nothing.output}", "note": "${tasks.first.output.note}",
      ])
    let run = try run(world, workflow)
    #expect(run.status == .completed)
    let shown = try #require(run.text("last")?.split(separator: "|", omittingEmptySubsequences: false))
    #expect(
      try JSON(parsing: String(shown[0])) == [
        "total": 12, "files": [["path": "p"]], "text": "<line \"1\"\nline 2>", "over": true, "run": "w COMPLETED", "literal": "${x}",
        "none": nil,
        "note": "x\"y",
      ])
    #expect(shown.count == 4)
  }

  @Test("a task may use the output of any task before it, not only of those it names as dependencies")
  func transitive() throws {
    let world = try Self.world()
    var workflow = Definition("w")
    let first = workflow.task("first", handler: "json", input: 7)
    let second = workflow.task("second", handler: "empty", dependencies: [first])
    workflow.task("third", handler: "json", dependencies: [second], input: "${tasks.first.output}")
    let run = try run(world, workflow)
    #expect(run.text("third") == "7")
  }

  @Test("a false condition skips the task; its dependents go on with null, and the run is completed")
  func conditions() throws {
    let world = try Self.world()
    var workflow = Definition("w", parameters: [.init("mode")])
    let count = workflow.task("count", handler: "json", input: ["n": 3])
    let many = workflow.task("many", handler: "json", dependencies: [count], input: "many", when: "${tasks.count.output.n > 2}")
    let few = workflow.task("few", handler: "json", dependencies: [count], input: "few", when: "${not (tasks.count.output.n > 2)}")
    let mode = workflow.task("mode", handler: "json", input: 1, when: "${params.mode == 'full'}")
    workflow.task(
      "last", handler: "show", dependencies: [many, few, mode],
      input: ["few": "${tasks.few.output ?? 'none'}", "status": "${tasks.few.status}", "null": "${tasks.mode.output}"])
    let run = try run(world, workflow, ["mode": "fast"])
    #expect(run.status == .completed)
    #expect(run.accounts == [3, 0, 2, 0])
    #expect(run.text("last") == #"{"few":"none","status":"SKIPPED","null":null}|"many"|null|null"#)
    let record = run.record(slots: 1, threads: 1)
    #expect(record.tasks.map(\.status) == [.completed, .completed, .skipped, .skipped, .completed])
    #expect(record.tasks[2].attempts.isEmpty)
    #expect(record.tasks[2].cause == nil)
    #expect(record.tasks[4].ready != nil)
    #expect(run.text("few") == nil)
  }

  @Test("a task after a skipped one is skipped with it only if its own condition says so; a failure still skips, with its cause")
  func conditionAndFailure() throws {
    let world = try Self.world()
    var workflow = Definition("w", onFailure: .continue)
    let off = workflow.task("off", handler: "json", when: "${false}")
    let broken = workflow.task("broken", handler: "fail")
    workflow.task("both", handler: "json", dependencies: [off, broken], when: "${true}")
    workflow.task("next", handler: "json", dependencies: [off], input: 1)
    let run = try run(world, workflow)
    #expect(run.status == .failed)
    let record = run.record(slots: 1, threads: 1)
    #expect(record.tasks.map(\.status) == [.skipped, .failed, .skipped, .completed])
    #expect(record.tasks.map(\.cause) == [nil, nil, "broken", nil])
  }

  @Test("a workflow of which every task is skipped is completed, also if it is cancelled afterwards")
  func allSkipped() throws {
    let world = try Self.world()
    var workflow = Definition("w")
    let off = workflow.task("off", handler: "json", when: "${false}")
    workflow.task("on", handler: "json", dependencies: [off], when: "${tasks.off.output != null}")
    let run = try run(world, workflow)
    run.cancel()
    #expect(run.status == .completed)
    #expect(run.accounts == [0, 0, 2, 0])
  }

  @Test("an expression without a value fails its task, says where, and is not retried")
  func failures() throws {
    let world = try Self.world()
    var workflow = Definition("w", onFailure: .continue, tasks: [])
    workflow.defaults.retry = RetryPolicy(attempts: 5)
    let first = workflow.task("first", handler: "json", input: ["total": 12])
    let raw = workflow.task("raw", handler: "bytes")
    workflow.task("member", handler: "json", dependencies: [first], input: ["x": "a ${tasks.first.output.count}"])
    workflow.task("type", handler: "json", dependencies: [first], when: "${tasks.first.output.total}")
    workflow.task("order", handler: "json", dependencies: [first], when: "${tasks.first.output.total > 'x'}")
    workflow.task("kind", handler: "json", dependencies: [raw], input: "${tasks.raw.output}")
    let run = try run(world, workflow)
    #expect(run.status == .failed)
    #expect(run.accounts == [2, 4, 0, 0])
    #expect(
      error(run, 2)
        == "expression: ${tasks.first.output.count}: 'tasks.first.output' has no member 'count': write '?? VALUE' behind it for a default")
    #expect(
      error(run, 3) == "expression: ${tasks.first.output.total}: a condition is true or false, not a number: compare it: write == or !=")
    #expect(
      error(run, 4)
        == "expression: ${tasks.first.output.total > \"x\"}: a number and text have no order: compare numbers with numbers, and text with text"
    )
    #expect(
      error(run, 5)
        == "expression: ${tasks.raw.output}: the output of task 'raw' is neither JSON nor text: "
        + "let its handler say that it is, or take it as an input"
    )
    #expect((2...5).allSatisfy { run.attempts($0).count == 1 })
    #expect(world.timers.count == 0)
  }

  @Test("each attempt has the same input, and its timeouts are ended when the task is skipped or fails by an expression")
  func attemptsAndTimers() throws {
    let world = try Self.world()
    var workflow = Definition("w", onFailure: .continue)
    let first = workflow.task("first", handler: "json", input: 5)
    let limits = Timeouts(
      scheduleToStart: 1_000_000_000, startToClose: 1_000_000_000, scheduleToClose: 5_000_000_000, heartbeat: 1_000_000_000)
    workflow.task(
      "again", handler: "flaky", dependencies: [first], input: ["n": "${tasks.first.output}"], retry: RetryPolicy(attempts: 2, initial: 1),
      timeouts: limits)
    workflow.task("off", handler: "json", dependencies: [first], when: "${tasks.first.output == 6}", timeouts: limits)
    workflow.task("bad", handler: "json", dependencies: [first], input: "${tasks.first.output.x}", timeouts: limits)
    let run = try run(world, workflow)
    while world.passToNextTimer() != nil {}
    #expect(run.text("again") == #"{"n":5}"#)
    #expect(run.attempts(1).count == 2)
    #expect(run.record(slots: 1, threads: 1).tasks.map(\.status) == [.completed, .completed, .skipped, .failed])
    #expect(run.status == .failed)
    #expect(world.timers.count == 0)
  }

  @Test("a condition of a task with a blocking handler is looked at on the pool's thread")
  func blocking() throws {
    let world = try Self.world()
    world.handler("wait", flags: Int(MILLRACE_BLOCKING)) { call in call.done(call.input(0)) }
    var workflow = Definition("w")
    let first = workflow.task("first", handler: "json", input: 5)
    let off = workflow.task("off", handler: "wait", dependencies: [first], when: "${tasks.first.output == 6}")
    workflow.task("on", handler: "wait", dependencies: [off], input: "${tasks.off.output ?? 1}")
    let run = try run(world, workflow)
    world.runBlocking()
    world.runBlocking()
    #expect(run.status == .completed)
    #expect(run.text("on") == "1")
    #expect(run.accounts == [2, 0, 1, 0])
  }

  @Test("a priority may come from a parameter; a word that is none is refused before anything runs")
  func priority() throws {
    let world = try Self.world()
    let order = Lines()
    world.handler("note") { call in
      order.append(call.task)
      return call.end(MILLRACE_DONE)
    }
    var workflow = Definition("w", parameters: [.init("urgency", fallback: "low")])
    workflow.tasks = [
      TaskDefinition("a", handler: "note"),
      TaskDefinition("b", handler: "note", policy: Policy(priorityExpression: "${params.urgency}")),
    ]
    let late = try run(world, workflow)
    #expect(order.all == ["a", "b"])
    #expect(late.record(slots: 1, threads: 1).tasks[1].priority == .low)
    _ = try run(world, workflow, ["urgency": "critical"])
    #expect(order.all == ["a", "b", "b", "a"])
    let error = #expect(throws: DefinitionError.self) { try workflow.resolve(parameters: ["urgency": 5]) }
    #expect(error?.description == "w: error: task 'b': the priority is '5'\n  fix: let it be low, normal, high or critical")
  }

  @Test("a workflow without expressions keeps nothing for them")
  func nothing() throws {
    let world = try Self.world()
    var workflow = Definition("w")
    workflow.task("a", handler: "json", input: ["x": "$5"], priority: .high)
    let run = try run(world, workflow)
    #expect(!run.compiled.hasExpressions)
    #expect(run.values == nil)
    #expect(run.compiled.inputSlots == 0)
    #expect(MemoryLayout<TaskDefinition>.size <= 88)
  }
}
