/// The parameters that a file declares.
extension DefinitionDecoder {
  private static let parameterKeys = ["description", "default", "type", "enum", "minimum", "maximum"]

  mutating func parameters(_ value: Located) -> [Definition.Parameter] {
    guard case .map(let entries) = value.content else {
      wrongType(value, "'parameters'", "a map of names", fix: "write 'parameters: { day: { default: today } }'")
      return []
    }
    return entries.map { entry in
      if !Identifier.isParameterName(entry.name) {
        faults.add(
          .badId, "'\(entry.name.prefix(80))' is no name for a parameter", fix: "use 1 to 128 of A-Z a-z 0-9 _ and -", at: entry.position)
      }
      expressions.parameters.insert(entry.name)
      let parameter = parameter(entry)
      if let kind = parameter.kind { expressions.kinds[entry.name] = kind }
      return parameter
    }
  }

  private mutating func parameter(_ entry: Located.Entry) -> Definition.Parameter {
    var parameter = Definition.Parameter(entry.name)
    if entry.value.scalar == .null { return parameter }
    let label = "the parameter '\(entry.name)'"
    let fields = map(entry.value, label, Self.parameterKeys, fix: "write '\(entry.name): { default: VALUE }'") ?? []
    for field in fields {
      switch field.name {
      case "description": parameter.description = text(field.value, "'description'") ?? ""
      case "default": parameter.fallback = field.value.json
      case "type": parameter.kind = kind(field.value)
      case "enum": parameter.choices = list(field.value, "'enum'", "values", fix: "write 'enum: [fast, full]'").map(\.json)
      case "minimum": parameter.minimum = field.value.json
      case "maximum": parameter.maximum = field.value.json
      default: break
      }
    }
    for fault in parameter.faults {
      let place = fields.first { $0.name == fault.field }?.value.position ?? entry.position
      faults.add(.badValue, fault.message, fix: fault.fix, at: place)
    }
    return parameter
  }

  private mutating func kind(_ value: Located) -> Definition.Parameter.Kind? {
    guard let text = text(value, "'type'") else { return nil }
    if let kind = Definition.Parameter.Kind(rawValue: text) { return kind }
    let names = Definition.Parameter.Kind.allCases.map(\.rawValue)
    let near = nearest.nearest(to: text, among: names)
    faults.add(
      .badValue, "'\(text.prefix(80))' is no type",
      fix: near.map { "did you mean '\($0)'?" } ?? "write one of \(names.joined(separator: ", "))",
      at: value.position)
    return nil
  }
}
