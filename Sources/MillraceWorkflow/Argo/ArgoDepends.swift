/// `depends` of a task: `a && (b.Succeeded || c.Failed)`.
indirect enum ArgoDepends {
  /// Of a task; nil: it has not failed, as `(a.Succeeded || a.Skipped || a.Daemoned)`.
  case task(String, result: String?)
  case and(ArgoDepends, ArgoDepends)
  case or(ArgoDepends, ArgoDepends)
  case not(ArgoDepends)

  /// nil: it is something else.
  init?(_ text: String) {
    guard text.utf8.count <= ArgoConditionLexer.maximumCharacters else { return nil }
    var parser = ArgoDependsParser(text)
    guard let read = parser.whole() else { return nil }
    self = read
  }

  /// In order, each once.
  var tasks: [String] {
    switch self {
    case .task(let name, _): [name]
    case .and(let a, let b), .or(let a, let b): (a.tasks + b.tasks).unique
    case .not(let a): a.tasks
    }
  }

  private var results: Set<String?> {
    switch self {
    case .task(_, let result): [result]
    case .and(let a, let b), .or(let a, let b): a.results.union(b.results)
    case .not(let a): a.results
    }
  }

  /// The results of one task of which any will do; nil: it is more than that.
  private var alternatives: Set<String?>? {
    switch self {
    case .task(_, let result): [result]
    case .or(let a, let b) where tasks.count == 1: a.alternatives.flatMap { of in b.alternatives.map(of.union) }
    default: nil
    }
  }

  /// Whether it may hold although a task has failed: nothing that depends on a task runs here then.
  var maySurviveFailures: Bool {
    switch self {
    case .task(_, let result): result.map { !["Succeeded", "Skipped", "Omitted", "Daemoned", "AnySucceeded"].contains($0) } ?? false
    case .and(let a, let b): a.maySurviveFailures || b.maySurviveFailures
    case .or: tasks.count > 1 || results.contains { $0.map { !["Succeeded", "Skipped", "Omitted", "Daemoned"].contains($0) } ?? false }
    case .not: true
    }
  }

  /// Where no task has failed. Throws `ArgoRefusal`: it asks for what is not known of a task.
  func condition(_ nodes: [String: ArgoNode]) throws(ArgoRefusal) -> ArgoCondition {
    switch self {
    case .and(let a, let b): return try a.condition(nodes) && b.condition(nodes)
    case .or(let a, let b):
      if let results = alternatives, results.isSuperset(of: ["Succeeded", "Skipped"]), let node = nodes[tasks[0]] {
        return results.contains("Omitted") ? .always : node.runs
      }
      return try a.condition(nodes) || b.condition(nodes)
    case .not(let a): return !(try a.condition(nodes))
    case .task(let name, let result):
      guard let node = nodes[name] else { throw ArgoRefusal(reason: "'\(name)' is no task of the dag") }
      switch result {
      case nil: return node.runs
      case "Succeeded": return node.succeeds
      case "AnySucceeded" where !node.isLoop: return node.succeeds
      case "Skipped": return node.isSkipped
      case "Omitted": return !node.runs
      case "Failed", "Errored", "AllFailed", "Daemoned": return .never
      default: throw ArgoRefusal(reason: "'\(name).\(result ?? "")' is not known here")
      }
    }
  }

  /// When all tasks have ended, by their statuses. Throws `ArgoRefusal`: one of them is more than one task here.
  func finalCondition(_ nodes: [String: ArgoNode]) throws(ArgoRefusal) -> ArgoCondition {
    switch self {
    case .and(let a, let b): return try a.finalCondition(nodes) && b.finalCondition(nodes)
    case .or(let a, let b): return try a.finalCondition(nodes) || b.finalCondition(nodes)
    case .not(let a): return !(try a.finalCondition(nodes))
    case .task(let name, let result):
      guard let task = nodes[name]?.task else { throw ArgoRefusal(reason: "'\(name)' is not one task here") }
      let status = "tasks" + Expression.selector(task) + ".status"
      switch result {
      case nil: return ArgoCondition("\(status) in [\"COMPLETED\", \"SKIPPED\"]", .comparison)
      case "Succeeded": return ArgoCondition("\(status) == \"COMPLETED\"", .comparison)
      case "Failed", "Errored": return ArgoCondition("\(status) in [\"FAILED\", \"TIMED_OUT\"]", .comparison)
      case "Skipped": return ArgoCondition("\(status) == \"SKIPPED\"", .comparison)
      case "Daemoned": return .never
      default: throw ArgoRefusal(reason: "'\(name).\(result ?? "")' is not known here")
      }
    }
  }
}

/// From loose to tight: `||`, `&&`, `!`.
private struct ArgoDependsParser {
  private var rest: Substring
  private var depth = 0

  init(_ text: String) { rest = text[...] }

  mutating func whole() -> ArgoDepends? {
    guard let read = disjunction() else { return nil }
    skipSpace()
    return rest.isEmpty ? read : nil
  }

  private mutating func skipSpace() { rest = rest.drop { $0.isWhitespace } }

  private mutating func take(_ mark: String) -> Bool {
    skipSpace()
    guard rest.hasPrefix(mark) else { return false }
    rest = rest.dropFirst(mark.count)
    return true
  }

  private mutating func disjunction() -> ArgoDepends? {
    guard var left = conjunction() else { return nil }
    while take("||") {
      guard let right = conjunction() else { return nil }
      left = .or(left, right)
    }
    return left
  }

  private mutating func conjunction() -> ArgoDepends? {
    guard var left = operand() else { return nil }
    while take("&&") {
      guard let right = operand() else { return nil }
      left = .and(left, right)
    }
    return left
  }

  private mutating func operand() -> ArgoDepends? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= ArgoConditionParser.maximumDepth else { return nil }
    if take("!") { return operand().map(ArgoDepends.not) }
    if take("(") {
      guard let inner = disjunction(), take(")") else { return nil }
      return inner
    }
    guard let name = word() else { return nil }
    return take(".") ? word().map { .task(name, result: $0) } : .task(name, result: nil)
  }

  private mutating func word() -> String? {
    skipSpace()
    let word = rest.prefix { $0.asciiValue.map(Identifier.isWord) ?? false }
    rest = rest.dropFirst(word.count)
    return word.isEmpty ? nil : String(word)
  }
}
