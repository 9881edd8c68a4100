/// Recursive descent over the bytes of one expression. The recursion is bounded by `Expression.maximumDepth`.
struct ExpressionParser {
  let text: Bytes
  let maximumBytes: Int
  var index = 0
  var depth = 0
  var nodes: [Expression.Node] = []
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
    case "item": return .item
    case "index": return .index
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
      let near = nearest.nearest(
        to: name, among: ["params", "tasks", "run", "secrets", "item", "index", "size", "not", "null", "true", "false"])
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
}
