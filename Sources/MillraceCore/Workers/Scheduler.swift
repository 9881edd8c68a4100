internal import CMillrace

/// How a scheduler is built. Every number is a bound.
public struct SchedulerConfiguration: Sendable {
  /// Tasks in progress at once, asynchronous and blocking ones included: the user's `max_concurrent_tasks`.
  public var slots: Int
  /// Workers, each a thread in a `Runtime`; 1 ... 56.
  public var workers: Int
  /// Jobs and nodes of unfinished runs at once; submission beyond it is refused.
  public var capacity: Int
  public var tenants: Int
  /// Ready jobs of a priority and tenant start in order of their key instead of arrival.
  public var ordered: Bool
  /// Looks at an owner's answer before a thief takes all by force. 0: at once.
  public var stealPatience: Int
  /// Put the barrier on the sleeper's and the thief's side, where the system can.
  public var asymmetric: Bool

  public init(
    slots: Int, workers: Int, capacity: Int = 1 << 22, tenants: Int = 16, ordered: Bool = false, stealPatience: Int = 200,
    asymmetric: Bool = true
  ) {
    self.slots = slots
    self.workers = workers
    self.capacity = capacity
    self.tenants = tenants
    self.ordered = ordered
    self.stealPatience = stealPatience
    self.asymmetric = asymmetric
  }
}

/// Why a job was not taken. The caller still has everything it submitted.
public enum SubmitError: Error, Hashable, CustomStringConvertible {
  /// `capacity` jobs and nodes are in the engine.
  case full(limit: Int)
  case unknownHandler(UInt32)
  case unknownTenant(UInt16)
  case badPriority(UInt8)
  /// The engine is stopping.
  case stopped

  public var description: String {
    switch self {
    case .full(let limit): "the engine holds its limit of \(limit) jobs: submit again when some have finished, or raise the capacity"
    case .unknownHandler(let index): "no handler has index \(index): register it first"
    case .unknownTenant(let tenant): "tenant \(tenant) is not one of the engine's: raise `tenants`"
    case .badPriority(let priority): "priority \(priority) is not 0 (low) to 3 (critical)"
    case .stopped: "the engine is stopping and takes no more work"
    }
  }
}

/// The shared part of the core: jobs, ready queues, slots, limits, lanes. Runs nothing by itself; workers do.
///
/// # Threads
/// All methods from any thread, unless said otherwise.
/// # Progress
/// `submit`, `claim`, `cancel`: lock-free. Handlers and keys with a limit, and ordered queues, take a short lock.
@safe public final class Scheduler: @unchecked Sendable {
  public static let maxHandlers = 65_536
  public static let maxLimits = 65_536
  /// Producers that can submit at the same time without taking a block of records of their own.
  static let stripes = 16

  public let configuration: SchedulerConfiguration
  public let clock: Clock
  let jobs: Slab
  let ready: ReadySet
  let parking: Parking
  // unsafe: `maxHandlers` entries; written before the index is given out, and again only when nobody can name it any more: see `retireHandler`.
  let handlers: UnsafeMutablePointer<HandlerEntry>
  private let handlerCount: SharedWord
  /// Handlers whose jobs are taken: all that are registered, none once the engine stops.
  let openHandlers: SharedWord
  private let limitCount: SharedWord
  private let registration: SpinLock
  /// Numbers of handlers that were given back, and those among them that records of expired nodes may still name. Under the registration lock.
  private var freeHandlers: [UInt32] = []
  private var leftHandlers: [UInt32] = []
  /// Records of nodes that expired in their queues and have not been met there: their runs may be over.
  let expiredRecords: SharedWord
  /// The first limit that was given back, index + 1. Under the registration lock.
  private let freeLimit: UnsafeMutablePointer<UInt32>
  private let slots: SharedWord
  /// Jobs that were taken ever, counted by whoever submits; those that were given back, counted by workers; what the former saw of the latter.
  private let admitted: SharedWord
  private let dismissed: SharedWord
  private let seenDismissed: SharedWord
  private let stopping: SharedHalf
  let lookout: Lookout
  private let lanes: UnsafeMutableRawPointer
  private let caches: UnsafeMutableRawPointer
  private let limits: UnsafeMutableRawPointer
  private let limitRegion: Region
  private let handlerRegion: Region
  private let region: Region
  let stripeMemory: UnsafeMutableRawPointer
  /// Lanes of the blocking pool follow those of the workers.
  public let laneCount: Int
  /// Sets the loop's alarm. Set before workers run.
  nonisolated(unsafe) var alarm: TimerAlarm?
  nonisolated(unsafe) var alarmContext: UnsafeMutableRawPointer?
  /// Told on a worker, whose number is `lane`, that a row of jobs of one gathering handler is over: before it begins a job of another handler, and before it waits.
  public typealias RowEnded = @convention(c) (_ context: UnsafeMutableRawPointer?, _ lane: Int) -> Void
  // Set before workers run.
  nonisolated(unsafe) private(set) var rowEnded: RowEnded?
  nonisolated(unsafe) private(set) var rowContext: UnsafeMutableRawPointer?

  /// `blockingLanes`: threads of the blocking pool at most. Throws `MemoryError`.
  public init(_ configuration: SchedulerConfiguration, clock: Clock = .monotonic, blockingLanes: Int = 0) throws(MemoryError) {
    precondition(configuration.slots > 0 && configuration.slots <= 1 << 24, "1 to 2^24 slots")
    precondition(configuration.capacity > 0 && configuration.capacity <= 1 << 30, "1 to 2^30 jobs")
    self.configuration = configuration
    self.clock = clock
    let workers = configuration.workers
    // Beyond the jobs that are admitted: what workers and stripes hold in their caches.
    let slack = (workers + Scheduler.stripes + 4) * 4 * Slab.blockRecords
    // A node that expired in its queue has two records until a worker meets the first.
    let records = min(2 * configuration.capacity + slack, 1 << 31 - 1 << 20)
    jobs = try Slab(capacity: records)
    ready = try ReadySet(tenants: configuration.tenants, capacity: records, ordered: configuration.ordered)
    invariant(8 + Parking.bytes <= padding, "the idle words fit on the line of the levels")
    // unsafe: the rest of that line, which lives as long as the ready set.
    parking = unsafe try Parking(workers: workers, asymmetric: configuration.asymmetric, at: ready.parkingMemory)
    laneCount = workers + blockingLanes
    let cacheBytes = workers * ReadySet.priorities * WorkerCache.stride
    region = try Region(bytes: 8 * padding + laneCount * Lane.bytes + cacheBytes + Scheduler.stripes * padding)
    limitRegion = try Region(bytes: Scheduler.maxLimits * Limit.bytes)
    handlerRegion = try Region(bytes: Scheduler.maxHandlers * MemoryLayout<HandlerEntry>.stride)
    // unsafe: consecutive parts of zeroed regions whose lengths are the sums of theirs.
    unsafe handlers = handlerRegion.base.bindMemory(to: HandlerEntry.self, capacity: Scheduler.maxHandlers)
    unsafe limits = limitRegion.base
    unsafe handlerCount = SharedWord(region.base)
    unsafe limitCount = SharedWord(region.base + 8)
    unsafe registration = SpinLock(at: region.base + 16)
    unsafe freeLimit = (region.base + 24).bindMemory(to: UInt32.self, capacity: 1)
    unsafe openHandlers = SharedWord(region.base + 3 * padding + 64)
    unsafe expiredRecords = SharedWord(region.base + 6 * padding)
    unsafe slots = SharedWord(region.base + padding)
    unsafe admitted = SharedWord(region.base + 2 * padding)
    unsafe seenDismissed = SharedWord(region.base + 2 * padding + 8)
    unsafe dismissed = SharedWord(region.base + 5 * padding)
    unsafe stopping = SharedHalf(region.base + 3 * padding)
    unsafe lookout = Lookout(region.base + 4 * padding, lanes: laneCount)
    unsafe lanes = region.base + 8 * padding
    unsafe caches = lanes + laneCount * Lane.bytes
    unsafe stripeMemory = caches + cacheBytes
    slots.storeRelaxed(UInt64(configuration.slots))
  }

  deinit {
    parking.deallocate()
    ready.deallocate()
    jobs.deallocate()
    lookout.deallocate()
    region.free()
    limitRegion.free()
    handlerRegion.free()
  }

  /// Who is told of the ends of rows. Once, before workers run. unsafe: `context` is valid until the last worker has ended.
  @unsafe public func tellRowEnds(_ told: @escaping RowEnded, context: UnsafeMutableRawPointer?) {
    unsafe rowEnded = told
    unsafe rowContext = context
  }

  @inline(__always) func lane(_ index: Int) -> Lane { unsafe Lane(lanes + index * Lane.bytes) }
  /// The caches of a worker, `WorkerCache.stride` bytes each.
  func cacheMemory(of worker: Int) -> UnsafeMutableRawPointer { unsafe caches + worker * ReadySet.priorities * WorkerCache.stride }
  @inline(__always) func cache(of worker: Int, _ priority: Int) -> WorkerCache {
    unsafe WorkerCache(cacheMemory(of: worker) + priority * WorkerCache.stride)
  }

  /// True if some worker's cache has jobs of the priority.
  func isCached(_ priority: Int) -> Bool {
    for worker in 0..<parking.workers where !cache(of: worker, priority).isEmpty() { return true }
    return false
  }

  /// Worker `index` of `configuration.workers`; each may exist once at a time.
  public func makeWorker(_ index: Int) -> Worker {
    precondition(0..<configuration.workers ~= index, "worker \(index) is not one of \(configuration.workers)")
    return Worker(index, of: self)
  }

  // MARK: Handlers and limits

  /// Makes a handler known, until `retireHandler`. Complexity: O(1). nil: `maxHandlers` are registered.
  public func register(_ handler: Handler) -> HandlerIndex? {
    registration.lock()
    defer { registration.unlock() }
    let count = handlerCount.loadRelaxed()
    let index: UInt32
    if let free = freeHandlerLocked() {
      index = free
    } else {
      guard count < UInt64(Scheduler.maxHandlers) else { return nil }
      index = UInt32(count)
    }
    var limit: UInt32 = 0
    if handler.limit > 0 {
      guard let made = makeLimitLocked(handler.limit) else {
        if UInt64(index) < count { freeHandlers.append(index) }
        return nil
      }
      limit = made
    }
    // unsafe: index < maxHandlers, and nobody knows the number: it is new, or was given back.
    unsafe (handlers + Int(index)).initialize(
      to: HandlerEntry(
        run: handler.run, context: handler.context, finished: handler.finished, blocking: handler.blocking, isLimited: handler.limit > 0,
        isPlain: !handler.blocking && handler.gathers == 0 && handler.limit <= 0, gathersMore: UInt8(max(handler.gathers, 1) - 1),
        limit: limit))
    // One that is used again is found by workers in jobs only, whose publication orders this; a new one by its number as well.
    guard UInt64(index) == count else { return HandlerIndex(rawValue: index) }
    handlerCount.storeRelaxed(count + 1)
    // Order: releasing. Pairs with the acquiring loads of `openHandlers` wherever a job is taken.
    if !isStopping { openHandlers.storeReleasing(count + 1) }
    return HandlerIndex(rawValue: index)
  }

  /// Gives a handler's number back, for another one. Complexity: O(1).
  ///
  /// The caller's promise: all of its jobs have ended, the runs that name it are over, none is started from here on, and nobody asks for anything of such a run that
  /// names a handler. What may be left are records of its nodes that expired in their queues: the number is used again when there is none of any run.
  public func retireHandler(_ index: HandlerIndex) {
    precondition(index.rawValue < handlerCount.loadRelaxed(), "handler \(index.rawValue) is not registered")
    registration.lock()
    let entry = unsafe handlers[Int(index.rawValue)]
    leftHandlers.append(index.rawValue)
    registration.unlock()
    if entry.isLimited { retireLimit(entry.limit) }
  }

  private func freeHandlerLocked() -> UInt32? {
    // Order: sequentially consistent. Pairs with the addition in `expireReady`, which comes before the end of the node, and so of its run, and so of `retireHandler`.
    if !leftHandlers.isEmpty, expiredRecords.loadSequential() == 0 {
      freeHandlers.append(contentsOf: leftHandlers)
      leftHandlers.removeAll(keepingCapacity: true)
    }
    return freeHandlers.popLast()
  }

  /// Numbers of handlers that are in use, or may still be.
  public var handlersInUse: Int {
    registration.lock()
    defer { registration.unlock() }
    let left = expiredRecords.loadSequential() == 0 ? leftHandlers.count : 0
    return Int(handlerCount.loadRelaxed()) - freeHandlers.count - left
  }

  /// A limit for jobs with one key, until `retireLimit`. nil: `maxLimits` exist.
  public func makeLimit(_ count: Int) -> UInt32? {
    registration.lock()
    defer { registration.unlock() }
    return makeLimitLocked(count)
  }

  /// Gives a limit back: no run that starts from here on asks for it. Its place is used again when the last job has left it. Complexity: O(1).
  public func retireLimit(_ index: UInt32) {
    if limit(index).retire() { reclaim(index) }
  }

  private func reclaim(_ index: UInt32) {
    registration.lock()
    // unsafe: under the lock; nobody is in the limit.
    unsafe limit(index).nextFree.pointee = freeLimit.pointee
    unsafe freeLimit.pointee = index + 1
    registration.unlock()
  }

  private func makeLimitLocked(_ count: Int) -> UInt32? {
    if case let free = unsafe freeLimit.pointee, free != 0 {
      unsafe freeLimit.pointee = limit(free - 1).nextFree.pointee
      limit(free - 1).setLimit(count)
      return free - 1
    }
    let index = limitCount.loadRelaxed()
    guard index < UInt64(Scheduler.maxLimits) else { return nil }
    limitCount.storeRelaxed(index + 1)
    limit(UInt32(index)).setLimit(count)
    return UInt32(index)
  }

  private func limit(_ index: UInt32) -> Limit { unsafe Limit(limits + Int(index) * Limit.bytes) }

  /// The key's permit first, then the handler's: who waits for a handler may hold its key, never the other way round.
  func enterLimits(_ index: UInt32) -> Bool {
    // unsafe: the job is the calling worker's until it stands in a line.
    let fields = unsafe Job(jobs, index).fields
    if unsafe fields.pointee.word.flags & Job.Flag.keyed != 0 && fields.pointee.word.flags & Job.Flag.keyPermit == 0 {
      unsafe fields.pointee.word.flags |= Job.Flag.keyPermit
      if unsafe !limit(PermitRequest(rawValue: fields.pointee.limit).limit).enter(index, keyed: true, jobs) { return false }
    }
    let handler = unsafe handlers[Int(fields.pointee.word.handler)]
    if unsafe handler.isLimited && fields.pointee.word.flags & Job.Flag.permit == 0 {
      unsafe fields.pointee.word.flags |= Job.Flag.permit
      if !limit(handler.limit).enter(index, keyed: false, jobs) { return false }
    }
    return true
  }

  /// Passes the job's permits on to those that wait for them.
  func leaveLimits(_ index: UInt32, _ nodes: inout SlabCache) {
    // unsafe: the job is the calling worker's.
    let fields = unsafe Job(jobs, index).fields
    let word = unsafe fields.pointee.word
    unsafe fields.pointee.word.flags &= ~(Job.Flag.permit | Job.Flag.keyPermit)
    if word.flags & Job.Flag.permit != 0 { leave(unsafe handlers[Int(word.handler)].limit, index, keyed: false, &nodes) }
    if word.flags & Job.Flag.keyPermit != 0 {
      leave(unsafe PermitRequest(rawValue: fields.pointee.limit).limit, index, keyed: true, &nodes)
    }
  }

  private func leave(_ number: UInt32, _ index: UInt32, keyed: Bool, _ nodes: inout SlabCache) {
    take(limit(number).leave(index, keyed: keyed, jobs), of: number, &nodes)
  }

  private func take(_ left: Limit.Left, of number: UInt32, _ nodes: inout SlabCache) {
    var next = left.first
    while next != 0 {
      let job = next - 1
      // unsafe: let in, the job is this thread's until it is published.
      next = unsafe Job(jobs, job).fields.pointee.link
      enqueue(job, &nodes)
      parking.notify()
    }
    if left.isFree { reclaim(number) }
  }

  /// Lets the nodes of a run that is stopping out of the line of a limit, so that they are bypassed at once. Complexity: O(jobs in line).
  public func letOut(of run: Run, limit number: UInt32) { letOut(of: run, number, Job.Flag.keyPermit) }

  /// As above, for the limit of a handler, if it has one.
  public func letOut(of run: Run, handler: HandlerIndex) {
    let entry = unsafe handlers[Int(handler.rawValue)]
    if entry.isLimited { letOut(of: run, entry.limit, Job.Flag.permit) }
  }

  private func letOut(of run: Run, _ number: UInt32, _ flag: UInt8) {
    let (out, left) = limit(number).letOut(of: run.body, keyed: flag == Job.Flag.keyPermit, jobs)
    unsafe withStripe { stripe in
      var next = out
      while next != 0 {
        let index = next - 1
        let job = Job(jobs, index)
        // unsafe: let out of the line, the job is this thread's until it is published.
        next = unsafe job.fields.pointee.link
        unsafe job.fields.pointee.word.flags &= ~flag
        _ = job.cancelled.exchange(Job.generation(job.state.loadRelaxed()))
        unsafe enqueue(index, &stripe.pointee.nodes)
        parking.notify()
      }
      unsafe take(left, of: number, &stripe.pointee.nodes)
    }
  }

  /// A tenant's share relative to the others', 1 ... 1,000.
  public func setWeight(_ weight: Int, tenant: Int) { ready.setWeight(weight, tenant: tenant) }

  // MARK: Slots and admission

  @inline(__always) func takeSlot() -> Bool {
    while true {
      let free = slots.loadSequential()
      if free == 0 { return false }
      // Order: sequentially consistent. Pairs with `giveSlot`: either the taker sees the slot, or the giver sees that there is work, and wakes.
      if slots.replace(free, by: free - 1) { return true }
    }
  }

  func giveSlot() {
    _ = slots.add(1)
    if ready.occupied() != 0 { parking.notify() }
  }

  /// Slots that nothing holds. An idle worker holds none.
  public var freeSlots: Int { Int(slots.loadRelaxed()) }

  /// A worker that has no slot may find something to do now: completions, or ready jobs and a slot for them.
  var mayBegin: Bool {
    let occupied = ready.occupied()
    return occupied & ReadySet.completionsBit != 0 || (occupied != 0 && freeSlots > 0)
  }

  func admit(_ count: UInt64) -> Bool {
    let after = admitted.add(count) &+ count
    // An old view of `dismissed` is a smaller one: whoever passes by it passes.
    if after &- seenDismissed.loadRelaxed() <= UInt64(configuration.capacity) { return true }
    return admitSlowly(after, count)
  }

  @inline(never) private func admitSlowly(_ after: UInt64, _ count: UInt64) -> Bool {
    // Order: sequentially consistent. Pairs with the addition in `dismiss`: what was given back before the call counts.
    let gone = dismissed.loadSequential()
    seenDismissed.storeRelaxed(gone)
    if Int64(bitPattern: after &- gone) <= Int64(configuration.capacity) { return true }
    _ = admitted.subtract(count)
    return false
  }

  func dismiss(_ count: UInt64) { _ = dismissed.add(count) }

  /// Jobs and nodes that are in the engine, up to 128 more for each worker that is busy.
  public var admittedJobs: Int { max(0, Int(truncatingIfNeeded: admitted.loadRelaxed() &- dismissed.loadRelaxed())) }
  /// Records of the slab that have been touched so far: the memory that jobs take.
  public var touchedRecords: Int { jobs.touchedRecords }

  /// Whether a request may be taken. Complexity: O(1), four comparisons.
  @inline(__always) func check(_ request: JobRequest) throws(SubmitError) {
    // Order: acquiring. Pairs with the release in `register`.
    let isFit =
      UInt64(request.handler.rawValue) < openHandlers.loadAcquiring() && Int(request.tenant) < configuration.tenants
      && Int(request.priority) < ReadySet.priorities
    if !isFit { throw refusal(request) }
  }

  /// Why a request is not taken.
  @inline(never) func refusal(_ request: JobRequest) -> SubmitError {
    if UInt64(request.handler.rawValue) >= handlerCount.loadAcquiring() { return .unknownHandler(request.handler.rawValue) }
    if Int(request.tenant) >= configuration.tenants { return .unknownTenant(request.tenant) }
    if Int(request.priority) >= ReadySet.priorities { return .badPriority(request.priority) }
    return .stopped
  }

  /// `stop` was called: whoever sees this sees as well that nothing is started any more.
  // Order: acquiring. Pairs with the releasing store in `stop`.
  public var isStopping: Bool { stopping.loadAcquiring() != 0 }

  /// No more work is taken, and none started, from here on.
  func stop() {
    registration.lock()
    ready.stopStarts()
    stopping.storeReleasing(1)
    openHandlers.storeReleasing(0)
    registration.unlock()
  }
}
