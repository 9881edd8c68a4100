internal import CMillrace

/// Who sleeps, who searches, and who must be woken.
///
/// One word: bit i set = worker i sleeps or is about to (bits 0-55); the number of searchers above (bits 56-63). A worker that finds nothing
/// becomes a searcher, then sets its bit, puts a barrier on all threads, looks again, and sleeps on a futex word of its own. Whoever publishes a job
/// looks at the word afterwards and wakes one sleeper, but only if nobody searches: the searcher will find the job, and the last searcher that finds one
/// wakes the next.
///
/// # Threads
/// Any.
/// # Progress
/// `notify`: lock-free. `sleep` waits, as it must.
/// # Source
/// The searcher count follows Go's and tokio's schedulers; the barrier on the sleeper's side is Linux membarrier(2), PRIVATE_EXPEDITED. Models of both
/// forms: Tests/Models/parking.pml.
@safe struct Parking {
  static let maxWorkers = 56
  private static let searcher: UInt64 = 1 << 56
  private static let mask: UInt64 = searcher - 1

  private let word: SharedWord
  private let sleepers: UnsafeMutableRawPointer
  private let region: Region
  let workers: Int
  /// The barrier is on the sleeper's side (membarrier); otherwise both sides pay a fence.
  let asymmetric: Bool

  init(workers: Int, asymmetric: Bool) throws(MemoryError) {
    precondition(1...Parking.maxWorkers ~= workers, "1 to \(Parking.maxWorkers) workers")
    self.workers = workers
    self.asymmetric = asymmetric && millrace_membarrier_register() == 1
    region = try Region(bytes: (workers + 1) * padding)
    // unsafe: the region is (workers + 1) * padding zeroed bytes.
    unsafe word = SharedWord(region.base)
    unsafe sleepers = region.base + padding
  }

  func deallocate() { region.free() }

  private func futex(_ worker: Int) -> SharedHalf { unsafe SharedHalf(sleepers + worker * padding) }

  /// Called after jobs were published: wakes a sleeper if there is one and nobody searches. 0.3 ns when there is nobody to wake.
  @inline(__always) func notify() {
    if asymmetric {
      // Order: program order is enough here: the sleeper's barrier, between its bit and its second look, orders us too.
      millrace_compiler_barrier()
      let seen = word.loadRelaxed()
      if seen & Parking.mask == 0 || seen >= Parking.searcher { return }
    } else {
      // Order: sequentially consistent read-modify-write. Pairs with the one in `prepareToSleep`.
      let seen = word.add(0)
      if seen & Parking.mask == 0 || seen >= Parking.searcher { return }
    }
    wakeOne()
  }

  @inline(never) private func wakeOne() {
    while true {
      let seen = word.loadSequential()
      if seen & Parking.mask == 0 || seen >= Parking.searcher { return }
      let worker = (seen & Parking.mask).trailingZeroBitCount
      // The woken worker begins as a searcher, counted by us: nobody else wakes meanwhile.
      if word.replace(seen, by: (seen & ~(1 << UInt64(worker))) &+ Parking.searcher) {
        wake(worker)
        return
      }
    }
  }

  private func wake(_ worker: Int) {
    // Order: sequentially consistent. Pairs with the exchange in `sleep`.
    _ = futex(worker).exchange(1)
    // unsafe: the futex word lives as long as the scheduler.
    _ = unsafe millrace_futex_wake(futex(worker).address, 1)
  }

  /// Wakes everybody: the engine stops.
  func wakeAll() {
    while true {
      let seen = word.loadSequential()
      if seen & Parking.mask == 0 { return }
      let worker = (seen & Parking.mask).trailingZeroBitCount
      if word.replace(seen, by: (seen & ~(1 << UInt64(worker))) &+ Parking.searcher) { wake(worker) }
    }
  }

  /// The worker looks for work. Followed by `foundWork` or `prepareToSleep`.
  func beginSearch() { _ = word.add(Parking.searcher) }

  /// Half of the workers search already: one more would only be in the way.
  var enoughSearchers: Bool { word.loadRelaxed() >> 56 >= UInt64(max(1, workers / 2)) }

  /// The searcher has work. True: it was the last one, and wakes the next if there is more to do.
  func foundWork() -> Bool { word.subtract(Parking.searcher) < Parking.searcher }

  /// The searcher gives up: not a searcher any more, its bit is set, and from here on whoever publishes sees it. It must look once more before `sleep`.
  func prepareToSleep(_ worker: Int, searching: Bool) {
    // Order: sequentially consistent, one step: the bit appears with the searcher's disappearance.
    _ = word.add((1 << UInt64(worker)) &- (searching ? Parking.searcher : 0))
    if asymmetric { _ = millrace_membarrier() }
  }

  /// The second look found something. True: the worker is awake again on its own; false: somebody has woken it, as a searcher.
  func cancelSleep(_ worker: Int) -> Bool {
    let bit: UInt64 = 1 << UInt64(worker)
    while true {
      let seen = word.loadSequential()
      if seen & bit == 0 {
        // The wake is on its way or here: take it, so that it does not cut a later sleep short.
        var backoff = Backoff()
        while futex(worker).exchange(0) == 0 { backoff.pause() }
        return false
      }
      if word.replace(seen, by: (seen & ~bit) &+ Parking.searcher) { return true }
    }
  }

  /// Sleeps until woken. The worker is then a searcher.
  func sleep(_ worker: Int) {
    let futex = futex(worker)
    while futex.exchange(0) == 0 {
      // unsafe: the futex word lives as long as the scheduler.
      _ = unsafe millrace_futex_wait(futex.address, 0, -1)
    }
  }

  /// Workers that sleep now.
  var sleeping: Int { (word.loadRelaxed() & Parking.mask).nonzeroBitCount }
}
