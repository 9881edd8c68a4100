/// Which days of a month: numbers, weekdays, and the days that are counted from the end or moved off a weekend.
struct DayRule: Sendable, Hashable {
  /// Bits 1 ... 31.
  var monthDays: UInt32 = 0
  /// Bit n: n days before the last day of the month, 0 ... 30.
  var beforeLast: UInt32 = 0
  /// Bit d, 1 ... 31: the weekday, Monday to Friday, nearest to day d without leaving the month. Bit 0: the last weekday.
  var nearWorkdays: UInt32 = 0
  /// Bits 0 ... 6, Sunday first.
  var weekdays: UInt8 = 0
  /// Bit weekday x 8 + n: the n-th one of the month, n = 1 ... 5; n = 0: the last one.
  var nthWeekdays: UInt64 = 0
  /// Month days and weekdays were both restricted, and one of them is enough, as cron has it.
  var either = false

  var limitsMonthDays: Bool { monthDays | beforeLast | nearWorkdays != 0 }
  var limitsWeekdays: Bool { weekdays != 0 || nthWeekdays != 0 }

  /// Bits 1 ... 31 for the days that match. Complexity: O(1).
  func days(month: Int, year: Int) -> UInt32 {
    let count = CivilDate.days(ofMonth: month, year: year)
    let all = UInt32(truncatingIfNeeded: (UInt64(2) << UInt64(count)) - 2)
    guard limitsMonthDays || limitsWeekdays else { return all }
    let first = CivilDate.weekday(ofDay: CivilDate.number(year: year, month: month, day: 1))
    guard limitsMonthDays else { return byWeekday(first: first, count: count) & all }
    let byNumber = byMonthDay(first: first, count: count) & all
    guard limitsWeekdays else { return byNumber }
    let byWeekday = byWeekday(first: first, count: count) & all
    return either ? byNumber | byWeekday : byNumber & byWeekday
  }

  private func byMonthDay(first: Int, count: Int) -> UInt32 {
    var days = monthDays
    for back in beforeLast.setBits where back < count { days |= 1 << UInt32(count - back) }
    for wanted in nearWorkdays.setBits where wanted <= count {
      let target = wanted == 0 ? count : wanted
      switch (first + target - 1) % 7 {
      case 6: days |= 1 << UInt32(target > 1 ? target - 1 : target + 2)
      case 0: days |= 1 << UInt32(wanted == 0 ? target - 2 : target < count ? target + 1 : target - 2)
      default: days |= 1 << UInt32(target)
      }
    }
    return days
  }

  private func byWeekday(first: Int, count: Int) -> UInt32 {
    var days: UInt32 = 0
    for weekday in UInt32(weekdays).setBits {
      let start = (weekday - first).remainder(by: 7) + 1
      for day in stride(from: start, through: count, by: 7) { days |= 1 << UInt32(day) }
    }
    var rest = nthWeekdays
    while rest != 0 {
      let bit = rest.trailingZeroBitCount
      rest &= rest - 1
      let start = (bit / 8 - first).remainder(by: 7) + 1
      let number = bit % 8 == 0 ? (count - start) / 7 + 1 : bit % 8
      let day = start + 7 * (number - 1)
      if day <= count { days |= 1 << UInt32(day) }
    }
    return days
  }
}

extension UInt32 {
  /// Numbers of the bits that are set, ascending.
  var setBits: [Int] {
    var rest = self
    var bits: [Int] = []
    while rest != 0 {
      bits.append(rest.trailingZeroBitCount)
      rest &= rest - 1
    }
    return bits
  }
}

/// Times of day: every pairing of hours and minutes, or a list.
enum DayTimes: Sendable, Hashable {
  /// Bits 0 ... 23, bits 0 ... 59.
  case hoursAndMinutes(hours: UInt32, minutes: UInt64)
  /// Seconds from midnight, ascending, not empty.
  case list([Int])

  /// The first one from this second of the day on. Complexity: O(1); O(times) for a list.
  func first(from second: Int) -> Int? {
    switch self {
    case .list(let times): return times.first { $0 >= second }
    case .hoursAndMinutes(let hours, let minutes):
      let minute = (second + 59) / 60
      guard minute < 1_440 else { return nil }
      let here = minutes >> UInt64(minute % 60)
      if hours >> UInt32(minute / 60) & 1 == 1, here != 0 { return (minute + here.trailingZeroBitCount) * 60 }
      let later = hours >> UInt32(minute / 60 + 1)
      guard later != 0 else { return nil }
      return ((minute / 60 + 1 + later.trailingZeroBitCount) * 60 + minutes.trailingZeroBitCount) * 60
    }
  }
}

/// Local times by calendar: months, days, times of day. Knows nothing of zones.
struct LocalPattern: Sendable, Hashable {
  /// Bits 1 ... 12.
  var months: UInt16 = 0b1_1111_1111_1110
  var days = DayRule()
  var times = DayTimes.list([0])
  /// Every so many days, counted from `anchor`.
  var everyDays = 1
  /// Number of a day since 1970-01-01.
  var anchor = 0
  var exclusions = Exclusions()

  /// The first matching local time from `local` on, seconds since 1970-01-01T00:00; nil if there is none within 400 years, after which the calendar
  /// repeats. Complexity: O(months until it).
  func next(from local: Int) -> Int? {
    let day = local.floored(by: LocalTime.day)
    if matches(day), let time = times.first(from: local - day * LocalTime.day) { return day * LocalTime.day + time }
    guard let next = nextDay(from: day + 1), let time = times.first(from: 0) else { return nil }
    return next * LocalTime.day + time
  }

  func matches(_ day: Int) -> Bool {
    guard (day - anchor).remainder(by: everyDays) == 0 else { return false }
    let date = CivilDate(number: day)
    guard months >> UInt16(date.month) & 1 == 1, days.days(month: date.month, year: date.year) >> UInt32(date.day) & 1 == 1 else {
      return false
    }
    return !exclusions.contains(day, date)
  }

  func nextDay(from day: Int) -> Int? {
    let start = CivilDate(number: day)
    var (year, month) = (start.year, start.month)
    var mask = ~UInt32(0) << UInt32(start.day)
    while year <= start.year + CivilDate.cycleYears {
      if months >> UInt16(month) & 1 == 1 {
        var candidates = days.days(month: month, year: year) & mask
        let before = candidates == 0 ? 0 : CivilDate.number(year: year, month: month, day: 1) - 1
        while candidates != 0 {
          let day = candidates.trailingZeroBitCount
          candidates &= candidates - 1
          guard (before + day - anchor).remainder(by: everyDays) == 0 else { continue }
          if exclusions.isEmpty || !exclusions.contains(before + day, CivilDate(number: before + day)) { return before + day }
        }
      }
      mask = ~0
      (year, month) = month == 12 ? (year + 1, 1) : (year, month + 1)
    }
    return nil
  }
}

/// Local dates on which nothing fires.
struct Exclusions: Sendable, Hashable {
  static let maximumCount = 1_000

  /// Days since 1970-01-01.
  var ranges: [ClosedRange<Int>] = []
  /// Month x 32 + day, in every year.
  var yearly: Set<Int> = []

  var isEmpty: Bool { ranges.isEmpty && yearly.isEmpty }

  func contains(_ day: Int, _ date: CivilDate) -> Bool {
    yearly.contains(date.month * 32 + date.day) || ranges.contains { $0.contains(day) }
  }
}
