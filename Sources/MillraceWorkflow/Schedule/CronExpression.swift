/// The five fields of cron: minute, hour, day of month, month, day of week.
///
/// Dialect: that of Vixie's cron and its successors on Linux (names, lists, ranges, steps, 0 and 7 for Sunday; where both day fields are restricted, a
/// day needs to match only one), with `L`, `W` and `#` in the day fields as Quartz has them, `?` for `*` there, and the nicknames `@hourly`, `@daily`,
/// `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
public struct CronExpression: Sendable, Hashable, CustomStringConvertible {
  /// As it was written.
  public let description: String
  var hours: UInt32
  var minutes: UInt64
  var months: UInt16
  var days: DayRule
  /// Minute or hour begins with `*`: it fires by the clock that runs, not at times of day. See `Schedule`.
  var followsClock: Bool

  /// Longest text.
  static let maximumBytes = 1_024

  private static let nicknames = [
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
  ]

  /// Throws `ScheduleError` with the column of what is wrong.
  public init(_ text: String) throws(ScheduleError) {
    do throws(ScheduleError) {
      try self.init(reading: text)
    } catch {
      // Fields are read as bytes, columns are told in characters.
      let column = error.column.map { text.utf8.prefix($0 - 1).count { $0 & 0xC0 != 0x80 } + 1 }
      throw ScheduleError(error.message, fix: error.fix, column: column)
    }
  }

  private init(reading text: String) throws(ScheduleError) {
    guard text.utf8.count <= Self.maximumBytes else {
      throw ScheduleError("a cron expression of \(text.utf8.count) bytes", fix: "use at most \(Self.maximumBytes)")
    }
    let bytes = Array(text.utf8)
    if let first = bytes.firstIndex(where: { $0 != 0x20 && $0 != 0x09 }), bytes[first] == UInt8(ascii: "@") {
      let name = String(decoding: bytes[first...].prefix { $0 != 0x20 && $0 != 0x09 }, as: UTF8.self)
      guard let meaning = Self.nicknames[name.lowercased()] else { throw Self.unknownNickname(name, column: first + 1) }
      try self.init(fields: CronField.split(Array(meaning.utf8)), text: text)
    } else {
      try self.init(fields: CronField.split(bytes), text: text)
    }
  }

  private static func unknownNickname(_ name: String, column: Int) -> ScheduleError {
    switch name.lowercased() {
    case "@reboot": ScheduleError("'@reboot' is no time", fix: "start the workflow where the program starts", column: column)
    case "@every": ScheduleError("'@every' is no cron expression", fix: "write 'every: 15m' instead of 'cron:'", column: column)
    default:
      ScheduleError(
        "'\(name.prefix(40))' is no nickname", fix: "the nicknames are @hourly, @daily, @weekly, @monthly and @yearly", column: column)
    }
  }

  private init(fields: [CronField], text: String) throws(ScheduleError) {
    let names = ["minute", "hour", "day of month", "month", "day of week"]
    guard fields.count == names.count else {
      let hint = fields.count == 6 || fields.count == 7 ? "; seconds and years are not read" : ""
      throw ScheduleError(
        "a cron expression has 5 fields, and this has \(fields.count)\(hint)",
        fix: "write minute, hour, day of month, month and day of week, as '30 4 * * MON-FRI'")
    }
    description = text
    minutes = try fields[0].values(CronField.Kind(name: names[0], range: 0...59))
    hours = UInt32(truncatingIfNeeded: try fields[1].values(CronField.Kind(name: names[1], range: 0...23)))
    months = UInt16(truncatingIfNeeded: try fields[3].values(CronField.Kind(name: names[3], range: 1...12, names: CalendarNames.months)))
    followsClock = fields[0].isOpen || fields[1].isOpen
    var days = DayRule()
    try fields[2].monthDays(CronField.Kind(name: names[2], range: 1...31), &days)
    try fields[4].weekdays(CronField.Kind(name: names[4], range: 0...7, names: CalendarNames.weekdays), &days)
    // As cron: one restricted field decides alone; a field that begins with * does not count as restricted, and then both must match.
    days.either = !fields[2].isOpen && !fields[4].isOpen
    if fields[2].isEverything { days.monthDays = 0 }
    if fields[4].isEverything { days.weekdays = 0 }
    self.days = days
  }
}

/// English names of months and weekdays, three letters, either case.
enum CalendarNames {
  /// From number 1 on.
  static let months = ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
  /// From number 0 on.
  static let weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
}

/// One field while it is read.
struct CronField {
  struct Kind {
    var name: String
    var range: ClosedRange<Int>
    var names: [String] = []
  }

  let bytes: [UInt8]
  /// Column of its first byte, from 1.
  let column: Int

  static func split(_ bytes: [UInt8]) -> [CronField] {
    var fields: [CronField] = []
    var index = 0
    while index < bytes.count {
      let field = bytes[index...].prefix { $0 != 0x20 && $0 != 0x09 }
      if field.isEmpty {
        index += 1
        continue
      }
      fields.append(CronField(bytes: Array(field), column: index + 1))
      index = field.endIndex
    }
    return fields
  }

  var isOpen: Bool { bytes.first == UInt8(ascii: "*") || bytes == [UInt8(ascii: "?")] }

  var isEverything: Bool { bytes == [UInt8(ascii: "*")] || bytes == [UInt8(ascii: "?")] }

  /// An element of a list, with its column.
  struct Element {
    var text: String
    var column: Int
  }

  private func elements(_ kind: Kind) throws(ScheduleError) -> [Element] {
    var elements: [Element] = []
    var column = column
    for part in bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let text = String(decoding: part, as: UTF8.self).uppercased()
      if text.isEmpty {
        throw ScheduleError("an empty element in the field '\(kind.name)'", fix: "remove the comma, or write a value", column: column)
      }
      elements.append(Element(text: text, column: column))
      column += part.count + 1
    }
    return elements
  }

  /// A bit for each value.
  func values(_ kind: Kind) throws(ScheduleError) -> UInt64 {
    var bits: UInt64 = 0
    for element in try elements(kind) { bits |= try Self.values(element, kind) }
    return bits
  }

  func monthDays(_ kind: Kind, _ days: inout DayRule) throws(ScheduleError) {
    for element in try elements(kind) {
      let text = element.text
      if text == "?" {
        days.monthDays = ~1
      } else if text == "LW" || text == "WL" {
        days.nearWorkdays |= 1
      } else if text.hasPrefix("L") {
        days.beforeLast |= 1 << UInt32(try Self.daysBeforeLast(element))
      } else if text.hasSuffix("W") {
        let day = try Self.number(text.dropLast(), kind, column: element.column)
        days.nearWorkdays |= 1 << UInt32(day)
      } else {
        days.monthDays |= UInt32(truncatingIfNeeded: try Self.values(element, kind))
      }
    }
  }

  private static func daysBeforeLast(_ element: Element) throws(ScheduleError) -> Int {
    if element.text == "L" { return 0 }
    if element.text.hasPrefix("L-"), let back = Int(element.text.dropFirst(2)), 1...30 ~= back { return back }
    throw ScheduleError(
      "'\(element.text.prefix(40))' is no day of month",
      fix: "write L for the last day, L-3 for the third before it, LW for the last weekday",
      column: element.column)
  }

  func weekdays(_ kind: Kind, _ days: inout DayRule) throws(ScheduleError) {
    for element in try elements(kind) {
      let text = element.text
      if text == "?" {
        days.weekdays = 0x7F
      } else if text == "L" {
        throw ScheduleError(
          "'L' alone means nothing as a day of week", fix: "write SAT, or FRIL for the last Friday", column: element.column)
      } else if let mark = text.firstIndex(of: "#") {
        let weekday = try Self.number(text[..<mark], kind, column: element.column) % 7
        guard let nth = Int(text[text.index(after: mark)...]), 1...5 ~= nth else {
          throw ScheduleError(
            "'\(text.prefix(40))' names no week of a month", fix: "write #1 to #5, as MON#1 for the first Monday", column: element.column)
        }
        days.nthWeekdays |= 1 << UInt64(weekday * 8 + nth)
      } else if text.hasSuffix("L") {
        let weekday = try Self.number(text.dropLast(), kind, column: element.column) % 7
        days.nthWeekdays |= 1 << UInt64(weekday * 8)
      } else {
        let bits = try Self.values(element, kind)
        days.weekdays |= UInt8(truncatingIfNeeded: bits & 0x7F | bits >> 7 & 1)
      }
    }
  }

  // MARK: Elements

  /// `*`, `5`, `1-5`, `MON-FRI`, each with `/2`.
  private static func values(_ element: Element, _ kind: Kind) throws(ScheduleError) -> UInt64 {
    let parts = element.text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let range = try range(parts[0], kind, column: element.column, hasStep: parts.count > 1)
    var step = 1
    if parts.count > 1 {
      guard let number = Int(parts[1]), 1...kind.range.upperBound ~= number else {
        throw ScheduleError(
          "'/\(parts[1].prefix(20))' is no step for the field '\(kind.name)'", fix: "write a number from 1 to \(kind.range.upperBound)",
          column: element.column + parts[0].utf8.count)
      }
      step = number
    }
    return stride(from: range.lowerBound, through: range.upperBound, by: step).reduce(0) { $0 | 1 << UInt64($1) }
  }

  private static func range(_ text: Substring, _ kind: Kind, column: Int, hasStep: Bool) throws(ScheduleError) -> ClosedRange<Int> {
    // Sunday must not count twice in steps.
    let whole = kind.range.upperBound == 7 ? 0...6 : kind.range
    if text == "*" { return whole }
    let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    let first = try number(ends[0], kind, column: column)
    guard ends.count > 1 else { return hasStep ? first...max(first, whole.upperBound) : first...first }
    var last = try number(ends[1], kind, column: column + ends[0].utf8.count + 1)
    if kind.range.upperBound == 7, last == 0, first > 0 { last = 7 }
    guard first <= last else {
      throw ScheduleError(
        "the range '\(text.prefix(40))' runs backwards in the field '\(kind.name)'",
        fix: "write two: '\(ends[0].prefix(20))-\(whole.upperBound),\(whole.lowerBound)-\(ends[1].prefix(20))'", column: column)
    }
    return first...last
  }

  private static func number(_ text: Substring, _ kind: Kind, column: Int) throws(ScheduleError) -> Int {
    if let index = kind.names.firstIndex(of: String(text)), !text.isEmpty { return index }
    let isNumber = !text.isEmpty && text.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
    if isNumber, let number = Int(text), kind.range.contains(number) { return number }
    let names = kind.names.filter { !$0.isEmpty }
    let range = "\(kind.range.lowerBound) to \(kind.range.upperBound)"
    throw ScheduleError(
      "'\(text.prefix(40))' is no value for the field '\(kind.name)'",
      fix: names.isEmpty
        ? "write \(range), a list, a range as 1-5, or a step as */5" : "write \(range), or \(names[0]) to \(names[names.count - 1])",
      column: column)
  }
}
