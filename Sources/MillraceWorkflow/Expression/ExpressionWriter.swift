/// Writes values where expressions stood: as JSON, or into a text.
struct ExpressionWriter {
  private(set) var bytes: [UInt8] = []
  /// Bytes that may be written.
  let limit: Int

  init(limit: Int) { self.limit = limit }

  private mutating func room(_ count: Int) throws(ExpressionError) {
    guard count <= limit - bytes.count else {
      throw ExpressionError(
        kind: .limit, offset: 0, message: "more than \(limit) bytes with the values of its expressions", fix: "pass large values by file")
    }
  }

  mutating func literal(_ part: some Collection<UInt8>) throws(ExpressionError) {
    try room(part.count)
    bytes.append(contentsOf: part)
  }

  private mutating func copy(_ part: Bytes) throws(ExpressionError) {
    try room(part.count)
    unsafe part.withBuffer { unsafe bytes.append(contentsOf: $0) }
  }

  /// The value as JSON.
  mutating func json(_ value: ExpressionValue) throws(ExpressionError) {
    switch value {
    case .text, .string:
      try literal("\"".utf8)
      try inserted(value)
      try literal("\"".utf8)
    default: try plain(value)
    }
  }

  /// The value as text between the quotes of a JSON text.
  mutating func inserted(_ value: ExpressionValue) throws(ExpressionError) {
    switch value {
    case .string(let text): try copy(text)
    case .text(let text), .list(let text), .object(let text): try escaped(text)
    default: try plain(value)
    }
  }

  /// The value as text.
  mutating func plain(_ value: ExpressionValue) throws(ExpressionError) {
    switch value {
    case .null: try literal("null".utf8)
    case .bool(let flag): try literal((flag ? "true" : "false").utf8)
    case .integer(let number): try literal(String(number).utf8)
    case .number(let number, let source):
      if source.isEmpty { try literal(number.description.utf8) } else { try copy(source) }
    case .text(let text), .list(let text), .object(let text): try copy(text)
    case .string:
      guard var cursor = TextCursor(value) else { return }
      while let character = cursor.next() { try literal(UTF8.encode(character)!) }
    }
  }

  private mutating func escaped(_ text: Bytes) throws(ExpressionError) {
    var start = 0
    for index in 0..<text.count {
      let byte = text[index]
      guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
      try copy(text[start..<index])
      switch byte {
      case 0x0A: try literal("\\n".utf8)
      case 0x0D: try literal("\\r".utf8)
      case 0x09: try literal("\\t".utf8)
      case ..<0x20: try literal(((byte < 0x10 ? "\\u000" : "\\u00") + String(byte, radix: 16)).utf8)
      default: try literal([UInt8(ascii: "\\"), byte])
      }
      start = index + 1
    }
    try copy(text.from(start))
  }
}
