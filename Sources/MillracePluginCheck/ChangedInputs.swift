/// Inputs that are nearly right.
enum ChangedInputs {
  private static let longest = 64 << 10
  /// What parsers stumble over.
  private static let pieces: [[UInt8]] =
    [
      "null", "true", "[]", "{}", "\"\"", "-0", "1e309", "99999999999999999999", "\\u0000", "\\ud800", "\"", "[[[[[[[[", "}", ",", ":",
      "%s%n", "../", "\n",
    ].map { Array($0.utf8) } + [
      [0], [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [UInt8](repeating: 0x61, count: 300),
    ]

  /// One to eight changes of one of `bases`. Complexity: O(bytes).
  static func make(of bases: [[UInt8]], _ numbers: inout SeededNumbers) -> [UInt8] {
    var bytes = bases[numbers.below(bases.count)]
    for _ in 0...numbers.below(8) {
      let at = numbers.below(bytes.count + 1)
      let some = min(bytes.count - at, 1 + numbers.below(16))
      switch numbers.below(7) {
      case 0 where at < bytes.count: bytes[at] ^= 1 << UInt8(numbers.below(8))
      case 1 where at < bytes.count: bytes[at] = UInt8(truncatingIfNeeded: numbers.next())
      case 2: bytes.removeSubrange(at..<at + some)
      case 3: bytes.insert(contentsOf: bytes[at..<at + some], at: numbers.below(bytes.count + 1))
      case 4: bytes = Array(bytes[..<at])
      case 5:
        let other = bases[numbers.below(bases.count)]
        bytes.replaceSubrange(at..<at + some, with: other.dropFirst(numbers.below(other.count + 1)))
      default: bytes.insert(contentsOf: pieces[numbers.below(pieces.count)], at: at)
      }
    }
    return Array(bytes.prefix(longest))
  }

  /// Bytes for people: as text in quotes, or in hexadecimal; the beginning of long ones.
  static func shown(_ bytes: [UInt8]) -> String {
    let first = bytes.prefix(160)
    let rest = bytes.count > first.count ? " and \(bytes.count - first.count) bytes more" : ""
    if let text = String(validating: first, as: UTF8.self), !text.unicodeScalars.contains(where: { $0.value < 32 && $0 != "\n" }) {
      return (bytes.isEmpty ? "no bytes" : "'" + text + "'") + rest
    }
    let digits = first.prefix(64).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    return "the bytes \(digits)" + (bytes.count > 64 ? " and \(bytes.count - 64) more" : "")
  }
}
