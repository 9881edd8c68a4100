internal import MillraceWorkflow

/// Whether one JSON Schema accepts all that another one does, as far as that is told by comparing them keyword by keyword.
///
/// What describes without deciding (title, description, default, examples, comments) is passed over. Keywords that depend on others, as `if` or `$ref`, are not
/// followed: schemas with those must be equal. So a reason may be given where a proof would need more than this; none is left out.
enum SchemaInclusion {
  private static let annotations: Set<String> = [
    "$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
  ]
  private static let lowest: Set<String> = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"]
  private static let highest: Set<String> = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"]
  /// Each decides alone: where both have the same, it is the same.
  private static let alone: Set<String> = [
    "const", "pattern", "format", "multipleOf", "uniqueItems", "allOf", "anyOf", "oneOf", "not",
  ]
  private static let structural: Set<String> = ["type", "enum", "required", "properties", "additionalProperties", "items"]

  /// Why `wide` may refuse what `narrow` accepts; nil: it accepts all of that. Complexity: O(members of both), squared for the members of one object.
  static func obstacle(_ wide: JSON, accepting narrow: JSON, at path: String = "") -> String? {
    let (wide, narrow) = (bare(wide), bare(narrow))
    if wide == narrow || wide == .bool(true) || wide == .object([]) || narrow == .bool(false) { return nil }
    let place = path.isEmpty ? "" : " of '\(path)'"
    guard let members = wide.object, let others = narrow.bool == true ? [] : narrow.object else {
      return "the schema\(place) is another one"
    }
    for member in members + others where !isFollowed(member.name) {
      return "'\(member.name)'\(place) is not followed, and the schemas differ"
    }
    for member in members {
      if let reason = obstacle(member.name, member.value, wide, narrow, path, place) { return reason }
    }
    return nil
  }

  private static func isFollowed(_ name: String) -> Bool {
    lowest.contains(name) || highest.contains(name) || alone.contains(name) || structural.contains(name)
  }

  /// Without what describes, members in the order of their names.
  private static func bare(_ schema: JSON) -> JSON {
    guard let members = schema.object else { return schema }
    return .object(members.filter { !annotations.contains($0.name) }.sorted { $0.name < $1.name })
  }

  private static func obstacle(
    _ name: String, _ value: JSON, _ wide: JSON, _ narrow: JSON, _ path: String, _ place: String
  ) -> String? {
    let other = narrow[name]
    switch name {
    case "type":
      guard let other else { return "the type\(place) was any" }
      let allowed = types(value)
      let lost = types(other).filter { !allowed.contains($0) && !($0 == "integer" && allowed.contains("number")) }
      return lost.first.map { "the type\(place) is no longer '\($0)'" }
    case "enum":
      let allowed = value.array ?? []
      let given = other?.array ?? narrow["const"].map { [$0] }
      guard let given else { return "the values\(place) were any" }
      return given.first { !allowed.contains($0) }.map { "\($0.text())\(place) is no longer one of the values" }
    case "required":
      let given = Set((other?.array ?? []).compactMap(\.string))
      return (value.array ?? []).compactMap(\.string).first { !given.contains($0) }.map { "'\(inside(path, $0))' is required" }
    case "properties":
      for property in value.object ?? [] {
        if let before = other?[property.name] {
          if let reason = obstacle(property.value, accepting: before, at: inside(path, property.name)) { return reason }
        } else if narrow["additionalProperties"] != .bool(false) {
          if let reason = obstacle(
            property.value, accepting: narrow["additionalProperties"] ?? .bool(true), at: inside(path, property.name))
          {
            return reason
          }
        }
      }
      return nil
    case "additionalProperties":
      let known = Set((wide["properties"]?.object ?? []).map(\.name))
      for property in narrow["properties"]?.object ?? [] where !known.contains(property.name) {
        if let reason = obstacle(value, accepting: property.value, at: inside(path, property.name)) {
          return value == .bool(false) ? "'\(inside(path, property.name))' is no longer allowed" : reason
        }
      }
      if let reason = obstacle(value, accepting: other ?? .bool(true), at: path) {
        return value == .bool(false) ? "members\(place) that it does not name are no longer allowed" : reason
      }
      return nil
    case "items": return obstacle(value, accepting: other ?? .bool(true), at: inside(path, "[]"))
    case _ where lowest.contains(name):
      guard let (bound, before) = bounds(value, other) else { return "'\(name)'\(place) is new" }
      return before >= bound ? nil : "'\(name)'\(place) is \(value.text()), it was \(other?.text() ?? "")"
    case _ where highest.contains(name):
      guard let (bound, before) = bounds(value, other) else { return "'\(name)'\(place) is new" }
      return before <= bound ? nil : "'\(name)'\(place) is \(value.text()), it was \(other?.text() ?? "")"
    default: return other == value ? nil : "'\(name)'\(place) is another one"
    }
  }

  private static func inside(_ path: String, _ name: String) -> String { path.isEmpty ? name : path + "." + name }

  private static func types(_ value: JSON) -> [String] { value.string.map { [$0] } ?? (value.array ?? []).compactMap(\.string) }

  private static func bounds(_ value: JSON, _ other: JSON?) -> (Double, Double)? {
    guard let bound = number(value), let other, let before = number(other) else { return nil }
    return (bound, before)
  }

  private static func number(_ value: JSON) -> Double? {
    switch value {
    case .integer(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }
}
