internal import CMillrace
internal import MillraceCore

/// Where a queue stands: its lock, its words that waiting threads look at, and its state. One for each number, for as long as the broker; a later queue of the number has it too.
///
/// # Threads
/// Any. The state is the lock holder's.
/// # Fields
/// Lines of their own: `lock`; `arrivals`, which changes whenever a receiver may find something; `room`, which changes whenever a publisher may.
/// # Progress
/// Blocking, with bounded critical sections: what is done under the lock is at most `QueuePlace.batch` messages' work.
@safe struct QueuePlace: @unchecked Sendable, Equatable {
  /// Messages for which the lock is held at a time.
  static let batch = 64
  static let bytes = 4 * padding

  // unsafe: `bytes` zeroed bytes that outlive all places.
  private let memory: UnsafeMutableRawPointer

  @unsafe init(_ memory: UnsafeMutableRawPointer) { unsafe self.memory = memory }

  static func == (one: QueuePlace, other: QueuePlace) -> Bool { unsafe one.memory == other.memory }

  @inline(__always) var lock: SpinLock { unsafe SpinLock(at: memory) }
  @inline(__always) var arrivals: SharedHalf { unsafe SharedHalf(memory + padding) }
  @inline(__always) var room: SharedHalf { unsafe SharedHalf(memory + 2 * padding) }

  /// Of the queues that stand here. Written once, before others know the place.
  @inline(__always) var number: UInt32 {
    get { unsafe memory.load(fromByteOffset: 3 * padding + 8, as: UInt32.self) }
    nonmutating set { unsafe memory.storeBytes(of: newValue, toByteOffset: 3 * padding + 8, as: UInt32.self) }
  }

  private var word: UnsafeMutablePointer<UnsafeMutablePointer<QueueState>?> {
    unsafe (memory + 3 * padding).assumingMemoryBound(to: UnsafeMutablePointer<QueueState>?.self)
  }

  /// With the lock; nil: there is no queue here.
  @inline(__always) var state: LockedQueue? {
    get { unsafe word.pointee.map { unsafe LockedQueue($0) } }
    nonmutating set { unsafe word.pointee = newValue?.pointer }
  }

  /// The queue, locked; nil: it is no more, or was made after this version of the table, and nothing is locked.
  @inline(__always) func locked(version: UInt64 = .max) -> LockedQueue? {
    lock.lock()
    if let locked = state, locked.state.since <= version { return locked }
    lock.unlock()
    return nil
  }

  /// As above, if it is the queue that was made then.
  @inline(__always) func locked(exactly since: UInt64) -> LockedQueue? {
    lock.lock()
    if let locked = state, locked.state.since == since { return locked }
    lock.unlock()
    return nil
  }

  /// The name of the queue that was made then; empty: it was deleted.
  func name(since: UInt64) -> String {
    guard let locked = locked(exactly: since) else { return "" }
    defer { lock.unlock() }
    return locked.state.name.description
  }

  /// With the lock: who looks at the words sees a change.
  func tell(arrivals: Bool, room: Bool) {
    // Order: releasing. Pairs with the acquiring loads of those who wait.
    if arrivals { self.arrivals.storeReleasing(self.arrivals.loadRelaxed() &+ 1) }
    if room { self.room.storeReleasing(self.room.loadRelaxed() &+ 1) }
  }

  /// Without the lock: wakes those that sleep until a word changes.
  func wake(_ word: SharedHalf, _ count: Int) {
    // unsafe: the word outlives the call.
    if count > 0 { _ = unsafe millrace_futex_wake(word.address, Int32(min(count, 1 << 20))) }
  }

  /// Sleeps while the word is as it was seen, `nanoseconds` at most. May wake for no reason.
  func sleep(_ word: SharedHalf, _ seen: UInt32, nanoseconds: Int64) {
    // unsafe: the word outlives the call.
    _ = unsafe millrace_futex_wait(word.address, seen, nanoseconds)
  }
}

/// A queue whose lock is held by who has this, until it is given back.
@safe struct LockedQueue {
  // unsafe: stays until the queue is deleted, which is done under the lock.
  let pointer: UnsafeMutablePointer<QueueState>

  @inline(__always) init(_ pointer: UnsafeMutablePointer<QueueState>) { unsafe self.pointer = pointer }

  init(_ state: consuming QueueState) {
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: state)
  }

  @inline(__always) var state: QueueState {
    _read { yield unsafe pointer.pointee }
    nonmutating _modify { yield unsafe &pointer.pointee }
  }

  /// The queue is no more, and nobody has it.
  func free() {
    unsafe pointer.deinitialize(count: 1)
    unsafe pointer.deallocate()
  }
}
