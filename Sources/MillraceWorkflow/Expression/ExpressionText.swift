/// Expressions as text: what `ExpressionParser` reads as the same expression, with one space around operators and no parentheses without need.
extension Expression {
  var text: String { text(nodes.count - 1, within: 0) }

  /// How tightly an operation holds its operands.
  private func rank(_ operation: Operation) -> Int {
    switch operation {
    case .or: 1
    case .and: 2
    case .not: 3
    case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual, .in, .notIn: 4
    case .fallback: 5
    case .size: 6
    default: 7
    }
  }

  private func text(_ index: Int, within outer: Int) -> String {
    let node = nodes[index]
    let rank = rank(node.operation)
    let inner: String
    switch node.operation {
    case .null: inner = "null"
    case .true: inner = "true"
    case .false: inner = "false"
    case .constant: inner = constants[Int(node.operand)].value.text()
    case .path: inner = pathText(index, selectors: node.selectors)
    case .member, .index: inner = ""  // written by their path
    case .not: inner = "not " + text(index - 1, within: rank)
    case .size: inner = "size " + text(index - 1, within: rank)
    default:
      // From left to right, and comparisons stand alone: the right operand, and each of a comparison, needs a tighter hold.
      let isComparison = rank == 4
      inner =
        text(Int(node.operand), within: isComparison ? rank + 1 : rank) + " \(word(node.operation)) " + text(index - 1, within: rank + 1)
    }
    return rank < outer ? "(\(inner))" : inner
  }

  private func word(_ operation: Operation) -> String {
    switch operation {
    case .and: "and"
    case .or: "or"
    case .fallback: "??"
    case .equal: "=="
    case .notEqual: "!="
    case .less: "<"
    case .lessOrEqual: "<="
    case .greater: ">"
    case .greaterOrEqual: ">="
    case .in: "in"
    default: "not in"
    }
  }

  /// A path with the first of its selectors.
  func pathText(_ index: Int, selectors: Int) -> String {
    let node = nodes[index]
    var result =
      switch roots[node.root] {
      case .parameter(let name): "params" + Self.selector(name)
      case .output(let task): "tasks" + Self.selector(task) + ".output"
      case .status(let task): "tasks" + Self.selector(task) + ".status"
      case .runID: "run.id"
      case .runStatus: "run.status"
      case .runWorkflow: "run.workflow"
      case .secret(let name): "secrets" + Self.selector(name)
      case .item: "item"
      case .index: "index"
      }
    let first = index - node.selectors
    for selector in first..<first + selectors {
      result +=
        nodes[selector].operation == .member
        ? Self.selector(constants[Int(nodes[selector].operand)].value.string ?? "") : "[\(nodes[selector].operand)]"
    }
    return result
  }

  static func selector(_ name: String) -> String {
    let isPlain = name.utf8.allSatisfy(Identifier.isWord) && !name.isEmpty && name.utf8.first != UInt8(ascii: "-")
    return isPlain ? ".\(name)" : "[\(JSON.quoted(name))]"
  }
}
