/// Bytes as text, with padding.
///
/// Source: RFC 4648, section 4.
package enum Base64 {
  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// Complexity: O(length).
  package static func text(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let some = bytes[start..<min(start + 3, bytes.count)]
      let word = some.enumerated().reduce(0) { $0 | Int($1.element) << (16 - 8 * $1.offset) }
      for index in 0..<4 { text.append(index <= some.count ? digits[word >> (18 - 6 * index) & 63] : UInt8(ascii: "=")) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static let values: [UInt8: Int] = Dictionary(uniqueKeysWithValues: digits.enumerated().map { ($1, $0) })

  /// nil: it is no such text. Complexity: O(length).
  package static func bytes(_ text: String) -> [UInt8]? {
    let text = Array(text.utf8)
    guard text.count % 4 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 4 * 3)
    for start in stride(from: 0, to: text.count, by: 4) {
      let isLast = start + 4 == text.count
      let padding = isLast ? (text[start + 3] != UInt8(ascii: "=") ? 0 : text[start + 2] != UInt8(ascii: "=") ? 1 : 2) : 0
      var word = 0
      for index in 0..<4 - padding {
        guard let value = values[text[start + index]] else { return nil }
        word |= value << (18 - 6 * index)
      }
      // Bits that no byte takes are 0.
      if word & (padding == 1 ? 0xFF : padding == 2 ? 0xFFFF : 0) != 0 { return nil }
      for index in 0..<3 - padding { bytes.append(UInt8(truncatingIfNeeded: word >> (16 - 8 * index))) }
    }
    return bytes
  }
}
