import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

@Suite struct CancellationTests {
  private static let names = ["quick", "door", "pool", "later"]

  /// An engine with a handler for each state in which a task can be when its run is cancelled.
  private func world(_ door: Door, slots: Int = 8) throws -> Engine {
    let engine = try engine(slots: slots)
    try engine.register("quick") { _ in .empty }
    try engine.register("door") { call in
      door.pass()
      if call.isCancelled { throw CancellationError() }
      return .empty
    }
    try engine.register("pool", blocking: true) { call in
      door.pass()
      if call.isCancelled { throw CancellationError() }
      return .empty
    }
    try engine.register("later") { _ in throw TaskFailure("later", "again", retryAfter: 3_600_000_000_000) }
    return engine
  }

  @Test(
    "tasks that run are asked to stop, in the pool as well; a wait for a retry ends; what has not begun is not begun; all is accounted for")
  func everywhere() throws {
    let door = Door()
    let engine = try world(door)
    var workflow = Definition("w", onFailure: .continue)
    let running = workflow.task("running", handler: "door")
    workflow.task("pool", handler: "pool")
    let waiting = workflow.task("waiting", handler: "later", retry: RetryPolicy())
    workflow.task("after-running", handler: "quick", dependencies: [running])
    workflow.task("after-waiting", handler: "quick", dependencies: [waiting])
    let run = try engine.start(workflow)
    #expect(door.wait(for: 2))
    while run.record().tasks[2].attempts.isEmpty || run.record().tasks[2].status != .pending { millrace_yield() }
    run.cancel()
    run.cancel()
    #expect(run.status == .running)
    door.open()
    #expect(run.wait() == .cancelled)
    #expect(run.accounts == [0, 0, 0, 5])
    #expect(run.isAccounted())
    #expect(run.record().tasks[2].attempts.map(\.errorType) == ["later"])
    engine.shutdown()
  }

  @Test("cancelling a run that has ended changes nothing")
  func afterEnd() throws {
    let engine = try world(Door())
    var workflow = Definition("w")
    workflow.task("t", handler: "quick")
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    run.cancel()
    #expect(run.status == .completed)
    #expect(run.isAccounted())
    engine.shutdown()
  }

  @Test("once cancel has returned no handler begins, but those that the workers had in hand")
  func nothingNew() throws {
    let begun = Gauge()
    let door = Door()
    let engine = try engine()
    try engine.register("count") { _ in
      begun.enter()
      if begun.entries == 50 { door.pass() }
      return .empty
    }
    var workflow = Definition("w")
    for i in 0..<10_000 { workflow.task("t\(i)", handler: "count") }
    let run = try engine.start(workflow)
    #expect(door.wait(for: 1))
    run.cancel()
    let atReturn = begun.entries
    door.open()
    #expect(run.wait() == .cancelled)
    #expect(begun.entries <= atReturn + engine.threads)
    #expect(run.progress().completed == begun.entries)
    #expect(run.isAccounted())
    engine.shutdown()
  }

  @Test("cancelled at any moment of its life, a run of every kind of task ends and is accounted for", arguments: 0..<60)
  func anyMoment(moment: Int) throws {
    let door = Door()
    door.open()
    let engine = try world(door, slots: 3)
    var workflow = Definition("w", onFailure: .continue)
    var before: [TaskReference] = []
    for i in 0..<40 {
      before = (0..<4).map { j in
        workflow.task(
          "t\(i)-\(j)", handler: Self.names[j], dependencies: j < 3 ? Array(before.prefix(3)) : [], retry: j == 3 ? RetryPolicy() : nil,
          timeouts: j == 1 ? Timeouts(scheduleToStart: 1_000_000, startToClose: 1_000_000, scheduleToClose: 2_000_000) : Timeouts())
      }
    }
    let run = try engine.start(workflow)
    // The moment is a place in the run, not on the clock.
    while run.progress().finished < moment * 2, run.progress().finished < 120 { millrace_yield() }
    run.cancel()
    #expect(run.wait() == .cancelled)
    #expect(run.isAccounted())
    engine.shutdown()
  }

  @Test("a failing fan of 10,000: fail-fast cancels the rest, `continue` skips what needs a failed task; all is accounted for")
  func failingFan() throws {
    let engine = try engine()
    try engine.register("fine") { _ in .empty }
    try engine.register("bad") { call in throw TaskFailure("bad", call.taskID, isRetryable: false) }
    for (mode, expected) in [(Definition.OnFailure.continue, [1, 10_000, 1, 0]), (.failFast, nil)] {
      var workflow = Definition("fan", onFailure: mode)
      let root = workflow.task("root", handler: "fine")
      let fan = (0..<10_000).map { workflow.task("f\($0)", handler: "bad", dependencies: [root]) }
      workflow.task("join", handler: "fine", dependencies: fan)
      let run = try engine.start(workflow)
      #expect(run.wait() == .failed)
      #expect(run.isAccounted())
      if let expected {
        #expect(run.accounts == expected)
        #expect(run.record().tasks.last?.cause?.hasPrefix("f") == true)
      } else {
        let accounts = run.accounts
        #expect(accounts[1] >= 1 && accounts[1] <= 1 + engine.threads)
        #expect(accounts[0] == 1)
      }
    }
    engine.shutdown()
  }
}
