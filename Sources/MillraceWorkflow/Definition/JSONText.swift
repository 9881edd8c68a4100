extension JSON {
  /// This value as JSON text: one line, or with `pretty` indented by two spaces. Numbers are the shortest text that reads back as the same value;
  /// a number that JSON cannot hold (infinite, not a number) becomes `null`, as in JavaScript. Complexity: O(length of the text).
  public func text(pretty: Bool = false) -> String {
    String(decoding: utf8(pretty: pretty), as: UTF8.self)
  }

  /// `text(pretty:)` as UTF-8 bytes.
  public func utf8(pretty: Bool = false) -> [UInt8] {
    var writer = JSONWriter(pretty: pretty)
    writer.write(self)
    return writer.bytes
  }

  /// A text as a JSON string, quotes included.
  public static func quoted(_ text: String) -> String { JSON.string(text).text() }
}

/// Recursive: as deep as the value.
private struct JSONWriter {
  let pretty: Bool
  var bytes: [UInt8] = []
  private var depth = 0

  init(pretty: Bool) { self.pretty = pretty }

  mutating func write(_ value: JSON) {
    switch value {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .bool(let flag): bytes.append(contentsOf: (flag ? "true" : "false").utf8)
    case .integer(let value): bytes.append(contentsOf: String(value).utf8)
    case .number(let value): bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
    case .string(let text): write(text)
    case .array(let elements):
      between("[", "]", count: elements.count) { writer, index in writer.write(elements[index]) }
    case .object(let members):
      between("{", "}", count: members.count) { writer, index in
        writer.write(members[index].name)
        writer.bytes.append(UInt8(ascii: ":"))
        if writer.pretty { writer.bytes.append(0x20) }
        writer.write(members[index].value)
      }
    }
  }

  private mutating func between(
    _ open: Unicode.Scalar, _ close: Unicode.Scalar, count: Int, _ element: (inout JSONWriter, Int) -> Void
  ) {
    bytes.append(UInt8(ascii: open))
    depth += 1
    for index in 0..<count {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      newLine()
      element(&self, index)
    }
    depth -= 1
    if count > 0 { newLine() }
    bytes.append(UInt8(ascii: close))
  }

  private mutating func newLine() {
    guard pretty else { return }
    bytes.append(0x0A)
    bytes.append(contentsOf: repeatElement(0x20, count: 2 * depth))
  }

  private mutating func write(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case 0x0A: bytes.append(contentsOf: "\\n".utf8)
      case 0x0D: bytes.append(contentsOf: "\\r".utf8)
      case 0x09: bytes.append(contentsOf: "\\t".utf8)
      case ..<0x20:
        bytes.append(contentsOf: byte < 0x10 ? "\\u000".utf8 : "\\u00".utf8)
        bytes.append(contentsOf: String(byte, radix: 16).utf8)
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
