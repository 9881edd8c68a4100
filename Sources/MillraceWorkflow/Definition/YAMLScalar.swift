import CYaml

/// What a plain scalar means, by the core schema of YAML 1.2.
enum YAMLScalar {
  /// nil for a number that JSON cannot hold.
  static func json(_ text: String) -> JSON? {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    default: break
    }
    guard let first = text.utf8.first,
      isDigit(first) || first == UInt8(ascii: "-") || first == UInt8(ascii: "+") || first == UInt8(ascii: ".")
    else {
      return .string(text)
    }
    if text.hasPrefix("0x"), text.utf8.count > 2, text.utf8.dropFirst(2).allSatisfy(isHex) {
      return Int64(text.dropFirst(2), radix: 16).map(JSON.integer)
    }
    if text.hasPrefix("0o"), text.utf8.count > 2, text.utf8.dropFirst(2).allSatisfy({ 0x30...0x37 ~= $0 }) {
      return Int64(text.dropFirst(2), radix: 8).map(JSON.integer)
    }
    let unsigned = text.drop { $0 == "-" || $0 == "+" }
    if text.utf8.count - unsigned.utf8.count <= 1, [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(unsigned) { return nil }
    guard isNumber(Array(text.utf8)) else { return .string(text) }
    if text.utf8.allSatisfy({ isDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") }), let value = Int64(text) {
      return .integer(value)
    }
    // Swift reads no number that begins or ends with its point.
    guard let value = Double(completed(text)), value.isFinite else { return nil }
    return .number(value)
  }

  /// `[-+]? ( . [0-9]+ | [0-9]+ ( . [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
  private static func isNumber(_ bytes: [UInt8]) -> Bool {
    var index = 0
    func digits() -> Int {
      let start = index
      while index < bytes.count, isDigit(bytes[index]) { index += 1 }
      return index - start
    }
    func take(_ choices: StaticString) -> Bool {
      guard index < bytes.count, choices.description.utf8.contains(bytes[index]) else { return false }
      index += 1
      return true
    }
    _ = take("-+")
    let whole = digits()
    let fraction = take(".") ? digits() : 0
    guard whole + fraction > 0 else { return false }
    if take("eE") {
      _ = take("-+")
      guard digits() > 0 else { return false }
    }
    return index == bytes.count
  }

  private static func completed(_ text: String) -> String {
    var result = ""
    var previous: Character = "-"
    for character in text {
      if character == ".", !previous.isNumber { result.append("0") }
      if previous == ".", !character.isNumber { result.append("0") }
      result.append(character)
      previous = character
    }
    return previous == "." ? result + "0" : result
  }

  private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

  private static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "f") ~= byte | 0x20 }
}

/// A syntax error of libyaml in words that help.
enum YAMLSyntax {
  static func add(_ parser: yaml_parser_t, _ bytes: [UInt8], to faults: inout FaultList) {
    // Both texts are static strings inside libyaml.
    let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "not YAML"
    let context = unsafe parser.context.map { unsafe " " + String(cString: $0) } ?? ""
    if unsafe parser.error == YAML_READER_ERROR {
      let offset = unsafe min(parser.problem_offset, bytes.count)
      let before = bytes[..<offset]
      let line = before.count { $0 == 0x0A } + 1
      let start = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
      let column = before[start...].count { $0 & 0xC0 != 0x80 } + 1
      let position = Position(line: UInt32(truncatingIfNeeded: line), column: UInt32(truncatingIfNeeded: column))
      faults.add(.syntax, "the file is not text in UTF-8: \(problem)", fix: "save it as UTF-8, without control characters", at: position)
    } else if problem.hasPrefix("Maximum nesting level") {
      // The scanner looks ahead, so its own bound may come first.
      unsafe faults.add(.limit, YAMLParser.tooDeep, fix: "use fewer levels", at: Position(parser.problem_mark))
    } else {
      unsafe faults.add(.syntax, "not YAML: \(problem)\(context)", fix: fix(problem), at: Position(parser.problem_mark))
    }
  }

  private static func fix(_ problem: String) -> String {
    switch problem {
    case "found character that cannot start any token": "indent with spaces, not tabs; put text that begins with @, ` or % in quotes"
    case "mapping values are not allowed in this context": "put text that contains ': ' in quotes, or check the indentation"
    case "could not find expected ':'": "write 'key: value', or check the indentation"
    case "did not find expected key", "did not find expected '-' indicator": "check the indentation of this line and of those before it"
    case "found unexpected end of stream": "close the quote that is open"
    case "did not find expected ',' or '}'", "did not find expected ',' or ']'": "close the bracket, or put a comma between the values"
    default: "check this line and the one before it"
    }
  }
}
