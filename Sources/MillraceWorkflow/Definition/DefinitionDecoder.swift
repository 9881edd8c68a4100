/// Where the parts of a definition stood in its file.
struct DefinitionPositions {
  struct TaskPositions {
    var task: Position
    var id: Position
    var handler: Position
    var dependencies: [Position]
  }

  var result: Position?
  var tasks: [TaskPositions] = []
  /// Templates by the ids of the tasks that stand for their tasks.
  var uses: [String: String] = [:]
  /// Of steps that have one, by their numbers: the whole, and its handler.
  var compensations: [Int: (whole: Position, handler: Position)] = [:]
  /// Of steps that say whether they are the pivot, by their numbers.
  var pivots: [Int: Position] = [:]
  /// All tasks of an import have the same handler: one fault tells that it is not there.
  var isImport = false
}

/// Makes a definition from a tree: everything that can be judged where it stands. What concerns several tasks is `DefinitionChecker`'s.
struct DefinitionDecoder {
  var faults: FaultList
  var nearest = NearestName()
  var positions = DefinitionPositions()
  var expressions = ExpressionChecker()
  /// Reads files of child workflows; nil: there are none to read.
  var children: ChildReader?
  /// Workflows that are deployed; nil: not known.
  var workflows: [String: Definition]?
  /// Of the tasks that are being read.
  var uses: [TemplateUse] = []
  /// Of the file and of those it includes.
  var templates: [DefinitionTemplate] = []
  /// nil: bytes are read that lie in no folder.
  var folder: IncludeFolder?
  var included = IncludedFiles()
  /// What is known of inputs, by handler.
  var schemas: [String: InputSchema] = [:]
  /// The definition is one of a saga.
  var isSaga = false

  init(faults: FaultList) { self.faults = faults }

  // MARK: The definition

  private static let keys = [
    "format", "kind", "workflow", "description", "version", "version_policy", "include", "parameters", "defaults", "on_failure", "result",
    "schedule", "on_message", "concurrency", "durability", "templates", "tasks", "cleanup",
  ]
  static let taskKeys = [
    "id", "handler", "wait", "workflow", "parameters", "description", "dependencies", "when", "foreach", "parallelism", "input", "env",
    "template", "with", "priority",
    "timeouts", "retry", "concurrency", "rate", "breaker",
  ]

  /// The definition as far as it can be made out; it is only good if no error was added to `faults`.
  mutating func decode(_ root: Located) -> Definition {
    var definition = Definition("")
    if let value = root["kind"] { definition.kind = kind(value) }
    isSaga = definition.kind == .saga
    let keys = isSaga ? Self.sagaKeys : Self.keys
    guard let entries = map(root, "the definition", keys, fix: "begin with 'format: 1' and 'workflow: NAME'") else {
      return definition
    }
    let list = isSaga ? "steps" : "tasks"
    require(
      ["format", "workflow", list], in: entries, of: "the definition", examples: ["format: 1", "workflow: NAME", "\(list):"],
      at: root.position)
    // First, for anything may name a parameter that is declared below.
    if let list = entries.first(where: { $0.name == "parameters" })?.value { definition.parameters = parameters(list) }
    for entry in entries {
      switch entry.name {
      case "format": format(entry.value)
      case "workflow": definition.name = id(entry.value, "'workflow'", code: .badValue) ?? ""
      case "description": definition.description = text(entry.value, "'description'") ?? ""
      case "version": definition.version = version(entry.value)
      case "version_policy": definition.versionPolicy = versionPolicy(entry.value)
      case "include": include(entry.value)
      case "templates": templates(entry.value)
      case "defaults": definition.defaults = policy(entry.value, "'defaults'")
      case "concurrency": definition.concurrency = runConcurrency(entry.value)
      case "durability": definition.durability = durability(entry.value)
      case "on_failure": definition.onFailure = onFailure(entry.value)
      case "result":
        definition.result = id(entry.value, "'result'", code: .badId)
        positions.result = entry.value.position
      default: break
      }
    }
    checkEffect(of: definition, root["version_policy"])
    if let tasks = entries.first(where: { $0.name == list })?.value { definition.tasks = self.tasks(tasks, "'\(list)'") }
    if let value = root["on_message"] { definition.onMessage = trigger(value, of: definition) }
    if isSaga {
      if let value = root["schedule"] { definition.schedule = schedule(value, of: definition.parameters) }
      return definition
    }
    expressions.isCleanup = true
    if let list = entries.first(where: { $0.name == "cleanup" })?.value { definition.cleanup = tasks(list, "'cleanup'") }
    if let value = root["schedule"] { definition.schedule = schedule(value, of: definition.parameters) }
    return definition
  }

  mutating func format(_ value: Located) {
    guard value.scalar == .integer(Int64(Definition.format)) else {
      let shown = value.scalar.map { $0.string.map { "'\($0)'" } ?? $0.text() } ?? value.kind
      return faults.add(
        .format, "format \(shown) is not known; this release reads \(Definition.format)", fix: "write 'format: \(Definition.format)'",
        at: value.position)
    }
  }

  private mutating func onFailure(_ value: Located) -> Definition.OnFailure {
    guard let text = text(value, "'on_failure'") else { return .failFast }
    if let choice = Definition.OnFailure(rawValue: text) { return choice }
    faults.add(.badValue, "'\(text.prefix(80))' is no choice for 'on_failure'", fix: "write fail_fast or continue", at: value.position)
    return .failFast
  }

  // MARK: Tasks

  mutating func tasks(_ value: Located, _ label: String) -> [TaskDefinition] {
    guard case .list(let elements) = value.content else {
      wrongType(value, label, "a list", fix: "write '- id: NAME' for each \(noun)")
      return []
    }
    if elements.isEmpty {
      let noun = noun
      faults.add(.missing, "\(label) is empty", fix: "add a \(noun): '- id: NAME' with a 'handler'", at: value.position)
    }
    guard elements.count <= Definition.maximumTasks else {
      faults.add(
        .limit, "\(elements.count) tasks; at most \(Definition.maximumTasks) are allowed", fix: "let one task do the work of several",
        at: value.position)
      return []
    }
    positions.tasks.reserveCapacity(positions.tasks.count + elements.count)
    var tasks: [TaskDefinition] = []
    tasks.reserveCapacity(elements.count)
    for (index, element) in elements.enumerated() {
      tasks.append(isSaga ? step(element, number: index + 1) : task(element, number: index + 1))
    }
    return tasks
  }

  private mutating func task(_ value: Located, number: Int) -> TaskDefinition {
    var places = DefinitionPositions.TaskPositions(task: value.position, id: value.position, handler: value.position, dependencies: [])
    let index = positions.tasks.count
    defer { positions.tasks.append(places) }
    var task = TaskDefinition("", handler: "")
    let label = value["id"]?.string.map { "task '\($0.prefix(Identifier.maximumLength))'" } ?? "task \(number)"
    guard let entries = map(value, label, Self.taskKeys, fix: "write '- id: NAME' and 'handler: PLUGIN/HANDLER'") else { return task }
    if entries.contains(where: { $0.name == "template" }) { return use(value, label, entries, index: index, &places) }
    require(["id"], in: entries, of: label, examples: ["id: NAME"], at: value.position)
    checkWay(entries, label, at: value.position)
    var policy = Policy()
    expressions.hasItems = entries.contains { $0.name == "foreach" }
    for entry in entries { taskField(entry, &task, &policy, &places, index: index) }
    if policy != Policy() { task.policy = policy }
    if let wait = entries.first(where: { $0.name == "wait" })?.value, let wait = self.wait(wait, of: index, id: task.id) {
      task.setWait(wait)
    }
    child(entries, label, of: index, &task)
    if let schema = schemas[task.handler] {
      schema.check(value["input"], of: label, id: task.id, at: value.position, expressions.kinds, &faults, &nearest)
    }
    return task
  }

  mutating func taskField(
    _ entry: Located.Entry, _ task: inout TaskDefinition, _ policy: inout Policy, _ places: inout DefinitionPositions.TaskPositions,
    index: Int
  ) {
    switch entry.name {
    case "id":
      // A bad id is kept, so that other faults can name the task.
      task.id = id(entry.value, "'id'", code: .badId) ?? entry.value.string ?? ""
      places.id = entry.value.position
    case "handler":
      task.handler = handler(entry.value)
      places.handler = entry.value.position
    case "description": _ = text(entry.value, "'description'")
    case "dependencies":
      for element in list(entry.value, "'dependencies'", "task ids", fix: "write 'dependencies: [first, second]'") {
        guard let dependency = id(element, "a dependency", code: .badId) else { continue }
        task.dependencies.append(dependency)
        places.dependencies.append(element.position)
      }
    case "env":
      let environment = environment(entry.value, of: index)
      if !environment.isEmpty { task.environment = environment }
    case "foreach": task.foreach = foreach(entry.value, of: index)
    case "parallelism": task.parallelism = parallelism(entry.value, hasItems: expressions.hasItems)
    case "when": task.condition = condition(entry.value, of: index)
    case "input":
      task.input = input(entry.value, of: index)
    case "with":
      faults.add(
        .unknownKey, "'with' gives values to a template, and there is no 'template'", fix: "add 'template: NAME', or write 'input'",
        at: entry.position)
    default: policyField(entry, &policy, of: index)
    }
  }

  mutating func handler(_ value: Located) -> String {
    guard let text = text(value, "'handler'") else { return "" }
    if !Identifier.isHandler(text) {
      faults.add(
        .badValue, "'\(text.prefix(80))' is no name for a handler", fix: "write 'plugin/handler', of A-Z a-z 0-9 . _ - and /",
        at: value.position)
    }
    return text
  }

  mutating func input(_ value: Located, of task: Int) -> JSON {
    checkExpressions(value, in: .input, of: task)
    let json = value.json
    if json.isLarger(than: Definition.maximumInputBytes) {
      faults.add(
        .limit, "the input is larger than \(Definition.maximumInputBytes) bytes", fix: "put it in a file and pass the file's name",
        at: value.position)
    }
    return json
  }

  private mutating func condition(_ value: Located, of task: Int) -> String? {
    expression(value, "'when'", example: "when: ${tasks.ID.output.count > 0}", in: .condition, of: task)
  }

  /// The text of a value that must be one expression.
  mutating func expression(
    _ value: Located, _ label: String, example: String, in place: ExpressionChecker.Place, of task: Int?
  ) -> String? {
    guard let text = value.string, ExpressionChecker.isWhole(text, label, example: example, &faults, at: value.position) else {
      if value.string == nil { wrongType(value, label, "an expression", fix: "write '\(example)'") }
      return nil
    }
    checkExpressions(value, in: place, of: task)
    return text
  }

  mutating func checkExpressions(_ value: Located, in place: ExpressionChecker.Place, of task: Int?) {
    switch value.content {
    case .list(let elements): for element in elements { checkExpressions(element, in: place, of: task) }
    case .map(let entries): for entry in entries { checkExpressions(entry.value, in: place, of: task) }
    case .scalar(.string(let text)):
      expressions.check(text, in: place, user: task, &faults, &nearest) { value.position(ofByte: $0) ?? value.position }
    case .scalar: break
    }
  }

  // MARK: Shapes

  /// The entries of a map, after unknown keys have been reported; nil (and a fault) if it is no map.
  mutating func map(_ value: Located, _ label: String, _ keys: [String], fix: String) -> [Located.Entry]? {
    guard case .map(let entries) = value.content else {
      wrongType(value, label, "a map", fix: fix)
      return nil
    }
    for entry in entries where !keys.contains(entry.name) {
      if addMisplaced(entry, label, keys) { continue }
      let near = faults.hasRoom ? nearest.nearest(to: entry.name, among: keys) : nil
      faults.add(
        .unknownKey, "unknown key '\(entry.name.prefix(80))' in \(label)",
        fix: near.map { "did you mean '\($0)'?" } ?? "the keys are \(keys.joined(separator: ", "))", at: entry.position)
    }
    return entries
  }

  mutating func require(_ keys: [String], in entries: [Located.Entry], of label: String, examples: [String], at position: Position) {
    for (key, example) in zip(keys, examples) where !entries.contains(where: { $0.name == key }) {
      faults.add(.missing, "\(label) has no '\(key)'", fix: "add '\(example)'", at: position)
    }
  }

  mutating func list(_ value: Located, _ label: String, _ what: String, fix: String) -> [Located] {
    if case .list(let elements) = value.content { return elements }
    wrongType(value, label, "a list of \(what)", fix: fix)
    return []
  }

  mutating func text(_ value: Located, _ label: String) -> String? {
    if let text = value.string { return text }
    wrongType(
      value, label, "text", fix: value.scalar.map { $0.isNull ? "write a value" : "put it in quotes: \"\($0.text())\"" } ?? "write text")
    return nil
  }

  mutating func id(_ value: Located, _ label: String, code: Fault.Code) -> String? {
    guard let text = text(value, label) else { return nil }
    if Identifier.isId(text) { return text }
    let reason =
      text.isEmpty
      ? "is empty"
      : text.utf8.count > Identifier.maximumLength ? "has \(text.utf8.count) bytes" : "'\(text)' has a letter that is not allowed"
    faults.add(code, "\(label) \(reason)", fix: "use 1 to 128 of A-Z a-z 0-9 . _ and -", at: value.position)
    return nil
  }

  mutating func wrongType(_ value: Located, _ label: String, _ wanted: String, fix: String) {
    faults.add(.wrongType, "\(label) must be \(wanted), not \(value.kind)", fix: fix, at: value.position)
  }
}

extension FaultList {
  mutating func addUnknownParameter(
    _ name: String, among parameters: Set<String>, of template: String? = nil, _ nearest: inout NearestName, at position: Position?,
    task: String? = nil
  ) {
    let near = hasRoom ? nearest.nearest(to: name, among: parameters.sorted()) : nil
    let place = template.map { " by the template '\($0)'" } ?? ""
    add(
      .unknownParameter, "the parameter '\(name)' is not declared\(place)",
      fix: near.map { "did you mean '\($0)'?" } ?? "declare it: 'parameters: { \(name): { default: VALUE } }'", at: position, task: task)
  }
}
