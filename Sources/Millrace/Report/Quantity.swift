/// Numbers as people read them. Without Foundation: `String(format:)` costs its start-up.
package enum Quantity {
  /// `1234567` -> `1,234,567`.
  package static func integer(_ value: Int64) -> String {
    grouped(String(value.magnitude), negative: value < 0)
  }

  package static func integer(_ value: Int) -> String { integer(Int64(value)) }

  /// A number with at most `decimals` (0 ... 9) digits after the point, grouped before it; trailing zeros stay.
  /// From 1e15 on, and for what is not finite, Swift's own description.
  package static func fixed(_ value: Double, decimals: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return value.description }
    let scale = (0..<decimals).reduce(1.0) { factor, _ in factor * 10 }
    // Whole and fraction apart: value x scale might not fit the 53 bits of a double.
    var whole = value.magnitude.rounded(.towardZero)
    var fraction = ((value.magnitude - whole) * scale).rounded()
    if fraction >= scale {
      whole += 1
      fraction = 0
    }
    let isNegative = value < 0 && (whole > 0 || fraction > 0)
    let text = grouped(String(UInt64(whole)), negative: isNegative)
    if decimals == 0 { return text }
    let digits = String(UInt64(fraction))
    return text + "." + String(repeating: "0", count: decimals - digits.count) + digits
  }

  /// A number of unknown kind: an integer if it is one, else up to 3 decimals, or 6 for small ones, without trailing zeros.
  package static func number(_ value: Double) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return value.description }
    if value == value.rounded() { return fixed(value, decimals: 0) }
    if value.magnitude < 1e-6 { return value.description }
    var text = fixed(value, decimals: value.magnitude < 0.1 ? 6 : 3)
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return text
  }

  /// Thousandths as percent: `35 %`, `35.5 %`.
  package static func perMille(_ value: Int) -> String { fixed(Double(value) / 10, decimals: value % 10 == 0 ? 0 : 1) + " %" }

  /// Bytes in powers of 1024: `0 B`, `812 B`, `1.5 KiB`, `7.4 GiB`; three significant digits.
  package static func bytes(_ value: Double) -> String {
    guard value.isFinite else { return value.description }
    var scaled = value
    var unit = 0
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    // 1023.5 and above would be printed as 1,024.
    while scaled.magnitude >= 1023.5, unit < units.count - 1 {
      scaled /= 1024
      unit += 1
    }
    return fixed(scaled, decimals: unit == 0 || scaled.magnitude >= 99.95 ? 0 : 1) + " " + units[unit]
  }

  /// A duration in the unit that suits it: `0 s`, `850 ns`, `12.3 µs`, `4.56 ms`, `1.23 s`, `2 min 05 s`, `3 h 07 min`.
  package static func seconds(_ value: Double) -> String {
    guard value.isFinite else { return value.description }
    if value == 0 { return "0 s" }
    if value < 0 { return "-" + seconds(-value) }
    if value < 0.9995e-6 { return fixed(value * 1e9, decimals: 0) + " ns" }
    if value < 0.9995e-3 { return threeDigits(value * 1e6) + " µs" }
    if value < 0.9995 { return threeDigits(value * 1e3) + " ms" }
    if value < 99.95 { return threeDigits(value) + " s" }
    let whole = Int64(min(value.rounded(), 9e15))
    if whole < 3600 { return "\(whole / 60) min \(twoDigits(whole % 60)) s" }
    let minutes = (whole + 30) / 60
    return "\(integer(minutes / 60)) h \(twoDigits(minutes % 60)) min"
  }

  package static func nanoseconds(_ value: UInt64) -> String { seconds(Double(value) / 1e9) }

  /// 0 ... 1 as `0 %`, `65 %`, `0.4 %`, `99.6 %`: a part that is not all and not nothing never looks like it.
  package static func percent(_ share: Double) -> String {
    let percent = share * 100
    if percent > 0 && percent < 1 { return percent < 0.05 ? "<0.1 %" : fixed(percent, decimals: 1) + " %" }
    if percent > 99 && percent < 100 { return percent >= 99.95 ? ">99.9 %" : fixed(percent, decimals: 1) + " %" }
    return fixed(percent, decimals: 0) + " %"
  }

  /// `1 task`, `2 tasks`.
  package static func count(_ value: Int, _ noun: String) -> String { integer(value) + " " + noun + (value == 1 ? "" : "s") }

  private static func threeDigits(_ value: Double) -> String {
    fixed(value, decimals: value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
  }

  private static func twoDigits(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }

  private static func grouped(_ digits: String, negative: Bool) -> String {
    var text = negative ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return text
  }
}
