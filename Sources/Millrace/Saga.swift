internal import MillraceCore
public import MillraceWorkflow

/// A saga that is put together step by step:
///
/// ```swift
/// let saga = Saga("order")
/// let reserve = saga.step("reserve", handler: "shop/reserve", compensation: "shop/release")
/// let charge = saga.step("charge", handler: "shop/charge", dependencies: [reserve], isPivot: true)
/// saga.step("ship", handler: "shop/ship", dependencies: [charge])
/// let plan = try SagaPlan(saga.definition)
/// ```
///
/// `definition` is what a file with `kind: saga` gives. Nothing is checked before it is used. Any thread.
public final class Saga: @unchecked Sendable {
  private let monitor = Monitor()
  private var current: Definition

  /// A saga without steps.
  public init(_ name: String) { current = Definition(saga: name) }

  deinit { monitor.deallocate() }

  /// The saga's name.
  public var name: String { definition.name }

  /// What has been put together so far. Setting it replaces everything.
  public var definition: Definition {
    get { monitor.locked { current } }
    set { monitor.locked { current = newValue } }
  }

  /// Adds a step: see `Definition.step`.
  @discardableResult
  public func step(
    _ id: String, handler: String, dependencies: [TaskReference] = [], input: JSON = .null, compensation: Compensation? = nil,
    isPivot: Bool = false, environment: KeyValuePairs<String, String> = [:], priority: Priority? = nil, retry: RetryPolicy? = nil,
    timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    monitor.locked {
      current.step(
        id, handler: handler, dependencies: dependencies, input: input, compensation: compensation, isPivot: isPivot,
        environment: environment, priority: priority, retry: retry, timeouts: timeouts)
    }
  }
}
