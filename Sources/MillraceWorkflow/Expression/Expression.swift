/// An expression of the published grammar (`docs/expressions.md`) in its compiled form: a few flat arrays. Immutable; total; bounded.
struct Expression: Sendable {
  /// Longest text of one expression, bytes.
  static let maximumBytes = 4_096
  /// Deepest nesting of parentheses, `not` and `size`.
  static let maximumDepth = 32
  /// Most operators, literals, paths and selectors together.
  static let maximumNodes = 256

  enum Operation: UInt8, Sendable {
    case null, `true`, `false`, constant, path
    /// Selectors of the path that follows them.
    case member, index
    case not, size
    case and, or, fallback
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, `in`, notIn
  }

  /// In order of evaluation, operands first: the left operand of a binary operation ends at `operand`, its right one, and the only one of a unary
  /// operation, just before the node. A path names its root and how many selectors stand before it.
  struct Node: Sendable, Hashable {
    var operation: Operation
    /// Where it stands, bytes from the beginning of the expression.
    var at: UInt16
    var operand: UInt32

    /// Of a path.
    var root: Int { Int(operand & 0xFFFF) }
    var selectors: Int { Int(operand >> 16) }
  }

  /// What a path begins with.
  enum Root: Sendable, Hashable {
    case parameter(String)
    case output(String)
    case status(String)
    case runID, runStatus, runWorkflow
    case secret(String)
    /// Of a task with `foreach`: the item, and its number from 0.
    case item, index

    var isOutput: Bool { if case .output = self { true } else { false } }
  }

  /// A literal, or the name in a selector.
  struct Constant: Sendable {
    let value: JSON
    /// In `kept`: the text of a string, the JSON text of a list.
    let place: Range<Int>
  }

  let nodes: [Node]
  let roots: [Root]
  let constants: [Constant]
  private let kept: KeptBytes

  init(nodes: [Node], roots: [Root], literals: [JSON]) {
    self.nodes = nodes
    self.roots = roots
    var text: [UInt8] = []
    constants = literals.map { value in
      let start = text.count
      text += value.string.map { Array($0.utf8) } ?? value.utf8()
      return Constant(value: value, place: start..<text.count)
    }
    kept = KeptBytes(text)
  }

  func bytes(_ constant: Constant) -> Bytes { kept.bytes[constant.place] }
}

extension Expression: Hashable {
  /// The same meaning by the same words: positions do not count.
  static func == (a: Expression, b: Expression) -> Bool {
    a.roots == b.roots && a.constants.map(\.value) == b.constants.map(\.value) && a.nodes.count == b.nodes.count
      && zip(a.nodes, b.nodes).allSatisfy { $0.operation == $1.operation && $0.operand == $1.operand }
  }

  func hash(into hasher: inout Hasher) {
    for node in nodes {
      hasher.combine(node.operation)
      hasher.combine(node.operand)
    }
  }
}

/// Why a text is no expression, or an expression has no value, and where.
struct ExpressionError: Error, Sendable, Hashable {
  enum Kind: Sendable, Hashable {
    case syntax, limit
    /// A value that is not there: what `??` replaces.
    case missing
    /// A value of the wrong type, or an output that is no JSON.
    case type
  }

  var kind: Kind
  /// Bytes from the beginning of the expression; `Template` makes it bytes from the beginning of its text.
  var offset: Int
  var message: String
  var fix: String
}
