/// Where a message died, how often, and why: newest first, one entry for each queue and reason.
///
/// What came first is never overwritten, so that whoever finds the message in the end sees where its way began.
///
/// # Source
/// RabbitMQ's documentation of dead letter exchanges, and its `x-death` header.
public struct Deaths: Sendable, Hashable {
  /// All deaths in one queue for one reason.
  public struct Death: Sendable, Hashable {
    /// Where it died.
    public let queue: String
    /// Why.
    public let reason: QueueExit
    /// How often.
    public internal(set) var count: UInt64
    /// Of the first one, nanoseconds since 1970.
    public let time: Int64
    /// Where it had been published before the first one.
    public let exchange: String
    /// By which keys.
    public let routingKeys: [String]
    /// Time to live of its own that it had before the first one, nanoseconds; nil: none. A dead letter has none, so that it does not die of it again.
    public let originalExpiration: UInt64?
  }

  /// How a message came back from among the dead letters.
  public struct Redrives: Sendable, Hashable {
    /// How often.
    public internal(set) var count: UInt64
    /// The last time, nanoseconds since 1970.
    public internal(set) var time: Int64
    /// The queue that it was taken from then.
    public internal(set) var queue: String
    /// By whom.
    public internal(set) var by: String
  }

  /// Queues and reasons of one message, at most; the oldest but the first go.
  public static let most = 128

  /// Newest first.
  public private(set) var all: [Death] = []
  /// The first death of all.
  public private(set) var first: Death?
  /// nil: nobody has ever redriven it.
  public private(set) var redrives: Redrives?
  /// The first so many of `all` have been there since the last redrive, if there was one.
  private(set) var sinceRedrive = 0

  /// Of a message that lives.
  public init() {}

  init(first: Death?, all: [Death], redrives: Redrives?, sinceRedrive: Int) {
    (self.first, self.all, self.redrives, self.sinceRedrive) = (first, all, redrives, sinceRedrive)
  }

  /// Nobody has died, nor been redriven.
  var isEmpty: Bool { first == nil && redrives == nil }

  /// The last death of all; nil: it lives.
  public var last: Death? { all.first }

  /// It died. Complexity: O(entries).
  public mutating func add(
    _ reason: QueueExit, in queue: String, at time: Int64, exchange: String, routingKeys: [String], expiration: UInt64? = nil
  ) {
    if let index = all.firstIndex(where: { $0.queue == queue && $0.reason == reason }) {
      var death = all.remove(at: index)
      death.count += 1
      if index >= sinceRedrive { sinceRedrive += 1 }
      all.insert(death, at: 0)
    } else {
      if all.count == Deaths.most { all.removeLast() }
      all.insert(
        Death(
          queue: queue, reason: reason, count: 1, time: time, exchange: exchange, routingKeys: routingKeys, originalExpiration: expiration),
        at: 0)
      sinceRedrive = min(sinceRedrive + 1, Deaths.most)
    }
    if first == nil { first = all[0] }
  }

  /// Somebody has sent it on its way again: its deaths stay, but it has not gone round by itself.
  mutating func redrive(from queue: String, at time: Int64, by: String) {
    redrives = Redrives(count: (redrives?.count ?? 0) + 1, time: time, queue: queue, by: by)
    sinceRedrive = 0
  }

  /// Whether a message that just died, and is to go to a queue, goes round in circles by itself: it died there before, and since then neither a consumer has rejected it nor
  /// somebody redriven it. Such a message would go round for ever. Complexity: O(entries).
  public func isCycle(to queue: String) -> Bool {
    if last?.reason == .rejected { return false }
    guard let index = all.prefix(sinceRedrive).firstIndex(where: { $0.queue == queue }) else { return false }
    return !all[...index].contains { $0.reason == .rejected }
  }
}
