import MillraceWorkflow
import Testing

/// What is done about fires at a look at the clock: all of it values, no clock.
@Suite struct ScheduleStateTests {
  private static let hourly = try! Schedule.cron("@hourly")

  private static func time(_ text: String) -> UTCTime { UTCTime(text)! }

  /// Nanoseconds since 1970.
  private static func clock(_ text: String, plus milliseconds: Int64 = 0) -> Int64 {
    time(text).seconds * 1_000_000_000 + milliseconds * 1_000_000
  }

  private static func texts(_ times: [UTCTime]) -> [String] { times.map { String($0.description.dropFirst(11).prefix(5)) } }

  @Test("a fire is due once, at its moment, and the next look is told")
  func onTime() {
    var state = ScheduleState(handled: Self.time("2026-01-01T10:00"))
    var look = state.look(Self.hourly, name: "w", now: Self.clock("2026-01-01T10:59:59", plus: 999))
    #expect(look.fires.isEmpty && look.madeUp.isEmpty && look.passedOver == 0)
    #expect(look.wake == Self.clock("2026-01-01T11:00"))
    look = state.look(Self.hourly, name: "w", now: Self.clock("2026-01-01T11:00"))
    #expect(Self.texts(look.fires) == ["11:00"])
    #expect(look.wake == Self.clock("2026-01-01T12:00"))
    #expect(state.look(Self.hourly, name: "w", now: Self.clock("2026-01-01T11:00", plus: 1)).fires.isEmpty)
    #expect(state.handled == Self.time("2026-01-01T11:00"))
  }

  @Test("missed fires are passed over, stood for by the latest, or made up one by one", arguments: Schedule.Missed.allCases)
  func missed(_ policy: Schedule.Missed) {
    var schedule = Self.hourly
    schedule.missed = policy
    schedule.catchUp = 3 * 3_600_000_000_000
    var state = ScheduleState(handled: Self.time("2026-01-01T10:00"))
    let look = state.look(schedule, name: "w", now: Self.clock("2026-01-01T16:30"))
    switch policy {
    case .skip: #expect(look.madeUp.isEmpty && look.passedOver == 6)
    case .one: #expect(Self.texts(look.madeUp) == ["16:00"] && look.passedOver == 5)
    case .all: #expect(Self.texts(look.madeUp) == ["14:00", "15:00", "16:00"] && look.passedOver == 3)
    }
    #expect(look.fires.isEmpty)
    #expect(state.handled == Self.time("2026-01-01T16:00"))
    #expect(look.wake == Self.clock("2026-01-01T17:00"))
  }

  @Test("where one is on time, it stands for the missed ones too", arguments: Schedule.Missed.allCases)
  func missedAndOnTime(_ policy: Schedule.Missed) {
    var schedule = Self.hourly
    schedule.missed = policy
    var state = ScheduleState(handled: Self.time("2026-01-01T10:00"))
    let look = state.look(schedule, name: "w", now: Self.clock("2026-01-01T13:00:59"))
    #expect(Self.texts(look.fires) == ["13:00"])
    #expect(Self.texts(look.madeUp) == (policy == .all ? ["11:00", "12:00"] : []))
    #expect(look.passedOver == (policy == .all ? 0 : 2))
  }

  @Test("what was missed before the window is not made up")
  func window() {
    var schedule = Self.hourly
    schedule.catchUp = 600_000_000_000
    var state = ScheduleState(handled: Self.time("2026-01-01T10:00"))
    let look = state.look(schedule, name: "w", now: Self.clock("2026-01-01T11:10:01"))
    #expect(look.madeUp.isEmpty && look.passedOver == 1)
    #expect(state.handled == Self.time("2026-01-01T11:00"))
  }

  @Test("an absence of thirty years by a schedule of seconds is looked at in a moment, and the latest thousand are made up")
  func longAbsence() {
    var schedule = Schedule(.interval(seconds: 1, days: CalendarRule()))
    schedule.missed = .all
    schedule.catchUp = 86_400_000_000_000
    var state = ScheduleState(handled: Self.time("1996-01-01"))
    let look = state.look(schedule, name: "w", now: Self.clock("2026-01-01"))
    #expect(look.madeUp.count == Schedule.maximumMadeUp)
    #expect(look.madeUp.last == Self.time("2025-12-31T23:58:59"))
    #expect(look.fires.count == 61)
    #expect(look.passedOver == Schedule.maximumMadeUp)
    #expect(state.handled == Self.time("2026-01-01"))
  }

  @Test("a clock that is set back a little repeats no fire, and one that was wrong by hours begins anew")
  func clockSetBack() {
    var state = ScheduleState(handled: Self.time("2026-01-01T12:00"))
    var look = state.look(Self.hourly, name: "w", now: Self.clock("2026-01-01T10:30"))
    #expect(look.fires.isEmpty && look.wake == Self.clock("2026-01-01T13:00"))
    look = state.look(Self.hourly, name: "w", now: Self.clock("2025-12-31T10:30"))
    #expect(look.fires.isEmpty && look.wake == Self.clock("2025-12-31T11:00"))
  }

  @Test("jitter delays a fire by the same at every look, spreads workflows, and never reaches the next fire")
  func jitter() {
    var schedule = Self.hourly
    schedule.jitter = 7_200_000_000_000
    let fires = (0..<200).map { UTCTime(seconds: Self.time("2026-01-01").seconds + $0 * 3_600) }
    let delays = fires.map { schedule.moment(of: $0, name: "a") - $0.seconds * 1_000_000_000 }
    #expect(delays.allSatisfy { 0..<3_600_000_000_000 ~= $0 })
    #expect(Set(delays).count == 200)
    #expect(delays == fires.map { schedule.moment(of: $0, name: "a") - $0.seconds * 1_000_000_000 })
    #expect(delays != fires.map { schedule.moment(of: $0, name: "b") - $0.seconds * 1_000_000_000 })
    // A uniform draw has its mean in the middle: 200 of them within 5 standard errors.
    let mean = Double(delays.reduce(0, +)) / 200 / 3.6e12
    #expect(abs(mean - 0.5) < 5 * 0.2887 / 200.0.squareRoot())
    var state = ScheduleState(handled: UTCTime(seconds: fires[9].seconds))
    let moment = schedule.moment(of: fires[10], name: "a")
    #expect(state.look(schedule, name: "a", now: moment - 1).wake == moment)
    #expect(state.look(schedule, name: "a", now: moment).fires == [fires[10]])
  }

  @Test("a schedule that has ended asks for no further look")
  func ended() {
    var schedule = Self.hourly
    schedule.end = Self.time("2026-01-01T12:00")
    var state = ScheduleState(handled: Self.time("2026-01-01T10:30"))
    #expect(state.look(schedule, name: "w", now: Self.clock("2026-01-01T11:00")).wake == nil)
  }

  @Test("any sequence of looks, on time, starts every fire once and in order")
  func looks() {
    var random = SeededRandom(seed: 11)
    for _ in 0..<20 {
      let schedule = Schedule(.interval(seconds: Int64.random(in: 1...40, using: &random), days: CalendarRule()))
      let begin = Self.time("2026-01-01")
      var state = ScheduleState(handled: begin)
      var now = begin.seconds * 1_000_000_000
      var started: [UTCTime] = []
      for _ in 0..<300 {
        now += Int64.random(in: 1...50_000_000_000, using: &random)
        let look = state.look(schedule, name: "w", now: now)
        #expect(look.madeUp.isEmpty && look.passedOver == 0)
        started += look.fires
      }
      let range = UTCTime(seconds: begin.seconds + 1)..<UTCTime(seconds: now / 1_000_000_000 + 1)
      #expect(started == Array(schedule.fires(in: range)))
    }
  }

  @Test("a fire beyond the reach of nanoseconds is waited for, not reached")
  func farAway() {
    var schedule = Schedule(.calendar(CalendarRule()), start: Self.time("2300-01-01"))
    schedule.jitter = .max
    schedule.catchUp = .max
    var state = ScheduleState(handled: Self.time("2026-01-01"))
    #expect(state.look(schedule, name: "w", now: Self.clock("2026-01-02")).wake == .max)
    var early = Schedule(.calendar(CalendarRule()))
    early.jitter = .max
    #expect(state.look(early, name: "w", now: Self.clock("2026-01-02")).fires.count <= 1)
  }

  @Test(
    "whatever happens, each fire is started, waits, or is passed over; and only `allow` has two runs at once",
    arguments: Schedule.Overlap.allCases)
  func queue(_ overlap: Schedule.Overlap) {
    var random = SeededRandom(seed: 3)
    var queue = ScheduleQueue(overlap: overlap)
    var (offered, started, madeUp) = (0, [UTCTime](), [UTCTime]())
    func take(_ actions: [ScheduleQueue.Action]) {
      for case .start(let fire) in actions { started.append(fire) }
    }
    for step in 0..<20_000 {
      let fire = UTCTime(seconds: Int64(step))
      switch Int.random(in: 0..<5, using: &random) {
      case 0, 1:
        offered += 1
        take(queue.offer(fire))
      case 2:
        offered += 1
        madeUp.append(fire)
        take(queue.makeUp(fire))
      default:
        if queue.active > 0 { take(queue.ended()) }
      }
      #expect(offered == started.count + queue.waitingCount + queue.passedOver)
      #expect(overlap == .allow || queue.active <= 1)
    }
    let made = Set(madeUp)
    let order = started.filter { made.contains($0) }
    #expect(order == Array(madeUp.prefix(order.count)))
  }
}
