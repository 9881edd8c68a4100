/// A text of an input with `${params.name}` in it. `$${` stands for `${`.
struct Template {
  enum Part: Hashable {
    case text(String)
    case parameter(String)
  }

  struct SyntaxError: Error, Hashable {
    let message: String
    let fix: String
  }

  let parts: [Part]

  /// nil if the text holds no `${`, as most do: then there is nothing to replace.
  init?(_ text: String) throws(SyntaxError) {
    guard text.utf8.contains(UInt8(ascii: "$")), text.contains("${") else { return nil }
    var parts: [Part] = []
    var literal = ""
    var rest = text[...]
    while let dollar = rest.firstIndex(of: "$") {
      literal += rest[..<dollar]
      rest = rest[dollar...]
      if rest.hasPrefix("$${") {
        literal += "${"
        rest = rest.dropFirst(3)
      } else if rest.hasPrefix("${") {
        if !literal.isEmpty { parts.append(.text(literal)) }
        literal = ""
        parts.append(.parameter(try Self.parameter(&rest)))
      } else {
        literal += "$"
        rest = rest.dropFirst()
      }
    }
    literal += rest
    if !literal.isEmpty { parts.append(.text(literal)) }
    self.parts = parts
  }

  private static func parameter(_ rest: inout Substring) throws(SyntaxError) -> String {
    guard let close = rest.firstIndex(of: "}") else {
      throw SyntaxError(message: "'\(rest.prefix(40))' is not closed", fix: "write ${params.NAME}, or $${ for a literal ${")
    }
    let expression = rest[..<close].dropFirst(2)
    let name = expression.dropFirst("params.".count)
    guard expression.hasPrefix("params."), Identifier.isParameterName(String(name)) else {
      throw SyntaxError(
        message: "'${\(expression.prefix(80))}' is not an expression of this release",
        fix: "only ${params.NAME} is allowed now; write $${ for a literal ${")
    }
    rest = rest[rest.index(after: close)...]
    return String(name)
  }

  /// The value: a parameter that is the whole text keeps its type, inside text it is inserted as text.
  func value(_ parameters: [String: JSON]) -> JSON {
    if parts.count == 1, case .parameter(let name) = parts[0] { return parameters[name] ?? .null }
    var result = ""
    for part in parts {
      switch part {
      case .text(let text): result += text
      case .parameter(let name):
        let value = parameters[name] ?? .null
        result += value.string ?? value.text()
      }
    }
    return .string(result)
  }
}

/// What names may look like.
enum Identifier {
  static let maximumLength = 128
  static let maximumHandlerLength = 256

  /// `[A-Za-z0-9._-]{1,128}`: ids of tasks and workflows, keys of concurrency.
  static func isId(_ text: String) -> Bool {
    1...maximumLength ~= text.utf8.count && text.utf8.allSatisfy { isWord($0) || $0 == UInt8(ascii: ".") }
  }

  /// `[A-Za-z0-9_-]{1,128}`.
  static func isParameterName(_ text: String) -> Bool { 1...maximumLength ~= text.utf8.count && text.utf8.allSatisfy(isWord) }

  /// `[A-Za-z0-9._/-]{1,256}`: `plugin/handler`, or a name that an embedding program registered.
  static func isHandler(_ text: String) -> Bool {
    1...maximumHandlerLength ~= text.utf8.count && text.utf8.allSatisfy { isWord($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") }
  }

  static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"),
      UInt8(ascii: "-"):
      true
    default: false
    }
  }
}
