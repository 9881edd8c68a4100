/// The workflow that a task runs, in place of a handler.
public struct ChildWorkflow: Sendable, Hashable {
  /// Workflows below one another, the outermost among them.
  public static let maximumDepth = 8

  /// As the definition names it: a file, or a workflow that the engine has deployed.
  public let name: String
  /// What the file says; nil: the engine knows it when the task begins.
  public let definition: Definition?

  /// A text that names a file, not a workflow.
  static func isFile(_ text: String) -> Bool { [".yaml", ".yml", ".json"].contains { text.hasSuffix($0) } }
}

extension TaskDefinition {
  /// A task that runs a workflow, whose parameters are its input.
  init(_ id: String, child: ChildWorkflow, parameters: JSON, dependencies: [String], policy: Policy, condition: String?) {
    self.init(id, handler: "", dependencies: dependencies, input: parameters, policy: policy, condition: condition)
    self.child = child
  }
}

extension Definition {
  /// Adds a task that runs another workflow, which must be deployed on the engine by this name when the task begins. It takes no slot while the child runs; its
  /// output is the child's `result`. `parameters`: those of the child; texts may hold expressions. `foreach`: it is run for each item of a list, `parallelism` of
  /// them at once; parameters and `when` may name `item` and `index`, and the output is the list of the results. Complexity: O(dependencies), amortised.
  @discardableResult
  public mutating func workflow(
    _ id: String, named name: String, parameters: JSON = .object([]), dependencies: [TaskReference] = [],
    when condition: String? = nil, foreach: Foreach? = nil, parallelism: Int? = nil, retry: RetryPolicy? = nil,
    timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    add(id, ChildWorkflow(name: name, definition: nil), parameters, dependencies, condition, foreach, parallelism, retry, timeouts)
  }

  /// As above, of a definition that is at hand.
  @discardableResult
  public mutating func workflow(
    _ id: String, of definition: Definition, parameters: JSON = .object([]), dependencies: [TaskReference] = [],
    when condition: String? = nil, foreach: Foreach? = nil, parallelism: Int? = nil, retry: RetryPolicy? = nil,
    timeouts: Timeouts = Timeouts()
  ) -> TaskReference {
    add(
      id, ChildWorkflow(name: definition.name, definition: definition), parameters, dependencies, condition, foreach, parallelism, retry,
      timeouts)
  }

  private mutating func add(
    _ id: String, _ child: ChildWorkflow, _ parameters: JSON, _ dependencies: [TaskReference], _ condition: String?, _ foreach: Foreach?,
    _ parallelism: Int?, _ retry: RetryPolicy?, _ timeouts: Timeouts
  ) -> TaskReference {
    var task = TaskDefinition(
      id, child: child, parameters: parameters, dependencies: dependencies.map(\.id), policy: Policy(retry: retry, timeouts: timeouts),
      condition: condition)
    if foreach != nil { task.foreach = foreach }
    if parallelism != nil { task.parallelism = parallelism }
    tasks.append(task)
    return TaskReference(id: id)
  }
}
