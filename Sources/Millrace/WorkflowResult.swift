public import MillraceWorkflow

/// A run that has ended, and what it made.
public struct WorkflowResult: Sendable {
  /// For what else can be asked of the run.
  public let handle: WorkflowHandle
  /// How the run ended.
  public let status: WorkflowStatus

  init(_ handle: WorkflowHandle, _ status: WorkflowStatus) {
    self.handle = handle
    self.status = status
  }

  /// What has become of the saga that the run executed; nil: it executed a workflow.
  public var saga: SagaStatus? { handle.saga?.status }

  /// UUIDv7 of the run.
  public var id: String { handle.id }

  /// Everything that is known of the run. Complexity: O(tasks + attempts).
  public func record() -> RunRecord { handle.record() }

  /// The output of a completed task, copied; nil: no such task, or it is not completed.
  public func payload(of task: String) -> Payload? { handle.payload(of: task) }
  /// The output of a completed task, copied; nil: no such task, or it is not completed.
  public func payload(of task: TaskReference) -> Payload? { handle.payload(of: task.id) }

  /// The output of a completed task as a type of the program's own. Throws `OutputError`.
  public func output<Value: Decodable>(of task: String, as type: Value.Type) throws(OutputError) -> Value {
    try handle.output(of: task, as: type)
  }
  /// The output of a completed task as a type of the program's own. Throws `OutputError`.
  public func output<Value: Decodable>(of task: TaskReference, as type: Value.Type) throws(OutputError) -> Value {
    try handle.output(of: task.id, as: type)
  }

  /// The output of the definition's `result` task. Throws `OutputError`.
  public func value<Value: Decodable>(as type: Value.Type) throws(OutputError) -> Value {
    guard let task = handle.definition.result else { throw OutputError(task: "", reason: "the workflow names no task as its `result`") }
    return try handle.output(of: task, as: type)
  }
}

/// Why an output cannot be had.
public struct OutputError: Error, Sendable, CustomStringConvertible {
  /// The task whose output was asked for; empty: the workflow names no `result`.
  public let task: String
  /// What was wrong.
  public let reason: String
  public var description: String { task.isEmpty ? reason : "output of \(task): \(reason)" }
}

/// A run that did not complete: `Engine.run` throws it.
public struct WorkflowError: Error, Sendable, CustomStringConvertible {
  /// FAILED or CANCELLED; what was made nevertheless can be read.
  public let result: WorkflowResult
  /// The task that failed first; nil: none did.
  public let task: String?
  /// Of its last attempt.
  public let errorType: String
  /// Of its last attempt; empty: it said nothing.
  public let message: String

  init(_ result: WorkflowResult) {
    self.result = result
    let failed = result.record().tasks.filter { $0.status == .failed || $0.status == .timedOut }
    let first = failed.min { ($0.attempts.last?.end ?? .max) < ($1.attempts.last?.end ?? .max) }
    task = first?.id
    errorType = first?.attempts.last?.errorType ?? ""
    message = first?.attempts.last?.message ?? ""
  }

  public var description: String {
    let name = result.handle.definition.name
    let what = result.saga.map { "saga \(name) is \($0.rawValue)" } ?? "workflow \(name) is \(result.status.rawValue)"
    guard let task else { return what + (result.handle.reason.map { ": \($0)" } ?? "") }
    return what + ": \(result.saga == nil ? "task" : "step") \(task): \(errorType)" + (message.isEmpty ? "" : ": \(message)")
  }
}

extension WorkflowHandle {
  /// The output of a completed task, copied; nil: no such task, or it is not completed.
  public func payload(of task: String) -> Payload? { run.payload(of: task) }

  /// The output of a completed task as a type of the program's own. Throws `OutputError`.
  public func output<Value: Decodable>(of task: String, as type: Value.Type) throws(OutputError) -> Value {
    try run.decodedOutput(of: task)
  }
}

extension WorkflowRun {
  package func payload(of task: String) -> Payload? {
    unsafe output(of: task).map { unsafe Payload(Array($0.bytes), Payload.ContentType(rawValue: $0.contentType) ?? .bytes) }
  }

  package func decodedOutput<Value: Decodable>(of task: String) throws(OutputError) -> Value {
    guard let payload = payload(of: task) else {
      if let reason = outputProblem(of: task) { throw OutputError(task: task, reason: reason) }
      let id = task.hasSuffix("]") ? task.prefix { $0 != "[" } : task[...]
      let isTask = definition.tasks.contains { $0.id == id }
      throw OutputError(task: task, reason: isTask ? "the task is not completed" : "workflow \(definition.name) has no such task")
    }
    do {
      return try JSON(parsing: payload.bytes).decoded()
    } catch {
      throw OutputError(task: task, reason: JSON.describe(error))
    }
  }
}
