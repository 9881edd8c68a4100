/// How a zone goes on after the last change that its file lists: the POSIX TZ text at the end of the file, as `CET-1CEST,M3.5.0,M10.5.0/3`.
struct ZoneRule: Sendable, Hashable {
  /// One of the two changes of a year.
  struct Change: Sendable, Hashable {
    enum Day: Sendable, Hashable {
      /// Weekday 0 ... 6, Sunday first, of a month; week 5 is the last one.
      case weekday(month: Int, week: Int, weekday: Int)
      /// 1 ... 365; 29 February is never counted.
      case ofCommonYear(Int)
      /// 0 ... 365.
      case ofYear(Int)
    }

    var day: Day
    /// Seconds from midnight by the clock before the change; -167 to 167 hours.
    var time: Int64

    /// Seconds since 1970-01-01T00:00 of the clock before the change.
    func local(year: Int) -> Int64 {
      let number: Int
      switch day {
      case .weekday(let month, let week, let weekday):
        let first = CivilDate.number(year: year, month: month, day: 1)
        let start = (weekday - CivilDate.weekday(ofDay: first)).remainder(by: 7)
        var day = start + 7 * (week - 1)
        if day >= CivilDate.days(ofMonth: month, year: year) { day -= 7 }
        number = first + day
      case .ofCommonYear(let day):
        let leap = CivilDate.isLeap(year) && day >= 60
        number = CivilDate.number(year: year, month: 1, day: 1) + day - 1 + (leap ? 1 : 0)
      case .ofYear(let day):
        number = CivilDate.number(year: year, month: 1, day: 1) + day
      }
      return Int64(number * LocalTime.day) + time
    }
  }

  /// Standard and summer offset, seconds ahead of UTC.
  var standard: Int64
  var summer: Int64
  var toSummer: Change
  var toStandard: Change

  /// The stretch that holds `moment`, which lies after the beginning of `last`, the last one that the file lists.
  func stretch(at moment: Int64, after last: Zone.Stretch) -> Zone.Stretch {
    let year = CivilDate(number: Int(moment).floored(by: LocalTime.day)).year
    var found = last
    for year in year - 1...year + 1 {
      for (at, offset) in changes(year) where at > last.start {
        if at > moment {
          found.end = at
          return found
        }
        found = Zone.Stretch(start: at, end: .max, offset: offset)
      }
    }
    return found
  }

  private func changes(_ year: Int) -> [(at: Int64, offset: Int64)] {
    let start = (at: toSummer.local(year: year) - standard, offset: summer)
    let end = (at: toStandard.local(year: year) - summer, offset: standard)
    return start.at < end.at ? [start, end] : [end, start]
  }
}

/// Reads the POSIX TZ text. RFC 9636 widens times of day to 167 hours.
struct ZoneRuleReader {
  private var rest: Substring.UTF8View

  /// The rule, or the offset that always holds; nil if it is no such text.
  enum Result: Hashable {
    case constant(Int64)
    case changing(ZoneRule)
  }

  static func read(_ text: String) -> Result? {
    var reader = ZoneRuleReader(rest: text[...].utf8)
    return reader.result()
  }

  private mutating func result() -> Result? {
    guard name(), let west = time(hours: 24) else { return nil }
    if rest.isEmpty { return .constant(-west) }
    guard name() else { return nil }
    var summer = -west + 3_600
    if rest.first != UInt8(ascii: ",") {
      guard let west = time(hours: 24) else { return nil }
      summer = -west
    }
    guard let toSummer = change(), let toStandard = change(), rest.isEmpty else { return nil }
    return .changing(ZoneRule(standard: -west, summer: summer, toSummer: toSummer, toStandard: toStandard))
  }

  /// `CET` or `<+0330>`.
  private mutating func name() -> Bool {
    if take("<") {
      guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return false }
      rest = rest[rest.index(after: end)...]
      return true
    }
    let letters = rest.prefix { UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 | 0x20 }
    rest = rest[letters.endIndex...]
    return letters.count >= 3
  }

  /// `[+-]hh[:mm[:ss]]` in seconds.
  private mutating func time(hours limit: Int) -> Int64? {
    let negative = take("-")
    if !negative { _ = take("+") }
    guard let hours = number(0...limit) else { return nil }
    var seconds = hours * 3_600
    for unit in [60, 1] where take(":") {
      guard let part = number(0...59) else { return nil }
      seconds += part * unit
    }
    return Int64(negative ? -seconds : seconds)
  }

  /// `,M3.5.0/2`, `,J60` or `,59`.
  private mutating func change() -> ZoneRule.Change? {
    guard take(",") else { return nil }
    let day: ZoneRule.Change.Day
    if take("M") {
      guard let month = number(1...12), take("."), let week = number(1...5), take("."), let weekday = number(0...6) else { return nil }
      day = .weekday(month: month, week: week, weekday: weekday)
    } else if take("J") {
      guard let number = number(1...365) else { return nil }
      day = .ofCommonYear(number)
    } else {
      guard let number = number(0...365) else { return nil }
      day = .ofYear(number)
    }
    guard take("/") else { return ZoneRule.Change(day: day, time: 7_200) }
    return time(hours: 167).map { ZoneRule.Change(day: day, time: $0) }
  }

  private mutating func number(_ range: ClosedRange<Int>) -> Int? {
    let digits = rest.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
    rest = rest[digits.endIndex...]
    guard digits.count <= 3, let number = Int(String(decoding: digits, as: UTF8.self)), range.contains(number) else { return nil }
    return number
  }

  private mutating func take(_ letter: Character) -> Bool {
    guard rest.first == letter.asciiValue else { return false }
    rest = rest.dropFirst()
    return true
  }
}
