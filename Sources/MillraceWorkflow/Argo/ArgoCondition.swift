/// A condition in our words, put together of others.
struct ArgoCondition: Hashable {
  private enum Content: Hashable {
    case constant(Bool)
    case text(String)
  }

  /// How tightly the text holds together, as in docs/expressions.md.
  enum Rank: Int {
    case or, and, not, comparison, operand
  }

  private let content: Content
  private let rank: Rank

  private init(_ content: Content, _ rank: Rank) {
    self.content = content
    self.rank = rank
  }

  init(_ text: String, _ rank: Rank) { self.init(.text(text), rank) }

  static func constant(_ flag: Bool) -> ArgoCondition { ArgoCondition(.constant(flag), .operand) }
  static let always = constant(true)
  static let never = constant(false)

  /// An expression that is true or false.
  var text: String {
    switch content {
    case .constant(let flag): "\(flag)"
    case .text(let text): text
    }
  }

  private func text(within rank: Rank) -> String { self.rank.rawValue < rank.rawValue ? "(\(text))" : text }

  static func && (left: ArgoCondition, right: ArgoCondition) -> ArgoCondition {
    if left == never || right == never { return never }
    if left == always || left == right { return right }
    return right == always ? left : ArgoCondition("\(left.text(within: .and)) and \(right.text(within: .and))", .and)
  }

  static func || (left: ArgoCondition, right: ArgoCondition) -> ArgoCondition {
    if left == always || right == always { return always }
    if left == never || left == right { return right }
    return right == never ? left : ArgoCondition("\(left.text(within: .or)) or \(right.text(within: .or))", .or)
  }

  static prefix func ! (condition: ArgoCondition) -> ArgoCondition {
    if case .constant(let flag) = condition.content { return constant(!flag) }
    return ArgoCondition("not \(condition.text(within: .not))", .not)
  }

  /// Whether it is within the bounds of an expression. Complexity: O(bytes).
  var isWithinBounds: Bool {
    do throws(ExpressionError) {
      return try Template("${\(text)}")?.whole != nil
    } catch {
      return false
    }
  }
}
