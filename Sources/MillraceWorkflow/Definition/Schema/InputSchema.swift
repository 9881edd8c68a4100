/// What a handler's input may be: the part of JSON Schema 2020-12 that `docs/definitions.md` lists. Compiled once, any number of checks.
///
/// Keywords that are not understood are passed over; whatever they would have asked for is not judged, and never held against an input.
public struct InputSchema: Sendable {
  /// Most schemas inside each other and beside each other.
  static let maximumNodes = 10_000
  /// Levels of `$ref`, `anyOf`, `oneOf` and `allOf` for one value. Below, nothing is judged.
  static let maximumDepth = 32
  /// Looks at values in one input. Beyond, nothing is judged.
  static let maximumSteps = 1_000_000

  /// Why a text is no schema.
  public struct Malformed: Error, Sendable, CustomStringConvertible {
    public let description: String
  }

  /// JSON types; an integer is a number without fraction.
  struct Kinds: OptionSet, Sendable {
    let rawValue: UInt8
    static let null = Kinds(rawValue: 1)
    static let boolean = Kinds(rawValue: 2)
    static let integer = Kinds(rawValue: 4)
    /// A number that may have a fraction.
    static let fraction = Kinds(rawValue: 8)
    static let string = Kinds(rawValue: 16)
    static let array = Kinds(rawValue: 32)
    static let object = Kinds(rawValue: 64)
    static let number: Kinds = [.integer, .fraction]
    static let all = Kinds(rawValue: 127)
  }

  struct Node: Sendable {
    /// `false`: nothing will do.
    var isNever = false
    var kinds = Kinds.all
    var choices: [JSON]?
    var minimum: Bound?
    var maximum: Bound?
    var length: ClosedRange<Int>?
    var count: ClosedRange<Int>?
    var properties: [(name: String, node: Int)] = []
    var required: [String] = []
    var others = Others.any
    var first: [Int] = []
    var items: Int?
    var anyOf: [Int] = []
    var oneOf: [Int] = []
    var allOf: [Int] = []
    var reference: Int?
    var description: String?
    /// It asks for more than is understood: that a value fits cannot be said for certain.
    var isPartial = false

    struct Bound: Sendable {
      var value: JSON
      var isExclusive: Bool
    }

    enum Others: Sendable {
      case any
      case none
      case schema(Int)
    }
  }

  let nodes: [Node]

  /// Throws `Malformed` if the text is no JSON, or a keyword that is understood has a value that it cannot have.
  public init(parsing text: String) throws(Malformed) {
    let value: JSON
    do throws(JSONSyntaxError) {
      value = try JSON(parsing: text)
    } catch {
      throw Malformed(description: "line \(error.line), column \(error.column): \(error.message)")
    }
    try self.init(value)
  }

  /// Throws `Malformed` as above.
  public init(_ schema: JSON) throws(Malformed) {
    var reader = SchemaReader(root: schema)
    try reader.read()
    nodes = reader.nodes
  }
}

/// Makes flat nodes of a schema. The recursion is bounded by the depth of JSON, or of `maximumNodes` for values made in Swift.
struct SchemaReader {
  let root: JSON
  private(set) var nodes: [InputSchema.Node] = []
  private var references: [String: Int] = [:]
  private var waiting: [(node: Int, reference: String)] = []

  init(root: JSON) { self.root = root }

  mutating func read() throws(InputSchema.Malformed) {
    references["#"] = try node(root, "#", depth: 0)
    // A definition is read when it is first named, and may name others.
    while let (number, reference) = waiting.popLast() {
      if let known = references[reference] {
        nodes[number].reference = known
        continue
      }
      guard let schema = find(reference) else {
        // In another document, or by an anchor: not judged.
        nodes[number].isPartial = true
        continue
      }
      let target = nodes.count
      references[reference] = target
      _ = try node(schema, reference, depth: 0)
      nodes[number].reference = target
    }
  }

  /// `#/$defs/name` and other paths within the document.
  private func find(_ reference: String) -> JSON? {
    guard reference.hasPrefix("#/") else { return nil }
    var value = root
    for part in reference.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) {
      let name = part.split(separator: "~1", omittingEmptySubsequences: false).joined(separator: "/")
        .split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
      guard let next = value[name] ?? Int(name).flatMap({ value[$0] }) else { return nil }
      value = next
    }
    return value
  }

  private mutating func node(_ schema: JSON, _ path: String, depth: Int) throws(InputSchema.Malformed) -> Int {
    guard nodes.count < InputSchema.maximumNodes, depth <= JSON.maximumDepth else {
      throw InputSchema.Malformed(description: "more than \(InputSchema.maximumNodes) schemas, or more than \(JSON.maximumDepth) deep")
    }
    let number = nodes.count
    nodes.append(InputSchema.Node())
    switch schema {
    case .bool(let flag): nodes[number].isNever = !flag
    case .object(let members):
      var node = nodes[number]
      for member in members { try take(member, &node, number, path, depth) }
      // What these name is not to be taken for unknown.
      if schema["patternProperties"] != nil { node.others = .any }
      nodes[number] = node
    default: throw malformed(path, "must be an object, true or false")
    }
    return number
  }

  private func malformed(_ path: String, _ what: String) -> InputSchema.Malformed { InputSchema.Malformed(description: "\(path) \(what)") }

  /// Words that say nothing about what a value may be, or are read where they are needed.
  private static let notes: Set<String> = [
    "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format", "$schema", "$id", "$comment", "$defs",
    "definitions", "$anchor", "contentMediaType", "contentEncoding",
  ]

  private mutating func take(
    _ member: JSON.Member, _ node: inout InputSchema.Node, _ number: Int, _ path: String, _ depth: Int
  ) throws(InputSchema.Malformed) {
    let at = "\(path)/\(member.name)"
    let value = member.value
    switch member.name {
    case "type": node.kinds = try kinds(value, at)
    case "enum":
      guard let values = value.array else { throw malformed(at, "must be a list") }
      node.choices = values
    case "const": node.choices = [value]
    case "minimum", "exclusiveMinimum":
      guard value.double != nil else { throw malformed(at, "must be a number") }
      node.minimum = tighter(node.minimum, value, member.name == "exclusiveMinimum", order: -1)
    case "maximum", "exclusiveMaximum":
      guard value.double != nil else { throw malformed(at, "must be a number") }
      node.maximum = tighter(node.maximum, value, member.name == "exclusiveMaximum", order: 1)
    case "minLength": node.length = try from(count(value, at), node.length)
    case "maxLength": node.length = try to(count(value, at), node.length)
    case "minItems": node.count = try from(count(value, at), node.count)
    case "maxItems": node.count = try to(count(value, at), node.count)
    case "required":
      guard let names = value.array, names.allSatisfy({ $0.string != nil }) else { throw malformed(at, "must be a list of names") }
      node.required = names.compactMap(\.string)
    case "properties":
      guard let properties = value.object else { throw malformed(at, "must be an object") }
      for property in properties {
        node.properties.append((property.name, try self.node(property.value, "\(at)/\(property.name)", depth: depth + 1)))
      }
    case "additionalProperties":
      switch value {
      case .bool(true): node.others = .any
      case .bool(false): node.others = .none
      default: node.others = .schema(try self.node(value, at, depth: depth + 1))
      }
    case "items": node.items = try self.node(value, at, depth: depth + 1)
    case "prefixItems": node.first = try list(value, at, depth)
    case "anyOf": node.anyOf = try list(value, at, depth)
    case "oneOf": node.oneOf = try list(value, at, depth)
    case "allOf": node.allOf = try list(value, at, depth)
    case "$ref":
      guard let reference = value.string else { throw malformed(at, "must be text") }
      waiting.append((number, reference))
    case "description": node.description = value.string
    case _ where Self.notes.contains(member.name): break
    default: node.isPartial = true
    }
  }

  private mutating func list(_ value: JSON, _ at: String, _ depth: Int) throws(InputSchema.Malformed) -> [Int] {
    guard let schemas = value.array, !schemas.isEmpty else { throw malformed(at, "must be a list of schemas") }
    var numbers: [Int] = []
    for (index, schema) in schemas.enumerated() { numbers.append(try node(schema, "\(at)/\(index)", depth: depth + 1)) }
    return numbers
  }

  private func kinds(_ value: JSON, _ at: String) throws(InputSchema.Malformed) -> InputSchema.Kinds {
    var kinds: InputSchema.Kinds = []
    for name in value.array ?? [value] {
      switch name.string {
      case "null": kinds.insert(.null)
      case "boolean": kinds.insert(.boolean)
      case "integer": kinds.insert(.integer)
      case "number": kinds.formUnion(.number)
      case "string": kinds.insert(.string)
      case "array": kinds.insert(.array)
      case "object": kinds.insert(.object)
      default: throw malformed(at, "is no type: \(name.shownShort)")
      }
    }
    return kinds
  }

  private func count(_ value: JSON, _ at: String) throws(InputSchema.Malformed) -> Int {
    guard let number = value.integer, let count = Int(exactly: number), count >= 0 else {
      throw malformed(at, "must be a whole number from 0 on")
    }
    return count
  }

  // Of two bounds the one that comes later; a range that would be empty admits nothing but its end.
  private func from(_ low: Int, _ range: ClosedRange<Int>?) throws(InputSchema.Malformed) -> ClosedRange<Int> {
    let high = range?.upperBound ?? .max
    guard low <= high else { throw InputSchema.Malformed(description: "a minimum of \(low) above a maximum of \(high)") }
    return low...high
  }

  private func to(_ high: Int, _ range: ClosedRange<Int>?) throws(InputSchema.Malformed) -> ClosedRange<Int> {
    let low = range?.lowerBound ?? 0
    guard low <= high else { throw InputSchema.Malformed(description: "a maximum of \(high) below a minimum of \(low)") }
    return low...high
  }

  private func tighter(_ bound: InputSchema.Node.Bound?, _ value: JSON, _ isExclusive: Bool, order: Int) -> InputSchema.Node.Bound {
    let new = InputSchema.Node.Bound(value: value, isExclusive: isExclusive)
    guard let bound, let way = value.order(to: bound.value) else { return new }
    if way == 0 { return InputSchema.Node.Bound(value: value, isExclusive: isExclusive || bound.isExclusive) }
    return (way < 0) == (order > 0) ? new : bound
  }
}
