/// Where something stands in a file: line and column from 1, columns in characters (Unicode scalars).
struct Position: Sendable, Hashable {
  var line: UInt32
  var column: UInt32

  static let start = Position(line: 1, column: 1)
}

/// What a parser builds: plain `JSON`, or `Located`, which remembers where everything stood.
protocol ParsedTree {
  associatedtype Entry
  static func scalar(_ value: JSON, at position: Position) -> Self
  /// `offset`: characters from the position to the first of the text, if its characters stand in the file as they are, in one line.
  static func text(_ text: String, at position: Position, offset: UInt8?) -> Self
  static func list(_ elements: [Self], at position: Position) -> Self
  static func map(_ entries: [Entry], at position: Position) -> Self
  static func entry(_ name: String, at position: Position, _ value: Self) -> Entry
  static func name(of entry: Entry) -> String
}

/// A value of a file that remembers where it stood: what YAML and JSON are read into before a definition is made of it.
struct Located: Sendable {
  struct Entry: Sendable {
    var name: String
    var position: Position
    var value: Located
  }

  enum Content: Sendable {
    case scalar(JSON)
    case list([Located])
    case map([Entry])
  }

  var content: Content
  var position: Position
  /// Of a text: see `ParsedTree.text`.
  private var textOffset: UInt8?

  init(content: Content, position: Position, textOffset: UInt8? = nil) {
    self.content = content
    self.position = position
    self.textOffset = textOffset
  }

  /// Where a character of this text stands, by its byte; nil: the text stands in the file in other words, as with escapes or folded lines.
  func position(ofByte offset: Int) -> Position? {
    guard let text = string, let textOffset else { return nil }
    let column = position.column + UInt32(textOffset) + UInt32(Template.character(at: offset, in: text)) - 1
    return Position(line: position.line, column: column)
  }

  subscript(name: String) -> Located? {
    guard case .map(let entries) = content else { return nil }
    return entries.first { $0.name == name }?.value
  }

  var entries: [Entry]? { if case .map(let entries) = content { entries } else { nil } }

  var elements: [Located]? { if case .list(let elements) = content { elements } else { nil } }

  var scalar: JSON? { if case .scalar(let value) = content { value } else { nil } }

  var string: String? { scalar?.string }

  /// The value without positions. Recursive; the readers bound the depth.
  var json: JSON {
    switch content {
    case .scalar(let value): value
    case .list(let elements): .array(elements.map(\.json))
    case .map(let entries): .object(entries.map { JSON.Member($0.name, $0.value.json) })
    }
  }

  /// What kind of value this is, for a message.
  var kind: String {
    switch content {
    case .list: "a list"
    case .map: "a map"
    case .scalar(.null): "nothing"
    case .scalar(.bool): "true or false"
    case .scalar(.integer), .scalar(.number): "a number"
    case .scalar: "text"
    }
  }
}

extension Located: ParsedTree {
  static func text(_ text: String, at position: Position, offset: UInt8?) -> Located {
    Located(content: .scalar(.string(text)), position: position, textOffset: offset)
  }
  static func scalar(_ value: JSON, at position: Position) -> Located { Located(content: .scalar(value), position: position) }
  static func list(_ elements: [Located], at position: Position) -> Located { Located(content: .list(elements), position: position) }
  static func map(_ entries: [Entry], at position: Position) -> Located { Located(content: .map(entries), position: position) }
  static func entry(_ name: String, at position: Position, _ value: Located) -> Entry {
    Entry(name: name, position: position, value: value)
  }
  static func name(of entry: Entry) -> String { entry.name }
}

extension JSON: ParsedTree {
  static func text(_ text: String, at position: Position, offset: UInt8?) -> JSON { .string(text) }
  static func scalar(_ value: JSON, at position: Position) -> JSON { value }
  static func list(_ elements: [JSON], at position: Position) -> JSON { .array(elements) }
  static func map(_ entries: [Member], at position: Position) -> JSON { .object(entries) }
  static func entry(_ name: String, at position: Position, _ value: JSON) -> Member { Member(name, value) }
  static func name(of entry: Member) -> String { entry.name }
}
