/// All ready jobs that are in no worker's cache: a queue for each priority and tenant, chosen by deficit round robin, and the bitmap that
/// every worker reads before every start.
///
/// # Fields
/// `levels`: which priorities may have jobs, here or in a cache; number 4: completions wait; number 5: nothing is to be started. With the job that is handed
/// over directly. What `Parking` shares lies on the same line: whoever submits to, or is, an idle worker needs both, and a busy engine changes neither.
/// `active[p]`: which tenants may have jobs of priority p, 32 in a word.
/// `turn[p]`: whose turn it is: tenant (16), credit (16), sequence (32).
/// # Progress
/// Lock-free for jobs in order of arrival; a queue ordered by key has a lock (`PriorityHeap`).
/// # Source
/// Shreedhar and Varghese, "Efficient Fair Queueing Using Deficit Round Robin" (SIGCOMM 1995); the credit is counted in jobs.
@safe struct ReadySet {
  static let priorities = 4
  private static let completions = 4
  static let completionsBit: UInt64 = 1 << 4
  private static let stop = 5
  /// Nothing is to be started any more: as if something more urgent than all jobs were ready for ever.
  static let stopBit: UInt64 = 1 << 5
  /// Tenants of one engine.
  static let maxTenants = 1024
  /// Starts that a tenant of weight 1 gets before the next one's turn.
  static let quantum = 8
  static let maxWeight = 1000
  static let turnAlone = 64

  /// What does not change.
  @safe private struct Constants {
    let nodes: Slab
    let tenants: Int
    // unsafe: nil, or a heap for each priority and tenant.
    /// Non-nil: jobs wait in order of their key instead of arrival. `[priority * tenants + tenant]`.
    let heaps: UnsafeMutablePointer<PriorityHeap>?
    let region: Region
  }

  // Where things lie from the start of the region; queues follow the weights.
  private static let levelsAt = padding
  private static let activeAt = 2 * padding
  private static let activeStride = maxTenants / Occupancy.queues * 8
  private static let turnsAt = activeAt + priorities * activeStride
  private static let weightsAt = turnsAt + priorities * padding
  private static let queuesAt = weightsAt + maxTenants * 8

  private let memory: UnsafeMutableRawPointer

  /// Complexity: O(tenants).
  init(tenants: Int, capacity: Int, ordered: Bool) throws(MemoryError) {
    precondition(1...ReadySet.maxTenants ~= tenants, "an engine has 1 to \(ReadySet.maxTenants) tenants")
    let nodes = try Slab(capacity: capacity + 4 * tenants + 16384)
    let pairs = ReadySet.priorities * tenants
    let queueBytes = (pairs + 1) * BatchQueue.bytes
    let region = try Region(bytes: ReadySet.queuesAt + queueBytes + (ordered ? pairs * PriorityHeap.bytes : 0))
    // unsafe: consecutive parts of one zeroed region whose length is the sum of theirs.
    unsafe memory = region.base
    var heaps: UnsafeMutablePointer<PriorityHeap>?
    if ordered {
      let table = UnsafeMutablePointer<PriorityHeap>.allocate(capacity: pairs)
      for pair in 0..<pairs {
        let heap = unsafe try PriorityHeap(memory + ReadySet.queuesAt + queueBytes + pair * PriorityHeap.bytes, capacity: capacity)
        unsafe (table + pair).initialize(to: heap)
      }
      unsafe heaps = table
    }
    invariant(MemoryLayout<Constants>.size <= padding, "the constants fit before the first shared word")
    unsafe memory.initializeMemory(as: Constants.self, to: Constants(nodes: nodes, tenants: tenants, heaps: heaps, region: region))
    var cache = SlabCache()
    defer { cache.flush(nodes) }
    for pair in 0...pairs {
      let prepared = queue(pair).prepare(&cache)
      invariant(prepared, "a new slab has room for the dummies")
    }
    for tenant in 0..<tenants { setWeight(1, tenant: tenant) }
  }

  func deallocate() {
    if let heaps = unsafe heaps {
      for pair in 0..<ReadySet.priorities * tenants { unsafe heaps[pair].deallocate() }
      unsafe heaps.deallocate()
    }
    nodes.deallocate()
    unsafe constants.pointee.region.free()
  }

  @inline(__always) private var constants: UnsafeMutablePointer<Constants> { unsafe memory.assumingMemoryBound(to: Constants.self) }
  @inline(__always) private var heaps: UnsafeMutablePointer<PriorityHeap>? { unsafe constants.pointee.heaps }
  @inline(__always) var nodes: Slab { unsafe constants.pointee.nodes }
  @inline(__always) var tenants: Int { unsafe constants.pointee.tenants }
  private var tenantWords: Int { (tenants + Occupancy.queues - 1) / Occupancy.queues }
  @inline(__always) var isOrdered: Bool { unsafe heaps != nil }

  @inline(__always) private var levels: Levels { unsafe Levels(memory + ReadySet.levelsAt) }
  /// The rest of the line of `levels`.
  var parkingMemory: UnsafeMutableRawPointer { unsafe memory + (ReadySet.levelsAt + 8) }
  // unsafe: the words of a priority.
  @inline(__always) private func active(_ priority: Int) -> UnsafeMutableRawPointer {
    unsafe memory + (ReadySet.activeAt &+ priority &* ReadySet.activeStride)
  }
  @inline(__always) private func activeWord(_ priority: Int, _ word: Int) -> Occupancy { unsafe Occupancy(active(priority) + word &* 8) }
  @inline(__always) private func isActive(_ priority: Int, _ tenant: Int) -> Bool {
    activeWord(priority, tenant / Occupancy.queues).loadRelaxed() & (1 &<< UInt64(tenant % Occupancy.queues)) != 0
  }
  @inline(__always) private func turn(_ priority: Int) -> SharedWord {
    unsafe SharedWord(memory + (ReadySet.turnsAt &+ priority &* padding))
  }
  private func weightWord(_ tenant: Int) -> SharedWord { unsafe SharedWord(memory + (ReadySet.weightsAt + tenant * 8)) }
  @inline(__always) private func queue(_ pair: Int) -> BatchQueue {
    unsafe BatchQueue(memory + (ReadySet.queuesAt &+ pair &* BatchQueue.bytes), nodes: nodes)
  }
  @inline(__always) private func queue(_ priority: Int, _ tenant: Int) -> BatchQueue { queue(priority &* tenants &+ tenant) }
  private var completed: BatchQueue { queue(ReadySet.priorities * tenants) }

  /// A tenant's share relative to others, 1 ... 1,000. Any thread, at any time.
  func setWeight(_ weight: Int, tenant: Int) {
    precondition(1...ReadySet.maxWeight ~= weight && 0..<tenants ~= tenant, "weight 1 to 1000 of a tenant of this engine")
    weightWord(tenant).storeRelaxed(UInt64(weight))
  }

  // MARK: Levels

  /// Levels that may have jobs. Sequentially consistent: whatever `submit` announced before is seen.
  @inline(__always) func occupied() -> UInt64 { levels.load() }

  /// From here on workers start nothing.
  func stopStarts() { levels.insert(ReadySet.stop) }

  /// Called after jobs of `priority` were published anywhere.
  @inline(__always) func announce(priority: Int) { levels.insert(priority) }

  /// As `announce`, for several priorities at once: a bit each. Every worker reads the word before every start: one change of it is cheaper than four.
  @inline(__always) func announce(all priorities: UInt64) { levels.insert(all: priorities) }

  /// A worker found nothing of the level. `cached` tells whether a worker's cache has jobs of the priority.
  func retire(priority: Int, cached: () -> Bool) {
    // Looked at before as well: the word of the levels is on all busy workers' way, and stays with them if there is something.
    if hasJobs(priority: priority) || cached() { return }
    _ = levels.remove(priority) { hasJobs(priority: priority) || cached() }
  }

  private func hasJobs(priority: Int) -> Bool {
    for word in 0..<tenantWords where activeWord(priority, word).load() != 0 { return true }
    return false
  }

  // MARK: Jobs

  /// Hands a job over directly if nothing is ready anywhere, and jobs start in order of arrival. False: `append` it.
  @inline(__always) func hand(_ job: UInt32, priority: Int) -> Bool { !isOrdered && levels.hand(job, priority: priority) }

  var hasHanded: Bool { levels.hasHanded }

  /// The job of the priority that was handed over directly. No turn is charged for it: nobody else had anything ready.
  @inline(__always) func takeHanded(priority: Int, seen: (UInt32) -> Void) -> UInt32? { levels.takeHanded(priority: priority, seen: seen) }

  /// Publishes jobs of one priority and tenant in order of arrival. Complexity: O(1) CAS.
  @inline(__always) func append(_ chain: BatchQueue.Chain, priority: Int, tenant: Int) {
    appendSilently(chain, priority: priority, tenant: tenant)
    announce(priority: priority)
  }

  /// As `append`, but for `announce`, which must follow.
  @inline(__always) func appendSilently(_ chain: BatchQueue.Chain, priority: Int, tenant: Int) {
    queue(priority, tenant).append(chain)
    activate(priority, tenant)
  }

  /// Publishes one job in order of its key. Only when `isOrdered`. False: full.
  func insert(_ job: UInt32, key: UInt64, priority: Int, tenant: Int) -> Bool {
    guard let heaps = unsafe heaps, unsafe heaps[priority * tenants + tenant].insert(job, key: key) else { return false }
    activate(priority, tenant)
    announce(priority: priority)
    return true
  }

  @inline(__always) private func activate(_ priority: Int, _ tenant: Int) {
    activeWord(priority, tenant / Occupancy.queues).insert(tenant % Occupancy.queues)
  }

  private func deactivate(_ priority: Int, _ tenant: Int) {
    _ = activeWord(priority, tenant / Occupancy.queues).remove(tenant % Occupancy.queues) {
      if !queue(priority, tenant).isEmpty() { return true }
      guard let heaps = unsafe heaps else { return false }
      return unsafe !heaps[priority * tenants + tenant].isEmpty()
    }
  }

  /// True if a tenant other than `tenant` may have jobs of the priority. Complexity: O(tenants / 32).
  @inline(__always) func others(than tenant: Int, priority: Int) -> Bool {
    // unsafe: the priority's words.
    let words = unsafe active(priority)
    if tenants <= Occupancy.queues {
      return unsafe Occupancy(words).loadRelaxed() & ~(1 &<< UInt64(truncatingIfNeeded: tenant)) != 0
    }
    return unsafe manyOthers(than: tenant, words)
  }

  @unsafe @inline(never) private func manyOthers(than tenant: Int, _ words: UnsafeMutableRawPointer) -> Bool {
    for word in 0..<tenantWords {
      var bits = unsafe Occupancy(words + word * 8).loadRelaxed()
      if word == tenant / Occupancy.queues { bits &= ~(1 &<< UInt64(tenant % Occupancy.queues)) }
      if bits != 0 { return true }
    }
    return false
  }

  /// The first active tenant after `tenant`, round and round; nil if none is.
  private func nextActive(after tenant: Int, priority: Int) -> Int? {
    let start = tenant + 1
    for i in 0...tenantWords {
      let word = (start / Occupancy.queues + i) % tenantWords
      var bits = activeWord(priority, word).load()
      if i == 0, start / Occupancy.queues < tenantWords { bits &= UInt64.max &<< UInt64(start % Occupancy.queues) }
      if bits != 0 { return word * Occupancy.queues + bits.trailingZeroBitCount }
    }
    return nil
  }

  /// Takes up to `limit` jobs of a priority, of the tenant whose turn it is, and charges them to it. 0: there was none.
  ///
  /// unsafe: `target` has room for `limit` indices.
  /// Complexity: O(1) amortised; O(tenants / 32) when the turn passes on.
  @unsafe @inline(__always) func take(
    priority: Int, upTo limit: Int, into target: UnsafeMutablePointer<UInt32>, _ cache: inout SlabCache
  ) -> Int {
    let turn = turn(priority)
    // Tenants found empty. Some may be listed all the same, while another worker looks at them once more: one round of all is enough.
    var empties = 0
    while empties <= tenants {
      let word = turn.loadRelaxed()
      var tenant = Int(word & 0xFFFF)
      var credit = credit(in: word, priority: priority, tenant: tenant)
      if credit == 0 || !isActive(priority, tenant) {
        guard let next = nextActive(after: tenant, priority: priority) else { return 0 }
        tenant = next
        // Alone, a tenant may as well have a longer turn: nobody waits.
        let alone = !others(than: next, priority: priority)
        credit = alone ? ReadySet.turnAlone : ReadySet.quantum * Int(weightWord(next).loadRelaxed())
      }
      let count = min(limit, credit)
      guard turn.replace(word, by: ((word >> 32) &+ 1) << 32 | UInt64(credit - count) << 16 | UInt64(tenant)) else { continue }
      var taken = 0
      // Jobs with a key and jobs without take turns in going first.
      if isOrdered, word >> 32 & 1 == 0 { taken = unsafe takeKeyed(priority, tenant, count, target) }
      let queue = queue(priority, tenant)
      while taken < count {
        let got = unsafe queue.take(upTo: count - taken, into: target + taken, &cache)
        if got == 0 { break }
        taken += got
      }
      if isOrdered, taken < count { taken += unsafe takeKeyed(priority, tenant, count - taken, target + taken) }
      // The tenant stays listed until nothing at all is found: while jobs keep coming, neither side has to change the list.
      if taken > 0 { return taken }
      deactivate(priority, tenant)
      empties += 1
      // The turn passes on, even if the tenant is still listed.
      let after = turn.loadRelaxed()
      if Int(after & 0xFFFF) == tenant { _ = turn.replace(after, by: ((after >> 32) &+ 1) << 32 | UInt64(tenant)) }
    }
    return 0
  }

  /// What is left of a turn. The longer turn of a tenant that was alone ends as a common one once another has jobs.
  @inline(__always) private func credit(in turn: UInt64, priority: Int, tenant: Int) -> Int {
    let credit = Int(turn >> 16 & 0xFFFF)
    if credit <= ReadySet.quantum || !others(than: tenant, priority: priority) { return credit }
    return min(credit, ReadySet.quantum * Int(weightWord(tenant).loadRelaxed()))
  }

  /// Charges up to `limit` jobs that a worker keeps for itself to a tenant, out of the turn that the tenant has now. How many it may keep.
  func charge(priority: Int, tenant: Int, upTo limit: Int) -> Int {
    let turn = turn(priority)
    while true {
      let word = turn.loadRelaxed()
      let credit = credit(in: word, priority: priority, tenant: tenant)
      if Int(word & 0xFFFF) != tenant || credit == 0 { return 0 }
      let count = min(limit, credit)
      if turn.replace(word, by: ((word >> 32) &+ 1) << 32 | UInt64(credit - count) << 16 | UInt64(tenant)) { return count }
    }
  }

  @unsafe private func takeKeyed(_ priority: Int, _ tenant: Int, _ limit: Int, _ target: UnsafeMutablePointer<UInt32>) -> Int {
    guard let heaps = unsafe heaps else { return 0 }
    var taken = 0
    while taken < limit, let job = unsafe heaps[priority * tenants + tenant].remove() {
      unsafe target[taken] = job
      taken += 1
    }
    return taken
  }

  // MARK: Completions

  /// Publishes jobs whose attempt ended elsewhere: workers take them before they start anything, slot or no slot.
  func complete(_ chain: BatchQueue.Chain) {
    completed.append(chain)
    levels.insert(ReadySet.completions)
  }

  /// unsafe: `target` has room for `limit` indices.
  @unsafe func takeCompleted(upTo limit: Int, into target: UnsafeMutablePointer<UInt32>, _ cache: inout SlabCache) -> Int {
    while true {
      let taken = unsafe completed.take(upTo: limit, into: target, &cache)
      if taken > 0 || levels.remove(ReadySet.completions, unless: { !completed.isEmpty() }) { return taken }
      // Some came meanwhile, or another worker is about to find out.
      if completed.isEmpty() { return 0 }
    }
  }
}
