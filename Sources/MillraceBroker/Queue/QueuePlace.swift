internal import CMillrace
internal import MillraceCore

/// Where a queue stands: its lock, its intake, its words that others look at, and its state. One for each number, for as long as the broker; a later queue of the number has it too, in
/// another epoch.
///
/// Publishers push batches into the intake without the lock. Whoever has the lock takes them out before anything else, so that they are in the queue for everybody who looks. A publisher
/// that finds consumers to be served, or receivers asleep, sees to that after its push; those say so before they look at the intake for the last time.
///
/// # Threads
/// Any. The state is the lock holder's.
/// # Fields
/// Lines of their own: `lock`; `intake` and `backlog`; `needs` and `arrivals`; the room, and the word that waiting publishers sleep on; what is written when a queue is made.
/// # Progress
/// Pushing is lock-free. Whatever needs the lock is blocking, with bounded critical sections: `QueuePlace.batch` messages' work and what is in the intake.
/// # Source
/// R. Kent Treiber (1986): a list that is pushed by CAS and taken whole. Models: Tests/Models/queue-intake.pml.
@safe struct QueuePlace: @unchecked Sendable, Equatable {
  /// Messages for which the lock is held at a time.
  static let batch = 64
  static let bytes = 5 * padding
  /// What the intake of a queue that refuses nothing may hold, in messages and 256 bytes of payload each, before its publishers have to wait for the lock.
  static let longBacklog = 4_096

  // unsafe: `bytes` zeroed bytes that outlive all places.
  private let memory: UnsafeMutableRawPointer

  @unsafe init(_ memory: UnsafeMutableRawPointer) { unsafe self.memory = memory }

  static func == (one: QueuePlace, other: QueuePlace) -> Bool { unsafe one.memory == other.memory }

  @inline(__always) var lock: SpinLock { unsafe SpinLock(at: memory) }
  /// The run pushed last; 0: none.
  @inline(__always) var intake: SharedWord { unsafe SharedWord(memory + padding) }
  /// What is in the intake, some of which may have been taken. Only for `longBacklog`.
  private var backlog: SharedWord { unsafe SharedWord(memory + padding + 8) }
  /// Bit 31: consumers are jobs. Bit 30: somebody without a thread is to be told of a message. Below: receivers that sleep, or are about to.
  @inline(__always) var needs: SharedHalf { unsafe SharedHalf(memory + 2 * padding) }
  /// What receivers sleep on.
  @inline(__always) var arrivals: SharedHalf { unsafe SharedHalf(memory + 2 * padding + 8) }
  /// Receivers that look at the intake again and again.
  @inline(__always) var watchers: SharedHalf { unsafe SharedHalf(memory + 2 * padding + 16) }
  @inline(__always) var messageRoom: QueueRoom { unsafe QueueRoom(SharedWord(memory + 3 * padding)) }
  @inline(__always) var byteRoom: QueueRoom { unsafe QueueRoom(SharedWord(memory + 3 * padding + 8)) }
  /// What publishers sleep on.
  var room: SharedHalf { unsafe SharedHalf(memory + 3 * padding + 16) }
  /// When the queue's timer is due; `UInt64.max`: never.
  @inline(__always) var armed: SharedWord { unsafe SharedWord(memory + 4 * padding + 16) }
  /// The first version of the routing table that leads to the queue that is here; `UInt64.max`: none is.
  @inline(__always) var since: SharedWord { unsafe SharedWord(memory + 4 * padding + 24) }
  /// Nanoseconds; `UInt64.max`: none. And bit 0 of the next word: it may refuse.
  @inline(__always) private var timeToLive: SharedWord { unsafe SharedWord(memory + 4 * padding + 32) }
  @inline(__always) private var traits: SharedWord { unsafe SharedWord(memory + 4 * padding + 40) }
  /// By which the journal knows the queue; 0: it does not.
  @inline(__always) private var journal: SharedWord { unsafe SharedWord(memory + 4 * padding + 48) }

  /// Of the queues that stand here. Written once, before others know the place.
  @inline(__always) var number: UInt32 {
    get { unsafe memory.load(fromByteOffset: 4 * padding + 8, as: UInt32.self) }
    nonmutating set { unsafe memory.storeBytes(of: newValue, toByteOffset: 4 * padding + 8, as: UInt32.self) }
  }

  private var word: UnsafeMutablePointer<UnsafeMutablePointer<QueueState>?> {
    unsafe (memory + 4 * padding).assumingMemoryBound(to: UnsafeMutablePointer<QueueState>?.self)
  }

  /// With the lock; nil: there is no queue here.
  @inline(__always) var state: LockedQueue? {
    unsafe word.pointee.map { unsafe LockedQueue($0) }
  }

  /// With the lock: a queue begins here, or nil: the one that was here is no more.
  func set(_ locked: LockedQueue?) {
    unsafe word.pointee = locked?.pointer
    guard let locked else { return since.storeReleasing(.max) }
    let configuration = locked.state.machine.configuration
    armed.storeRelaxed(.max)
    timeToLive.storeRelaxed(configuration.timeToLive ?? .max)
    traits.storeRelaxed(UInt64(locked.state.epoch) << 1 | (locked.state.mayRefuse ? 1 : 0))
    journal.storeRelaxed(UInt64(locked.state.journal))
    messageRoom.open(configuration.maxSize, epoch: locked.state.epoch)
    byteRoom.open(configuration.maxBytes, epoch: locked.state.epoch)
    backlog.storeRelaxed(0)
    // Order: releasing. Pairs with the acquiring load in `look`.
    since.storeReleasing(locked.state.since)
  }

  // MARK: Publishers

  /// What a publisher must know of the queue; nil: it was made after this version of the table, or is no more.
  @inline(__always) func look(version: UInt64) -> (epoch: UInt32, mayRefuse: Bool, journal: UInt32)? {
    // Order: acquiring. Pairs with the releasing store in `set`.
    guard since.loadAcquiring() <= version else { return nil }
    let traits = traits.loadRelaxed()
    return (UInt32(truncatingIfNeeded: traits >> 1), traits & 1 != 0, UInt32(truncatingIfNeeded: journal.loadRelaxed()))
  }

  /// Room for messages, from the first on: how many. They count as being in the queue from here on. `total`: bytes of all their payloads, if that is known.
  @inline(__always) func reserve(_ messages: MessageList, total: Int? = nil, epoch: UInt32) -> Int {
    guard let fit = messageRoom.reserve(epoch: epoch, { max(0, min($0, messages.count)) }), fit > 0 else { return 0 }
    var count = 0
    let bytes = byteRoom.reserve(epoch: epoch) { room in
      if let total, fit == messages.count, total <= room {
        count = fit
        return total
      }
      var bytes = 0
      count = 0
      while count < fit, bytes + messages[count].bytes <= room {
        bytes += messages[count].bytes
        count += 1
      }
      return bytes
    }
    // Another queue stands here, with all of its room.
    if bytes == nil { return 0 }
    if count < fit { messageRoom.giveBack(fit - count, epoch: epoch) }
    return count
  }

  /// What was reserved is not used after all.
  func giveBack(_ messages: MessageList, epoch: UInt32) {
    if messages.count == 0 { return }
    messageRoom.giveBack(messages.count, epoch: epoch)
    byteRoom.giveBack((0..<messages.count).reduce(0) { $0 + messages[$1].bytes }, epoch: epoch)
  }

  /// Puts a batch before the queue. True: there is so much that nobody should bring more before it was taken.
  @inline(__always) func push(_ run: QueueRun) -> Bool {
    let size = run.size
    while true {
      let before = intake.loadRelaxed()
      run.next = before
      // Order: sequentially consistent. Pairs with the exchange in `takeIntake`: what the publisher wrote happened before. And with those who look at the intake after they said what they need:
      // either they see the run, or the publisher sees what they need.
      if intake.replace(before, by: run.address) { break }
    }
    // Signed: runs for a queue that was here before are not counted when they come, but when they go.
    return Int64(bitPattern: backlog.add(UInt64(size))) > QueuePlace.longBacklog
  }

  /// With the lock: all runs, the oldest first; nil: there are none.
  @inline(__always) func takeIntake() -> QueueRun? {
    if intake.loadRelaxed() == 0 { return nil }
    return takeRuns()
  }

  @inline(never) private func takeRuns() -> QueueRun? {
    var newer: UInt64 = 0
    var run = unsafe QueueRun(intake.exchange(0))
    var oldest: QueueRun?
    var size = 0
    while let current = run {
      size += current.size
      run = unsafe QueueRun(current.next)
      current.next = newer
      newer = current.address
      oldest = current
    }
    _ = backlog.subtract(UInt64(size))
    return oldest
  }

  /// When a message that is published now is the first to be looked after; `UInt64.max`: never.
  @inline(__always) func deadline(_ message: MessageBlock, _ now: UInt64, due: UInt64) -> UInt64 {
    let (end, overflow) = now.addingReportingOverflow(timeToLive.loadRelaxed())
    let own = message.expiry(from: now)
    let expiry = min(overflow ? .max : end, own == 0 ? .max : own)
    return min(expiry == .max ? .max : expiry + 1, due == 0 ? .max : due)
  }

  // MARK: Who is to be told

  private static let jobs: UInt32 = 1 << 31
  private static let askers: UInt32 = 1 << 30
  private static let sleepers: UInt32 = askers - 1

  /// With the lock: consumers are jobs, or are no more.
  func setJobs(_ are: Bool) {
    // Order: sequentially consistent. Pairs with the publisher's load after its push.
    _ = are ? needs.insert(bits: QueuePlace.jobs) : needs.remove(bits: QueuePlace.jobs)
  }

  /// With the lock: somebody is to be told when there is a message, or nobody any more. Who begins to wait must look at the intake once more.
  func setAskers(_ are: Bool) {
    // Order: as `setJobs`.
    _ = are ? needs.insert(bits: QueuePlace.askers) : needs.remove(bits: QueuePlace.askers)
  }

  @inline(__always) func hasAskers(_ needs: UInt32) -> Bool { needs & QueuePlace.askers != 0 }

  /// Consumers are to be served by whoever publishes.
  @inline(__always) func hasJobs(_ needs: UInt32) -> Bool { needs & QueuePlace.jobs != 0 }

  /// With the lock: this receiver is about to sleep. It must look at the intake once more.
  func fallAsleep() {
    // Order: as `setJobs`.
    _ = needs.add(1, ordered: true)
  }

  /// It was not woken by a word, but by time, or did not sleep at all: whoever wanted to wake it may have counted it.
  func wakeBySelf() {
    while true {
      let seen = needs.loadRelaxed()
      if seen & QueuePlace.sleepers == 0 || needs.replace(seen, by: seen - 1) { return }
    }
  }

  /// Wakes receivers that sleep, `most` at most: each is claimed by one who wakes it.
  @inline(__always) func wakeReceivers(_ most: Int) {
    if needs.loadSequential() & QueuePlace.sleepers != 0 { wakeSleepers(most) }
  }

  @inline(never) private func wakeSleepers(_ most: Int) {
    while true {
      let seen = needs.loadSequential()
      let count = min(Int(seen & QueuePlace.sleepers), most)
      if count == 0 { return }
      guard needs.replace(seen, by: seen - UInt32(count)) else { continue }
      _ = arrivals.add(1, ordered: true)
      // unsafe: the word outlives the call.
      _ = unsafe millrace_futex_wake(arrivals.address, Int32(count))
      return
    }
  }

  /// With the lock: what is on its way into the queue goes.
  func dropIntake(_ work: inout Workspace) {
    var next = takeIntake()
    while let run = next {
      next = unsafe QueueRun(run.next)
      for index in 0..<run.count { work.cache.release(run.messages[index]) }
      work.cache.free(run)
    }
  }

  /// Nobody else is there: all messages go, and the queue.
  func clear(_ work: inout Workspace) {
    dropIntake(&work)
    guard let locked = state else { return }
    locked.state.freeRuns(&work)
    for message in locked.state.machine.messages { work.cache.release(unsafe MessageBlock(message)) }
    for loss in locked.state.overdue.values { work.cache.release(unsafe MessageBlock(loss.message)) }
    locked.free()
  }

  // MARK: The lock

  // A publisher that finds it taken leaves its messages to the holder, if that is one who takes the intake (`QueueState.drain`), and waits for all others, who
  // only look: those may have jobs to give to nobody.

  /// `sees`: whoever tried to lock it meanwhile relies on us to look at the intake after this.
  @inline(__always) func unlock(sees: Bool) {
    if sees { lock.unlockOrdered() } else { lock.unlock() }
  }

  /// The queue, locked; nil: it is no more, and nothing is locked.
  @inline(__always) func locked() -> LockedQueue? {
    lock.lockToLook()
    if let locked = state { return locked }
    lock.unlock()
    return nil
  }

  /// As above, if it is the queue that was made then.
  @inline(__always) func locked(exactly since: UInt64) -> LockedQueue? {
    lock.lockToLook()
    if let locked = state, locked.state.since == since { return locked }
    lock.unlock()
    return nil
  }

  /// As above, by its epoch.
  @inline(__always) func locked(epoch: UInt32) -> LockedQueue? {
    lock.lockToLook()
    if let locked = state, locked.state.epoch == epoch { return locked }
    lock.unlock()
    return nil
  }

  /// The name of the queue that was made then; empty: it was deleted.
  func name(since: UInt64) -> String {
    guard let locked = locked(exactly: since) else { return "" }
    defer { lock.unlock() }
    return locked.state.name.description
  }

  /// With the lock: publishers that sleep see that there is room.
  func tellRoom() {
    // Order: releasing. Pairs with the kernel's look at the word.
    room.storeReleasing(room.loadRelaxed() &+ 1)
  }

  /// Without the lock: wakes those.
  func wakePublishers(_ count: Int) {
    // unsafe: the word outlives the call.
    if count > 0 { _ = unsafe millrace_futex_wake(room.address, Int32(min(count, 1 << 20))) }
  }

  /// Sleeps while the word is as it was seen, `nanoseconds` at most. True: somebody woke it.
  func sleep(_ word: SharedHalf, _ seen: UInt32, nanoseconds: Int64) -> Bool {
    // unsafe: the word outlives the call.
    unsafe millrace_futex_wait(word.address, seen, nanoseconds) == 0
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
