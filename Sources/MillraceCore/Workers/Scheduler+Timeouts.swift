internal import CMillrace

/// Start-to-close: what a lane shows, and the loop's scans.
extension Scheduler {
  /// Shows that `lane` runs a job that must end within `timeout`, not 0. When that is at the earliest, for the handler. As `WorkerBody.watch`.
  func watch(_ lane: Lane, _ timeout: UInt64, of job: JobID) -> UInt64 {
    if clock.isFree { return watchExactly(lane, timeout, of: job) }
    if lookout.show(lane, timeout, of: job, asymmetric: parking.asymmetric) { askForScan(timeout) }
    return Lookout.moment(timeout, after: lookout.time.loadRelaxed())
  }

  /// The way on a clock that is free to read: the deadline is exact.
  @inline(never) func watchExactly(_ lane: Lane, _ timeout: UInt64, of job: JobID) -> UInt64 {
    let now = clock.now
    lane.start.storeRelaxed(now)
    _ = lookout.show(lane, timeout, of: job, asymmetric: false) && lookout.cover(timeout)
    let deadline = Lookout.moment(timeout, after: now)
    // unsafe: the runtime's function and context, set before workers run.
    if let alarm = unsafe alarm { unsafe alarm(alarmContext, deadline) }
    return deadline
  }

  @inline(never) func askForScan(_ timeout: UInt64) {
    let now = clock.now
    // Before `covered`: whoever sees that scans go on finds a time that is not long past.
    lookout.time.storeRelaxed(now)
    guard lookout.cover(timeout) else { return }
    // unsafe: the runtime's function and context, set before workers run.
    if let alarm = unsafe alarm { unsafe alarm(alarmContext, now &+ Lookout.interval(timeout)) }
  }

  /// Ends the attempts whose start-to-close has passed while their handlers still run. When to look again; `.max`: no need until a worker asks for it.
  ///
  /// One thread at a time: the loop's. Complexity: O(lanes), O(1) between two scans.
  @discardableResult public func endOverdue(now: UInt64) -> UInt64 {
    // unsafe: the loop's own.
    let own = unsafe lookout.own
    let covered = lookout.covered.loadSequential()
    if covered == .max, unsafe own.pointee.due == .max { return .max }
    if !clock.isFree {
      let planned = unsafe min(own.pointee.due, own.pointee.last &+ Lookout.interval(covered))
      if now < planned { return planned }
    }
    unsafe own.pointee.last = now
    unsafe own.pointee.scans &+= 1
    lookout.time.storeRelaxed(now)
    // Scans end when no such job has run since the last one, and become rarer when the shortest timeouts are not in use any more.
    let isFresh = unsafe own.pointee.isQuiet || own.pointee.scans & 63 == 0
    if isFresh {
      // Order: sequentially consistent. From here on whoever starts such a job asks for a scan, or its job is seen below; see `watch`.
      _ = lookout.covered.exchange(.max)
      if parking.asymmetric { _ = millrace_membarrier() }
    }
    var (next, shortest, isActive) = (UInt64.max, UInt64.max, false)
    for i in 0..<laneCount { look(i, now, &next, &shortest, &isActive) }
    unsafe own.pointee.due = next
    if isFresh, shortest != .max { _ = lookout.cover(shortest) }
    let least = lookout.covered.loadSequential()
    unsafe own.pointee.isQuiet = !isActive && least != .max
    return least == .max ? next : min(next, now &+ Lookout.interval(least))
  }

  /// Looks at one lane.
  private func look(_ index: Int, _ now: UInt64, _ next: inout UInt64, _ shortest: inout UInt64, _ isActive: inout Bool) {
    let lane = lane(index)
    // unsafe: the loop's own, one for each lane.
    let sight = unsafe lookout.sights + index
    let timed = lane.timed.loadRelaxed()
    if unsafe timed != sight.pointee.timed { isActive = true }
    unsafe sight.pointee.timed = timed
    // Order: acquiring. Pairs with the release in `watch`. The timeout may be of a later job than `id`: that one has then ended, and is not open.
    let id = JobID(rawValue: lane.job.loadAcquiring())
    let timeout = lane.timeout.loadAcquiring()
    if timeout == 0 || id.rawValue == 0 { return }
    if unsafe sight.pointee.job != id.rawValue {
      unsafe sight.pointee.job = id.rawValue
      // Read after the job was seen: its handler cannot have begun later.
      unsafe sight.pointee.since = clock.isFree ? lane.start.loadRelaxed() : clock.now
    }
    let deadline = Lookout.moment(timeout, after: unsafe sight.pointee.since)
    if deadline > now {
      (next, shortest, isActive) = (min(next, deadline), min(shortest, timeout), true)
      return
    }
    let job = Job(jobs, id.index)
    if job.state.replace(Job.word(id.generation, Job.State.open), by: Job.word(id.generation, Job.State.telling)) {
      endOverdue(id)
    } else if job.state.loadAcquiring() == Job.word(id.generation, Job.State.claimedRunning) {
      // The claim may be given back: look again soon.
      (next, shortest, isActive) = (min(next, now &+ 1_000_000), min(shortest, timeout), true)
    }
  }
}
