extension Scheduler {
  // MARK: Tokens

  /// What came of an attempt to claim a job.
  public enum Claim: Sendable {
    /// The caller alone may end the attempt, and must call `endClaimed`, `expireClaimed` or `unclaim` soon.
    case taken
    /// Somebody else has the claim: the attempt is about to end, or the claim to be given back. Or the job runs with neither token nor deadline.
    case busy
    /// The attempt has ended, or there is no such job.
    case gone
  }

  /// Takes the right to end a job that runs or is pending; one caller at a time gets it. Complexity: O(1), one CAS.
  public func claim(_ id: JobID) -> Claim {
    guard id.rawValue != 0, id.index < jobs.blocks &* UInt32(Slab.blockRecords) else { return .gone }
    let job = Job(jobs, id.index)
    while true {
      let word = job.state.loadAcquiring()
      guard Job.generation(word) == id.generation else { return .gone }
      let claimed: UInt64
      switch Job.state(word) {
      case Job.State.open: claimed = Job.word(id.generation, Job.State.claimedRunning)
      case Job.State.pending: claimed = Job.word(id.generation, Job.State.claimedPending, Outcome.pending.rawValue)
      case Job.State.running, Job.State.claimedRunning, Job.State.claimedPending: return .busy
      default: return .gone
      }
      if job.state.replace(word, by: claimed) { return .taken }
    }
  }

  /// The two words of a job that the caller has claimed: for a node, what `Run.context(first:)` takes, and the node.
  public func words(ofClaimed id: JobID) -> (first: UInt64, second: UInt64) {
    // unsafe: claimed, the record stays this job's; these fields do not change.
    let fields = unsafe Job(jobs, id.index).fields.pointee
    return (fields.first, fields.second)
  }

  /// Gives a claim back: the attempt goes on.
  public func unclaim(_ id: JobID) {
    let job = Job(jobs, id.index)
    if job.state.replace(Job.word(id.generation, Job.State.claimedRunning), by: Job.word(id.generation, Job.State.open)) { return }
    let word = job.state.loadAcquiring()
    // The handler came back while we had the claim: what it said counts now.
    if Job.outcome(word) != Outcome.pending.rawValue { return endClaimed(id, Job.outcome(word)) }
    // Order: sequentially consistent. Pairs with the CAS in `endPending`: either a canceller sees the job pending, or its mark is seen here.
    _ = job.state.exchange(Job.word(id.generation, Job.State.pending))
    // A cancellation that came while we had the claim could not end the job.
    if isCancelled(id) { endPending(id, .cancelled) }
  }

  /// Ends a claimed job as timed out, at once: a handler that still runs is told to stop, and what it says later is dropped.
  public func expireClaimed(_ id: JobID) {
    let job = Job(jobs, id.index)
    if job.state.replace(
      Job.word(id.generation, Job.State.claimedRunning), by: Job.word(id.generation, Job.State.telling))
    {
      endOverdue(id)
    } else {
      endClaimed(id, Outcome.timedOut.rawValue)
    }
  }

  /// Ends a node that has not started yet as timed out, at once; its record is dropped when a worker meets it in its queue. False: it has started.
  ///
  /// Only for nodes with `Plan.NodeFlag.expires`.
  public func expireReady(_ id: JobID, _ run: Run, node: UInt32) -> Bool {
    guard id.rawValue != 0, id.index < jobs.blocks &* UInt32(Slab.blockRecords) else { return false }
    let job = Job(jobs, id.index)
    _ = expiredRecords.add(1)
    guard job.state.replace(Job.word(id.generation, Job.State.ready), by: Job.word(id.generation, Job.State.expired)) else {
      _ = expiredRecords.subtract(1)
      return false
    }
    unsafe withStripe { stripe in
      let index = unsafe makeNodeJob(run.body, node, &stripe.pointee.jobs, tellReady: false)
      unsafe Job(jobs, index).fields.pointee.word.flags |= Job.Flag.expired
      let word = Job(jobs, index).state
      word.storeReleasing(Job.word(Job.generation(word.loadRelaxed()), Job.State.overdue, Outcome.timedOut.rawValue))
      unsafe publishCompleted(index, &stripe.pointee.nodes)
    }
    return true
  }

  /// Ends a job that the caller has claimed. What the owner needs to know of the outcome has been stored before.
  public func endClaimed(_ id: JobID, _ outcome: UInt8) {
    let job = Job(jobs, id.index)
    // Still in its handler: the worker settles it when the handler returns.
    if job.state.replace(
      Job.word(id.generation, Job.State.claimedRunning), by: Job.word(id.generation, Job.State.completed, outcome))
    {
      return
    }
    job.state.storeReleasing(Job.word(id.generation, Job.State.finished, outcome))
    unsafe withStripe { stripe in unsafe publishCompleted(id.index, &stripe.pointee.nodes) }
  }

  /// Ends a pending or running job from any thread: claim and end in one. False: too late.
  @discardableResult public func complete(_ id: JobID, _ outcome: Outcome) -> Bool {
    guard claim(id) == .taken else { return false }
    endClaimed(id, outcome.rawValue)
    return true
  }

  /// As `complete`, but only a job whose handler has returned.
  @discardableResult func endPending(_ id: JobID, _ outcome: Outcome) -> Bool {
    let job = Job(jobs, id.index)
    let claimed = Job.word(id.generation, Job.State.claimedPending, Outcome.pending.rawValue)
    guard job.state.replace(Job.word(id.generation, Job.State.pending), by: claimed) else { return false }
    endClaimed(id, outcome.rawValue)
    return true
  }

  /// Asks a job to stop: a ready one does not start, a pending one ends now, a running one sees `JobContext.isCancelled`. Any number of times.
  ///
  /// False: there is no such job any more. Complexity: O(1).
  @discardableResult public func cancel(_ id: JobID) -> Bool {
    guard id.rawValue != 0, id.index < jobs.blocks &* UInt32(Slab.blockRecords) else { return false }
    let job = Job(jobs, id.index)
    let word = job.state.loadAcquiring()
    guard Job.generation(word) == id.generation, Job.state(word) != Job.State.free else { return false }
    // The record may be reused meanwhile, and its new job be cancelled: that mark must not be lost to ours.
    while true {
      let mark = job.cancelled.loadRelaxed()
      let behind = Int32(bitPattern: id.generation &- mark)
      if behind < 0 { return false }
      if behind == 0 || job.cancelled.replace(mark, by: id.generation) { break }
    }
    endPending(id, .cancelled)
    return true
  }

  /// True if the job was asked to stop.
  public func isCancelled(_ id: JobID) -> Bool { Job(jobs, id.index).cancelled.loadRelaxed() == id.generation }

  // MARK: Overdue

  /// The CAS to `overdue` made the record the caller's; the handler runs on.
  func endOverdue(_ id: JobID) {
    let job = Job(jobs, id.index)
    // unsafe: the record is ours; the run's owner keeps the run.
    let fields = unsafe job.fields.pointee
    _ = job.cancelled.exchange(id.generation)
    if fields.word.flags & Job.Flag.node != 0 {
      let hooks = unsafe RunBody(bits: fields.first).hooks
      if let overdue = unsafe hooks.overdue { unsafe overdue(hooks.context, UInt32(truncatingIfNeeded: fields.second)) }
    }
    // Order: releasing. Pairs with the loads of the worker whose handler comes back: it reports the late return after the owner has been told.
    job.state.storeReleasing(Job.word(id.generation, Job.State.overdue, Outcome.timedOut.rawValue))
    unsafe withStripe { stripe in unsafe publishCompleted(id.index, &stripe.pointee.nodes) }
  }

  /// The handler of a node's attempt that had timed out came back on `lane`: the words of its job.
  func reportLate(_ first: UInt64, _ second: UInt64, lane: Int) {
    // unsafe: the owner keeps the run until the last late handler is back.
    let hooks = unsafe RunBody(bits: first).hooks
    if let late = unsafe hooks.late { unsafe late(hooks.context, lane, UInt32(truncatingIfNeeded: second)) }
  }

  // MARK: Elsewhere

  /// Runs a job that a worker has handed over (`Worker.handOver`), with its slot, on the calling thread: one of the blocking pool.
  public func runElsewhere(_ id: JobID, lane index: Int) {
    let job = Job(jobs, id.index)
    let lane = lane(index)
    // unsafe: running and handed over, the job is this thread's until a claim or the scan takes its outcome; the fields do not change.
    let fields = unsafe job.fields.pointee
    // Handed over as `running`: up to here the state is this thread's alone.
    let running = Job.word(id.generation, Job.State.running)
    if job.state.loadRelaxed() == running { job.state.storeReleasing(Job.word(id.generation, Job.State.open)) }
    let begun = Begun(
      job: id, handler: HandlerIndex(rawValue: fields.word.handler), first: fields.first, second: fields.second,
      isNode: fields.word.flags & Job.Flag.node != 0, blocking: true, gathersMore: 0, timeout: fields.timeout)
    var outcome = Outcome.cancelled.rawValue
    if job.cancelled.loadRelaxed() != id.generation {
      let deadline = begun.timeout == 0 ? 0 : watch(lane, begun.timeout, of: id)
      var context = JobContext(
        job: id, first: begun.first, second: begun.second, lane: index, deadline: deadline, timeout: begun.timeout, worker: nil,
        scheduler: self)
      if begun.timeout == 0 { lane.job.storeReleasing(id.rawValue) }
      // unsafe: the handler's function and context are the registrant's, valid until the scheduler has stopped.
      let handler = unsafe handlers[Int(begun.handler.rawValue)]
      outcome = unsafe withUnsafeMutablePointer(to: &context) { unsafe handler.run(handler.context, $0) }
      lane.timeout.storeReleasing(0)
      lane.job.storeReleasing(0)
    }
    end(begun, outcome, lane: index)
  }

  /// Ends an attempt that ran outside the workers; its slot goes to the completions with it, or is given back if the attempt had timed out.
  private func end(_ begun: Begun, _ outcome: UInt8, lane: Int) {
    let id = begun.job
    let job = Job(jobs, id.index)
    var backoff = Backoff()
    while true {
      let word = job.state.loadAcquiring()
      guard Job.generation(word) == id.generation, Job.state(word) != Job.State.overdue else {
        if begun.isNode { reportLate(begun.first, begun.second, lane: lane) }
        giveSlot()
        return
      }
      switch Job.state(word) {
      case Job.State.telling: backoff.pause()
      case Job.State.open:
        let isPending = outcome == Outcome.pending.rawValue
        let after = isPending ? Job.word(id.generation, Job.State.pending) : Job.word(id.generation, Job.State.claimedPending, outcome)
        guard job.state.replace(word, by: after) else { continue }
        if !isPending { endClaimed(id, outcome) } else if isCancelled(id) { endPending(id, .cancelled) }
        return
      case Job.State.completed:
        job.state.storeReleasing(Job.word(id.generation, Job.State.claimedPending, Job.outcome(word)))
        endClaimed(id, Job.outcome(word))
        return
      default:
        // claimedRunning: whoever has the claim hands the job on.
        guard job.state.replace(word, by: Job.word(id.generation, Job.State.claimedPending, outcome)) else { continue }
        return
      }
    }
  }
}
