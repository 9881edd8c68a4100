/// A task that a definition holds, as a dependency for tasks added later. Made by `Definition.task`, so a definition built by it has no cycles.
public struct TaskReference: Sendable, Hashable {
  /// As it was given to `Definition.task`.
  public let id: String
}

extension Definition {
  /// The cleanup tasks as a workflow of their own: none of them stops another.
  var ofCleanup: Definition {
    var definition = Definition(name, parameters: parameters, defaults: defaults, onFailure: .continue, tasks: cleanup)
    definition.arguments = arguments
    return definition
  }

  /// Adds a task and gives back a reference to it, for the `dependencies` of later ones:
  ///
  /// ```swift
  /// var census = Definition("census")
  /// let split = census.task("split", handler: "debian/split", input: ["chunks": 8])
  /// let parts = (0..<8).map { census.task("parse-\($0)", handler: "debian/parse", dependencies: [split], input: ["chunk": .integer($0)]) }
  /// census.task("merge", handler: "debian/merge", dependencies: parts, priority: .high)
  /// ```
  ///
  /// `when`: `${...}`, which skips the task if it is false. `environment`: variables for the handler alone, as
  /// `["TOKEN": "${secrets.TOKEN}"]`. `foreach`: the task is done for each item of a list, `parallelism` of them at once. Ids are not compared here; `DefinitionChecker` finds one that is used twice.
  /// Complexity: O(dependencies), amortised.
  /// Size: 88 bytes, the texts longer than 15 bytes, and 32 + 16 x dependencies bytes if there are any.
  @discardableResult
  public mutating func task(
    _ id: String, handler: String, dependencies: [TaskReference] = [], input: JSON = .null, when condition: String? = nil,
    foreach: Foreach? = nil, parallelism: Int? = nil, environment: KeyValuePairs<String, String> = [:], priority: Priority? = nil,
    retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts(), concurrencyKey: String? = nil, concurrencyLimit: Int? = nil,
    concurrencyWeight: Int? = nil, rate: RateLimit? = nil, breaker: BreakerPolicy? = nil, recordedSeconds: Double? = nil
  ) -> TaskReference {
    let policy = Policy(
      priority: priority, retry: retry, timeouts: timeouts, concurrencyKey: concurrencyKey, concurrencyLimit: concurrencyLimit,
      concurrencyWeight: concurrencyWeight, rate: rate, breaker: breaker)
    tasks.append(
      TaskDefinition(
        id, handler: handler, dependencies: dependencies.map(\.id), input: input, policy: policy, condition: condition,
        environment: environment.map(EnvironmentVariable.init), foreach: foreach, parallelism: parallelism,
        recordedSeconds: recordedSeconds))
    return TaskReference(id: id)
  }

  /// Adds a task that runs when all others have ended, whatever became of them. `dependencies`: other cleanup tasks. Its expressions may use
  /// the output and the status of any task, and `run.status`. Complexity: O(dependencies), amortised.
  @discardableResult
  public mutating func cleanup(
    _ id: String, handler: String, dependencies: [TaskReference] = [], input: JSON = .null, when condition: String? = nil,
    foreach: Foreach? = nil, parallelism: Int? = nil, environment: KeyValuePairs<String, String> = [:], priority: Priority? = nil,
    retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    cleanup.append(
      TaskDefinition(
        id, handler: handler, dependencies: dependencies.map(\.id), input: input,
        policy: Policy(priority: priority, retry: retry, timeouts: timeouts), condition: condition,
        environment: environment.map(EnvironmentVariable.init), foreach: foreach, parallelism: parallelism))
    return TaskReference(id: id)
  }
}
