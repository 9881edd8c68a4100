import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// Timeouts among real threads: what they promise to the nanosecond is shown by `RunTimeoutsTests`.
@Suite struct TimeoutsTests {
  @Test(
    "a run ends while its timed-out handlers still run; they read their inputs and answer as if nothing were, and change nothing",
    arguments: [false, true])
  func lateHandlers(blocking: Bool) throws {
    let door = Door()
    let read = Gauge()
    let engine = try engine(slots: 4, threads: 3)
    try engine.register("make") { _ in Payload(Array(repeating: 7, count: 50_000)) }
    try engine.register("late", blocking: blocking) { call in
      door.pass()
      // The run is over, and nobody holds it but we.
      if call.isCancelled, call.inputs.first?.bytes == Array(repeating: 7, count: 50_000) { read.enter() }
      return Payload(Array(repeating: 9, count: 70_000))
    }
    var workflow = Definition("w", onFailure: .continue)
    let make = workflow.task("make", handler: "make")
    for i in 0..<2 { workflow.task("late\(i)", handler: "late", dependencies: [make], timeouts: Timeouts(startToClose: 2_000_000)) }
    var run: WorkflowHandle? = try engine.start(workflow)
    #expect(run?.wait() == .failed)
    #expect(run?.accounts == [1, 2, 0, 0])
    #expect(run?.output(of: "late0") == nil)
    // The slots of the late ones are taken, the other two are not.
    #expect(try engine.start(Definition("other", tasks: [TaskDefinition("t", handler: "make")])).wait() == .completed)
    run = nil
    door.open()
    engine.shutdown()
    #expect(read.entries == 2)
  }

  @Test(
    "timeouts that strike at any point of an attempt: every task ends once, in one way, with the attempts that it was allowed",
    arguments: [false, true])
  func atAnyPoint(blocking: Bool) throws {
    let engine = try engine(slots: 6, threads: 2)
    try engine.register("race", blocking: blocking, concurrency: 4) { call in
      // From nothing to several times the timeout.
      let end = millrace_monotonic() + UInt64(call.key.utf8.reduce(7) { $0 &* 31 &+ Int($1) } & 0x1_FFFF)
      while millrace_monotonic() < end { call.heartbeat() }
      return .text(call.key)
    }
    let timeouts = [
      Timeouts(startToClose: 30_000), Timeouts(scheduleToStart: 200_000, startToClose: 60_000), Timeouts(scheduleToClose: 300_000),
      Timeouts(heartbeat: 20_000), Timeouts(scheduleToStart: 1_000_000, startToClose: 30_000, scheduleToClose: 500_000, heartbeat: 20_000),
    ]
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<600 {
      workflow.task(
        "t\(i)", handler: "race", retry: RetryPolicy(attempts: 3, initial: 10_000), timeouts: timeouts[i % timeouts.count],
        concurrencyKey: i % 7 == 0 ? "key" : nil)
    }
    for _ in 0..<3 {
      let run = try engine.start(workflow)
      #expect(run.wait(nanoseconds: 120_000_000_000) != nil)
      #expect(run.isAccounted())
      for task in run.record().tasks {
        #expect(task.attempts.map(\.number) == Array(1...max(1, task.attempts.count)))
        #expect(task.attempts.count <= 3)
        #expect(task.attempts.last?.status == task.status)
        #expect(task.attempts.dropLast().allSatisfy { $0.status == .timedOut })
        let output = run.output(of: task.id).map { String(decoding: $0, as: UTF8.self) }
        #expect(output == (task.status == .completed ? "\(run.id)/\(task.id)" : nil))
      }
    }
    engine.shutdown()
  }
}
