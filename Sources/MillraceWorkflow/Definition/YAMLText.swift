/// Writes YAML that people read: block style, texts bare where they mean the same, several lines as a block.
enum YAMLText {
  static func text(_ value: JSON) -> String {
    var lines: [String] = []
    write(value, indent: 0, &lines)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func write(_ value: JSON, indent: Int, _ lines: inout [String]) {
    let space = String(repeating: "  ", count: indent)
    switch value {
    case .object(let members) where !members.isEmpty:
      for member in members { write(member.value, after: "\(space)\(scalar(.string(member.name))):", indent: indent, &lines) }
    case .array(let elements) where !elements.isEmpty:
      for element in elements {
        if case .string(let text) = element, isBlock(text) {
          block(text, after: "\(space)-", indent: indent + 1, &lines)
          continue
        }
        var inner: [String] = []
        write(element, indent: indent + 1, &inner)
        // The first line of an element stands behind its dash.
        lines.append("\(space)- \(inner[0].dropFirst(2 * indent + 2))")
        lines += inner.dropFirst()
      }
    default: lines.append(space + scalar(value))
    }
  }

  private static func write(_ value: JSON, after key: String, indent: Int, _ lines: inout [String]) {
    switch value {
    case .object(let members) where !members.isEmpty: break
    case .array(let elements) where !elements.isEmpty:
      guard elements.allSatisfy(isShort) else { break }
      lines.append("\(key) [\(elements.map(scalar).joined(separator: ", "))]")
      return
    case .string(let text) where isBlock(text):
      block(text, after: key, indent: indent + 1, &lines)
      return
    default:
      lines.append("\(key) \(scalar(value))")
      return
    }
    lines.append(key)
    write(value, indent: indent + 1, &lines)
  }

  private static func block(_ text: String, after key: String, indent: Int, _ lines: inout [String]) {
    let space = String(repeating: "  ", count: indent)
    lines.append("\(key) |\(text.hasSuffix("\n") ? "" : "-")")
    let body = text.hasSuffix("\n") ? text.dropLast() : text[...]
    lines += body.split(separator: "\n", omittingEmptySubsequences: false).map { $0.isEmpty ? "" : space + $0 }
  }

  private static func isShort(_ value: JSON) -> Bool {
    switch value {
    case .array, .object: false
    case .string(let text): text.utf8.count <= 80 && !text.contains("\n")
    default: true
    }
  }

  /// Of several lines that a block keeps as they are.
  private static func isBlock(_ text: String) -> Bool {
    guard text.contains("\n"), let first = text.first, first != " ", first != "\n", !text.hasSuffix("\n\n"), text != "\n" else {
      return false
    }
    return text.unicodeScalars.allSatisfy {
      $0 == "\n" || (0x20..<0x7F ~= $0.value) || (0xA0...0xD7FF ~= $0.value && $0.value != 0x2028 && $0.value != 0x2029)
    }
  }

  /// Numbers, quoted texts and empty lists are JSON, which YAML holds.
  private static func scalar(_ value: JSON) -> String {
    guard case .string(let text) = value, isBare(text) else { return value.text() }
    return text
  }

  /// Means itself without quotes, inside brackets too.
  private static func isBare(_ text: String) -> Bool {
    guard let first = text.utf8.first, Identifier.isWord(first), first != UInt8(ascii: "-"), YAMLScalar.json(text) == .string(text) else {
      return false
    }
    return text.utf8.allSatisfy { Identifier.isWord($0) || "./@+".utf8.contains($0) }
  }
}
