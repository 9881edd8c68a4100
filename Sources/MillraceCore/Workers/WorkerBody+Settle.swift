/// The end of a job: who may still end it, what becomes ready by it, and what the worker gives out when it has nothing to do.
extension WorkerBody {
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
  @inline(never) func finishContended(_ begun: Begun, _ outcome: UInt8) {
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
  @inline(never) func settleCompleted() -> Bool {
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
  @inline(__always) func settle(_ index: UInt32, outcome: UInt8?, here: Bool = true) {
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

  @inline(__always) func free(_ index: UInt32, _ job: Job) {
    // The generation ends here, so that a late claim on a freed record fails.
    job.state.storeRelaxed(Job.word(Job.generation(job.state.loadRelaxed()) &+ 1, Job.State.free))
    unsafe own.pointee.jobs.free(index, scheduler.jobs)
  }

  @inline(__always) func countSettled() {
    unsafe own.pointee.settled &+= 1
    if unsafe own.pointee.settled >= WorkerBody.lot { flushSettled() }
  }

  func flushSettled() {
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

  @inline(__always) func makeReady(_ run: Run, _ bits: UInt64, _ node: UInt32, _ outbox: inout Outbox, here: Bool) {
    let index = unsafe scheduler.makeNodeJob(run, bits, node, &own.pointee.jobs)
    unsafe place(index, Int(run.table.priorities[Int(node)]), Int(run.tenant), &outbox, next: true, here: here)
  }

  /// Where a job goes that has become ready here: the next-job slot, the own cache, or its tenant's queue.
  @inline(__always) func place(
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

  @inline(__always) func send(_ outbox: inout Outbox) {
    if outbox.used {
      unsafe scheduler.ready.append(outbox.chains.0, priority: 0, tenant: outbox.tenant)
      unsafe scheduler.ready.append(outbox.chains.1, priority: 1, tenant: outbox.tenant)
      unsafe scheduler.ready.append(outbox.chains.2, priority: 2, tenant: outbox.tenant)
      unsafe scheduler.ready.append(outbox.chains.3, priority: 3, tenant: outbox.tenant)
    }
    if outbox.surplus { unsafe scheduler.parking.notify() }
  }

  /// A released job stays with this worker as long as its tenant has credit: alone always, beside others as in the queue.
  @inline(__always) func mayRunHere(_ tenant: Int, _ priority: Int) -> Bool {
    if unsafe !scheduler.ready.others(than: tenant, priority: priority) { return true }
    return chargeHere(tenant, priority)
  }

  @inline(never) func chargeHere(_ tenant: Int, _ priority: Int) -> Bool {
    // unsafe: this worker's own, one for each priority.
    if unsafe credits[priority].tenant != tenant || credits[priority].jobs == 0 {
      unsafe credits[priority].tenant = tenant
      unsafe credits[priority].jobs = scheduler.ready.charge(priority: priority, tenant: tenant, upTo: ReadySet.quantum)
    }
    if unsafe credits[priority].jobs == 0 { return false }
    unsafe credits[priority].jobs -= 1
    return true
  }

  func finishedSink(_ run: UInt64) {
    if unsafe own.pointee.sinkRun != run {
      flushSinks()
      unsafe own.pointee.sinkRun = run
    }
    unsafe own.pointee.sinks &+= 1
    if unsafe own.pointee.sinks >= WorkerBody.lot { flushSinks() }
  }

  func flushSinks() {
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
