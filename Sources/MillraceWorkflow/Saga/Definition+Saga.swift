extension Definition {
  /// A saga without steps: `step(...)` adds them.
  ///
  /// ```swift
  /// var order = Definition(saga: "order")
  /// let reserve = order.step("reserve", handler: "shop/reserve", compensation: "shop/release")
  /// let charge = order.step("charge", handler: "shop/charge", dependencies: [reserve], isPivot: true)
  /// order.step("ship", handler: "shop/ship", dependencies: [charge])
  /// ```
  public init(
    saga name: String, description: String = "", parameters: [Parameter] = [], defaults: Policy = Policy(), result: String? = nil,
    durability: Durability = .none
  ) {
    self.init(name, description: description, parameters: parameters, defaults: defaults, result: result, durability: durability)
    kind = .saga
  }

  /// Adds a step and gives back a reference to it, for the `dependencies` of later ones.
  ///
  /// `compensation`: what undoes it, `.notNeeded` if there is nothing to undo; nil for the pivot and the steps after it. The rest is as for `task`. Nothing is
  /// compared here: `DefinitionChecker` finds what does not go together. Complexity: O(dependencies), amortised.
  @discardableResult
  public mutating func step(
    _ id: String, handler: String, dependencies: [TaskReference] = [], input: JSON = .null, compensation: Compensation? = nil,
    isPivot: Bool = false, environment: KeyValuePairs<String, String> = [:], priority: Priority? = nil, retry: RetryPolicy? = nil,
    timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    var step = TaskDefinition(
      id, handler: handler, dependencies: dependencies.map(\.id), input: input,
      policy: Policy(priority: priority, retry: retry, timeouts: timeouts), environment: environment.map(EnvironmentVariable.init))
    if let compensation { step.compensation = compensation }
    if isPivot { step.isPivot = true }
    tasks.append(step)
    return TaskReference(id: id)
  }
}
