/// Why a text is not a duration, and what to write.
public struct DurationSyntaxError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is wrong, with the text in quotes unless it is empty.
  public let message: String
  /// What to write instead.
  public let fix: String

  public var description: String { "\(message); \(fix)" }
}

/// Durations as people write them: whole numbers with units, largest first, such as `250ms`, `10s`, `1m30s`, `2h`, `1d`, `50us`, `10ns`.
public enum DurationText {
  /// Longest duration: ten years of 365 days, in nanoseconds.
  public static let maximum: UInt64 = 10 * 365 * 86_400 * 1_000_000_000

  private static let units: [(name: String, nanoseconds: UInt64)] = [
    ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000),
    ("ns", 1),
  ]
  private static let unitNames = "d, h, m, s, ms, us or ns"

  /// Nanoseconds, 0 ... `maximum`.
  public static func nanoseconds(_ text: String) throws(DurationSyntaxError) -> UInt64 {
    guard !text.isEmpty else { throw DurationSyntaxError(message: "an empty duration", fix: "write 10s, 250ms or 1m30s") }
    var rest = text[...]
    var total: UInt64 = 0
    var smallest = -1
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      guard !digits.isEmpty else {
        throw DurationSyntaxError(
          message: "'\(text)' is not a duration", fix: "write whole numbers with units, such as 10s, 250ms or 1m30s")
      }
      rest = rest[digits.endIndex...]
      let name = rest.prefix { $0.isLetter }
      rest = rest[name.endIndex...]
      guard !name.isEmpty else { throw withoutUnit(text, digits, rest) }
      guard let unit = units.firstIndex(where: { $0.name == name }) else {
        throw DurationSyntaxError(message: "'\(text)' has the unknown unit '\(name)'", fix: "the units are \(unitNames)")
      }
      guard unit > smallest else {
        throw DurationSyntaxError(
          message: "'\(text)' does not name its units from large to small", fix: "write each unit once, as in 1h30m")
      }
      smallest = unit
      let (part, overflow) = (UInt64(digits) ?? .max).multipliedReportingOverflow(by: units[unit].nanoseconds)
      guard !overflow, part <= maximum, total + part <= maximum else {
        throw DurationSyntaxError(message: "'\(text)' is longer than ten years", fix: "write at most 3650d, or leave it out for no limit")
      }
      total += part
    }
    return total
  }

  private static func withoutUnit(_ text: String, _ digits: Substring, _ rest: Substring) -> DurationSyntaxError {
    if rest.hasPrefix(".") {
      return DurationSyntaxError(message: "'\(text)' is not a whole number of its unit", fix: "use a smaller unit: 1500ms instead of 1.5s")
    }
    return DurationSyntaxError(message: "'\(text)' has no unit", fix: "write \(digits)s for seconds; the units are \(unitNames)")
  }

  /// The shortest text that reads back as this duration: `90000000000` is `1m30s`.
  public static func text(_ nanoseconds: UInt64) -> String {
    var rest = nanoseconds
    var result = ""
    for unit in units where rest >= unit.nanoseconds {
      result += "\(rest / unit.nanoseconds)\(unit.name)"
      rest %= unit.nanoseconds
    }
    return result.isEmpty ? "0s" : result
  }
}
