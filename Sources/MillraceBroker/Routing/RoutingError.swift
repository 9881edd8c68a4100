/// Why exchanges, queues or bindings stay as they are. Nothing was changed.
public enum RoutingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong with a name.
  case name(String, String)
  /// What is wrong with a binding's key, from which byte on (counted from 1).
  case key(String, byte: Int, String)
  /// What is wrong with a header or an argument of this name.
  case header(String, String)
  /// None of this name was declared.
  case noExchange(BrokerName)
  /// None of this name was added.
  case noQueue(BrokerName)
  /// There is one with this name already, and its `attribute` is another.
  case different(BrokerName, attribute: String, is: String, asked: String)
  /// There is one of this name.
  case queueExists(BrokerName)
  /// This number is another queue's, or above what the router was made for.
  case queueNumber(UInt32)
  /// It has bindings, and was to be deleted only if it has none.
  case inUse(BrokerName)
  /// There are as many as the router was made for.
  case full(String, limit: Int)
  /// The system refused memory.
  case memory(bytes: Int)

  public var description: String {
    switch self {
    case .name(let name, let why): "'\(name)' cannot name an exchange or a queue: \(why)"
    case .key(let key, let byte, let why): "binding key '\(key)', byte \(byte): \(why)"
    case .header(let name, let why): "header '\(name)': \(why)"
    case .noExchange(let name): "there is no exchange '\(name)': declare it first"
    case .noQueue(let name): "there is no queue '\(name)': declare it first"
    case .different(let name, let attribute, let actual, let asked):
      "exchange '\(name)' exists with \(attribute) \(actual), not \(asked): declare it as it is, or delete it first"
    case .queueExists(let name): "there is a queue '\(name)' already"
    case .queueNumber(let number): "queue number \(number) is in use, or not below RoutingLimits.queues"
    case .inUse(let name): "exchange '\(name)' has bindings: remove them first, or delete it unconditionally"
    case .full(let what, let limit): "there are \(limit) \(what) already: remove some, or raise RoutingLimits.\(what)"
    case .memory(let bytes): "the system refused \(bytes) bytes of memory"
    }
  }
}

/// Why a message was not routed at all.
public enum RouteRefusal: Error, Sendable, Equatable, CustomStringConvertible {
  /// The exchange was deleted, or never was.
  case noExchange
  /// Only other exchanges may send to it.
  case isInternal
  /// A routing key has 255 bytes at most.
  case keyTooLong(bytes: Int)
  /// Not a topic that MQTT allows, from which byte on (counted from 1).
  case topic(byte: Int)
  /// The buffer is too small for the queues, of which there are so many. It holds the first of them.
  case buffer(needed: Int)

  public var description: String {
    switch self {
    case .noExchange: "there is no such exchange: it was deleted, or never declared"
    case .isInternal: "this exchange is internal: messages come to it from other exchanges only"
    case .keyTooLong(let bytes): "the routing key has \(bytes) bytes; \(RoutingKey.maxBytes) are allowed"
    case .topic(let byte): "byte \(byte) of the topic: a topic has 1 byte at least, and neither '+', '#' nor a zero byte"
    case .buffer(let needed): "the message goes to \(needed) queues: give a buffer for so many"
    }
  }
}
