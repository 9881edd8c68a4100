internal import MillraceCore

/// A task with `foreach`, compiled: where its items come from, and the task as it is for one of them.
struct CompiledForeach: Sendable {
  enum Number: Sendable {
    case literal(Int64)
    case expression(TaskExpressions.Bound)
  }

  enum Source: Sendable {
    /// JSON text.
    case literal(KeptBytes)
    case expression(TaskExpressions.Bound)
    /// A list with expressions in it, and their roots.
    case program(InputProgram, [[TaskExpressions.Root]])
    case range(from: Number, to: Number, step: Number)
    case files(TaskExpressions.Variable, directory: TaskExpressions.Variable?)
  }

  let source: Source
  /// Items in progress at once; nil: as many as there is room for.
  let parallelism: Int?
  /// The task for one item, as a workflow of one task; the names of its expressions are those of the workflow around it.
  let body: CompiledWorkflow
  /// What the run does itself for an item; nil: there is a handler.
  var work: (any HeldWork)? { body.handlers[0].work }
  /// What its places are in a plan.
  let place: Plan.Node

  init(_ task: TaskDefinition, _ foreach: Foreach, body: CompiledWorkflow, key: UInt32, _ binder: TaskExpressions.Binder)
    throws(CompileError)
  {
    do throws(ExpressionError) {
      source = try Self.source(foreach, binder)
    } catch {
      throw .badExpression(task: task.id, reason: error.message)
    }
    parallelism = task.parallelism
    self.body = body
    var place = body.first
    place.key = key
    self.place = place
  }

  private static func source(_ foreach: Foreach, _ binder: TaskExpressions.Binder) throws(ExpressionError) -> Source {
    switch foreach {
    case .list(.string(let text)): return .expression(try bound(text, binder))
    case .list(let list):
      guard let program = try InputProgram(list) else { return .literal(KeptBytes(list.utf8())) }
      var roots: [[TaskExpressions.Root]] = []
      for expression in program.expressions { roots.append(try binder.roots(expression)) }
      return .program(program, roots)
    case .range(let from, let to, let step):
      return .range(from: try number(from, binder), to: try number(to, binder), step: try number(step, binder))
    case .files(let pattern, let directory):
      var bound: TaskExpressions.Variable?
      if let directory { bound = try TaskExpressions.variable(EnvironmentVariable("directory", directory), binder) }
      return .files(try TaskExpressions.variable(EnvironmentVariable("files", pattern), binder), directory: bound)
    }
  }

  private static func number(_ value: JSON, _ binder: TaskExpressions.Binder) throws(ExpressionError) -> Number {
    if case .integer(let number) = value { return .literal(number) }
    return .expression(try bound(value.string ?? "", binder))
  }

  private static func bound(_ text: String, _ binder: TaskExpressions.Binder) throws(ExpressionError) -> TaskExpressions.Bound {
    guard let expression = try Template(text)?.whole else {
      throw ExpressionError(kind: .syntax, offset: 0, message: "'foreach' is no expression", fix: "")
    }
    return TaskExpressions.Bound(expression: expression, roots: try binder.roots(expression))
  }
}

extension TaskDefinition {
  /// The condition is asked for each item, since it names the item; else once, before there is a list.
  var isConditionOfItems: Bool {
    guard let condition, let expression = try? Template(condition)?.whole else { return false }
    return expression.roots.contains { $0 == .item || $0 == .index }
  }

  /// The condition of the uses of templates around: asked once, whatever the task's own is asked for. nil: there is none.
  private var conditionOfUse: String? {
    guard let condition, let expression = try? Template(condition)?.whole else { return nil }
    for case .parameter(let name) in expression.roots where name.hasSuffix(".") { return "${params[\(JSON.quoted(name))]}" }
    return nil
  }

  /// A task with `foreach` as it stands in the plan: its own condition and priority, all else is its items'.
  func aroundItems(_ priority: Priority?) -> TaskDefinition {
    TaskDefinition(
      id, handler: handler, dependencies: dependencies,
      policy: Policy(priority: priority, priorityExpression: policy.priorityExpression),
      condition: isConditionOfItems ? conditionOfUse : condition)
  }

  /// The task for one item, as a workflow of one task, whose policy is that of all its places.
  func ofItem(_ definition: Definition) -> Definition {
    let policy = CompiledWorkflow.ResolvedPolicy(policy, definition.defaults)
    var task = self
    task.dependencies = []
    task.foreach = nil
    task.parallelism = nil
    task.policy = Policy()
    if !isConditionOfItems { task.condition = nil }
    let defaults = Policy(
      priority: policy.priority, retry: policy.retry, timeouts: policy.timeouts, concurrencyKey: policy.key,
      concurrencyLimit: policy.key == nil ? nil : policy.keyLimit, concurrencyWeight: policy.key == nil ? nil : policy.weight,
      rate: policy.rate, breaker: policy.breaker)
    return Definition(
      definition.name, parameters: definition.parameters, defaults: defaults, onFailure: definition.onFailure, tasks: [task])
  }
}
