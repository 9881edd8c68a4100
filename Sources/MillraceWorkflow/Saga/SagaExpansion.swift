package import MillraceCore

/// A saga as the tasks that its run consists of: the steps, and behind them a task for each compensation, `STEP/c`. Nothing is ready by itself: what is launched
/// when is up to the machine.
extension Definition {
  /// Of a checked saga; a workflow stays as it is. Complexity: O(steps).
  package var expanded: Definition {
    guard kind == .saga else { return self }
    var run = self
    let plan = SagaPlan(checked: self)
    var compensations: [TaskDefinition] = []
    for (number, step) in tasks.enumerated() {
      var policy = step.policy.filled(from: defaults)
      policy.retry = retry(ofStep: number, in: plan)
      run.tasks[number].policy = policy
      run.tasks[number].compensation = nil
      guard let undo = step.compensation, undo.isNeeded else { continue }
      policy.retry = undo.retry ?? Compensation.defaultRetry
      policy.timeouts = undo.timeouts
      let input = undo.input ?? ["input": step.input, "output": .string("${tasks[\"\(step.id)\"].output ?? null}")]
      compensations.append(
        TaskDefinition(
          Definition.compensationID(step.id), handler: undo.handler, dependencies: [step.id], input: input, policy: policy,
          environment: step.environment))
    }
    run.defaults = Policy()
    run.onFailure = .continue
    run.tasks += compensations
    return run
  }

  /// What the task is called that undoes a step: the last part of its idempotency key, `saga/step/c`.
  package static func compensationID(_ step: String) -> String { step + "/c" }
}

extension Policy {
  /// With what it leaves open as the defaults say.
  fileprivate func filled(from defaults: Policy) -> Policy {
    var policy = self
    if priority == nil, priorityExpression == nil {
      policy.priority = defaults.priority
      policy.priorityExpression = defaults.priorityExpression
    }
    policy.timeouts = Timeouts(
      scheduleToStart: timeouts.scheduleToStart ?? defaults.timeouts.scheduleToStart,
      startToClose: timeouts.startToClose ?? defaults.timeouts.startToClose,
      scheduleToClose: timeouts.scheduleToClose ?? defaults.timeouts.scheduleToClose,
      heartbeat: timeouts.heartbeat ?? defaults.timeouts.heartbeat)
    policy.concurrencyKey = concurrencyKey ?? defaults.concurrencyKey
    policy.concurrencyLimit = concurrencyLimit ?? defaults.concurrencyLimit
    policy.concurrencyWeight = concurrencyWeight ?? defaults.concurrencyWeight
    policy.rate = rate ?? defaults.rate
    policy.breaker = breaker ?? defaults.breaker
    return policy
  }
}

extension CompiledWorkflow {
  /// It is a saga.
  package var isSaga: Bool { saga != nil }

  /// A checked definition, whatever its kind, with its parameters put in place. Throws `DefinitionError` for parameters, `CompileError`.
  package static func compile(
    _ definition: Definition, parameters: [String: JSON], handlers: [String: TaskHandler], held: HandlerIndex, order: TaskOrder,
    keys: KeyTable
  ) throws -> CompiledWorkflow {
    try CompiledWorkflow(
      definition.expanded.resolve(parameters: parameters), handlers: handlers, held: held, order: order, keys: keys,
      saga: definition.kind == .saga ? CompiledSaga(definition) : nil)
  }
}

/// What a saga's run knows of it beside its tasks.
struct CompiledSaga: Sendable {
  let plan: SagaPlan
  /// Node of each step's compensation; -1: there is none.
  let compensations: [Int32]
  /// Step of each node.
  let steps: [Int32]
  /// The pivot says nothing of retries: an attempt of which nobody knows what it did is repeated without an end.
  let repeatsPivot: Bool

  init(_ definition: Definition) {
    plan = SagaPlan(checked: definition)
    var compensations = [Int32](repeating: -1, count: plan.count)
    var steps = (0..<Int32(plan.count)).map { $0 }
    for step in 0..<plan.count where plan.hasCompensation(step) {
      compensations[step] = Int32(steps.count)
      steps.append(Int32(step))
    }
    self.compensations = compensations
    self.steps = steps
    repeatsPivot = plan.pivot.map { definition.tasks[$0].policy.retry == nil && definition.defaults.retry == nil } ?? false
  }

  func isCompensation(_ node: UInt32) -> Bool { Int(node) >= plan.count }
  func step(_ node: UInt32) -> Int { Int(steps[Int(node)]) }
}
