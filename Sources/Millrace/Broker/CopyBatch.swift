internal import MillraceBroker

/// Messages and ids that are to be written again.
struct CopyBatch {
  private var messages: [UInt8] = []
  private var seen: [UInt8] = []
  private var messageCount = 0
  private var seenCount = 0

  var isEmpty: Bool { messageCount == 0 && seenCount == 0 }
  var seenBytes: Int { seen.count }
  /// Of the record.
  var bytes: Int { JournalRecord.batchHeader + messages.count + seen.count }

  mutating func add(_ message: StoredMessage, _ places: [JournalCount], source: UInt64) {
    let bytes = unsafe JournalRecord.padded(
      JournalRecord.messageFixed + 16 + 8 * places.count + message.id.count + message.properties.count + message.payload.count)
    unsafe messages.append(
      contentsOf: [UInt8](unsafeUninitializedCapacity: bytes) { buffer, count in
        var writer = unsafe RecordWriter(buffer.baseAddress!, room: bytes)
        writer.put(copy: message, places, source: source)
        count = writer.used
      })
    messageCount += 1
  }

  mutating func add(_ id: UnsafeRawBufferPointer, until: Int64) {
    let bytes = JournalRecord.seenFixed + JournalRecord.padded(id.count)
    unsafe seen.append(
      contentsOf: [UInt8](unsafeUninitializedCapacity: bytes) { buffer, count in
        var writer = unsafe RecordWriter(buffer.baseAddress!, room: bytes)
        writer.put(until)
        writer.put(UInt32(id.count))
        writer.put(0 as UInt32)
        unsafe writer.put(bytes: id)
        writer.pad()
        count = writer.used
      })
    seenCount += 1
  }

  func put(_ writer: inout RecordWriter) {
    writer.putBatchHeader(messages: messageCount, settlements: 0, counts: 0, seen: seenCount)
    writer.put(bytes: messages)
    writer.put(bytes: seen)
  }

  mutating func removeAll() {
    messages.removeAll(keepingCapacity: true)
    seen.removeAll(keepingCapacity: true)
    messageCount = 0
    seenCount = 0
  }
}

extension RecordWriter {
  fileprivate mutating func put(copy message: StoredMessage, _ places: [JournalCount], source: UInt64) {
    var flags: JournalRecord.MessageFlags = [.isCopy]
    if message.expiry != nil { flags.insert(.expires) }
    if message.due != nil { flags.insert(.isDelayed) }
    if unsafe !message.id.isEmpty { flags.insert(.hasID) }
    put(message.number)
    put(message.expiry ?? 0)
    put(message.due ?? 0)
    unsafe put(UInt32(message.payload.count))
    unsafe put(UInt32(message.properties.count))
    put(UInt16(places.count))
    unsafe put(UInt16(message.id.count))
    put(message.priority)
    put(flags.rawValue)
    put(0 as UInt16)
    if flags.contains(.hasID) { put(message.idExpiry) }
    put(source)
    for place in places {
      put(place.queue)
      put(place.acquired)
      put(place.failed)
    }
    unsafe put(bytes: message.id)
    unsafe put(bytes: message.properties)
    unsafe put(bytes: message.payload)
    pad()
  }
}
