public import MillraceWorkflow

/// A run that has ended, and what it made.
public struct WorkflowResult: Sendable {
  /// For what else can be asked of the run.
  public let handle: WorkflowHandle
  public let status: WorkflowStatus

  init(_ handle: WorkflowHandle, _ status: WorkflowStatus) {
    self.handle = handle
    self.status = status
  }

  public var id: String { handle.id }

  /// Everything that is known of the run. Complexity: O(tasks + attempts).
  public func record() -> RunRecord { handle.record() }

  /// The output of a completed task, copied; nil: no such task, or it is not completed.
  public func payload(of task: String) -> Payload? { handle.payload(of: task) }
  public func payload(of task: TaskReference) -> Payload? { handle.payload(of: task.id) }

  /// The output of a completed task as a type of the program's own. Throws `OutputError`.
  public func output<Value: Decodable>(of task: String, as type: Value.Type) throws(OutputError) -> Value {
    try handle.output(of: task, as: type)
  }
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
  public let task: String
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
    guard let task else { return "workflow \(name) is \(result.status.rawValue)" + (result.handle.reason.map { ": \($0)" } ?? "") }
    return "workflow \(name) is \(result.status.rawValue): task \(task): \(errorType)" + (message.isEmpty ? "" : ": \(message)")
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
      let isTask = definition.tasks.contains { $0.id == task }
      throw OutputError(task: task, reason: isTask ? "the task is not completed" : "workflow \(definition.name) has no such task")
    }
    do {
      return try JSON(parsing: payload.bytes).decoded()
    } catch {
      throw OutputError(task: task, reason: JSON.describe(error))
    }
  }
}

extension Engine {
  /// Starts a workflow and waits for its end without a thread. Cancelling the Swift task that waits cancels the run.
  ///
  /// Throws what `start` throws, `WorkflowError` if the run did not complete, `CancellationError` if that is because the Swift task was cancelled.
  public func run(_ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil) async throws -> WorkflowResult {
    try await Engine.result(of: start(definition, parameters: parameters, tenant: tenant))
  }

  /// As above, for a workflow that `DefinitionReader` has checked against this engine's handlers.
  public func run(
    _ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:], tenant: String? = nil
  ) async throws -> WorkflowResult {
    try await Engine.result(of: start(reading, parameters: parameters, tenant: tenant))
  }

  /// As above, for a workflow that this engine has prepared: the shortest way.
  public func run(_ workflow: PreparedWorkflow, tenant: String? = nil) async throws -> WorkflowResult {
    try await Engine.result(of: start(workflow, tenant: tenant))
  }

  /// As above, for a workflow that was put together by `addTask`.
  public func run(_ workflow: Workflow, parameters: [String: JSON] = [:], tenant: String? = nil) async throws -> WorkflowResult {
    try await run(workflow.definition, parameters: parameters, tenant: tenant)
  }

  static func result(of handle: WorkflowHandle) async throws -> WorkflowResult {
    let status = await withTaskCancellationHandler {
      await handle.finished()
    } onCancel: {
      handle.cancel()
    }
    if status == .completed { return WorkflowResult(handle, status) }
    if status == .cancelled, _Concurrency.Task.isCancelled { throw CancellationError() }
    throw WorkflowError(WorkflowResult(handle, status))
  }
}
