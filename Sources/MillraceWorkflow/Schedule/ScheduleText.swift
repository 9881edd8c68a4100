/// Dates, times and names of days as people write them in a schedule.
enum ScheduleText {
  /// `09:00` or `09:00:30`, seconds from midnight.
  static func time(_ text: some StringProtocol) -> Int? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard 2...3 ~= parts.count, let hour = number(parts[0], 1...2), let minute = number(parts[1], 2...2) else { return nil }
    let second = parts.count == 3 ? number(parts[2], 2...2) : 0
    guard let second, hour < 24, minute < 60, second < 60 else { return nil }
    return (hour * 60 + minute) * 60 + second
  }

  /// `2026-12-24`.
  static func date(_ text: some StringProtocol) -> CivilDate? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, let year = number(parts[0], 4...4), let month = number(parts[1], 2...2), let day = number(parts[2], 2...2)
    else {
      return nil
    }
    return CivilDate(year: year, month: month, day: day)
  }

  /// `12-24`: a day of every year, 29 February too.
  static func yearlyDate(_ text: some StringProtocol) -> (month: Int, day: Int)? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let month = number(parts[0], 2...2), let day = number(parts[1], 2...2) else { return nil }
    return CivilDate(year: 2_000, month: month, day: day) == nil ? nil : (month, day)
  }

  /// `2026-03-29`, `2026-03-29T09:00` and `2026-03-29T09:00:30` by the clocks of the zone, or with `Z` or `+02:00` behind. A local time that comes twice is the
  /// first, one that does not come the moment of the jump.
  static func moment(_ text: String, zone: Zone) -> UTCTime? {
    let halves = text.split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
    guard let date = date(halves[0]) else { return nil }
    let midnight = date.number * LocalTime.day
    guard halves.count == 2 else { return arrival(of: midnight, zone) }
    var clock = halves[1]
    var offset: Int?
    if clock.last == "Z" {
      offset = 0
      clock.removeLast()
    } else if let sign = clock.lastIndex(where: { $0 == "+" || $0 == "-" }) {
      guard let size = time(clock[clock.index(after: sign)...]) else { return nil }
      offset = clock[sign] == "-" ? -size : size
      clock = clock[..<sign]
    }
    guard let time = time(clock) else { return nil }
    guard let offset else { return arrival(of: midnight + time, zone) }
    return within(Int64(midnight + time - offset))
  }

  private static func arrival(of local: Int, _ zone: Zone) -> UTCTime? {
    switch zone.arrival(of: Int64(local)) {
    case .at(let moment), .jumped(let moment, _, _): within(moment)
    }
  }

  private static func within(_ seconds: Int64) -> UTCTime? {
    let time = UTCTime(seconds: seconds)
    return UTCTime.range.contains(time) ? time : nil
  }

  /// `mon`, `Monday`: index among three-letter names.
  static func name(_ text: some StringProtocol, among names: [String], full: [String]) -> Int? {
    let word = text.uppercased()
    return names.firstIndex { !$0.isEmpty && $0 == word } ?? full.firstIndex { !$0.isEmpty && $0 == word }
  }

  static func weekday(_ text: some StringProtocol) -> Int? {
    name(text, among: CalendarNames.weekdays, full: ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"])
  }

  static func month(_ text: some StringProtocol) -> Int? {
    name(
      text, among: CalendarNames.months,
      full: [
        "", "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER",
      ])
  }

  /// `mon`, or `fri-mon`, which runs over the end of the week; nil if either is no name.
  static func range(_ text: String, of count: Int, from first: Int, _ value: (Substring) -> Int?) -> [Int]? {
    let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard let low = value(ends[0]) else { return nil }
    guard ends.count == 2 else { return [low] }
    guard let high = value(ends[1]) else { return nil }
    let steps = (high - low).remainder(by: count)
    return (0...steps).map { (low - first + $0) % count + first }
  }

  private static func number(_ text: some StringProtocol, _ digits: ClosedRange<Int>) -> Int? {
    guard digits.contains(text.utf8.count), text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
    return Int(text)
  }
}
