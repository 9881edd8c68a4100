internal import CMillrace
internal import MillraceCore

/// What a publisher knows of the disk: which of its persistent messages for durable queues are on stable storage.
///
/// Messages are counted from 1, in the order in which they were published; they end in that order.
///
/// # Threads
/// Any.
/// # Fields
/// Lines of their own: `published`, the publisher's; `ended` and `turn`, on which waiting threads sleep, and how many do or wait without a thread.
@safe public final class Confirms: @unchecked Sendable {
  // unsafe: two lines, freed in `deinit`.
  private let region: Region
  private let monitor = Monitor()
  // The monitor's.
  private var failures: [(messages: ClosedRange<UInt64>, why: String)] = []
  private var waits: [(message: UInt64, action: @Sendable (String?) -> Void)] = []

  init() throws(MemoryError) { region = try Region(bytes: 2 * padding) }

  deinit {
    region.free()
    monitor.deallocate()
  }

  private var publishedWord: SharedWord { unsafe SharedWord(region.base) }
  private var endedWord: SharedWord { unsafe SharedWord(region.base + padding) }
  private var turn: SharedHalf { unsafe SharedHalf(region.base + padding + 8) }
  private var sleepers: SharedHalf { unsafe SharedHalf(region.base + padding + 12) }

  /// Messages that went to the journal.
  public var published: UInt64 { publishedWord.loadAcquiring() }
  /// Those of them that are on stable storage, or among `failed`.
  public var ended: UInt64 { endedWord.loadAcquiring() }
  /// Those that have ended and may not be on stable storage, and why. They are in their queues.
  public var failed: [(messages: ClosedRange<UInt64>, why: String)] { monitor.locked { failures } }

  /// Sleeps until so many messages have ended, `nanoseconds` at most. True: they have.
  public func wait(for count: UInt64, nanoseconds: UInt64) -> Bool {
    let start = Clock.monotonic.now
    while ended < count {
      let passed = Clock.monotonic.now &- start
      if passed >= nanoseconds { return false }
      _ = sleepers.add(1, ordered: true)
      let seen = turn.loadAcquiring()
      // Order: sequentially consistent. Pairs with `end`: it sees that we sleep, or we see what has ended.
      if endedWord.loadSequential() < count {
        // unsafe: the word outlives the call.
        _ = unsafe millrace_futex_wait(turn.address, seen, Int64(clamping: nanoseconds - passed))
      }
      _ = sleepers.subtract(1)
    }
    return true
  }

  /// Calls `action` once when a message has ended: nil, or why it may not be on stable storage. At once, or on the thread that tells of endings, which it
  /// must not block. `message`: one that was published. Complexity: O(1); an ending looks at all that wait.
  package func whenEnded(_ message: UInt64, _ action: @escaping @Sendable (String?) -> Void) {
    // Counted as one that sleeps. Order: as in `wait`.
    _ = sleepers.add(1, ordered: true)
    monitor.locked { waits.append((message, action)) }
    if endedWord.loadSequential() >= message { tell() }
  }

  /// Calls those whose messages have ended.
  private func tell() {
    let due = monitor.locked { () -> [(action: @Sendable (String?) -> Void, failure: String?)] in
      let ended = endedWord.loadSequential()
      let due = waits.filter { $0.message <= ended }
      if due.isEmpty { return [] }
      waits.removeAll { $0.message <= ended }
      _ = sleepers.subtract(UInt32(due.count))
      return due.map { wait in (wait.action, failures.first { $0.messages.contains(wait.message) }?.why) }
    }
    for (action, failure) in due { action(failure) }
  }

  // MARK: The journal

  /// What tells the journal's calls apart: this object, which its broker keeps, and how many messages.
  func token(_ count: Int) -> UInt64 {
    // unsafe: addresses have 48 bits.
    unsafe UInt64(UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque())) | UInt64(count) << 48
  }

  static func of(_ token: UInt64) -> (confirms: Confirms, count: Int) {
    // unsafe: the broker keeps it until its journal is closed.
    let pointer = unsafe UnsafeRawPointer(bitPattern: UInt(token & (1 << 48 - 1)))!
    return (unsafe Unmanaged<Confirms>.fromOpaque(pointer).takeUnretainedValue(), Int(token >> 48))
  }

  /// So many are about to be written. Before that, by the publisher. The number of the last one.
  func publish(_ count: Int) -> UInt64 { publishedWord.add(UInt64(count)) + UInt64(count) }

  /// They were not after all.
  func withdraw(_ count: Int) { _ = publishedWord.subtract(UInt64(count)) }

  /// So many more have ended. One call after the other.
  func end(_ count: Int, _ failure: String?) {
    let first = endedWord.loadRelaxed() + 1
    if let failure { monitor.locked { failures.append((first...(first + UInt64(count) - 1), failure)) } }
    // Order: sequentially consistent. Pairs with `wait`.
    _ = endedWord.add(UInt64(count))
    _ = turn.add(1, ordered: true)
    // unsafe: the word outlives the call.
    if sleepers.loadSequential() > 0 {
      _ = unsafe millrace_futex_wake(turn.address, Int32.max)
      tell()
    }
  }

  /// Nothing is under way: another publisher may have it.
  func reset() -> Bool {
    guard published == ended, monitor.locked({ waits.isEmpty }) else { return false }
    _ = publishedWord.exchange(0)
    _ = endedWord.exchange(0)
    monitor.locked { failures = [] }
    return true
  }
}
