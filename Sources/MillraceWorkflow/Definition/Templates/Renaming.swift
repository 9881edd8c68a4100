/// Other names in expressions, for the tasks that come out of a template. The syntax tree is changed and written again, so that what an operation holds
/// stays what it was.
extension Expression {
  func renaming(_ rename: (Root) -> Root) -> Expression {
    Expression(nodes: nodes, roots: roots.map(rename), literals: constants.map(\.value))
  }
}

extension Template {
  /// The text with other names; nil: no name in it changes. Throws `limit` if an expression becomes too long.
  static func renamed(_ text: String, _ rename: (Expression.Root) -> Expression.Root) throws(ExpressionError) -> String? {
    guard let template = try Template(text) else { return nil }
    var result = ""
    var isChanged = false
    for part in template.parts {
      switch part {
      case .text(let literal): result += escaped(literal)
      case .expression(let expression, _):
        let other = expression.renaming(rename)
        if other.roots != expression.roots { isChanged = true }
        result += try bounded(other.text)
      }
    }
    return isChanged ? result : nil
  }

  /// `${...}`, if the expression is not too long.
  static func bounded(_ expression: String) throws(ExpressionError) -> String {
    guard expression.utf8.count <= Expression.maximumBytes else {
      throw ExpressionError(
        kind: .limit, offset: 0, message: "an expression has more than \(Expression.maximumBytes) bytes with the names of its use",
        fix: "use shorter ids, or let a task compute it")
    }
    return "${\(expression)}"
  }
}

extension JSON {
  /// This value with other names in the expressions of its texts. Recursive; the readers bound the depth.
  func renamed(_ rename: (Expression.Root) -> Expression.Root) throws(ExpressionError) -> JSON {
    switch self {
    case .string(let text):
      return try Template.renamed(text, rename).map(JSON.string) ?? self
    case .array(let elements):
      var result: [JSON] = []
      result.reserveCapacity(elements.count)
      for element in elements { result.append(try element.renamed(rename)) }
      return .array(result)
    case .object(let members):
      var result: [Member] = []
      result.reserveCapacity(members.count)
      for member in members { result.append(Member(member.name, try member.value.renamed(rename))) }
      return .object(result)
    default: return self
    }
  }
}

extension TaskDefinition {
  /// Renames in all of its expressions. Whatever field is added to a task and holds expressions belongs here.
  mutating func renameExpressions(_ rename: (Expression.Root) -> Expression.Root) throws(ExpressionError) {
    if input.mayHoldExpressions { input = try input.renamed(rename) }
    guard isSpecial else { return }
    if let text = condition, let other = try Template.renamed(text, rename) { condition = other }
    if let text = policy.priorityExpression, let other = try Template.renamed(text, rename) { policy.priorityExpression = other }
    if let text = policy.concurrencyKey, let other = try Template.renamed(text, rename) { policy.concurrencyKey = other }
    if let text = policy.rate?.key, let other = try Template.renamed(text, rename) { policy.rate?.key = other }
    if let text = policy.breaker?.destination, let other = try Template.renamed(text, rename) { policy.breaker?.destination = other }
    var variables = environment
    for index in variables.indices {
      if let other = try Template.renamed(variables[index].value, rename) { variables[index].value = other }
    }
    if variables != environment { environment = variables }
    if let items = foreach {
      let renamed = try items.renamed(rename)
      if renamed != items { foreach = renamed }
    }
  }
}

extension Foreach {
  fileprivate func renamed(_ rename: (Expression.Root) -> Expression.Root) throws(ExpressionError) -> Foreach {
    switch self {
    case .list(let list): return .list(try list.renamed(rename))
    case .range(let from, let to, let step):
      return .range(from: try from.renamed(rename), to: try to.renamed(rename), step: try step.renamed(rename))
    case .files(let pattern, let directory):
      let other = try Template.renamed(pattern, rename) ?? pattern
      guard let directory else { return .files(other) }
      return .files(other, directory: try Template.renamed(directory, rename) ?? directory)
    }
  }
}
