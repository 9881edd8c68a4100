/// What the roots of one expression stand for.
protocol ExpressionScope {
  /// Of `Expression.roots[number]`. Throws `missing` or `type`; the evaluator adds the place.
  func value(ofRoot number: Int) throws(ExpressionError) -> RootValue
}

/// What a path goes into.
enum RootValue {
  case value(ExpressionValue)
  /// JSON text that has not been looked at.
  case json(Bytes)
  case list(ValueList)
}

/// A list whose elements lie apart: nothing is copied to ask for one, or for their number.
struct ValueList {
  let count: Int
  let element: (Int) throws(ExpressionError) -> RootValue
  /// The list as one JSON text.
  let whole: () throws(ExpressionError) -> Bytes
}

extension Expression {
  /// The value. It may lie within what the scope gave, or within this expression. Allocates only for messages, fractions of more than 15 characters
  /// and the search for a text in a text.
  ///
  /// Complexity: O(nodes + bytes of the JSON text that its paths go through). Throws `ExpressionError`.
  func value(in scope: some ExpressionScope) throws(ExpressionError) -> ExpressionValue { try value(nodes.count - 1, scope) }

  /// The recursion is bounded by the number of nodes.
  private func value(_ index: Int, _ scope: some ExpressionScope) throws(ExpressionError) -> ExpressionValue {
    let node = nodes[index]
    let left = Int(node.operand)
    switch node.operation {
    case .null: return .null
    case .true: return .bool(true)
    case .false: return .bool(false)
    case .constant: return literal(constants[Int(node.operand)])
    case .path: return try path(index, scope)
    case .member, .index: return .null  // read by their path
    case .not: return .bool(try !flag(index - 1, "'not'", node, scope))
    case .size:
      if let list = try list(index - 1, scope) { return .integer(Int64(list.count)) }
      let value = try value(index - 1, scope)
      return .integer(Int64(try located(node) { () throws(ExpressionError) in try size(value) }))
    case .and:
      guard try flag(left, "'and'", node, scope) else { return .bool(false) }
      return .bool(try flag(index - 1, "'and'", node, scope))
    case .or:
      if try flag(left, "'or'", node, scope) { return .bool(true) }
      return .bool(try flag(index - 1, "'or'", node, scope))
    case .fallback:
      if let first = try present(left, scope) { return first }
      return try value(index - 1, scope)
    default:
      let (a, b) = (try value(left, scope), try value(index - 1, scope))
      return .bool(try located(node) { () throws(ExpressionError) in try compare(node.operation, a, b) })
    }
  }

  /// nil: missing, or null.
  private func present(_ index: Int, _ scope: some ExpressionScope) throws(ExpressionError) -> ExpressionValue? {
    do throws(ExpressionError) {
      let value = try value(index, scope)
      if case .null = value { return nil }
      return value
    } catch {
      if error.kind == .missing { return nil }
      throw error
    }
  }

  private func flag(_ index: Int, _ what: String, _ node: Node, _ scope: some ExpressionScope) throws(ExpressionError) -> Bool {
    let value = try value(index, scope)
    if case .bool(let flag) = value { return flag }
    throw ExpressionError(
      kind: .type, offset: Int(node.at), message: "\(what) needs true or false, not \(value.kind)", fix: "compare it: write == or !=")
  }

  /// Puts the node's place into an error that has none.
  private func located<Result>(_ node: Node, _ body: () throws(ExpressionError) -> Result) throws(ExpressionError) -> Result {
    do throws(ExpressionError) {
      return try body()
    } catch {
      throw error.offset == 0 ? error.at(Int(node.at)) : error
    }
  }

  private func literal(_ constant: Constant) -> ExpressionValue {
    switch constant.value {
    case .integer(let value): .integer(value)
    case .number(let value): .number(value, .empty)
    case .array: .list(bytes(constant))
    default: .text(bytes(constant))
    }
  }

  // MARK: Operators

  private func size(_ value: ExpressionValue) throws(ExpressionError) -> Int {
    switch value {
    case .list(let bytes), .object(let bytes):
      var scanner = JSONScanner(bytes)
      return try scanner.count()
    case .text, .string: return TextCursor.count(value)
    default:
      throw ExpressionError(
        kind: .type, offset: 0, message: "\(value.kind) has no size", fix: "lists, objects and text have one")
    }
  }

  private func compare(_ operation: Operation, _ a: ExpressionValue, _ b: ExpressionValue) throws(ExpressionError) -> Bool {
    switch operation {
    case .equal: return try ExpressionValue.areEqual(a, b)
    case .notEqual: return try !ExpressionValue.areEqual(a, b)
    case .in: return try contains(b, a)
    case .notIn: return try !contains(b, a)
    default: break
    }
    guard let order = ExpressionValue.order(a, b) else {
      throw ExpressionError(
        kind: .type, offset: 0, message: "\(a.kind) and \(b.kind) have no order", fix: "compare numbers with numbers, and text with text")
    }
    switch operation {
    case .less: return order < 0
    case .lessOrEqual: return order <= 0
    case .greater: return order > 0
    default: return order >= 0
    }
  }

  private func contains(_ whole: ExpressionValue, _ part: ExpressionValue) throws(ExpressionError) -> Bool {
    switch (whole, part) {
    case (.list(let bytes), _):
      var scanner = JSONScanner(bytes)
      return try scanner.contains(part)
    case (.object(let bytes), .text), (.object(let bytes), .string):
      var scanner = JSONScanner(bytes)
      return try scanner.enter(member: part)
    case (.text, .text(let bytes)), (.text, .string(let bytes)), (.string, .text(let bytes)), (.string, .string(let bytes)):
      if bytes.count > TextCursor.maximumPart {
        throw ExpressionError(
          kind: .limit, offset: 0, message: "a text of \(bytes.count) bytes is not searched for",
          fix: "search for at most \(TextCursor.maximumPart) bytes")
      }
      return TextCursor.contains(whole, part)
    default:
      throw ExpressionError(
        kind: .type, offset: 0, message: "\(part.kind) is not looked for in \(whole.kind)",
        fix: "'in' looks for a value in a list, a name in an object, a text in a text")
    }
  }

  // MARK: Paths

  /// The list that an operand stands for, as it lies; nil: it is something else.
  func list(_ index: Int, _ scope: some ExpressionScope) throws(ExpressionError) -> ValueList? {
    let node = nodes[index]
    guard node.operation == .path, node.selectors == 0, roots[node.root].isOutput else { return nil }
    do throws(ExpressionError) {
      if case .list(let list) = try scope.value(ofRoot: node.root) { return list }
      return nil
    } catch {
      throw error.at(Int(node.at))
    }
  }

  private func path(_ index: Int, _ scope: some ExpressionScope) throws(ExpressionError) -> ExpressionValue {
    let node = nodes[index]
    let first = index - node.selectors
    let root: RootValue
    do throws(ExpressionError) { root = try scope.value(ofRoot: node.root) } catch { throw error.at(Int(node.at)) }
    if case .list(let list) = root { return try element(of: list, first, index) }
    return try part(of: root, first, index)
  }

  /// What the selectors from `first` on lead to.
  private func part(of root: RootValue, _ first: Int, _ path: Int) throws(ExpressionError) -> ExpressionValue {
    switch root {
    case .json(let text): return try descend(text, first, path)
    case .value(.list(let text)), .value(.object(let text)): return try descend(text, first, path)
    case .value(let value):
      if first < path { throw without(value, first, path) }
      return value
    case .list(let list): return .list(try list.whole())
    }
  }

  private func element(of list: ValueList, _ first: Int, _ path: Int) throws(ExpressionError) -> ExpressionValue {
    do throws(ExpressionError) {
      guard first < path else { return .list(try list.whole()) }
      guard nodes[first].operation == .index else { throw without(.list(.empty), first, path) }
      let number = Int(nodes[first].operand)
      guard number < list.count else { throw missing(first, path) }
      return try part(of: list.element(number), first + 1, path)
    } catch {
      throw error.offset == 0 ? error.at(Int(nodes[path].at)) : error
    }
  }

  private func descend(_ text: Bytes, _ first: Int, _ path: Int) throws(ExpressionError) -> ExpressionValue {
    var scanner = JSONScanner(text)
    do throws(ExpressionError) {
      scanner.skipSpace()
      for selector in first..<path {
        let isMember = nodes[selector].operation == .member
        let isFound: Bool
        switch (scanner.kind, isMember) {
        case (.object, true): isFound = try scanner.enter(member: .text(bytes(constants[Int(nodes[selector].operand)])))
        case (.list, false): isFound = try scanner.enter(element: Int(nodes[selector].operand))
        default: throw without(try scanner.value(), selector, path)
        }
        if !isFound { throw missing(selector, path) }
      }
      let value = try scanner.value()
      if first == path {
        scanner.skipSpace()
        guard scanner.index == text.count else {
          throw ExpressionError(kind: .type, offset: 0, message: "no JSON at byte \(scanner.index)", fix: "let the task give JSON")
        }
      }
      return value
    } catch {
      if error.kind == .missing || error.offset > 0 { throw error }
      let place = Int(nodes[path].at)
      throw ExpressionError(
        kind: error.kind, offset: place, message: "'\(pathText(path, selectors: 0))' is \(error.message)", fix: error.fix)
    }
  }

  private func missing(_ selector: Int, _ path: Int) -> ExpressionError {
    let before = pathText(path, selectors: selector - path + nodes[path].selectors)
    let what =
      nodes[selector].operation == .member
      ? "has no member '\(constants[Int(nodes[selector].operand)].value.string ?? "")'" : "has no element \(nodes[selector].operand)"
    return ExpressionError(
      kind: .missing, offset: Int(nodes[selector].at), message: "'\(before)' \(what)", fix: "write '?? VALUE' behind it for a default")
  }

  /// A selector meets a value that has no parts of its kind. Null has none of any kind: what is asked of it is missing.
  private func without(_ value: ExpressionValue, _ selector: Int, _ path: Int) -> ExpressionError {
    let before = pathText(path, selectors: selector - path + nodes[path].selectors)
    let what = nodes[selector].operation == .member ? "members" : "elements"
    if case .null = value {
      return ExpressionError(
        kind: .missing, offset: Int(nodes[selector].at), message: "'\(before)' is null, which has no \(what)",
        fix: "write '?? VALUE' behind it for a default")
    }
    return ExpressionError(
      kind: .type, offset: Int(nodes[selector].at), message: "'\(before)' is \(value.kind), which has no \(what)", fix: "correct the path")
  }
}

extension ExpressionError {
  func at(_ offset: Int) -> ExpressionError { ExpressionError(kind: kind, offset: offset, message: message, fix: fix) }
}
