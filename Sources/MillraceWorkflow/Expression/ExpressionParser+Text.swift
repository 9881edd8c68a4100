/// The letters of an expression: texts and words, and what is said where something else was expected.
extension ExpressionParser {
  // MARK: Strings

  mutating func string() throws(ExpressionError) -> String {
    let at = index
    let quote = current
    index += 1
    var bytes: [UInt8] = []
    while index < text.count {
      let byte = text[index]
      if byte == quote {
        index += 1
        return String(decoding: bytes, as: UTF8.self)
      }
      if byte == UInt8(ascii: "\\") {
        try escape(&bytes)
      } else if byte < 0x20 {
        throw fault("a control character in a text", fix: "write it as an escape: \\n, \\t or \\u0000", at: index)
      } else {
        guard let length = text.utf8Length(at: index) else {
          throw fault("bytes that are no UTF-8", fix: "save the text as UTF-8", at: index)
        }
        for _ in 0..<length {
          bytes.append(text[index])
          index += 1
        }
      }
      if bytes.count > maximumBytes { throw tooLong() }
    }
    let mark = quote == UInt8(ascii: "'") ? "'" : "\""
    throw fault("a text is not closed", fix: "write the closing \(mark)", at: at)
  }

  mutating func escape(_ bytes: inout [UInt8]) throws(ExpressionError) {
    let at = index
    if index + 1 < text.count, text[index + 1] == UInt8(ascii: "'") {
      bytes.append(UInt8(ascii: "'"))
      index += 2
      return
    }
    var scanner = JSONScanner(text.from(index))
    guard let scalar = scanner.escape() else {
      throw fault("an escape that is not known", fix: "write one of \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\u0000", at: at)
    }
    bytes.append(contentsOf: UTF8.encode(scalar)!)
    index += scanner.index
  }

  // MARK: Bytes

  /// NUL past the end: it stands in no expression.
  var current: UInt8 { index < text.count ? text[index] : 0 }

  func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
  func isWord(_ byte: UInt8) -> Bool { Identifier.isWord(byte) && byte != UInt8(ascii: "-") }
  func isNumberByte(_ byte: UInt8) -> Bool {
    UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
      || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "_")
  }

  mutating func skipSpace() { while index < text.count, isSpace(text[index]) { index += 1 } }

  mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    index += 1
    return true
  }

  mutating func takeName() -> String {
    let start = index
    while index < text.count, Identifier.isWord(text[index]) { index += 1 }
    return String(text[start..<index])
  }

  /// Takes a word of the grammar, if it stands here as a whole, and the space after it.
  mutating func takeWord(_ word: StaticString) -> Bool {
    let length = word.utf8CodeUnitCount
    guard text.count - index >= length, String(text[index..<index + length]) == word.description else { return false }
    if index + length < text.count, Identifier.isWord(text[index + length]) { return false }
    index += length
    skipSpace()
    return true
  }

  mutating func append(_ operation: Expression.Operation, at: Int, operand: Int = 0) throws(ExpressionError) {
    if index > maximumBytes { throw tooLong() }
    guard nodes.count < Expression.maximumNodes else { throw tooManyNodes(at) }
    nodes.append(Expression.Node(operation: operation, at: UInt16(clamping: at), operand: UInt32(truncatingIfNeeded: operand)))
  }

  mutating func deepen(_ at: Int) throws(ExpressionError) {
    depth += 1
    if depth > Expression.maximumDepth { throw tooDeep(at) }
  }

  // MARK: Faults

  func fault(_ message: String, fix: String, at: Int, _ kind: ExpressionError.Kind = .syntax) -> ExpressionError {
    ExpressionError(kind: kind, offset: at, message: message, fix: fix)
  }

  func tooDeep(_ at: Int) -> ExpressionError {
    fault("an expression nested more than \(Expression.maximumDepth) deep", fix: "use fewer levels", at: at, .limit)
  }

  func tooManyNodes(_ at: Int) -> ExpressionError {
    fault("an expression of more than \(Expression.maximumNodes) parts", fix: "let a task compute it, and use its output", at: at, .limit)
  }

  func tooLong() -> ExpressionError {
    fault("an expression of more than \(Expression.maximumBytes) bytes", fix: "let a task compute it, and use its output", at: 0, .limit)
  }

  /// What stands at `index`, for a message.
  var shown: String {
    guard index < text.count else { return "the end of the text" }
    let byte = text[index]
    return 0x21..<0x7F ~= byte ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
  }

  func unexpected() -> ExpressionError {
    let next = index + 1 < text.count ? text[index + 1] : 0
    switch current {
    case UInt8(ascii: "="): return fault("'=' is no operator", fix: "write == to compare", at: index)
    case UInt8(ascii: "&"): return fault("'&' is no operator", fix: "write 'and'", at: index)
    case UInt8(ascii: "|"): return fault("'|' is no operator", fix: "write 'or'; for a default write ??", at: index)
    case UInt8(ascii: "!"): return fault("'!' is no operator", fix: "write 'not', or != to compare", at: index)
    case UInt8(ascii: "?"): return fault("'?' is no operator", fix: "write ?? before a default", at: index)
    case UInt8(ascii: "+"), UInt8(ascii: "*"), UInt8(ascii: "/"), UInt8(ascii: "%"), UInt8(ascii: "-"):
      return fault("\(shown) is no operator: expressions do not calculate", fix: "let a task compute it, and use its output", at: index)
    case UInt8(ascii: "$") where next == UInt8(ascii: "{"):
      return fault("'${' inside an expression", fix: "write the path without it", at: index)
    case UInt8(ascii: "{"): return fault("'{' in an expression: objects have no literal", fix: "give the object by a parameter", at: index)
    case 0 where index >= text.count:
      return fault("an expression is not closed", fix: "write the closing '}', or $${ for a literal ${", at: index)
    case UInt8(ascii: "}"): return fault("a value is missing", fix: "write a path such as params.NAME, or a literal", at: index)
    default:
      if isAtOperand { return fault("expected a value, found \(shown)", fix: "write a path such as params.NAME, or a literal", at: index) }
      return fault("\(shown) follows a value", fix: "join values by an operator: == != < <= > >= in and or ??", at: index)
    }
  }

  /// Nothing has been read, or an operator just has.
  var isAtOperand: Bool {
    var before = index
    while before > 0, isSpace(text[before - 1]) { before -= 1 }
    guard before > 0 else { return true }
    switch text[before - 1] {
    case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "<"), UInt8(ascii: ">"),
      UInt8(ascii: "?"):
      return true
    default:
      let word = String(text[max(0, before - 4)..<before])
      return ["and", "or", "not", "in", "size"].contains { word == $0 || word.hasSuffix(" " + $0) }
    }
  }
}
