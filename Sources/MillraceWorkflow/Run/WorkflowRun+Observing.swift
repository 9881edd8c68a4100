internal import CMillrace
internal import MillraceCore

/// Who is told of a run, and what it is part of. Its cleanup has the same.
final class RunObservation: @unchecked Sendable {
  private let engineObserver: (any EngineObserver)?
  /// nil: nobody. Set by `begin`, before any hook of the run is called; so is `trace`.
  private(set) var observer: (any RunObserver)?
  private(set) var trace: TraceContext?

  private init(_ observer: (any EngineObserver)?, _ trace: TraceContext?) {
    engineObserver = observer
    self.trace = trace
  }

  /// nil: there is nobody to tell, and no trace. An initialiser that fails would allocate all the same.
  static func make(_ observer: (any EngineObserver)?, _ trace: TraceContext?) -> RunObservation? {
    observer == nil && trace == nil ? nil : RunObservation(observer, trace)
  }

  func begin(_ run: WorkflowRun) {
    guard let engineObserver else { return }
    let tasks = run.records.count + (run.cleanup?.records.count ?? 0)
    observer = engineObserver.runBegins(
      ObservedRun(
        id: run.id.description, workflow: run.definition.name, tasks: tasks, trace: trace, tenant: run.tenant.name,
        isMessage: run.subject != nil))
    if let own = observer?.trace { trace = own }
  }
}

/// An attempt that an observer is told of: its beginning and its end, each once, in this order, whichever thread comes first. An end that
/// comes while the beginning is being told, from a timeout, is left to the thread that tells it, with all that follows from it.
///
/// # Fields
/// All are guarded by the run's monitor, but for `observer` and `trace`, which the handler may read, and what it makes: they are written before it is called.
final class AttemptObservation: @unchecked Sendable {
  private(set) var observer: (any AttemptObserver)?
  /// What the attempt is part of.
  private(set) var trace: TraceContext?
  private var hasBegun = false
  private var isOver = false
  /// It has ended before it was told to have begun.
  private var early: (ending: ObservedEnding, next: () -> Void)?

  /// Tells that it begins. False: it has ended meanwhile, which has been told as well, and its handler need not be called.
  func begin(_ attempt: ObservedAttempt, _ run: WorkflowRun) -> Bool {
    let made = run.observation?.observer?.attemptBegins(attempt)
    let early = run.monitor.locked {
      observer = made
      trace = made?.trace ?? run.observation?.trace
      hasBegun = true
      defer { self.early = nil }
      return self.early
    }
    guard let early else { return true }
    made?.ended(early.ending)
    early.next()
    return false
  }

  /// Calls a handler as the observer wants it.
  func around(_ handler: () -> UInt32) -> UInt32 {
    guard let observer else { return handler() }
    var status: UInt32?
    observer.around { status = handler() }
    guard let status else { preconditionFailure("an AttemptObserver did not call the handler in `around`") }
    return status
  }

  /// Tells its end, once. True: not yet, for its beginning is being told; the thread that does so tells the end then, and calls `next`.
  func end(_ ending: ObservedEnding, _ run: WorkflowRun, before next: @escaping () -> Void) -> Bool {
    let (observer, isEarly): ((any AttemptObserver)?, Bool) = run.monitor.locked {
      if isOver { return (nil, false) }
      isOver = true
      if !hasBegun { early = (ending, next) }
      return (self.observer, !hasBegun)
    }
    observer?.ended(ending)
    return isEarly
  }
}

/// What an observer is told. Nothing of this is called for a run that has neither an observer nor a trace.
extension WorkflowRun {
  private var observer: (any RunObserver)? { observation?.observer }
  /// What the run is part of.
  package var trace: TraceContext? { observation?.trace }

  /// The attempt is one that is told of. Before anybody else can see it.
  @inline(never) func observe(_ attempt: AttemptPointer) {
    if observer != nil { unsafe attempt.pointee.observation = .passRetained(AttemptObservation()) }
  }

  /// Tells that an attempt begins: as `AttemptObservation.begin`. On the handler's thread, with no claim held.
  @inline(never) func observeBegin(_ observed: AttemptObservation, _ attempt: AttemptPointer) -> Bool {
    let (node, number, start) = unsafe (attempt.pointee.node, Int(attempt.pointee.number), attempt.pointee.start)
    let waited = readied(node, number).map { Duration.nanoseconds(start &- min(start, $0)) }
    return observed.begin(observedAttempt(node, number, scheduleToStart: waited), self)
  }

  /// When an attempt that begins could have begun, on the host's clock; nil: its saga knows, or it follows one of another process. Complexity: O(dependencies).
  private func readied(_ node: UInt32, _ number: Int) -> UInt64? {
    if saga != nil { return nil }
    if number > 1 { return monitor.locked { slow[node]?.waitEnds }.flatMap { $0 > 0 ? $0 : nil } }
    // Of an item its turn, of which `itemOver` has made a note where its end will be.
    if items != nil { return max(started, records.end(node)) }
    let row = compiled.rows[Int(node)]..<compiled.rows[Int(node) + 1]
    return compiled.predecessors[Int(row.lowerBound)..<Int(row.upperBound)].reduce(started) { max($0, records.end($1)) }
  }

  /// As `AttemptObservation.end`: what must be told, or begin, after the attempt's end is in `next`, or the caller's if this is false.
  @discardableResult @inline(never) func observeEnd(
    _ observed: AttemptObservation, _ status: NodeRecords.Status, since start: UInt64, at now: UInt64, _ error: AttemptError?,
    before next: @escaping () -> Void = {}
  ) -> Bool {
    let elapsed = Duration.nanoseconds(now &- min(start, now))
    let ending = ObservedEnding(status: status.word, elapsed: elapsed, errorType: error?.type ?? "", message: error?.message ?? "")
    return observed.end(ending, self, before: next)
  }

  /// The engine has stopped under a task.
  @inline(never) func observeAbandoned(_ node: UInt32, _ attempt: AttemptPointer?, _ now: UInt64) {
    let late = monitor.locked { slow[node]?.timedOut }
    if let observed = unsafe attempt?.ownObservation {
      unsafe observeEnd(observed, .cancelled, since: attempt!.pointee.start, at: now, nil)
    } else if let late, let observed = late.observation {
      observeEnd(observed, .timedOut, since: late.start, at: now, nil)
    }
  }

  /// A task has ended. Items are none: an observer is told of their attempts.
  @inline(never) func observeTask(_ node: UInt32, _ status: NodeRecords.Status) {
    if items != nil { return }
    let task = definition.tasks[Int(node)]
    observer?.taskEnded(task.id, handler: task.handler, status.word)
  }

  @inline(never) func observeRetry(_ node: UInt32, _ number: Int, after wait: UInt64) {
    observer?.retryScheduled(observedAttempt(node, number), after: .nanoseconds(wait))
  }

  private func observedAttempt(_ node: UInt32, _ number: Int, scheduleToStart: Duration? = nil) -> ObservedAttempt {
    ObservedAttempt(task: name(node), handler: definition.tasks[task(node)].handler, number: number, scheduleToStart: scheduleToStart)
  }
}

extension UnsafeMutablePointer where Pointee == Attempt {
  /// Who may use the attempt may use it.
  var ownObservation: AttemptObservation? { unsafe pointee.observation?.takeUnretainedValue() }

  /// Nobody uses the attempt any more.
  @inline(__always) func dropObservation() { unsafe pointee.observation?.release() }

  /// What the attempt is part of.
  var trace: TraceContext? {
    unsafe ownObservation?.trace ?? pointee.run._withUnsafeGuaranteedRef { $0.observation?.trace }
  }
}
