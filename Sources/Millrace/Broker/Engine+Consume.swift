public import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// What a function that reads messages as bytes may give as the reply.
public protocol MessageReply: Sendable {
  /// What is sent.
  var payload: Payload { get }
}

extension Payload: MessageReply {
  /// Itself.
  public var payload: Payload { self }
}

/// How the messages of a queue are handled: see `MessageConsumer`. Handlers find the message as `TaskContext.message`.
extension Engine {
  // MARK: By name

  /// A handler of a plugin, or a registered one, handles the messages of a queue: the payload is its input 0, in place.
  ///
  /// Throws `BrokerError`, `EngineError` (unknown tenant, stopped) or `CompileError.unknownHandler`.
  @discardableResult
  public func consume(_ queue: String, handler: String, _ options: ConsumeOptions = ConsumeOptions()) throws -> MessageConsumer {
    guard try state.view().handlers[handler] != nil else { throw CompileError.unknownHandler(task: queue, handler: handler) }
    return try open(queue, .named(handler), options)
  }

  private func open(_ queue: String, _ handler: MessageConsumer.Handler, _ options: ConsumeOptions) throws -> MessageConsumer {
    let name = try BrokerName(queue)
    let consumer = try MessageConsumer(name, desk, handler, options, order)
    try consumer.open(name, options)
    return consumer
  }

  private func consume(_ queue: String, _ options: ConsumeOptions, _ body: RegisteredHandler.Body) throws -> MessageConsumer {
    let handler = RegisteredHandler(name: "consumer", blocking: options.isBlocking, body)
    return try open(queue, .own(desk.register(handler)), options)
  }

  // MARK: Bytes

  /// A function handles the messages of a queue; what it gives is the reply, where one is wanted. Throws as the one by name.
  @discardableResult
  public func consume<Reply: MessageReply>(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(),
    _ body: @escaping @Sendable (ReceivedMessage, TaskContext) throws -> Reply
  ) throws -> MessageConsumer {
    try consume(queue, options, .context { try body($0.ownMessage, $0).payload })
  }

  /// As above, without a reply: it is empty.
  @discardableResult
  public func consume(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(), _ body: @escaping @Sendable (ReceivedMessage, TaskContext) throws -> Void
  ) throws -> MessageConsumer {
    try consume(
      queue, options,
      .context {
        try body($0.ownMessage, $0)
        return .empty
      })
  }

  /// An asynchronous function handles them: a Swift task that holds a slot, and no thread while it waits. It is cancelled by `timeout`, and when the
  /// engine stops.
  @discardableResult
  public func consume<Reply: MessageReply>(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(),
    _ body: @escaping @Sendable (ReceivedMessage, TaskContext) async throws -> Reply
  ) throws -> MessageConsumer {
    try consume(queue, options, .asynchronous { try await body($0.ownMessage, $0).payload })
  }

  /// As above, without a reply: it is empty.
  @discardableResult
  public func consume(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(),
    _ body: @escaping @Sendable (ReceivedMessage, TaskContext) async throws -> Void
  ) throws -> MessageConsumer {
    try consume(
      queue, options,
      .asynchronous {
        try await body($0.ownMessage, $0)
        return .empty
      })
  }

  // MARK: Codable

  /// A typed function handles the messages of a queue, whose payloads are JSON, as its replies are. A payload that does not fit makes the message a
  /// dead letter (`bad-input`).
  @discardableResult
  public func consume<Input: Decodable & Sendable, Output: Encodable & Sendable>(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(), _ body: @escaping @Sendable (Input, TaskContext) throws -> Output
  ) throws -> MessageConsumer {
    try consume(queue, options, .context { try Payload(output: body(try $0.input(), $0)) })
  }

  /// As above, without a reply: it is empty.
  @discardableResult
  public func consume<Input: Decodable & Sendable>(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(), _ body: @escaping @Sendable (Input, TaskContext) throws -> Void
  ) throws -> MessageConsumer {
    try consume(
      queue, options,
      .context {
        try body(try $0.input(), $0)
        return .empty
      })
  }

  /// A typed asynchronous function handles them. See the one of bytes.
  @discardableResult
  public func consume<Input: Decodable & Sendable, Output: Encodable & Sendable>(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(), _ body: @escaping @Sendable (Input, TaskContext) async throws -> Output
  ) throws -> MessageConsumer {
    try consume(queue, options, .asynchronous { try Payload(output: await body(try $0.input(), $0)) })
  }

  /// As above, without a reply: it is empty.
  @discardableResult
  public func consume<Input: Decodable & Sendable>(
    _ queue: String, _ options: ConsumeOptions = ConsumeOptions(), _ body: @escaping @Sendable (Input, TaskContext) async throws -> Void
  ) throws -> MessageConsumer {
    try consume(
      queue, options,
      .asynchronous {
        try await body(try $0.input(), $0)
        return .empty
      })
  }
}

extension TaskContext {
  /// Of a consumer's own function, which is called for nothing else.
  fileprivate var ownMessage: ReceivedMessage {
    guard let message else { preconditionFailure("invariant broken: a consumer's function was called without a message") }
    return message
  }
}
