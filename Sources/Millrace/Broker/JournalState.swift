internal import MillraceBroker

/// What a journal's events come to, one after the other: at recovery, and in the order of commits after it. The same for both.
///
/// # Copies
/// What is alive is written again behind the rest, so that the rest can go. Nobody waits for that: when a copy is on the disk, what it copies may have been settled, and is then not alive
/// (`unwritten` repeats the settlement behind the copy, before anything goes). At recovery a copy counts where what it copies is alive or gone from the log; where that is there, but
/// not alive, the copy does not count.
///
/// # Threads
/// One at a time.
struct JournalState: ~Copyable {
  var live = LiveMessages()
  private(set) var definitions = KeptDefinitions()
  /// Above all numbers of messages that were seen.
  private(set) var nextMessage: UInt64 = 1
  /// Messages with lower numbers were there at a stop that was not a clean one.
  private(set) var redeliveredBelow: UInt64 = 0
  private(set) var nextQueue: UInt32 = 0
  /// One more than that of the last event.
  private(set) var nextVersion: UInt64 = 0
  /// Bytes of events, so far.
  private(set) var written = 0
  var unwritten = Unwritten()
  /// At recovery: the first version that is in the log. Queues of messages may be declared further behind.
  private var first: UInt64?

  /// What the journal itself is to write.
  struct Unwritten {
    var settlements: [JournalSettlement] = []
    var counts: [JournalCount] = []
    var undos: [WrittenChange] = []
    var isEmpty: Bool { settlements.isEmpty && counts.isEmpty && undos.isEmpty }
  }

  /// An event besides its payload.
  static let eventBytes = 64

  init(recoveringFrom first: UInt64) { self.first = first }

  /// Recovery is over: what is in no queue goes.
  mutating func recovered() {
    first = nil
    let numbers = definitions.queueNumbers
    live.removeAll { !numbers.contains($0.queue) }
  }

  /// Of an event that is on stable storage.
  mutating func wrote(_ bytes: Int, version: UInt64) {
    written += bytes + JournalState.eventBytes
    nextVersion = version + 1
  }

  // MARK: Batches

  mutating func apply(batch payload: UnsafeRawBufferPointer, version: UInt64) throws(RecordFault) {
    var reader = unsafe RecordReader(payload)
    let header = try BatchHeader(&reader)
    for _ in 0..<header.messages {
      let message = try StoredMessage(&reader)
      nextMessage = max(nextMessage, message.number + 1)
      for index in 0..<message.queueCount {
        if let source = message.source {
          copied(message.place(index), source, message.share, version)
        } else {
          published(message.place(index), message.share, version)
        }
      }
    }
    for _ in 0..<header.settlements { settled(try reader.settlement()) }
    for _ in 0..<header.counts { counted(try reader.journalCount()) }
  }

  @inline(__always) private mutating func published(_ place: JournalCount, _ bytes: UInt32, _ version: UInt64) {
    guard first != nil || definitions.queueNumbers.contains(place.queue) else { return }
    live.insert(
      LiveMessages.Entry(
        message: place.message, version: version, queue: place.queue, bytes: bytes, acquired: place.acquired, failed: place.failed))
  }

  private mutating func copied(_ place: JournalCount, _ source: UInt64, _ bytes: UInt32, _ version: UInt64) {
    var kept: JournalCount?
    let isThere = live.update(place.message, place.queue) { entry in
      entry.version = version
      entry.bytes = bytes
      kept = entry.count
    }
    if isThere {
      if let kept, kept != place { unwritten.counts.append(kept) }
    } else if let first, source < first {
      published(place, bytes, version)
    } else {
      unwritten.settlements.append(JournalSettlement(place.message, in: place.queue, .moved))
    }
  }

  @inline(__always) mutating func settled(_ settlement: JournalSettlement) { live.remove(settlement.message, settlement.queue) }

  /// Counts only rise: so one that is repeated late does no harm.
  mutating func counted(_ count: JournalCount) {
    live.update(count.message, count.queue) { entry in
      entry.acquired = max(entry.acquired, count.acquired)
      entry.failed = max(entry.failed, count.failed)
    }
  }

  // MARK: Definitions and numbers

  mutating func apply(definitions payload: UnsafeRawBufferPointer, version: UInt64) throws(RecordFault) {
    var reader = unsafe RecordReader(payload)
    let count = Int(try reader.number(UInt32.self))
    _ = try reader.number(UInt32.self)
    for _ in 0..<count { try apply(StoredChange(&reader), version) }
  }

  private mutating func apply(_ stored: StoredChange, _ version: UInt64) {
    if case .declare(.queue(let queue)) = stored.change { nextQueue = max(nextQueue, queue.number == .max ? .max : queue.number + 1) }
    switch (stored.kind, stored.change) {
    case (.copy, .declare(let definition)):
      let (gone, isDeleted) = definitions.apply(copy: definition, from: stored.source, version: version, first: first ?? 0)
      emptied(gone)
      if isDeleted {
        unwritten.undos.append(
          WrittenChange(kind: .undo, source: CopySource(version: version, origin: 0), change: .delete(definition.name)))
      }
    case (.undo, .delete(let name)): emptied(definitions.undo(name, copiedAt: stored.source.version))
    default: emptied(definitions.apply(stored.change, version: version))
    }
  }

  /// This queue is none any more.
  private mutating func emptied(_ queue: UInt32?) { if let queue { live.removeAll { $0.queue == queue } } }

  mutating func apply(state payload: UnsafeRawBufferPointer) throws(RecordFault) {
    var reader = unsafe RecordReader(payload)
    nextMessage = max(nextMessage, try reader.number())
    redeliveredBelow = max(redeliveredBelow, try reader.number())
    nextQueue = max(nextQueue, try reader.number())
  }
}

/// A change where it lies in a record.
struct StoredChange {
  let kind: JournalRecord.ChangeKind
  /// Of a copy. Of an undo: the copy's version.
  let source: CopySource
  let change: JournalChange

  init(_ reader: inout RecordReader) throws(RecordFault) {
    let kind = try reader.number(UInt32.self)
    guard kind <= UInt8.max, let kind = JournalRecord.ChangeKind(rawValue: UInt8(kind)) else {
      throw RecordFault("a change of kind \(kind)")
    }
    self.kind = kind
    let count = Int(try reader.number(UInt32.self))
    source = CopySource(version: try reader.number(), origin: try reader.number())
    let encoded = unsafe [UInt8](try reader.bytes(count))
    unsafe _ = try reader.bytes(JournalRecord.padded(count) - count)
    do throws(FieldFault) { change = try JournalChange(encoded: encoded) } catch { throw RecordFault(error.description) }
  }
}
