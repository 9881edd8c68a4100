/// A condition of Argo's into its tokens.
enum ArgoConditionLexer {
  private enum Element: Equatable {
    case character(Character)
    case value(ArgoValue)
  }

  /// Of a condition.
  static let maximumCharacters = 4 * Expression.maximumBytes
  private static let pairs: Set<String> = ["==", "!=", "<=", ">=", "&&", "||", "=~", "!~"]
  private static let symbols = "<>!()[],.-"

  /// With `.end` at the end. Complexity: O(text).
  static func tokens(_ text: ArgoText, _ dialect: ArgoConditionParser.Dialect) throws(ArgoRefusal) -> [ArgoConditionParser.Token] {
    if let refusal = text.refusal { throw ArgoRefusal(reason: refusal.reason) }
    var elements: [Element] = []
    for part in text.parts {
      switch part {
      case .text(let text): elements += text.map(Element.character)
      case .value(let value): elements.append(.value(value))
      case .unknown: break
      }
    }
    guard elements.count <= maximumCharacters else { throw ArgoRefusal(reason: "it has more than \(maximumCharacters) characters") }
    var tokens: [ArgoConditionParser.Token] = []
    var index = 0
    let character = { (at: Int) -> Character? in
      guard at < elements.count, case .character(let character) = elements[at] else { return nil }
      return character
    }
    let run = { (from: Int, isPart: (Character) -> Bool) -> String in
      var word = ""
      var at = from
      while let next = character(at), isPart(next) {
        word.append(next)
        at += 1
      }
      return word
    }
    let isBeside = { (at: Int) in elements.indices.contains(at) && character(at).map(isWord) ?? true }
    while index < elements.count {
      guard let first = character(index) else {
        guard case .value(let value) = elements[index] else { break }
        if isBeside(index - 1) || isBeside(index + 1) { throw ArgoRefusal(reason: "a '{{...}}' beside other text") }
        tokens.append(.value(value))
        index += 1
        continue
      }
      if first.isWhitespace {
        index += 1
      } else if first == "\"" || first == "'" {
        let (token, length) = try quoted(elements[(index + 1)...], by: first)
        tokens.append(token)
        index += length + 1
      } else if first.isASCII, first.isNumber {
        let digits = run(index) { ($0.isASCII && $0.isNumber) || $0 == "." }
        tokens.append(.number(digits))
        index += digits.count
      } else if isWord(first) {
        let word = run(index) { isWord($0) }
        tokens.append(.word(word))
        index += word.count
      } else if let second = character(index + 1), pairs.contains("\(first)\(second)") {
        tokens.append(.symbol("\(first)\(second)"))
        index += 2
      } else if symbols.contains(first) {
        tokens.append(.symbol("\(first)"))
        index += 1
      } else {
        throw ArgoRefusal(reason: "'\(first)' is not understood; a text with more than letters needs quotes")
      }
    }
    return tokens + [.end]
  }

  private static func isWord(_ character: Character) -> Bool { character.isLetter || character.isNumber || character == "_" }

  /// What stands in quotes, and how long it is with the quote at its end.
  private static func quoted(
    _ rest: ArraySlice<Element>, by quote: Character
  ) throws(ArgoRefusal) -> (ArgoConditionParser.Token, Int) {
    var text = ""
    var value: ArgoValue?
    var isEscaped = false
    for (index, element) in zip(rest.indices, rest) {
      switch element {
      case .value(let found):
        guard value == nil, text.isEmpty else { throw ArgoRefusal(reason: "a text that is put together of several parts") }
        value = found
      case .character(quote) where !isEscaped:
        let length = index - rest.startIndex + 1
        guard let value else { return (.text(text), length) }
        guard text.isEmpty else { throw ArgoRefusal(reason: "a text that is put together of several parts") }
        return (.quoted(value), length)
      case .character("\\") where !isEscaped: isEscaped = true
      case .character(let character):
        text.append(character)
        isEscaped = false
      }
    }
    throw ArgoRefusal(reason: "a text without its quote at the end")
  }
}
