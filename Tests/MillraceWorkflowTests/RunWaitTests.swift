import Testing

@testable import MillraceCore
@testable import MillraceWorkflow

private let ms: UInt64 = 1_000_000
private let day: UInt64 = 86_400_000_000_000

/// Waits on one thread and a virtual clock.
@Suite struct RunWaitTests {
  private func world(slots: Int = 1) throws -> SteppedWorld {
    let world = try SteppedWorld(slots: slots)
    world.handler("echo") { call in call.done(call.input(1)) }
    return world
  }

  private func waiting(_ wait: Wait, _ timeouts: Timeouts = Timeouts()) -> Definition {
    var workflow = Definition("w", onFailure: .continue)
    let waits = workflow.wait("waits", for: wait, timeouts: timeouts)
    workflow.task("after", handler: "echo", dependencies: [waits])
    return workflow
  }

  @Test("a signal that comes before and one that comes after: each task takes one, first in first out")
  func signals() throws {
    let world = try world()
    var workflow = Definition("w")
    for i in 0..<3 { workflow.wait("s\(i)", for: .signal("release")) }
    workflow.wait("other", for: .signal("other"))
    let run = try world.start(workflow)
    try run.signal("release", Array("1".utf8))
    world.pass(ms)
    try run.signal("release", Array("2".utf8))
    try run.signal("release", Array("3".utf8))
    try run.signal("release", Array("4".utf8))
    world.drain()
    #expect((0..<3).compactMap { run.text("s\($0)") }.sorted() == ["1", "2", "3"])
    #expect(run.status == .running)
    #expect(run.waits.map(\.task) == ["other"])
    #expect(run.waits.map(\.wait) == [.signal("other")])
    try run.signal("other", Array("null".utf8))
    world.drain()
    #expect(run.status == .completed)
    let record = run.record(slots: 1, threads: 1)
    #expect(record.signals.map(\.name) == ["release", "release", "release", "release", "other"])
    #expect(record.signals.map(\.time) == [0, ms, ms, ms, ms])
    #expect(record.signals.map { $0.task == nil } == [false, false, false, true, false])
    #expect(throws: SignalError.ended) { try run.signal("release", []) }
  }

  @Test("a name that no task waits for is refused with the nearest; so is what is too much")
  func refused() throws {
    let world = try world()
    let run = try world.start(waiting(.signal("release")))
    #expect(throws: SignalError.unknown(name: "relaese", nearest: "release", known: ["release"])) { try run.signal("relaese", []) }
    let big = [UInt8](repeating: 0x31, count: 16 << 20)
    for _ in 0..<4 { try run.signal("release", big) }
    #expect(throws: SignalError.tooLarge(limit: 64 << 20)) { try run.signal("release", [0x31]) }
    let none = try world.start(waiting(.duration("1s")))
    #expect(throws: SignalError.unknown(name: "x", nearest: nil, known: [])) { try none.signal("x", []) }
    let many = try world.start(waiting(.signal("x")))
    for _ in 0..<Mailbox.maximumKept { try many.signal("x", [0x31]) }
    #expect(throws: SignalError.full(signals: Mailbox.maximumKept)) { try many.signal("x", [0x31]) }
  }

  @Test("a wait that timed out takes no signal: the next one gets it")
  func lateWait() throws {
    let world = try world()
    var workflow = Definition("w", onFailure: .continue)
    workflow.wait("short", for: .signal("s"), timeouts: Timeouts(startToClose: ms))
    workflow.wait("long", for: .signal("s"))
    let run = try world.start(workflow)
    world.drain()
    world.pass(ms)
    try run.signal("s", Array("7".utf8))
    world.drain()
    #expect(run.text("long") == "7")
    #expect(run.accounts == [1, 1, 0, 0])
    #expect(run.record(slots: 1, threads: 1).signals.map(\.task) == ["long"])
  }

  @Test("a duration ends at its nanosecond, whatever the wall clock does; its output is null")
  func duration() throws {
    let world = try world()
    let wall = Left<Int64>(0)
    world.host.wall = { wall.value }
    let run = try world.start(waiting(.duration("30d")))
    world.drain()
    wall.value = Int64(90 * day)
    world.pass(30 * day - 1)
    #expect(run.status == .running)
    #expect(run.waits == [OpenWait(task: "waits", wait: .duration("30d"), since: 0)])
    world.pass(1)
    #expect(run.status == .completed)
    #expect(run.text("waits") == "null")
    #expect(world.timers.count == 0)
  }

  @Test("a time is met by the wall clock: set forward it ends within a minute, set back it waits on, and one that is past is no wait")
  func until() throws {
    let world = try world()
    let step = Left<Int64>(0)
    world.host.wall = { [clock = world.clock] in Int64(clock.now - SteppedWorld.start) + step.value }
    let time = Wait.until("1970-01-02T00:00:00Z")
    let run = try world.start(waiting(time))
    let forward = try world.start(waiting(time))
    world.drain()
    step.value = -Int64(3_600_000 * ms)
    world.pass(day)
    #expect(run.status == .running)
    world.pass(3_600_000 * ms - 1)
    #expect(run.status == .running)
    world.pass(1)
    #expect(run.status == .completed)
    #expect(forward.status == .completed)
    let past = try world.start(waiting(time))
    world.drain()
    #expect(past.status == .completed)
    #expect(past.elapsed == 0)

    let late = try world.start(waiting(.until("1970-02-02T00:00:00Z")))
    world.drain()
    step.value = Int64(60 * day)
    world.pass(60_000 * ms)
    #expect(late.status == .completed)
    #expect(world.timers.count == 0)
  }

  @Test("times and durations may be expressions; what they give must be one")
  func expressions() throws {
    let world = try world()
    world.handler("times") { call in call.done("{\"at\": \"1970-01-01T00:00:05Z\", \"long\": \"2s\", \"bad\": 7}", 1) }
    world.host.wall = { [clock = world.clock] in Int64(clock.now - SteppedWorld.start) }
    var workflow = Definition("w", onFailure: .continue)
    let times = workflow.task("times", handler: "times")
    workflow.wait("until", for: .until("${tasks.times.output.at}"), dependencies: [times])
    workflow.wait("for", for: .duration("${tasks.times.output.long}"), dependencies: [times])
    workflow.wait("bad-until", for: .until("${tasks.times.output.bad}"), dependencies: [times])
    workflow.wait("bad-for", for: .duration("${tasks.times.output.bad}"), dependencies: [times])
    workflow.wait("asks", for: .approval("Go at ${tasks.times.output.at}?"), dependencies: [times])
    let run = try world.start(workflow.resolve())
    world.drain()
    #expect(run.waits.map(\.wait) == [.until("1970-01-01T00:00:05Z"), .duration("2s"), .approval("Go at 1970-01-01T00:00:05Z?")])
    while world.passToNextTimer() != nil {}
    #expect(run.attempts(1).map(\.end) == [5_000 * ms])
    #expect(run.attempts(2).map(\.end) == [2_000 * ms])
    #expect(run.attempts(3).map(\.errorType) == ["bad-time"])
    #expect(run.attempts(4).map(\.errorType) == ["bad-duration"])
    #expect(run.waits.map(\.task) == ["asks"])
  }

  @Test("an approval's output names who said yes; a no fails the task; who answers too early, too late or the wrong task is told")
  func approvals() throws {
    let world = try world()
    var workflow = Definition("w", onFailure: .continue)
    let first = workflow.wait("first", for: .approval("Go?"))
    workflow.wait("second", for: .approval("Sure?"), dependencies: [first])
    workflow.wait("other", for: .duration("1d"))
    let run = try world.start(workflow)
    world.drain()
    #expect(throws: ApprovalError.notWaiting(task: "second", status: .pending)) { try run.answer("second", Answer(isApproved: true)) }
    #expect(throws: ApprovalError.noApproval(task: "other")) { try run.answer("other", Answer(isApproved: true)) }
    #expect(throws: ApprovalError.unknownTask(id: "fist", nearest: "first")) { try run.answer("fist", Answer(isApproved: true)) }
    try run.answer("first", Answer(isApproved: true, by: "Ada", comment: "fine"))
    #expect(throws: ApprovalError.notWaiting(task: "first", status: .completed)) { try run.answer("first", Answer(isApproved: true)) }
    world.drain()
    #expect(run.text("first") == "{\"approved\":true,\"by\":\"Ada\",\"comment\":\"fine\"}")
    try run.answer("second", Answer(isApproved: false, by: "Bob"))
    world.pass(day)
    #expect(run.status == .failed)
    let tasks = run.record(slots: 1, threads: 1).tasks
    #expect(tasks[1].attempts.map(\.errorType) == ["rejected"])
    #expect(tasks[1].attempts.map(\.message) == ["rejected by Bob"])
    #expect(tasks.map(\.answer) == [Answer(isApproved: true, by: "Ada", comment: "fine"), Answer(isApproved: false, by: "Bob"), nil])
    #expect(tasks.map(\.handler) == ["wait", "wait", "wait"])
  }

  @Test("cancelling ends waits of every kind, and leaves no timer; cleanup tasks may wait as well")
  func cancels() throws {
    let world = try world()
    var workflow = Definition("w")
    for (i, wait) in [Wait.signal("s"), .duration("30d"), .until("2200-01-01T00:00:00Z"), .approval("?")].enumerated() {
      workflow.wait("w\(i)", for: wait)
    }
    workflow.cleanup = [TaskDefinition("last", wait: .signal("s"))]
    let run = try world.start(workflow)
    world.drain()
    #expect(run.waits.count == 4)
    run.cancel()
    world.drain()
    #expect(run.waits.map(\.task) == ["last"])
    #expect(world.timers.count == 0)
    try run.signal("s", Array("null".utf8))
    world.drain()
    #expect(run.status == .cancelled)
    #expect(run.accounts == [1, 0, 0, 4])
  }

  @Test("ten thousand wait for signals with one slot, and each gets its own")
  func many() throws {
    let world = try world()
    var workflow = Definition("w")
    for i in 0..<10_000 { workflow.wait("t\(i)", for: .signal("s")) }
    let run = try world.start(workflow)
    world.drain()
    #expect(run.waits.count == 10_000)
    #expect(world.scheduler.freeSlots == 1)
    for i in 0..<10_000 { try run.signal("s", Array("\(i)".utf8)) }
    world.drain()
    #expect(run.status == .completed)
    #expect(Set((0..<10_000).compactMap { run.text("t\($0)").flatMap(Int.init) }) == Set(0..<10_000))
  }

  @Test(
    "signals from many threads, waits that time out, and a run that is cancelled: each signal is taken once, by a task that completed with it, or kept"
  )
  func races() async throws {
    for round in 0..<12 {
      let world = try SteppedWorld(slots: 2)
      var workflow = Definition("w", onFailure: .continue)
      let count = 300
      for i in 0..<count {
        workflow.wait(
          "t\(i)", for: .signal(i % 2 == 0 ? "a" : "b"), timeouts: Timeouts(scheduleToClose: i % 3 == 0 ? UInt64(1 + i % 7) * ms : nil))
      }
      let run = try world.start(workflow)
      let sent = Lines()
      await withTaskGroup(of: Void.self) { group in
        for thread in 0..<3 {
          group.addTask {
            var number = 0
            while run.status == .running {
              let payload = "\(thread * 1_000_000 + number)"
              do throws(SignalError) {
                try run.signal(number % 2 == 0 ? "a" : "b", Array(payload.utf8))
                sent.append(payload)
              } catch { return }
              number += 1
              if number % 8 == 0 { await Task.yield() }
            }
          }
        }
        group.addTask {
          var passes = 0
          while run.status == .running {
            world.pass(ms / 4)
            passes += 1
            if round % 3 == 2, passes == 5 { run.cancel() }
            await Task.yield()
          }
        }
      }
      let taken = (0..<count).compactMap { run.text("t\($0)") }
      #expect(Set(taken).count == taken.count)
      #expect(Set(taken).isSubset(of: Set(sent.all)))
      let signals = run.record(slots: 1, threads: 1).signals
      #expect(signals.count == sent.all.count)
      let takers = signals.compactMap(\.task)
      #expect(Set(takers).count == takers.count)
      #expect(Set(takers) == Set((0..<count).map { "t\($0)" }.filter { run.text($0) != nil }))
      #expect(run.progress().finished == count)
      #expect(world.timers.count == 0)
    }
  }
}
