/// `env` of a task.
extension DefinitionDecoder {
  mutating func environment(_ value: Located, of task: Int) -> [EnvironmentVariable] {
    guard case .map(let entries) = value.content else {
      wrongType(value, "'env'", "a map of names", fix: "write 'env: { TOKEN: { secret: NAME } }'")
      return []
    }
    if entries.count > EnvironmentVariable.maximumCount {
      faults.add(
        .limit, "'env' has \(entries.count) variables; at most \(EnvironmentVariable.maximumCount) are allowed",
        fix: "pass them in 'input'",
        at: value.position)
    }
    return entries.compactMap { entry in
      if !Identifier.isVariable(entry.name) {
        faults.add(
          .badId, "'\(entry.name.prefix(80))' is no name for a variable", fix: "use 1 to 128 of A-Z a-z 0-9 and _, not a digit first",
          at: entry.position)
      }
      return text(of: entry, task).map { EnvironmentVariable(entry.name, $0) }
    }
  }

  private mutating func text(of entry: Located.Entry, _ task: Int) -> String? {
    let label = "the variable '\(entry.name.prefix(80))'"
    switch entry.value.content {
    case .map:
      guard let fields = map(entry.value, label, ["secret"], fix: "") else { return nil }
      require(["secret"], in: fields, of: label, examples: ["secret: NAME"], at: entry.value.position)
      guard let field = fields.first(where: { $0.name == "secret" }), let name = text(field.value, "'secret'") else { return nil }
      if Identifier.isParameterName(name) { return "${secrets[\"\(name)\"]}" }
      faults.add(
        .badId, "'\(name.prefix(80))' is no name for a secret", fix: "use 1 to 128 of A-Z a-z 0-9 _ and -", at: field.value.position)
      return nil
    case .scalar(.string(let text)):
      checkExpressions(entry.value, in: .environment, of: task)
      return text
    case .scalar(.integer), .scalar(.number), .scalar(.bool): return entry.value.json.text()
    default:
      wrongType(entry.value, label, "text", fix: "write text, or '{ secret: NAME }'")
      return nil
    }
  }
}
