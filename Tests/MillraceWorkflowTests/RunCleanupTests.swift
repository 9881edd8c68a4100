import CMillrace
import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

@Suite struct RunCleanupTests {
  private func run(_ world: SteppedWorld, _ definition: Definition, _ parameters: [String: JSON] = [:]) throws -> WorkflowRun {
    try DefinitionChecker().check(definition)
    return try world.start(definition.resolve(parameters: parameters))
  }

  /// `first`, then `second` with `handler`, and a cleanup of two tasks that tell what they see.
  private func workflow(_ handler: String, onFailure: Definition.OnFailure = .failFast) -> Definition {
    var workflow = Definition("w", onFailure: onFailure)
    let first = workflow.task("first", handler: "json", input: 12)
    let second = workflow.task("second", handler: handler, dependencies: [first])
    workflow.task("third", handler: "json", dependencies: [second], input: 3)
    let tell = workflow.cleanup(
      "tell", handler: "show",
      input: [
        "run": "${run.status}", "first": "${tasks.first.output ?? 'none'}", "second": "${tasks.second.status}",
        "third": "${tasks.third.status}",
        "output": "${tasks.second.output ?? 'none'}",
      ])
    workflow.cleanup("after", handler: "show", dependencies: [tell], input: "${tasks.tell.status}")
    return workflow
  }

  @Test("cleanup tasks run after all others, see what became of them, and the run ends with them")
  func completed() throws {
    let world = try RunExpressionTests.world()
    let run = try run(world, workflow("json"))
    for _ in 0..<3 { world.step() }
    #expect(run.status == .running)
    #expect(run.progress().completed == 3)
    #expect(run.progress().tasks == 5)
    world.drain()
    #expect(run.status == .completed)
    #expect(
      run.text("tell")
        == #"{"run":"COMPLETED","first":12,"second":"COMPLETED","third":"COMPLETED","output":null}"#
        .replacing(#""output":null"#, with: #""output":"none""#))
    #expect(run.text("after")?.hasPrefix(#""COMPLETED"|{"run""#) == true)
    #expect(run.accounts == [5, 0, 0, 0])
    let record = run.record(slots: 1, threads: 1)
    #expect(record.tasks.map(\.id) == ["first", "second", "third", "tell", "after"])
    #expect(record.tasks[3].dependencies == [2])
    #expect(record.tasks[4].dependencies == [3])
    #expect(record.tasks.allSatisfy { $0.status == .completed && $0.ready != nil })
    #expect(world.host.activeRuns.isEmpty)
  }

  @Test("they run after a failure, whatever it does to the others, and the run stays failed", arguments: Definition.OnFailure.allCases)
  func failed(onFailure: Definition.OnFailure) throws {
    let world = try RunExpressionTests.world()
    let run = try run(world, workflow("fail", onFailure: onFailure))
    world.drain()
    #expect(run.status == .failed)
    #expect(
      run.text("tell") == #"{"run":"FAILED","first":12,"second":"FAILED","third":"SKIPPED","output":"none"}"#)
    #expect(run.accounts == [3, 1, 1, 0])
  }

  @Test("they run after a cancellation, and cancelling once more does not stop them")
  func cancelled() throws {
    let world = try RunExpressionTests.world()
    let run = try run(world, workflow("json"))
    world.step()
    run.cancel()
    while run.verdict == nil { world.step() }
    run.cancel()
    world.drain()
    #expect(run.status == .cancelled)
    #expect(
      run.text("tell") == #"{"run":"CANCELLED","first":12,"second":"CANCELLED","third":"CANCELLED","output":"none"}"#)
    #expect(run.accounts == [3, 0, 0, 2])
  }

  @Test("a run that is cancelled while its cleanup goes on stays what it was")
  func cancelledLate() throws {
    let world = try RunExpressionTests.world()
    let run = try run(world, workflow("json"))
    while run.verdict == nil { world.step() }
    run.cancel()
    world.drain()
    #expect(run.status == .completed)
  }

  @Test("a cleanup task that fails makes a completed run failed; the others of the cleanup go on, its dependents are skipped")
  func failingCleanup() throws {
    let world = try RunExpressionTests.world()
    var workflow = Definition("w")
    workflow.task("a", handler: "json", input: 1)
    let broken = workflow.cleanup("broken", handler: "fail")
    workflow.cleanup("after", handler: "json", dependencies: [broken], input: 1)
    workflow.cleanup("other", handler: "json", input: 2)
    let run = try run(world, workflow)
    world.drain()
    #expect(run.status == .failed)
    let record = run.record(slots: 1, threads: 1)
    #expect(record.tasks.map(\.status) == [.completed, .failed, .skipped, .completed])
    #expect(record.tasks[2].cause == "broken")
  }

  @Test("cleanup tasks have conditions, retries and timeouts of their own")
  func policies() throws {
    let world = try RunExpressionTests.world()
    world.handler("never") { call in
      _ = call.token()
      return call.end(MILLRACE_PENDING)
    }
    var workflow = Definition("w")
    workflow.task("a", handler: "fail")
    workflow.cleanup("off", handler: "json", when: "${run.status == 'COMPLETED'}")
    workflow.cleanup("again", handler: "flaky", input: 1, retry: RetryPolicy(attempts: 2, initial: 1_000))
    workflow.cleanup("slow", handler: "never", timeouts: Timeouts(scheduleToClose: 5_000_000_000))
    let run = try run(world, workflow)
    world.drain()
    while world.passToNextTimer() != nil {}
    #expect(run.status == .failed)
    let record = run.record(slots: 1, threads: 1)
    #expect(record.tasks.map(\.status) == [.failed, .skipped, .completed, .timedOut])
    #expect(record.tasks[3].attempts.last?.end == 5_000_000_000)
    #expect(world.timers.count == 0)
  }

  @Test("an engine that ends before or during the cleanup leaves no task without an end")
  func abandoned() throws {
    for steps in [0, 1, 3, 4] {
      let world = try RunExpressionTests.world()
      let run = try run(world, workflow("json"))
      for _ in 0..<steps { world.step() }
      if steps >= 3 { while run.verdict == nil { world.step() } }
      world.host.endRuns()
      #expect(run.status == (steps < 3 ? .cancelled : .failed), "\(steps)")
      #expect(run.accounts.reduce(0, +) == 5)
      #expect(world.host.activeRuns.isEmpty)
    }
  }

  @Test("a cleanup for which there is no room is told, and fails the run")
  func noRoom() throws {
    let world = try SteppedWorld(capacity: 8)
    world.handler("h") { call in call.end(MILLRACE_DONE) }
    var workflow = Definition("w")
    workflow.task("a", handler: "h")
    for i in 0..<64 { workflow.cleanup("c\(i)", handler: "h") }
    let run = try run(world, workflow)
    world.drain()
    #expect(run.status == .failed)
    #expect(run.accounts == [1, 0, 0, 64])
    #expect(world.logged.first?.contains("its cleanup tasks do not start") == true)
  }
}
