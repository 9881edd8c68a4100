/// The end of a job: who may still end it, what becomes ready by it, and what the worker gives out when it has nothing to do.
extension WorkerBody {
  // MARK: Finish

  /// Settles a job that `begin` returned, with what its handler said, and releases what waited for it.
  func finish(_ begun: Begun, _ outcome: UInt8) {
    if begun.timeout == 0, unsafe !context.pointee.tokenIssued, outcome != Outcome.pending.rawValue {
      settle(begun.job.index, outcome: outcome)
    } else {
      finishContended(begun.job, begun.isNode, outcome)
    }
    if unsafe own.pointee.spawned != 0 { goDeeper() }
  }

  /// The job may be ended by others as well: by its token or by the scan for overdue jobs.
  @inline(never) func finishContended(_ id: JobID, _ isNode: Bool, _ outcome: UInt8) {
    flushArrivals()
    // Order: releasing. Pairs with the loads of the scan: one that sees the lane's next job does not see this timeout.
    lane.timeout.storeReleasing(0)
    unsafe context.pointee.tokenIssued = false
    let job = job(id.index)
    let generation = id.generation
    // unsafe: the context is this worker's, and still that of the call.
    let (first, second) = unsafe (context.pointee.first, context.pointee.second)
    var backoff = Backoff()
    while true {
      let word = job.state.loadAcquiring()
      guard Job.generation(word) == generation, Job.state(word) != Job.State.overdue else {
        // Timed out: what came back late changes nothing, and the record is not ours. The slot was held until now.
        if isNode { unsafe own.pointee.scheduler.reportLate(first, second, lane: index) }
        return
      }
      switch Job.state(word) {
      case Job.State.telling: backoff.pause()
      case Job.State.running, Job.State.open:
        if outcome != Outcome.pending.rawValue {
          guard job.state.replace(word, by: Job.word(generation, Job.State.completed, outcome)) else { continue }
          settle(id.index, outcome: outcome)
          return
        }
        // The slot goes with the job.
        guard job.state.replace(word, by: Job.word(generation, Job.State.pending)) else { continue }
        handOver()
        if job.cancelled.loadRelaxed() == generation { unsafe own.pointee.scheduler.endPending(id, .cancelled) }
        return
      case Job.State.completed:
        settle(id.index, outcome: Job.outcome(word))
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
    let buffer = unsafe own.pointee.buffer
    let count = unsafe own.pointee.ready.takeCompleted(upTo: WorkerCache.capacity, into: buffer, &own.pointee.nodeCache)
    if count == 0 { return false }
    // Settling may use the buffer for nothing; it releases into the cache and the queues only.
    for i in 0..<count {
      let word = unsafe job(buffer[i]).state.loadAcquiring()
      if Job.state(word) == Job.State.finished { unsafe own.pointee.scheduler.giveSlot() }
      unsafe settle(buffer[i], outcome: Job.outcome(word), here: false)
    }
    return true
  }

  // MARK: Settle

  /// A job of no run: its handler is told.
  @inline(__always) private func settleAlone(_ index: UInt32, _ job: Job, _ word: Job.Word, _ outcome: UInt8) {
    let (first, second) = unsafe (job.fields.pointee.first, job.fields.pointee.second)
    let generation = Job.generation(job.state.loadRelaxed())
    free(index, generation)
    // unsafe: the registrant's function and context.
    let handler = unsafe own.pointee.handlers + Int(word.handler)
    if let finished = unsafe handler.pointee.finished {
      unsafe finished(handler.pointee.context, JobID(index: index, generation: generation).rawValue, first, second, outcome)
    }
    countSettled()
  }

  /// The attempt is over: permits go on, the owner hears of it, successors are released, the record is freed. `outcome` nil: the node is bypassed.
  /// `here`: it ended on this worker, so that what it releases may stay.
  func settle(_ index: UInt32, outcome: UInt8?, here: Bool = true) {
    let job = job(index)
    // unsafe: the job is this worker's.
    let word = unsafe job.fields.pointee.word
    let flags = word.flags
    if flags & (Job.Flag.permit | Job.Flag.keyPermit) != 0 { unsafe own.pointee.scheduler.leaveLimits(index, &own.pointee.nodeCache) }
    guard flags & Job.Flag.node != 0 else { return settleAlone(index, job, word, outcome ?? Outcome.cancelled.rawValue) }
    let run = unsafe RunBody(bits: job.fields.pointee.first)
    let node = unsafe UInt32(truncatingIfNeeded: job.fields.pointee.second)
    free(index, Job.generation(job.state.loadRelaxed()))
    if flags & Job.Flag.release == 0 {
      // unsafe: the run's owner keeps hooks and context valid until `completed`.
      if let outcome {
        if let finished = unsafe run.finished, unsafe finished(run.context, self.index, node, outcome) == Verdict.hold.rawValue { return }
      } else if let bypassed = unsafe run.hooks.bypassed {
        unsafe bypassed(run.context, self.index, node)
      }
      // Counted when its record leaves the queue: expired records must not outnumber the admitted jobs, however long no slot is free.
      if flags & Job.Flag.expired != 0 { unsafe own.pointee.admissions &-= 1 }
    }
    countSettled()
    let successors = unsafe run.successors(node)
    if successors.isEmpty { return finishedSink(run.bits) }
    unsafe releaseAll(run, successors, told: 0, here: here, next: here)
  }

  /// Gives the record of a job back whose generation was `generation`.
  @inline(__always) func free(_ index: UInt32, _ generation: UInt32) {
    // The generation ends here, so that a late claim on a freed record fails.
    job(index).state.storeRelaxed(Job.word(generation &+ 1, Job.State.free))
    let spare = unsafe own.pointee.spare
    unsafe own.pointee.spare = index
    if spare != Slab.none { unsafe own.pointee.jobCache.free(spare, own.pointee.jobs) }
  }

  /// A free record.
  @inline(__always) func allocate() -> UInt32 {
    let spare = unsafe own.pointee.spare
    if spare != Slab.none {
      unsafe own.pointee.spare = Slab.none
      return spare
    }
    return unsafe own.pointee.jobCache.allocate(own.pointee.jobs) ?? allocateSlowly()
  }

  @inline(never) private func allocateSlowly() -> UInt32 { unsafe own.pointee.scheduler.allocateSlowly(&own.pointee.jobCache) }

  @inline(__always) func countSettled() {
    unsafe own.pointee.admissions &+= 1
    if unsafe own.pointee.admissions >= 2 * WorkerBody.lot { giveAdmissions() }
  }

  @inline(never) func giveAdmissions() {
    let admissions = unsafe own.pointee.admissions
    if admissions == 0 { return }
    unsafe own.pointee.admissions = 0
    unsafe own.pointee.scheduler.dismiss(admissions)
  }

  /// A node is finished for good: its successors have one predecessor less to wait for.
  ///
  /// The run may end, and be freed by its owner, as soon as the last successor has been told: nothing of it is touched after that.
  /// unsafe: `successors` are the node's, or the last ones of them. The first `told` of them have been told, and are ready.
  /// `here`: it ended here; what ended elsewhere left nothing warm, and its successors stand in line. `next`: the first may take the next-job slot.
  @unsafe @inline(never) func releaseAll(
    _ run: RunBody, _ successors: UnsafeBufferPointer<UInt32>, told: Int, here: Bool, next: Bool
  ) {
    let tenant = Job.Word(bits: run.tenant).tenant
    let alone = unsafe own.pointee.alone
    var batch = CacheBatch(next: next)
    for i in 0..<successors.count {
      let successor = unsafe successors[i]
      if i >= told, !run.arrive(successor, alone: alone) { continue }
      let index = allocate()
      let priority = job(index).begin(run, successor, index: index)
      if here, place(index, priority, tenant, &batch) { continue }
      publish(&batch)
      post(index, priority, tenant, &batch.outbox)
    }
    publish(&batch)
    send(&batch.outbox)
  }

  /// Jobs on their way into the own cache, all of one priority, seen by nobody yet; and those for which there is no room.
  struct CacheBatch {
    /// One of them may take the next-job slot.
    let next: Bool
    var count = 0
    /// Places left for the priority and its tenant's share; looked up when it is 0.
    var room = 0
    var priority = -1
    var outbox = Outbox()
  }

  /// Where a job goes that has become ready here: the next-job slot or the own cache. False: its place is in the tenant's queue.
  @inline(__always) private func place(_ index: UInt32, _ priority: Int, _ tenant: Int, _ batch: inout CacheBatch) -> Bool {
    if batch.room == 0 || batch.priority != priority {
      publish(&batch)
      if unsafe own.pointee.isOrdered { return false }
      // Beside other tenants each start is charged by itself.
      let isAlone = unsafe !own.pointee.ready.others(than: tenant, priority: priority)
      if !isAlone && !chargeHere(tenant, priority) { return false }
      if batch.next, unsafe own.pointee.next == Slab.none {
        unsafe own.pointee.next = index
        unsafe own.pointee.nextPriority = priority
        return true
      }
      let room = cache(priority).room
      if room == 0 { return false }
      batch.room = isAlone ? room : 1
      batch.priority = priority
    }
    cache(priority).put(index, at: batch.count)
    batch.count &+= 1
    batch.room &-= 1
    return true
  }

  /// Lets others see what a batch has put into the cache.
  @inline(__always) private func publish(_ batch: inout CacheBatch) {
    if batch.count == 0 { return }
    let priority = batch.priority
    unsafe own.pointee.cached |= 1 &<< UInt64(truncatingIfNeeded: priority)
    if unsafe cache(priority).publish(batch.count, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    batch.count = 0
    batch.room = 0
    batch.outbox.surplus = true
  }

  @inline(__always) func makeReady(
    _ run: RunBody, _ node: UInt32, _ tenant: Int, _ outbox: inout Outbox, next: Bool
  ) {
    let index = allocate()
    let priority = job(index).begin(run, node, index: index)
    place(index, priority, tenant, &outbox, next: next)
  }

  /// Submits from inside a handler. Admission is taken in lots, so that a spawn costs no locked instruction of its own.
  func spawn(_ request: JobRequest) throws(SubmitError) -> JobID {
    if !isFit(request) { throw unsafe own.pointee.scheduler.refusal(request) }
    if unsafe own.pointee.admissions == 0 { try takeAdmissions(for: 1) }
    unsafe own.pointee.admissions &-= 1
    return spawnAdmitted(request)
  }

  /// Submits all of the jobs from inside a handler, or none: what is the same for all is asked once, and they become visible together.
  func spawn(_ requests: Span<JobRequest>) throws(SubmitError) {
    if requests.isEmpty { return }
    let priority = Int(requests[0].priority)
    let tenant = Int(requests[0].tenant)
    let kind = requests[0].word &>> 32
    var areAlike = true
    for i in requests.indices {
      let request = requests[i]
      if !isFit(request) { throw unsafe own.pointee.scheduler.refusal(request) }
      if request.word &>> 32 != kind { areAlike = false }
    }
    let count = requests.count
    if unsafe own.pointee.admissions < UInt64(truncatingIfNeeded: count) { try takeAdmissions(for: UInt64(truncatingIfNeeded: count)) }
    unsafe own.pointee.admissions &-= UInt64(truncatingIfNeeded: count)
    let cache = cache(priority)
    // Beside other tenants each start is charged by itself.
    let isAlone = unsafe !own.pointee.isOrdered && !own.pointee.ready.others(than: tenant, priority: priority)
    if !areAlike || !isAlone || cache.room < count {
      for i in requests.indices { _ = spawnAdmitted(requests[i]) }
      return
    }
    for i in requests.indices {
      let index = allocate()
      job(index).begin(requests[i])
      cache.put(index, at: i)
    }
    unsafe own.pointee.spawned &+= count
    unsafe own.pointee.cached |= 1 &<< UInt64(truncatingIfNeeded: priority)
    if unsafe cache.publish(count, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    unsafe own.pointee.parking.notify()
  }

  @inline(__always) private func spawnAdmitted(_ request: JobRequest) -> JobID {
    let index = allocate()
    let job = job(index)
    let id = JobID(index: index, generation: job.begin(request))
    // Not into the next-job slot: the handler that spawns may run for long, and the slot is nobody else's.
    let priority = Int(request.priority)
    let cache = cache(priority)
    if unsafe !own.pointee.isOrdered, mayRunHere(Int(request.tenant), priority), cache.room > 0 {
      unsafe own.pointee.spawned &+= 1
      unsafe own.pointee.cached |= 1 &<< UInt64(truncatingIfNeeded: priority)
      if unsafe cache.push(index, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
    } else {
      unsafe own.pointee.scheduler.enqueue(index, &own.pointee.nodeCache)
    }
    unsafe own.pointee.parking.notify()
    return id
  }

  @inline(__always) private func isFit(_ request: JobRequest) -> Bool {
    // Order: acquiring. Pairs with the release in `register`.
    unsafe UInt64(request.handler.rawValue) < own.pointee.openHandlers.loadAcquiring()
      && Int(request.tenant) < own.pointee.tenants && Int(request.priority) < ReadySet.priorities
  }

  /// After a handler that spawned. One that spawned several would make the front grow with every generation: the youngest goes first until the own cache is
  /// empty, so that what waits is as much as the tree is deep, not as it is wide.
  @inline(__always) func goDeeper() {
    if unsafe own.pointee.spawned > 1 { unsafe own.pointee.deep = true }
    unsafe own.pointee.spawned = 0
  }

  /// So many admissions in hand at least, of which there are too few.
  @inline(never) private func takeAdmissions(for count: UInt64) throws(SubmitError) {
    let scheduler = unsafe own.pointee.scheduler
    let missing = unsafe count &- own.pointee.admissions
    let lot = missing &+ WorkerBody.lot &- 1
    let taken = scheduler.admit(lot) ? lot : missing
    if taken == missing, !scheduler.admit(missing) { throw .full(limit: scheduler.configuration.capacity) }
    unsafe own.pointee.admissions &+= taken
  }

  /// Jobs on their way to the tenants' queues, and whether others should be told.
  struct Outbox {
    var chain = BatchQueue.Chain()
    var priority = 0
    var tenant = 0
    var surplus = false
  }

  /// Where a job goes that has become ready here: the next-job slot, the own cache, or its tenant's queue.
  @inline(__always) func place(
    _ index: UInt32, _ priority: Int, _ tenant: Int, _ outbox: inout Outbox, next: Bool
  ) {
    if unsafe !own.pointee.isOrdered, mayRunHere(tenant, priority) {
      if next, unsafe own.pointee.next == Slab.none {
        unsafe own.pointee.next = index
        unsafe own.pointee.nextPriority = priority
        return
      }
      let cache = cache(priority)
      outbox.surplus = true
      if cache.room > 0 {
        unsafe own.pointee.cached |= 1 &<< UInt64(priority)
        if unsafe cache.push(index, fenced: own.pointee.fenced) { unsafe own.pointee.ready.announce(priority: priority) }
        return
      }
    }
    post(index, priority, tenant, &outbox)
  }

  /// Into the outbox, for the tenant's queue; into its place at once where jobs wait in order of their key.
  @inline(never) private func post(_ index: UInt32, _ priority: Int, _ tenant: Int, _ outbox: inout Outbox) {
    if unsafe own.pointee.isOrdered {
      unsafe own.pointee.scheduler.enqueue(index, &own.pointee.nodeCache)
      outbox.surplus = true
      return
    }
    // Jobs of one priority travel together; another priority sends them off first.
    if outbox.priority != priority {
      dispatch(&outbox)
      outbox.priority = priority
    }
    outbox.surplus = true
    outbox.tenant = tenant
    let ok = unsafe outbox.chain.append(index, own.pointee.ready.nodes, &own.pointee.nodeCache)
    invariant(ok, "the queue nodes outnumber the jobs")
  }

  private func dispatch(_ outbox: inout Outbox) {
    if outbox.chain.isEmpty { return }
    unsafe own.pointee.ready.append(outbox.chain, priority: outbox.priority, tenant: outbox.tenant)
    outbox.chain = BatchQueue.Chain()
  }

  @inline(__always) func send(_ outbox: inout Outbox) {
    if !outbox.surplus { return }
    dispatch(&outbox)
    unsafe own.pointee.parking.notify()
  }

  /// A released job stays with this worker as long as its tenant has credit: alone always, beside others as in the queue.
  @inline(__always) func mayRunHere(_ tenant: Int, _ priority: Int) -> Bool {
    if unsafe !own.pointee.ready.others(than: tenant, priority: priority) { return true }
    return chargeHere(tenant, priority)
  }

  @inline(never) func chargeHere(_ tenant: Int, _ priority: Int) -> Bool {
    // unsafe: this worker's own, one for each priority.
    let credit = unsafe own.pointee.credits + priority
    if unsafe credit.pointee.tenant != tenant || credit.pointee.jobs == 0 {
      unsafe credit.pointee.tenant = tenant
      unsafe credit.pointee.jobs = own.pointee.ready.charge(priority: priority, tenant: tenant, upTo: ReadySet.quantum)
    }
    if unsafe credit.pointee.jobs == 0 { return false }
    unsafe credit.pointee.jobs -= 1
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
    let run = unsafe RunBody(bits: bits)
    let hooks = run.hooks
    // Order: sequentially consistent. Pairs with itself: whoever counts the last sink has all other workers' writes before it.
    if run.remaining.subtract(sinks) == 0 { unsafe hooks.completed(hooks.context) }
  }

  // MARK: Idle

  /// Gives out what only this worker knows: counts and its slot. Before it waits or is put away. May complete runs.
  func settleCounts() {
    flushSinks()
    giveAdmissions()
    lane.job.storeReleasing(0)
    if unsafe own.pointee.hasSlot {
      unsafe own.pointee.hasSlot = false
      unsafe own.pointee.scheduler.giveSlot()
    }
  }

  /// The job goes on elsewhere, and its slot with it.
  func handOver() {
    unsafe own.pointee.hasSlot = false
    unsafe own.pointee.wentOnAt = own.pointee.starts
  }

  /// Gives everything back, jobs included: others will run them. The worker is not stepped again.
  func retire() {
    flushArrivals()
    stash()
    for priority in 0..<ReadySet.priorities {
      let cache = cache(priority)
      while !cache.isEmptyForOwner {
        if let job = unsafe cache.pop(fenced: own.pointee.fenced) {
          unsafe own.pointee.scheduler.enqueue(job & ~WorkerCache.announce, &own.pointee.nodeCache)
        }
      }
    }
    unsafe own.pointee.parking.notify()
    settleCounts()
    let spare = unsafe own.pointee.spare
    unsafe own.pointee.spare = Slab.none
    if spare != Slab.none { unsafe own.pointee.jobCache.free(spare, own.pointee.jobs) }
    unsafe own.pointee.jobCache.flush(own.pointee.jobs)
    unsafe own.pointee.nodeCache.flush(own.pointee.ready.nodes)
  }
}
