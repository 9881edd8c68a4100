/// A run's id: UUID version 7, so that ids sort by the time of their making. 36 characters.
///
/// Source: RFC 9562, section 5.7.
public struct RunID: Sendable, Hashable, CustomStringConvertible {
  /// Milliseconds since 1970 in 48 bits, the version in 4, 12 random bits.
  public let high: UInt64
  /// The variant in 2 bits, 62 random bits.
  public let low: UInt64

  /// `wall`: nanoseconds since 1970; `random`: 74 bits are taken from it.
  public init(wall: Int64, random: inout some RandomNumberGenerator) {
    let milliseconds = UInt64(max(wall, 0) / 1_000_000) & 0xFFFF_FFFF_FFFF
    high = milliseconds << 16 | 0x7000 | random.next() & 0x0FFF
    low = 0x8000_0000_0000_0000 | random.next() & 0x3FFF_FFFF_FFFF_FFFF
  }

  public var description: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for (i, shift) in stride(from: 60, through: 0, by: -4).enumerated() {
      if i == 8 || i == 12 { text.append(UInt8(ascii: "-")) }
      text.append(digits[Int(high >> UInt64(shift) & 15)])
    }
    text.append(UInt8(ascii: "-"))
    for (i, shift) in stride(from: 60, through: 0, by: -4).enumerated() {
      if i == 4 { text.append(UInt8(ascii: "-")) }
      text.append(digits[Int(low >> UInt64(shift) & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
