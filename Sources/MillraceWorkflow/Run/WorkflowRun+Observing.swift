internal import CMillrace
internal import MillraceCore

/// An attempt that an observer is told of: its beginning and its end, each once, in this order, whichever thread comes first.
///
/// # Fields
/// All are guarded by the run's monitor, but for `observer` on the thread that has called `begin`.
final class AttemptObservation: @unchecked Sendable {
  private(set) var observer: (any AttemptObserver)?
  private var hasBegun = false
  private var isOver = false
  /// It has ended before it was told to have begun.
  private var early: ObservedEnding?

  func begin(_ attempt: ObservedAttempt, _ run: WorkflowRun) {
    let made = run.observer?.attemptBegins(attempt)
    let early = run.monitor.locked {
      observer = made
      hasBegun = true
      return self.early
    }
    if let early { made?.ended(early) }
  }

  func end(_ ending: ObservedEnding, _ run: WorkflowRun) {
    let observer: (any AttemptObserver)? = run.monitor.locked {
      if isOver { return nil }
      isOver = true
      if !hasBegun { early = ending }
      return hasBegun ? self.observer : nil
    }
    observer?.ended(ending)
  }
}

/// What an observer is told. Nothing of this is called for a run that has none.
extension WorkflowRun {
  /// Tells that the run begins. Before any of its hooks is called.
  func observe(_ engineObserver: any EngineObserver) {
    let cleanups = cleanup?.records.count ?? 0
    observer = engineObserver.runBegins(
      ObservedRun(id: id.description, workflow: definition.name, tasks: records.count + cleanups, trace: trace))
    if let own = observer?.trace { trace = own }
  }

  /// Tells that an attempt begins, and which trace its handler belongs to. On the handler's thread, with no claim held.
  @inline(never) func observe(_ observation: AttemptObservation, _ node: UInt32, _ attempt: AttemptPointer) {
    observation.begin(unsafe observed(node, Int(attempt.pointee.number)), self)
    if let own = observation.observer?.trace { unsafe attempt.pointee.trace = own }
  }

  /// Calls a handler as the attempt's observer wants it.
  @inline(never) func observed(_ observation: AttemptObservation, _ handler: () -> UInt32) -> UInt32 {
    guard let observer = observation.observer else { return handler() }
    var status: UInt32?
    observer.around { status = handler() }
    guard let status else { preconditionFailure("an AttemptObserver did not call the handler in `around`") }
    return status
  }

  @inline(never) func observeEnd(
    _ observation: AttemptObservation, _ status: NodeRecords.Status, since start: UInt64, at now: UInt64, _ error: AttemptError?
  ) {
    observation.end(
      ObservedEnding(
        status: status.word, elapsed: .nanoseconds(now &- min(start, now)), errorType: error?.type ?? "", message: error?.message ?? ""),
      self)
  }

  /// The engine has stopped under an attempt.
  func observeAbandoned(_ node: UInt32, _ attempt: AttemptPointer?, _ now: UInt64) {
    let late = monitor.locked { slow[node]?.timedOut }
    if let observation = unsafe attempt?.ownObservation {
      unsafe observeEnd(observation, .cancelled, since: attempt!.pointee.start, at: now, nil)
    } else if let late, let observation = late.observation {
      observeEnd(observation, .timedOut, since: late.start, at: now, nil)
    }
  }

  @inline(never) func observeTask(_ node: UInt32, _ status: NodeRecords.Status) {
    let task = definition.tasks[Int(node)]
    observer?.taskEnded(task.id, handler: task.handler, status.word)
  }

  @inline(never) func observeRetry(_ node: UInt32, _ number: Int, after wait: UInt64) {
    observer?.retryScheduled(observed(node, number), after: .nanoseconds(wait))
  }

  private func observed(_ node: UInt32, _ number: Int) -> ObservedAttempt {
    let task = definition.tasks[Int(node)]
    return ObservedAttempt(task: task.id, handler: task.handler, number: number)
  }
}

extension UnsafeMutablePointer where Pointee == Attempt {
  /// Who may use the attempt may use it.
  var ownObservation: AttemptObservation? { unsafe pointee.observation?.takeUnretainedValue() }

  /// Nobody uses the attempt any more.
  @inline(__always) func dropObservation() { unsafe pointee.observation?.release() }
}
