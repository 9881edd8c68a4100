internal import CMillrace
internal import MillraceCore

/// One attempt of a task, from the start of its handler to the verdict on it. Kept for reuse by the lane that settles it.
///
/// Behind the struct lie the words that several threads touch, and the task's key: see `AttemptPointer`.
///
/// # Threads
/// Written by the lane that runs the handler; after `MILLRACE_PENDING` by whoever has the claim on its job.
@safe struct Attempt {
  /// run id, slash, task id, number of an item in brackets, NUL.
  static let keyBytes = 36 + 1 + 128 + 8 + 1
  /// `life`, `beat`, `link`, `turnWord`, `said`.
  static let sharedBytes = 40

  var run: Unmanaged<WorkflowRun>
  var host: Unmanaged<TaskHost>
  var node: UInt32
  var number: UInt32
  var job: JobID
  /// Arena lane: a worker's own while its handler runs without a token, else the shared one.
  var arenaLane: Int
  /// Where the handler runs or ran.
  var lane: Int
  var start: UInt64
  /// When start-to-close ends; 0: no such timeout.
  var deadline: UInt64
  /// Set during the handler's call.
  var context: UnsafeMutablePointer<JobContext>?
  /// The handler asked for a token.
  var hasToken = false
  /// Of one that is run together with others, during that call: where it is noted that the plugin asked for the token. The call's own thread alone touches this.
  var asked: UnsafeMutablePointer<Bool>? = nil
  /// The handler returned `MILLRACE_PENDING`.
  var isPending = false
  /// The token's holder has said how it ends, now or after a delay: it does not use the attempt any more.
  var isSettled = false
  var status: UInt32 = 0
  var retryAfter: UInt64 = 0
  var output = millrace_payload.empty
  var error: Unmanaged<AttemptError>? = nil
  var next: UnsafeMutablePointer<Attempt>? = nil
  /// Retained; nil: nobody is told of it.
  var observation: Unmanaged<AttemptObservation>? = nil
  /// The timers that may end it: heartbeat, start-to-close of a pending one, `complete_after`.
  var heartbeat = TimerHandle.none
  var closing = TimerHandle.none
  var completing = TimerHandle.none
}

typealias AttemptPointer = UnsafeMutablePointer<Attempt>

/// What lies behind an attempt.
extension UnsafeMutablePointer where Pointee == Attempt {
  static func allocateAttempt() -> AttemptPointer {
    let bytes = MemoryLayout<Attempt>.stride + Attempt.sharedBytes + Attempt.keyBytes
    // unsafe: the one place where attempts come from; `deallocate` is their end.
    return unsafe UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64).assumingMemoryBound(to: Attempt.self)
  }

  /// An `AttemptLife`.
  var life: SharedWord { unsafe SharedWord(UnsafeMutableRawPointer(self + 1)) }
  /// When the handler last said that it is alive.
  var beat: SharedWord { unsafe SharedWord(UnsafeMutableRawPointer(self + 1) + 8) }
  /// Its `AttemptLink`, retained; 0: it has none.
  var link: SharedWord { unsafe SharedWord(UnsafeMutableRawPointer(self + 1) + 16) }
  /// Of a run of items: the item's `ItemTurn`. Written before the handler is called, and never read of others.
  var turnWord: SharedWord { unsafe SharedWord(UnsafeMutableRawPointer(self + 1) + 24) }
  /// The progress that its handler said last, per mille; 0: none.
  var said: SharedWord { unsafe SharedWord(UnsafeMutableRawPointer(self + 1) + 32) }
  /// `run/task`.
  var key: UnsafeMutablePointer<CChar> {
    unsafe (UnsafeMutableRawPointer(self + 1) + Attempt.sharedBytes).assumingMemoryBound(to: CChar.self)
  }
}

/// Whether an attempt still counts.
enum AttemptLife {
  static let counts: UInt64 = 0
  /// It has timed out; its handler, or whoever has its token, is still at it.
  static let overdue: UInt64 = 1
  /// It has been ended while its token was out.
  static let abandoned: UInt64 = 2
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
  /// The task did not start in time after it was ready. Not retried.
  public static let scheduleToStart = "schedule-to-start"
  /// The attempt did not end in time. Retried as `RetryPolicy` says.
  public static let startToClose = "start-to-close"
  /// The task did not end in time, all attempts and waits included. Not retried.
  public static let scheduleToClose = "schedule-to-close"
  /// The handler gave no heartbeat for too long. Retried as `RetryPolicy` says.
  public static let heartbeat = "heartbeat"
  /// The attempt ended because the run was stopped, or its handler said that it was cancelled and named no other type.
  public static let cancelled = "cancelled"
  /// The handler broke the plugin interface: an unknown status, or a payload that is not its own.
  public static let badOutcome = "bad-outcome"
  /// A condition or an input has no value: what its expression refers to is not there, or is of the wrong type.
  public static let expression = "expression"
  /// Somebody said no to an approval.
  public static let rejected = "rejected"
  /// The engine's timers are all in use: a wait or a timeout could not be kept.
  public static let noTimer = "no-timer"
}

extension millrace_payload {
  static let empty = millrace_payload(offset: 0, length: 0, arena: 0, content_type: 0)
}
