/// A text with expressions in it: `${...}`. `$${` stands for `${`.
struct Template: Sendable, Hashable {
  enum Part: Sendable, Hashable {
    case text(String)
    /// With the place of its first byte in the text.
    case expression(Expression, at: Int)
  }

  let parts: [Part]

  /// nil if the text holds no `${`, as most do: then there is nothing to replace. Errors have the place in the text.
  init?(_ text: String) throws(ExpressionError) {
    guard text.utf8.contains(UInt8(ascii: "$")), text.contains("${") else { return nil }
    let kept = KeptBytes(text.utf8)
    defer { withExtendedLifetime(kept) {} }
    let bytes = kept.bytes
    var parts: [Part] = []
    var literal: [UInt8] = []
    var index = 0
    while index < bytes.count {
      let isDollar = bytes[index] == UInt8(ascii: "$")
      let next = index + 1 < bytes.count ? bytes[index + 1] : 0
      if isDollar, next == UInt8(ascii: "$"), index + 2 < bytes.count, bytes[index + 2] == UInt8(ascii: "{") {
        literal += "${".utf8
        index += 3
      } else if isDollar, next == UInt8(ascii: "{") {
        if !literal.isEmpty { parts.append(.text(String(decoding: literal, as: UTF8.self))) }
        literal = []
        let start = index + 2
        do throws(ExpressionError) {
          let (expression, length) = try ExpressionParser.parseClosed(bytes.from(start))
          parts.append(.expression(expression, at: start))
          index = start + length
        } catch {
          throw error.at(start + error.offset)
        }
      } else {
        literal.append(bytes[index])
        index += 1
      }
    }
    if !literal.isEmpty { parts.append(.text(String(decoding: literal, as: UTF8.self))) }
    self.parts = parts
  }

  /// The expression that is the whole text; nil: there is other text beside it, or none.
  var whole: Expression? {
    if parts.count == 1, case .expression(let expression, _) = parts[0] { return expression }
    return nil
  }

  /// Place of the character at a byte of a text, from 1.
  static func character(at offset: Int, in text: String) -> Int { 1 + text.utf8.prefix(offset).count { $0 & 0xC0 != 0x80 } }
}
