/// Is told what the runs of an engine do, for logs, metrics and traces: `Engine.Configuration.observer`.
///
/// For each run it gives an object that hears of this run, and that one an object for each attempt, so that each may keep what it needs.
///
/// # Order
/// Each of these is told when the one before it has returned, whichever threads tell them:
/// - Of a run: `runBegins`, then everything else, `ended` or `refused` last.
/// - Of a task: the attempts by their numbers, each from `attemptBegins` to its `ended`, then `taskEnded`; all that before anything of the
///   tasks behind it.
/// - Of an attempt: `attemptBegins`, then `ended`, once, then `retryScheduled` if a next one follows. A timeout that comes while
///   `attemptBegins` is told ends the attempt, but this is told, and the task goes on, when `attemptBegins` has returned: then the handler
///   is not called.
///
/// `around` comes after `attemptBegins`, if the handler is called for this attempt alone, and not for a batch; a timeout may tell `ended` before it returns. Different tasks of a run, and
/// different runs, are told at the same time.
///
/// # Threads
/// `runBegins`: the one that starts the run. The rest: the engine's own, in the middle of what they do. No lock is held, and an observer that is slow harms nothing,
/// but it holds up the task or the run that it is told of, and the thread. It must not wait for a run, nor shut the engine down.
public protocol EngineObserver: Sendable {
  /// A run begins: before any of its tasks.
  ///
  /// - Returns: who hears of it; nil: nobody.
  func runBegins(_ run: ObservedRun) -> (any RunObserver)?
}

/// Hears of one run: see `EngineObserver`. All but `attemptBegins` do nothing by default.
public protocol RunObserver: Sendable {
  /// The trace that the run is part of here, for its handlers; nil, the default: the one it was started with. Asked once, after `runBegins`.
  var trace: TraceContext? { get }
  /// An attempt of a task begins, or fails before its handler is called.
  ///
  /// - Returns: who hears of it; nil: nobody.
  func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)?
  /// The attempt failed, and the next one begins after `wait`, unless the task ends before: the run is stopped, or no timer is to be had.
  func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration)
  /// A task has its end: COMPLETED, FAILED, SKIPPED, CANCELLED or TIMED_OUT. Those that never began are told as well.
  func taskEnded(_ task: String, handler: String, _ status: TaskStatus)
  /// The run has its end. Who waits for it is told afterwards.
  func ended(_ status: WorkflowStatus, after elapsed: Duration)
  /// The run was not taken, by a `SubmitError` or for lack of memory: none of its tasks has begun.
  func refused(_ error: any Error)
}

/// Hears of one attempt: see `EngineObserver`. All do nothing by default.
public protocol AttemptObserver: Sendable {
  /// The trace that the attempt is part of here, for its handler; nil, the default: that of the run. Asked once, after `attemptBegins`.
  var trace: TraceContext? { get }
  /// Calls the handler, once, on this thread, for what shall be set meanwhile: the task-local values that are set here are there in the handler, in
  /// an asynchronous one for as long as it goes on.
  func around(_ handler: () -> Void)
  /// The attempt has its end. Its handler may go on if a timeout or a cancellation ended it: what it says then is dropped.
  func ended(_ ending: ObservedEnding)
}

/// A run that begins.
public struct ObservedRun: Sendable {
  /// UUIDv7.
  public let id: String
  /// The definition's name.
  public let workflow: String
  /// Tasks, the cleanup's included.
  public let tasks: Int
  /// What it was started with; nil: nothing.
  public let trace: TraceContext?
  /// Whose work it is.
  public let tenant: String
  /// It handles a message for a consumer.
  public let isMessage: Bool

  /// For tests of observers.
  public init(
    id: String, workflow: String, tasks: Int, trace: TraceContext? = nil, tenant: String = "default", isMessage: Bool = false
  ) {
    (self.id, self.workflow, self.tasks, self.trace, self.tenant, self.isMessage) = (id, workflow, tasks, trace, tenant, isMessage)
  }
}

/// An attempt that begins, or that failed.
public struct ObservedAttempt: Sendable {
  /// The definition's id of the task.
  public let task: String
  /// The name of the handler.
  public let handler: String
  /// From 1.
  public let number: Int
  /// How long it waited for its turn: from when the task was ready, or its retry due, to the beginning. nil: it is over, a step of a saga, or follows an attempt
  /// of another process.
  public let scheduleToStart: Duration?

  /// For tests of observers.
  public init(task: String, handler: String, number: Int, scheduleToStart: Duration? = nil) {
    (self.task, self.handler, self.number, self.scheduleToStart) = (task, handler, number, scheduleToStart)
  }
}

/// How an attempt ended.
public struct ObservedEnding: Sendable {
  /// COMPLETED, FAILED, CANCELLED or TIMED_OUT.
  public let status: TaskStatus
  /// From the call of its handler, by the engine's clock.
  public let elapsed: Duration
  /// Short word for the kind of error; empty: there was none.
  public let errorType: String
  /// What it said, without the values of secrets.
  public let message: String

  /// For tests of observers.
  public init(status: TaskStatus, elapsed: Duration, errorType: String = "", message: String = "") {
    (self.status, self.elapsed, self.errorType, self.message) = (status, elapsed, errorType, message)
  }
}

extension RunObserver {
  /// nil.
  public var trace: TraceContext? { nil }
  /// Does nothing.
  public func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration) {}
  /// Does nothing.
  public func taskEnded(_ task: String, handler: String, _ status: TaskStatus) {}
  /// Does nothing.
  public func ended(_ status: WorkflowStatus, after elapsed: Duration) {}
  /// Does nothing.
  public func refused(_ error: any Error) {}
}

extension AttemptObserver {
  /// nil.
  public var trace: TraceContext? { nil }
  /// Calls the handler, and does nothing else.
  public func around(_ handler: () -> Void) { handler() }
  /// Does nothing.
  public func ended(_ ending: ObservedEnding) {}
}
