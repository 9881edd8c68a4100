internal import MillraceBroker

/// What the events of a journal hold. Little-endian; parts are padded with zeros to a multiple of 8.
///
/// | Event | Payload |
/// |---|---|
/// | `queue-batch` | messages (4), settlements (4), counts (4), ids seen (4), then these in this order |
/// | `queue-definitions` | changes (4), zero (4), then these |
/// | `queue-state` | numbers of messages to come are at least this (8), messages with lower numbers are redelivered (8), the next queue's number at least (4), zero (4) |
///
/// A message: number (8), expiry (8), due (8), bytes of payload (4) and properties (4), queues (2), bytes of its id (2), priority (1), flags (1), zero (2); with an id when it is known no more
/// (8); of a copy where it was before (8); each queue (4; of a copy with counts 4 more: acquired 2, failed 2); id, properties, payload.
/// A settlement: message (8), queue (4), how (1), zero (3). A count: message (8), queue (4), acquired (2), failed (2). An id seen: until (8), bytes (4), zero (4), the id.
/// A change: kind (1), zero (3), bytes (4), of a copy and an undo a version (8), of a copy where it was declared (8), the change as `JournalChange.encoded`.
enum JournalRecord {
  static let batch = "queue-batch"
  static let definitions = "queue-definitions"
  static let state = "queue-state"
  static let typeVersion: UInt16 = 1

  static let batchHeader = 16
  static let messageFixed = 40
  static let settlementBytes = 16
  static let countBytes = 16
  static let seenFixed = 16
  static let changesHeader = 8
  static let changeFixed = 24
  static let stateBytes = 24

  struct MessageFlags: OptionSet {
    let rawValue: UInt8
    static let expires = MessageFlags(rawValue: 1)
    static let isDelayed = MessageFlags(rawValue: 2)
    static let hasID = MessageFlags(rawValue: 4)
    /// Written before, further ahead: what is still alive of it.
    static let isCopy = MessageFlags(rawValue: 8)
    static let known = MessageFlags(rawValue: 15)
  }

  enum ChangeKind: UInt8 {
    case change
    /// Declared before, further ahead, in the event of this version.
    case copy
    /// The copy in the event of this version had been deleted when it was written.
    case undo
  }

  @inline(__always) static func padded(_ bytes: Int) -> Int { (bytes &+ 7) & ~7 }

  /// Bytes of a message that is no copy.
  @inline(__always) static func bytes(_ message: JournalMessage) -> Int {
    unsafe padded(
      messageFixed &+ (message.id.isEmpty ? 0 : 8) &+ 4 &* message.queues.count &+ message.id.count &+ message.properties.count
        &+ message.payload.count)
  }
}

/// Puts values into memory that has room for them.
@safe struct RecordWriter {
  private let base: UnsafeMutableRawPointer
  private(set) var used = 0
  private let room: Int

  /// unsafe: `room` bytes at `base` are the caller's alone, as long as it writes.
  @unsafe init(_ base: UnsafeMutableRawPointer, room: Int) {
    unsafe self.base = base
    self.room = room
  }

  @inline(__always) mutating func put<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
    precondition(used &+ MemoryLayout<Value>.size <= room, "invariant broken: a record was measured too short")
    unsafe base.storeBytes(of: value.littleEndian, toByteOffset: used, as: Value.self)
    used &+= MemoryLayout<Value>.size
  }

  /// unsafe: as a buffer is.
  @unsafe @inline(__always) mutating func put(bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, unsafe !bytes.isEmpty else { return }
    precondition(used &+ bytes.count <= room, "invariant broken: a record was measured too short")
    unsafe (base + used).copyMemory(from: source, byteCount: bytes.count)
    used &+= bytes.count
  }

  mutating func put(bytes: [UInt8]) { unsafe bytes.withUnsafeBytes { unsafe put(bytes: $0) } }

  @inline(__always) mutating func pad() { while used & 7 != 0 { put(0 as UInt8) } }

  mutating func putBatchHeader(messages: Int, settlements: Int, counts: Int, seen: Int) {
    put(UInt32(messages))
    put(UInt32(settlements))
    put(UInt32(counts))
    put(UInt32(seen))
  }

  @inline(__always) mutating func put(_ message: JournalMessage, number: UInt64) {
    var flags: JournalRecord.MessageFlags = message.expiry == nil ? [] : .expires
    if message.due != nil { flags.insert(.isDelayed) }
    if unsafe !message.id.isEmpty { flags.insert(.hasID) }
    put(number)
    put(message.expiry ?? 0)
    put(message.due ?? 0)
    unsafe put(UInt32(message.payload.count))
    unsafe put(UInt32(message.properties.count))
    unsafe put(UInt16(message.queues.count))
    unsafe put(UInt16(message.id.count))
    put(message.priority)
    put(flags.rawValue)
    put(0 as UInt16)
    if flags.contains(.hasID) { put(message.idExpiry) }
    for index in unsafe 0..<message.queues.count { unsafe put(message.queues[index]) }
    unsafe put(bytes: message.id)
    unsafe put(bytes: message.properties)
    unsafe put(bytes: message.payload)
    pad()
  }

  mutating func put(_ settlement: JournalSettlement) {
    put(settlement.message)
    put(settlement.queue)
    put(UInt32(settlement.how.rawValue))
  }

  mutating func put(_ count: JournalCount) {
    put(count.message)
    put(count.queue)
    put(count.acquired)
    put(count.failed)
  }

  mutating func put(_ change: WrittenChange) {
    let encoded = change.change.encoded
    put(UInt32(change.kind.rawValue))
    put(UInt32(encoded.count))
    put(change.source.version)
    put(change.source.origin)
    put(bytes: encoded)
    pad()
  }
}

/// A change that is to be written.
struct WrittenChange {
  var kind = JournalRecord.ChangeKind.change
  var source = CopySource(version: 0, origin: 0)
  var change: JournalChange

  /// Of the record.
  var bytes: Int { JournalRecord.changeFixed + JournalRecord.padded(change.encoded.count) }
}

/// Takes values out of memory. Throws `RecordFault` where there are none.
@safe struct RecordReader {
  private var rest: UnsafeRawBufferPointer

  /// unsafe: the bytes are there as long as the value, or what it gave, is used.
  @unsafe init(_ bytes: UnsafeRawBufferPointer) { unsafe rest = bytes }

  var count: Int { unsafe rest.count }
  var isEmpty: Bool { unsafe rest.isEmpty }

  @inline(__always) mutating func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = Value.self) throws(RecordFault)
    -> Value
  {
    guard unsafe rest.count >= MemoryLayout<Value>.size else { throw RecordFault("it ends too early") }
    let value = unsafe Value(littleEndian: rest.loadUnaligned(as: Value.self))
    unsafe rest = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<Value>.size...])
    return value
  }

  @inline(__always) mutating func bytes(_ count: Int) throws(RecordFault) -> UnsafeRawBufferPointer {
    guard unsafe rest.count >= count else { throw RecordFault("it ends too early") }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: rest[..<count])
    unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    return unsafe bytes
  }

  mutating func settlement() throws(RecordFault) -> JournalSettlement {
    let (message, queue, how) = (try number(UInt64.self), try number(UInt32.self), try number(UInt32.self))
    guard how <= UInt8.max, let how = JournalSettlement.How(rawValue: UInt8(how)) else { throw RecordFault("settled as \(how)") }
    return JournalSettlement(message, in: queue, how)
  }

  mutating func journalCount() throws(RecordFault) -> JournalCount {
    JournalCount(try number(), in: try number(), acquired: try number(), failed: try number())
  }
}

/// What is wrong with a record.
struct RecordFault: Error {
  let text: String
  init(_ text: String) { self.text = text }
}

/// How many parts of each kind a batch has.
struct BatchHeader {
  let messages: Int
  let settlements: Int
  let counts: Int
  let seen: Int

  init(_ reader: inout RecordReader) throws(RecordFault) {
    messages = Int(try reader.number(UInt32.self))
    settlements = Int(try reader.number(UInt32.self))
    counts = Int(try reader.number(UInt32.self))
    seen = Int(try reader.number(UInt32.self))
  }
}

/// A message where it lies in a record.
@safe struct StoredMessage {
  let number: UInt64
  let expiry: Int64?
  let due: Int64?
  let priority: UInt8
  let idExpiry: Int64
  /// Of a copy: the version of the event where it was before.
  let source: UInt64?
  let queueCount: Int
  private let queues: UnsafeRawBufferPointer
  let id: UnsafeRawBufferPointer
  let properties: UnsafeRawBufferPointer
  let payload: UnsafeRawBufferPointer
  /// All of it.
  let bytes: Int

  /// unsafe: as `RecordReader`.
  @inline(__always) init(_ reader: inout RecordReader) throws(RecordFault) {
    let before = reader.count
    number = try reader.number()
    let (expiry, due): (Int64, Int64) = (try reader.number(), try reader.number())
    let (payloadBytes, propertyBytes): (UInt32, UInt32) = (try reader.number(), try reader.number())
    let (queueCount, idBytes): (UInt16, UInt16) = (try reader.number(), try reader.number())
    priority = try reader.number()
    let flags = JournalRecord.MessageFlags(rawValue: try reader.number())
    guard flags.isSubset(of: .known) else { throw RecordFault("a message with flags \(flags.rawValue)") }
    _ = try reader.number(UInt16.self)
    self.expiry = flags.contains(.expires) ? expiry : nil
    self.due = flags.contains(.isDelayed) ? due : nil
    idExpiry = flags.contains(.hasID) ? try reader.number() : 0
    source = flags.contains(.isCopy) ? try reader.number() : nil
    self.queueCount = Int(queueCount)
    unsafe queues = try reader.bytes(Int(queueCount) * (source == nil ? 4 : 8))
    unsafe id = try reader.bytes(Int(idBytes))
    unsafe properties = try reader.bytes(Int(propertyBytes))
    unsafe payload = try reader.bytes(Int(payloadBytes))
    let used = before - reader.count
    unsafe _ = try reader.bytes(JournalRecord.padded(used) - used)
    bytes = before - reader.count
  }

  /// As it was written for this queue: of a copy with its counts.
  @inline(__always) func place(_ index: Int) -> JournalCount {
    // unsafe: `queueCount` of them were read.
    unsafe source == nil
      ? JournalCount(
        number, in: UInt32(littleEndian: queues.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)), acquired: 0, failed: 0)
      : JournalCount(
        number, in: UInt32(littleEndian: queues.loadUnaligned(fromByteOffset: 8 * index, as: UInt32.self)),
        acquired: UInt16(littleEndian: queues.loadUnaligned(fromByteOffset: 8 * index + 4, as: UInt16.self)),
        failed: UInt16(littleEndian: queues.loadUnaligned(fromByteOffset: 8 * index + 6, as: UInt16.self)))
  }

  /// Bytes that count for one of its queues.
  var share: UInt32 { UInt32(bytes / max(1, queueCount)) }
}

/// An id in a record.
@safe struct StoredID {
  let until: Int64
  let id: UnsafeRawBufferPointer

  init(_ reader: inout RecordReader) throws(RecordFault) {
    until = try reader.number()
    let bytes = Int(try reader.number(UInt32.self))
    _ = try reader.number(UInt32.self)
    unsafe id = try reader.bytes(bytes)
    unsafe _ = try reader.bytes(JournalRecord.padded(bytes) - bytes)
  }
}
