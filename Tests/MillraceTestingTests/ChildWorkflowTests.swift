import Millrace
import MillraceTesting
import Testing

/// Workflows that run workflows, on a virtual clock.
@Suite struct ChildWorkflowTests {
  /// A child that says what it was given, after a second; its cleanup takes two.
  private func child(cleanup: Bool = false, timeouts: Timeouts = Timeouts()) -> Definition {
    var child = Definition("child", parameters: [.init("name", fallback: "nobody")], result: "say")
    child.task("say", handler: "say", input: ["name": "${params.name}"], timeouts: timeouts)
    if cleanup { child.cleanup("tidy", handler: "tidy") }
    return child
  }

  private func engine() throws -> TestEngine {
    let engine = try TestEngine(slots: 1)
    try engine.mock("say", taking: .seconds(1)) { (input: [String: String], _) in ["said": input["name"] ?? ""] }
    try engine.mock("tidy", taking: .seconds(2)) { _ in .empty }
    return engine
  }

  @Test("a child gets parameters with the values of expressions, and its result is the task's output; one slot is enough")
  func output() throws {
    let engine = try engine()
    try engine.deploy(child())
    var parent = Definition("parent", result: "last")
    let first = parent.workflow("first", named: "child", parameters: ["name": "Ada"])
    parent.workflow("last", of: child(cleanup: true), parameters: ["name": "${tasks.first.output.said} again"], dependencies: [first])
    let run = try engine.run(parent)
    #expect(run.status == .completed)
    #expect(try run.output(of: "last", as: [String: String].self) == ["said": "Ada again"])
    // The cleanup of a child runs before its task ends.
    #expect(run.attempts(of: "last").map(\.end) == [4_000_000_000])
    let record = try #require(run.task("last")?.children.first)
    #expect(record.workflow == "child")
    #expect(record.tasks.map(\.id) == ["say", "tidy"])
    #expect(record.run != run.id)
    #expect(run.task("last")?.handler == "workflow")
    #expect(try RunRecord(RunSummary.record(run.record())).tasks[1].children.map(\.run) == [record.run])
  }

  @Test("a failed child fails its task, with its run, its task and its error; a retry starts another run")
  func fails() throws {
    let engine = try engine()
    try engine.mock("say", [.failing(TaskFailure("broken", "no voice"), times: 9)])
    var parent = Definition("parent")
    parent.workflow("task", of: child(), retry: RetryPolicy(attempts: 2))
    let run = try engine.run(parent)
    #expect(run.status == .failed)
    let attempts = run.attempts(of: "task")
    let children = try #require(run.task("task")?.children)
    #expect(attempts.map(\.errorType) == ["child-failed", "child-failed"])
    #expect(Set(children.map(\.run)).count == 2)
    #expect(attempts.map(\.message) == children.map { "run \($0.run) of child: task say: broken: no voice" })

    var wrong = Definition("wrong")
    wrong.workflow("task", of: child(), parameters: ["name": "${run.id}"])
    wrong.workflow("none", named: "gone", dependencies: [])
    try engine.deploy(Definition("gone", parameters: [.init("x", fallback: 1)], tasks: [TaskDefinition("t", handler: "say")]))
    #expect(try engine.run(wrong).status == .failed)
  }

  @Test("cancelling the parent cancels the child, whose cleanup still runs; the parent ends after it")
  func cancels() throws {
    let engine = try engine()
    try engine.mock("say", [.hanging])
    var parent = Definition("parent")
    parent.workflow("task", of: child(cleanup: true))
    let run = try engine.start(parent)
    engine.after(.seconds(5)) { run.cancel() }
    #expect(try run.finish() == .cancelled)
    #expect(run.elapsed == .seconds(7))
    #expect(run.task("task")?.status == .cancelled)
    #expect(run.task("task")?.children.first?.tasks.map(\.status) == [.cancelled, .completed])
  }

  @Test("a timeout of the task cancels the child, and the task has timed out when the child has ended")
  func timesOut() throws {
    let engine = try engine()
    try engine.mock("say", [.hanging])
    var parent = Definition("parent", onFailure: .continue)
    parent.workflow("task", of: child(cleanup: true), timeouts: Timeouts(scheduleToClose: 5_000_000_000))
    let run = try engine.run(parent)
    #expect(run.status == .failed)
    #expect(run.attempts(of: "task").map(\.errorType) == ["schedule-to-close"])
    #expect(run.attempts(of: "task").map(\.status) == [.timedOut])
    #expect(run.elapsed == .seconds(7))
  }

  @Test("a workflow that runs itself by name ends at a depth that is told")
  func depth() throws {
    let engine = try engine()
    var endless = Definition("endless")
    endless.task("t", handler: "say", input: ["name": "x"])
    try engine.deploy(endless)
    var again = Definition("endless")
    again.workflow("below", named: "endless")
    try engine.deploy(again)
    let run = try engine.run(again)
    #expect(run.status == .failed)
    var record = run.record()
    var depth = 1
    while let child = record.tasks[0].children.first { (record, depth) = (child, depth + 1) }
    #expect(depth == 8)
    #expect(record.tasks[0].attempts.map(\.errorType) == ["too-deep"])
  }

  @Test("what a child waits for is asked and answered through its parent's run")
  func waits() throws {
    let engine = try engine()
    var child = Definition("child", result: "ok")
    let go = child.wait("go", for: .signal("release"))
    child.wait("ok", for: .approval("Sure?"), dependencies: [go])
    var parent = Definition("parent")
    parent.workflow("deploy", of: child)
    let run = try engine.start(parent)
    #expect(throws: SignalError.noChild(task: "deploy")) { try run.signal("deploy/release") }
    engine.after(.seconds(1)) {
      #expect(run.waits.map(\.task) == ["deploy/go"])
      #expect(throws: SignalError.unknown(name: "relase", nearest: "release", known: ["release"])) { try run.signal("deploy/relase") }
      #expect(throws: Never.self) { try run.signal("deploy/release", 7) }
    }
    engine.after(.seconds(2)) {
      #expect(run.waits.map(\.task) == ["deploy/ok"])
      #expect(throws: Never.self) { try run.approve(task: "deploy/ok", by: "Ada") }
    }
    #expect(try run.finish() == .completed)
    #expect(run.task("deploy")?.children.first?.signals.map(\.task) == ["go"])
  }
}
