/// When runs of a workflow start by themselves, and what happens to a time that could not be kept. A value: it holds no clock.
///
/// # Two changes of the clocks a year
/// A schedule that names times of day fires once for each of them, at the first moment at which local clocks show that time or a later one: a time that is
/// jumped over fires right after the jump, a time that comes twice fires the first time. Only a day that is left out as a whole (Apia, 30 December 2011)
/// has no fires. A cron expression whose minute or hour begins with `*` follows the clock that runs instead, as cron does: each minute that matches
/// fires, those that come twice both times, those that never come not. An interval (`every: 15m`) takes no notice of local clocks.
public struct Schedule: Sendable, Hashable {
  /// Which moments fire, before `start`, `end` and exclusions take some away.
  public enum Rule: Sendable, Hashable {
    /// Five fields; read by local clocks.
    case cron(CronExpression)
    /// Times of day on the days that the rule names, by local clocks.
    case calendar(CalendarRule)
    /// Every so many seconds, counted from `start`, or from 1970-01-01T00:00Z.
    case interval(seconds: Int64, days: CalendarRule)
  }

  /// What becomes of fires that were missed: noticed more than `onTimeSeconds` late, because the program did not run, was paused, or the clock was set.
  public enum Missed: String, Sendable, Hashable, CaseIterable {
    /// They are passed over.
    case skip
    /// One run for all of them, as of the latest.
    case one
    /// A run for each, oldest first, one after the other; at most `maximumMadeUp`, the latest.
    case all
  }

  /// What a fire does while the last run goes on.
  public enum Overlap: String, Sendable, Hashable, CaseIterable {
    /// Nothing: it is passed over.
    case skip
    /// It waits until the run has ended; at most `maximumWaiting` do.
    case queue
    /// It cancels the run, and starts when that has ended.
    case cancel
    /// It starts at once, beside it.
    case allow
  }

  /// A fire noticed no later than this was not missed.
  public static let onTimeSeconds: Int64 = 60
  /// Most missed fires that `Missed.all` makes up for.
  public static let maximumMadeUp = 1_000
  /// Most fires that wait for a run to end; also the most of a backfill.
  public static let maximumWaiting = 10_000
  /// Longest jitter, nanoseconds: a day.
  public static let maximumJitter: UInt64 = 86_400_000_000_000

  /// As it was given; exclusions come on top.
  public let rule: Rule
  /// Whose clocks days and times of day are read by.
  public let zone: Zone
  /// Nothing fires before; inclusive. Also what `every` counts from.
  public let start: UTCTime?
  /// Nothing fires from here on.
  public var end: UTCTime?
  /// By default one run stands for all that were missed.
  public var missed = Missed.one
  /// Fires missed longer ago than this are passed over, nanoseconds.
  public var catchUp: UInt64 = 86_400_000_000_000
  /// Each run starts late by a share of this, drawn from the fire and the workflow's name, nanoseconds; never beyond the next fire.
  public var jitter: UInt64 = 0
  /// By default a fire is passed over while the last run goes on.
  public var overlap = Overlap.skip
  /// Parameters of the runs; `${schedule.time}` and `${schedule.date}` in texts are those of the fire.
  public var parameters: [JSON.Member] = []
  /// Local dates without fires.
  var exclusions = Exclusions()
  private var pattern: LocalPattern

  /// By default in UTC, without a beginning and an end. One that never fires is found by `DefinitionChecker.check`, not here.
  public init(_ rule: Rule, zone: Zone = .utc, start: UTCTime? = nil, end: UTCTime? = nil) {
    (self.rule, self.zone, self.start, self.end) = (rule, zone, start, end)
    pattern = LocalPattern()
    pattern = compiled()
  }

  /// By a cron expression. Throws `ScheduleError`.
  public static func cron(_ text: String, zone: Zone = .utc) throws(ScheduleError) -> Schedule {
    Schedule(.cron(try CronExpression(text)), zone: zone)
  }

  /// Leaves out the dates from `first` to `last`.
  public mutating func exclude(_ first: CivilDate, through last: CivilDate) {
    exclusions.ranges.append(first.number...max(first, last).number)
    pattern = compiled()
  }

  /// Leaves out this date of every year; 29 February too.
  public mutating func excludeYearly(month: Int, day: Int) {
    exclusions.yearly.insert(month * 32 + day)
    pattern = compiled()
  }

  private func compiled() -> LocalPattern {
    var pattern = LocalPattern()
    pattern.exclusions = exclusions
    switch rule {
    case .cron(let cron):
      pattern.months = cron.months
      pattern.days = cron.days
      pattern.times = .hoursAndMinutes(hours: cron.hours, minutes: cron.minutes)
    case .calendar(let calendar), .interval(_, let calendar):
      pattern.months = calendar.months
      pattern.days = calendar.days
      if !calendar.times.isEmpty { pattern.times = .list(calendar.times.sorted()) }
      pattern.everyDays = calendar.everyDays
      if let start { pattern.anchor = zone.date(start).number }
    }
    return pattern
  }

  // MARK: Fires

  /// The first fire after `time`; nil if there is none, at the latest after 400 years or in the year 9999.
  ///
  /// Complexity: O(log changes of the zone + months without a fire).
  public func next(after time: UTCTime) -> UTCTime? {
    let floor = (start ?? UTCTime.range.lowerBound).seconds - 1
    guard let fire = following(max(time.seconds, floor)), fire <= UTCTime.range.upperBound.seconds else { return nil }
    let found = UTCTime(seconds: fire)
    if let end, found >= end { return nil }
    return found
  }

  /// The fires from the lower bound on and before the upper one, in order, found as they are asked for.
  public func fires(in range: Range<UTCTime>) -> some Sequence<UTCTime> & Sendable { Fires(schedule: self, range: range) }

  private func following(_ moment: Int64) -> Int64? {
    switch rule {
    case .cron(let cron) where cron.followsClock: followingClock(moment)
    case .cron, .calendar: followingTimes(moment)
    case .interval(let seconds, _): followingInterval(moment, every: seconds)
    }
  }

  /// Each moment at which local clocks show a matching time.
  private func followingClock(_ moment: Int64) -> Int64? {
    var moment = moment + 1
    while moment <= UTCTime.range.upperBound.seconds {
      let stretch = zone.stretch(at: moment)
      guard let local = pattern.next(from: Int(moment + stretch.offset)) else { return nil }
      let fire = Int64(local) - stretch.offset
      if fire < stretch.end { return fire }
      moment = stretch.end
    }
    return nil
  }

  /// Each matching time of day once.
  private func followingTimes(_ moment: Int64) -> Int64? {
    var from = Int(zone.latestLocal(moment)) + 1
    while let local = pattern.next(from: from) {
      switch zone.arrival(of: Int64(local)) {
      case .at(let fire): return fire
      case .jumped(let change, let first, let last):
        let midnight = Int64(local.floored(by: LocalTime.day) * LocalTime.day)
        // The whole day is left out: it has no fires.
        if first <= midnight, last >= midnight + Int64(LocalTime.day) { from = Int(last) } else { return change }
      }
    }
    return nil
  }

  private func followingInterval(_ moment: Int64, every: Int64) -> Int64? {
    let anchor = start?.seconds ?? 0
    var moment = moment
    while moment < UTCTime.range.upperBound.seconds {
      let fire = anchor + (Int64(Int(moment - anchor).floored(by: Int(every))) + 1) * every
      let day = Int(zone.local(fire)).floored(by: LocalTime.day)
      if pattern.matches(day) { return fire }
      guard let next = pattern.nextDay(from: day + 1) else { return nil }
      switch zone.arrival(of: Int64(next * LocalTime.day)) {
      case .at(let midnight), .jumped(let midnight, _, _): moment = max(fire, midnight - 1)
      }
    }
    return nil
  }
}

/// Days of a calendar schedule, and its times of day. Everything that is given must hold.
public struct CalendarRule: Sendable, Hashable {
  /// Largest `everyDays`: ten years of 365 days.
  public static let maximumEveryDays = 3_650
  /// Most times of day.
  public static let maximumTimes = 100

  /// Every so many days, counted from the schedule's `start`.
  public var everyDays: Int
  /// Seconds from midnight; empty: midnight.
  public var times: [Int]
  var months: UInt16 = 0b1_1111_1111_1110
  var days = DayRule()

  /// Times 0 ..< 86,400, months 1 ... 12, weekdays 0 ... 6 with Sunday first, days of the month 1 ... 31, or -1 for the last one, -2 for that before it,
  /// to -31; nil: all. Other numbers are a mistake of the caller's.
  public init(everyDays: Int = 1, times: [Int] = [], months: [Int]? = nil, weekdays: [Int]? = nil, monthDays: [Int]? = nil) {
    precondition(1...Self.maximumEveryDays ~= everyDays, "a schedule comes back every 1 to \(Self.maximumEveryDays) days, not \(everyDays)")
    precondition(times.allSatisfy { 0..<LocalTime.day ~= $0 }, "a time of day is 0 to 86,399 seconds")
    precondition((months ?? []).allSatisfy { 1...12 ~= $0 }, "months are 1 to 12")
    precondition((weekdays ?? []).allSatisfy { 0...6 ~= $0 }, "weekdays are 0 to 6")
    precondition((monthDays ?? []).allSatisfy { 1...31 ~= abs($0) }, "days of a month are 1 to 31, or -1 to -31")
    (self.everyDays, self.times) = (everyDays, times)
    if let months { self.months = months.reduce(0) { $0 | 1 << UInt16($1) } }
    days.weekdays = (weekdays ?? []).reduce(0) { $0 | 1 << UInt8($1) }
    for day in monthDays ?? [] {
      if day > 0 { days.monthDays |= 1 << UInt32(day) } else { days.beforeLast |= 1 << UInt32(-1 - day) }
    }
  }
}

private struct Fires: Sequence, IteratorProtocol, Sendable {
  let schedule: Schedule
  let range: Range<UTCTime>
  var last: UTCTime

  init(schedule: Schedule, range: Range<UTCTime>) {
    (self.schedule, self.range) = (schedule, range)
    last = UTCTime(seconds: range.lowerBound.seconds - 1)
  }

  mutating func next() -> UTCTime? {
    guard let fire = schedule.next(after: last), fire < range.upperBound else { return nil }
    last = fire
    return fire
  }
}
