internal import MillraceBroker
internal import MillraceLog

extension JournalRecord {
  /// All ids in a batch, of messages and by themselves.
  static func forEachID(_ payload: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer, Int64) -> Void) throws(RecordFault) {
    var reader = unsafe RecordReader(payload)
    let header = try BatchHeader(&reader)
    for _ in 0..<header.messages {
      let message = try StoredMessage(&reader)
      if unsafe !message.id.isEmpty { unsafe body(message.id, message.idExpiry) }
    }
    try reader.skip(header)
    for _ in 0..<header.seen {
      let seen = try StoredID(&reader)
      unsafe body(seen.id, seen.until)
    }
  }
}

extension RecordReader {
  /// Passes over settlements and counts.
  mutating func skip(_ header: BatchHeader) throws(RecordFault) {
    unsafe _ = try bytes(JournalRecord.settlementBytes * header.settlements + JournalRecord.countBytes * header.counts)
  }
}

/// Reads messages again from where they stand.
struct StoredMessages: ~Copyable {
  private var picker: EventPicker
  /// Of the event at hand, and its messages behind the last one that was found.
  private var version: UInt64?
  private var event: EventView?
  private var left = 0
  private var offset = 0

  init(_ log: EventLog, _ stream: StreamNumber) throws(EventStoreError) { picker = try EventPicker(log, stream) }

  /// Gives a message with the places where it is, which stand in one event, or in several if it was written again in part.
  mutating func give(
    _ entries: ArraySlice<LiveMessages.Entry>, redeliveredBelow: UInt64, wasClean: Bool, _ visitor: inout some JournalVisitor
  ) throws {
    let places = entries.map {
      RecoveredMessage.Place(
        queue: $0.queue, acquired: $0.acquired, failed: $0.failed,
        isRedelivered: $0.acquired > 0 || !wasClean || $0.message < redeliveredBelow)
    }
    let entry = entries.first!
    try open(entry.version)
    if try !find(entry.message, &visitor, places) {
      // Behind the last one, or not at all: from the beginning.
      version = nil
      try open(entry.version)
      guard try find(entry.message, &visitor, places) else {
        throw JournalError.damaged(position: entry.version, "message \(entry.message) is not where it was")
      }
    }
  }

  private mutating func open(_ wanted: UInt64) throws {
    if version == wanted { return }
    version = nil
    guard let view = try picker.event(wanted) else { throw JournalError.damaged(position: wanted, "it is missing") }
    event = view
    version = wanted
    left = try unsafe view.withPayload { payload in
      var reader = unsafe RecordReader(payload)
      return try BatchHeader(&reader).messages
    }
    offset = JournalRecord.batchHeader
  }

  private mutating func find(_ number: UInt64, _ visitor: inout some JournalVisitor, _ places: [RecoveredMessage.Place]) throws -> Bool {
    var (left, offset) = (self.left, self.offset)
    defer { (self.left, self.offset) = (left, offset) }
    return try unsafe event!.withPayload { payload in
      var reader = unsafe RecordReader(UnsafeRawBufferPointer(rebasing: payload[offset...]))
      while left > 0 {
        let message = try StoredMessage(&reader)
        left -= 1
        offset += message.bytes
        if message.number != number { continue }
        unsafe places.withUnsafeBufferPointer { places in
          unsafe visitor.message(
            RecoveredMessage(
              number: number, places: places, properties: message.properties, payload: message.payload, id: message.id,
              idExpiry: message.idExpiry, expiry: message.expiry, due: message.due, priority: message.priority))
        }
        return true
      }
      return false
    }
  }
}
