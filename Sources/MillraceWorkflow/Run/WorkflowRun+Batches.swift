internal import CMillrace
internal import MillraceCore

/// Attempts that a plugin runs together with others.
extension WorkflowRun {
  /// Begins an attempt and leaves it pending, in the row of its worker.
  func gather(for handler: BatchHandler, _ context: UnsafeMutablePointer<JobContext>) -> UInt8 {
    let lane = unsafe context.pointee.lane
    switch unsafe open(context) {
    case .over(let outcome): return outcome
    case .begun(let attempt, _, _):
      let job = unsafe context.pointee.job
      unsafe HostFunctions.issueToken(attempt, context)
      let outcome = unsafe goesOn(attempt)
      // Ended meanwhile or not: until its token is completed it stays.
      unsafe host.gather(GatheredAttempt(attempt: attempt, job: job), for: handler, lane: lane)
      return outcome
    }
  }
}
