/// Is told at recovery of what is there. What is pointed to is valid within a call.
package protocol JournalVisitor {
  /// The id of a message whose window is not over, which may have left its queues long ago. The same id may come several times.
  mutating func seen(_ id: UnsafeRawBufferPointer, until: Int64)
  mutating func declared(_ definition: DurableDefinition)
  /// A message, once, with all queues where it is. Messages come by their numbers, so that those of each queue come in its order.
  mutating func message(_ message: RecoveredMessage)
}

/// A message that is still in durable queues.
@safe package struct RecoveredMessage {
  /// One queue where it is.
  package struct Place: Sendable, Equatable {
    package var queue: UInt32
    /// The highest that were written.
    package var acquired: UInt16
    package var failed: UInt16
    /// It may have been in somebody's hands: it was delivered before, as its count says, or there was a stop since it was published that was not a clean one.
    package var isRedelivered: Bool

    package init(queue: UInt32, acquired: UInt16, failed: UInt16, isRedelivered: Bool) {
      self.queue = queue
      self.acquired = acquired
      self.failed = failed
      self.isRedelivered = isRedelivered
    }
  }

  package var number: UInt64
  /// By their numbers.
  package var places: UnsafeBufferPointer<Place>
  package var properties: UnsafeRawBufferPointer
  package var payload: UnsafeRawBufferPointer
  /// As `JournalMessage.id`.
  package var id: UnsafeRawBufferPointer
  package var idExpiry: Int64
  package var expiry: Int64?
  package var due: Int64?
  package var priority: UInt8

  /// unsafe: what is pointed to is valid as long as the value is used.
  @unsafe package init(
    number: UInt64, places: UnsafeBufferPointer<Place>, properties: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer,
    id: UnsafeRawBufferPointer, idExpiry: Int64, expiry: Int64?, due: Int64?, priority: UInt8
  ) {
    self.number = number
    unsafe self.places = places
    unsafe self.properties = properties
    unsafe self.payload = payload
    unsafe self.id = id
    self.idExpiry = idExpiry
    self.expiry = expiry
    self.due = due
    self.priority = priority
  }
}

/// What recovery has found.
package struct JournalRecovery: Sendable, Equatable {
  /// The last stop was a clean one, or the journal is new.
  package var wasClean: Bool
  /// Messages that were given, and places of these in queues.
  package var messages: Int
  package var places: Int
  /// The least number that a new queue may have.
  package var nextQueue: UInt32
  /// Numbers of messages to come are at least this.
  package var nextMessage: UInt64

  package init(wasClean: Bool, messages: Int, places: Int, nextQueue: UInt32, nextMessage: UInt64) {
    self.wasClean = wasClean
    self.messages = messages
    self.places = places
    self.nextQueue = nextQueue
    self.nextMessage = nextMessage
  }
}

/// Why a journal cannot be opened or recovered.
package enum JournalError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is stored is not what was written, from this position on: it is not served.
  case damaged(position: UInt64, String)
  /// A later version wrote this.
  case unknownFormat(position: UInt64, String)
  /// The storage refused, or a setting cannot be.
  case storage(String)
  /// Another process has it.
  case inUse(String)

  package var description: String {
    switch self {
    case .damaged(let position, let text): "the journal of queues is damaged at position \(position): \(text). Restore a backup"
    case .unknownFormat(let position, let text):
      "the journal of queues has at position \(position) what this version does not know: \(text). Use a later version of millrace"
    case .storage(let text), .inUse(let text): text
    }
  }
}
