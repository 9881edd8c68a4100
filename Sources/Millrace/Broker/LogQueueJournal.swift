internal import CMillrace
package import MillraceBroker
internal import MillraceCore
package import MillraceLog

/// The journal of durable queues in a log of its own: a batch is an event, and the log joins what many threads give it to one sync.
///
/// What is alive is known by number and place (`JournalState`); payloads are on the disk only. When more than half of what the log holds is dead, what is alive is written again behind it, and the segments
/// before go (`JournalSpace`).
///
/// # Threads
/// Any. The state is the committer's and the space thread's, under a monitor that publishers do not take.
/// # Fields
/// `phase` and `numbers`: words that all threads share, on lines of their own. All else under the monitor, or constant.
/// # Progress
/// Writing is wait-free but for a block of memory, taken under a monitor, unless the thread commits itself.
@safe package final class LogQueueJournal: QueueJournal, @unchecked Sendable {
  /// How it is kept.
  package struct Configuration: Sendable {
    /// Of the log, which is the journal's alone; without retention and seal.
    package var log = EventLog.Configuration()
    /// Bytes that the log may hold before dead messages are given back; nil: two segments.
    package var spaceBytes: Int?
    /// Bytes of what is written again at once.
    package var copyBytes = 256 << 10

    package init() {}
  }

  enum Phase {
    static let opened: UInt64 = 0
    static let ready: UInt64 = 1
    static let failed: UInt64 = 2
    static let closed: UInt64 = 3
  }

  /// Numbers of a session begin at a multiple of 2 to this power, above all that one before may have given.
  static let sessionBits: UInt64 = 36

  let log: EventLog
  let settings: Configuration
  let stream: StreamNumber
  let types: (batch: EventTypeNumber, definitions: EventTypeNumber, state: EventTypeNumber)
  private let bytes: ContentTypeNumber
  let memory = WriteMemory()
  private let words: Region
  let monitor = Monitor()
  /// The monitor's.
  var state: JournalState
  var space: JournalSpace
  var sink: JournalSink?
  /// The committer's: endings of the commit at hand.
  var endings: ContiguousArray<JournalEnding> = []
  private let appendSink: UnsafeMutablePointer<AppendSink>
  /// Half of the ids of this session's events.
  var session: UInt64 = 0

  var phase: SharedWord { unsafe SharedWord(words.base) }
  var numbers: SharedWord { unsafe SharedWord(words.base + padding) }
  private var events: SharedWord { unsafe SharedWord(words.base + 2 * padding) }

  /// Opens the journal in `storage`, and makes one if there is none. Throws `JournalError`. Complexity: O(bytes of the log).
  package init(_ storage: any LogStorage, _ configuration: Configuration = Configuration()) throws(JournalError) {
    guard configuration.log.retention.bytes == nil, configuration.log.retention.age == nil, configuration.log.seal == nil else {
      throw .storage("a journal's log has neither retention nor seal: leave them out")
    }
    settings = configuration
    do throws(MemoryError) { words = try Region(bytes: 3 * padding) } catch { throw .storage(error.description) }
    do throws(LogError) { log = try EventLog(storage, configuration.log) } catch {
      words.free()
      throw JournalError(error)
    }
    state = JournalState(recoveringFrom: 0)
    space = JournalSpace(least: configuration.spaceBytes ?? 2 * configuration.log.segmentBytes, floor: log.recovery.firstPosition)
    unsafe appendSink = .allocate(capacity: 1)
    do {
      stream = log.number(of: try StreamName("queues"))
      types = (
        try log.number(ofType: JournalRecord.batch), try log.number(ofType: JournalRecord.definitions),
        try log.number(ofType: JournalRecord.state)
      )
      bytes = try log.number(ofContentType: "application/octet-stream")
    } catch {
      log.close()
      throw .storage("\(error)")
    }
    unsafe appendSink.initialize(
      to: AppendSink(context: Unmanaged.passUnretained(self).toOpaque()) { context, requests, count in
        // unsafe: `close` waits for all that is under way.
        unsafe Unmanaged<LogQueueJournal>.fromOpaque(context!)._withUnsafeGuaranteedRef {
          unsafe $0.told(AppendSink.requests(requests, count))
        }
      })
  }

  deinit {
    precondition(phase.loadAcquiring() == Phase.closed, "a LogQueueJournal was let go without `close`")
    unsafe appendSink.deallocate()
    words.free()
    monitor.deallocate()
  }

  package var failureText: String? { phase.loadAcquiring() == Phase.failed ? log.failureText : nil }

  // MARK: Writing

  @unsafe package func write(_ batch: JournalBatch, token: UInt64, mayWait: Bool) throws(JournalRefusal) -> UInt64 {
    try check()
    let count = unsafe batch.messages.count
    var content = 0
    var record =
      unsafe JournalRecord.batchHeader + JournalRecord.settlementBytes * batch.settlements.count
      + JournalRecord.countBytes * batch.counts.count
    guard count <= JournalLimits.batch, unsafe batch.settlements.count <= JournalLimits.batch,
      unsafe batch.counts.count <= JournalLimits.batch
    else { throw .tooLarge }
    for index in 0..<count {
      let message = unsafe batch.messages[index]
      guard unsafe message.queues.count <= JournalLimits.queues, unsafe message.id.count <= JournalLimits.idBytes else { throw .tooLarge }
      unsafe content &+= message.payload.count &+ message.properties.count &+ message.id.count &+ 48 &+ 8 &* message.queues.count
      record &+= JournalRecord.bytes(message)
    }
    guard content <= JournalLimits.batchBytes else { throw .tooLarge }
    let write = newWrite(.batch, record, token: token, isWhole: count > 0)
    let first = numbers.add(UInt64(count))
    var writer = unsafe RecordWriter(write.payload, room: record)
    unsafe writer.putBatchHeader(messages: count, settlements: batch.settlements.count, counts: batch.counts.count, seen: 0)
    for index in 0..<count { unsafe writer.put(batch.messages[index], number: first &+ UInt64(index)) }
    for index in unsafe 0..<batch.settlements.count { unsafe writer.put(batch.settlements[index]) }
    for index in unsafe 0..<batch.counts.count { unsafe writer.put(batch.counts[index]) }
    try submit(write, mayWait: mayWait)
    tidyWithoutThread()
    return first
  }

  package func record(_ changes: [JournalChange], token: UInt64) throws(JournalRefusal) {
    try check()
    let encoded = changes.map(\.encoded)
    guard changes.count <= JournalLimits.batch, encoded.allSatisfy({ $0.count <= JournalLimits.definitionBytes }),
      encoded.reduce(0, { $0 + $1.count }) <= JournalLimits.batchBytes
    else { throw .tooLarge }
    let write = newWrite(changes.map { WrittenChange(change: $0) })
    unsafe write.head.pointee.token = token
    try submit(write, mayWait: false)
    tidyWithoutThread()
  }

  private func check() throws(JournalRefusal) {
    // Order: acquiring. Pairs with the exchanges in `recover`, `told` and `close`.
    switch phase.loadAcquiring() {
    case Phase.ready: return
    case Phase.failed: throw .failed
    default: throw .closed
    }
  }

  /// A block with a request whose payload is to be filled in.
  func newWrite(_ kind: PendingWrite.Kind, _ payload: Int, token: UInt64 = 0, isWhole: Bool = true) -> PendingWrite {
    let (block, size) = unsafe memory.take(payload)
    let write = unsafe PendingWrite(block)
    let type =
      switch kind {
      case .batch: types.batch
      case .definitions: types.definitions
      case .state: types.state
      }
    let head = unsafe write.head
    let id = EventID(high: session, low: events.add(1))
    unsafe head.initialize(
      to: PendingWrite.Head(
        request: AppendRequest(write.part, sink: UnsafePointer(appendSink), context: block),
        token: token, size: size, kind: kind, isWhole: isWhole))
    unsafe write.part.initialize(to: RawStreamAppend(stream: stream, events: UnsafePointer(write.event), count: 1))
    unsafe write.event.initialize(to: RawEvent(id: id, type: type, contentType: bytes, payload: write.payload, bytes: payload))
    return write
  }

  func newWrite(_ changes: [WrittenChange]) -> PendingWrite {
    let bytes = JournalRecord.changesHeader + changes.reduce(0) { $0 + $1.bytes }
    let write = newWrite(.definitions, bytes)
    var writer = unsafe RecordWriter(write.payload, room: bytes)
    writer.put(UInt32(changes.count))
    writer.put(0 as UInt32)
    for change in changes { writer.put(change) }
    return write
  }

  /// The numbers as they are, or as given.
  func writeState(next: UInt64? = nil, redeliveredBelow: UInt64? = nil) -> (AppendRequest.Outcome, UInt64) {
    let write = newWrite(.state, JournalRecord.stateBytes)
    var writer = unsafe RecordWriter(write.payload, room: JournalRecord.stateBytes)
    let (below, queue) = monitor.locked { (state.redeliveredBelow, state.nextQueue) }
    writer.put(next ?? numbers.loadRelaxed())
    writer.put(redeliveredBelow ?? below)
    writer.put(queue)
    writer.put(0 as UInt32)
    return wait(for: write)
  }

  /// Writes, and waits until it has ended. Not from a sink.
  func wait(for write: PendingWrite) -> (AppendRequest.Outcome, UInt64) {
    let waiter = WriteWaiter()
    // unsafe: the waiter is here until it was told.
    unsafe write.head.pointee.waiter = Unmanaged.passUnretained(waiter)
    while true {
      do throws(EventLog.Refusal) {
        try unsafe log.append(write.request)
        break
      } catch {
        if error == .closed {
          memory.give(write)
          return (.unavailable, 0)
        }
        // As many as the log takes are under way: some of them end.
        monitor.locked { _ = monitor.wait(.ended, until: millrace_monotonic() + 1_000_000) }
      }
    }
    return monitor.locked {
      while waiter.outcome == nil { monitor.wait(.ended) }
      return (waiter.outcome!, waiter.version)
    }
  }

  private func submit(_ write: PendingWrite, mayWait: Bool) throws(JournalRefusal) {
    do throws(EventLog.Refusal) {
      // unsafe: the block is there until `told` gives it back.
      try unsafe log.append(write.request, mayLead: mayWait)
    } catch {
      memory.give(write)
      throw error == .busy ? .busy : .closed
    }
  }

  // MARK: Stopping

  /// Syncs so far. After `close`.
  package var commits: UInt64 { log.commits }

  package func close() {
    // Order: sequentially consistent. Pairs with the acquiring load in `check`.
    if phase.exchange(Phase.closed) == Phase.closed { return }
    stopSpace()
    log.close()
  }
}
