/// Why a message has left a queue.
public enum QueueExit: UInt8, Sendable, Hashable, CaseIterable {
  /// A consumer has done with it.
  case acknowledged
  /// A consumer will not have it, nor should another one.
  case rejected
  /// Its time to live is over.
  case expired
  /// The queue was full.
  case maxLength
  /// It failed too often.
  case deliveryLimit
  /// Somebody emptied the queue.
  case purged
  /// Somebody redrove it: it is where it was moved to.
  case moved

  /// It goes where the queue's dead letters go.
  public var isDeadLetter: Bool {
    switch self {
    case .rejected, .expired, .maxLength, .deliveryLimit: true
    case .acknowledged, .purged, .moved: false
    }
  }
}

/// A message as a queue knows it.
struct QueueMessage: Hashable {
  /// What the broker knows it by.
  var id: UInt64
  /// Of its payload.
  var bytes: UInt32 = 0
  /// 0 the lowest.
  var priority: UInt8 = 0
  /// When it expires at the latest, beside the queue's time to live; 0: never.
  var expiry: UInt64 = 0
  /// Not to be delivered before this; 0: at once.
  var due: UInt64 = 0
  /// Earlier deliveries, and how many of these failed: before the process began.
  var acquired: UInt16 = 0
  var failed: UInt16 = 0
}

/// A message in the hands of a consumer, or some of a run, which are all settled at once, or are taken apart before (`QueueMachine.unfold`). Good for one settlement.
struct QueueDelivery: Hashable {
  var consumer: UInt32
  var tag: QueueTag
  /// Or the address of the messages' numbers in the run, where `count` is not 0.
  var message: UInt64
  /// Deliveries before this one, and how many of these failed.
  var acquired: UInt16
  var failed: UInt16
  /// Of a run; 0: it is one message.
  var count: UInt16 = 0

  /// Messages.
  @inline(__always) var weight: Int { max(1, Int(count)) }
}

/// What a delivery is settled by: the place of the entry, and which of its deliveries it is.
struct QueueTag: Hashable {
  var entry: UInt32
  var generation: UInt32
}

/// A delivery that was taken back from its consumer, who does not know it yet; or that was settled with a later one, whose message its consumer may still read.
struct QueueLoss: Hashable {
  var consumer: UInt32
  var tag: QueueTag
  var message: UInt64
  /// When it was delivered, in units of `QueueEntries.tick`.
  var since: UInt32
  /// By its consumer, with a later one.
  var isSettled = false
}

/// A delivery in the hands of a consumer, for reports.
struct QueueHolding: Hashable {
  var consumer: UInt32
  var tag: QueueTag
  var message: UInt64
  var since: UInt32
  /// The last nanosecond of its lease; `UInt64.max`: none.
  var lease: UInt64
}

/// A message that has left the queue.
struct QueueDeparture: Hashable {
  var message: UInt64
  var exit: QueueExit
  var failed: UInt16
}

/// What a consumer says of a delivery.
enum QueueSettlement: Hashable {
  /// Done.
  case acknowledge
  /// It failed: again after a time, or after the queue's own. Charges a failure.
  case retry(after: UInt64?)
  /// It failed for good. Charges a failure.
  case reject
  /// Handed back, perhaps for later, and nothing failed. Charges nothing.
  case release(after: UInt64)
}

/// Why a queue refuses.
enum QueueRefusal: Error, Hashable {
  /// The tag's delivery was settled, taken back, or never was.
  case unknownDelivery
  /// It is in the hands of another consumer.
  case notYours
  case unknownConsumer
  case tooManyConsumers
  /// Another consumer has the queue to itself, or would have to leave.
  case exclusive
  case prefetch
  /// It has no room, and does not make any.
  case full
}
