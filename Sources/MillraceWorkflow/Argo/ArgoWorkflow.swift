/// Workflows of Argo as definitions of ours, as far as these can say the same; what they cannot is told, with its line.
///
/// `dag` and `steps` templates become tasks, templates in templates are written out, `container`, `script` and `resource` templates become
/// `shell/run` tasks on the machine that runs the engine, `suspend` a wait, and an exit handler cleanup. A part that cannot be expressed becomes a
/// task that fails and says why, so that no run leaves it out unnoticed. See docs/definitions.md for the tables.
public enum ArgoWorkflow {
  /// Of the tasks that `container`, `script` and `resource` templates become.
  public static let handler = "shell/run"
  /// Templates inside each other.
  static let maximumDepth = DefinitionTemplate.maximumDepth
  /// Tasks that come out.
  static let maximumTasks = 100_000

  /// What was made of a file of Argo's.
  public struct Reading: Sendable {
    /// The definition as YAML of ours.
    public var text: String
    /// `text`, read: a definition that can run, with its templates written out.
    public var definition: Definition
    /// What is not as it was, in the order of the file.
    public var notes: [Fault]
    /// How many more notes there are.
    public var omitted: Int
  }

  static func isArgo(_ root: Located) -> Bool { root["apiVersion"]?.string?.hasPrefix("argoproj.io/") ?? false }

  /// Reads a Workflow, WorkflowTemplate or CronWorkflow, YAML or JSON. Throws `DefinitionError` if nothing can be made of it. Complexity: O(tasks that come
  /// out).
  public static func read(_ bytes: [UInt8], name: String) throws(DefinitionError) -> Reading {
    var faults = FaultList(file: name)
    guard let root = DefinitionReader.parse(bytes, name: name, &faults) else { throw faults.error }
    guard isArgo(root) else {
      faults.add(
        .format, "this is no workflow of Argo: it has no 'apiVersion: argoproj.io/...'", fix: "give a file of Argo Workflows",
        at: root.position)
      throw faults.error
    }
    var reader = ArgoReader(faults)
    var tree = reader.read(root)
    // Which parameters are used as values is known at the end; there are only so many.
    while reader.faults.errors == 0, reader.needs.parameters != reader.names.values {
      var again = ArgoReader(faults)
      again.names.values = reader.needs.parameters
      again.needs.parameters = reader.needs.parameters
      reader = again
      tree = reader.read(root)
    }
    guard reader.faults.errors == 0 else { throw reader.faults.error }
    let text = YAMLText.text(tree)
    // What was made is read like any other file: a mistake of ours shows here, not at the first run.
    let definition = try DefinitionReader().read(Array(text.utf8), name: "\(name), imported").definition
    return Reading(text: text, definition: definition, notes: reader.faults.sorted, omitted: reader.faults.omitted)
  }

  /// Reads a file. Throws `DefinitionError`.
  public static func read(path: String) throws(DefinitionError) -> Reading {
    switch FileBytes.read(path, limit: JSON.maximumBytes) {
    case .success(let bytes): return try read(bytes, name: path)
    case .failure(let refusal):
      var faults = FaultList(file: path)
      faults.add(refusal.code, refusal.message, fix: refusal.fix, at: nil)
      throw faults.error
    }
  }
}

/// One reading: what is said about the whole workflow.
struct ArgoReader {
  var faults: FaultList
  var templates: [String: Located] = [:]
  var tasks: [JSON] = []
  var cleanup: [JSON] = []
  var ids: Set<String> = []
  var told: Set<String> = []
  var images: Set<String> = []
  var names = ArgoNames()
  var needs = ArgoNeeds()
  /// Why the task that is being read is not imported.
  var refusal: (reason: String, position: Position?)?
  var continues = false

  init(_ faults: FaultList) { self.faults = faults }

  /// Says that something is not as it was: once, however often its template is called.
  mutating func note(_ message: String, fix: String, at position: Position) {
    guard told.insert("\(position.line):\(position.column) \(message)").inserted else { return }
    faults.add(.notExpressible, message, fix: fix, at: position, severity: .warning)
  }

  mutating func noteUnread(_ entries: [Located.Entry], except known: Set<String>, _ label: String) {
    for entry in entries where !known.contains(entry.name) {
      note("'\(entry.name)' of \(label) has no counterpart", fix: "look whether it matters here", at: entry.position)
    }
  }

  private static let specKeys: Set<String> = [
    "entrypoint", "arguments", "templates", "activeDeadlineSeconds", "onExit", "hooks", "parallelism", "priority", "synchronization",
  ]

  mutating func read(_ root: Located) -> JSON {
    let isCron = root["kind"]?.string == "CronWorkflow"
    let spec = isCron ? root["spec"]?["workflowSpec"] : root["spec"]
    guard let spec, let entries = spec.entries else {
      faults.add(
        .missing, "there is no '\(isCron ? "spec.workflowSpec" : "spec")'",
        fix: "give a Workflow, WorkflowTemplate or CronWorkflow of Argo",
        at: root.position)
      return .null
    }
    for template in spec["templates"]?.elements ?? [] {
      if let name = template["name"]?.string { templates[name] = template }
    }
    names.isGenerated = root["metadata"]?["name"] == nil && root["metadata"]?["generateName"] != nil
    let parameters = readParameters(spec)
    noteUnread(entries, except: Self.specKeys, "the workflow")
    noteWhole(spec)
    guard let entry = spec["entrypoint"], let name = entry.string, templates[name] != nil else {
      faults.add(
        .missing, "the workflow has no 'entrypoint' that names one of its templates", fix: "name the template to begin with",
        at: spec["entrypoint"]?.position ?? spec.position)
      return .null
    }
    var scope = ArgoScope()
    // The workflow's arguments are those of the template that it begins with.
    for (name, ours) in names.parameters { scope.inputs[name] = ArgoText(.value(.parameter(ours, isValue: names.values.contains(ours)))) }
    _ = expand(name, called: Self.sanitized(name), scope, after: [], at: entry.position, depth: 1, isEntry: true)
    expandExit(spec, scope)
    if tasks.isEmpty, faults.errors == 0 {
      faults.add(.missing, "no task comes out of the template '\(name)'", fix: "give a workflow with tasks", at: entry.position)
    }
    var members: [JSON.Member] = [.init("format", 1), .init("workflow", .string(workflowName(root)))]
    if !parameters.isEmpty { members.append(.init("parameters", .object(parameters))) }
    if isCron, let schedule = schedule(root) { members.append(.init("schedule", schedule)) }
    if continues { members.append(.init("on_failure", "continue")) }
    if let locks = spec["synchronization"], let key = mutex(locks, ArgoScope()) {
      members.append(.init("concurrency", .object([.init("key", .string(key)), .init("limit", 1), .init("when_full", "queue")])))
    }
    members.append(.init("tasks", .array(withResults(tasks))))
    if !cleanup.isEmpty { members.append(.init("cleanup", .array(withResults(cleanup)))) }
    return .object(members)
  }

  /// `onExit`, and the hook that is the same: tasks that run when all others have ended.
  private mutating func expandExit(_ spec: Located, _ scope: ArgoScope) {
    var scope = scope
    scope.isCleanup = true
    if let exit = spec["onExit"], let name = exit.string {
      _ = expand(name, called: "onExit", scope, after: [], at: exit.position, depth: 1)
    }
    for hook in spec["hooks"]?.entries ?? [] {
      let label = Self.sanitized("hooks.\(hook.name)")
      if hook.name == "exit" {
        _ = expand(call: hook.value, label: label, scope, after: [], depth: 1)
      } else {
        _ = placeholder(label, scope, [], "a template that a state of the workflow calls", at: hook.position)
      }
    }
  }

  private mutating func noteWhole(_ spec: Located) {
    if let value = spec["activeDeadlineSeconds"] {
      note("a deadline of the whole workflow has no counterpart", fix: "give the tasks timeouts", at: value.position)
    }
    if let value = spec["priority"] {
      note("the priority of a workflow among others has no counterpart", fix: "give its tasks a priority", at: value.position)
    }
    if let value = spec["parallelism"] {
      note(
        "a limit of \(value.json.text()) tasks at once belongs to the run", fix: "give 'millrace run --slots \(value.json.text())'",
        at: value.position)
    }
  }

  private func workflowName(_ root: Located) -> String {
    let given = root["metadata"]?["name"]?.string ?? root["metadata"]?["generateName"]?.string ?? "argo"
    var name = Self.sanitized(given)
    while name.hasSuffix("-") { name.removeLast() }
    return name.isEmpty ? "argo" : name
  }

  private mutating func readParameters(_ spec: Located) -> [JSON.Member] {
    noteUnread(spec["arguments"]?.entries ?? [], except: ["parameters"], "the arguments")
    var members: [JSON.Member] = []
    var taken: Set<String> = []
    for parameter in spec["arguments"]?["parameters"]?.elements ?? [] {
      guard let name = parameter["name"]?.string else { continue }
      let ours = Self.sanitized(name, allowDots: false)
      guard !taken.contains(ours) else {
        note("the parameter '\(name)' has the name of another", fix: "give it another name", at: parameter.position)
        continue
      }
      taken.insert(ours)
      names.parameters[name] = ours
      noteUnread(parameter.entries ?? [], except: ["name", "value", "default", "description"], "the parameter '\(name)'")
      var fields: [JSON.Member] = []
      if let text = parameter["description"]?.string { fields.append(.init("description", .string(text))) }
      let isValue = names.values.contains(ours)
      // Else a number that is given would be one, and is wanted as text.
      if !isValue { fields.append(.init("type", "string")) }
      if let value = parameter["value"] ?? parameter["default"] {
        fields.append(.init("default", isValue ? self.value(value, of: name) : .string(value.plainText)))
      }
      members.append(.init(ours, fields.isEmpty ? .null : .object(fields)))
    }
    return members
  }

  /// What a text stands for where a value is asked for: a list, an object, a number, true or false; or the text itself.
  private mutating func value(_ text: Located, of name: String) -> JSON {
    let plain = text.plainText
    switch try? JSON(parsing: plain) {
    case let value?:
      switch value {
      case .null, .string: return .string(plain)
      case .array, .object, .bool: return value
      case .integer, .number:
        if value.text() != plain {
          note(
            "the parameter '\(name)' is compared as a number: in texts it is \(value.text())", fix: "look whether that will do",
            at: text.position)
        }
        return value
      }
    case nil: return .string(plain)
    }
  }

  // MARK: The schedule of a CronWorkflow

  private mutating func schedule(_ root: Located) -> JSON? {
    guard let spec = root["spec"] else { return nil }
    let known: Set<String> = ["schedule", "schedules", "timezone", "concurrencyPolicy", "startingDeadlineSeconds", "workflowSpec"]
    noteUnread(spec.entries ?? [], except: known, "the cron workflow")
    let expressions = spec["schedule"].map { [$0] } ?? spec["schedules"]?.elements ?? []
    guard let first = expressions.first, let text = first.string else {
      note("the cron workflow has no schedule", fix: "add 'schedule'", at: spec.position)
      return nil
    }
    for other in expressions.dropFirst() {
      note("a workflow has one schedule: '\(other.string ?? "")' is left out", fix: "put both into one expression", at: other.position)
    }
    do throws(ScheduleError) {
      _ = try CronExpression(text)
    } catch {
      note("the schedule '\(text)' is not imported: \(error.message)", fix: error.fix, at: first.position)
      return nil
    }
    var members: [JSON.Member] = [.init("cron", .string(text))]
    if let zone = spec["timezone"]?.string { members.append(.init("zone", .string(zone))) }
    let policies = ["Allow": "allow", "Replace": "cancel", "Forbid": "skip"]
    members.append(.init("overlap", .string(policies[spec["concurrencyPolicy"]?.string ?? "Allow"] ?? "allow")))
    if let seconds = spec["startingDeadlineSeconds"]?.scalar?.integer, seconds > 0 {
      members.append(.init("missed", "one"))
      members.append(.init("catchUp", .string("\(seconds)s")))
    } else {
      members.append(.init("missed", "skip"))
    }
    return .object(members)
  }

  // MARK: Names

  /// A name of ours: other characters become `_`.
  static func sanitized(_ text: String, allowDots: Bool = true) -> String {
    let bytes = text.utf8.prefix(Identifier.maximumLength).map { byte in
      Identifier.isWord(byte) || (allowDots && byte == UInt8(ascii: ".")) ? byte : UInt8(ascii: "_")
    }
    return bytes.isEmpty ? "_" : String(decoding: bytes, as: UTF8.self)
  }

  /// An id that no other task has.
  mutating func unusedId(_ wanted: String) -> String {
    var id = String(wanted.suffix(Identifier.maximumLength))
    var number = 1
    while !ids.insert(id).inserted {
      number += 1
      id = wanted.suffix(Identifier.maximumLength - 8) + "-\(number)"
    }
    return id
  }
}

extension Located {
  /// A scalar as text: Argo takes numbers and texts alike.
  var plainText: String { string ?? json.text() }

  /// A whole number, written as number or text.
  var wholeNumber: Int? { scalar?.integer.map { Int($0) } ?? string.flatMap { Int($0) } }
}
