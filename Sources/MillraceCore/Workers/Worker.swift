/// A worker: picks jobs and finishes them. A value that is stepped; threads, parking and the loop are drivers around it.
///
/// `begin()` picks a job and marks it running, `run` calls its handler, `finish` settles it and releases what waited for it. Between `begin` and
/// `finish` any (virtual) time may pass. One thread at a time drives a worker; one thread may drive many.
@safe public struct Worker: ~Copyable {
  let body: WorkerBody
  let scheduler: Scheduler

  init(_ index: Int, of scheduler: Scheduler) {
    self.scheduler = scheduler
    body = WorkerBody(index, of: scheduler)
  }

  deinit { body.deallocate() }

  public var index: Int { body.index }

  /// Picks the next job and marks it running; nil if there is nothing that this worker may start now.
  ///
  /// Complexity: O(1), but for stealing, which looks at every other worker. Work that needs no handler (completions, bypassed nodes) is done on the way.
  public borrowing func begin() -> Begun? { body.begin() }

  /// Calls the handler of a job that `begin` returned, on this thread. What it said.
  public borrowing func run(_ begun: Begun) -> UInt8 { body.run(begun) }

  /// Settles a job that `begin` returned, with what its handler said, and releases what waited for it.
  public borrowing func finish(_ begun: Begun, _ outcome: UInt8) { body.finish(begun, outcome) }

  /// Gives out what only this worker knows: counts and its slot. Before it waits or is put away. May complete runs.
  public borrowing func settleCounts() { body.settleCounts() }

  /// The job will be run by another thread, with `Scheduler.runElsewhere`; its slot goes with it.
  public borrowing func handOver(_ begun: Begun) { body.handOver() }

  /// Gives everything back, jobs included: others will run them. The worker is not stepped again.
  public borrowing func retire() { body.retire() }
}

/// A job that was picked and not yet finished.
public struct Begun: Sendable {
  public let job: JobID
  public let handler: HandlerIndex
  public let first: UInt64
  public let second: UInt64
  /// True if `first` and `second` are a run and its node.
  public let isNode: Bool
  /// To be run in the blocking pool.
  public let blocking: Bool
  /// When start-to-close ends; 0: no timeout.
  public let deadline: UInt64
}

/// The worker's code: pointers to what it alone touches, copied into the context of its handlers.
@safe struct WorkerBody {
  /// What the worker alone touches.
  struct Own {
    var next: UInt32 = Slab.none
    var nextPriority = 0
    var hasSlot = false
    /// `starts` when a handler last went on elsewhere; a new worker takes its jobs for such until it has seen others.
    var wentOnAt: UInt64 = 0
    /// Bit p: the cache of priority p may have jobs.
    var cached: UInt64 = 0
    var starts: UInt64 = 0
    var jobs = SlabCache()
    var nodes = SlabCache()
    /// Sinks of this run that were finished here and are not yet counted in it.
    var sinkRun: UInt64 = 0
    var sinks: UInt64 = 0
    /// Jobs settled here whose admission is not yet given back.
    var settled: UInt64 = 0
    /// Jobs admitted for `spawn` ahead of time.
    var admitted: UInt64 = 0
    var stealSequence: UInt32 = 0
  }

  /// Starts that released jobs of a tenant have in hand, by priority.
  struct Credit {
    var tenant = 0
    var jobs = 0
  }

  /// Jobs taken from a queue at once while nothing else is ready.
  static let ahead = 16
  /// Starts for which a worker takes nothing ahead after a handler of its went on elsewhere: such jobs are long, and their order counts for more than a CAS.
  static let memory: UInt64 = 64
  /// Settled jobs are counted, and spawned ones admitted, in lots of so many.
  static let lot: UInt64 = 64

  let index: Int
  unowned(unsafe) let scheduler: Scheduler
  // unsafe: made in init, freed by `deallocate`; touched only by the thread that drives the worker.
  let own: UnsafeMutablePointer<Own>
  let credits: UnsafeMutablePointer<Credit>
  let context: UnsafeMutablePointer<JobContext>
  let buffer: UnsafeMutablePointer<UInt32>
  let lane: Lane

  init(_ index: Int, of scheduler: Scheduler) {
    self.index = index
    unsafe self.scheduler = scheduler
    lane = scheduler.lane(index)
    unsafe own = .allocate(capacity: 1)
    unsafe own.initialize(to: Own())
    unsafe own.pointee.stealSequence = UInt32(index) << 24
    unsafe credits = .allocate(capacity: ReadySet.priorities)
    unsafe credits.initialize(repeating: Credit(), count: ReadySet.priorities)
    unsafe buffer = .allocate(capacity: WorkerCache.capacity)
    unsafe context = .allocate(capacity: 1)
    unsafe context.initialize(
      to: JobContext(job: JobID(rawValue: 0), first: 0, second: 0, lane: index, deadline: 0, worker: self, scheduler: scheduler))
  }

  func deallocate() {
    unsafe own.deallocate()
    unsafe credits.deallocate()
    unsafe buffer.deallocate()
    unsafe context.deinitialize(count: 1)
    unsafe context.deallocate()
  }

  // MARK: Begin

  /// Picks the next job and marks it running; nil if there is nothing that this worker may start now.
  ///
  /// Complexity: O(1), but for stealing, which looks at every other worker. Work that needs no handler (completions, bypassed nodes) is done on the way.
  func begin() -> Begun? {
    while true {
      let occupied = unsafe scheduler.ready.occupied()
      if occupied & ReadySet.completionsBit != 0, settleCompleted() { continue }
      if unsafe !own.pointee.hasSlot {
        guard unsafe scheduler.takeSlot() else {
          stash()
          return nil
        }
        unsafe own.pointee.hasSlot = true
      }
      guard let index = choose(occupied & 0xF) else { return nil }
      if let begun = start(index) { return begun }
    }
  }

  /// Puts the next-job slot where others see it.
  func stash() {
    let job = unsafe own.pointee.next
    if job == Slab.none { return }
    unsafe own.pointee.next = Slab.none
    unsafe keep(job, priority: own.pointee.nextPriority)
  }

  /// Into the cache if there is room, else back to its tenant's queue.
  func keep(_ index: UInt32, priority: Int) {
    let cache = unsafe scheduler.cache(of: self.index, priority)
    if cache.room > 0 {
      unsafe own.pointee.cached |= 1 &<< UInt64(priority)
      if unsafe cache.push(index, fenced: !scheduler.parking.asymmetric) { unsafe scheduler.ready.announce(priority: priority) }
    } else {
      unsafe scheduler.enqueue(index, &own.pointee.nodes)
    }
    // Nobody could see the job until now, and whoever looked for it may sleep.
    unsafe scheduler.parking.notify()
  }

  func choose(_ occupied: UInt64) -> UInt32? {
    var levels = unsafe occupied | own.pointee.cached
    let next = unsafe own.pointee.next
    if next != Slab.none {
      // The common case of a chain or a tree: nothing is more urgent than what has just become ready here.
      let priority = unsafe own.pointee.nextPriority
      levels |= 1 &<< UInt64(priority)
      if unsafe levels >> UInt64(priority) == 1 && own.pointee.starts & 63 != 63 {
        unsafe own.pointee.next = Slab.none
        return next
      }
    }
    // Every 64th start is the lowest level's, so that an endless load of higher priority cannot hold it up for ever.
    let aged = unsafe own.pointee.starts & 63 == 63
    while levels != 0 {
      let priority = aged ? levels.trailingZeroBitCount : 63 - levels.leadingZeroBitCount
      let bit: UInt64 = 1 &<< UInt64(priority)
      if let job = choose(priority: priority, mixed: levels != bit) {
        if unsafe own.pointee.next != Slab.none { stash() }
        return job
      }
      levels &= ~bit
    }
    return nil
  }

  /// A job of one level: the next-job slot, the own cache, the tenants' queues, other workers' caches.
  @inline(__always) func choose(priority: Int, mixed: Bool) -> UInt32? {
    let bit: UInt64 = 1 &<< UInt64(priority)
    if unsafe own.pointee.next != Slab.none && own.pointee.nextPriority == priority {
      let job = unsafe own.pointee.next
      unsafe own.pointee.next = Slab.none
      return job
    }
    let cache = unsafe scheduler.cache(of: index, priority)
    if unsafe own.pointee.cached & bit != 0 {
      while !cache.isEmptyForOwner {
        guard let job = unsafe cache.pop(fenced: !scheduler.parking.asymmetric) else { continue }
        if job & WorkerCache.announce != 0 {
          unsafe scheduler.ready.announce(priority: priority)
          unsafe scheduler.parking.notify()
        }
        return job & ~WorkerCache.announce
      }
      unsafe own.pointee.cached &= ~bit
    }
    // With several levels in use, an order by key, or handlers that go on elsewhere, nothing is taken ahead: what waits stays where everybody looks first.
    let wentOn = unsafe own.pointee.starts &- own.pointee.wentOnAt < WorkerBody.memory
    let limit = unsafe mixed || scheduler.ready.isOrdered || wentOn ? 1 : WorkerBody.ahead
    let taken = unsafe scheduler.ready.take(priority: priority, upTo: limit, into: buffer, &own.pointee.nodes)
    if taken > 0 {
      if taken > 1 { adopt(taken, priority) }
      return unsafe buffer[0]
    }
    let stolen = steal(priority)
    if stolen > 0 {
      if stolen > 1 { adopt(stolen, priority) }
      return unsafe buffer[0]
    }
    unsafe scheduler.ready.retire(priority: priority, cached: { unsafe scheduler.isCached(priority) })
    return nil
  }

  /// Puts all but the first of the buffer into the own cache, which is empty.
  @inline(__always) func adopt(_ count: Int, _ priority: Int) {
    let cache = unsafe scheduler.cache(of: index, priority)
    var newly = false
    for i in 1..<count {
      if cache.room == 0 {
        unsafe scheduler.enqueue(buffer[i], &own.pointee.nodes)
      } else if unsafe cache.push(buffer[i], fenced: !scheduler.parking.asymmetric) {
        newly = true
      }
    }
    unsafe own.pointee.cached |= 1 &<< UInt64(priority)
    if newly { unsafe scheduler.ready.announce(priority: priority) }
    // Between queue and cache the jobs were in nobody's sight: a worker that looked then may sleep.
    unsafe scheduler.parking.notify()
  }

  func steal(_ priority: Int) -> Int {
    let workers = unsafe scheduler.parking.workers
    for step in 1..<max(workers, 1) {
      let victim = (index + step) % workers
      let cache = unsafe scheduler.cache(of: victim, priority)
      if cache.isEmpty() { continue }
      unsafe own.pointee.stealSequence = own.pointee.stealSequence & 0xFF00_0000 | (own.pointee.stealSequence &+ 1) & 0x00FF_FFFF
      let count = unsafe cache.steal(
        into: buffer, sequence: own.pointee.stealSequence, patience: scheduler.configuration.stealPatience,
        barrier: scheduler.parking.asymmetric)
      if count > 0 { return count }
    }
    return 0
  }

  /// Marks a chosen job running. nil: it did not need its handler, or waits for a permit.
  @inline(__always) func start(_ index: UInt32) -> Begun? {
    let job = unsafe Job(scheduler.jobs, index)
    // unsafe: taken from a queue, the job is this worker's.
    let fields = unsafe job.fields
    let generation = Job.generation(job.state.loadRelaxed())
    let flags = unsafe fields.pointee.flags
    let isNode = flags & Job.Flag.node != 0
    let handler = unsafe scheduler.handlers + Int(fields.pointee.handler)
    let limited = unsafe handler.pointee.limit > 0 || flags & Job.Flag.keyed != 0
    let mayExpire = flags & Job.Flag.expires != 0
    if mayExpire {
      // Before anything else is looked at: of an expired node nothing but this record may be left.
      if limited, unsafe !scheduler.enterLimits(index) { return nil }
      if !job.state.replace(Job.word(generation, Job.State.ready), by: Job.word(generation, Job.State.running)) {
        unsafe scheduler.leaveLimits(index, &own.pointee.nodes)
        free(index, job)
        countSettled()
        return nil
      }
    }
    if isNode {
      let bypassed = unsafe Unmanaged<Run>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(fields.pointee.first))!)._withUnsafeGuaranteedRef {
        unsafe $0.isStopping || $0.isPoisoned(UInt32(truncatingIfNeeded: fields.pointee.second))
      }
      if bypassed {
        settle(index, outcome: nil)
        return nil
      }
    }
    if job.cancelled.loadRelaxed() == generation {
      settle(index, outcome: Outcome.cancelled.rawValue)
      return nil
    }
    if !mayExpire, limited, unsafe !scheduler.enterLimits(index) { return nil }
    // A run must not wait for its last sinks to be counted while this worker is busy elsewhere.
    if unsafe own.pointee.sinks != 0 && (!isNode || own.pointee.sinkRun != fields.pointee.first) { flushSinks() }

    var deadline: UInt64 = 0
    unsafe own.pointee.starts &+= 1
    if unsafe fields.pointee.timeout != 0 { deadline = unsafe scheduler.clock.now &+ fields.pointee.timeout }
    // Order: releasing. Pairs with the loads of whoever claims the job by its id.
    job.state.storeReleasing(Job.word(generation, deadline == 0 ? Job.State.running : Job.State.open))
    return unsafe Begun(
      job: JobID(index: index, generation: generation), handler: HandlerIndex(rawValue: fields.pointee.handler),
      first: fields.pointee.first,
      second: fields.pointee.second,
      isNode: isNode, blocking: handler.pointee.blocking, deadline: deadline)
  }

  // MARK: Run

  /// Calls the handler of a job that `begin` returned. On this worker's thread.
  @inline(__always) func run(_ begun: Begun) -> UInt8 {
    if begun.deadline != 0 { unsafe scheduler.watch(lane, begun.deadline, of: begun.job) }
    // unsafe: the context is this worker's; the handler's function and context are the registrant's, valid until the scheduler has stopped.
    unsafe context.pointee.job = begun.job
    unsafe context.pointee.first = begun.first
    unsafe context.pointee.second = begun.second
    unsafe context.pointee.deadline = begun.deadline
    lane.calls.storeRelaxed(lane.calls.loadRelaxed() &+ 1)
    lane.job.storeReleasing(begun.job.rawValue)
    lane.inside.storeReleasing(1)
    let handler = unsafe scheduler.handlers + Int(begun.handler.rawValue)
    let outcome = unsafe handler.pointee.run(handler.pointee.context, context)
    lane.inside.storeReleasing(0)
    return outcome
  }
}
