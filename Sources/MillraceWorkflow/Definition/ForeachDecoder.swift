/// `foreach` and `parallelism` of a task.
extension DefinitionDecoder {
  private static let example = "foreach: ${tasks.ID.output.files}"

  mutating func foreach(_ value: Located, of task: Int) -> Foreach? {
    switch value.content {
    case .list(let elements):
      guard elements.count <= Foreach.maximumItems else {
        faults.add(
          .limit, "'foreach' has \(elements.count) items; at most \(Foreach.maximumItems) are allowed",
          fix: "let one item do the work of several", at: value.position)
        return nil
      }
      checkExpressions(value, in: .foreach, of: task)
      let list = value.json
      if list.isLarger(than: Definition.maximumInputBytes) {
        faults.add(
          .limit, "the list of 'foreach' is larger than \(Definition.maximumInputBytes) bytes", fix: "let a task before this one make it",
          at: value.position)
      }
      return .list(list)
    case .map(let entries) where entries.contains { $0.name == "files" || $0.name == "directory" }: return files(value, of: task)
    case .map: return range(value, of: task)
    case .scalar(.string): return expression(value, "'foreach'", example: Self.example, in: .foreach, of: task).map { .list(.string($0)) }
    case .scalar:
      wrongType(value, "'foreach'", "a list, a range or an expression", fix: "write '\(Self.example)'")
      return nil
    }
  }

  private mutating func range(_ value: Located, of task: Int) -> Foreach? {
    guard let entries = map(value, "'foreach'", ["from", "to", "step"], fix: "") else { return nil }
    require(["from", "to"], in: entries, of: "'foreach'", examples: ["from: 0", "to: 99"], at: value.position)
    var ends: [String: JSON] = [:]
    for entry in entries where ["from", "to", "step"].contains(entry.name) {
      guard let number = number(entry.value, "'\(entry.name)'", of: task) else { continue }
      ends[entry.name] = number
      if entry.name == "step", number == 0 {
        faults.add(.badValue, "'step' is 0", fix: "write 1, or -1 to count down", at: entry.value.position)
      }
    }
    guard let from = ends["from"], let to = ends["to"] else { return nil }
    let range = Foreach.range(from: from, to: to, step: ends["step"] ?? 1)
    if let count = range.literalCount, count > Foreach.maximumItems {
      faults.add(
        .limit, "'foreach' has \(count) items; at most \(Foreach.maximumItems) are allowed", fix: "let one item do the work of several",
        at: value.position)
    }
    return range
  }

  private mutating func number(_ value: Located, _ label: String, of task: Int) -> JSON? {
    if case .integer = value.scalar { return value.scalar }
    if value.string?.hasPrefix("${") == true {
      return expression(value, label, example: "from: ${params.first}", in: .foreach, of: task).map(JSON.string)
    }
    wrongType(value, label, "a whole number", fix: "write a number, or '${...}' that gives one")
    return nil
  }

  private mutating func files(_ value: Located, of task: Int) -> Foreach? {
    guard let entries = map(value, "'foreach'", ["files", "directory"], fix: "") else { return nil }
    require(["files"], in: entries, of: "'foreach'", examples: ["files: \"data/*.csv\""], at: value.position)
    var texts: [String: String] = [:]
    for entry in entries where entry.name == "files" || entry.name == "directory" {
      guard let text = text(entry.value, "'\(entry.name)'") else { continue }
      if text.isEmpty { faults.add(.badValue, "'\(entry.name)' is empty", fix: "write 'files: \"data/*.csv\"'", at: entry.value.position) }
      checkExpressions(entry.value, in: .foreach, of: task)
      texts[entry.name] = text
    }
    return texts["files"].map { .files($0, directory: texts["directory"]) }
  }

  mutating func parallelism(_ value: Located, hasItems: Bool) -> Int? {
    if !hasItems {
      faults.add(
        .badValue, "'parallelism' is for tasks with 'foreach': how many items are in progress at once",
        fix: "use 'concurrency' to limit tasks, or add '\(Self.example)'", at: value.position)
    }
    return integer(value, "'parallelism'", Foreach.parallelismRange)
  }
}
