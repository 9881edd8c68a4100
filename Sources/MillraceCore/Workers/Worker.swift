internal import CMillrace

/// A worker: picks jobs and finishes them. A value that is stepped; threads, parking and the loop are drivers around it.
///
/// `begin()` picks a job and marks it running, `run` calls its handler, `finish` settles it and releases what waited for it. Between `begin` and
/// `finish` any (virtual) time may pass. One thread at a time drives a worker; one thread may drive many.
@safe public struct Worker: ~Copyable {
  let body: WorkerBody
  private let scheduler: Scheduler

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
  private struct Credit {
    var tenant = 0
    var jobs = 0
  }

  /// Jobs taken from a queue at once while nothing else is ready.
  private static let ahead = 16
  /// Starts for which a worker takes nothing ahead after a handler of its went on elsewhere: such jobs are long, and their order counts for more than a CAS.
  private static let memory: UInt64 = 64
  /// Settled jobs are counted, and spawned ones admitted, in lots of so many.
  private static let lot: UInt64 = 64

  let index: Int
  unowned(unsafe) let scheduler: Scheduler
  // unsafe: made in init, freed by `deallocate`; touched only by the thread that drives the worker.
  private let own: UnsafeMutablePointer<Own>
  private let credits: UnsafeMutablePointer<Credit>
  private let context: UnsafeMutablePointer<JobContext>
  private let buffer: UnsafeMutablePointer<UInt32>
  private let lane: Lane

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
  private func stash() {
    let job = unsafe own.pointee.next
    if job == Slab.none { return }
    unsafe own.pointee.next = Slab.none
    unsafe keep(job, priority: own.pointee.nextPriority)
  }

  /// Into the cache if there is room, else back to its tenant's queue.
  private func keep(_ index: UInt32, priority: Int) {
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

  private func choose(_ occupied: UInt64) -> UInt32? {
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
  @inline(__always) private func choose(priority: Int, mixed: Bool) -> UInt32? {
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
    var missed = false
    let taken = unsafe scheduler.ready.take(priority: priority, upTo: limit, into: buffer, &own.pointee.nodes, missed: &missed)
    if missed { unsafe scheduler.parking.notify() }
    if taken > 0 {
      if taken > 1 { adopt(taken, priority) }
      return unsafe buffer[0]
    }
    let stolen = steal(priority)
    if stolen > 0 {
      if stolen > 1 { adopt(stolen, priority) }
      return unsafe buffer[0]
    }
    // A worker that looked while the bit was clear may sleep, and this one may go on to another level.
    if unsafe scheduler.ready.retire(priority: priority, cached: { unsafe scheduler.isCached(priority) }) {
      unsafe scheduler.parking.notify()
    }
    return nil
  }

  /// Puts all but the first of the buffer into the own cache, which is empty.
  @inline(__always) private func adopt(_ count: Int, _ priority: Int) {
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

  private func steal(_ priority: Int) -> Int {
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
  @inline(__always) private func start(_ index: UInt32) -> Begun? {
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

  // MARK: Finish

  /// Settles a job that `begin` returned, with what its handler said, and releases what waited for it.
  @inline(__always) func finish(_ begun: Begun, _ outcome: UInt8) {
    if begun.deadline == 0, unsafe !context.pointee.tokenIssued, outcome != Outcome.pending.rawValue {
      settle(begun.job.index, outcome: outcome)
    } else {
      finishContended(begun, outcome)
    }
  }

  /// The job may be ended by others as well: by its token or by the scan for overdue jobs.
  @inline(never) private func finishContended(_ begun: Begun, _ outcome: UInt8) {
    lane.deadline.storeReleasing(0)
    unsafe context.pointee.tokenIssued = false
    let job = unsafe Job(scheduler.jobs, begun.job.index)
    let generation = begun.job.generation
    var backoff = Backoff()
    while true {
      let word = job.state.loadAcquiring()
      guard Job.generation(word) == generation, Job.state(word) != Job.State.overdue else {
        // Timed out: what came back late changes nothing, and the record is not ours. The slot was held until now.
        unsafe scheduler.reportLate(begun, lane: index)
        return
      }
      switch Job.state(word) {
      case Job.State.telling: backoff.pause()
      case Job.State.running, Job.State.open:
        if outcome != Outcome.pending.rawValue {
          guard job.state.replace(word, by: Job.word(generation, Job.State.completed, outcome)) else { continue }
          settle(begun.job.index, outcome: outcome)
          return
        }
        // The slot goes with the job.
        guard job.state.replace(word, by: Job.word(generation, Job.State.pending)) else { continue }
        handOver()
        if job.cancelled.loadRelaxed() == generation { unsafe scheduler.endPending(begun.job, .cancelled) }
        return
      case Job.State.completed:
        settle(begun.job.index, outcome: Job.outcome(word))
        return
      default:
        // claimedRunning: whoever has the claim hands the job to the completions, or goes by `outcome` if it gives the claim back; the slot goes with it.
        guard job.state.replace(word, by: Job.word(generation, Job.State.claimedPending, outcome)) else { continue }
        handOver()
        return
      }
    }
  }

  /// Takes jobs whose attempt ended elsewhere. False: there were none.
  @inline(never) private func settleCompleted() -> Bool {
    let count = unsafe scheduler.ready.takeCompleted(upTo: WorkerCache.capacity, into: buffer, &own.pointee.nodes)
    if count == 0 { return false }
    // Settling may use the buffer for nothing; it releases into the cache and the queues only.
    for i in 0..<count {
      let job = unsafe Job(scheduler.jobs, buffer[i])
      let word = job.state.loadAcquiring()
      if Job.state(word) == Job.State.finished { unsafe scheduler.giveSlot() }
      unsafe settle(buffer[i], outcome: Job.outcome(word), here: false)
    }
    return true
  }

  // MARK: Settle

  /// The attempt is over: permits go on, the owner hears of it, successors are released, the record is freed. `outcome` nil: the node is bypassed.
  /// `here`: it ended on this worker, so that what it releases may stay.
  @inline(__always) private func settle(_ index: UInt32, outcome: UInt8?, here: Bool = true) {
    let job = unsafe Job(scheduler.jobs, index)
    // unsafe: the job is this worker's.
    let fields = unsafe job.fields
    let flags = unsafe fields.pointee.flags
    let first = unsafe fields.pointee.first
    let second = unsafe fields.pointee.second
    if flags & (Job.Flag.permit | Job.Flag.keyPermit) != 0 { unsafe scheduler.leaveLimits(index, &own.pointee.nodes) }
    if flags & Job.Flag.node != 0 {
      free(index, job)
      let node = UInt32(truncatingIfNeeded: second)
      unsafe Unmanaged<Run>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(first))!)._withUnsafeGuaranteedRef { run in
        if flags & Job.Flag.release != 0 {
          release(run, first, node, here: here)
          return
        }
        if let outcome {
          // unsafe: the run's owner keeps hooks and context valid until `completed`.
          if let finished = unsafe run.hooks.finished,
            unsafe finished(run.hooks.context, self.index, node, outcome) == Verdict.hold.rawValue
          {
            return
          }
        } else if let bypassed = unsafe run.hooks.bypassed {
          unsafe bypassed(run.hooks.context, self.index, node)
        }
        // Counted when its record leaves the queue: expired records must not outnumber the admitted jobs, however long no slot is free.
        if flags & Job.Flag.expired != 0 { unsafe own.pointee.settled &-= 1 }
        release(run, first, node, here: here)
      }
    } else {
      let word = job.state.loadRelaxed()
      let handler = unsafe scheduler.handlers[Int(fields.pointee.handler)]
      free(index, job)
      if let finished = unsafe handler.finished {
        unsafe finished(
          handler.context, JobID(index: index, generation: Job.generation(word)).rawValue, first, second,
          outcome ?? Outcome.cancelled.rawValue)
      }
      countSettled()
    }
  }

  @inline(__always) private func free(_ index: UInt32, _ job: Job) {
    // The generation ends here, so that a late claim on a freed record fails.
    job.state.storeRelaxed(Job.word(Job.generation(job.state.loadRelaxed()) &+ 1, Job.State.free))
    unsafe own.pointee.jobs.free(index, scheduler.jobs)
  }

  @inline(__always) private func countSettled() {
    unsafe own.pointee.settled &+= 1
    if unsafe own.pointee.settled >= WorkerBody.lot { flushSettled() }
  }

  private func flushSettled() {
    let settled = unsafe own.pointee.settled
    if settled == 0 { return }
    unsafe own.pointee.settled = 0
    unsafe scheduler.dismiss(settled)
  }

  /// A node is finished for good: its successors have one predecessor less to wait for.
  ///
  /// The run may end, and be freed by its owner, as soon as the last successor has been told: nothing of it is touched after that.
  @inline(__always) func release(_ run: Run, _ bits: UInt64, _ node: UInt32, here: Bool) {
    countSettled()
    let table = run.table
    // unsafe: node < count; the rows lie within `successors`.
    let begin = unsafe Int(table.successorStart[Int(node)])
    let end = unsafe Int(table.successorStart[Int(node) + 1])
    if begin == end {
      finishedSink(bits)
      return
    }
    var outbox = Outbox()
    for i in begin..<end {
      let successor = unsafe table.successors[i]
      if run.arrive(successor) { makeReady(run, bits, successor, &outbox, here: here) }
    }
    send(&outbox)
  }

  /// Submits from inside a handler. Admission is taken in lots, so that a spawn costs no locked instruction of its own.
  func spawn(_ request: JobRequest) throws(SubmitError) -> JobID {
    unsafe try scheduler.check(request)
    if unsafe own.pointee.admitted == 0 {
      if unsafe scheduler.admit(WorkerBody.lot) {
        unsafe own.pointee.admitted = WorkerBody.lot
      } else {
        guard unsafe scheduler.admit(1) else { throw unsafe .full(limit: scheduler.configuration.capacity) }
        unsafe own.pointee.admitted = 1
      }
    }
    unsafe own.pointee.admitted -= 1
    let index = unsafe scheduler.makeJob(request, &own.pointee.jobs)
    let id = unsafe JobID(index: index, generation: Job.generation(Job(scheduler.jobs, index).state.loadRelaxed()))
    var outbox = Outbox()
    // Not into the next-job slot: the handler that spawns may run for long, and the slot is nobody else's.
    place(index, Int(request.priority), Int(request.tenant), &outbox, next: false)
    send(&outbox)
    return id
  }

  /// Jobs on their way to the tenants' queues, and whether others should be told.
  struct Outbox {
    var chains = (BatchQueue.Chain(), BatchQueue.Chain(), BatchQueue.Chain(), BatchQueue.Chain())
    var tenant = 0
    var used = false
    var surplus = false
  }

  @inline(__always) private func makeReady(_ run: Run, _ bits: UInt64, _ node: UInt32, _ outbox: inout Outbox, here: Bool) {
    let index = unsafe scheduler.makeNodeJob(run, bits, node, &own.pointee.jobs)
    unsafe place(index, Int(run.table.priorities[Int(node)]), Int(run.tenant), &outbox, next: true, here: here)
  }

  /// Where a job goes that has become ready here: the next-job slot, the own cache, or its tenant's queue.
  @inline(__always) private func place(
    _ index: UInt32, _ priority: Int, _ tenant: Int, _ outbox: inout Outbox, next: Bool, here: Bool = true
  ) {
    if unsafe scheduler.ready.isOrdered {
      unsafe scheduler.enqueue(index, &own.pointee.nodes)
      outbox.surplus = true
      return
    }
    // What ended elsewhere left nothing warm here: its successors stand in line.
    if here, mayRunHere(tenant, priority) {
      if next, unsafe own.pointee.next == Slab.none {
        unsafe own.pointee.next = index
        unsafe own.pointee.nextPriority = priority
        return
      }
      let cache = unsafe scheduler.cache(of: self.index, priority)
      outbox.surplus = true
      if cache.room > 0 {
        unsafe own.pointee.cached |= 1 &<< UInt64(priority)
        if unsafe cache.push(index, fenced: !scheduler.parking.asymmetric) { unsafe scheduler.ready.announce(priority: priority) }
        return
      }
    }
    outbox.surplus = true
    outbox.used = true
    outbox.tenant = tenant
    var ok = false
    switch priority {
    case 0: ok = unsafe outbox.chains.0.append(index, scheduler.ready.nodes, &own.pointee.nodes)
    case 1: ok = unsafe outbox.chains.1.append(index, scheduler.ready.nodes, &own.pointee.nodes)
    case 2: ok = unsafe outbox.chains.2.append(index, scheduler.ready.nodes, &own.pointee.nodes)
    default: ok = unsafe outbox.chains.3.append(index, scheduler.ready.nodes, &own.pointee.nodes)
    }
    invariant(ok, "the queue nodes outnumber the jobs")
  }

  @inline(__always) private func send(_ outbox: inout Outbox) {
    if outbox.used {
      unsafe scheduler.ready.append(outbox.chains.0, priority: 0, tenant: outbox.tenant)
      unsafe scheduler.ready.append(outbox.chains.1, priority: 1, tenant: outbox.tenant)
      unsafe scheduler.ready.append(outbox.chains.2, priority: 2, tenant: outbox.tenant)
      unsafe scheduler.ready.append(outbox.chains.3, priority: 3, tenant: outbox.tenant)
    }
    if outbox.surplus { unsafe scheduler.parking.notify() }
  }

  /// A released job stays with this worker as long as its tenant has credit: alone always, beside others as in the queue.
  @inline(__always) private func mayRunHere(_ tenant: Int, _ priority: Int) -> Bool {
    if unsafe !scheduler.ready.others(than: tenant, priority: priority) { return true }
    return chargeHere(tenant, priority)
  }

  @inline(never) private func chargeHere(_ tenant: Int, _ priority: Int) -> Bool {
    // unsafe: this worker's own, one for each priority.
    if unsafe credits[priority].tenant != tenant || credits[priority].jobs == 0 {
      unsafe credits[priority].tenant = tenant
      unsafe credits[priority].jobs = scheduler.ready.charge(priority: priority, tenant: tenant, upTo: ReadySet.quantum)
    }
    if unsafe credits[priority].jobs == 0 { return false }
    unsafe credits[priority].jobs -= 1
    return true
  }

  private func finishedSink(_ run: UInt64) {
    if unsafe own.pointee.sinkRun != run {
      flushSinks()
      unsafe own.pointee.sinkRun = run
    }
    unsafe own.pointee.sinks &+= 1
    if unsafe own.pointee.sinks >= WorkerBody.lot { flushSinks() }
  }

  private func flushSinks() {
    let sinks = unsafe own.pointee.sinks
    if sinks == 0 { return }
    unsafe own.pointee.sinks = 0
    let bits = unsafe own.pointee.sinkRun
    unsafe own.pointee.sinkRun = 0
    unsafe Unmanaged<Run>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(bits))!)._withUnsafeGuaranteedRef { run in
      // Order: sequentially consistent. Pairs with itself: whoever counts the last sink has all other workers' writes before it.
      if run.remaining.subtract(sinks) == 0 { unsafe run.hooks.completed(run.hooks.context) }
    }
  }

  // MARK: Idle

  /// Gives out what only this worker knows: counts and its slot. Before it waits or is put away. May complete runs.
  func settleCounts() {
    flushSinks()
    unsafe own.pointee.settled &+= own.pointee.admitted
    unsafe own.pointee.admitted = 0
    flushSettled()
    if unsafe own.pointee.hasSlot {
      unsafe own.pointee.hasSlot = false
      unsafe scheduler.giveSlot()
    }
  }

  /// The job goes on elsewhere, and its slot with it.
  func handOver() {
    unsafe own.pointee.hasSlot = false
    unsafe own.pointee.wentOnAt = own.pointee.starts
  }

  /// Gives everything back, jobs included: others will run them. The worker is not stepped again.
  func retire() {
    stash()
    for priority in 0..<ReadySet.priorities {
      let cache = unsafe scheduler.cache(of: index, priority)
      while !cache.isEmptyForOwner {
        if let job = unsafe cache.pop(fenced: !scheduler.parking.asymmetric) {
          unsafe scheduler.enqueue(job & ~WorkerCache.announce, &own.pointee.nodes)
        }
      }
    }
    unsafe scheduler.parking.notify()
    settleCounts()
    unsafe own.pointee.jobs.flush(scheduler.jobs)
    unsafe own.pointee.nodes.flush(scheduler.ready.nodes)
  }
}
