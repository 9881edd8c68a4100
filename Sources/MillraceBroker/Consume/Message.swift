internal import MillraceCore

/// A message as a consumer reads it: in place, where its publisher wrote it.
///
/// # Threads
/// Those of the delivery that it belongs to. What it leads to is there for as long as this value.
@safe public struct Message: ~Copyable {
  let block: MessageBlock
  let tag: QueueTag
  let consumer: UInt32
  let place: QueuePlace
  /// Of the queue that the delivery is of.
  let since: UInt64
  /// Earlier deliveries of it from this queue.
  public let acquiredCount: Int
  /// How many of those failed.
  public let failedCount: Int

  init(_ delivery: QueueDelivery, place: QueuePlace, since: UInt64) {
    // unsafe: the queue holds the message while it is delivered.
    block = unsafe MessageBlock(delivery.message)
    (tag, consumer) = (delivery.tag, delivery.consumer)
    (self.place, self.since) = (place, since)
    (acquiredCount, failedCount) = (Int(delivery.acquired), Int(delivery.failed))
  }

  /// Bytes of the payload.
  public var count: Int { block.bytes }
  /// 0 the lowest.
  public var priority: UInt8 { block.priority }
  /// It was delivered before.
  public var isRedelivered: Bool { acquiredCount > 0 }

  // unsafe: where the payload is, `count` bytes, for as long as this value.
  @usableFromInline var start: UnsafePointer<UInt8> { unsafe UnsafePointer(block.payload.assumingMemoryBound(to: UInt8.self)) }

  /// The payload, in place.
  @inlinable public func withBytes<Value, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> Value) throws(Failure) -> Value {
    // unsafe: the block is held for as long as this value, and has so many bytes.
    let bytes = unsafe Span(_unsafeStart: start, count: count)
    return try body(bytes)
  }

  /// The payload, in place, for code that takes pointers. unsafe: valid until the delivery is settled.
  @unsafe public var payload: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: block.payload, count: block.bytes) }

  /// A copy of the payload.
  public func copy() -> [UInt8] { unsafe Array(payload) }

  private var properties: MessageProperties { unsafe MessageProperties(block) }

  /// By which it was published; what is published to a queue itself has the queue's name.
  public var key: String { properties.text(.key) ?? place.name(since: since) }
  /// See `Envelope.messageID`.
  public var messageID: String? { properties.text(.messageID) }
  /// See `Envelope.correlationID`.
  public var correlationID: String? { properties.text(.correlationID) }
  /// See `Envelope.replyTo`.
  public var replyTo: String? { properties.text(.replyTo) }
  /// See `Envelope.contentType`.
  public var contentType: String? { properties.text(.contentType) }
  /// See `Envelope.type`.
  public var type: String? { properties.text(.type) }
  /// See `Envelope.tenant`.
  public var tenant: String? { properties.text(.tenant) }
  /// See `Envelope.trace`.
  public var trace: String? { properties.text(.trace) }
  /// See `Envelope.timestamp`.
  public var timestamp: Int64? {
    unsafe properties[.timestamp].flatMap { unsafe $0.count == 8 ? $0.loadUnaligned(as: Int64.self) : nil }
  }
  /// See `Envelope.headers`.
  public var headers: Headers { unsafe properties[.headers].map { unsafe Headers(encoded: $0) } ?? Headers() }
  /// Where it died before, if it is a dead letter.
  public var deaths: Deaths { block.deaths }
}

extension MessageBlock {
  /// Where it died before.
  var deaths: Deaths {
    // unsafe: copied while the caller holds the block.
    guard let encoded = unsafe MessageProperties(self)[.deaths] else { return Deaths() }
    guard let deaths = unsafe Deaths(encoded: encoded) else { preconditionFailure("invariant broken: deaths that we did not write") }
    return deaths
  }
}

/// What a consumer says of a message. Times are nanoseconds.
public enum Settlement: Sendable, Hashable {
  /// Done.
  case acknowledge
  /// It failed: again after a time, or after the queue's own. Charges a failure.
  case retry(after: UInt64?)
  /// It failed for good: it is a dead letter. Charges a failure.
  case reject
  /// Handed back, perhaps for later, and nothing failed. Charges nothing.
  case release(after: UInt64)

  var inQueue: QueueSettlement {
    switch self {
    case .acknowledge: .acknowledge
    case .retry(let after): .retry(after: after)
    case .reject: .reject
    case .release(let after): .release(after: after)
    }
  }
}

/// Why a delivery cannot be settled. The queue goes on.
public enum SettleError: Error, Sendable, Hashable, CustomStringConvertible {
  /// It was settled before, or never was.
  case unknownDelivery
  /// It is in the hands of another consumer.
  case notYours
  /// Its lease was over, or its consumer closed: the message was given back, and others may have it.
  case takenBack
  /// Its queue was deleted, and the message with it.
  case queueDeleted

  public var description: String {
    switch self {
    case .unknownDelivery: "there is no such delivery: it was settled before, or never was"
    case .notYours: "the delivery is another consumer's"
    case .takenBack: "the message was taken back, as the lease was over or the consumer closed: extend leases in time, or make them longer"
    case .queueDeleted: "the queue was deleted meanwhile, and the message with it"
    }
  }
}
