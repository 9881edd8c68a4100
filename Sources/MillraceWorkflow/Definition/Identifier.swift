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

  /// `[A-Za-z_][A-Za-z0-9_]{0,127}`: variables of an environment.
  static func isVariable(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= maximumLength, !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= first) else {
      return false
    }
    return text.utf8.allSatisfy { isWord($0) && $0 != UInt8(ascii: "-") }
  }

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
