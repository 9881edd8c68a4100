/// Recursive descent over the bytes of one expression. The recursion is bounded by `Expression.maximumDepth`.
struct ExpressionParser {
  private let text: Bytes
  private let maximumBytes: Int
  private(set) var index = 0
  private var depth = 0
  private var nodes: [Expression.Node] = []
  private var roots: [Expression.Root] = []
  private var literals: [JSON] = []

  private init(_ text: Bytes, maximumBytes: Int) {
    self.text = text
    self.maximumBytes = maximumBytes
  }

  /// The expression that is the whole text. `maximumBytes`: only a test has need of another.
  static func parse(_ text: Bytes, maximumBytes: Int = Expression.maximumBytes) throws(ExpressionError) -> Expression {
    var parser = ExpressionParser(text, maximumBytes: maximumBytes)
    let expression = try parser.expression()
    guard parser.index == text.count else { throw parser.unexpected() }
    return expression
  }

  static func parse(_ text: String, maximumBytes: Int = Expression.maximumBytes) throws(ExpressionError) -> Expression {
    let kept = KeptBytes(text.utf8)
    defer { withExtendedLifetime(kept) {} }
    return try parse(kept.bytes, maximumBytes: maximumBytes)
  }

  /// The expression that begins the text and ends before a `}`, and how many bytes it has with the `}`.
  static func parseClosed(_ text: Bytes) throws(ExpressionError) -> (Expression, length: Int) {
    var parser = ExpressionParser(text, maximumBytes: Expression.maximumBytes)
    let expression = try parser.expression()
    guard parser.current == UInt8(ascii: "}") else { throw parser.unexpected() }
    return (expression, parser.index + 1)
  }

  private mutating func expression() throws(ExpressionError) -> Expression {
    skipSpace()
    try disjunction()
    skipSpace()
    if index > maximumBytes { throw tooLong() }
    return Expression(nodes: nodes, roots: roots, literals: literals)
  }

  // MARK: Operators

  private mutating func disjunction() throws(ExpressionError) {
    try conjunction()
    while true {
      let at = index
      guard takeWord("or") else { return }
      let left = nodes.count - 1
      try conjunction()
      try append(.or, at: at, operand: left)
    }
  }

  private mutating func conjunction() throws(ExpressionError) {
    try negation()
    while true {
      let at = index
      guard takeWord("and") else { return }
      let left = nodes.count - 1
      try negation()
      try append(.and, at: at, operand: left)
    }
  }

  private mutating func negation() throws(ExpressionError) {
    let at = index
    guard takeWord("not") else { return try comparison() }
    try deepen(at)
    try negation()
    depth -= 1
    try append(.not, at: at)
  }

  private mutating func comparison() throws(ExpressionError) {
    try fallback()
    let at = index
    guard let operation = takeComparison() else { return }
    let left = nodes.count - 1
    try fallback()
    try append(operation, at: at, operand: left)
    let next = index
    if takeComparison() != nil {
      throw fault("comparisons do not follow one another", fix: "join two comparisons by 'and', or use parentheses", at: next)
    }
  }

  private mutating func takeComparison() -> Expression.Operation? {
    let start = index
    if takeWord("in") { return .in }
    if takeWord("not") {
      if takeWord("in") { return .notIn }
      index = start
      return nil
    }
    let second = index + 1 < text.count ? text[index + 1] : 0
    let isEqual = second == UInt8(ascii: "=")
    let operation: Expression.Operation? =
      switch current {
      case UInt8(ascii: "="): isEqual ? .equal : nil
      case UInt8(ascii: "!"): isEqual ? .notEqual : nil
      case UInt8(ascii: "<"): isEqual ? .lessOrEqual : .less
      case UInt8(ascii: ">"): isEqual ? .greaterOrEqual : .greater
      default: nil
      }
    guard let operation else { return nil }
    index += isEqual ? 2 : 1
    skipSpace()
    return operation
  }

  private mutating func fallback() throws(ExpressionError) {
    try unary()
    while current == UInt8(ascii: "?"), index + 1 < text.count, text[index + 1] == UInt8(ascii: "?") {
      let at = index
      index += 2
      skipSpace()
      let left = nodes.count - 1
      try unary()
      try append(.fallback, at: at, operand: left)
    }
  }

  private mutating func unary() throws(ExpressionError) {
    let at = index
    guard takeWord("size") else { return try operand() }
    try deepen(at)
    try unary()
    depth -= 1
    try append(.size, at: at)
  }

  // MARK: Operands

  private mutating func operand() throws(ExpressionError) {
    let at = index
    switch current {
    case UInt8(ascii: "("):
      index += 1
      skipSpace()
      try deepen(at)
      try disjunction()
      depth -= 1
      guard take(UInt8(ascii: ")")) else {
        if index < text.count, current != UInt8(ascii: "}") { throw unexpected() }
        throw fault("'(' is not closed", fix: "write the closing ')'", at: at)
      }
    case UInt8(ascii: "["), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
      try literal(at)
    default:
      guard isWord(current) else { throw unexpected() }
      try word(at)
    }
    skipSpace()
  }

  private mutating func word(_ at: Int) throws(ExpressionError) {
    let name = takeName()
    switch name {
    case "null": try append(.null, at: at)
    case "true": try append(.true, at: at)
    case "false": try append(.false, at: at)
    case "and", "or", "in":
      index = at
      throw fault("'\(name)' has nothing on its left", fix: "write a value before it", at: at)
    default:
      var after = index
      while after < text.count, isSpace(text[after]) { after += 1 }
      if after < text.count, text[after] == UInt8(ascii: "(") {
        throw fault("'\(name.prefix(40))(' is a call, and expressions have none", fix: "let a task compute it, and use its output", at: at)
      }
      try path(name, at)
    }
  }

  private mutating func literal(_ at: Int) throws(ExpressionError) {
    let value = try value(depth: 0)
    try append(.constant, at: at, operand: literals.count)
    literals.append(value)
  }

  /// A literal in a list or alone.
  private mutating func value(depth: Int) throws(ExpressionError) -> JSON {
    let at = index
    switch current {
    case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try string())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    case UInt8(ascii: "["):
      if depth >= Expression.maximumDepth { throw tooDeep(at) }
      return .array(try list(at, depth: depth + 1))
    default:
      guard isWord(current) else { throw unexpected() }
      switch takeName() {
      case "null": return .null
      case "true": return .bool(true)
      case "false": return .bool(false)
      case let name:
        throw fault("'\(name.prefix(40))' in a list", fix: "lists hold literals only: text, numbers, true, false, null and lists", at: at)
      }
    }
  }

  private mutating func list(_ at: Int, depth: Int) throws(ExpressionError) -> [JSON] {
    index += 1
    skipSpace()
    var elements: [JSON] = []
    if take(UInt8(ascii: "]")) { return elements }
    while true {
      elements.append(try value(depth: depth))
      if elements.count + nodes.count > Expression.maximumNodes { throw tooManyNodes(at) }
      skipSpace()
      if take(UInt8(ascii: "]")) { return elements }
      guard take(UInt8(ascii: ",")) else {
        if index < text.count, current != UInt8(ascii: "}") { throw unexpected() }
        throw fault("'[' is not closed", fix: "write the closing ']'", at: at)
      }
      skipSpace()
    }
  }

  private mutating func number() throws(ExpressionError) -> JSON {
    let start = index
    while index < text.count, isNumberByte(text[index]) { index += 1 }
    var scanner = JSONScanner(text[start..<index])
    do throws(ExpressionError) {
      let value = try scanner.value()
      guard scanner.index == index - start else { throw error(start) }
      switch value {
      case .integer(let value): return .integer(value)
      case .number(let value, _): return .number(value)
      default: throw error(start)
      }
    } catch {
      let shown = String(text[start..<index]).prefix(40)
      index = start
      throw fault("'\(shown)' is no number", fix: "write numbers as JSON does: 12, -0.5, 1e3", at: start)
    }
  }

  private func error(_ at: Int) -> ExpressionError { fault("", fix: "", at: at) }

  // MARK: Paths

  private mutating func path(_ name: String, _ at: Int) throws(ExpressionError) {
    let root = try root(name, at)
    let first = nodes.count
    while let selector = try selector() {
      switch selector {
      case .name(let name, let place):
        try append(.member, at: place, operand: literals.count)
        literals.append(.string(name))
      case .index(let number, let place): try append(.index, at: place, operand: number)
      }
    }
    let number = roots.firstIndex(of: root) ?? roots.count
    if number == roots.count { roots.append(root) }
    try append(.path, at: at, operand: (nodes.count - first) << 16 | number)
  }

  private mutating func root(_ name: String, _ at: Int) throws(ExpressionError) -> Expression.Root {
    switch name {
    case "params": return .parameter(try part(of: "params", "the name of a parameter", example: "params.NAME"))
    case "secrets": return .secret(try part(of: "secrets", "the name of a secret", example: "secrets.NAME"))
    case "tasks":
      let task = try part(of: "tasks", "the id of a task", example: "tasks.ID.output")
      let place = index
      switch try part(of: "tasks.\(task)", "'output' or 'status'", example: "tasks.ID.output or tasks.ID.status") {
      case "output": return .output(task)
      case "status": return .status(task)
      case let other:
        throw fault("a task has no '\(other.prefix(40))'", fix: "write tasks.\(task).output or tasks.\(task).status", at: place)
      }
    case "run":
      let place = index
      switch try part(of: "run", "'id', 'status' or 'workflow'", example: "run.id") {
      case "id": return .runID
      case "status": return .runStatus
      case "workflow": return .runWorkflow
      case let other: throw fault("a run has no '\(other.prefix(40))'", fix: "write run.id, run.status or run.workflow", at: place)
      }
    default:
      var nearest = NearestName()
      let near = nearest.nearest(to: name, among: ["params", "tasks", "run", "secrets", "size", "not", "null", "true", "false"])
      throw fault(
        "'\(name.prefix(40))' is nothing an expression can refer to",
        fix: near.map { "did you mean '\($0)'? (text stands in quotes)" }
          ?? "write params.NAME, tasks.ID.output, tasks.ID.status or run.id; text stands in quotes", at: at)
    }
  }

  /// The selector that must follow the beginning of a path.
  private mutating func part(of path: String, _ what: String, example: String) throws(ExpressionError) -> String {
    let place = index
    if case .name(let name, _)? = try selector() { return name }
    throw fault("'\(path)' needs \(what) behind it", fix: "write \(example)", at: place)
  }

  private enum Selector {
    case name(String, Int)
    case index(Int, Int)
  }

  private mutating func selector() throws(ExpressionError) -> Selector? {
    let at = index
    if take(UInt8(ascii: ".")) {
      guard isWord(current) else {
        if index == text.count || current == UInt8(ascii: "}") { throw fault("a path ends in '.'", fix: "write a name after it", at: at) }
        throw fault("no name after '.', but \(shown)", fix: "use A-Z a-z 0-9 _ and -, or write [\"...\"]", at: index)
      }
      return .name(takeName(), at)
    }
    guard take(UInt8(ascii: "[")) else { return nil }
    skipSpace()
    let selector: Selector
    switch current {
    case UInt8(ascii: "\""), UInt8(ascii: "'"): selector = .name(try string(), at)
    case UInt8(ascii: "0")...UInt8(ascii: "9"):
      let place = index
      guard case .integer(let value) = try number(), value <= Int64(Int32.max) else {
        throw fault("an index is a whole number up to \(Int32.max)", fix: "write [0] for the first element", at: place)
      }
      selector = .index(Int(value), at)
    default:
      if index == text.count { throw fault("'[' is not closed", fix: "write the closing ']'", at: at) }
      throw fault("no index after '[', but \(shown)", fix: "write [0], counted from 0, or [\"name\"]", at: index)
    }
    skipSpace()
    guard take(UInt8(ascii: "]")) else {
      if index < text.count, current != UInt8(ascii: "}") { throw unexpected() }
      throw fault("'[' is not closed", fix: "write the closing ']'", at: at)
    }
    return selector
  }

  // MARK: Strings

  private mutating func string() throws(ExpressionError) -> String {
    let at = index
    let quote = current
    index += 1
    var bytes: [UInt8] = []
    while index < text.count {
      let byte = text[index]
      if byte == quote {
        index += 1
        return String(decoding: bytes, as: UTF8.self)
      }
      if byte == UInt8(ascii: "\\") {
        try escape(&bytes)
      } else if byte < 0x20 {
        throw fault("a control character in a text", fix: "write it as an escape: \\n, \\t or \\u0000", at: index)
      } else {
        guard let length = text.utf8Length(at: index) else {
          throw fault("bytes that are no UTF-8", fix: "save the text as UTF-8", at: index)
        }
        for _ in 0..<length {
          bytes.append(text[index])
          index += 1
        }
      }
      if bytes.count > maximumBytes { throw tooLong() }
    }
    let mark = quote == UInt8(ascii: "'") ? "'" : "\""
    throw fault("a text is not closed", fix: "write the closing \(mark)", at: at)
  }

  private mutating func escape(_ bytes: inout [UInt8]) throws(ExpressionError) {
    let at = index
    if index + 1 < text.count, text[index + 1] == UInt8(ascii: "'") {
      bytes.append(UInt8(ascii: "'"))
      index += 2
      return
    }
    var scanner = JSONScanner(text.from(index))
    guard let scalar = scanner.escape() else {
      throw fault("an escape that is not known", fix: "write one of \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\u0000", at: at)
    }
    bytes.append(contentsOf: UTF8.encode(scalar)!)
    index += scanner.index
  }

  // MARK: Bytes

  /// NUL past the end: it stands in no expression.
  private var current: UInt8 { index < text.count ? text[index] : 0 }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
  private func isWord(_ byte: UInt8) -> Bool { Identifier.isWord(byte) && byte != UInt8(ascii: "-") }
  private func isNumberByte(_ byte: UInt8) -> Bool {
    UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
      || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "_")
  }

  private mutating func skipSpace() { while index < text.count, isSpace(text[index]) { index += 1 } }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    index += 1
    return true
  }

  private mutating func takeName() -> String {
    let start = index
    while index < text.count, Identifier.isWord(text[index]) { index += 1 }
    return String(text[start..<index])
  }

  /// Takes a word of the grammar, if it stands here as a whole, and the space after it.
  private mutating func takeWord(_ word: StaticString) -> Bool {
    let length = word.utf8CodeUnitCount
    guard text.count - index >= length, String(text[index..<index + length]) == word.description else { return false }
    if index + length < text.count, Identifier.isWord(text[index + length]) { return false }
    index += length
    skipSpace()
    return true
  }

  private mutating func append(_ operation: Expression.Operation, at: Int, operand: Int = 0) throws(ExpressionError) {
    if index > maximumBytes { throw tooLong() }
    guard nodes.count < Expression.maximumNodes else { throw tooManyNodes(at) }
    nodes.append(Expression.Node(operation: operation, at: UInt16(clamping: at), operand: UInt32(truncatingIfNeeded: operand)))
  }

  private mutating func deepen(_ at: Int) throws(ExpressionError) {
    depth += 1
    if depth > Expression.maximumDepth { throw tooDeep(at) }
  }

  // MARK: Faults

  private func fault(_ message: String, fix: String, at: Int, _ kind: ExpressionError.Kind = .syntax) -> ExpressionError {
    ExpressionError(kind: kind, offset: at, message: message, fix: fix)
  }

  private func tooDeep(_ at: Int) -> ExpressionError {
    fault("an expression nested more than \(Expression.maximumDepth) deep", fix: "use fewer levels", at: at, .limit)
  }

  private func tooManyNodes(_ at: Int) -> ExpressionError {
    fault("an expression of more than \(Expression.maximumNodes) parts", fix: "let a task compute it, and use its output", at: at, .limit)
  }

  private func tooLong() -> ExpressionError {
    fault("an expression of more than \(Expression.maximumBytes) bytes", fix: "let a task compute it, and use its output", at: 0, .limit)
  }

  /// What stands at `index`, for a message.
  private var shown: String {
    guard index < text.count else { return "the end of the text" }
    let byte = text[index]
    return 0x21..<0x7F ~= byte ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
  }

  private func unexpected() -> ExpressionError {
    let next = index + 1 < text.count ? text[index + 1] : 0
    switch current {
    case UInt8(ascii: "="): return fault("'=' is no operator", fix: "write == to compare", at: index)
    case UInt8(ascii: "&"): return fault("'&' is no operator", fix: "write 'and'", at: index)
    case UInt8(ascii: "|"): return fault("'|' is no operator", fix: "write 'or'; for a default write ??", at: index)
    case UInt8(ascii: "!"): return fault("'!' is no operator", fix: "write 'not', or != to compare", at: index)
    case UInt8(ascii: "?"): return fault("'?' is no operator", fix: "write ?? before a default", at: index)
    case UInt8(ascii: "+"), UInt8(ascii: "*"), UInt8(ascii: "/"), UInt8(ascii: "%"), UInt8(ascii: "-"):
      return fault("\(shown) is no operator: expressions do not calculate", fix: "let a task compute it, and use its output", at: index)
    case UInt8(ascii: "$") where next == UInt8(ascii: "{"):
      return fault("'${' inside an expression", fix: "write the path without it", at: index)
    case UInt8(ascii: "{"): return fault("'{' in an expression: objects have no literal", fix: "give the object by a parameter", at: index)
    case 0 where index >= text.count:
      return fault("an expression is not closed", fix: "write the closing '}', or $${ for a literal ${", at: index)
    case UInt8(ascii: "}"): return fault("a value is missing", fix: "write a path such as params.NAME, or a literal", at: index)
    default:
      if isAtOperand { return fault("expected a value, found \(shown)", fix: "write a path such as params.NAME, or a literal", at: index) }
      return fault("\(shown) follows a value", fix: "join values by an operator: == != < <= > >= in and or ??", at: index)
    }
  }

  /// Nothing has been read, or an operator just has.
  private var isAtOperand: Bool {
    var before = index
    while before > 0, isSpace(text[before - 1]) { before -= 1 }
    guard before > 0 else { return true }
    switch text[before - 1] {
    case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "<"), UInt8(ascii: ">"),
      UInt8(ascii: "?"):
      return true
    default:
      let word = String(text[max(0, before - 4)..<before])
      return ["and", "or", "not", "in", "size"].contains { word == $0 || word.hasSuffix(" " + $0) }
    }
  }
}
