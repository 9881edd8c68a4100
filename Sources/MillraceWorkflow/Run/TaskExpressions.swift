internal import CMillrace
internal import MillraceCore

/// What a task's expressions are made of: compiled, and their names as indices. Few tasks have any.
struct TaskExpressions: Sendable {
  /// What a root stands for in a run.
  enum Root: Sendable {
    /// Index of the parameter.
    case parameter(Int)
    /// Index of what a use of a template was given.
    case argument(Int)
    case output(UInt32)
    case status(UInt32)
    /// Of a task that ended before the cleanup of its run began.
    case endedOutput(UInt32)
    case endedStatus(UInt32)
    case runID, runWorkflow, runStatus
    case secret(String)
    case item, index
  }

  /// A variable of the environment.
  struct Variable: Sendable {
    let name: String
    /// Text before and between the expressions.
    let parts: [Part]

    enum Part: Sendable {
      case text(String)
      case value(Bound)
    }
  }

  /// An expression with its roots.
  struct Bound: Sendable {
    let expression: Expression
    let roots: [Root]
  }

  var condition: Bound?
  /// A priority that is settled when the task is ready.
  var priority: Bound?
  var input: InputProgram?
  /// Roots of the input's expressions, in their order.
  var inputRoots: [[Root]] = []
  /// Place of the input's bytes among those of all tasks whose inputs have expressions.
  var inputSlot = 0

  var environment: [Variable] = []

  /// nil: the task has none. Throws `CompileError` for what the checker would have found.
  init?(_ task: TaskDefinition, _ binder: Binder) throws(CompileError) {
    guard task.isSpecial else { return nil }
    let ranking = task.policy.priorityExpression
    guard ranking != nil || task.condition != nil || task.inputProgram != nil || !task.environment.isEmpty else { return nil }
    do throws(ExpressionError) {
      if let text = task.condition { condition = try Self.whole(text, "when", binder) }
      if let ranking { priority = try Self.whole(ranking, "priority", binder) }
      input = task.inputProgram
      for expression in task.inputProgram?.expressions ?? [] { inputRoots.append(try binder.roots(expression)) }
      for variable in task.environment { environment.append(try Self.variable(variable, binder)) }
    } catch {
      throw .badExpression(task: task.id, reason: error.message)
    }
  }

  private static func whole(_ text: String, _ name: String, _ binder: Binder) throws(ExpressionError) -> Bound {
    guard let expression = try Template(text)?.whole else {
      throw ExpressionError(kind: .syntax, offset: 0, message: "'\(name)' is no expression", fix: "")
    }
    return Bound(expression: expression, roots: try binder.roots(expression))
  }

  static func variable(_ variable: EnvironmentVariable, _ binder: Binder) throws(ExpressionError) -> Variable {
    var parts: [Variable.Part] = []
    for part in try Template(variable.value)?.parts ?? [.text(variable.value)] {
      switch part {
      case .text(let text): parts.append(.text(text))
      case .expression(let expression, _): parts.append(.value(Bound(expression: expression, roots: try binder.roots(expression))))
      }
    }
    return Variable(name: variable.name, parts: parts)
  }

  /// Names to indices.
  struct Binder {
    let parameters: [String: Int]
    let arguments: [String: Int]
    let tasks: [String: UInt32]
    /// Tasks that ended before; empty but for a cleanup.
    let ended: [String: UInt32]

    init(_ definition: Definition, tasks: [String: UInt32], ended: [String: UInt32]) {
      parameters = Dictionary(definition.parameters.enumerated().map { ($1.name, $0) }) { first, _ in first }
      arguments = Dictionary(definition.arguments.enumerated().map { ($1.name, $0) }) { first, _ in first }
      self.tasks = tasks
      self.ended = ended
    }

    func roots(_ expression: Expression) throws(ExpressionError) -> [Root] {
      var roots: [Root] = []
      for root in expression.roots { roots.append(try bind(root)) }
      return roots
    }

    private func bind(_ root: Expression.Root) throws(ExpressionError) -> Root {
      switch root {
      case .parameter(let name):
        if let index = parameters[name] { return .parameter(index) }
        if let index = arguments[name] { return .argument(index) }
      case .output(let task):
        if let node = tasks[task] { return .output(node) }
        if let node = ended[task] { return .endedOutput(node) }
      case .status(let task):
        if let node = tasks[task] { return .status(node) }
        if let node = ended[task] { return .endedStatus(node) }
      case .runID: return .runID
      case .runWorkflow: return .runWorkflow
      case .runStatus: return .runStatus
      case .secret(let name): return .secret(name)
      case .item: return .item
      case .index: return .index
      }
      throw ExpressionError(kind: .missing, offset: 0, message: "an expression refers to what is not there: run the checker", fix: "")
    }
  }
}

/// What the expressions of a run look into, beside the outputs of its tasks.
final class RunValues: Sendable {
  /// JSON text, by index.
  let parameters: [KeptBytes]
  let id: KeptBytes
  let workflow: KeptBytes
  let secrets: [String: KeptBytes]
  let arguments: ArgumentValues

  init(_ definition: Definition, run: RunID, secrets: [String: KeptBytes]) {
    parameters = definition.parameters.map { KeptBytes(($0.fallback ?? .null).utf8()) }
    id = KeptBytes(run.description.utf8)
    workflow = KeptBytes(definition.name.utf8)
    self.secrets = secrets
    arguments = ArgumentValues(definition)
  }
}

/// The roots of one expression of a run. Outputs are read where they lie.
struct RunScope: ExpressionScope {
  let run: WorkflowRun
  let values: RunValues
  let roots: [TaskExpressions.Root]
  /// The item that `item` and `index` stand for.
  var item: ItemScope?

  func value(ofRoot number: Int) throws(ExpressionError) -> RootValue {
    switch roots[number] {
    case .parameter(let index): return .json(values.parameters[index].bytes)
    case .argument(let index): return .json(try run.argument(index, values).bytes)
    case .output(let node): return try run.outputValue(node)
    case .status(let node): return .value(.text(run.records.status(node).word.bytes))
    case .endedOutput(let node): if let ended = run.origin { return try ended.outputValue(node) }
    case .endedStatus(let node): if let ended = run.origin { return .value(.text(ended.records.status(node).word.bytes)) }
    case .runStatus: if let status = run.origin?.verdict { return .value(.text(status.bytes)) }
    case .runID: return .value(.text(values.id.bytes))
    case .runWorkflow: return .value(.text(values.workflow.bytes))
    case .secret(let name): if let secret = values.secrets[name] { return .value(.text(secret.bytes)) }
    case .item: if let item { return .value(try item.list.value(item.index)) }
    case .index: if let item { return .value(.integer(Int64(item.index))) }
    }
    throw ExpressionError(
      kind: .missing, offset: 0, message: "it is not there", fix: "a secret comes from the engine's source, the rest from the run")
  }
}

/// One item of a list.
struct ItemScope {
  let list: ItemList
  let index: Int
}

extension WorkflowRun {
  /// The output of a task that is over, for an expression. One that its condition skipped gives null.
  fileprivate func outputValue(_ node: UInt32) throws(ExpressionError) -> RootValue {
    let status = records.status(node)
    if status == .skipped, records.cause(node) == nil { return .value(.null) }
    guard status == .completed else {
      throw ExpressionError(
        kind: .missing, offset: 0, message: "task '\(definition.tasks[Int(node)].id)' has no output: it is \(status.word.rawValue)",
        fix: "write '?? VALUE' behind it for a default")
    }
    if let items = items(of: node) { return .list(outputs(of: items)) }
    return try value(of: records.output(node)) { definition.tasks[Int(node)].id }
  }

  /// An output, for an expression.
  func value(of payload: millrace_payload, _ name: () -> String) throws(ExpressionError) -> RootValue {
    if payload.length == 0 { return .value(.null) }
    // unsafe: the bytes stay until the run is freed.
    let bytes = unsafe Bytes(base: arena.bytes(of: payload)?.assumingMemoryBound(to: UInt8.self), count: Int(payload.length))
    switch payload.content_type {
    case UInt32(MILLRACE_JSON): return .json(bytes)
    case UInt32(MILLRACE_TEXT) where bytes.isUTF8: return .value(.text(bytes))
    default:
      throw ExpressionError(
        kind: .type, offset: 0, message: "the output of task '\(name())' is neither JSON nor text",
        fix: "let its handler say that it is, or take it as an input")
    }
  }

  /// What comes of a task's expressions when it begins.
  enum Beginning {
    case goes
    /// Its condition is false.
    case skipped
    case failed(String)
  }

  /// Looks at the condition, and makes the input for the first attempt that comes here. On the lane that begins the task.
  func begin(_ task: TaskExpressions, _ node: UInt32, lane: Int) -> Beginning {
    guard let values else { return .goes }
    do throws(ExpressionError) {
      if let condition = task.condition, try !isTrue(condition, values) { return .skipped }
      if task.priority != nil, let fault = monitor.locked({ rankFaults[node] }) { return .failed(fault) }
      // No JSON text is empty.
      if let input = task.input, let inputs = unsafe inputs, unsafe inputs[task.inputSlot].length == 0 {
        let bytes = try input.bytes { RunScope(run: self, values: values, roots: task.inputRoots[$0]) }
        guard let (target, payload) = unsafe arena.claim(lane: min(lane, host.workers), length: bytes.count) else {
          return .failed("no memory for an input of \(bytes.count) bytes")
        }
        unsafe target.copyMemory(from: bytes, byteCount: bytes.count)
        unsafe inputs[task.inputSlot] = payload
      }
      if !task.environment.isEmpty, environment(node) == nil {
        let made = try environment(task.environment, values)
        monitor.locked { environments[node] = made }
      }
      return .goes
    } catch {
      return .failed("\(error.message): \(error.fix)")
    }
  }

  /// Whether a condition holds.
  func isTrue(_ condition: TaskExpressions.Bound, _ values: RunValues, _ item: ItemScope? = nil) throws(ExpressionError) -> Bool {
    do throws(ExpressionError) {
      let value = try condition.expression.value(in: scope(values, condition.roots, item))
      if case .bool(let isTrue) = value { return isTrue }
      throw ExpressionError(
        kind: .type, offset: 0, message: "a condition is true or false, not \(value.kind)", fix: "compare it: write == or !=")
    } catch {
      throw error.naming(condition.expression)
    }
  }

  private func scope(_ values: RunValues, _ roots: [TaskExpressions.Root], _ item: ItemScope?) -> RunScope {
    RunScope(run: items?.owner ?? self, values: values, roots: roots, item: item)
  }

  /// The variables of a task that has begun; nil: it has none.
  func environment(_ node: UInt32) -> TaskEnvironment? {
    if !compiled.hasExpressions { return nil }
    return monitor.locked { environments[node] }
  }

  func environment(
    _ variables: [TaskExpressions.Variable], _ values: RunValues, _ item: ItemScope? = nil
  ) throws(ExpressionError) -> TaskEnvironment {
    var made: [(name: String, value: [UInt8])] = []
    for variable in variables { made.append((variable.name, try bytes(of: variable, values, item))) }
    return TaskEnvironment(made)
  }

  /// A text with the values of its expressions, without a NUL.
  func bytes(of variable: TaskExpressions.Variable, _ values: RunValues, _ item: ItemScope? = nil) throws(ExpressionError) -> [UInt8] {
    var writer = ExpressionWriter(limit: EnvironmentVariable.maximumBytes)
    for part in variable.parts {
      switch part {
      case .text(let text): try writer.literal(text.utf8)
      case .value(let bound):
        do throws(ExpressionError) {
          let value = try bound.expression.value(in: scope(values, bound.roots, item))
          try writer.plain(value)
        } catch {
          throw error.naming(bound.expression)
        }
      }
    }
    if writer.bytes.contains(0) {
      throw ExpressionError(kind: .type, offset: 0, message: "the variable '\(variable.name)' holds a NUL", fix: "leave it out")
    }
    return writer.bytes
  }
}

extension TaskStatus {
  /// The word, for expressions.
  fileprivate var bytes: Bytes { TaskStatus.texts[self, default: TaskStatus.none].bytes }

  private static let none = KeptBytes([])
  private static let texts = Dictionary(uniqueKeysWithValues: TaskStatus.allCases.map { ($0, KeptBytes($0.rawValue.utf8)) })
}

extension WorkflowStatus {
  /// The word, for expressions.
  fileprivate var bytes: Bytes { WorkflowStatus.texts[self, default: WorkflowStatus.none].bytes }

  private static let none = KeptBytes([])
  private static let texts = Dictionary(uniqueKeysWithValues: WorkflowStatus.allCases.map { ($0, KeptBytes($0.rawValue.utf8)) })
}
