public import MillraceBroker
public import MillraceWorkflow

/// One attempt of a task, as a handler with typed inputs sees it. May be kept and used by any thread; when the handler has ended it says that the
/// attempt is cancelled, and heartbeats do nothing.
public struct TaskContext: Sendable {
  /// The context of the handler that this code runs in, for code that is not handed one; nil: this is no handler, or the engine binds none. It does
  /// so if it has
  /// an `Engine.Configuration.observer` or `bindsContext` is set. Swift tasks that begin in the handler have it as well, but for detached ones.
  @TaskLocal public static var current: TaskContext?

  /// Longest details of a heartbeat, bytes of JSON text: 64 KiB.
  public static let maximumDetailBytes = 64 << 10

  private let link: AttemptLink

  init(_ link: AttemptLink) { self.link = link }

  /// Calls `body` with this as the current one, if that is wanted.
  func bound<Result>(_ body: () throws -> Result) rethrows -> Result {
    link.bindsContext ? try TaskContext.$current.withValue(self) { try body() } : try body()
  }

  /// The definition's id of the task.
  public var taskID: String { link.taskID }
  /// UUIDv7 of the run.
  public var runID: String { link.runID.description }
  /// The definition's name.
  public var workflow: String { link.workflow }
  /// Whose work it is: one of `Engine.Configuration.tenants`, or "default".
  public var tenant: String { link.tenant }
  /// `run/task`: the same for every attempt: the idempotency key.
  public var key: String { "\(link.runID)/\(link.taskID)" }
  /// From 1. A message's deliveries are told by `message`.
  public var attempt: Int { link.number }
  /// The message that a consumer's handler was called for, in place; nil: it does a task. It is settled by how the handler ends, unless that settles
  /// it before.
  public var message: ReceivedMessage? { (link.subject as? MessageSubject)?.message }

  /// What the attempt is part of: for calls of others, as `traceparent`. nil: the run was started without, and no tracer is at work.
  public var trace: TraceContext? { link.trace }

  /// The value of a variable of the task's `env`, where its secrets are, copied; nil: it has none of that name. Keep secrets out of outputs and
  /// messages; the engine replaces them in errors and in its log all the same.
  public func environment(_ name: String) -> String? { link.environment(name) }

  /// Who hears of the attempt, as the engine's observer has made it, for extensions of this type that need what it keeps; nil: nobody.
  public var observer: (any AttemptObserver)? { link.observer }

  // MARK: Stopping

  /// True once the attempt should stop: the run was cancelled, or a timeout has ended the attempt. In an asynchronous handler
  /// `Task.isCancelled` says the same. Two loads.
  public var isCancelled: Bool { link.isCancelled }

  /// Throws `CancellationError` once the attempt should stop.
  public func checkCancellation() throws { if isCancelled { throw CancellationError() } }

  /// How long until start-to-close ends the attempt, on the engine's clock; nil: there is no such timeout.
  public var timeRemaining: Duration? {
    link.deadline == 0 ? nil : .nanoseconds(link.deadline - min(link.now, link.deadline))
  }

  // MARK: Inputs

  /// The definition's `input`, as JSON.
  public var inputPayload: Payload { read(0) ?? .empty }

  /// The definition's `input`. Throws `TaskFailure` of type `bad-input`, which is not retried, with the place of what does not fit.
  public func input<Value: Decodable>(as type: Value.Type = Value.self) throws(TaskFailure) -> Value {
    try decode(type, 0, "input")
  }

  /// How many dependencies there are.
  public var dependencyCount: Int { link.inputCount - 1 }

  /// The output of a dependency, by its id; nil: it is none. Copied.
  public func payload(of task: String) -> Payload? { link.inputIndex(of: task).flatMap { read($0) } }

  /// The output of a dependency, by its place in the definition, from 0; nil: there is none. Copied.
  public func payload(at index: Int) -> Payload? { index < 0 ? nil : read(index + 1) }

  /// How many items a dependency with `foreach` was done for; nil: it is no such task.
  public func itemCount(of task: String) -> Int? { link.inputIndex(of: task).flatMap { link.itemCount($0) } }

  /// What a dependency with `foreach` gave for one item, from 0, without the list of all; nil: there is no such item. Copied.
  public func payload(of task: String, item: Int) -> Payload? {
    // unsafe: the bytes are copied in the call.
    link.inputIndex(of: task).flatMap { index in
      unsafe link.withItem(index, item) { bytes, type in unsafe Payload(Array(bytes), Payload.ContentType(rawValue: type) ?? .bytes) }
    }
  }

  /// The output of a dependency, by its id. Throws `TaskFailure` of type `bad-input`, as `input(as:)`.
  public func output<Value: Decodable>(of task: String, as type: Value.Type = Value.self) throws(TaskFailure) -> Value {
    guard let index = link.inputIndex(of: task) else {
      throw TaskFailure(
        "bad-input", "task \(taskID) does not depend on '\(task)': only outputs of dependencies can be read", isRetryable: false)
    }
    return try decode(type, index, "output of \(task)")
  }

  /// The output of a dependency, by its place in the definition, from 0. Throws `TaskFailure` of type `bad-input`, as `input(as:)`.
  public func output<Value: Decodable>(at index: Int, as type: Value.Type = Value.self) throws(TaskFailure) -> Value {
    guard index >= 0, let name = link.inputName(index + 1) else {
      throw TaskFailure("bad-input", "task \(taskID) has \(dependencyCount) dependencies, none at index \(index)", isRetryable: false)
    }
    return try decode(type, index + 1, "output of \(name)")
  }

  /// The outputs of all dependencies, in the order of the definition. Throws `TaskFailure` of type `bad-input`, as `input(as:)`.
  public func outputs<Value: Decodable>(as type: Value.Type = Value.self) throws(TaskFailure) -> [Value] {
    var values: [Value] = []
    for index in 0..<dependencyCount { values.append(try output(at: index)) }
    return values
  }

  private func read(_ index: Int) -> Payload? {
    // unsafe: the bytes are copied in the call.
    unsafe link.withInput(index) { bytes, type in unsafe Payload(Array(bytes), Payload.ContentType(rawValue: type) ?? .bytes) }
  }

  private func decode<Value: Decodable>(_ type: Value.Type, _ index: Int, _ name: String) throws(TaskFailure) -> Value {
    do {
      return try JSON(parsing: read(index)?.bytes ?? []).decoded(as: type)
    } catch {
      throw TaskFailure("bad-input", "\(name): \(JSON.describe(error))", isRetryable: false)
    }
  }

  // MARK: Heartbeats

  /// Says that the attempt is alive: the heartbeat timeout begins anew.
  public func heartbeat() { link.heartbeat(nil) }

  /// Says that the attempt is alive, and how much of it is done, from 1 to 1000: the run's `progress` and `explain` tell it, and what is left is estimated
  /// from it. 0 and less say nothing of it, more counts as 1000.
  public func heartbeat(perMille progress: Int) { link.heartbeat(perMille: progress, nil) }

  /// Says that the attempt is alive and where it is: `lastHeartbeat` gives the details to the next attempt, should this one fail. They are kept in memory,
  /// for tasks with a retry. Throws `EncodingError`, also if they are longer than `maximumDetailBytes`.
  public func heartbeat(_ details: some Encodable) throws {
    let text = try JSON(encoding: details).utf8()
    if text.count > TaskContext.maximumDetailBytes {
      throw EncodingError.invalidValue(
        details,
        .init(codingPath: [], debugDescription: "\(text.count) bytes of details: at most \(TaskContext.maximumDetailBytes) are kept"))
    }
    link.heartbeat(text)
  }

  /// The details that an earlier attempt gave last; nil: none did. Throws `DecodingError`.
  public func lastHeartbeat<Details: Decodable>(as type: Details.Type = Details.self) throws -> Details? {
    try link.lastDetails.map { try JSON(parsing: $0).decoded(as: type) }
  }
}
