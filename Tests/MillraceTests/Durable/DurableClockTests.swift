import CMillrace
import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// What waits for a time, with the clocks set between two engines.
@Suite(.serialized, .timeLimit(.minutes(5))) struct DurableClockTests {
  private static let hour: Int64 = 3600
  /// Wall time at which the runs begin.
  private static let begin: Int64 = 500_000 * hour

  /// The clocks when the second engine comes: which of them tells the truth, what it says, and how far off the other one is.
  struct Restart: CustomTestStringConvertible, Sendable {
    var testDescription: String { "\(isSameBoot ? "same" : "other") boot, \(minutes) min later, the other clock off by \(hours) h" }
    var isSameBoot: Bool
    var minutes: Int64
    var hours: Int64

    func pass(_ clocks: MachineClocks) {
      let passed = minutes * 60
      let off = passed + hours * hour
      clocks.pass(wall: isSameBoot ? off : passed, boot: isSameBoot ? passed : off, reboots: !isSameBoot)
    }
  }

  /// 30 minutes: nothing is due; 61: all that waits for an hour is; 100: the time of what has 90 minutes is over as well.
  static let restarts = [true, false].flatMap { isSameBoot in
    [30, 61, 100].flatMap { minutes in [-5, 0, 5].map { Restart(isSameBoot: isSameBoot, minutes: minutes, hours: $0) } }
  }

  private func register(_ engine: Engine, _ effects: Effects) throws {
    try engine.register("do") { (_: JSON, context: TaskContext) -> Int in
      effects.note(context.key)
      return 1
    }
    try engine.register("fail") { (_: JSON, _: TaskContext) throws -> Int in throw TaskFailure("refused", "as ever", isRetryable: false) }
    try engine.register("later") { (_: JSON, context: TaskContext) throws -> Int in
      effects.note(context.key)
      if context.attempt == 1 { throw TaskFailure("busy", "in an hour", retryAfter: .seconds(Self.hour)) }
      return context.attempt
    }
  }

  /// Many: two timers of each are due at once.
  private static let limited = (0..<16).map { "limited-\($0)" }
  private static let twice = RetryPolicy(attempts: 2)

  private var workflow: Definition {
    var workflow = Definition("waits", durability: .log)
    workflow.onFailure = .continue
    workflow.task("again", handler: "later", retry: Self.twice)
    for task in Self.limited {
      workflow.task(task, handler: "later", retry: Self.twice, timeouts: Timeouts(scheduleToClose: 5400 * 1_000_000_000))
    }
    workflow.wait("pause", for: .lasting(.seconds(Self.hour)))
    workflow.wait("open", for: .signal("end"))
    return workflow
  }

  /// What its process leaves: all that waits does so.
  private func left(_ definition: Definition, _ clocks: MachineClocks, _ store: MemoryEventStore, _ effects: Effects, retries: Int) throws
    -> String
  {
    let engine = try clocks.engine(store) { try register($0, effects) }
    let run = try engine.start(definition)
    let deadline = Clock.monotonic.now + 60_000_000_000
    wait(store, "task-retry-scheduled", retries)
    while run.waits.count < definition.tasks.count - retries,
      Clock.monotonic.now < deadline
    { _ = run.wait(nanoseconds: 200_000) }
    engine.shutdown()
    #expect(run.wait() == .running)
    return run.id
  }

  /// Waits until there are so many events of a type.
  private func wait(_ store: MemoryEventStore, _ type: String, _ count: Int) {
    let deadline = Clock.monotonic.now + 60_000_000_000
    while store.all.count(where: { $0.type == type }) < count, Clock.monotonic.now < deadline { millrace_yield() }
  }

  @Test(
    "on the same boot its clock decides what is due, on another one the wall clock; the other may say what it likes", arguments: restarts)
  func workflow(restart: Restart) throws {
    let (clocks, effects) = (MachineClocks(wall: Self.begin), Effects())
    let store = MemoryEventStore { clocks.wall }
    let id = try left(workflow, clocks, store, effects, retries: 1 + Self.limited.count)
    restart.pass(clocks)
    let engine = try clocks.engine(store) { try register($0, effects) }
    let run = try engine.resume(id)
    let (isDue, isTooLate) = (restart.minutes > 60, restart.minutes > 90)
    if isDue { wait(store, "task-completed", isTooLate ? 2 : 2 + Self.limited.count) }
    if isTooLate { wait(store, "task-failed", Self.limited.count) }
    try engine.settle()
    let statuses = Dictionary(uniqueKeysWithValues: run.record().tasks.map { ($0.id, $0.status) })
    #expect(statuses["again"] == (isDue ? .completed : .pending))
    #expect(statuses["pause"] == (isDue ? .completed : .running))
    for task in Self.limited {
      #expect(statuses[task] == (isTooLate ? .timedOut : isDue ? .completed : .pending))
      #expect(effects.count("\(id)/\(task)") == (isDue && !isTooLate ? 2 : 1))
    }
    #expect(effects.count("\(id)/again") == (isDue ? 2 : 1))
    if !isDue {
      // They are due when the rest of their hour is over, to the second; the test itself takes some.
      let moment = run.run.moment()
      for index in [0, 1] {
        let rest = try #require(moment.tasks[index]?.retryAt) - run.progress().elapsed
        #expect(rest > 1700 * 1_000_000_000 && rest <= 1800 * 1_000_000_000, "\(rest)")
      }
    }
    engine.shutdown()

    // Each comes once, wherever the clocks are next.
    clocks.pass(wall: -20 * Self.hour, boot: -20 * Self.hour, reboots: true)
    let third = try clocks.engine(store) { try register($0, effects) }
    let before = effects.all
    let last = try third.resume(id)
    try third.settle()
    if isDue {
      #expect(effects.all.filter { before[$0.key] != nil } == before)
      try last.signal("end")
      #expect(last.wait(nanoseconds: 60_000_000_000) == (isTooLate ? .failed : .completed))
    }
    third.shutdown()
  }

  @Test(
    "what closed while no process was there is timed out, and its handler is not called again",
    arguments: restarts.filter { $0.minutes > 60 })
  func closed(restart: Restart) throws {
    let (clocks, effects, door) = (MachineClocks(wall: Self.begin), Effects(), Door())
    let limit = Timeouts(scheduleToClose: 5400 * 1_000_000_000)
    var workflow = Definition("closed", durability: .log)
    workflow.onFailure = .continue
    workflow.wait("long", for: .lasting(.seconds(3 * Self.hour)), timeouts: limit)
    workflow.task("stuck", handler: "stuck", retry: Self.twice, timeouts: limit)
    let register = { (engine: Engine) in
      try engine.register("do") { (_: JSON, _: TaskContext) -> Int in 1 }
      try engine.register("stuck", blocking: true) { (_: JSON, context: TaskContext) -> Int in
        effects.note(context.key)
        door.pass()
        return 1
      }
    }
    let store = MemoryEventStore { clocks.wall }
    let first = try clocks.engine(store, register)
    let id = try first.start(workflow).id
    #expect(door.wait(for: 1))
    wait(store, "task-started", 2)
    // As a crash leaves it.
    let cut = DurableWorld().store(store.all)
    door.open()
    first.shutdown()
    restart.pass(clocks)
    let engine = try clocks.engine(cut, register)
    let run = try engine.resume(id)
    let isTooLate = restart.minutes > 90
    wait(cut, isTooLate ? "task-failed" : "task-completed", isTooLate ? 2 : 1)
    try engine.settle()
    let statuses = Dictionary(uniqueKeysWithValues: run.record().tasks.map { ($0.id, $0.status) })
    #expect(statuses == (isTooLate ? ["long": .timedOut, "stuck": .timedOut] : ["long": .running, "stuck": .completed]))
    #expect(effects.count("\(id)/stuck") == (isTooLate ? 1 : 2))
    engine.shutdown()
  }

  private var saga: Definition {
    var saga = Definition(saga: "order", durability: .log)
    let root = saga.step("root", handler: "do", compensation: Compensation(handler: "later", retry: Self.twice))
    let again = saga.step("again", handler: "later", dependencies: [root], compensation: .notNeeded, retry: Self.twice)
    saga.step("bad", handler: "fail", dependencies: [again], compensation: .notNeeded)
    return saga
  }

  @Test("a step of a saga, and what undoes one, wait in the same way", arguments: restarts.filter { $0.minutes < 100 })
  func saga(restart: Restart) throws {
    let (clocks, effects) = (MachineClocks(wall: Self.begin), Effects())
    let store = MemoryEventStore { clocks.wall }
    let first = try clocks.engine(store) { try register($0, effects) }
    let id = try first.start(saga).id
    wait(store, "task-retry-scheduled", 1)
    first.shutdown()
    for (key, waits) in [("\(id)/again", 2), ("\(id)/root/c", 3)] {
      #expect(effects.count(key) == 1)
      restart.pass(clocks)
      if restart.minutes < 60 {
        let engine = try clocks.engine(store) { try register($0, effects) }
        #expect(try engine.resume().handles.map(\.id) == [id])
        try engine.settle()
        engine.shutdown()
        #expect(effects.count(key) == 1)
        var rest = restart
        rest.minutes = 31
        rest.hours *= -1
        rest.pass(clocks)
      }
      let engine = try clocks.engine(store) { try register($0, effects) }
      let run = try engine.resume(id)
      if waits == 2 {
        wait(store, "task-retry-scheduled", waits)
      } else {
        #expect(run.wait() == .failed && run.saga?.status == .compensated)
      }
      engine.shutdown()
      #expect(effects.count(key) == 2)
    }
    #expect(effects.count("\(id)/root") == 1)
  }
}
