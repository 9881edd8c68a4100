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

  /// Calls the handler of a job that `begin` returned and whose handler gathers, and goes on with jobs of the same handler that are next, `limit` in all: what they left
  /// pending may be run together. Finishes them. How many there were.
  ///
  /// Complexity: O(limit).
  public borrowing func gather(_ begun: Begun, upTo limit: Int) -> Int { body.gather(begun, upTo: limit) }

  /// Begins, runs and finishes jobs on this thread, `limit` at most: the three in one, without the value between them.
  ///
  /// Complexity: O(limit), as `begin` for each.
  public borrowing func work(upTo limit: Int) -> Work { body.work(upTo: limit) }

  /// Settles a job that `begin` returned, with what its handler said, and releases what waited for it.
  public borrowing func finish(_ begun: Begun, _ outcome: UInt8) { body.finish(begun, outcome) }

  /// Gives out what only this worker knows: counts and its slot. Before it waits or is put away. May complete runs.
  public borrowing func settleCounts() { body.settleCounts() }

  /// The job will be run by another thread, with `Scheduler.runElsewhere`; its slot goes with it.
  public borrowing func handOver(_ begun: Begun) { body.handOver() }

  /// Gives out what others could do: the worker is not stepped for a while.
  public borrowing func leave() { body.leave() }

  /// Gives everything back, jobs included: others will run them. The worker is not stepped again.
  public borrowing func retire() { body.retire() }
}

/// What `Worker.work` came to.
public struct Work: Sendable {
  public enum End: Sendable {
    /// There is nothing that this worker may start now.
    case idle
    case limit
    /// A job was begun that is to be run in the blocking pool; its slot is handed over.
    case blocking(JobID)
  }

  /// Jobs that were picked.
  public let ran: Int
  public let end: End
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
  /// As its handler's entry has it.
  let gathersMore: UInt8
  /// Start-to-close, nanoseconds; 0: no timeout.
  public let timeout: UInt64

  /// Its handler gathers: see `Worker.gather`.
  @inline(__always) public var gathers: Bool { gathersMore != 0 }
}

/// The worker's code: one pointer to what it alone touches, copied into the context of its handlers.
@safe struct WorkerBody {
  /// What the worker alone touches, and the addresses of what it shares.
  @safe struct Own {
    // What every step reads first.
    var next: UInt32 = Slab.none
    var nextPriority = 0
    var hasSlot = false
    /// Nobody else works: what only workers write needs no locked instruction.
    let alone: Bool
    let fenced: Bool
    let isOrdered: Bool
    /// Bit p: the cache of priority p may have jobs.
    var cached: UInt64 = 0
    var starts: UInt64 = 0
    /// Admissions in hand: those of jobs that were settled here, for what handlers spawn.
    var admissions: UInt64 = 0
    /// A free record, the last one given back here: the next job finds it in the nearest cache.
    var spare: UInt32 = Slab.none
    var jobCache = SlabCache()
    var nodeCache = SlabCache()
    // unsafe: the worker's caches, one for each priority; the table of handlers; both the scheduler's.
    let caches: UnsafeMutableRawPointer
    let handlers: UnsafeMutablePointer<HandlerEntry>
    let jobs: Slab
    let lane: Lane
    let ready: ReadySet
    let parking: Parking

    /// `starts` when a handler last went on elsewhere; a new worker takes its jobs for such until it has seen others.
    var wentOnAt: UInt64 = 0
    /// The last job that was begun for the blocking pool.
    var handedOver = JobID(rawValue: 0)
    /// Sinks of this run that were finished here and are not yet counted in it.
    var sinkRun: UInt64 = 0
    var sinks: UInt64 = 0
    var stealSequence: UInt32
    let index: Int
    // unsafe: made in init, freed by `deallocate`; touched only by the thread that drives the worker.
    let credits: UnsafeMutablePointer<Credit>
    let buffer: UnsafeMutablePointer<UInt32>
    unowned(unsafe) let scheduler: Scheduler
    let lookout: Lookout
    /// The clock is free to read.
    let timesExactly: Bool
    // What `spawn` asks.
    let openHandlers: SharedWord
    let tenants: Int
    /// Jobs that the handler which runs has spawned into the cache.
    var spawned = 0
    /// The own cache holds a tree's front: its youngest goes first.
    var deep = false
    /// Predecessors of one node that ended here and are not yet counted in it.
    var arrivals: UInt32 = 0
    var arrivalNode: UInt32 = 0
    var arrivalRun: UInt64 = 0
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
  /// Of every 1,024 starts one takes the oldest of the own cache, whatever is younger.
  static let rarely: UInt64 = 1023
  /// A node that waits for so many is one whose predecessors are counted in lots.
  static let crowd: UInt32 = 8
  /// Admissions are taken and given back in lots of so many; a worker has less than two in hand.
  static let lot: UInt64 = 64

  // unsafe: made in init, freed by `deallocate`; touched only by the thread that drives the worker. The context of its handlers lies before it.
  let own: UnsafeMutablePointer<Own>
  @inline(__always) var context: UnsafeMutablePointer<JobContext> {
    unsafe (UnsafeMutableRawPointer(own) - padding).assumingMemoryBound(to: JobContext.self)
  }

  init(_ index: Int, of scheduler: Scheduler) {
    invariant(MemoryLayout<JobContext>.size <= padding, "a handler's context fits before its worker's fields")
    let memory = UnsafeMutableRawPointer.allocate(byteCount: padding + MemoryLayout<Own>.size, alignment: padding)
    unsafe own = (memory + padding).bindMemory(to: Own.self, capacity: 1)
    let credits = UnsafeMutablePointer<Credit>.allocate(capacity: ReadySet.priorities)
    unsafe credits.initialize(repeating: Credit(), count: ReadySet.priorities)
    unsafe own.initialize(
      to: Own(
        alone: scheduler.configuration.workers == 1, fenced: !scheduler.parking.asymmetric, isOrdered: scheduler.ready.isOrdered,
        caches: scheduler.cacheMemory(of: index),
        handlers: scheduler.handlers, jobs: scheduler.jobs, lane: scheduler.lane(index), ready: scheduler.ready, parking: scheduler.parking,
        stealSequence: UInt32(index) << 24, index: index, credits: credits, buffer: .allocate(capacity: WorkerCache.capacity),
        scheduler: scheduler, lookout: scheduler.lookout, timesExactly: scheduler.clock.isFree, openHandlers: scheduler.openHandlers,
        tenants: scheduler.configuration.tenants))
    unsafe memory.bindMemory(to: JobContext.self, capacity: 1).initialize(
      to: JobContext(job: JobID(rawValue: 0), first: 0, second: 0, lane: index, deadline: 0, worker: self, scheduler: scheduler))
  }

  func deallocate() {
    unsafe own.pointee.credits.deallocate()
    unsafe own.pointee.buffer.deallocate()
    unsafe own.deinitialize(count: 1)
    let memory = unsafe UnsafeMutableRawPointer(context)
    unsafe context.deinitialize(count: 1)
    unsafe memory.deallocate()
  }

  var index: Int { unsafe own.pointee.index }
  @inline(__always) var lane: Lane { unsafe own.pointee.lane }
  @inline(__always) func job(_ index: UInt32) -> Job { unsafe Job(own.pointee.jobs, index) }
  @inline(__always) func cache(_ priority: Int) -> WorkerCache {
    unsafe WorkerCache(own.pointee.caches + priority &* WorkerCache.stride)
  }

  // MARK: Begin

  /// Picks the next job and marks it running; nil if there is nothing that this worker may start now.
  ///
  /// Complexity: O(1), but for stealing, which looks at every other worker. Work that needs no handler (completions, bypassed nodes) is done on the way.
  func begin() -> Begun? {
    while let index = pick() {
      if let begun = startSlowly(index) { return begun }
    }
    return nil
  }

  /// Marks a chosen job running. nil: it did not need its handler, or waits for a permit.
  @inline(never) func startSlowly(_ index: UInt32) -> Begun? {
    let job = job(index)
    // unsafe: taken from a queue, the job is this worker's.
    let fields = unsafe job.fields
    let generation = Job.generation(job.state.loadRelaxed())
    let word = unsafe fields.pointee.word
    let isNode = word.flags & Job.Flag.node != 0
    let handler = unsafe own.pointee.handlers + Int(word.handler)
    let mayExpire = word.flags & Job.Flag.expires != 0
    if mayExpire {
      // Before anything else is looked at: of an expired node nothing but this record may be left.
      // One that is over, or that its run has let out of a line, needs no permit.
      let isWanted = job.state.loadAcquiring() == Job.word(generation, Job.State.ready) && job.cancelled.loadRelaxed() != generation
      // The number of an expired one's handler is nobody else's before the record has been counted below.
      if isWanted, unsafe (handler.pointee.isLimited || word.flags & Job.Flag.keyed != 0) && !own.pointee.scheduler.enterLimits(index) {
        return nil
      }
      if !job.state.replace(Job.word(generation, Job.State.ready), by: Job.word(generation, Job.State.running)) {
        unsafe own.pointee.scheduler.leaveLimits(index, &own.pointee.nodeCache)
        free(index, generation)
        countSettled()
        _ = unsafe own.pointee.scheduler.expiredRecords.subtract(1)
        return nil
      }
    }
    if isNode {
      let run = unsafe RunBody(bits: fields.pointee.first)
      if run.isDisturbed, unsafe run.isBypassed(UInt32(truncatingIfNeeded: fields.pointee.second)) {
        settle(index, outcome: nil)
        return nil
      }
    }
    if job.cancelled.loadRelaxed() == generation {
      settle(index, outcome: Outcome.cancelled.rawValue)
      return nil
    }
    if !mayExpire, unsafe (handler.pointee.isLimited || word.flags & Job.Flag.keyed != 0) && !own.pointee.scheduler.enterLimits(index) {
      return nil
    }
    flushArrivals()
    // A run must not wait for its last sinks to be counted while this worker is busy elsewhere.
    if unsafe own.pointee.sinks != 0 && (!isNode || own.pointee.sinkRun != fields.pointee.first) { flushSinks() }

    let timeout = unsafe fields.pointee.timeout
    unsafe own.pointee.starts &+= 1
    // Order: releasing. Pairs with the loads of whoever claims the job by its id.
    job.state.storeReleasing(Job.word(generation, timeout == 0 ? Job.State.running : Job.State.open))
    return unsafe Begun(
      job: JobID(index: index, generation: generation), handler: HandlerIndex(rawValue: word.handler),
      first: fields.pointee.first, second: fields.pointee.second, isNode: isNode, blocking: handler.pointee.blocking,
      gathersMore: handler.pointee.gathersMore, timeout: timeout)
  }

  // MARK: Run

  /// Calls the handler of a job that `begin` returned. On this worker's thread. Of a handler that gathers it is a row of one.
  func run(_ begun: Begun) -> UInt8 {
    let outcome = call(begun)
    if begun.gathers { endRow() }
    return outcome
  }

  /// The row of jobs is over.
  private func endRow() {
    let scheduler = unsafe own.pointee.scheduler
    // unsafe: valid until the last worker has ended.
    if let told = unsafe scheduler.rowEnded { unsafe told(scheduler.rowContext, index) }
  }

  /// See `Worker.gather`. A job of another handler that is next goes where others see it, for what is run together may take long.
  @inline(never) func gather(_ first: Begun, upTo limit: Int) -> Int {
    let most = min(limit, Int(first.gathersMore) + 1)
    var next = Optional(first)
    var count = 1
    while true {
      if let begun = next { finish(begun, call(begun)) }
      guard count < most, let index = pick() else { break }
      // unsafe: taken from a queue, the job is this worker's.
      let word = unsafe job(index).fields.pointee.word
      if word.handler != first.handler.rawValue {
        putBack(index, priority: word.priority)
        break
      }
      count &+= 1
      next = startSlowly(index)
    }
    // What follows may take long: nobody waits meanwhile for what only this worker knows, and the slot in its hand may be another's. What is run together has its own.
    flushArrivals()
    stash()
    flushSinks()
    giveAdmissions()
    if unsafe own.pointee.hasSlot {
      unsafe own.pointee.hasSlot = false
      unsafe own.pointee.scheduler.giveSlot()
    }
    endRow()
    return count
  }

  private func putBack(_ index: UInt32, priority: Int) {
    // Where jobs wait in order of their key, that is their place.
    if unsafe own.pointee.isOrdered {
      unsafe own.pointee.scheduler.enqueue(index, &own.pointee.nodeCache)
      unsafe own.pointee.parking.notify()
    } else {
      keep(index, priority: priority)
    }
  }

  func call(_ begun: Begun) -> UInt8 {
    // unsafe: the context is this worker's; the handler's function and context are the registrant's, valid until the scheduler has stopped.
    let context = unsafe self.context
    unsafe context.pointee.job = begun.job
    unsafe context.pointee.first = begun.first
    unsafe context.pointee.second = begun.second
    if begun.timeout == 0 { lane.job.storeReleasing(begun.job.rawValue) } else { watch(begun.timeout, of: begun.job) }
    let handler = unsafe own.pointee.handlers + Int(begun.handler.rawValue)
    let outcome = unsafe handler.pointee.run(handler.pointee.context, context)
    if begun.timeout != 0 { forgetDeadline() }
    return outcome
  }

  /// Shows scans and handler the job's timeout.
  @inline(__always) func watch(_ timeout: UInt64, of job: JobID) {
    unsafe context.pointee.timeout = timeout
    // The common way touches no object: that would cost two locked instructions.
    if unsafe own.pointee.timesExactly {
      unsafe context.pointee.deadline = own.pointee.scheduler.watchExactly(lane, timeout, of: job)
      return
    }
    let lookout = unsafe own.pointee.lookout
    if lookout.show(lane, timeout, of: job, asymmetric: unsafe !own.pointee.fenced) { unsafe own.pointee.scheduler.askForScan(timeout) }
    unsafe context.pointee.deadline = Lookout.moment(timeout, after: lookout.time.loadRelaxed())
  }

  /// The handler is back: the next one may have none.
  @inline(__always) func forgetDeadline() {
    unsafe context.pointee.timeout = 0
    unsafe context.pointee.deadline = 0
  }
}
