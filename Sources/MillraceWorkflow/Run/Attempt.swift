internal import CMillrace
internal import MillraceCore

/// One attempt of a task, from the start of its handler to the verdict on it. 512 bytes, kept for reuse by the lane that settles it.
///
/// # Threads
/// Written by the lane that runs the handler; after `MILLRACE_PENDING` by whoever has the claim on its job. `beat`, `progress`: any.
@safe struct Attempt {
  /// run id, slash, task id, NUL.
  static let keyBytes = 36 + 1 + 128 + 1

  var run: Unmanaged<WorkflowRun>
  var node: UInt32
  var number: UInt32
  var job: JobID
  /// Arena lane: a worker's own while its handler runs, else the shared one.
  var arenaLane: Int
  /// Where the handler runs or ran; -1 once it is pending.
  var lane: Int
  var start: UInt64
  var deadline: UInt64
  /// Set during the handler's call.
  var context: UnsafeMutablePointer<JobContext>?
  /// The node has had another verdict: what this attempt says is dropped.
  var isAbandoned: Bool
  var status: UInt32
  var retryAfter: UInt64
  var output: millrace_payload
  var error: Unmanaged<AttemptError>?
  var next: UnsafeMutablePointer<Attempt>?
  var beat: UInt64
  var progress: UInt64
  var heartbeat: TimerHandle
  var closing: TimerHandle
}

/// What an attempt that failed said.
final class AttemptError: Sendable {
  let type: String
  let message: String
  let details: [UInt8]

  init(type: String, message: String, details: [UInt8] = []) {
    self.type = type
    self.message = message
    self.details = details
  }
}

/// Words for the kinds of error that the engine itself finds: `errorType` of the attempt.
public enum EngineErrorType {
  public static let scheduleToStart = "schedule-to-start"
  public static let startToClose = "start-to-close"
  public static let scheduleToClose = "schedule-to-close"
  public static let heartbeat = "heartbeat"
  public static let cancelled = "cancelled"
  /// The handler broke the plugin interface: an unknown status, or a payload that is not its own.
  public static let badOutcome = "bad-outcome"
}

extension millrace_payload {
  static let empty = millrace_payload(offset: 0, length: 0, arena: 0, content_type: 0)
}
