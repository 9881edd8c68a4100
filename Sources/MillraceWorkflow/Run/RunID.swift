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

  /// Of the text.
  static let bytes = 36

  public var description: String {
    // unsafe: as many bytes as asked for.
    unsafe String(unsafeUninitializedCapacity: RunID.bytes) { bytes in
      unsafe write(into: bytes.baseAddress!)
      return RunID.bytes
    }
  }

  /// Writes the text. unsafe: `target` has room for `bytes`.
  @unsafe func write(into target: UnsafeMutablePointer<UInt8>) {
    var at = 0
    for i in 0..<32 {
      if i == 8 || i == 12 || i == 16 || i == 20 {
        unsafe target[at] = UInt8(ascii: "-")
        at += 1
      }
      let digit = UInt8(truncatingIfNeeded: (i < 16 ? high : low) >> UInt64(60 - i % 16 * 4) & 15)
      unsafe target[at] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
      at += 1
    }
  }
}
