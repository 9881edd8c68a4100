/// Walks over JSON text without building anything of it. What it passes it checks as strictly as `JSON(parsing:)`, except that it does not look for
/// members that occur twice: the first counts. The recursion is bounded by `JSON.maximumDepth`.
struct JSONScanner {
  private let text: Bytes
  private(set) var index: Int

  init(_ text: Bytes, at index: Int = 0) {
    self.text = text
    self.index = index
  }

  private var current: UInt8 { index < text.count ? text[index] : 0 }

  mutating func skipSpace() {
    while index < text.count {
      switch text[index] {
      case 0x20, 0x09, 0x0A, 0x0D: index += 1
      default: return
      }
    }
  }

  /// What begins here.
  enum Kind { case object, list, other }

  var kind: Kind {
    switch current {
    case UInt8(ascii: "{"): .object
    case UInt8(ascii: "["): .list
    default: .other
    }
  }

  // MARK: Values

  /// The value that begins here, and moves behind it.
  mutating func value(depth: Int = 0) throws(ExpressionError) -> ExpressionValue {
    let start = index
    switch current {
    case UInt8(ascii: "{"):
      try skipContainer(UInt8(ascii: "}"), isObject: true, depth: depth + 1)
      return .object(text[start..<index])
    case UInt8(ascii: "["):
      try skipContainer(UInt8(ascii: "]"), isObject: false, depth: depth + 1)
      return .list(text[start..<index])
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw broken()
    }
  }

  private mutating func word(_ word: StaticString, _ value: ExpressionValue) throws(ExpressionError) -> ExpressionValue {
    let length = word.utf8CodeUnitCount
    guard text.count - index >= length else { throw broken() }
    // unsafe: a static string of ASCII has `length` bytes.
    for i in 0..<length where unsafe text[index + i] != word.utf8Start[i] { throw broken() }
    index += length
    return value
  }

  private mutating func skipContainer(_ close: UInt8, isObject: Bool, depth: Int) throws(ExpressionError) {
    if depth > JSON.maximumDepth {
      throw ExpressionError(
        kind: .limit, offset: 0, message: "JSON nested more than \(JSON.maximumDepth) deep", fix: "let the task give fewer levels")
    }
    index += 1
    skipSpace()
    if take(close) { return }
    while true {
      if isObject { _ = try name() }
      _ = try value(depth: depth)
      skipSpace()
      if take(close) { return }
      guard take(UInt8(ascii: ",")) else { throw broken() }
      skipSpace()
    }
  }

  /// A member's name with its colon, and moves to the value.
  private mutating func name() throws(ExpressionError) -> Bytes {
    guard current == UInt8(ascii: "\"") else { throw broken() }
    let name = try string()
    skipSpace()
    guard take(UInt8(ascii: ":")) else { throw broken() }
    skipSpace()
    return name
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    index += 1
    return true
  }

  // MARK: Parts

  /// Moves to the value of the member of the object that begins here; false: there is none.
  mutating func enter(member wanted: ExpressionValue) throws(ExpressionError) -> Bool {
    index += 1
    skipSpace()
    if current == UInt8(ascii: "}") { return false }
    while true {
      let name = try name()
      if TextCursor.order(.string(name), wanted) == 0 { return true }
      guard try next(after: UInt8(ascii: "}")) else { return false }
    }
  }

  /// Moves to an element of the list that begins here; false: there are not so many.
  mutating func enter(element wanted: Int) throws(ExpressionError) -> Bool {
    index += 1
    skipSpace()
    if current == UInt8(ascii: "]") { return false }
    for _ in 0..<wanted {
      guard try next(after: UInt8(ascii: "]")) else { return false }
    }
    return true
  }

  /// Passes a value and the comma behind it; false: it was the last.
  private mutating func next(after close: UInt8) throws(ExpressionError) -> Bool {
    _ = try value(depth: 1)
    return try goOn(until: close)
  }

  /// Passes the comma behind a value; false: it was the last.
  mutating func goOn(until close: UInt8 = UInt8(ascii: "]")) throws(ExpressionError) -> Bool {
    skipSpace()
    if current == close { return false }
    guard take(UInt8(ascii: ",")) else { throw broken() }
    skipSpace()
    return true
  }

  /// Elements of the list, or members of the object, that begins here.
  mutating func count() throws(ExpressionError) -> Int {
    let isObject = kind == .object
    let close = isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
    index += 1
    skipSpace()
    if current == close { return 0 }
    var count = 0
    while true {
      if isObject { _ = try name() }
      count += 1
      guard try next(after: close) else { return count }
    }
  }

  /// Whether an element of the list that begins here equals `wanted`.
  mutating func contains(_ wanted: ExpressionValue) throws(ExpressionError) -> Bool {
    guard try enter(element: 0) else { return false }
    repeat {
      if try ExpressionValue.areEqual(value(depth: 1), wanted) { return true }
    } while try goOn()
    return false
  }

  // MARK: Scalars

  /// What stands between the quotes, escapes as they are, and moves behind them.
  private mutating func string() throws(ExpressionError) -> Bytes {
    index += 1
    let start = index
    while index < text.count {
      let byte = text[index]
      switch byte {
      case UInt8(ascii: "\""):
        index += 1
        return text[start..<index - 1]
      case UInt8(ascii: "\\"): guard escape() != nil else { throw broken() }
      case ..<0x20: throw broken()
      case ..<0x80: index += 1
      default:
        guard let length = text.utf8Length(at: index) else { throw broken() }
        index += length
      }
    }
    throw broken()
  }

  /// The character of the escape that begins here, and moves behind it; nil: it is none of JSON's.
  mutating func escape() -> Unicode.Scalar? {
    guard index + 1 < text.count else { return nil }
    let byte = text[index + 1]
    index += 2
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      guard let high = fourHexDigits() else { return nil }
      guard 0xD800..<0xDC00 ~= high else { return Unicode.Scalar(high) }
      guard index + 1 < text.count, text[index] == UInt8(ascii: "\\"), text[index + 1] == UInt8(ascii: "u") else { return nil }
      index += 2
      guard let low = fourHexDigits(), 0xDC00..<0xE000 ~= low else { return nil }
      return Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
    default: return nil
    }
  }

  private mutating func fourHexDigits() -> UInt32? {
    guard text.count - index >= 4 else { return nil }
    var code: UInt32 = 0
    for _ in 0..<4 {
      let byte = text[index]
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): code = code << 4 | UInt32(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"):
        code = code << 4 | UInt32((byte | 0x20) - UInt8(ascii: "a") + 10)
      default: return nil
      }
      index += 1
    }
    return code
  }

  private mutating func number() throws(ExpressionError) -> ExpressionValue {
    let start = index
    let isNegative = take(UInt8(ascii: "-"))
    let first = index
    var magnitude: UInt64 = 0
    var fits = true
    while isDigit(current) {
      let (tens, overflow) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt64(current - UInt8(ascii: "0")))
      if overflow || carry { fits = false }
      magnitude = sum
      index += 1
    }
    guard index > first, index == first + 1 || text[first] != UInt8(ascii: "0") else { throw broken() }
    var isWhole = true
    if take(UInt8(ascii: ".")) {
      isWhole = false
      guard skipDigits() else { throw broken() }
    }
    if current | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      index += 1
      if current == UInt8(ascii: "-") || current == UInt8(ascii: "+") { index += 1 }
      guard skipDigits() else { throw broken() }
    }
    if isWhole, fits, !(isNegative && magnitude == 0) {
      if !isNegative, magnitude <= UInt64(Int64.max) { return .integer(Int64(magnitude)) }
      if isNegative, magnitude <= UInt64(Int64.max) + 1 { return .integer(Int64(truncatingIfNeeded: 0 &- magnitude)) }
    }
    let source = text[start..<index]
    guard let value = Double(String(source)), value.isFinite else { throw broken() }
    return .number(value, source)
  }

  private mutating func skipDigits() -> Bool {
    guard isDigit(current) else { return false }
    while isDigit(current) { index += 1 }
    return true
  }

  private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

  private func broken() -> ExpressionError {
    ExpressionError(kind: .type, offset: 0, message: "no JSON at byte \(index)", fix: "let the task give JSON")
  }
}
