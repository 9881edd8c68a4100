internal import MillraceCore
internal import Synchronization

/// A message that was delivered, in place for as long as somebody has this, whatever becomes of the delivery. Settled once; if nobody does, it goes
/// back to its queue with the last reference.
///
/// # Threads
/// Any.
/// # Fields
/// `delivery`: of whoever has set `said` first.
@safe public final class ReceivedMessage: @unchecked Sendable {
  private let broker: Broker
  private let message: Message
  private var delivery: Delivery?
  private let said = Atomic<Bool>(false)

  /// The delivery is this object's from here on.
  public init(_ delivery: consuming Delivery) {
    broker = delivery.broker
    message = delivery.message.copied()
    message.block.retain()
    self.delivery = consume delivery
  }

  deinit { broker.spaces.release(message.block) }

  /// Settles it, once. Throws `SettleError`: it was settled before, was taken back, or its queue was deleted.
  public func settle(_ settlement: Settlement) throws(SettleError) {
    // Order: acquiring and releasing. Pairs with itself: one caller takes the delivery.
    if said.exchange(true, ordering: .acquiringAndReleasing) { throw .unknownDelivery }
    guard let delivery = delivery.take() else { throw .unknownDelivery }
    try delivery.settle(settlement)
  }

  /// Somebody has settled it, or is about to.
  public var isSettled: Bool {
    // Order: relaxed. A flag by itself: who acts on it calls `settle`.
    said.load(ordering: .relaxed)
  }

  /// It is done. Throws as `settle`.
  public func acknowledge() throws(SettleError) { try settle(.acknowledge) }

  /// May be held for so many nanoseconds from now on. Throws `SettleError`.
  public func extend(nanoseconds: UInt64) throws(SettleError) {
    if let failure = broker.extend(message.place, message.since, message.tag, of: message.consumer, nanoseconds) { throw failure }
  }

  /// Bytes of the payload.
  public var count: Int { message.count }
  /// The payload, in place.
  public func withBytes<Value, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> Value) throws(Failure) -> Value {
    try message.withBytes(body)
  }
  /// The payload, in place, for code that takes pointers. unsafe: as long as this object.
  @unsafe public var payload: UnsafeRawBufferPointer { unsafe message.payload }
  /// A copy of the payload.
  public func copy() -> [UInt8] { message.copy() }

  /// Earlier deliveries of it from this queue.
  public var acquiredCount: Int { message.acquiredCount }
  /// How many of those failed.
  public var failedCount: Int { message.failedCount }
  /// It was delivered before.
  public var isRedelivered: Bool { message.isRedelivered }
  /// 0 the lowest.
  public var priority: UInt8 { message.priority }
  /// By which it was published; what is published to a queue itself has the queue's name.
  public var key: String { message.key }
  /// That it was published to; empty: to the queue itself, or the exchange is not there any more. Complexity: O(1), with a lock of the routing table.
  public var exchange: String {
    message.block.exchange == .default ? "" : broker.router.name(of: message.block.exchange)?.description ?? ""
  }
  /// See `Envelope`, as those below.
  public var messageID: String? { message.messageID }
  /// What it answers, or what its answer is to name.
  public var correlationID: String? { message.correlationID }
  /// The queue that an answer is wanted in.
  public var replyTo: String? { message.replyTo }
  /// Of the payload, as MIME has it.
  public var contentType: String? { message.contentType }
  /// What kind of message it is, in the application's words.
  public var type: String? { message.type }
  /// On whose behalf.
  public var tenant: String? { message.tenant }
  /// W3C `traceparent`.
  public var trace: String? { message.trace }
  /// When it was made, nanoseconds since 1970.
  public var timestamp: Int64? { message.timestamp }
  /// The application's.
  public var headers: Headers { message.headers }
  /// Where it died before, if it is a dead letter.
  public var deaths: Deaths { message.deaths }
}

extension Message {
  /// Of the same delivery.
  fileprivate borrowing func copied() -> Message {
    Message(
      QueueDelivery(
        consumer: consumer, tag: tag, message: block.number, acquired: UInt16(clamping: acquiredCount),
        failed: UInt16(clamping: failedCount)),
      place: place, since: since)
  }
}
