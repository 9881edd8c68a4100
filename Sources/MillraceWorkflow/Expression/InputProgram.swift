/// A JSON value with expressions in its texts, compiled: JSON text with holes, filled in one pass.
struct InputProgram: Sendable, Hashable {
  enum Piece: Sendable, Hashable {
    /// Of `text`.
    case text(Range<Int>)
    /// A text that is an expression: its value as JSON.
    case value(Int)
    /// An expression inside a text.
    case inserted(Int)
  }

  private let text: [UInt8]
  private let pieces: [Piece]
  let expressions: [Expression]

  /// nil: no text holds an expression or `$${`. Recursive; the checker bounds the depth of inputs.
  init?(_ input: JSON) throws(ExpressionError) {
    guard input.mayHoldExpressions else { return nil }
    var builder = Builder()
    try builder.add(input)
    builder.close()
    text = builder.text
    pieces = builder.pieces
    expressions = builder.expressions
  }

  private struct Builder {
    var text: [UInt8] = []
    var pieces: [Piece] = []
    var expressions: [Expression] = []
    private var start = 0

    mutating func add(_ value: JSON) throws(ExpressionError) {
      switch value {
      case .string(let string):
        guard let template = try Template(string) else {
          text += value.utf8()
          return
        }
        if let whole = template.whole { return add(whole, Piece.value) }
        text.append(UInt8(ascii: "\""))
        for part in template.parts {
          switch part {
          case .text(let literal): text += JSON.string(literal).utf8().dropFirst().dropLast()
          case .expression(let expression, _): add(expression, Piece.inserted)
          }
        }
        text.append(UInt8(ascii: "\""))
      case .array(let elements):
        text.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
          if index > 0 { text.append(UInt8(ascii: ",")) }
          try add(element)
        }
        text.append(UInt8(ascii: "]"))
      case .object(let members):
        text.append(UInt8(ascii: "{"))
        for (index, member) in members.enumerated() {
          if index > 0 { text.append(UInt8(ascii: ",")) }
          text += JSON.string(member.name).utf8()
          text.append(UInt8(ascii: ":"))
          try add(member.value)
        }
        text.append(UInt8(ascii: "}"))
      default: text += value.utf8()
      }
    }

    private mutating func add(_ expression: Expression, _ piece: (Int) -> Piece) {
      close()
      pieces.append(piece(expressions.count))
      expressions.append(expression)
    }

    mutating func close() {
      if start < text.count { pieces.append(.text(start..<text.count)) }
      start = text.count
    }
  }

  /// JSON text with the values in place, at most `Definition.maximumInputBytes`. `scope` gives the scope of an expression by its number.
  ///
  /// Complexity: O(text + values). Throws `ExpressionError` whose message begins with the expression.
  func bytes<Scope: ExpressionScope>(_ scope: (Int) -> Scope) throws(ExpressionError) -> [UInt8] {
    var writer = ExpressionWriter(limit: Definition.maximumInputBytes)
    for piece in pieces {
      switch piece {
      case .text(let range): try writer.literal(text[range])
      case .value(let number):
        let value = try value(number, scope(number))
        try writer.json(value)
      case .inserted(let number):
        let value = try value(number, scope(number))
        try writer.inserted(value)
      }
    }
    return writer.bytes
  }

  private func value(_ number: Int, _ scope: some ExpressionScope) throws(ExpressionError) -> ExpressionValue {
    do throws(ExpressionError) {
      return try expressions[number].value(in: scope)
    } catch {
      throw error.naming(expressions[number])
    }
  }
}

extension ExpressionError {
  /// With the expression before the message: for a reader who does not see it.
  func naming(_ expression: Expression) -> ExpressionError {
    ExpressionError(kind: kind, offset: offset, message: "${\(expression.text)}: \(message)", fix: fix)
  }
}

extension JSON {
  /// Whether some text holds `${`. Recursive; the checker bounds the depth of inputs.
  var mayHoldExpressions: Bool {
    switch self {
    case .string(let text): text.utf8.contains(UInt8(ascii: "$")) && text.contains("${")
    case .array(let elements): elements.contains { $0.mayHoldExpressions }
    case .object(let members): members.contains { $0.value.mayHoldExpressions }
    default: false
    }
  }
}

/// What is known before a run begins.
struct ParameterScope: ExpressionScope {
  let roots: [Expression.Root]
  let settled: SettledValues

  func value(ofRoot number: Int) throws(ExpressionError) -> RootValue {
    if case .parameter(let name) = roots[number] {
      if let kept = settled.values[name] { return .json(kept.bytes) }
      if let error = settled.missing[name] { throw error }
    }
    throw ExpressionError(kind: .missing, offset: 0, message: "it is known only while the run goes on", fix: "use parameters here")
  }
}
