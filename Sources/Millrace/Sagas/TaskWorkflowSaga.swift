public import MillraceWorkflow

/// Tasks one after the other, each given what the one before it gave, and undone backward if one fails:
///
/// ```swift
/// try await engine.run(TaskWorkflowSaga(steps: [
///   .init("reserve", handler: "shop/reserve", compensation: "shop/release"),
///   .init("charge", handler: "shop/charge", isPivot: true),
///   .init("ship", handler: "shop/ship"),
/// ]))
/// ```
///
/// A `Saga` says every dependency and every input; here they follow from the order of the steps, unless a step says its own.
public struct TaskWorkflowSaga: BuiltInSaga {
  /// One task of it.
  public struct Step: Sendable, Hashable {
    /// Unique in the saga.
    public var id: String
    /// `plugin/handler`, or the name of a registered function.
    public var handler: String
    /// Steps that come before this one; nil: the one that stands before it. Empty: none.
    public var dependencies: [String]?
    /// JSON whose texts may hold expressions; nil: the output of the step that this one depends on, or with several an object of their outputs by id, or
    /// with none `null`. Outputs that are neither JSON nor text can be read by handlers only: give such a step an `input`.
    public var input: JSON?
    /// What undoes the step, `.notNeeded` if there is nothing to undo; nil for the pivot and the steps after it.
    public var compensation: Compensation?
    /// Beyond it the saga only goes forward.
    public var isPivot: Bool
    /// nil: once, and after the pivot until it is done.
    public var retry: RetryPolicy?
    /// By default without limits.
    public var timeouts: Timeouts

    /// Nothing is checked here: `start` and `run` tell every fault.
    public init(
      _ id: String, handler: String, dependencies: [String]? = nil, input: JSON? = nil, compensation: Compensation? = nil,
      isPivot: Bool = false,
      retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts()
    ) {
      self.id = id
      self.handler = handler
      self.dependencies = dependencies
      self.input = input
      self.compensation = compensation
      self.isPivot = isPivot
      self.retry = retry
      self.timeouts = timeouts
    }
  }

  /// Of the saga.
  public var name: String
  /// In the order in which they run, if they say nothing else.
  public var steps: [Step]
  /// What `${params.NAME}` in inputs stands for.
  public var parameters: [String: JSON]
  /// `.log`: it goes on after a crash.
  public var durability: Durability

  /// Nothing is checked here: `start` and `run` tell every fault.
  public init(_ name: String = "task-workflow", parameters: [String: JSON] = [:], durability: Durability = .none, steps: [Step]) {
    self.name = name
    self.steps = steps
    self.parameters = parameters
    self.durability = durability
  }

  /// With the last step as its result. Complexity: O(steps + dependencies).
  public var definition: Definition {
    var saga = Definition(
      saga: name, parameters: parameters.keys.sorted().map { Definition.Parameter($0) }, result: steps.last?.id, durability: durability)
    for (index, step) in steps.enumerated() {
      let before = step.dependencies ?? (index == 0 ? [] : [steps[index - 1].id])
      saga.step(
        step.id, handler: step.handler, input: step.input ?? Self.outputs(of: before),
        compensation: step.compensation, isPivot: step.isPivot, retry: step.retry, timeouts: step.timeouts)
      saga.tasks[index].dependencies = before
    }
    return saga
  }

  private static func outputs(of steps: [String]) -> JSON {
    let output = { (id: String) in JSON.string("${tasks[\"\(id)\"].output}") }
    return switch steps.count {
    case 0: .null
    case 1: output(steps[0])
    default: .object(steps.map { JSON.Member($0, output($0)) })
    }
  }
}
