/// What the operators of a condition mean in our words.
extension ArgoConditionParser {
  /// A term where true or false is needed.
  mutating func condition(of term: Term) throws(ArgoRefusal) -> ArgoCondition {
    switch term {
    case .condition(let condition): return condition
    case .bool(let flag): return .constant(flag)
    case .value(let value, isText: false) where value.kind == .text || value.kind == .json:
      return ArgoCondition(needs.asValue(value), .operand)
    default: throw ArgoRefusal(reason: "a text or a number stands where true or false is needed")
    }
  }

  mutating func compare(_ mark: String, _ left: Term, _ right: Term) throws(ArgoRefusal) -> Term {
    switch (left, right) {
    case (.value(let a, let aIsText), .value(let b, let bIsText)):
      return .condition(try compare(mark, a, isText: aIsText, b, isText: bIsText))
    case (.value(let value, let isText), let constant): return .condition(try compare(mark, value, isText: isText, constant))
    case (let constant, .value(let value, let isText)):
      let turned = ["<": ">", "<=": ">=", ">": "<", ">=": "<="][mark] ?? mark
      return .condition(try compare(turned, value, isText: isText, constant))
    case (.condition(let condition), .bool(let flag)), (.bool(let flag), .condition(let condition)):
      guard let isEqual = ["==": true, "!=": false][mark] else { throw Self.withoutOrder }
      return .condition(flag == isEqual ? condition : !condition)
    default: return .bool(try Self.holds(mark, left, right))
    }
  }

  private static let withoutOrder = ArgoRefusal(reason: "its parts have no order: numbers are compared with numbers, text with text")

  // MARK: Constants

  /// Values of different types are not equal, and have no order.
  static func holds(_ mark: String, _ left: Term, _ right: Term) throws(ArgoRefusal) -> Bool {
    let order: Int?
    switch (left, right) {
    case (.number(let a), .number(let b)):
      guard let x = a.double, let y = b.double else { throw withoutOrder }
      order = x < y ? -1 : x == y ? 0 : 1
    case (.text(let a), .text(let b)):
      let (x, y) = (a.unicodeScalars, b.unicodeScalars)
      order = x.elementsEqual(y) ? 0 : x.lexicographicallyPrecedes(y) ? -1 : 1
    case (.bool(let a), .bool(let b)) where mark == "==" || mark == "!=": order = a == b ? 0 : 1
    case (.bool, .number), (.bool, .text), (.number, .bool), (.number, .text), (.text, .bool), (.text, .number): order = nil
    default: throw ArgoRefusal(reason: "'\(mark)' is understood of texts, numbers, true and false")
    }
    switch (mark, order) {
    case ("==", _): return order == 0
    case ("!=", _): return order != 0
    case (_, nil): throw withoutOrder
    case ("<", let order?): return order < 0
    case ("<=", let order?): return order <= 0
    case (">", let order?): return order > 0
    case (_, let order?): return order >= 0
    }
  }

  // MARK: Values

  private mutating func compare(
    _ mark: String, _ a: ArgoValue, isText aIsText: Bool, _ b: ArgoValue, isText bIsText: Bool
  ) throws(ArgoRefusal) -> ArgoCondition {
    for value in [a, b] where value.kind == .status || value.kind == .runStatus {
      throw ArgoRefusal(reason: "a status is compared with a word only")
    }
    let left = aIsText && a.kind == .text ? needs.asText(a) : needs.asValue(a)
    let right = bIsText && b.kind == .text ? needs.asText(b) : needs.asValue(b)
    return ArgoCondition("\(left) \(mark) \(right)", .comparison)
  }

  private mutating func compare(
    _ mark: String, _ value: ArgoValue, isText: Bool, _ constant: Term
  ) throws(ArgoRefusal) -> ArgoCondition {
    if mark == "==" || mark == "!=" {
      return try membership(value, isText: isText, [constant], isWanted: mark == "==")
    }
    switch (value.kind, constant) {
    case (.text, .text(let text)) where isText || value.result == nil:
      return ArgoCondition("\(needs.asText(value)) \(mark) \(JSON.quoted(text))", .comparison)
    case (.text, .text(let text)), (.json, .text(let text)):
      return ArgoCondition("\(needs.asValue(value)) \(mark) \(JSON.quoted(text))", .comparison)
    case (.text, .number(let number)) where !isText, (.json, .number(let number)) where !isText:
      return ArgoCondition("\(needs.asValue(value)) \(mark) \(number.text())", .comparison)
    default: throw Self.withoutOrder
    }
  }

  // MARK: Membership

  mutating func membership(_ left: Term, _ right: Term) throws(ArgoRefusal) -> Term {
    let list: [Term] = if case .list(let terms) = right { terms } else { [right] }
    if case .value(let value, let isText) = left { return .condition(try membership(value, isText: isText, list)) }
    for term in list where try Self.holds("==", left, term) { return .bool(true) }
    return .bool(false)
  }

  /// Whether a value is one of some constants, or none of them.
  private mutating func membership(
    _ value: ArgoValue, isText: Bool, _ constants: [Term], isWanted: Bool = true
  ) throws(ArgoRefusal) -> ArgoCondition {
    var literals: [String] = []
    var asValue = false
    for constant in constants {
      let (found, needsValue) = try self.literals(of: constant, for: value, isText: isText)
      literals += found
      asValue = asValue || needsValue
    }
    literals = literals.unique
    if literals.isEmpty { return .constant(!isWanted) }
    let path = asValue ? needs.asValue(value) : needs.asText(value)
    if literals.count == 1 { return ArgoCondition("\(path) \(isWanted ? "==" : "!=") \(literals[0])", .comparison) }
    return ArgoCondition("\(path) \(isWanted ? "in" : "not in") [\(literals.joined(separator: ", "))]", .comparison)
  }

  /// How a value that equals a constant may be written, none if it cannot; and whether it must be read as a value for that.
  private func literals(
    of constant: Term, for value: ArgoValue, isText: Bool
  ) throws(ArgoRefusal) -> (literals: [String], asValue: Bool) {
    switch (value.kind, constant) {
    case (.status, .text(let word)): return (Self.statuses[word, default: []].map(JSON.quoted), false)
    case (.runStatus, .text(let word)): return (Self.runStatuses[word, default: []].map(JSON.quoted), false)
    case (.status, _), (.runStatus, _): throw ArgoRefusal(reason: "a status is compared with a word only")
    case (_, .number(let number)):
      if isText { return ([], false) }
      return ([number.text()] + (value.result == nil ? [JSON.quoted(number.text())] : []), true)
    case (_, .bool(let flag)):
      if isText { return ([], false) }
      return (["\(flag)"] + (value.result == nil ? ["\"\(flag)\""] : []), true)
    case (.json, .text(let text)):
      // What is a number here was a text that looks like one.
      let scalar = isText || dialect == .expr ? Self.scalar(text) : nil
      return ([scalar, JSON.quoted(text)].compactMap { $0 }, true)
    case (.text, .text(let text)):
      if isText || (value.result == nil && Self.scalar(text) == nil) { return ([JSON.quoted(text)], false) }
      return ([JSON.quoted(text)] + (text == "null" ? ["null"] : []), true)
    default: throw ArgoRefusal(reason: "a value is compared with texts, numbers, true and false")
    }
  }

  /// Words of ours for those of Argo's; an error of Argo's own is no status here.
  private static let statuses = [
    "Succeeded": ["COMPLETED"], "Failed": ["FAILED", "TIMED_OUT"], "Skipped": ["SKIPPED"], "Omitted": ["SKIPPED"],
  ]
  private static let runStatuses = ["Succeeded": ["COMPLETED"], "Failed": ["FAILED", "CANCELLED"]]

  /// A text that reads as a number, `true` or `false`, as JSON.
  private static func scalar(_ text: String) -> String? {
    switch try? JSON(parsing: text) {
    case .integer?, .number?, .bool?: text
    default: nil
    }
  }

  // MARK: Text in text

  /// `value =~ text` where the pattern is a text that stands for itself.
  mutating func search(_ left: Term, _ right: Term) throws(ArgoRefusal) -> Term {
    guard case .value(let value, _) = left, value.kind == .text, case .text(let pattern) = right else {
      throw ArgoRefusal(reason: "a text is looked for in a parameter or a result only")
    }
    if dialect == .when, pattern.contains(where: { "\\.+*?()|[]{}^$".contains($0) }) {
      throw ArgoRefusal(reason: "there are no patterns in conditions here")
    }
    return .condition(ArgoCondition("\(JSON.quoted(pattern)) in \(needs.asText(value))", .comparison))
  }
}
