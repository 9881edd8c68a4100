internal import CMillrace
internal import MillraceCore

/// What a run keeps of tasks whose way is not the short one.
extension WorkflowRun {
  /// A task that needs more than its record.
  @safe struct SlowNode {
    /// Schedule-to-close, schedule-to-start, wait for the next attempt.
    var close: ArmedTimer?
    var open: ArmedTimer?
    var retry: ArmedTimer?
    /// When the wait for the next attempt ends.
    var waitEnds: UInt64 = 0
    /// When schedule-to-close ends; 0: it has not begun.
    var closeAt: UInt64 = 0
    /// The job that waits for its start, or did.
    var job: JobID?
    /// Handlers of timed-out attempts that have not come back, and their attempts.
    var lateHandlers = 0
    var lateAttempts: [AttemptPointer] = unsafe []
    /// What timed out while its handler ran.
    var timedOut: (number: Int, start: UInt64, lane: Int, observation: AttemptObservation?)?
    /// The next attempt is due, but late code of an exclusive handler is still inside.
    var retryBlocked = false
    /// Its rate has made it wait, and thinks of it.
    var pace: PacedTask?
    /// Its breaker has parked it, and thinks of it.
    var parked: PacedTask?
    /// It is in the line of its rate or its breaker, and nowhere else.
    var isPaced = false
    /// Which timeout ended the attempt.
    var timeoutError: String?
    /// Which timeout ended the task: no more attempts.
    var finalError: String?
    /// What the last heartbeat said, for the next attempt.
    var details: [UInt8]?
    var isWaiting: Bool { retry != nil || retryBlocked || isPaced }
  }

  struct LoggedAttempt {
    var node: UInt32
    var number: Int
    var status: NodeRecords.Status
    var start: UInt64
    var end: UInt64
    var lane: Int
    var error: AttemptError?
  }
}
