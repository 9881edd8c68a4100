/// A day of the Gregorian calendar, also before it was introduced.
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms": days are counted in eras of 400 years that begin on 1 March.
public struct CivilDate: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Years that can be written: 1 ... 9999.
  public static let years = 1...9999
  /// After so many years the calendar repeats, weekdays included.
  static let cycleYears = 400

  /// One of `years` in a day made by `init(year:month:day:)`.
  public let year: Int
  /// 1 ... 12.
  public let month: Int
  /// 1 ... 31.
  public let day: Int

  /// nil if there is no such day.
  public init?(year: Int, month: Int, day: Int) {
    guard Self.years.contains(year), 1...12 ~= month, 1...Self.days(ofMonth: month, year: year) ~= day else { return nil }
    (self.year, self.month, self.day) = (year, month, day)
  }

  /// Day `number` after 1970-01-01.
  init(number: Int) {
    let shifted = number + 719_468
    let era = shifted.floored(by: 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// Days since 1970-01-01.
  var number: Int { Self.number(year: year, month: month, day: day) }

  static func number(year: Int, month: Int, day: Int) -> Int {
    let marchYear = month <= 2 ? year - 1 : year
    let era = marchYear.floored(by: 400)
    let yearOfEra = marchYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  /// 0 is Sunday.
  public var weekday: Int { Self.weekday(ofDay: number) }

  static func weekday(ofDay number: Int) -> Int { (number + 4).remainder(by: 7) }

  static func days(ofMonth month: Int, year: Int) -> Int {
    switch month {
    case 2: isLeap(year) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  public static func < (a: CivilDate, b: CivilDate) -> Bool { (a.year, a.month, a.day) < (b.year, b.month, b.day) }

  /// `2026-03-29`.
  public var description: String { "\(year.padded(4))-\(month.padded(2))-\(day.padded(2))" }
}

/// A moment in whole seconds since 1970 in UTC, leap seconds not counted.
public struct UTCTime: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The years in which schedules are followed: 1970 ... 9999.
  public static let range = UTCTime(seconds: 0)...UTCTime(seconds: 253_402_300_799)

  /// Before 1970 negative; `range` is what schedules are followed in.
  public var seconds: Int64

  /// Takes any number, also one outside of `range`.
  public init(seconds: Int64) { self.seconds = seconds }

  /// `2026-03-29`, `2026-03-29T09:00`, `2026-03-29T09:00:30`, `...Z` or `...+02:00`; local times by the clocks of `zone`. nil if it is no moment of `range`.
  public init?(_ text: String, zone: Zone = .utc) {
    guard let moment = ScheduleText.moment(text, zone: zone) else { return nil }
    self = moment
  }

  public static func < (a: UTCTime, b: UTCTime) -> Bool { a.seconds < b.seconds }

  /// `2026-03-29T01:00:00Z`.
  public var description: String { LocalTime.text(Int(seconds)) + "Z" }
}

/// Clock readings as seconds since 1970-01-01T00:00 of that clock.
enum LocalTime {
  static let day = 86_400

  /// `2026-03-29T02:30:00`.
  static func text(_ seconds: Int) -> String {
    let day = seconds.floored(by: day)
    let rest = seconds - day * Self.day
    return "\(CivilDate(number: day))T\((rest / 3_600).padded(2)):\((rest / 60 % 60).padded(2)):\((rest % 60).padded(2))"
  }

  /// `+02:00`, with seconds where an old zone had them.
  static func offsetText(_ offset: Int) -> String {
    let size = abs(offset)
    let seconds = size % 60 == 0 ? "" : ":\((size % 60).padded(2))"
    return "\(offset < 0 ? "-" : "+")\((size / 3_600).padded(2)):\((size / 60 % 60).padded(2))\(seconds)"
  }
}

extension Int {
  /// Quotient rounded down; `divisor` is positive.
  func floored(by divisor: Int) -> Int { self >= 0 ? self / divisor : -((divisor - 1 - self) / divisor) }

  /// 0 ..< divisor.
  func remainder(by divisor: Int) -> Int { self - floored(by: divisor) * divisor }

  func padded(_ width: Int) -> String {
    let digits = String(self)
    return String(repeating: "0", count: Swift.max(0, width - digits.utf8.count)) + digits
  }
}
