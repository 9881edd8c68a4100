internal import CMillrace

/// A worker's own store of jobs of one priority that are already charged to their tenants: at most 64, first in first out unless the owner asks
/// for the youngest.
///
/// The owner pushes and pops without a locked instruction. A thief asks by the claim word; the owner answers at its next pop by offering its
/// older half, which any thief takes by one CAS. An owner that does not answer sits in a long handler: the thief then puts a barrier
/// on all threads and takes everything, so that no job waits behind a handler it does not need.
///
/// # Threads
/// `push`, `pop`, `popYoungest`: the owner. `steal`, `isEmpty`: any other.
/// # Fields
/// `head`, `tail`: written by the owner, read by all. `slots`: written by the owner. `claim`: all, by CAS. `floor`: the owner's own.
/// # Progress
/// Owner: wait-free but for its CAS on a claim. Thief: bounded steps; a thief stopped anywhere delays neither the owner nor other thieves, but
/// for the answer to its own request.
/// # Source
/// Steal on request: Acar, Chargueraud and Rainey, "Scheduling Parallel Programs by Work Stealing with Private Deques" (PPoPP 2013). Barrier on
/// the thief's side: Dice, Huang and Yang, "Asymmetric Dekker Synchronization" (2001). Model: Tests/Models/worker-cache.pml.
@safe struct WorkerCache {
  static let capacity = 64
  /// Set in what `pop` returns when jobs became visible again that others may have missed: the worker then sets the level's bit.
  static let announce: UInt32 = 1 << 31
  /// head and tail (owner's line), claim (thieves' line), slots.
  static let bytes = 3 * padding + capacity * 4
  /// From one cache to the next.
  static let stride = (bytes + padding - 1) / padding * padding

  private let memory: UnsafeMutableRawPointer

  /// unsafe: `memory` is zeroed, `bytes` long, aligned to 128, and outlives the cache.
  @unsafe @inline(__always) init(_ memory: UnsafeMutableRawPointer) { unsafe self.memory = memory }

  @inline(__always) private var head: SharedHalf { unsafe SharedHalf(memory) }
  @inline(__always) private var tail: SharedHalf { unsafe SharedHalf(memory + 4) }
  @inline(__always) private var floor: UnsafeMutablePointer<UInt32> { unsafe (memory + 8).assumingMemoryBound(to: UInt32.self) }
  @inline(__always) private var claim: SharedWord { unsafe SharedWord(memory + padding) }
  @inline(__always) private var slots: UnsafeMutableRawPointer { unsafe memory + 2 * padding }

  @inline(__always) private func slot(_ position: UInt32) -> SharedHalf {
    unsafe SharedHalf(slots + Int(position % UInt32(WorkerCache.capacity)) &* 4)
  }

  /// What a claim says. Bits 0-2 kind, 8-15 count, 16-23 first position (modulo 256), 32-63 sequence: no two claims are equal.
  private enum Claim {
    static let request: UInt64 = 1
    static let offer: UInt64 = 2
    static let taken: UInt64 = 3
    /// The owner is between its answer and the new `head`: nobody else may touch anything.
    static let offering: UInt64 = 4

    @inline(__always) static func kind(_ word: UInt64) -> UInt64 { word & 7 }
    @inline(__always) static func count(_ word: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: word >> 8 & 0xFF) }
    @inline(__always) static func first(_ word: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: word >> 16) }
    @inline(__always) static func make(_ kind: UInt64, first: UInt32, count: UInt32, like word: UInt64) -> UInt64 {
      (word >> 32) << 32 | UInt64(first & 0xFF) << 16 | UInt64(count) << 8 | kind
    }
  }

  // MARK: Owner

  /// Jobs that the owner may still pop; an offer that nobody has taken yet counts. Owner.
  @inline(__always) var isEmptyForOwner: Bool {
    head.loadRelaxed() == tail.loadRelaxed() && claim.loadRelaxed() == 0
  }

  /// Free places. Owner.
  @inline(__always) var room: Int {
    // unsafe: the owner's own field.
    var low = unsafe floor.pointee
    let h = head.loadRelaxed()
    if low != h, Claim.kind(claim.loadAcquiring()) != Claim.offer {
      low = h
      unsafe floor.pointee = h
    }
    return WorkerCache.capacity - Int(tail.loadRelaxed() &- low)
  }

  /// The caller has seen `room`. True if the cache was empty before, or may have seemed so: others cannot know of the job yet. Owner.
  @inline(__always) func push(_ job: UInt32, fenced: Bool) -> Bool {
    let t = tail.loadRelaxed()
    slot(t).storeRelaxed(job)
    if fenced || t == head.loadRelaxed() {
      // Order: sequentially consistent. Pairs with `isEmpty` of a worker that cleared the level's bit: one of the two sees the other.
      _ = tail.exchange(t &+ 1)
    } else {
      // Order: releasing. Pairs with the acquiring load of `tail` in `steal`.
      tail.storeReleasing(t &+ 1)
    }
    // Order: as in `pop`. Without a claim yet, the thief's barrier comes later, and it takes the new job with the others.
    millrace_compiler_barrier()
    let word = claim.loadRelaxed()
    if word == 0 || Claim.kind(word) == Claim.offer { return t == head.loadRelaxed() }
    answerAtPush(t)
    return true
  }

  /// Several jobs at once: `put` for each, then `publish`; the caller has seen `room` for all of them. Owner.
  @inline(__always) func put(_ job: UInt32, at place: Int) {
    slot(tail.loadRelaxed() &+ UInt32(truncatingIfNeeded: place)).storeRelaxed(job)
  }

  /// Lets others see `count` jobs that were put, at least 1. As `push`, but for all of them together.
  @inline(__always) func publish(_ count: Int, fenced: Bool) -> Bool {
    let t = tail.loadRelaxed()
    let end = t &+ UInt32(truncatingIfNeeded: count)
    if fenced || t == head.loadRelaxed() { _ = tail.exchange(end) } else { tail.storeReleasing(end) }
    millrace_compiler_barrier()
    let word = claim.loadRelaxed()
    if word == 0 || Claim.kind(word) == Claim.offer { return t == head.loadRelaxed() }
    answerAtPush(end &- 1)
    return true
  }

  /// Settles a claim that was found after `tail` had been moved to `t + 1`: what a thief that came before has not seen must not wait for the next pop.
  @inline(never) private func answerAtPush(_ t: UInt32) {
    // Order: sequentially consistent. The job is seen by all before its level is announced.
    _ = tail.exchange(t &+ 1)
    while true {
      let word = claim.loadAcquiring()
      let h = head.loadRelaxed()
      switch Claim.kind(word) {
      case Claim.request: if offer(word, from: h, (t &+ 2 &- h) / 2) { return }
      case Claim.taken:
        head.storeReleasing(h &+ Claim.count(word))
        // Order: sequentially consistent. The level is announced after this by a plain load: a claim that is still in the store buffer then
        // would tell a worker that looks once more that all is taken.
        _ = claim.exchange(0)
        return
      default: return
      }
    }
  }

  /// Answers a request with `count` jobs from `first` on. False: the thief has helped itself, or is gone.
  private func offer(_ word: UInt64, from first: UInt32, _ count: UInt32) -> Bool {
    // unsafe: the owner's own field. Set before the offer is out: pushes spare the offered slots from now on.
    unsafe floor.pointee = first
    // Order: sequentially consistent. In two steps: a thief that finds no claim must find the new `head`.
    guard claim.replace(word, by: Claim.make(Claim.offering, first: first, count: count, like: word)) else { return false }
    head.storeReleasing(first &+ count)
    // Order: releasing. Pairs with the acquiring load of `claim` in `steal`: `slots` and `head` happened before.
    claim.storeReleasing(Claim.make(Claim.offer, first: first, count: count, like: word))
    return true
  }

  /// The oldest job. Owner. `fenced`: the system has no barrier on other threads, so that the owner pays one.
  @inline(__always) func pop(fenced: Bool) -> UInt32? {
    let h = head.loadRelaxed()
    return h == tail.loadRelaxed() ? takeBack(fenced: fenced) : popPlainly(fenced: fenced)
  }

  /// As `pop`, for the common case; nil: the ring is empty, or a claim has been settled, and the owner looks further.
  @inline(__always) func popPlainly(fenced: Bool) -> UInt32? {
    let h = head.loadRelaxed()
    if h == tail.loadRelaxed() { return nil }
    // Order: the store of `head` comes before the load of `claim` in program order; the thief's barrier between its claim and its load of
    // `head` makes it so for the processor. One of the two sees the other.
    // Releasing: who sees the new `head` in `isEmpty` sees the `tail` of all pushes before.
    if fenced { _ = head.exchange(h &+ 1) } else { head.storeReleasing(h &+ 1) }
    millrace_compiler_barrier()
    let word = claim.loadRelaxed()
    let job = slot(h).loadRelaxed()
    if word == 0 || Claim.kind(word) == Claim.offer { return job }
    return answer(claimed: h, job)
  }

  /// Settles a claim that was found after `head` had been moved from `h` to `h + 1`. Owner.
  @inline(never) private func answer(claimed h: UInt32, _ job: UInt32) -> UInt32? {
    while true {
      let word = claim.loadAcquiring()
      switch Claim.kind(word) {
      case Claim.request:
        let rest = tail.loadRelaxed() &- (h &+ 1)
        if rest == 0 {
          if claim.replace(word, by: 0) { return job }
        } else {
          if offer(word, from: h &+ 1, (rest &+ 1) / 2) { return job }
        }
      case Claim.taken:
        let count = Claim.count(word)
        // The thief read `head` before or after our store; either way it took all from there on.
        if Claim.first(word) == UInt8(truncatingIfNeeded: h) {
          head.storeReleasing(h &+ count)
          claim.storeReleasing(0)
          return nil
        }
        head.storeReleasing(h &+ 1 &+ count)
        claim.storeReleasing(0)
        return job
      default:
        return job
      }
    }
  }

  /// The youngest job, for an owner that goes depth first; nil if there is none but in an offer, or a thief has taken it. Owner.
  @inline(__always) func popYoungest(fenced: Bool) -> UInt32? {
    let h = head.loadRelaxed()
    let t = tail.loadRelaxed()
    if h == t { return nil }
    // Order: as in `pop`, with `tail` for `head`.
    if fenced { _ = tail.exchange(t &- 1) } else { tail.storeReleasing(t &- 1) }
    millrace_compiler_barrier()
    let word = claim.loadRelaxed()
    let job = slot(t &- 1).loadRelaxed()
    if word == 0 || Claim.kind(word) == Claim.offer { return job }
    return answer(youngest: t &- 1, job)
  }

  /// Settles a claim that was found after `tail` had been moved from `t + 1` to `t`. Owner.
  @inline(never) private func answer(youngest t: UInt32, _ job: UInt32) -> UInt32? {
    let h = head.loadRelaxed()
    while true {
      let word = claim.loadAcquiring()
      switch Claim.kind(word) {
      case Claim.request:
        if h == t {
          if claim.replace(word, by: 0) { return job }
        } else if offer(word, from: h, (t &- h &+ 1) / 2) {
          return job
        }
      case Claim.taken:
        // The thief read `tail` before or after our store: it took the job just popped with the others, or not.
        let end = h &+ Claim.count(word)
        tail.storeReleasing(end)
        head.storeReleasing(end)
        claim.storeReleasing(0)
        return end == t ? job : nil
      default:
        return job
      }
    }
  }

  /// The ring is empty; an offer that nobody wanted is the owner's again. Owner.
  @inline(never) private func takeBack(fenced: Bool) -> UInt32? {
    let word = claim.loadAcquiring()
    guard Claim.kind(word) == Claim.offer else {
      // A request to an empty ring is refused, so that its thief does not wait.
      if Claim.kind(word) == Claim.request { _ = claim.replace(word, by: 0) }
      return nil
    }
    guard claim.replace(word, by: 0) else { return nil }
    let count = Claim.count(word)
    // The slots of an offer lie directly before `head` only if nothing was pushed and popped since: copy, as push would.
    // unsafe: the owner's own field.
    let first = unsafe floor.pointee
    let job = slot(first).loadRelaxed()
    for i in 1..<max(count, 1) { _ = push(slot(first &+ i).loadRelaxed(), fenced: fenced) }
    return count > 1 ? job | WorkerCache.announce : job
  }

  // MARK: Others

  /// True if nothing could be stolen at some moment during the call. Sequentially consistent, for the check after a bit was cleared.
  func isEmpty() -> Bool {
    while true {
      let word = claim.loadSequential()
      if Claim.kind(word) == Claim.offer || Claim.kind(word) == Claim.offering { return false }
      // `head` first: it only grows and never passes `tail`, so that equal values were equal at the second load.
      let h = head.loadAcquiring()
      let t = tail.loadAcquiring()
      // What was pushed since all was taken is announced by its push, which settles the claim.
      if h != t && Claim.kind(word) != Claim.taken { return false }
      // `head` may have moved because jobs were offered meanwhile.
      if claim.loadSequential() == word { return true }
    }
  }

  /// Takes half of the jobs from an owner that answers within `patience` looks, all from one that does not. How many were taken.
  ///
  /// unsafe: `target` has room for 64 indices. `sequence` is unlike that of any other claim on this cache: thief and its count.
  @unsafe func steal(into target: UnsafeMutablePointer<UInt32>, sequence: UInt32, patience: Int, barrier: Bool) -> Int {
    var word = claim.loadAcquiring()
    if Claim.kind(word) == Claim.offer { return unsafe accept(word, into: target) }
    if word != 0 || isEmpty() { return 0 }
    let request = UInt64(sequence) << 32 | Claim.request
    if !claim.replace(0, by: request) { return 0 }

    for _ in 0..<patience {
      millrace_pause()
      word = claim.loadAcquiring()
      if word != request { return unsafe Claim.kind(word) == Claim.offer ? accept(word, into: target) : 0 }
    }
    // Without a barrier in the system the owner's pop carries the fence instead.
    if barrier { _ = millrace_membarrier() }
    let h = head.loadAcquiring()
    let t = tail.loadAcquiring()
    let count = t &- h
    if count == 0 || count > UInt32(WorkerCache.capacity) {
      _ = claim.replace(request, by: 0)
      return 0
    }
    for i in 0..<count { unsafe target[Int(i)] = slot(h &+ i).loadRelaxed() }
    // Order: sequentially consistent. Success means that the owner has not passed `pop` since the barrier: all from `h` on is ours.
    if claim.replace(request, by: Claim.make(Claim.taken, first: h, count: count, like: request)) { return Int(count) }
    return unsafe accept(claim.loadAcquiring(), into: target)
  }

  @unsafe private func accept(_ word: UInt64, into target: UnsafeMutablePointer<UInt32>) -> Int {
    guard Claim.kind(word) == Claim.offer else { return 0 }
    let count = Claim.count(word)
    let first = UInt32(Claim.first(word))
    for i in 0..<count { unsafe target[Int(i)] = slot(first &+ i).loadRelaxed() }
    // Order: sequentially consistent. Success means that the offer still stood, and so that its slots had not been written over.
    return claim.replace(word, by: 0) ? Int(count) : 0
  }
}
