/// What is written together: there wholly after a crash, or not at all. Publishing has messages, acknowledging has settlements, a dead letter that moves has both.
@safe package struct JournalBatch {
  package var messages: UnsafeBufferPointer<JournalMessage>
  package var settlements: UnsafeBufferPointer<JournalSettlement>
  package var counts: UnsafeBufferPointer<JournalCount>

  /// Up to `JournalLimits.batch` of each, one at least in all.
  ///
  /// unsafe: what is pointed to is valid until the batch was given to a journal.
  @unsafe package init(
    messages: UnsafeBufferPointer<JournalMessage> = unsafe UnsafeBufferPointer(start: nil, count: 0),
    settlements: UnsafeBufferPointer<JournalSettlement> = unsafe UnsafeBufferPointer(start: nil, count: 0),
    counts: UnsafeBufferPointer<JournalCount> = unsafe UnsafeBufferPointer(start: nil, count: 0)
  ) {
    unsafe self.messages = messages
    unsafe self.settlements = settlements
    unsafe self.counts = counts
  }
}

/// A message for one or more durable queues, where it lies.
@safe package struct JournalMessage {
  /// Numbers of queues, each once, 1 at least.
  package var queues: UnsafeBufferPointer<UInt32>
  /// All that the broker knows of it besides, encoded by the broker: exchange, key, headers, deaths.
  package var properties: UnsafeRawBufferPointer
  package var payload: UnsafeRawBufferPointer
  /// Of the publisher's, by which a second one is recognised; without bytes: none.
  package var id: UnsafeRawBufferPointer
  /// When a second one is recognised no more: nanoseconds since 1970, UTC. Until then recovery gives the id back, wherever the message is. Of no meaning without an id.
  package var idExpiry: Int64
  /// When it expires, and when it may be delivered at first: nanoseconds since 1970, UTC; nil: never, and at once.
  package var expiry: Int64?
  package var due: Int64?
  package var priority: UInt8

  /// unsafe: what is pointed to is valid until the batch was given to a journal.
  @unsafe package init(
    queues: UnsafeBufferPointer<UInt32>, properties: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, priority: UInt8 = 0,
    expiry: Int64? = nil, due: Int64? = nil, id: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0),
    idExpiry: Int64 = 0
  ) {
    unsafe self.queues = queues
    unsafe self.properties = properties
    unsafe self.payload = payload
    self.priority = priority
    self.expiry = expiry
    self.due = due
    unsafe self.id = id
    self.idExpiry = idExpiry
  }
}

/// A message has left a durable queue. One that has left already, or never was there, is left out.
package struct JournalSettlement: Sendable, Equatable {
  /// How.
  package enum How: UInt8, Sendable, CaseIterable {
    case acknowledged, rejected, expired, maxLength, deliveryLimit, purged
    /// To where somebody has moved it: no dead letter.
    case moved

    package init(_ exit: QueueExit) {
      self =
        switch exit {
        case .acknowledged: .acknowledged
        case .rejected: .rejected
        case .expired: .expired
        case .maxLength: .maxLength
        case .deliveryLimit: .deliveryLimit
        case .purged: .purged
        case .moved: .moved
        }
    }
  }

  package var message: UInt64
  package var queue: UInt32
  package var how: How

  package init(_ message: UInt64, in queue: UInt32, _ how: How) {
    self.message = message
    self.queue = queue
    self.how = how
  }
}

/// How often a message that is still in a durable queue was delivered before, and how often it failed. Each only rises: less than what was written before changes nothing.
package struct JournalCount: Sendable, Equatable {
  package var message: UInt64
  package var queue: UInt32
  package var acquired: UInt16
  package var failed: UInt16

  package init(_ message: UInt64, in queue: UInt32, acquired: UInt16, failed: UInt16) {
    self.message = message
    self.queue = queue
    self.acquired = acquired
    self.failed = failed
  }
}
