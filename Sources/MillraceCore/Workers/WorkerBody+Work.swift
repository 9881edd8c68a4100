/// The way of jobs that nothing keeps from their handlers: begun, run and finished in one function.
extension WorkerBody {
  /// Begins, runs and finishes jobs on this thread, `limit` at most.
  ///
  /// What `begin`, `run` and `finish` do one after the other, for jobs that nothing keeps from their handlers; all others take the longer way through those
  /// three. A job that makes its one successor ready hands its record over to it, and the successor starts at once if nothing is more urgent.
  func work(upTo limit: Int) -> Work {
    var ran = 0
    while ran < limit {
      guard let index = pick() else {
        if flushArrivals(next: true) { continue }
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
        if runTimed(index) { continue }
        let more = runApart(index, upTo: limit &- ran &+ 1)
        if more < 0 { return Work(ran: ran, end: .blocking(unsafe own.pointee.handedOver)) }
        ran &+= more
        continue
      }
      // A run must not wait for its last sinks to be counted while this worker is busy elsewhere, nor a node for its predecessors.
      if unsafe own.pointee.sinks != 0 && own.pointee.sinkRun != first { flushSinks() }
      if unsafe own.pointee.arrivals != 0 && !leadsToArrivals(word, first, second) { flushArrivals() }
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
        let successor: UInt32
        if successors.count == 1 {
          successor = unsafe successors[0]
          if unsafe own.pointee.arrivals != 0 || (!own.pointee.alone && run.waits(for: WorkerBody.crowd, successor)) {
            free(index, generation)
            arriveLater(first, successor)
            break
          }
          guard run.arrive(successor, alone: unsafe own.pointee.alone) else {
            free(index, generation)
            break
          }
        } else {
          guard let ready = unsafe arriveAtMany(run, successors) else {
            free(index, generation)
            break
          }
          successor = ready
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
        // Read again: the run's owner may have given another priority.
        word = unsafe job.fields.pointee.word
        place(index, word.priority, word.tenant, &outbox, next: true)
        send(&outbox)
        break
      }
      if unsafe own.pointee.spawned != 0 { goDeeper() }
    }
    flushArrivals()
    return Work(ran: ran, end: .limit)
  }

  /// The way of all other jobs, apart from the loop, whose registers it would take. How many were run beyond the first; -1: it is begun for the blocking pool, and is `handedOver`.
  @inline(never) private func runApart(_ index: UInt32, upTo limit: Int) -> Int {
    guard let begun = startSlowly(index) else { return 0 }
    if begun.blocking {
      handOver()
      flushArrivals()
      unsafe own.pointee.handedOver = begun.job
      return -1
    }
    if begun.gathers { return gather(begun, upTo: limit) &- 1 }
    finish(begun, call(begun))
    return 0
  }

  /// Runs a job that nothing but a timeout sets apart from the others. False: it is to take the longer way.
  @inline(never) private func runTimed(_ index: UInt32) -> Bool {
    let job = job(index)
    // unsafe: taken from a queue, the job is this worker's.
    let fields = unsafe job.fields
    let word = unsafe fields.pointee.word
    let timeout = unsafe fields.pointee.timeout
    let handler = unsafe own.pointee.handlers + Int(word.handler)
    let generation = Job.generation(job.state.loadRelaxed())
    guard timeout != 0, word.flags | Job.Flag.node == Job.Flag.node, unsafe handler.pointee.isPlain,
      job.cancelled.loadRelaxed() != generation,
      unsafe word.flags == 0 || !RunBody(bits: fields.pointee.first).isDisturbed
    else { return false }
    // Others may end it while its handler runs on: nothing must wait for that.
    flushArrivals()
    if unsafe own.pointee.sinks != 0 && own.pointee.sinkRun != fields.pointee.first { flushSinks() }
    let id = JobID(index: index, generation: generation)
    unsafe own.pointee.starts &+= 1
    unsafe context.pointee.job = id
    unsafe context.pointee.first = fields.pointee.first
    unsafe context.pointee.second = fields.pointee.second
    // Order: releasing. Pairs with the loads of whoever claims the job by its id.
    job.state.storeReleasing(Job.word(generation, Job.State.open))
    watch(timeout, of: id)
    // unsafe: the handler's function and context are the registrant's, valid until the scheduler has stopped.
    let outcome = unsafe handler.pointee.run(handler.pointee.context, context)
    forgetDeadline()
    if unsafe context.pointee.tokenIssued || outcome == Outcome.pending.rawValue {
      finishContended(id, word.flags != 0, outcome)
    } else {
      // Order: releasing. Pairs with the loads of the scan: one that sees the lane's next job does not see this timeout.
      lane.timeout.storeReleasing(0)
      // One CAS against the scan: whoever is first has the attempt.
      if job.state.replace(Job.word(generation, Job.State.open), by: Job.word(generation, Job.State.completed, outcome)) {
        settle(index, outcome: outcome)
      } else {
        finishContended(id, word.flags != 0, outcome)
      }
    }
    if unsafe own.pointee.spawned != 0 { goDeeper() }
    return true
  }

  /// Tells the successors of a node that is finished for good, other than one. The first that becomes ready is the caller's, who begins it here; nil: none
  /// has, and the run may have ended.
  ///
  /// unsafe: `successors` are the node's.
  @unsafe @inline(__always) private func arriveAtMany(_ run: RunBody, _ successors: UnsafeBufferPointer<UInt32>) -> UInt32? {
    if successors.isEmpty {
      finishedSink(run.bits)
      return nil
    }
    let alone = unsafe own.pointee.alone
    var ready: UInt32?
    for i in 0..<successors.count where run.arrive(unsafe successors[i], alone: alone) {
      if ready != nil {
        let rest = unsafe UnsafeBufferPointer(start: successors.baseAddress.unsafelyUnwrapped + i, count: successors.count &- i)
        unsafe releaseAll(run, rest, told: 1, here: true, next: false)
        break
      }
      ready = unsafe successors[i]
    }
    return ready
  }

  // MARK: Arrivals

  /// Counts an arrival at a node together with those that follow: many workers that end predecessors of one node would pass its counter to and fro.
  ///
  /// Nothing waits for it: the counted predecessors are told before this worker starts a job that the node does not wait for, and while it is in one that the
  /// node does wait for, the node cannot become ready.
  @inline(__always) func arriveLater(_ run: UInt64, _ node: UInt32) {
    if unsafe own.pointee.arrivals != 0 && (own.pointee.arrivalNode != node || own.pointee.arrivalRun != run) { flushArrivals() }
    unsafe own.pointee.arrivals &+= 1
    unsafe own.pointee.arrivalNode = node
    unsafe own.pointee.arrivalRun = run
  }

  /// The job is a node, and the only one that waits for it is the node of the arrivals.
  @inline(__always) func leadsToArrivals(_ word: Job.Word, _ first: UInt64, _ second: UInt64) -> Bool {
    if unsafe word.flags == 0 || own.pointee.arrivalRun != first { return false }
    let successors = unsafe RunBody(bits: first).successors(UInt32(truncatingIfNeeded: second))
    return unsafe successors.count == 1 && successors[0] == own.pointee.arrivalNode
  }

  /// Tells the node of its predecessors. True: it became ready. `next`: it may take the next-job slot, since the worker starts nothing else before.
  @discardableResult @inline(never) func flushArrivals(next: Bool = false) -> Bool {
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
  @inline(__always) func mayGoOn(_ word: Job.Word, _ run: RunBody) -> Bool {
    let levels = unsafe (own.pointee.ready.occupied() | own.pointee.cached) &>> UInt64(truncatingIfNeeded: word.priority)
    return unsafe levels <= 1 && own.pointee.starts & 63 != 63 && !run.isDisturbed && own.pointee.next == Slab.none
      && !own.pointee.isOrdered && mayRunHere(word.tenant, word.priority)
  }
}
