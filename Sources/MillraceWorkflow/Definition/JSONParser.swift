/// Recursive descent over bytes; the recursion is bounded by `JSON.maximumDepth`.
struct JSONParser<Tree: ParsedTree> {
  private let bytes: [UInt8]
  private var index = 0
  private var line = 1
  /// Where the line starts, moved forward by one for each continuation byte passed in it, so that `index - lineStart` counts characters.
  private var lineStart = 0
  private var scratch: [UInt8] = []
  /// Elements and entries of everything that is open, so that each finished list is allocated once, in its exact size.
  private var elements: [Tree] = []
  private var entries: [Tree.Entry] = []

  /// A name is compared with all before it up to this many members; larger objects use a set.
  private static var fewMembers: Int { 12 }

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JSONSyntaxError) -> Tree {
    guard bytes.count <= JSON.maximumBytes else {
      throw fault("the text has \(bytes.count) bytes; at most \(JSON.maximumBytes) are read", fix: "split it, or pass large values by file")
    }
    guard !bytes.starts(with: [0xEF, 0xBB, 0xBF]) else {
      throw fault("the text begins with a byte order mark", fix: "save it as UTF-8 without one")
    }
    skipSpace()
    let tree = try value(depth: 0)
    skipSpace()
    guard index == bytes.count else {
      throw fault("text goes on after the value: \(shown)", fix: "keep one value in the text")
    }
    return tree
  }

  // MARK: Values

  private mutating func value(depth: Int) throws(JSONSyntaxError) -> Tree {
    let position = here
    switch current {
    case UInt8(ascii: "{"): return try object(at: position, depth: depth + 1)
    case UInt8(ascii: "["): return try array(at: position, depth: depth + 1)
    case UInt8(ascii: "\""):
      let start = index
      let text = try string()
      // An escape is longer than what it stands for.
      return .text(text, at: position, offset: index - start == text.utf8.count + 2 ? 1 : nil)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .scalar(try number(), at: position)
    case UInt8(ascii: "t"): return try word("true", .bool(true), at: position)
    case UInt8(ascii: "f"): return try word("false", .bool(false), at: position)
    case UInt8(ascii: "n"): return try word("null", .null, at: position)
    default: throw fault("expected a value, found \(shown)", fix: "write an object, an array, a string, a number, true, false or null")
    }
  }

  private mutating func array(at position: Position, depth: Int) throws(JSONSyntaxError) -> Tree {
    try bound(depth)
    index += 1
    skipSpace()
    if take(UInt8(ascii: "]")) { return .list([], at: position) }
    let first = elements.count
    while true {
      elements.append(try value(depth: depth))
      skipSpace()
      if take(UInt8(ascii: "]")) {
        defer { elements.removeSubrange(first...) }
        return .list(Array(elements[first...]), at: position)
      }
      guard take(UInt8(ascii: ",")) else {
        throw fault("expected ',' or ']' in the array that opens at line \(position.line), found \(shown)", fix: "separate elements by ','")
      }
      skipSpace()
      guard current != UInt8(ascii: "]") else { throw fault("a comma before ']'", fix: "remove the comma") }
    }
  }

  private mutating func object(at position: Position, depth: Int) throws(JSONSyntaxError) -> Tree {
    try bound(depth)
    index += 1
    var names: Set<String> = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .map([], at: position) }
    let first = entries.count
    while true {
      guard current == UInt8(ascii: "\"") else {
        throw fault("expected a member name in double quotes, found \(shown)", fix: "write \"name\": value")
      }
      let start = here
      let name = try string()
      guard isNew(name, after: first, names: &names) else {
        throw fault("the member \"\(name)\" occurs twice in the object", fix: "remove one of them", at: start)
      }
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw fault("expected ':' after \"\(name)\", found \(shown)", fix: "write \"\(name)\": value") }
      skipSpace()
      entries.append(Tree.entry(name, at: start, try value(depth: depth)))
      skipSpace()
      if take(UInt8(ascii: "}")) {
        defer { entries.removeSubrange(first...) }
        return .map(Array(entries[first...]), at: position)
      }
      guard take(UInt8(ascii: ",")) else {
        throw fault("expected ',' or '}' in the object that opens at line \(position.line), found \(shown)", fix: "separate members by ','")
      }
      skipSpace()
      guard current != UInt8(ascii: "}") else { throw fault("a comma before '}'", fix: "remove the comma") }
    }
  }

  private func isNew(_ name: String, after first: Int, names: inout Set<String>) -> Bool {
    if entries.count - first < Self.fewMembers { return !entries[first...].contains { Tree.name(of: $0) == name } }
    if names.isEmpty { names = Set(entries[first...].map(Tree.name(of:))) }
    return names.insert(name).inserted
  }

  private mutating func word(_ text: StaticString, _ value: JSON, at position: Position) throws(JSONSyntaxError) -> Tree {
    let start = index
    while index < bytes.count, isLetter(bytes[index]) { index += 1 }
    let found = bytes[start..<index]
    guard found.elementsEqual(text.description.utf8) else {
      let shown = String(decoding: found.prefix(20), as: UTF8.self)
      throw fault("expected a value, found \(shown)", fix: "write true, false or null, or put text in double quotes", at: position)
    }
    return .scalar(value, at: position)
  }

  // MARK: Numbers

  private mutating func number() throws(JSONSyntaxError) -> JSON {
    let start = index
    let position = here
    let negative = take(UInt8(ascii: "-"))
    var digits: UInt64 = 0  // the digits of mantissa and fraction, as long as they fit
    var fits = true
    var power = 0
    guard isDigit(current) else { throw fault("a number needs a digit after '-'", fix: "write -1 or -0.5", at: position) }
    if take(UInt8(ascii: "0")) {
      guard !isDigit(current) else { throw fault("a number begins with 0", fix: "remove the leading zeros", at: position) }
    } else {
      takeDigits(&digits, &fits)
    }
    var integral = true
    if take(UInt8(ascii: ".")) {
      integral = false
      let fraction = index
      guard isDigit(current) else { throw fault("a number needs a digit after '.'", fix: "write 1.0", at: position) }
      takeDigits(&digits, &fits)
      power = fraction - index
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      integral = false
      index += 1
      let minus = current == UInt8(ascii: "-")
      if minus || current == UInt8(ascii: "+") { index += 1 }
      guard isDigit(current) else { throw fault("a number needs a digit after 'e'", fix: "write 1e3", at: position) }
      var exponent: UInt64 = 0
      var exponentFits = true
      takeDigits(&exponent, &exponentFits)
      fits = fits && exponentFits && exponent < 400
      power += fits ? (minus ? -Int(exponent) : Int(exponent)) : 0
    }
    if integral, fits, !(negative && digits == 0) {
      if !negative, digits <= UInt64(Int64.max) { return .integer(Int64(digits)) }
      if negative, digits <= UInt64(Int64.max) + 1 { return .integer(Int64(truncatingIfNeeded: 0 &- digits)) }
    }
    // Both operands exact, so one operation rounds once and the result is the nearest (Clinger 1990).
    if fits, digits <= 1 << 53, abs(power) <= 22 {
      let scale = Self.powersOfTen[abs(power)]
      let magnitude = power < 0 ? Double(digits) / scale : Double(digits) * scale
      return .number(negative ? -magnitude : magnitude)
    }
    let text = String(decoding: bytes[start..<index], as: UTF8.self)
    guard let value = Double(text), value.isFinite else {
      throw fault("the number \(text.prefix(40)) is too large", fix: "write it as a string, or within 1.8e308", at: position)
    }
    return .number(value)
  }

  private static var powersOfTen: [Double] { exactPowersOfTen }

  private mutating func takeDigits(_ value: inout UInt64, _ fits: inout Bool) {
    while isDigit(current) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt64(bytes[index] &- UInt8(ascii: "0")))
      if overflow || carry { fits = false }
      value = sum
      index += 1
    }
  }

  // MARK: Strings

  private mutating func string() throws(JSONSyntaxError) -> String {
    let position = here
    index += 1
    let start = index
    var ascii = true
    while index < bytes.count {
      let byte = bytes[index]
      if byte == UInt8(ascii: "\"") {
        let end = index
        index += 1
        return try text(start..<end, ascii: ascii, at: position)
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start, ascii: ascii, at: position) }
      if byte < 0x20 { throw controlCharacter(byte) }
      if byte >= 0x80 {
        ascii = false
        if byte & 0xC0 == 0x80 { lineStart += 1 }
      }
      index += 1
    }
    throw fault("a string is not closed", fix: "write the closing '\"'", at: position)
  }

  private func text(_ range: Range<Int>, ascii: Bool, at position: Position) throws(JSONSyntaxError) -> String {
    if ascii { return String(decoding: bytes[range], as: UTF8.self) }
    guard let text = String(validating: bytes[range], as: UTF8.self) else { throw invalidUTF8(position) }
    return text
  }

  private mutating func escapedString(from start: Int, ascii: Bool, at position: Position) throws(JSONSyntaxError) -> String {
    scratch.removeAll(keepingCapacity: true)
    scratch.append(contentsOf: bytes[start..<index])
    while index < bytes.count {
      let byte = bytes[index]
      switch byte {
      case UInt8(ascii: "\""):
        index += 1
        guard let text = String(validating: scratch, as: UTF8.self) else { throw invalidUTF8(position) }
        return text
      case UInt8(ascii: "\\"):
        try escape()
        continue
      case ..<0x20: throw controlCharacter(byte)
      default:
        if byte & 0xC0 == 0x80 { lineStart += 1 }
        scratch.append(byte)
      }
      index += 1
    }
    throw fault("a string is not closed", fix: "write the closing '\"'", at: position)
  }

  private mutating func escape() throws(JSONSyntaxError) {
    let position = here
    index += 1
    let byte = current
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scratch.append(byte)
    case UInt8(ascii: "b"): scratch.append(0x08)
    case UInt8(ascii: "f"): scratch.append(0x0C)
    case UInt8(ascii: "n"): scratch.append(0x0A)
    case UInt8(ascii: "r"): scratch.append(0x0D)
    case UInt8(ascii: "t"): scratch.append(0x09)
    case UInt8(ascii: "u"):
      var code = try fourHexDigits(at: position)
      if 0xD800..<0xDC00 ~= code, current == UInt8(ascii: "\\"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "u") {
        index += 2
        let low = try fourHexDigits(at: position)
        guard 0xDC00..<0xE000 ~= low else { throw loneSurrogate(position) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw loneSurrogate(position) }
      scratch.append(contentsOf: UTF8.encode(scalar)!)
    default:
      throw fault("an escape that JSON does not know", fix: "write one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0000", at: position)
    }
  }

  private mutating func fourHexDigits(at position: Position) throws(JSONSyntaxError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = hexDigit(current) else {
        throw fault("\\u needs four hexadecimal digits", fix: "write \\u00e9, for example", at: position)
      }
      code = code << 4 | UInt32(digit)
      index += 1
    }
    return code
  }

  // MARK: Bytes

  /// NUL past the end: it is legal nowhere in JSON.
  private var current: UInt8 { index < bytes.count ? bytes[index] : 0 }

  private var here: Position { Position(line: UInt32(truncatingIfNeeded: line), column: UInt32(truncatingIfNeeded: index - lineStart + 1)) }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    index += 1
    return true
  }

  private mutating func skipSpace() {
    while index < bytes.count {
      switch bytes[index] {
      case 0x20, 0x09, 0x0D: index += 1
      case 0x0A:
        index += 1
        line += 1
        lineStart = index
      default: return
      }
    }
  }

  private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

  private func isLetter(_ byte: UInt8) -> Bool { UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 }

  private func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  // MARK: Faults

  private func bound(_ depth: Int) throws(JSONSyntaxError) {
    guard depth <= JSON.maximumDepth else {
      throw fault("arrays and objects are nested more than \(JSON.maximumDepth) deep", fix: "use fewer levels")
    }
  }

  private func fault(_ message: String, fix: String, at position: Position? = nil) -> JSONSyntaxError {
    let place = position ?? here
    return JSONSyntaxError(message: message.printable, fix: fix.printable, line: Int(place.line), column: Int(place.column))
  }

  private func controlCharacter(_ byte: UInt8) -> JSONSyntaxError {
    let name = byte == 0x0A ? "a line break" : byte == 0x09 ? "a tab" : "a control character"
    return fault(
      "\(name) inside a string", fix: "write \(byte == 0x0A ? "\\n" : byte == 0x09 ? "\\t" : "it as \\u00xx"), or close the string")
  }

  private func invalidUTF8(_ position: Position) -> JSONSyntaxError {
    fault("a string is not valid UTF-8", fix: "save the text as UTF-8", at: position)
  }

  private func loneSurrogate(_ position: Position) -> JSONSyntaxError {
    fault("half of a surrogate pair", fix: "write both halves, as in \\ud83d\\ude00", at: position)
  }

  /// What stands at `index`, for a message.
  private var shown: String {
    guard index < bytes.count else { return "the end of the text" }
    let byte = bytes[index]
    return 0x21..<0x7F ~= byte ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
  }
}

/// 1e0 ... 1e22, all exact in a Double.
private let exactPowersOfTen: [Double] = [
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
]
