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
  /// When start-to-close ends; 0: no timeout.
  public let deadline: UInt64
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
    /// Sinks of this run that were finished here and are not yet counted in it.
    var sinkRun: UInt64 = 0
    var sinks: UInt64 = 0
    var stealSequence: UInt32
    let index: Int
    // unsafe: made in init, freed by `deallocate`; touched only by the thread that drives the worker.
    let credits: UnsafeMutablePointer<Credit>
    let buffer: UnsafeMutablePointer<UInt32>
    unowned(unsafe) let scheduler: Scheduler
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
        scheduler: scheduler, openHandlers: scheduler.openHandlers, tenants: scheduler.configuration.tenants))
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

  // MARK: Work

  /// Begins, runs and finishes jobs on this thread, `limit` at most.
  ///
  /// What `begin`, `run` and `finish` do one after the other, for jobs that nothing keeps from their handlers; all others take the longer way through those
  /// three. A job that makes its one successor ready hands its record over to it, and the successor starts at once if nothing is more urgent.
  func work(upTo limit: Int) -> Work {
    var ran = 0
    while ran < limit {
      guard let index = pick() else {
        if flushArrivals() { continue }
        return Work(ran: ran, end: .idle)
      }
      let job = job(index)
      // unsafe: taken from a queue, the job is this worker's.
      let fields = unsafe job.fields
      var word = unsafe fields.pointee.word
      var handler = unsafe own.pointee.handlers + Int(word.handler)
      let first = unsafe fields.pointee.first
      var second = unsafe fields.pointee.second
      var generation = Job.generation(job.state.loadRelaxed())
      ran &+= 1
      guard word.flags | Job.Flag.node == Job.Flag.node, unsafe fields.pointee.timeout == 0 && handler.pointee.isPlain,
        job.cancelled.loadRelaxed() != generation, unsafe word.flags == 0 || !RunBody(bits: first).isDisturbed
      else {
        guard let begun = startSlowly(index) else { continue }
        if begun.blocking {
          handOver()
          _ = flushArrivals()
          return Work(ran: ran, end: .blocking(begun.job))
        }
        finish(begun, run(begun))
        continue
      }
      // A run must not wait for its last sinks to be counted while this worker is busy elsewhere, nor a node for its predecessors.
      if unsafe own.pointee.sinks != 0 && own.pointee.sinkRun != first { flushSinks() }
      if unsafe own.pointee.arrivals != 0 && !leadsToArrivals(word, first, second) { _ = flushArrivals() }
      while true {
        let id = JobID(index: index, generation: generation)
        unsafe own.pointee.starts &+= 1
        unsafe context.pointee.job = id
        unsafe context.pointee.first = first
        unsafe context.pointee.second = second
        lane.job.storeReleasing(id.rawValue)
        // Order: releasing. Pairs with the loads of whoever claims the job by its id.
        job.state.storeReleasing(Job.word(generation, Job.State.running))
        // unsafe: the handler's function and context are the registrant's, valid until the scheduler has stopped.
        let outcome = unsafe handler.pointee.run(handler.pointee.context, context)
        if unsafe context.pointee.tokenIssued || outcome == Outcome.pending.rawValue {
          finishContended(id, word.flags != 0, outcome)
          break
        }
        if word.flags == 0 {
          free(index, generation)
          countSettled()
          if let finished = unsafe handler.pointee.finished {
            unsafe finished(handler.pointee.context, id.rawValue, first, second, outcome)
          }
          break
        }
        let run = unsafe RunBody(bits: first)
        let node = UInt32(truncatingIfNeeded: second)
        // unsafe: the run's owner keeps hooks and context valid until `completed`.
        if let finished = unsafe run.finished, unsafe finished(run.context, self.index, node, outcome) == Verdict.hold.rawValue {
          free(index, generation)
          break
        }
        countSettled()
        let successors = unsafe run.successors(node)
        guard successors.count == 1 else {
          free(index, generation)
          unsafe releaseAll(run, node, successors, here: true)
          break
        }
        let successor = unsafe successors[0]
        if unsafe own.pointee.arrivals != 0 || (!own.pointee.alone && run.waits(for: WorkerBody.crowd, successor)) {
          free(index, generation)
          arriveLater(first, successor)
          break
        }
        guard run.arrive(successor, alone: unsafe own.pointee.alone) else {
          free(index, generation)
          break
        }
        let row = run.row(successor)
        generation = job.begin(run, successor, row, after: generation)
        word = unsafe job.fields.pointee.word
        if Plan.asks(row) == 0, ran < limit, unsafe own.pointee.spawned == 0, mayGoOn(word, run) {
          unsafe handler = own.pointee.handlers + Int(word.handler)
          if unsafe handler.pointee.isPlain {
            second = UInt64(successor)
            ran &+= 1
            continue
          }
        }
        job.ask(run, successor, row, JobID(index: index, generation: generation))
        var outbox = Outbox()
        place(index, word.priority, word.tenant, &outbox, next: true)
        send(&outbox)
        break
      }
      if unsafe own.pointee.spawned != 0 { goDeeper() }
    }
    _ = flushArrivals()
    return Work(ran: ran, end: .limit)
  }

  // MARK: Arrivals

  /// Counts an arrival at a node together with those that follow: many workers that end predecessors of one node would pass its counter to and fro.
  ///
  /// Nothing waits for it: the counted predecessors are told before this worker starts a job that the node does not wait for, and while it is in one that the
  /// node does wait for, the node cannot become ready.
  @inline(__always) private func arriveLater(_ run: UInt64, _ node: UInt32) {
    if unsafe own.pointee.arrivals != 0 && (own.pointee.arrivalNode != node || own.pointee.arrivalRun != run) { _ = flushArrivals() }
    unsafe own.pointee.arrivals &+= 1
    unsafe own.pointee.arrivalNode = node
    unsafe own.pointee.arrivalRun = run
  }

  /// The job is a node, and the only one that waits for it is the node of the arrivals.
  @inline(__always) private func leadsToArrivals(_ word: Job.Word, _ first: UInt64, _ second: UInt64) -> Bool {
    if unsafe word.flags == 0 || own.pointee.arrivalRun != first { return false }
    let successors = unsafe RunBody(bits: first).successors(UInt32(truncatingIfNeeded: second))
    return unsafe successors.count == 1 && successors[0] == own.pointee.arrivalNode
  }

  /// Tells the node of its predecessors. True: it became ready. `next`: it may take the next-job slot.
  @inline(never) func flushArrivals(next: Bool = true) -> Bool {
    let count = unsafe own.pointee.arrivals
    if count == 0 { return false }
    unsafe own.pointee.arrivals = 0
    let run = unsafe RunBody(bits: own.pointee.arrivalRun)
    let node = unsafe own.pointee.arrivalNode
    if !run.arrive(node, count: count, alone: unsafe own.pointee.alone) { return false }
    var outbox = Outbox()
    makeReady(run, node, Job.Word(bits: run.tenant).tenant, &outbox, next: next)
    send(&outbox)
    return true
  }

  /// A node that has just become ready here may start at once: nothing is more urgent, its run goes on as before, and its tenant has not had more than its
  /// share.
  @inline(__always) private func mayGoOn(_ word: Job.Word, _ run: RunBody) -> Bool {
    let levels = unsafe (own.pointee.ready.occupied() | own.pointee.cached) &>> UInt64(truncatingIfNeeded: word.priority)
    return unsafe levels <= 1 && own.pointee.starts & 63 != 63 && !run.isDisturbed && own.pointee.next == Slab.none
      && !own.pointee.isOrdered && mayRunHere(word.tenant, word.priority)
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

  /// The job to start next; nil if there is none that this worker may start now.
  @inline(__always) private func pick() -> UInt32? {
    let occupied = unsafe own.pointee.ready.occupied()
    let next = unsafe own.pointee.next
    if next != Slab.none {
      // The common case of a chain: nothing is more urgent than what has just become ready here. A worker with such a job has a slot.
      let levels = unsafe (occupied | own.pointee.cached) &>> UInt64(truncatingIfNeeded: own.pointee.nextPriority)
      if levels <= 1, unsafe own.pointee.starts & 63 != 63 && own.pointee.hasSlot {
        unsafe own.pointee.next = Slab.none
        return next
      }
    } else if unsafe own.pointee.cached != 0 && own.pointee.starts & 63 != 63 && own.pointee.hasSlot {
      // As common: nothing is more urgent than what is in the own cache.
      let priority = unsafe 63 &- own.pointee.cached.leadingZeroBitCount
      if occupied &>> UInt64(truncatingIfNeeded: priority) <= 1 {
        let cache = cache(priority)
        let job = unsafe own.pointee.deep ? cache.popYoungest(fenced: own.pointee.fenced) : cache.popPlainly(fenced: own.pointee.fenced)
        if let job { return job }
      }
    }
    return pickSlowly(occupied)
  }

  @inline(never) private func pickSlowly(_ seen: UInt64) -> UInt32? {
    var occupied = seen
    while occupied & ReadySet.completionsBit != 0, settleCompleted() { occupied = unsafe own.pointee.ready.occupied() }
    if occupied & ReadySet.stopBit != 0 { return nil }
    if unsafe !own.pointee.hasSlot {
      guard unsafe own.pointee.scheduler.takeSlot() else {
        stash()
        return nil
      }
      unsafe own.pointee.hasSlot = true
    }
    return choose(occupied & 0xF)
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
    let cache = cache(priority)
    if cache.room > 0 {
      unsafe own.pointee.cached |= 1 &<< UInt64(priority)
      if unsafe cache.push(index, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    } else {
      unsafe own.pointee.scheduler.enqueue(index, &own.pointee.nodeCache)
    }
    // Nobody could see the job until now, and whoever looked for it may sleep.
    unsafe own.pointee.parking.notify()
  }

  @inline(__always) private func choose(_ occupied: UInt64) -> UInt32? {
    var levels = unsafe occupied | own.pointee.cached
    if unsafe own.pointee.next != Slab.none { levels |= 1 &<< UInt64(truncatingIfNeeded: unsafe own.pointee.nextPriority) }
    // Every 64th start is the lowest level's, so that an endless load of higher priority cannot hold it up for ever.
    let aged = unsafe own.pointee.starts & 63 == 63
    while levels != 0 {
      let priority = aged ? levels.trailingZeroBitCount : 63 - levels.leadingZeroBitCount
      let bit: UInt64 = 1 &<< UInt64(priority)
      if let job = choose(priority: priority, mixed: levels != bit, aged: aged) {
        if unsafe own.pointee.next != Slab.none { stash() }
        return job
      }
      levels &= ~bit
    }
    return nil
  }

  /// A job of one level: the next-job slot, the own cache, the tenants' queues, other workers' caches. An aged start takes what waits in the queues
  /// before what has just become ready here, so that a chain without an end does not hold it up; now and then one takes the oldest of the cache.
  @inline(__always) private func choose(priority: Int, mixed: Bool, aged: Bool) -> UInt32? {
    let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: priority)
    let hasNext = unsafe own.pointee.next != Slab.none && own.pointee.nextPriority == priority
    if hasNext {
      if !aged { return takeNext() }
      let oldest = unsafe own.pointee.starts & WorkerBody.rarely == WorkerBody.rarely
      return (oldest ? takeCached(priority, deep: false) : nil) ?? fetchOne(priority) ?? takeNext()
    }
    if unsafe own.pointee.cached & bit != 0 {
      let oldest = unsafe own.pointee.starts & WorkerBody.rarely == WorkerBody.rarely
      if let job = takeCached(priority, deep: unsafe own.pointee.deep && !oldest) { return job }
    }
    return fetch(priority, mixed: mixed)
  }

  /// The oldest job of the own cache, or the youngest if the front is a tree's.
  @inline(__always) private func takeCached(_ priority: Int, deep: Bool) -> UInt32? {
    let cache = cache(priority)
    while !cache.isEmptyForOwner {
      if deep, let job = unsafe cache.popYoungest(fenced: own.pointee.fenced) { return job }
      guard let job = unsafe cache.pop(fenced: own.pointee.fenced) else { continue }
      if job & WorkerCache.announce != 0 {
        unsafe own.pointee.ready.announce(priority: priority)
        unsafe own.pointee.parking.notify()
      }
      return job & ~WorkerCache.announce
    }
    unsafe own.pointee.cached &= ~(1 &<< UInt64(truncatingIfNeeded: priority))
    unsafe own.pointee.deep = false
    return nil
  }

  /// A job of the tenants' queues, no more.
  @inline(never) private func fetchOne(_ priority: Int) -> UInt32? {
    let buffer = unsafe own.pointee.buffer
    let taken = unsafe own.pointee.ready.take(priority: priority, upTo: 1, into: buffer, &own.pointee.nodeCache)
    return unsafe taken > 0 ? buffer[0] : nil
  }

  @inline(__always) private func takeNext() -> UInt32 {
    let job = unsafe own.pointee.next
    unsafe own.pointee.next = Slab.none
    return job
  }

  /// A job of the tenants' queues or of other workers' caches.
  @inline(never) private func fetch(_ priority: Int, mixed: Bool) -> UInt32? {
    // With several levels in use, an order by key, or handlers that go on elsewhere, nothing is taken ahead: what waits stays where everybody looks first.
    let wentOn = unsafe own.pointee.starts &- own.pointee.wentOnAt < WorkerBody.memory
    let limit = unsafe mixed || own.pointee.isOrdered || wentOn ? 1 : WorkerBody.ahead
    let buffer = unsafe own.pointee.buffer
    let taken = unsafe own.pointee.ready.take(priority: priority, upTo: limit, into: buffer, &own.pointee.nodeCache)
    if taken > 0 {
      if taken > 1 { adopt(taken, priority) }
      return unsafe buffer[0]
    }
    let stolen = steal(priority)
    if stolen > 0 {
      if stolen > 1 { adopt(stolen, priority) }
      return unsafe buffer[0]
    }
    unsafe own.pointee.ready.retire(priority: priority, cached: { unsafe own.pointee.scheduler.isCached(priority) })
    return nil
  }

  /// Puts all but the first of the buffer into the own cache, which is empty.
  @inline(__always) private func adopt(_ count: Int, _ priority: Int) {
    let cache = cache(priority)
    let buffer = unsafe own.pointee.buffer
    // An offer that nobody has taken yet still has its places.
    let fit = min(count &- 1, cache.room)
    for i in 0..<fit {
      let index = unsafe buffer[i &+ 1]
      job(index).prefetch()
      cache.put(index, at: i)
    }
    for i in fit &+ 1..<count { unsafe own.pointee.scheduler.enqueue(buffer[i], &own.pointee.nodeCache) }
    if fit > 0 {
      unsafe own.pointee.cached |= 1 &<< UInt64(truncatingIfNeeded: priority)
      if unsafe cache.publish(fit, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    }
    // Between queue and cache the jobs were in nobody's sight: a worker that looked then may sleep.
    unsafe own.pointee.parking.notify()
  }

  private func steal(_ priority: Int) -> Int {
    let workers = unsafe own.pointee.parking.workers
    let scheduler = unsafe own.pointee.scheduler
    for step in 1..<max(workers, 1) {
      let victim = (index + step) % workers
      let cache = scheduler.cache(of: victim, priority)
      if cache.isEmpty() { continue }
      unsafe own.pointee.stealSequence = own.pointee.stealSequence & 0xFF00_0000 | (own.pointee.stealSequence &+ 1) & 0x00FF_FFFF
      let count = unsafe cache.steal(
        into: own.pointee.buffer, sequence: own.pointee.stealSequence, patience: scheduler.configuration.stealPatience,
        barrier: scheduler.parking.asymmetric)
      if count > 0 { return count }
    }
    return 0
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
    let limited = unsafe handler.pointee.isLimited || word.flags & Job.Flag.keyed != 0
    let mayExpire = word.flags & Job.Flag.expires != 0
    if mayExpire {
      // Before anything else is looked at: of an expired node nothing but this record may be left.
      if limited, unsafe !own.pointee.scheduler.enterLimits(index) { return nil }
      if !job.state.replace(Job.word(generation, Job.State.ready), by: Job.word(generation, Job.State.running)) {
        unsafe own.pointee.scheduler.leaveLimits(index, &own.pointee.nodeCache)
        free(index, generation)
        countSettled()
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
    if !mayExpire, limited, unsafe !own.pointee.scheduler.enterLimits(index) { return nil }
    _ = flushArrivals()
    // A run must not wait for its last sinks to be counted while this worker is busy elsewhere.
    if unsafe own.pointee.sinks != 0 && (!isNode || own.pointee.sinkRun != fields.pointee.first) { flushSinks() }

    var deadline: UInt64 = 0
    unsafe own.pointee.starts &+= 1
    if unsafe fields.pointee.timeout != 0 { deadline = unsafe own.pointee.scheduler.clock.now &+ fields.pointee.timeout }
    // Order: releasing. Pairs with the loads of whoever claims the job by its id.
    job.state.storeReleasing(Job.word(generation, deadline == 0 ? Job.State.running : Job.State.open))
    return unsafe Begun(
      job: JobID(index: index, generation: generation), handler: HandlerIndex(rawValue: word.handler),
      first: fields.pointee.first, second: fields.pointee.second, isNode: isNode, blocking: handler.pointee.blocking, deadline: deadline)
  }

  // MARK: Run

  /// Calls the handler of a job that `begin` returned. On this worker's thread.
  func run(_ begun: Begun) -> UInt8 {
    if begun.deadline != 0 { unsafe own.pointee.scheduler.watch(lane, begun.deadline, of: begun.job) }
    // unsafe: the context is this worker's; the handler's function and context are the registrant's, valid until the scheduler has stopped.
    let context = unsafe self.context
    unsafe context.pointee.job = begun.job
    unsafe context.pointee.first = begun.first
    unsafe context.pointee.second = begun.second
    unsafe context.pointee.deadline = begun.deadline
    lane.job.storeReleasing(begun.job.rawValue)
    let handler = unsafe own.pointee.handlers + Int(begun.handler.rawValue)
    let outcome = unsafe handler.pointee.run(handler.pointee.context, context)
    unsafe context.pointee.deadline = 0
    return outcome
  }
}
