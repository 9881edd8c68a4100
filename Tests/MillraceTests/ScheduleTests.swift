import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// A wall clock that a test sets.
private final class Wall: @unchecked Sendable {
  private let monitor = Monitor()
  private var now: Int64

  init(_ text: String) { now = UTCTime(text)!.seconds * 1_000_000_000 }

  deinit { monitor.deallocate() }

  func read() -> Int64 { monitor.locked { now } }
  func set(_ text: String) { monitor.locked { now = UTCTime(text)!.seconds * 1_000_000_000 } }
}

/// What a schedule told, in order; waits for it for at most a minute.
private final class Diary: @unchecked Sendable {
  private let monitor = Monitor()
  private var fires: [String] = []
  private var refusals: [String] = []
  private var runs: [WorkflowHandle] = []

  deinit { monitor.deallocate() }

  func write(_ event: ScheduledWorkflow.Event) {
    monitor.locked {
      switch event {
      case .started(let fire, let run):
        fires.append(String(fire.description.dropLast(4).dropFirst(5)))
        runs.append(run)
      case .refused(_, let error): refusals.append("\(error)")
      }
      monitor.broadcast(.ended)
    }
  }

  /// The first so many fires; fewer, if they do not come within a minute.
  func started(_ count: Int) -> [String] { wait { fires.count >= count ? Array(fires.prefix(count)) : nil } ?? monitor.locked { fires } }
  func refused() -> String? { wait { refusals.first } }
  func run(_ index: Int) -> WorkflowHandle? { wait { index < runs.count ? runs[index] : nil } }
  var count: Int { monitor.locked { fires.count } }

  private func wait<Value>(_ value: () -> Value?) -> Value? {
    let deadline = millrace_monotonic() + 60_000_000_000
    return monitor.locked {
      while true {
        if let value = value() { return value }
        if !monitor.wait(.ended, until: deadline), value() == nil { return nil }
      }
    }
  }
}

@Suite("Engine.schedule", .timeLimit(.minutes(5)))
struct ScheduleTests {
  private static func hourly(_ change: (inout Schedule) -> Void = { _ in }) throws -> Definition {
    var schedule = try Schedule.cron("@hourly")
    change(&schedule)
    var workflow = Definition("hourly", parameters: [.init("when", fallback: .null)], result: "task", schedule: schedule)
    workflow.task("task", handler: "work", input: "${params.when}")
    return workflow
  }

  /// An engine that follows `wall`; "work" gives back its input once the door is open.
  private static func follower(_ wall: Wall, _ door: Door? = nil) throws -> Engine {
    let engine = try engine { $0.wallClock = { wall.read() } }
    try engine.register("work", blocking: true) { call in
      if let door, !door.pass() { throw TaskFailure("shut", "the door stayed shut") }
      if call.isCancelled { throw CancellationError() }
      return .json(try call.input)
    }
    return engine
  }

  @Test("a run is started for each fire, with the parameters of its time")
  func fires() throws {
    let (wall, diary) = (Wall("2026-01-01T10:30"), Diary())
    let engine = try Self.follower(wall)
    let workflow = try Self.hourly { $0.parameters = [.init("when", "${schedule.time}")] }
    let scheduled = try engine.schedule(workflow) { diary.write($0) }
    #expect(scheduled.nextFire == UTCTime("2026-01-01T11:00"))
    for hour in 11...13 {
      wall.set("2026-01-01T\(hour):00")
      scheduled.checkClock()
      #expect(diary.started(hour - 10).last == "01-01T\(hour):00")
      let run = try #require(diary.run(hour - 11))
      #expect(run.wait() == .completed)
      #expect(run.result == .string("2026-01-01T\(hour):00:00Z"))
    }
    #expect(scheduled.state.handled == UTCTime("2026-01-01T13:00"))
    engine.shutdown()
    #expect(scheduled.nextFire == nil)
  }

  @Test("the engine's timer starts a run without anybody's doing")
  func timer() throws {
    let diary = Diary()
    // A clock that runs, a moment before a fire.
    let (begin, base) = (millrace_monotonic(), UTCTime("2026-01-01T11:00")!.seconds * 1_000_000_000 - 20_000_000)
    let engine = try engine { $0.wallClock = { base + Int64(millrace_monotonic() - begin) } }
    try engine.register("work") { call in .json(try call.input) }
    let scheduled = try engine.schedule(try Self.hourly(), state: ScheduleState(handled: UTCTime("2026-01-01T10:00")!)) { diary.write($0) }
    #expect(diary.started(1) == ["01-01T11:00"])
    #expect(scheduled.nextFire == UTCTime("2026-01-01T12:00"))
    engine.shutdown()
  }

  @Test("what was missed in a pause, or before a restart, is treated as the schedule says", arguments: Schedule.Missed.allCases)
  func missed(_ policy: Schedule.Missed) throws {
    let (wall, diary) = (Wall("2026-01-01T10:30"), Diary())
    let engine = try Self.follower(wall)
    let workflow = try Self.hourly { $0.missed = policy }
    let scheduled = try engine.schedule(workflow, state: ScheduleState(handled: UTCTime("2026-01-01T07:00")!)) { diary.write($0) }
    let before = [Schedule.Missed.skip: [], .one: ["01-01T10:00"], .all: ["01-01T08:00", "01-01T09:00", "01-01T10:00"]][policy]!
    #expect(diary.started(before.count) == before)
    while scheduled.state.handled < UTCTime("2026-01-01T10:00")! { millrace_yield() }
    scheduled.pause()
    wall.set("2026-01-01T12:30")
    scheduled.checkClock()
    scheduled.resume()
    let after = [Schedule.Missed.skip: [], .one: ["01-01T12:00"], .all: ["01-01T11:00", "01-01T12:00"]][policy]!
    #expect(diary.started(before.count + after.count) == before + after)
    while scheduled.state.handled < UTCTime("2026-01-01T12:00")! { millrace_yield() }
    #expect(scheduled.passedOver == [Schedule.Missed.skip: 5, .one: 3, .all: 0][policy])
    engine.shutdown()
  }

  @Test(
    "a fire while the last run goes on is passed over, waits, takes its place, or starts beside it", arguments: Schedule.Overlap.allCases)
  func overlap(_ policy: Schedule.Overlap) throws {
    let (wall, diary, door) = (Wall("2026-01-01T10:30"), Diary(), Door())
    let engine = try Self.follower(wall, door)
    let scheduled = try engine.schedule(try Self.hourly { $0.overlap = policy }) { diary.write($0) }
    wall.set("2026-01-01T11:00")
    scheduled.checkClock()
    #expect(diary.started(1) == ["01-01T11:00"])
    #expect(door.wait(for: 1))
    wall.set("2026-01-01T12:00")
    scheduled.checkClock()
    while scheduled.state.handled < UTCTime("2026-01-01T12:00")! { millrace_yield() }
    switch policy {
    case .skip:
      #expect(scheduled.passedOver == 1 && scheduled.waitingFires == 0)
      door.open()
      #expect(diary.run(0)?.wait() == .completed)
      #expect(diary.count == 1)
    case .queue:
      #expect(scheduled.waitingFires == 1 && diary.count == 1)
      door.open()
      #expect(diary.started(2) == ["01-01T11:00", "01-01T12:00"])
      #expect(diary.run(0)?.status == .completed)
    case .cancel:
      door.open()
      #expect(diary.started(2) == ["01-01T11:00", "01-01T12:00"])
      #expect(diary.run(0)?.wait() == .cancelled)
    case .allow:
      #expect(diary.started(2) == ["01-01T11:00", "01-01T12:00"])
      #expect(scheduled.activeRuns.count == 2)
      door.open()
    }
    engine.shutdown()
  }

  @Test("a backfill starts a run for each fire of that time, in order, one after the other")
  func backfill() throws {
    let (wall, diary) = (Wall("2026-01-01T10:30"), Diary())
    let engine = try Self.follower(wall)
    let scheduled = try engine.schedule(try Self.hourly()) { diary.write($0) }
    #expect(try scheduled.backfill(UTCTime("2025-12-31T20:00")!..<UTCTime("2026-01-01T01:00")!) == 5)
    #expect(diary.started(5) == ["12-31T20:00", "12-31T21:00", "12-31T22:00", "12-31T23:00", "01-01T00:00"])
    for index in 0..<4 { #expect(diary.run(index)?.status == .completed) }
    #expect(throws: ScheduleError.self) { try scheduled.backfill(UTCTime("2020-01-01")!..<UTCTime("2026-01-01")!) }
    engine.shutdown()
  }

  @Test("a fire that cannot be started is told, and the next one is")
  func refused() throws {
    let (wall, diary) = (Wall("2026-01-01T10:30"), Diary())
    let engine = try Self.follower(wall)
    var workflow = try Self.hourly()
    workflow.parameters[0].fallback = nil
    #expect(throws: DefinitionError.self) { try engine.schedule(workflow) }
    workflow.schedule?.parameters = [.init("when", "${schedule.date}")]
    _ = try engine.schedule(workflow) { diary.write($0) }
    workflow.schedule = nil
    #expect(throws: EngineError.self) { try engine.schedule(workflow) }
    engine.shutdown()
    #expect(throws: EngineError.self) { try engine.schedule(try Self.hourly()) }
  }

  @Test("a schedule that was stopped starts nothing any more, and holds no timer")
  func stopped() throws {
    let (wall, diary) = (Wall("2026-01-01T10:30"), Diary())
    let engine = try Self.follower(wall)
    let first = try engine.schedule(try Self.hourly()) { diary.write($0) }
    let second = try engine.schedule(try Self.hourly()) { diary.write($0) }
    first.stop()
    first.stop()
    wall.set("2026-01-01T11:00")
    first.checkClock()
    second.checkClock()
    #expect(diary.started(1) == ["01-01T11:00"])
    #expect(diary.run(0)?.wait() == .completed)
    #expect(diary.count == 1 && first.nextFire == nil && first.state.handled == UTCTime("2026-01-01T10:30"))
    engine.shutdown()
  }

  @Test("letting go of the engine ends its schedules")
  func release() throws {
    let (wall, diary) = (Wall("2026-01-01T10:30"), Diary())
    var engine: Engine? = try Self.follower(wall)
    weak let gone = engine
    let scheduled = try engine?.schedule(try Self.hourly()) { diary.write($0) }
    engine = nil
    #expect(gone == nil)
    #expect(scheduled?.nextFire == nil)
  }
}
