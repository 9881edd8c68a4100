/// What has become of a saga, in the user's words.
public enum SagaStatus: String, Sendable, Hashable, CaseIterable {
  /// It is there, and none of its steps has been launched.
  case started = "STARTED"
  /// Its steps go forward.
  case running = "RUNNING"
  /// Ended: all steps are done, or an operator said that it is.
  case completed = "COMPLETED"
  /// What was done is being undone; before that, steps that still run are waited for.
  case compensating = "COMPENSATING"
  /// Ended: all that was done, or may have been, is undone.
  case compensated = "COMPENSATED"
  /// Ended as `compensated`, but for what an operator passed over.
  case compensatedWithSkips = "COMPENSATED_WITH_SKIPS"
  /// A compensation failed for good; other branches go on. Waits for an operator.
  case compensationParked = "COMPENSATION_PARKED"
  /// Nobody knows whether the pivot was done. Waits for an operator.
  case pivotParked = "PIVOT_PARKED"
  /// A step after the pivot failed for good; other branches go on. Waits for an operator.
  case forwardParked = "FORWARD_PARKED"

  /// Nothing changes any more.
  public var hasEnded: Bool { self == .completed || self == .compensated || self == .compensatedWithSkips }

  /// An operator must say how it goes on.
  public var isParked: Bool { self == .compensationParked || self == .pivotParked || self == .forwardParked }
}

/// What has become of one step of a saga.
public enum SagaStepState: UInt8, Sendable, Hashable, CaseIterable {
  /// It was not launched, or was taken back before it started.
  case waiting
  /// Launched; its outcome is awaited.
  case running
  /// As `running`, and it has been asked to stop.
  case stopping
  /// Done.
  case completed
  /// Failed for good: it has done nothing.
  case failed
  /// It may have been done: it timed out, was cancelled while it ran, or the process ended.
  case unknown
  /// Its compensation was launched.
  case compensating
  /// Undone.
  case compensated
  /// Its compensation failed for good.
  case compensationFailed
  /// An operator passed it or its compensation over.
  case skipped
}

/// What failed, as the handler or the engine says it.
public struct SagaError: Sendable, Hashable {
  /// Longest `type`, bytes.
  public static let maximumTypeBytes = 64
  /// Longest `message`, bytes.
  public static let maximumMessageBytes = 4096

  /// A short word for the kind of error, as `no-funds`.
  public var type: String
  /// For people.
  public var message: String

  /// Lengths are not checked here: `SagaMachine.apply` does that.
  public init(type: String, message: String = "") {
    self.type = type
    self.message = message
  }
}

/// What is to be done now. Steps are named by their numbers in the plan.
public enum SagaAction: Sendable, Hashable {
  /// Run the step's handler; after a recovery or an operator's `resume` once more, with the same key.
  case launch(Int)
  /// Ask a step that runs to stop, and tell its outcome. A pivot is taken back only while nothing is done by it: if it has not started, or its last
  /// attempt failed for certain; it is not interrupted.
  case requestStop(Int)
  /// Run the step's compensation; after a recovery or an operator's `resume` once more, with the same key.
  case compensate(Int)
}
