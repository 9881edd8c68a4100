extension Scheduler {
  // MARK: Tokens

  /// Takes the right to end a job that runs or is pending; at most one caller gets it for each attempt, and must call `endClaimed` soon.
  ///
  /// False: too late, somebody has ended it, or the id is of no job. Complexity: O(1), one CAS.
  public func claim(_ id: JobID) -> Bool {
    guard id.rawValue != 0, id.index < jobs.blocks &* UInt32(Slab.blockRecords) else { return false }
    let job = Job(jobs, id.index)
    while true {
      let word = job.state.loadAcquiring()
      guard Job.generation(word) == id.generation else { return false }
      let claimed: UInt64
      switch Job.state(word) {
      case Job.State.running: claimed = Job.State.claimedRunning
      case Job.State.pending: claimed = Job.State.claimedPending
      default: return false
      }
      if job.state.replace(word, by: Job.word(id.generation, claimed)) { return true }
    }
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
    guard claim(id) else { return false }
    endClaimed(id, outcome.rawValue)
    return true
  }

  /// As `complete`, but only a job whose handler has returned.
  @discardableResult func endPending(_ id: JobID, _ outcome: Outcome) -> Bool {
    let job = Job(jobs, id.index)
    guard job.state.replace(Job.word(id.generation, Job.State.pending), by: Job.word(id.generation, Job.State.claimedPending)) else {
      return false
    }
    endClaimed(id, outcome.rawValue)
    return true
  }

  /// Asks a job to stop: a ready one does not start, a pending one ends now, a running one sees `JobContext.isCancelled`. Any number of times.
  ///
  /// False: there is no such job any more. Complexity: O(1).
  @discardableResult public func cancel(_ id: JobID) -> Bool {
    guard id.rawValue != 0, id.index < jobs.blocks &* UInt32(Slab.blockRecords) else { return false }
    let job = Job(jobs, id.index)
    guard Job.generation(job.state.loadAcquiring()) == id.generation else { return false }
    // A record that is reused meanwhile has another generation, to which this mark means nothing.
    _ = job.cancelled.exchange(id.generation)
    endPending(id, .cancelled)
    return true
  }

  /// True if the job was asked to stop.
  public func isCancelled(_ id: JobID) -> Bool { Job(jobs, id.index).cancelled.loadRelaxed() == id.generation }

  // MARK: Overdue

  /// Shows that `lane` runs a job that must end by `deadline`. No timer is armed; the loop looks at the lanes when the earliest deadline is due.
  func watch(_ lane: Lane, _ job: JobID, _ deadline: UInt64) {
    // Order: releasing, both. Pairs with the loads in `endOverdue`: a scan that sees the new job sees that the old deadline is gone.
    lane.job.storeReleasing(job.rawValue)
    lane.deadline.storeReleasing(deadline)
    if deadline < overdueAlarm.loadSequential() { moveAlarm(to: deadline) }
  }

  private func moveAlarm(to deadline: UInt64) {
    while true {
      let set = overdueAlarm.loadSequential()
      if deadline >= set { return }
      if overdueAlarm.replace(set, by: deadline) {
        // unsafe: the runtime's function and context, set before workers run.
        if let alarm = unsafe alarm { unsafe alarm(alarmContext, deadline) }
        return
      }
    }
  }

  /// Ends the attempts whose start-to-close has passed while their handlers still run. When to look again; `.max`: no need.
  ///
  /// One thread at a time: the loop's. Complexity: O(lanes).
  @discardableResult public func endOverdue(now: UInt64) -> UInt64 {
    // From here on a lane with an earlier deadline than the one found sets the alarm itself.
    _ = overdueAlarm.exchange(.max)
    var next = UInt64.max
    for i in 0..<laneCount {
      let lane = lane(i)
      let deadline = lane.deadline.loadAcquiring()
      if deadline == 0 { continue }
      let id = JobID(rawValue: lane.job.loadAcquiring())
      // The lane may have gone on to another job between the two loads.
      if lane.deadline.loadAcquiring() != deadline { continue }
      if deadline > now {
        next = min(next, deadline)
        continue
      }
      let job = Job(jobs, id.index)
      guard
        job.state.replace(
          Job.word(id.generation, Job.State.running), by: Job.word(id.generation, Job.State.overdue, Outcome.timedOut.rawValue))
      else { continue }
      // unsafe: the CAS made the record ours; the run's owner keeps the run.
      let fields = unsafe job.fields.pointee
      _ = job.cancelled.exchange(id.generation)
      if fields.flags & Job.Flag.node != 0 {
        unsafe Unmanaged<Run>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(fields.first))!)._withUnsafeGuaranteedRef { run in
          if let overdue = unsafe run.hooks.overdue { unsafe overdue(run.hooks.context, UInt32(truncatingIfNeeded: fields.second)) }
        }
      }
      unsafe withStripe { stripe in unsafe publishCompleted(id.index, &stripe.pointee.nodes) }
    }
    if next != .max { moveAlarm(to: next) }
    return next
  }

  /// The handler of an attempt that had timed out came back on `lane`.
  func reportLate(_ begun: Begun, lane: Int) {
    guard begun.isNode else { return }
    // unsafe: the owner keeps the run until the last late handler is back.
    unsafe Unmanaged<Run>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(begun.first))!)._withUnsafeGuaranteedRef { run in
      if let late = unsafe run.hooks.late { unsafe late(run.hooks.context, lane, UInt32(truncatingIfNeeded: begun.second)) }
    }
  }
}
