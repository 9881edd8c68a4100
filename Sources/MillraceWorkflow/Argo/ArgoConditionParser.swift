/// Why a condition is not taken over.
struct ArgoRefusal: Error {
  var reason: String
}

/// Reads conditions of Argo's as its two languages mean them.
///
/// `when` is govaluate's language: what `{{...}}` stands for is put in place first, so that a text becomes a number or `true` if it looks like one,
/// and a word without quotes is a text. `{{=...}}` is expr's: names are looked up, and what parameters and results hold is text.
struct ArgoConditionParser {
  enum Dialect {
    case when, expr
  }

  /// What stands on one side of an operator.
  indirect enum Term {
    case bool(Bool)
    case number(JSON)
    case text(String)
    /// `isText`: it is compared as text, whatever it looks like.
    case value(ArgoValue, isText: Bool)
    case condition(ArgoCondition)
    case list([Term])
  }

  enum Token: Equatable {
    case word(String)
    case number(String)
    case text(String)
    case quoted(ArgoValue)
    case value(ArgoValue)
    case symbol(String)
    case end
  }

  /// Of parentheses and signs inside each other.
  static let maximumDepth = Expression.maximumDepth

  let dialect: Dialect
  /// What a name of expr's stands for.
  let lookUp: (String) -> ArgoText
  private(set) var tokens: [Token] = []
  private var index = 0
  private var depth = 0
  var needs = ArgoNeeds()

  init(_ dialect: Dialect, lookUp: @escaping (String) -> ArgoText) {
    self.dialect = dialect
    self.lookUp = lookUp
  }

  /// The condition; no text is always true. Throws `ArgoRefusal`.
  mutating func condition(_ text: ArgoText) throws(ArgoRefusal) -> ArgoCondition {
    tokens = try ArgoConditionLexer.tokens(text, dialect)
    index = 0
    if next == .end { return .always }
    let term = try disjunction()
    guard next == .end else { throw unexpected() }
    return try condition(of: term)
  }

  /// One name of expr's and nothing else: what it stands for.
  mutating func name(_ text: String) throws(ArgoRefusal) -> ArgoText {
    tokens = try ArgoConditionLexer.tokens(ArgoText(.text(text)), .expr)
    index = 0
    guard case .word(let word) = take() else { throw unexpected() }
    let path = try path(after: word)
    guard next == .end else { throw ArgoRefusal(reason: "is an expression") }
    return lookUp(path)
  }

  // MARK: Tokens

  private var next: Token { tokens[index] }

  private mutating func take() -> Token {
    defer { index = min(index + 1, tokens.count - 1) }
    return tokens[index]
  }

  private mutating func take(_ words: String...) -> String? {
    switch next {
    case .symbol(let word) where words.contains(word), .word(let word) where words.contains(word):
      _ = take()
      return word
    default: return nil
    }
  }

  private func unexpected() -> ArgoRefusal {
    switch next {
    case .word(let text), .number(let text), .text(let text), .symbol(let text):
      ArgoRefusal(reason: "'\(text.prefix(80))' is not understood where it stands; a text with more than letters needs quotes")
    case .value, .quoted: ArgoRefusal(reason: "an operator is missing between its parts")
    case .end: ArgoRefusal(reason: "it ends too early")
    }
  }

  // MARK: From loose to tight

  private mutating func disjunction() throws(ArgoRefusal) -> Term {
    var left = try conjunction()
    while take("||") != nil || (dialect == .expr && take("or") != nil) {
      let right = try conjunction()
      left = .condition(try condition(of: left) || condition(of: right))
    }
    return left
  }

  private mutating func conjunction() throws(ArgoRefusal) -> Term {
    var left = try comparison()
    while take("&&") != nil || (dialect == .expr && take("and") != nil) {
      let right = try comparison()
      left = .condition(try condition(of: left) && condition(of: right))
    }
    return left
  }

  private mutating func comparison() throws(ArgoRefusal) -> Term {
    var left = try unary()
    while let mark = take("==", "!=", "<", "<=", ">", ">=", "=~", "!~", "in") ?? (dialect == .expr ? take("contains") : take("IN")) {
      let right = try unary()
      switch mark {
      case "in", "IN": left = try membership(left, right)
      case "=~", "contains": left = try search(left, right)
      case "!~": left = .condition(!(try condition(of: search(left, right))))
      default: left = try compare(mark, left, right)
      }
    }
    return left
  }

  private mutating func unary() throws(ArgoRefusal) -> Term {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { throw ArgoRefusal(reason: "its parts are more than \(Self.maximumDepth) deep") }
    if take("!") != nil || (dialect == .expr && take("not") != nil) { return .condition(!(try condition(of: unary()))) }
    guard take("-") != nil else { return try primary() }
    guard case .number(let text) = take() else { throw ArgoRefusal(reason: "a '-' is understood before a number only") }
    return try number("-" + text)
  }

  private mutating func primary() throws(ArgoRefusal) -> Term {
    switch next {
    case .number(let text):
      _ = take()
      return try number(text)
    case .text(let text):
      _ = take()
      return .text(text)
    case .value(let value):
      _ = take()
      return .value(value, isText: false)
    case .quoted(let value):
      _ = take()
      return .value(value, isText: true)
    case .word("true"), .word("false"): return .bool(take() == .word("true"))
    case .word(let word):
      _ = take()
      return dialect == .when ? .text(word) : try named(word)
    case .symbol("("): return try list("(", ")")
    case .symbol("[") where dialect == .expr: return try list("[", "]")
    default: throw unexpected()
    }
  }

  /// What is in brackets: a list, or in round ones also a term by itself.
  private mutating func list(_ open: String, _ close: String) throws(ArgoRefusal) -> Term {
    _ = take(open)
    var terms = [try disjunction()]
    while take(",") != nil { terms.append(try disjunction()) }
    guard take(close) != nil else { throw unexpected() }
    return open == "(" && terms.count == 1 ? terms[0] : .list(terms)
  }

  private func number(_ text: String) throws(ArgoRefusal) -> Term {
    guard let value = Double(text), value.isFinite else { throw ArgoRefusal(reason: "'\(text.prefix(80))' is no number") }
    return .number(Int64(exactly: value).map { .integer($0) } ?? .number(value))
  }

  // MARK: Names of expr

  private mutating func named(_ word: String) throws(ArgoRefusal) -> Term {
    if next == .symbol("(") {
      let isNumber = ["asInt", "asFloat", "int", "float"].contains(word)
      guard isNumber || word == "string" else { throw ArgoRefusal(reason: "'\(word)' is a function that is not known here") }
      guard case .value(let value, _) = try list("(", ")"), value.kind == .text || value.kind == .json else {
        throw ArgoRefusal(reason: "'\(word)' is understood of a parameter, a result or an item")
      }
      return .value(value, isText: !isNumber)
    }
    let path = try path(after: word)
    let text = lookUp(path)
    if let refusal = text.refusal { throw ArgoRefusal(reason: refusal.reason) }
    if let constant = text.constant { return .text(constant) }
    guard let value = text.value else { throw ArgoRefusal(reason: "'\(path)' is put together of several parts") }
    return .value(value, isText: value.kind != .json || value.parameter != nil)
  }

  /// `a.b["c"]` as `a.b.c`.
  private mutating func path(after word: String) throws(ArgoRefusal) -> String {
    var path = word
    while true {
      if take(".") != nil {
        guard case .word(let name) = take() else { throw unexpected() }
        path += "." + name
      } else if take("[") != nil {
        guard case .text(let name) = take(), take("]") != nil else { throw unexpected() }
        path += "." + name
      } else {
        return path
      }
    }
  }
}
