// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMillraceEmbedding
internal import Millrace
internal import MillraceBroker
internal import Synchronization

// What millrace/millrace.h says of messages. Throughout, unsafe: the caller's memory is as the header says.

@c @implementation public func millrace_queue_declare(
  _ engine: millrace_engine, _ name: UnsafePointer<CChar>?, _ queue: UnsafePointer<millrace_queue>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let name = try BrokerName(unsafe Arguments.text(name, "name"))
    let configuration = try unsafe queue == nil ? QueueConfiguration() : QueueConfiguration(Arguments.read(queue, "queue"))
    _ = try embedded.engine.broker.declare(queue: name, configuration)
  }
}

extension QueueConfiguration {
  /// unsafe: the texts are as the header says.
  @unsafe fileprivate init(_ queue: millrace_queue) throws {
    self.init()
    let known = UInt32(MILLRACE_QUEUE_DURABLE | MILLRACE_QUEUE_REJECTS)
    let flags = unsafe queue.flags
    if flags & ~known != 0 { throw Failure(.badArgument, "queue.flags has unknown bits: 0x\(String(flags & ~known, radix: 16))") }
    isDurable = flags & UInt32(MILLRACE_QUEUE_DURABLE) != 0
    if flags & UInt32(MILLRACE_QUEUE_REJECTS) != 0 { overflow = .rejectPublish }
    if unsafe queue.max_messages != 0 { maxSize = unsafe Int(clamping: queue.max_messages) }
    if unsafe queue.max_bytes != 0 { maxBytes = unsafe Int(clamping: queue.max_bytes) }
    if unsafe queue.time_to_live != 0 { timeToLive = unsafe queue.time_to_live }
    if unsafe queue.lease != 0 { lease = unsafe queue.lease }
    if unsafe queue.delivery_limit != 0 { deliveryLimit = unsafe Int(queue.delivery_limit) }
    retryDelay = unsafe queue.retry_delay
    if let target = try unsafe Arguments.optionalText(queue.dead_letters, "queue.dead_letters") {
      deadLetters = .queue(try BrokerName(target))
    }
  }
}

@c @implementation public func millrace_queue_read(
  _ engine: millrace_engine, _ name: UnsafePointer<CChar>?, _ metrics: UnsafeMutablePointer<millrace_queue_metrics>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let name = try BrokerName(unsafe Arguments.text(name, "name"))
    try unsafe Arguments.fill(metrics, "metrics") {
      let now = try embedded.engine.broker.statistics(of: name)
      var figures = millrace_queue_metrics()
      figures.consumers = UInt32(clamping: now.consumers)
      figures.ready = UInt64(clamping: now.ready)
      figures.delayed = UInt64(clamping: now.delayed)
      figures.unacknowledged = UInt64(clamping: now.unacknowledged)
      figures.bytes = UInt64(clamping: now.bytes)
      figures.published = now.published
      figures.delivered = now.delivered
      figures.redelivered = now.redelivered
      return figures
    }
  }
}

@c @implementation public func millrace_exchange_declare(
  _ engine: millrace_engine, _ name: UnsafePointer<CChar>?, _ kind: UInt32, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let name = try BrokerName(unsafe Arguments.text(name, "name"))
    let kinds: [ExchangeKind] = [.direct, .fanout, .topic]
    guard kind < kinds.count else {
      throw Failure(.badArgument, "kind is \(kind): use MILLRACE_EXCHANGE_DIRECT, _FANOUT or _TOPIC")
    }
    try embedded.engine.broker.declare(exchange: name, kinds[Int(kind)])
  }
}

@c @implementation public func millrace_bind(
  _ engine: millrace_engine, _ exchange: UnsafePointer<CChar>?, _ key: UnsafePointer<CChar>?, _ queue: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let source = try BrokerName(unsafe Arguments.text(exchange, "exchange"))
    let target = try BrokerName(unsafe Arguments.text(queue, "queue"))
    _ = try embedded.engine.broker.bind(Binding(source, to: .queue(target), key: unsafe Arguments.text(key, "key")))
  }
}

@c @implementation public func millrace_publish(
  _ engine: millrace_engine, _ message: UnsafePointer<millrace_message>?, _ queues: UnsafeMutablePointer<UInt32>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let given = try unsafe Arguments.read(message, "message")
    let envelope = try unsafe envelope(given, embedded.engine)
    let bytes = try unsafe Arguments.bytes(given.payload, given.length, "message.payload", limit: BrokerConfiguration().largestMessage)
    let outcome: PublishOutcome
    do { outcome = try embedded.engine.publishAtOnce(bytes, envelope) } catch {
      embedded.counts.refused.wrappingAdd(1, ordering: .relaxed)
      throw error
    }
    var reached: UInt32 = 0
    if case .accepted(let count) = outcome {
      reached = UInt32(clamping: count)
      if count > 0 { embedded.counts.published.wrappingAdd(1, ordering: .relaxed) }
    }
    if let queues = unsafe queues { unsafe queues.pointee = reached }
  }
}

@c @implementation public func millrace_engine_request(
  _ engine: millrace_engine, _ message: UnsafePointer<millrace_message>?, _ timeout: UInt64,
  _ answer: UnsafeMutablePointer<millrace_bytes>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    try unsafe GivenBytes.fill(answer, "answer") {
      let given = try unsafe Arguments.read(message, "message")
      let envelope = try unsafe envelope(given, embedded.engine)
      if envelope.replyTo != nil || envelope.correlationID != nil {
        throw Failure(.badArgument, "message.reply_to and message.correlation of a request are the library's to set: leave them NULL")
      }
      if timeout == 0 { throw Failure(.badArgument, "timeout is 0: no answer can come in that time") }
      let bytes = try unsafe Arguments.bytes(given.payload, given.length, "message.payload", limit: BrokerConfiguration().largestMessage)
      try embedded.checkMayWait("millrace_engine_request")
      let received = try embedded.engine.requestHere(bytes, envelope, nanoseconds: timeout)
      return Payload(received.copy(), Payload.ContentType(rawValue: received.payloadType) ?? .bytes)
    }
  }
}

/// unsafe: the texts are as the header says.
@unsafe private func envelope(_ message: millrace_message, _ engine: Engine) throws -> Envelope {
  let key = try unsafe Arguments.text(message.key, "message.key")
  var envelope: Envelope
  if let exchange = try unsafe Arguments.optionalText(message.exchange, "message.exchange") {
    envelope = Envelope(to: try engine.exchangeID(exchange), key: key)
  } else {
    envelope = Envelope(to: try BrokerName(key))
  }
  let type = unsafe message.content_type
  guard let kind = Payload.ContentType(rawValue: type) else {
    throw Failure(.badArgument, "message.content_type is \(type): use MILLRACE_BYTES, _JSON or _TEXT")
  }
  switch kind {
  case .bytes: break
  case .json: envelope.contentType = "application/json"
  case .text: envelope.contentType = "text/plain"
  }
  let priority = unsafe message.priority
  if priority > 32 { throw Failure(.badArgument, "message.priority is \(priority): use 0 for normal, or 1 to 32") }
  if priority > 0 { envelope.priority = UInt8(priority - 1) }
  let flags = unsafe message.flags
  if flags & ~UInt32(MILLRACE_MESSAGE_TRANSIENT) != 0 {
    throw Failure(.badArgument, "message.flags has unknown bits: 0x\(String(flags, radix: 16))")
  }
  envelope.isPersistent = flags & UInt32(MILLRACE_MESSAGE_TRANSIENT) == 0
  envelope.delay = unsafe message.delay
  if unsafe message.time_to_live != 0 { envelope.timeToLive = unsafe message.time_to_live }
  envelope.messageID = try unsafe Arguments.optionalText(message.id, "message.id")
  envelope.correlationID = try unsafe Arguments.optionalText(message.correlation, "message.correlation")
  envelope.replyTo = try unsafe Arguments.optionalText(message.reply_to, "message.reply_to")
  envelope.tenant = try unsafe Arguments.optionalText(message.tenant, "message.tenant")
  envelope.headers = try unsafe headers(message)
  return envelope
}

/// unsafe: as above.
@unsafe private func headers(_ message: millrace_message) throws -> Headers {
  let count = Int(unsafe message.header_count)
  if count == 0 { return Headers() }
  if count > Int(MILLRACE_HEADERS) { throw Failure(.tooLarge, "message.header_count is \(count); \(MILLRACE_HEADERS) are taken") }
  guard let texts = unsafe message.headers else { throw Arguments.missing("message.headers") }
  var fields: [(String, HeaderValue)] = []
  for index in 0..<count {
    fields.append(
      (
        try unsafe Arguments.text(texts[2 * index], "the name of message.headers[\(index)]"),
        .text(try unsafe Arguments.text(texts[2 * index + 1], "the value of message.headers[\(index)]", limit: Envelope.maxPropertyBytes))
      ))
  }
  return try Headers(fields)
}

@c @implementation public func millrace_subscribe(
  _ engine: millrace_engine, _ queue: UnsafePointer<CChar>?, _ handler: UnsafePointer<millrace_handler>?,
  _ options: UnsafePointer<millrace_subscribe_options>?, _ subscription: UnsafeMutablePointer<millrace_subscription>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let embedded = try HandleTable.shared.find(engine.id, EmbeddedEngine.self)
    let place = try unsafe Arguments.place(subscription, "subscription")
    unsafe place.pointee.id = 0
    let queue = try unsafe Arguments.text(queue, "queue")
    let registered = try unsafe RegisteredHandler(foreign: handler)
    if !registered.hasGoodName { throw EngineError.badHandlerName(registered.name) }
    let wish = try unsafe options == nil ? millrace_subscribe_options() : Arguments.read(options, "options")
    var taking = ConsumeOptions()
    if wish.prefetch != 0 { taking.prefetch = Int(wish.prefetch) }
    taking.concurrency = Int(wish.concurrency)
    if wish.timeout != 0 { taking.timeout = .nanoseconds(Int64(clamping: wish.timeout)) }
    let consumer = try embedded.engine.consume(queue, by: registered, taking)
    do { unsafe place.pointee.id = try HandleTable.shared.add(EmbeddedSubscription(consumer, of: embedded)) } catch {
      consumer.close()
      throw error
    }
  }
}

@c @implementation public func millrace_unsubscribe(_ subscription: millrace_subscription, _ error: UnsafeMutablePointer<millrace_error>?)
  -> Int32
{
  unsafe perform(error) { try HandleTable.shared.remove(subscription.id, EmbeddedSubscription.self).consumer.close() }
}
