/// `kind`, and the steps of a saga.
extension DefinitionDecoder {
  static let sagaKeys = [
    "format", "kind", "workflow", "description", "version", "version_policy", "parameters", "defaults", "result", "schedule", "on_message",
    "concurrency",
    "durability", "steps",
  ]
  private static let stepKeys = [
    "id", "handler", "description", "dependencies", "input", "env", "compensation", "pivot", "priority", "timeouts", "retry", "concurrency",
    "rate", "breaker",
  ]

  /// What a task is called here.
  var noun: String { isSaga ? "step" : "task" }

  mutating func kind(_ value: Located) -> Definition.Kind {
    guard let text = text(value, "'kind'") else { return .workflow }
    if let kind = Definition.Kind(rawValue: text) { return kind }
    let near = nearest.nearest(to: text, among: Definition.Kind.allCases.map(\.rawValue))
    faults.add(
      .badValue, "'\(text.prefix(80))' is no kind of definition", fix: near.map { "did you mean '\($0)'?" } ?? "write workflow or saga",
      at: value.position)
    return .workflow
  }

  /// Tells of a key that belongs to the other kind of definition; false: it belongs to none.
  mutating func addMisplaced(_ entry: Located.Entry, _ label: String, _ keys: [String]) -> Bool {
    let others: [String: String]
    switch keys {
    case Self.stepKeys:
      guard Self.taskKeys.contains(entry.name) else { return false }
      faults.add(
        .unknownKey, "\(label) has '\(entry.name)', which steps of a saga do not have", fix: "the keys are \(keys.joined(separator: ", "))",
        at: entry.position)
      return true
    case Self.sagaKeys:
      others = [
        "tasks": "write 'steps', or remove 'kind: saga'", "on_failure": "remove it: what was done is undone",
        "cleanup": "remove it: write a step", "templates": "write the steps out", "include": "write the steps out",
      ]
    case Self.taskKeys: others = ["compensation": Self.sagaFix, "pivot": Self.sagaFix]
    default: others = keys.contains("tasks") && keys.contains("kind") ? ["steps": "add 'kind: saga', or write 'tasks'"] : [:]
    }
    guard let fix = others[entry.name] else { return false }
    let article = isSaga ? "a" : "no"
    faults.add(.unknownKey, "\(label) has '\(entry.name)', but is \(article) saga", fix: fix, at: entry.position)
    return true
  }

  private static let sagaFix = "remove it, or make the definition a saga: 'kind: saga' and 'steps'"

  mutating func step(_ value: Located, number: Int) -> TaskDefinition {
    var places = DefinitionPositions.TaskPositions(task: value.position, id: value.position, handler: value.position, dependencies: [])
    let index = positions.tasks.count
    defer { positions.tasks.append(places) }
    var step = TaskDefinition("", handler: "")
    let label = value["id"]?.string.map { "step '\($0.prefix(Identifier.maximumLength))'" } ?? "step \(number)"
    guard let entries = map(value, label, Self.stepKeys, fix: "write '- id: NAME' and 'handler: PLUGIN/HANDLER'") else { return step }
    require(["id", "handler"], in: entries, of: label, examples: ["id: NAME", "handler: PLUGIN/HANDLER"], at: value.position)
    var policy = Policy()
    expressions.hasItems = false
    for entry in entries {
      switch entry.name {
      case "compensation": step.compensation = compensation(entry.value, "the compensation of \(label)", of: index, id: step.id)
      case "pivot":
        positions.pivots[index] = entry.value.position
        guard let isPivot = entry.value.scalar?.bool else {
          wrongType(entry.value, "'pivot'", "true or false", fix: "write 'pivot: true', or leave it out")
          continue
        }
        step.isPivot = isPivot
      case _ where Self.stepKeys.contains(entry.name): taskField(entry, &step, &policy, &places, index: index)
      default: break
      }
    }
    if policy != Policy() { step.policy = policy }
    if let schema = schemas[step.handler] {
      schema.check(value["input"], of: label, id: step.id, at: value.position, expressions.kinds, &faults, &nearest)
    }
    return step
  }

  /// `attempts` of a step or a compensation as text.
  mutating func unlimitedAttempts(_ value: Located) -> Int {
    let text = value.string ?? ""
    if text != "unlimited" {
      faults.add(
        .badValue, "'\(text.prefix(80))' is no number of attempts", fix: "write a number from 1 to 1000000, or unlimited",
        at: value.position)
    }
    return RetryPolicy.unlimited
  }

  private mutating func compensation(_ value: Located, _ label: String, of step: Int, id: String) -> Compensation? {
    positions.compensations[step] = (value.position, value.position)
    if value.string == "none" { return .notNeeded }
    guard case .map = value.content else {
      wrongType(value, label, "a map or none", fix: "write 'compensation: { handler: NAME }', or 'none' if there is nothing to undo")
      // Told once: the step is not said to have none as well.
      return .notNeeded
    }
    let entries = map(value, label, ["handler", "input", "retry", "timeouts"], fix: "") ?? []
    require(["handler"], in: entries, of: label, examples: ["handler: PLUGIN/HANDLER"], at: value.position)
    var compensation = Compensation(handler: "")
    expressions.isCompensation = true
    defer { expressions.isCompensation = false }
    for entry in entries {
      switch entry.name {
      case "handler":
        compensation.handler = handler(entry.value)
        positions.compensations[step]?.handler = entry.value.position
      case "input": compensation.input = input(entry.value, of: step)
      case "retry": compensation.retry = retry(entry.value, Compensation.defaultRetry)
      case "timeouts": compensation.timeouts = timeouts(entry.value)
      default: break
      }
    }
    if compensation.input != nil, let schema = schemas[compensation.handler] {
      schema.check(value["input"], of: label, id: id, at: value.position, expressions.kinds, &faults, &nearest)
    }
    return compensation
  }
}
