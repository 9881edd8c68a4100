/// A value while an expression is evaluated: a scalar, or a part of a text where it lies. Nothing is copied.
enum ExpressionValue {
  case null
  case bool(Bool)
  case integer(Int64)
  /// With the text it was read from, which is exact where the number is not; empty for a literal.
  case number(Double, Bytes)
  /// As it is.
  case text(Bytes)
  /// What stands between the quotes of a JSON text, escapes as they are.
  case string(Bytes)
  /// JSON text, from bracket to bracket.
  case list(Bytes)
  case object(Bytes)

  /// For a message.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool: "true or false"
    case .integer, .number: "a number"
    case .text, .string: "text"
    case .list: "a list"
    case .object: "an object"
    }
  }
}

/// The characters of a text, escapes resolved.
struct TextCursor {
  private let bytes: Bytes
  private let isEscaped: Bool
  private var scanner: JSONScanner
  private var index = 0

  /// nil: the value is no text.
  init?(_ value: ExpressionValue) {
    switch value {
    case .text(let bytes):
      self.bytes = bytes
      isEscaped = false
    case .string(let bytes):
      self.bytes = bytes
      isEscaped = bytes.first(UInt8(ascii: "\\")) != nil
    default: return nil
    }
    scanner = JSONScanner(bytes)
  }

  /// The next character; nil: there is none. Bytes that are no UTF-8 count one by one as U+FFFD.
  mutating func next() -> Unicode.Scalar? {
    guard index < bytes.count else { return nil }
    let lead = bytes[index]
    if lead == UInt8(ascii: "\\"), isEscaped {
      scanner = JSONScanner(bytes, at: index)
      let scalar = scanner.escape() ?? "\u{FFFD}"
      index = max(scanner.index, index + 1)
      return scalar
    }
    if lead < 0x80 {
      index += 1
      return Unicode.Scalar(lead)
    }
    guard let length = bytes.utf8Length(at: index) else {
      index += 1
      return "\u{FFFD}"
    }
    var code = UInt32(lead) & (length == 2 ? 0x1F : length == 3 ? 0x0F : 0x07)
    for i in 1..<length { code = code << 6 | UInt32(bytes[index + i] & 0x3F) }
    index += length
    return Unicode.Scalar(code) ?? "\u{FFFD}"
  }

  /// Below, at or above zero as `a` stands before, at or behind `b`, by the numbers of their characters. Complexity: O(shorter text).
  static func order(_ a: ExpressionValue, _ b: ExpressionValue) -> Int {
    guard var left = TextCursor(a), var right = TextCursor(b) else { return 0 }
    while true {
      switch (left.next(), right.next()) {
      case (nil, nil): return 0
      case (nil, _): return -1
      case (_, nil): return 1
      case (let x?, let y?): if x != y { return x.value < y.value ? -1 : 1 }
      }
    }
  }

  /// Longest text that is searched for, bytes.
  static let maximumPart = 4_096

  /// Whether `part`, of at most `maximumPart` bytes, occurs in `whole`. Complexity: O(whole + part). Source: Knuth, Morris and Pratt 1977.
  static func contains(_ whole: ExpressionValue, _ part: ExpressionValue) -> Bool {
    guard var text = TextCursor(whole), var rest = TextCursor(part) else { return false }
    var wanted: [Unicode.Scalar] = []
    while let character = rest.next() { wanted.append(character) }
    if wanted.isEmpty { return true }
    // How much of `wanted` still fits where its character `i` does not.
    var shorter = [0]
    var length = 0
    for i in wanted.indices.dropFirst() {
      while length > 0, wanted[i] != wanted[length] { length = shorter[length - 1] }
      if wanted[i] == wanted[length] { length += 1 }
      shorter.append(length)
    }
    length = 0
    while let character = text.next() {
      while length > 0, character != wanted[length] { length = shorter[length - 1] }
      if character == wanted[length] { length += 1 }
      if length == wanted.count { return true }
    }
    return false
  }

  /// Complexity: O(text).
  static func count(_ value: ExpressionValue) -> Int {
    guard var cursor = TextCursor(value) else { return 0 }
    var count = 0
    while cursor.next() != nil { count += 1 }
    return count
  }
}

extension ExpressionValue {
  /// Below, at or above zero; exact, also where an integer is no double. A double here is finite.
  static func order(_ a: Int64, _ b: Double) -> Int {
    // 2^63 and all above it, and all below -2^63, lie outside the integers.
    if b >= 9_223_372_036_854_775_808 { return -1 }
    if b < -9_223_372_036_854_775_808 { return 1 }
    let whole = b.rounded(.down)
    let integer = Int64(whole)
    if a != integer { return a < integer ? -1 : 1 }
    return whole < b ? -1 : 0
  }

  /// The order of two numbers, or of two texts; nil: there is none.
  static func order(_ a: ExpressionValue, _ b: ExpressionValue) -> Int? {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): a < b ? -1 : a == b ? 0 : 1
    case (.number(let a, _), .number(let b, _)): a < b ? -1 : a == b ? 0 : 1
    case (.integer(let a), .number(let b, _)): order(a, b)
    case (.number(let a, _), .integer(let b)): -order(b, a)
    case (.text, .text), (.text, .string), (.string, .text), (.string, .string): TextCursor.order(a, b)
    default: nil
    }
  }

  /// Values of different types are not equal; lists are equal element by element. Objects are not compared.
  ///
  /// Complexity: O(bytes of both).
  static func areEqual(_ a: ExpressionValue, _ b: ExpressionValue) throws(ExpressionError) -> Bool {
    if let order = order(a, b) { return order == 0 }
    switch (a, b) {
    case (.null, .null): return true
    case (.bool(let a), .bool(let b)): return a == b
    case (.list(let a), .list(let b)): return try areEqual(a, b)
    case (.object, .object):
      throw ExpressionError(kind: .type, offset: 0, message: "objects are not compared", fix: "compare their members")
    default: return false
    }
  }

  private static func areEqual(_ a: Bytes, _ b: Bytes) throws(ExpressionError) -> Bool {
    var left = JSONScanner(a)
    var right = JSONScanner(b)
    var leftGoesOn = try left.enter(element: 0)
    var rightGoesOn = try right.enter(element: 0)
    while leftGoesOn, rightGoesOn {
      guard try areEqual(left.value(depth: 1), right.value(depth: 1)) else { return false }
      leftGoesOn = try left.goOn()
      rightGoesOn = try right.goOn()
    }
    return leftGoesOn == rightGoesOn
  }
}
