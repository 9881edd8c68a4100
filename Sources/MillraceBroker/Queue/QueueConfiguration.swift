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
    if lease == 0 { return "lease is 0: a message would be taken back as soon as it is given: use 1 ns or more, or none" }
    return nil
  }
}
