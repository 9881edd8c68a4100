internal import CMillrace
internal import MillraceCore

/// What a run knows of each of its tasks: 56 bytes, written by the lane that runs the task, readable by anyone at any time.
///
/// Words of a task: start, end, output (arena 32, offset 32), output length (32) with content type (8), status (4) and attempts (20),
/// lane (16) with the cause of a skip (32) and the priority (8), attempt's address, job.
@safe struct NodeRecords {
  private static let words = 7
  private let region: Region
  let count: Int

  init(count: Int) throws(MemoryError) {
    region = try Region(bytes: count * NodeRecords.words * 8)
    self.count = count
  }

  func deallocate() { region.free() }

  @inline(__always) private func word(_ node: UInt32, _ i: Int) -> SharedWord {
    precondition(Int(node) < count)
    // unsafe: the node is one of `count`.
    return unsafe SharedWord(region.base + (Int(node) &* NodeRecords.words &+ i) &* 8)
  }

  /// In the order of their codes.
  enum Status: UInt8 {
    case pending, running, completed, failed, skipped, cancelled, timedOut
  }

  /// The place of an item is ready for the next one.
  func clear(_ node: UInt32) {
    for i in 0..<NodeRecords.words { word(node, i).storeRelaxed(0) }
  }

  func start(_ node: UInt32) -> UInt64 { word(node, 0).loadRelaxed() }
  func end(_ node: UInt32) -> UInt64 { word(node, 1).loadRelaxed() }
  func setStart(_ node: UInt32, _ time: UInt64) { word(node, 0).storeRelaxed(time) }
  func setEnd(_ node: UInt32, _ time: UInt64) { word(node, 1).storeRelaxed(time) }

  func output(_ node: UInt32) -> millrace_payload {
    let place = word(node, 2).loadRelaxed()
    let more = word(node, 3).loadRelaxed()
    return millrace_payload(
      offset: place & 0xFFFF_FFFF, length: more & 0xFFFF_FFFF, arena: UInt32(place >> 32), content_type: UInt32(more >> 32 & 0xFF))
  }
  func setOutput(_ node: UInt32, _ payload: millrace_payload) {
    word(node, 2).storeRelaxed(UInt64(payload.arena) << 32 | payload.offset)
    let word = word(node, 3)
    word.storeRelaxed(word.loadRelaxed() & 0xFFFF_FF00_0000_0000 | UInt64(payload.content_type & 0xFF) << 32 | payload.length)
  }

  func status(_ node: UInt32) -> Status { Status(rawValue: UInt8(word(node, 3).loadSequential() >> 40 & 0xF)) ?? .pending }
  func attempts(_ node: UInt32) -> Int { Int(word(node, 3).loadRelaxed() >> 44) }
  /// Sequentially consistent: pairs with `WorkflowRun.cancel`, which looks for running tasks after it has said that the run stops.
  func setStatus(_ node: UInt32, _ status: Status) {
    let word = word(node, 3)
    _ = word.exchange(word.loadRelaxed() & 0xFFFF_F0FF_FFFF_FFFF | UInt64(status.rawValue) << 40)
  }
  /// Number of the attempt that begins, from 1. `RetryPolicy.attemptsRange` ends below 2^20.
  func countAttempt(_ node: UInt32) -> UInt64 {
    let word = word(node, 3)
    let after = word.loadRelaxed() &+ (1 << 44)
    word.storeRelaxed(after)
    return after >> 44
  }

  /// Attempts that began before the run was taken over.
  func setAttempts(_ node: UInt32, _ count: Int) {
    let word = word(node, 3)
    word.storeRelaxed(word.loadRelaxed() & (1 << 44 - 1) | UInt64(count) << 44)
  }

  func lane(_ node: UInt32) -> Int { Int(Int16(truncatingIfNeeded: word(node, 4).loadRelaxed())) }
  func setLane(_ node: UInt32, _ lane: Int) {
    let word = word(node, 4)
    word.storeRelaxed(word.loadRelaxed() & ~0xFFFF | UInt64(UInt16(bitPattern: Int16(truncatingIfNeeded: lane))))
  }
  /// The task whose failure skips this one; nil: none.
  func cause(_ node: UInt32) -> UInt32? {
    let cause = UInt32(truncatingIfNeeded: word(node, 4).loadRelaxed() >> 16)
    return cause == 0 ? nil : cause - 1
  }
  func setCause(_ node: UInt32, _ cause: UInt32) {
    let word = word(node, 4)
    word.storeRelaxed(word.loadRelaxed() & 0xFFFF_0000_0000_FFFF | UInt64(cause + 1) << 16)
  }
  /// The priority that the task's expression gave when it became ready; nil: it has none, or it was not ready.
  func rank(_ node: UInt32) -> Priority? {
    let rank = UInt8(truncatingIfNeeded: word(node, 4).loadRelaxed() >> 48)
    return rank == 0 ? nil : Priority(rawValue: rank - 1)
  }
  func setRank(_ node: UInt32, _ priority: Priority) {
    let word = word(node, 4)
    word.storeRelaxed(word.loadRelaxed() & 0xFF00_FFFF_FFFF_FFFF | UInt64(priority.rawValue + 1) << 48)
  }

  /// Completed, or skipped by its own condition: its dependents may go on.
  func isSatisfied(_ node: UInt32) -> Bool {
    let status = status(node)
    return status == .completed || status == .skipped && cause(node) == nil
  }

  func attempt(_ node: UInt32) -> UnsafeMutablePointer<Attempt>? {
    // Order: acquiring. Pairs with the release in `setAttempt`.
    unsafe UnsafeMutablePointer(bitPattern: UInt(word(node, 5).loadAcquiring()))
  }
  func setAttempt(_ node: UInt32, _ attempt: UnsafeMutablePointer<Attempt>?) {
    word(node, 5).storeReleasing(UInt64(UInt(bitPattern: attempt)))
  }

  func job(_ node: UInt32) -> JobID { JobID(rawValue: word(node, 6).loadRelaxed()) }
  func setJob(_ node: UInt32, _ job: JobID) { word(node, 6).storeRelaxed(job.rawValue) }
}
