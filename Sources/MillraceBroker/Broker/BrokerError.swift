/// Why a broker does not do what it was asked for. Nothing was changed.
public enum BrokerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Of exchanges, queues' names and bindings.
  case routing(RoutingError)
  /// There is no queue of this name.
  case noQueue(BrokerName)
  /// There is one of this name, and it is not as it was asked for.
  case different(BrokerName, attribute: String, is: String, asked: String)
  /// What is wrong with a configuration.
  case configuration(String)
  /// It still has messages or consumers, and was to be deleted only if it has none.
  case inUse(BrokerName, messages: Int, consumers: Int)
  /// Another consumer has the queue to itself, or there are others and it was asked for alone.
  case exclusive(BrokerName)
  /// A number is out of bounds.
  case outOfRange(name: String, value: Int, least: Int, most: Int)
  /// The system refused memory.
  case memory(bytes: Int)
  /// It has no scheduler, so nothing can be consumed by jobs.
  case noScheduler
  /// The scheduler has no room for another handler.
  case handlers
  /// It was closed.
  case closed
  /// A durable queue was to be declared, and nothing outlives this broker.
  case noJournal(BrokerName)
  /// What durable queues keep could not be kept.
  case journal(String)

  public var description: String {
    switch self {
    case .routing(let error): error.description
    case .noQueue(let name): "there is no queue '\(name)': declare it first"
    case .different(let name, let attribute, let actual, let asked):
      "queue '\(name)' exists with \(attribute) \(actual), not \(asked): declare it as it is, or delete it first"
    case .configuration(let fault): fault
    case .inUse(let name, let messages, let consumers):
      "queue '\(name)' has \(messages) messages and \(consumers) consumers: wait for them, or delete it unconditionally"
    case .exclusive(let name):
      "queue '\(name)' has a consumer that is, or would have to be, the only one: close the others, or ask without `exclusive`"
    case .outOfRange(let name, let value, let least, let most): "\(name) is \(value), but must be \(least) to \(most)"
    case .memory(let bytes): "the system refused \(bytes) bytes of memory: lower BrokerConfiguration's limits or raise the memory limit"
    case .noScheduler: "this broker has no scheduler to run consumers on: take it from an engine, or receive by a `Receiver`"
    case .handlers: "the scheduler has no room for another handler: close consumers that are no longer used"
    case .closed: "the broker was closed"
    case .noJournal(let name):
      "queue '\(name)' cannot be durable: this broker keeps nothing over a restart. Give the engine a directory (`data`), or declare the queue without `isDurable`"
    case .journal(let why): "the journal of durable queues: \(why)"
    }
  }
}

/// Why a message was not taken: it is its publisher's still.
public enum PublishRefusal: Error, Sendable, Equatable, CustomStringConvertible {
  /// No queue wants it: the exchange has no binding that matches, nor has its alternate.
  case unroutable
  /// A queue is full, and does not make room. It goes to all of its queues or to none.
  case full(queue: BrokerName)
  /// The exchange or the key is none.
  case route(RouteRefusal)
  /// A payload has so many bytes at most.
  case tooLarge(bytes: Int, most: Int)
  /// Properties, the key included, have `Envelope.maxPropertyBytes` at most.
  case properties(bytes: Int)
  /// All memory for messages is in use.
  case memory(capacity: Int)
  /// As many messages are on their way to the disk as may be.
  case busy
  /// Another message of the same id is being published: if that is taken, this one is a duplicate.
  case underWay
  /// The broker was closed.
  case closed
  /// What durable queues keep could not be kept.
  case journal(String)

  public var description: String {
    switch self {
    case .unroutable: "no queue is bound for this key: bind one, or give the exchange an alternate"
    case .full(let queue): "queue '\(queue)' is full: publish again when it has room (`waitForRoom`), or raise its maxSize or maxBytes"
    case .route(let refusal): refusal.description
    case .tooLarge(let bytes, let most): "the payload has \(bytes) bytes; \(most) are allowed: keep it in a file, and publish its name"
    case .properties(let bytes):
      "the properties have \(bytes) bytes; \(Envelope.maxPropertyBytes) are allowed together: put them into the payload"
    case .memory(let capacity):
      "all \(capacity) bytes for messages are in use: publish again later, or raise BrokerConfiguration.messageBytes"
    case .busy: "as many messages are on their way to the disk as may be: publish again when some are confirmed"
    case .underWay: "a message of the same id is being published: publish again, and it is a duplicate if that one was taken"
    case .closed: "the broker was closed"
    case .journal(let why): "the journal of durable queues: \(why)"
    }
  }
}
