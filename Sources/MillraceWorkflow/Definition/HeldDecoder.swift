/// Tasks that have no handler: what they wait for, which workflow they run.
extension DefinitionDecoder {
  /// What a task does: one of these.
  private static let ways = ["handler", "wait", "workflow"]
  /// Keys that only a handler has a use for.
  private static let handlerKeys = ["input", "env", "concurrency", "rate", "breaker"]
  /// Keys that a wait has no use for either.
  private static let itemKeys = ["foreach", "parallelism"]

  /// A task does one thing, and has the keys of that.
  mutating func checkWay(_ entries: [Located.Entry], _ label: String, at position: Position) {
    let found = entries.filter { Self.ways.contains($0.name) }
    guard let way = found.first else {
      return require(["handler"], in: entries, of: label, examples: ["handler: PLUGIN/HANDLER"], at: position)
    }
    for other in found.dropFirst() {
      faults.add(
        .mismatch, "\(label) has both '\(way.name)' and '\(other.name)'", fix: "keep one of them; two tasks can do both", at: other.position
      )
    }
    if way.name != "workflow", let parameters = entries.first(where: { $0.name == "parameters" }) {
      faults.add(
        .mismatch, "\(label) has 'parameters', but no 'workflow' that could use them", fix: "call it 'input'", at: parameters.position)
    }
    if found.count > 1 || way.name == "handler" { return }
    for entry in entries where Self.handlerKeys.contains(entry.name) {
      faults.add(
        .mismatch, "\(label) has '\(entry.name)', but no handler that could use it", fix: "remove '\(entry.name)'", at: entry.position)
    }
    for entry in entries where way.name == "wait" && Self.itemKeys.contains(entry.name) {
      faults.add(
        .mismatch, "\(label) has '\(entry.name)', and waits", fix: "run a workflow that waits for each item: 'workflow: NAME'",
        at: entry.position)
    }
    guard let timeouts = entries.first(where: { $0.name == "timeouts" })?.value, case .map(let parts) = timeouts.content else { return }
    for part in parts where part.name == "heartbeat" {
      faults.add(
        .mismatch, "\(label) has a 'heartbeat', but no handler that could give one", fix: "remove 'heartbeat'", at: part.position)
    }
  }

  /// The workflow that a task runs, and its parameters.
  mutating func child(_ entries: [Located.Entry], _ label: String, of index: Int, _ task: inout TaskDefinition) {
    guard let workflow = entries.first(where: { $0.name == "workflow" })?.value, let name = text(workflow, "'workflow'") else { return }
    let parameters = entries.first { $0.name == "parameters" }?.value
    task.input = .object([])
    if let parameters {
      checkExpressions(parameters, in: .input, of: index)
      task.input = parameters.json
    }
    var definition: Definition?
    if ChildWorkflow.isFile(name) {
      guard let children else {
        return faults.add(
          .badValue, "'\(name.prefix(200))' is a file, and this definition is in none", fix: "read the definition from its file",
          at: workflow.position)
      }
      definition = children.read(name, at: workflow.position, &faults)
    } else if id(workflow, "'workflow'", code: .badValue) == nil {
      return
    }
    task.child = ChildWorkflow(name: name, definition: definition)
    ChildChecker(workflows: workflows).check(task, label, at: workflow.position, &faults, &nearest) { name in
      guard case .map(let members)? = parameters?.content, let member = members.first(where: { $0.name == name }) else { return nil }
      return (member.position, member.value.position)
    }
  }

  private static let waitFix = "write one of 'signal: NAME', 'until: TIME', 'for: 30d', 'message: QUEUE' and 'approval: \"QUESTION\"'"

  /// `{ signal: NAME }`, or in one text `signal NAME`; `approval` alone asks whether the task may go on.
  mutating func wait(_ value: Located, of task: Int, id: String) -> Wait? {
    let (kind, text, place): (String, String, Located)
    switch value.content {
    case .map(let entries):
      guard let entry = entries.first, entries.count == 1, let found = waitText(entry.value, of: entry.name) else {
        if entries.count != 1 {
          faults.add(.badValue, "'wait' names \(entries.count) things to wait for", fix: Self.waitFix, at: value.position)
        }
        return nil
      }
      (kind, text, place) = (entry.name, found, entry.value)
      if !Self.waitKinds.contains(kind) { return unknownWait(kind, at: entry.position) }
    case .scalar(.string(let whole)):
      let word = whole.prefix { $0 != " " }
      let rest = whole.dropFirst(word.count).drop { $0 == " " }
      (kind, text, place) = (String(word), String(rest), value)
      if !Self.waitKinds.contains(kind) { return unknownWait(kind, at: value.position) }
      if rest.isEmpty, kind != "approval" {
        faults.add(.badValue, "'wait: \(kind)' does not say for what", fix: Self.waitFix, at: value.position)
        return nil
      }
    default:
      wrongType(value, "'wait'", "a map", fix: Self.waitFix)
      return nil
    }
    let isBare = kind == "approval" && text.isEmpty
    guard let wait = Wait(kind: kind, isBare ? "Approve \(id)?" : text) else { return nil }
    if let fault = wait.fault { faults.add(fault.code, "'\(kind)': \(fault.message)", fix: fault.fix, at: place.position) }
    if kind != "signal" { checkExpressions(place, in: .input, of: task) }
    return wait
  }

  private static let waitKinds = ["signal", "until", "for", "approval", "message"]

  private mutating func waitText(_ value: Located, of kind: String) -> String? {
    switch value.scalar {
    case .string(let text): return text
    case .null where kind == "approval": return ""
    default:
      // What kind of wait it is matters more.
      if !Self.waitKinds.contains(kind) { return "" }
      wrongType(value, "'\(kind)'", "text", fix: Self.waitFix)
      return nil
    }
  }

  private mutating func unknownWait(_ kind: String, at position: Position) -> Wait? {
    let near = nearest.nearest(to: kind, among: Self.waitKinds)
    faults.add(
      .unknownKey, "'wait' knows no '\(kind.prefix(80))'", fix: near.map { "did you mean '\($0)'?" } ?? Self.waitFix, at: position)
    return nil
  }
}
