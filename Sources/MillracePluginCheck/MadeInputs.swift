internal import MillraceWorkflow

/// Inputs as a JSON Schema wants them. What it says by patterns, formats and conditions is not followed: a handler refuses such an input, as it must.
struct MadeInputs {
  private static let deepest = 8
  private static let longestText = 64
  private static let words = ["a", "alpha", "", "0", "x y", "ä€😀", "line\nline", "\"quoted\"", ".", "-1", "true", "null"]

  private let root: JSON
  private var numbers: SeededNumbers

  init(_ schema: JSON, _ numbers: SeededNumbers) { (root, self.numbers) = (schema, numbers) }

  mutating func next() -> JSON { make(root, depth: 0) }

  private mutating func pick<Element>(_ elements: [Element]) -> Element { elements[numbers.below(elements.count)] }

  private mutating func make(_ schema: JSON, depth: Int) -> JSON {
    guard schema.object != nil, depth < Self.deepest else { return anything(depth: depth) }
    if let value = schema["const"] { return value }
    if let values = schema["enum"]?.array, !values.isEmpty { return pick(values) }
    let shown = (schema["examples"]?.array ?? []) + (schema["default"].map { [$0] } ?? [])
    if !shown.isEmpty, numbers.chance(1, in: 2) { return pick(shown) }
    if let target = schema["$ref"]?.string.flatMap(find) { return make(target, depth: depth + 1) }
    for name in ["oneOf", "anyOf"] {
      if let choices = schema[name]?.array, !choices.isEmpty {
        let chosen = pick(choices)
        return make(joined([.object((schema.object ?? []).filter { $0.name != name }), chosen]), depth: depth + 1)
      }
    }
    if let parts = schema["allOf"]?.array {
      return make(joined([.object((schema.object ?? []).filter { $0.name != "allOf" })] + parts), depth: depth + 1)
    }
    let types = schema["type"]?.string.map { [$0] } ?? schema["type"]?.array?.compactMap(\.string) ?? []
    switch types.isEmpty ? guess(schema) : pick(types) {
    case "null": return .null
    case "boolean": return .bool(numbers.chance(1, in: 2))
    case "integer": return integer(schema)
    case "number": return numbers.chance(1, in: 2) ? integer(schema) : fraction(schema)
    case "string": return text(schema)
    case "array": return list(schema, depth)
    case "object": return object(schema, depth)
    default: return anything(depth: depth)
    }
  }

  private func guess(_ schema: JSON) -> String {
    if schema["properties"] != nil || schema["required"] != nil { return "object" }
    return schema["items"] != nil ? "array" : ""
  }

  /// Members of all of them; of two `properties` both.
  private func joined(_ schemas: [JSON]) -> JSON {
    var members: [JSON.Member] = []
    for member in schemas.flatMap({ $0.object ?? [] }) {
      guard let at = members.firstIndex(where: { $0.name == member.name }) else {
        members.append(member)
        continue
      }
      if let old = members[at].value.object, let new = member.value.object {
        members[at].value = .object(old.filter { one in !new.contains { $0.name == one.name } } + new)
      } else if let old = members[at].value.array, let new = member.value.array, member.name == "required" {
        members[at].value = .array(old + new)
      } else {
        members[at].value = member.value
      }
    }
    return .object(members)
  }

  private func find(_ reference: String) -> JSON? {
    guard reference.hasPrefix("#") else { return nil }
    var value = root
    for part in reference.dropFirst().split(separator: "/") {
      guard let next = value[String(part)] else { return nil }
      value = next
    }
    return value
  }

  private mutating func anything(depth: Int) -> JSON {
    switch numbers.below(depth < Self.deepest ? 7 : 5) {
    case 0: .null
    case 1: .bool(numbers.chance(1, in: 2))
    case 2: .integer(Int64(truncatingIfNeeded: numbers.next() >> numbers.next() % 64))
    case 3: .number(Double(numbers.below(1_000_000)) / 1_000)
    case 4: .string(pick(Self.words))
    case 5: .array((0..<numbers.below(4)).map { _ in anything(depth: depth + 3) })
    default: .object((0..<numbers.below(4)).map { .init("m\($0)", anything(depth: depth + 3)) })
    }
  }

  private mutating func integer(_ schema: JSON) -> JSON {
    // Of bounds that are fractions the whole numbers between; what does not fit 64 bits is no bound.
    let low = bound(schema, "minimum", "exclusiveMinimum", 1) ?? -1_000
    let high = bound(schema, "maximum", "exclusiveMaximum", -1) ?? max(low, 0) + 1_000
    guard low < high else { return .integer(Int64(low)) }
    switch numbers.below(4) {
    case 0: return .integer(Int64(low))
    case 1: return .integer(Int64(high))
    default: return .integer(Int64(low + (high - low) * Double(numbers.below(1_000)) / 1_000))
    }
  }

  private func bound(_ schema: JSON, _ name: String, _ exclusive: String, _ step: Double) -> Double? {
    let inside = schema[name]?.double
    let outside = schema[exclusive]?.double.map { $0.rounded(step > 0 ? .down : .up) + step }
    guard let found = outside ?? inside?.rounded(step > 0 ? .up : .down), abs(found) < 9e15 else { return nil }
    return found
  }

  private mutating func fraction(_ schema: JSON) -> JSON {
    let low = schema["minimum"]?.double ?? -1_000
    let high = schema["maximum"]?.double ?? max(low, 0) + 1_000
    return .number(low + (high - low) * Double(1 + numbers.below(998)) / 1_000)
  }

  private mutating func text(_ schema: JSON) -> JSON {
    let least = Int(schema["minLength"]?.integer ?? 0)
    let most = min(Int(schema["maxLength"]?.integer ?? Int64(Self.longestText)), max(least, Self.longestText))
    var text = Array(pick(Self.words).unicodeScalars.prefix(most))
    while text.count < least { text += pick(Self.words).unicodeScalars.prefix(least - text.count) + (text.isEmpty ? ["a"] : []) }
    return .string(String(String.UnicodeScalarView(text.prefix(max(least, most)))))
  }

  private mutating func list(_ schema: JSON, _ depth: Int) -> JSON {
    let least = Int(schema["minItems"]?.integer ?? 0)
    let most = min(Int(schema["maxItems"]?.integer ?? 1_000), least + 3)
    let items = schema["items"] ?? .bool(true)
    let first = schema["prefixItems"]?.array ?? []
    return .array((0..<least + numbers.below(most - least + 1)).map { make($0 < first.count ? first[$0] : items, depth: depth + 1) })
  }

  private mutating func object(_ schema: JSON, _ depth: Int) -> JSON {
    let required = Set((schema["required"]?.array ?? []).compactMap(\.string))
    var members: [JSON.Member] = []
    for property in schema["properties"]?.object ?? [] where required.contains(property.name) || numbers.chance(1, in: 2) {
      members.append(.init(property.name, make(property.value, depth: depth + 1)))
    }
    let known = Set(members.map(\.name))
    for name in required.subtracting(known).sorted() { members.append(.init(name, anything(depth: depth + 1))) }
    return .object(members)
  }
}
