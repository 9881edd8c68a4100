internal import MillraceWorkflow

/// Where handlers are registered: an `Engine`, or the engine of a test.
public protocol HandlerRegistry {
  /// What the `register` methods call. Throws `EngineError`.
  func add(_ handler: RegisteredHandler) throws(EngineError)
}

extension HandlerRegistry {
  // MARK: Bytes

  /// Makes a function of this program a handler.
  ///
  /// `blocking`: it waits for I/O, locks or other programs, and gets a thread of the blocking pool. `exclusive`: a retry waits until the handler of an
  /// attempt that timed out has returned. `concurrency`: calls at once, in all runs; 0: no limit of its own. `inputSchema`: what its input may be, so that a
  /// definition with another is refused before it runs.
  ///
  /// What it throws fails the attempt with the error's description, to be retried as the task's policy says; throw `TaskFailure`, or a
  /// `RetryableError`, to say more.
  public func register(
    _ name: String, blocking: Bool = false, exclusive: Bool = false, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (borrowing TaskCall) throws -> Payload
  ) throws(EngineError) {
    try add(
      RegisteredHandler(
        name: name, blocking: blocking, exclusive: exclusive, concurrency: concurrency, inputSchema: inputSchema, .call(body)))
  }

  /// Makes an asynchronous function a handler: a Swift task that holds a slot, and no thread while it waits.
  ///
  /// It begins on the worker, and goes on among Swift's threads once it has waited. When the run is cancelled or a timeout ends the attempt, the task is
  /// cancelled; the run does not wait for it, and what it says then is dropped. A retry may overlap what is left of it.
  public func register(
    _ name: String, concurrency: Int = 0, inputSchema: InputSchema? = nil, _ body: @escaping @Sendable (TaskContext) async throws -> Payload
  ) throws(EngineError) {
    try add(RegisteredHandler(name: name, concurrency: concurrency, inputSchema: inputSchema, .asynchronous(body)))
  }

  // MARK: Codable

  /// Makes a typed function a handler: its input is the task's `input`, its output JSON. An input that does not fit fails the task as `bad-input`, an
  /// output that cannot be encoded as `bad-output`; neither is retried. All else as for a function of bytes.
  public func register<Input: Decodable & Sendable, Output: Encodable & Sendable>(
    _ name: String, blocking: Bool = false, exclusive: Bool = false, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (Input, TaskContext) throws -> Output
  ) throws(EngineError) {
    try add(
      RegisteredHandler(
        name: name, blocking: blocking, exclusive: exclusive, concurrency: concurrency, inputSchema: inputSchema,
        .context { try Payload(output: body(try $0.input(), $0)) }))
  }

  /// As above, without an output.
  public func register<Input: Decodable & Sendable>(
    _ name: String, blocking: Bool = false, exclusive: Bool = false, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (Input, TaskContext) throws -> Void
  ) throws(EngineError) {
    try add(
      RegisteredHandler(
        name: name, blocking: blocking, exclusive: exclusive, concurrency: concurrency, inputSchema: inputSchema,
        .context { context in
          try body(try context.input(), context)
          return .empty
        }))
  }

  /// As above, with bytes as the output.
  public func register<Input: Decodable & Sendable>(
    _ name: String, blocking: Bool = false, exclusive: Bool = false, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (Input, TaskContext) throws -> Payload
  ) throws(EngineError) {
    try add(
      RegisteredHandler(
        name: name, blocking: blocking, exclusive: exclusive, concurrency: concurrency, inputSchema: inputSchema,
        .context {
          try body(try $0.input(), $0)
        }))
  }

  /// Makes a typed asynchronous function a handler: a Swift task that holds a slot, and no thread while it waits. See the one of bytes.
  public func register<Input: Decodable & Sendable, Output: Encodable & Sendable>(
    _ name: String, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (Input, TaskContext) async throws -> Output
  ) throws(EngineError) {
    try register(name, concurrency: concurrency, inputSchema: inputSchema) { (context: TaskContext) async throws -> Payload in
      try Payload(output: await body(try context.input(), context))
    }
  }

  /// As above, without an output.
  public func register<Input: Decodable & Sendable>(
    _ name: String, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (Input, TaskContext) async throws -> Void
  ) throws(EngineError) {
    try register(name, concurrency: concurrency, inputSchema: inputSchema) { (context: TaskContext) async throws -> Payload in
      try await body(try context.input(), context)
      return .empty
    }
  }

  /// As above, with bytes as the output.
  public func register<Input: Decodable & Sendable>(
    _ name: String, concurrency: Int = 0, inputSchema: InputSchema? = nil,
    _ body: @escaping @Sendable (Input, TaskContext) async throws -> Payload
  ) throws(EngineError) {
    try register(name, concurrency: concurrency, inputSchema: inputSchema) { (context: TaskContext) async throws -> Payload in
      try await body(try context.input(), context)
    }
  }
}

extension Payload {
  /// What a typed handler gives. Throws `TaskFailure` of type `bad-output`.
  package init(output: some Encodable) throws(TaskFailure) {
    do {
      self = .json(try JSON(encoding: output))
    } catch {
      throw TaskFailure("bad-output", "output: \(JSON.describe(error))", isRetryable: false)
    }
  }
}
