/// Where messages go and what they say of themselves beside their payload. Made once for many messages.
public struct Envelope: Sendable, Hashable {
  /// Most bytes of all properties of a message together, the key included.
  public static let maxPropertyBytes = 65_536

  /// Where it is published; the default exchange leads to the queue of the key's name.
  public var exchange: ExchangeID
  /// By which the exchange chooses: 255 bytes at most.
  public var key: [UInt8] { didSet { encode() } }
  /// 0 the lowest; a queue takes higher ones than it has for its highest. 1 is normal.
  public var priority: UInt8 = 1
  /// Nanoseconds after which nobody wants it any more; nil: its queues say.
  public var timeToLive: UInt64?
  /// Nanoseconds before which nobody gets it.
  public var delay: UInt64 = 0
  /// Durable queues keep it over a restart, and it is confirmed when it is on stable storage.
  public var isPersistent = true
  /// By which it is told apart: a second one within the broker's window is not taken again.
  public var messageID: String? { didSet { encode() } }
  /// What it answers, or what its answer is to name.
  public var correlationID: String? { didSet { encode() } }
  /// The queue that an answer is wanted in.
  public var replyTo: String? { didSet { encode() } }
  /// Of the payload, as MIME has it.
  public var contentType: String? { didSet { encode() } }
  /// What kind of message it is, in the application's words.
  public var type: String? { didSet { encode() } }
  /// On whose behalf: consumers' jobs are charged to it.
  public var tenant: String? { didSet { encode() } }
  /// W3C `traceparent`.
  public var trace: String? { didSet { encode() } }
  /// When it was made, nanoseconds since 1970.
  public var timestamp: Int64? { didSet { encode() } }
  /// The application's; headers exchanges choose by them.
  public var headers = Headers() { didSet { encode() } }

  /// Key first, but for what is published to the default exchange in batches.
  private(set) var encoded: [UInt8] = []
  /// Bytes of `encoded` that are the key's.
  private(set) var keyBytes = 0

  /// To an exchange by a key.
  public init(to exchange: ExchangeID, key: String = "") {
    self.exchange = exchange
    self.key = Array(key.utf8)
    encode()
  }

  /// To a queue, by the default exchange.
  public init(to queue: BrokerName) { self.init(to: .default, key: queue.description) }

  /// What all of its messages have. A time to live of 0 is 1 nanosecond: 0 says that there is none.
  var traits: MessageBlock.Traits {
    MessageBlock.Traits(
      flags: isPersistent ? .isPersistent : [], priority: priority, timeToLive: timeToLive.map { max($0, 1) } ?? 0, exchange: exchange)
  }

  private mutating func encode() {
    encoded.removeAll(keepingCapacity: true)
    MessageProperties.append(.key, key, to: &encoded)
    keyBytes = encoded.count
    append(.messageID, messageID)
    append(.correlationID, correlationID)
    append(.replyTo, replyTo)
    append(.contentType, contentType)
    append(.type, type)
    append(.tenant, tenant)
    append(.trace, trace)
    if let timestamp { append(.timestamp, UInt64(bitPattern: timestamp)) }
    if !headers.encoded.isEmpty { MessageProperties.append(.headers, headers.encoded, to: &encoded) }
  }

  private mutating func append(_ tag: MessageProperties.Tag, _ word: UInt64) {
    MessageProperties.append(tag, (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }, to: &encoded)
  }

  private mutating func append(_ tag: MessageProperties.Tag, _ text: String?) {
    if let text { MessageProperties.append(tag, text.utf8, to: &encoded) }
  }
}
