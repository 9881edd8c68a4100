extension JSON {
  /// Arrays and objects inside each other, at most.
  public static let deepest = 64

  /// Parses one JSON value, strictly: UTF-8, no trailing commas, no comments, nothing behind it.
  ///
  /// - Complexity: O(bytes).
  /// - Throws: ``JSONFault`` with the place.
  /// - Source: RFC 8259.
  public init(parsing bytes: Span<UInt8>) throws(JSONFault) {
    // The buffer outlives the closure, and the reader does not leave it.
    self = try unsafe bytes.withUnsafeBytes { buffer throws(JSONFault) in
      var reader = unsafe JSONReader(bytes: buffer)
      return try reader.document()
    }
  }
}

/// A recursive-descent parser over bytes in place.
@safe private struct JSONReader {
  // Every access goes through `peek` or a range that `peek` has passed.
  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  private var depth = 0

  init(bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

  mutating func document() throws(JSONFault) -> JSON {
    let value = try value()
    skipSpace()
    guard peek() == nil else { throw fault("expected the end") }
    return value
  }

  private func fault(_ reason: String) -> JSONFault { JSONFault(offset: position, reason: reason) }

  private func peek() -> UInt8? { unsafe position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  private mutating func value() throws(JSONFault) -> JSON {
    skipSpace()
    switch peek() {
    case UInt8(ascii: "{"): return try nested { reader throws(JSONFault) in try reader.object() }
    case UInt8(ascii: "["): return try nested { reader throws(JSONFault) in try reader.array() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"): return try number()
    case .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
    case nil: throw fault("expected a value, found the end")
    default: throw fault("expected a value")
    }
  }

  private mutating func nested(_ body: (inout JSONReader) throws(JSONFault) -> JSON) throws(JSONFault) -> JSON {
    guard depth < JSON.deepest else { throw fault("deeper than \(JSON.deepest) levels") }
    depth += 1
    position += 1
    let value = try body(&self)
    depth -= 1
    return value
  }

  private mutating func object() throws(JSONFault) -> JSON {
    var members: [JSON.Member] = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      skipSpace()
      guard peek() == UInt8(ascii: "\"") else { throw fault("expected a member's name") }
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw fault("expected ':'") }
      members.append(JSON.Member(name: name, value: try value()))
      skipSpace()
      if take(UInt8(ascii: "}")) { return .object(members) }
      guard take(UInt8(ascii: ",")) else { throw fault("expected ',' or '}'") }
    }
  }

  private mutating func array() throws(JSONFault) -> JSON {
    var values: [JSON] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(values) }
    while true {
      values.append(try value())
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(values) }
      guard take(UInt8(ascii: ",")) else { throw fault("expected ',' or ']'") }
    }
  }

  private mutating func word(_ word: String, _ value: JSON) throws(JSONFault) -> JSON {
    for byte in word.utf8 { guard take(byte) else { throw fault("expected \(word)") } }
    return value
  }

  private mutating func number() throws(JSONFault) -> JSON {
    let start = position
    var isInteger = true
    _ = take(UInt8(ascii: "-"))
    if !take(UInt8(ascii: "0")) { try digits() }
    if take(UInt8(ascii: ".")) {
      isInteger = false
      try digits()
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isInteger = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    // The range was passed by `peek`.
    let text = unsafe String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let integer = Int64(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else { throw JSONFault(offset: start, reason: "a number beyond 64 bits") }
    return .number(number)
  }

  private mutating func digits() throws(JSONFault) {
    guard let first = peek(), (0x30...0x39).contains(first) else { throw fault("expected a digit") }
    while let byte = peek(), (0x30...0x39).contains(byte) { position += 1 }
  }

  /// At the opening quote.
  private mutating func string() throws(JSONFault) -> String {
    position += 1
    var text = ""
    while true {
      let start = position
      while let byte = peek(), byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
      // The range was passed by `peek`.
      guard let plain = unsafe String(validating: UnsafeRawBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self) else {
        throw JSONFault(offset: start, reason: "a string that is not UTF-8")
      }
      if text.isEmpty { text = plain } else { text += plain }
      if take(UInt8(ascii: "\"")) { return text }
      guard take(UInt8(ascii: "\\")) else { throw fault(peek() == nil ? "a string without end" : "a control character in a string") }
      text.unicodeScalars.append(try escape())
    }
  }

  private mutating func escape() throws(JSONFault) -> Unicode.Scalar {
    guard let byte = peek() else { throw fault("a string without end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let first = try fourDigits()
      if let scalar = Unicode.Scalar(first) { return scalar }
      // Outside the first plane: a pair of surrogates, high then low.
      guard first < 0xdc00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw fault("half of a surrogate pair") }
      let second = try fourDigits()
      guard (0xdc00...0xdfff).contains(second), let scalar = Unicode.Scalar(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)) else {
        throw fault("half of a surrogate pair")
      }
      return scalar
    default: throw fault("an unknown escape")
    }
  }

  private mutating func fourDigits() throws(JSONFault) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw fault("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
