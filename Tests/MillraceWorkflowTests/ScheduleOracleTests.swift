import Foundation
import MillraceWorkflow
import Testing

/// Schedules beside an oracle that looks at every minute, by the zones of another implementation.
@Suite struct ScheduleOracleTests {
  /// Fields as sets, and the text they were drawn as.
  private struct Fields {
    var text: String
    var minutes: Set<Int>
    var hours: Set<Int>
    var monthDays: Set<Int>
    var months: Set<Int>
    var weekdays: Set<Int>
    var either: Bool
    var followsClock: Bool

    init(_ random: inout SeededRandom) {
      func field(_ range: ClosedRange<Int>, open: Int) -> (text: String, values: Set<Int>, isOpen: Bool) {
        let all = Set(range)
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<open: return ("*", all, true)
        case open:
          let step = Int.random(in: 2...7, using: &random)
          return ("*/\(step)", Set(stride(from: range.lowerBound, through: range.upperBound, by: step)), true)
        case open + 1:
          let first = Int.random(in: range, using: &random)
          let last = Int.random(in: first...range.upperBound, using: &random)
          return ("\(first)-\(last)", Set(first...last), false)
        default:
          let values = (0..<Int.random(in: 1...3, using: &random)).map { _ in Int.random(in: range, using: &random) }
          return (values.map(String.init).joined(separator: ","), Set(values), false)
        }
      }
      let (minute, hour) = (field(0...59, open: 1), field(0...23, open: 3))
      let (monthDay, month, weekday) = (field(1...31, open: 5), field(1...12, open: 7), field(0...6, open: 5))
      text = [minute, hour, monthDay, month, weekday].map(\.text).joined(separator: " ")
      (minutes, hours, monthDays) = (minute.values, hour.values, monthDay.values)
      (months, weekdays) = (month.values, weekday.values)
      either = !monthDay.isOpen && !weekday.isOpen
      followsClock = minute.isOpen || hour.isOpen
    }

    func matches(_ local: Int, _ days: [Int: DateComponents]) -> Bool {
      guard minutes.contains(local / 60 % 60), hours.contains(local / 3_600 % 24), let parts = days[local / 86_400] else { return false }
      guard let month = parts.month, let day = parts.day, let weekday = parts.weekday, months.contains(month) else { return false }
      let (byDay, byWeekday) = (monthDays.contains(day), weekdays.contains(weekday - 1))
      return either ? byDay || byWeekday : byDay && byWeekday
    }
  }

  /// Some days of a zone, minute by minute.
  private struct Window {
    let minutes: Range<Int>
    /// What local clocks show at each.
    let locals: [Int]
    /// The latest that they showed before: two days cover every change.
    let shown: Int
    let days: [Int: DateComponents]

    init(_ minutes: Range<Int>, _ zone: TimeZone) {
      var calendar = Calendar(identifier: .gregorian)
      calendar.timeZone = TimeZone(secondsFromGMT: 0)!
      let local = { (moment: Int) in moment + zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(moment))) }
      self.minutes = minutes
      locals = minutes.map { local($0 * 60) }
      shown = (1...2_880).map { local((minutes.lowerBound - $0) * 60) }.max() ?? 0
      var days: [Int: DateComponents] = [:]
      for day in (minutes.lowerBound / 1_440 - 2)...(minutes.upperBound / 1_440 + 2) {
        days[day] = calendar.dateComponents([.month, .day, .weekday], from: Date(timeIntervalSince1970: Double(day * 86_400)))
      }
      self.days = days
    }
  }

  private static func naive(_ fields: Fields, _ window: Window) -> [Int64] {
    var fires: [Int64] = []
    var shown = window.shown
    for (minute, now) in zip(window.minutes, window.locals) {
      if fields.followsClock {
        if fields.matches(now, window.days) { fires.append(Int64(minute * 60)) }
        continue
      }
      var passed: [Int] = now > shown ? Array(stride(from: shown + 60, through: now, by: 60)) : []
      // A day that is left out as a whole has none.
      for midnight in Set(passed.map { $0 / 86_400 * 86_400 }) where shown < midnight && midnight + 86_400 <= now {
        passed.removeAll { midnight..<midnight + 86_400 ~= $0 }
      }
      if passed.contains(where: { fields.matches($0, window.days) }) { fires.append(Int64(minute * 60)) }
      shown = max(shown, now)
    }
    return fires
  }

  static let zones = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Pacific/Apia", "Africa/Cairo", "UTC",
  ]

  /// The days around the changes of a zone, where mistakes live, and some that are drawn.
  private static func windows(_ zone: TimeZone, _ random: inout SeededRandom) -> [Window] {
    var starts: [Int] = []
    var date = Date(timeIntervalSince1970: 1_300_000_000)
    for _ in 0..<4 {
      guard let change = zone.nextDaylightSavingTimeTransition(after: date) else { break }
      starts.append(Int(change.timeIntervalSince1970) / 60 - 1_500)
      date = change
    }
    starts.append(Int.random(in: 5_000_000..<60_000_000, using: &random))
    return starts.map { Window($0..<$0 + 3_000, zone) }
  }

  @Test("random expressions fire as an oracle says that looks at every minute", arguments: zones)
  func randomExpressions(_ name: String) throws {
    let seed: UInt64 = 20_261_125
    var random = SeededRandom(seed: seed)
    let zone = try Zone.named(name)
    let other = try #require(TimeZone(identifier: name))
    let windows = Self.windows(other, &random)
    for _ in 0..<40 {
      let fields = Fields(&random)
      let schedule = try Schedule.cron(fields.text, zone: zone)
      for window in windows {
        let range = UTCTime(seconds: Int64(window.minutes.lowerBound * 60))..<UTCTime(seconds: Int64(window.minutes.upperBound * 60))
        let fires = schedule.fires(in: range).map(\.seconds)
        let expected = Self.naive(fields, window)
        #expect(fires == expected, "\(fields.text) in \(name) from \(range.lowerBound), seed \(seed)")
      }
    }
  }

  @Test("the next fire does not depend on where the search begins", arguments: zones)
  func anyBeginning(_ name: String) throws {
    var random = SeededRandom(seed: 7)
    let zone = try Zone.named(name)
    for _ in 0..<20 {
      let schedule = try Schedule.cron(Fields(&random).text, zone: zone)
      let begin = Int64.random(in: 1_300_000_000..<1_800_000_000, using: &random)
      let range = UTCTime(seconds: begin)..<UTCTime(seconds: begin + 40 * 86_400)
      let fires = Array(schedule.fires(in: range).prefix(300))
      for _ in 0..<50 where fires.count > 1 {
        let index = Int.random(in: 1..<fires.count, using: &random)
        let between = Int64.random(in: fires[index - 1].seconds..<fires[index].seconds, using: &random)
        #expect(schedule.next(after: UTCTime(seconds: between)) == fires[index])
      }
    }
  }
}
