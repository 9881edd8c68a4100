/// Where dead letters go. It need not exist before it is needed; where it does not then, they are counted as lost.
public enum DeadLetterTarget: Sendable, Hashable {
  /// Into a queue: `dead_letter_queue`.
  case queue(BrokerName)
  /// To an exchange, by a key; nil: by the keys that the message had.
  case exchange(BrokerName, key: String? = nil)
}

/// How a queue behaves. Durations are nanoseconds.
public struct QueueConfiguration: Sendable, Hashable {
  /// What happens to a message for which there is no room.
  public enum Overflow: Sendable, Hashable, CaseIterable {
    /// The oldest message of the lowest priority makes room, and is dead-lettered as `maxLength`; it may be the new one.
    case dropHead
    /// The publisher keeps it.
    case rejectPublish
    /// As `rejectPublish`, and a copy is dead-lettered as `maxLength`.
    case rejectPublishDeadLetter
  }

  /// 1 to 32 priorities, 0 the lowest; higher ones of messages are taken for the highest.
  public var priorities = 4
  /// Messages that are ready, at most; delayed ones count, those that consumers hold do not.
  public var maxSize = Int.max
  /// Bytes of their payloads, at most.
  public var maxBytes = Int.max
  /// What happens to a message that would be too much.
  public var overflow = Overflow.dropHead
  /// Of each message from its arrival on; a message's own counts if it is shorter. nil: none.
  public var timeToLive: UInt64?
  /// Failed deliveries of a message before it is dead-lettered as `deliveryLimit`; nil: any number.
  public var deliveryLimit: Int? = 20
  /// How long a message waits that a consumer gives back to be tried again: this times its failed deliveries, `longestRetry` at most; 0: not at all.
  public var retryDelay: UInt64 = 0
  /// How long such a message waits at most.
  public var longestRetry: UInt64 = 60_000_000_000
  /// How long a consumer may hold a message before it is given to another one, unless it asks for more; nil: for ever.
  public var lease: UInt64?
  /// One consumer gets all, the one that has been there for longest.
  public var isSingleActive = false
  /// One consumer at most.
  public var isExclusive = false
  /// It and its persistent messages outlive the process, where the broker has a journal.
  public var isDurable = false
  /// Where messages go that were rejected, expired, had no room or failed too often; nil: nowhere, and they are counted.
  public var deadLetters: DeadLetterTarget?

  /// Four priorities, no bounds, and 20 failed deliveries of a message.
  public init() {}

  /// Bounds of what may be said here.
  enum Bounds {
    static let priorities = 1...32
    /// Entries of all states that one queue holds.
    static let entries = 1 << 31 - 1
    static let consumers = 65_536
    static let prefetch = 65_535
  }

  /// The first member that is out of bounds, in words; nil: none is.
  public var fault: String? {
    if !Bounds.priorities.contains(priorities) { return "priorities is \(priorities): use 1 to 32" }
    if maxSize < 1 { return "maxSize is \(maxSize): use 1 or more" }
    if maxBytes < 1 { return "maxBytes is \(maxBytes): use 1 or more" }
    if let deliveryLimit, deliveryLimit < 1 { return "deliveryLimit is \(deliveryLimit): use 1 or more, or none" }
    if case .exchange(_, let key?) = deadLetters, key.utf8.count > RoutingKey.maxBytes {
      return "the key of dead letters has \(key.utf8.count) bytes: use \(RoutingKey.maxBytes) at most"
    }
    if lease == 0 { return "lease is 0: a message would be taken back as soon as it is given: use 1 ns or more, or none" }
    return nil
  }

  /// The first member that is not the same, in words: its name, its value here, its value there.
  func difference(from other: QueueConfiguration) -> (attribute: String, is: String, asked: String)? {
    func text(_ value: some Any) -> String { "\(value)" }
    func text<Value>(_ value: Value?) -> String { value.map { "\($0)" } ?? "none" }
    let members: [(String, (QueueConfiguration) -> String)] = [
      ("priorities", { text($0.priorities) }), ("maxSize", { text($0.maxSize) }), ("maxBytes", { text($0.maxBytes) }),
      ("overflow", { text($0.overflow) }), ("timeToLive", { text($0.timeToLive) }), ("deliveryLimit", { text($0.deliveryLimit) }),
      ("retryDelay", { text($0.retryDelay) }), ("longestRetry", { text($0.longestRetry) }), ("lease", { text($0.lease) }),
      ("isSingleActive", { text($0.isSingleActive) }), ("isExclusive", { text($0.isExclusive) }), ("isDurable", { text($0.isDurable) }),
      ("deadLetters", { text($0.deadLetters) }),
    ]
    for (name, value) in members where value(self) != value(other) { return (name, value(self), value(other)) }
    return nil
  }
}
