internal import MillraceCore
public import MillraceWorkflow

/// A workflow that is put together step by step: see `Engine.createWorkflow`. Any thread.
public final class Workflow: @unchecked Sendable {
  private let monitor = Monitor()
  private var current: Definition

  init(_ name: String) { current = Definition(name) }

  deinit { monitor.deallocate() }

  public var name: String { definition.name }

  /// What has been put together so far; runs take a copy. Setting it replaces everything.
  public var definition: Definition {
    get { monitor.locked { current } }
    set { monitor.locked { current = newValue } }
  }

  func add(_ change: (inout Definition) -> TaskReference) -> TaskReference { monitor.locked { change(&current) } }
}

extension Engine {
  /// A workflow without tasks, for `addTask`:
  ///
  /// ```swift
  /// let workflow = engine.createWorkflow("parallel")
  /// let split = engine.addTask(to: workflow, "split", handler: "split")
  /// let workers = (0..<5).map { engine.addTask(to: workflow, "worker-\($0)", handler: "work", dependencies: [split]) }
  /// engine.addTask(to: workflow, "merge", handler: "merge", dependencies: workers)
  /// let result = try await engine.run(workflow)
  /// ```
  ///
  /// Nothing is checked before `start` or `run`, which tell every fault. The engine keeps nothing of it.
  public func createWorkflow(_ name: String) -> Workflow { Workflow(name) }

  /// Adds a task: see `Definition.task`. Runs that were started before do not have it.
  @discardableResult
  public func addTask(
    to workflow: Workflow, _ id: String, handler: String, dependencies: [TaskReference] = [], input: JSON = .null,
    priority: Priority? = nil, retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts(), concurrencyKey: String? = nil,
    concurrencyLimit: Int? = nil, concurrencyWeight: Int? = nil, rate: RateLimit? = nil
  ) -> TaskReference {
    workflow.add { definition in
      definition.task(
        id, handler: handler, dependencies: dependencies, input: input, priority: priority, retry: retry, timeouts: timeouts,
        concurrencyKey: concurrencyKey, concurrencyLimit: concurrencyLimit, concurrencyWeight: concurrencyWeight, rate: rate)
    }
  }

  /// Starts a workflow that was put together by `addTask`. Throws as for a `Definition`.
  public func start(_ workflow: Workflow, parameters: [String: JSON] = [:], tenant: String? = nil) throws -> WorkflowHandle {
    try start(workflow.definition, parameters: parameters, tenant: tenant)
  }
}
