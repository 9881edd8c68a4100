internal import CMillrace

/// Who sleeps, who searches, and who must be woken.
///
/// One word: bit i set = worker i sleeps or is about to (bits 0-55); the number of searchers above (bits 56-63). A worker that finds nothing
/// becomes a searcher, then sets its bit, puts a barrier on all threads, looks again, and sleeps on a futex word of its own. Whoever publishes a job
/// looks at the word afterwards and wakes one sleeper, but only if nobody searches: the searcher will find the job, and the last searcher that finds one
/// wakes the next.
///
/// A waker counts the sleeper as a searcher before it wakes it. Lest the others rely on a searcher that sleeps on because its waker was stopped in between,
/// `wakers` says that there may be such a one, and whoever publishes then finishes the wake. So a wake may come twice or late: a worker that wakes
/// looks at its bit, and counts itself if nobody has.
///
/// # Threads
/// Any.
/// # Fields
/// All on one line, but for the futex words. `word`: as above. `wakers`: threads between their claim on a sleeper and its wake. Futex words: 0 awake, 1 woken, 2 asleep or about to.
/// # Progress
/// `notify`: lock-free, and no thread stopped in it keeps others from waking workers. `sleep` waits, as it must.
/// # Source
/// The searcher count follows Go's and tokio's schedulers; the barrier on the sleeper's side is Linux membarrier(2), PRIVATE_EXPEDITED. Models of both
/// forms: Tests/Models/parking.pml.
@safe struct Parking {
  static let maxWorkers = 56
  private static let searcher: UInt64 = 1 << 56
  private static let mask: UInt64 = searcher - 1

  /// What a worker's futex word says.
  private enum State {
    static let awake: UInt32 = 0
    static let woken: UInt32 = 1
    static let asleep: UInt32 = 2
  }

  /// What does not change: the futex words lie in the region, `padding` apart.
  @safe private struct Constants {
    let workers: Int
    let asymmetric: Bool
    let region: Region
  }

  private static let constantsAt = 16
  /// Memory of the two words and the constants.
  static let bytes = constantsAt + MemoryLayout<Constants>.size

  private let memory: UnsafeMutableRawPointer

  /// unsafe: `memory` is zeroed, `bytes` long, aligned to 8, and outlives the value.
  @unsafe init(workers: Int, asymmetric: Bool, at memory: UnsafeMutableRawPointer) throws(MemoryError) {
    precondition(1...Parking.maxWorkers ~= workers, "1 to \(Parking.maxWorkers) workers")
    let region = try Region(bytes: workers * padding)
    unsafe self.memory = memory
    unsafe (memory + Parking.constantsAt).initializeMemory(
      as: Constants.self,
      to: Constants(workers: workers, asymmetric: asymmetric && millrace_membarrier_register() == 1, region: region))
  }

  func deallocate() { unsafe constants.pointee.region.free() }

  @inline(__always) private var constants: UnsafeMutablePointer<Constants> {
    unsafe (memory + Parking.constantsAt).assumingMemoryBound(to: Constants.self)
  }
  @inline(__always) private var word: SharedWord { unsafe SharedWord(memory) }
  @inline(__always) private var wakers: SharedWord { unsafe SharedWord(memory + 8) }
  // unsafe: the region holds a word for each worker.
  private func futex(_ worker: Int) -> SharedHalf { unsafe SharedHalf(constants.pointee.region.base + worker * padding) }
  var workers: Int { unsafe constants.pointee.workers }
  /// The barrier is on the sleeper's side (membarrier); otherwise both sides pay a fence.
  @inline(__always) var asymmetric: Bool { unsafe constants.pointee.asymmetric }

  /// Called after jobs were published: wakes a sleeper if there is one and nobody searches. 0.3 ns when there is nobody to wake.
  @inline(__always) func notify() {
    let seen: UInt64
    if asymmetric {
      // Order: program order is enough here: the sleeper's barrier, between its bit and its second look, orders us too.
      millrace_compiler_barrier()
      seen = word.loadAcquiring()
    } else {
      // Order: sequentially consistent read-modify-write. Pairs with the one in `prepareToSleep`.
      seen = word.add(0)
    }
    // Order: acquiring, both: whoever counted a sleeper in `word` was counted in `wakers` before.
    if seen == 0 || seen >= Parking.searcher && wakers.loadAcquiring() == 0 { return }
    wakeOne()
  }

  @inline(never) private func wakeOne() {
    while true {
      let seen = word.loadSequential()
      if seen >= Parking.searcher {
        // The searcher may be one whose waker was stopped before the wake.
        if wakers.loadSequential() != 0 { finishWakes() }
        return
      }
      if seen == 0 { return }
      let worker = seen.trailingZeroBitCount
      // The woken worker begins as a searcher, counted by us: nobody else wakes meanwhile. Said before, so that others can finish it.
      _ = wakers.add(1)
      let claimed = word.replace(seen, by: (seen & ~(1 << UInt64(worker))) &+ Parking.searcher)
      if claimed { wake(worker) }
      _ = wakers.subtract(1)
      if claimed { return }
    }
  }

  /// Wakes whoever has lost its bit and is still asleep.
  private func finishWakes() {
    for worker in 0..<workers where futex(worker).loadAcquiring() != State.awake && word.loadSequential() & (1 << UInt64(worker)) == 0 {
      wake(worker)
    }
  }

  private func wake(_ worker: Int) {
    // Order: sequentially consistent. Pairs with the acquiring load in `sleep`.
    _ = futex(worker).exchange(State.woken)
    // unsafe: the futex word lives as long as the scheduler.
    _ = unsafe millrace_futex_wake(futex(worker).address, 1)
  }

  /// Wakes everybody: the engine stops.
  func wakeAll() {
    while true {
      let seen = word.loadSequential()
      if seen & Parking.mask == 0 { return finishWakes() }
      let worker = (seen & Parking.mask).trailingZeroBitCount
      if word.replace(seen, by: (seen & ~(1 << UInt64(worker))) &+ Parking.searcher) { wake(worker) }
    }
  }

  /// The worker looks for work. Followed by `foundWork` or `prepareToSleep`.
  func beginSearch() { _ = word.add(Parking.searcher) }

  /// Half of the workers search already: one more would only be in the way.
  var enoughSearchers: Bool { word.loadRelaxed() >> 56 >= UInt64(max(1, workers / 2)) }

  /// The searcher has work. True: if there is more to do it wakes the next, since it was the last one, or since one that is counted may sleep on,
  /// its waker having been stopped.
  func foundWork() -> Bool { word.subtract(Parking.searcher) < Parking.searcher || wakers.loadSequential() != 0 }

  /// The searcher gives up: not a searcher any more, its bit is set, and from here on whoever publishes sees it. It must look once more before `sleep`.
  func prepareToSleep(_ worker: Int, searching: Bool) {
    futex(worker).storeRelaxed(State.asleep)
    // Order: sequentially consistent, one step: the bit appears with the searcher's disappearance.
    _ = word.add((1 << UInt64(worker)) &- (searching ? Parking.searcher : 0))
    if asymmetric { _ = millrace_membarrier() }
  }

  /// The second look found something: the worker is awake again, as a searcher. True: on its own; false: somebody was about to wake it.
  @discardableResult func cancelSleep(_ worker: Int) -> Bool {
    let claimed = clearBit(worker)
    // A wake that comes later cuts a later sleep short, which does no harm.
    futex(worker).storeRelaxed(State.awake)
    return claimed
  }

  /// Sleeps until woken. The worker is then a searcher.
  func sleep(_ worker: Int) {
    let futex = futex(worker)
    while futex.loadAcquiring() == State.asleep {
      if ModelCheck.wait() { continue }
      // unsafe: the futex word lives as long as the scheduler.
      _ = unsafe millrace_futex_wait(futex.address, State.asleep, -1)
    }
    futex.storeRelaxed(State.awake)
    _ = clearBit(worker)
  }

  /// Makes the worker a searcher, unless its waker has. True: its bit was still set.
  private func clearBit(_ worker: Int) -> Bool {
    let bit: UInt64 = 1 << UInt64(worker)
    while true {
      let seen = word.loadSequential()
      if seen & bit == 0 { return false }
      if word.replace(seen, by: (seen & ~bit) &+ Parking.searcher) { return true }
    }
  }

  /// Workers that sleep now.
  var sleeping: Int { (word.loadRelaxed() & Parking.mask).nonzeroBitCount }
}
