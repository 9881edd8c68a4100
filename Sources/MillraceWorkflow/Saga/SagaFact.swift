/// What has happened to a saga: what is recorded, and all that `SagaMachine` hears. Steps are named by their numbers in the plan.
///
/// Outcomes are final: attempts and retries lie below. `json(in:)` is the form for a stream of events.
public enum SagaFact: Sendable, Hashable {
  /// Its first steps may run.
  case began
  /// The step is done.
  case stepCompleted(Int)
  /// The step failed for good and has done nothing.
  case stepFailed(Int, SagaError)
  /// The step may have been done: its last attempt timed out, was cancelled while it ran, or was lost.
  case stepUnknown(Int, SagaError)
  /// The step was asked to stop before it had started.
  case stepWithdrawn(Int)
  /// The step is undone, or there was nothing to undo.
  case compensationCompleted(Int)
  /// The compensation failed with an error that is not retried, or used up its attempts.
  case compensationFailed(Int, SagaError)
  /// Somebody wants the saga to stop and be undone; `reason` may be empty.
  case cancelAsked(by: String, reason: String)
  /// An operator lets what is parked run once more: one step, or all (nil).
  case resumed(Int?, by: String)
  /// An operator passes over what is parked at this step.
  case skipped(Int, by: String, reason: String)
  /// An operator declares what is parked to be complete.
  case forced(by: String, reason: String)
  /// The process that ran the saga is gone, and another goes on with it.
  case recovered

  /// Longest name of who did something, bytes.
  public static let maximumNameBytes = 256
  /// Longest reason, bytes.
  public static let maximumReasonBytes = 4096
}

/// Why a saga does not take a fact. Its state is as it was.
public enum SagaRefusal: Error, Sendable, Hashable, CustomStringConvertible {
  /// It has ended so.
  case ended(SagaStatus)
  /// Nothing has been launched before `began`.
  case notBegun
  /// `began` comes once.
  case alreadyBegun
  /// The plan has no step of this number.
  case unknownStep(Int)
  /// The fact is not one of a step in this state: an outcome of what was not launched, or a second one.
  case stepIs(String, SagaStepState)
  /// An operator's verbs are for sagas that are parked.
  case notParked(SagaStatus)
  /// Nothing is parked at this step.
  case stepNotParked(String, SagaStepState)
  /// The pivot is done: the saga can only go forward.
  case pivotCommitted
  /// The pivot may be done: `resume` finds out, `skip` says that it is not, `force` that it is.
  case pivotUnknown
  /// It is being undone already.
  case compensating
  /// Cancellation was asked for before; the pivot's outcome decides.
  case alreadyCancelled
  /// The step was not asked to stop.
  case notAskedToStop(String)
  /// An operator's `skip` and `force` need a reason.
  case missingReason
  /// Who did it must be said.
  case missingName
  /// A name, a reason or an error is longer than it may be; bytes.
  case tooLong(limit: Int)

  public var description: String {
    switch self {
    case .ended(let status): "the saga has ended: \(status.rawValue)"
    case .notBegun: "the saga has not begun"
    case .alreadyBegun: "the saga has begun already"
    case .unknownStep(let number): "the saga has no step number \(number)"
    case .stepIs(let id, let state): "the step '\(id)' is \(state)"
    case .notParked(let status): "the saga is \(status.rawValue): resume, skip and force are for sagas that are parked"
    case .stepNotParked(let id, let state): "nothing is parked at the step '\(id)', which is \(state)"
    case .pivotCommitted: "the pivot is done: the saga can only go forward"
    case .pivotUnknown: "nobody knows whether the pivot was done: resume to find out, skip if it was not, force if it was"
    case .compensating: "the saga is being undone already"
    case .alreadyCancelled: "cancellation was asked for before: what becomes of the pivot decides"
    case .notAskedToStop(let id): "the step '\(id)' was not asked to stop"
    case .missingReason: "a reason must be given"
    case .missingName: "who does it must be said"
    case .tooLong(let limit): "longer than \(limit) bytes"
    }
  }
}
