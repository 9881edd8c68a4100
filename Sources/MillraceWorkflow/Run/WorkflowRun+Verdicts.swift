internal import CMillrace
internal import MillraceCore

/// What follows from the end of an attempt. Called by the core's workers, one attempt of a task at a time.
extension WorkflowRun {
  func finished(lane: Int, node: UInt32, outcome: UInt8) -> UInt8 {
    if outcome == WorkflowRun.kept { return recorded(lane: lane, node: node) }
    let now = host.scheduler.clock.now
    let attempt = unsafe records.attempt(node)
    unsafe records.setAttempt(node, nil)
    if let attempt = unsafe attempt {
      unsafe forgetSaid(attempt, isSilent: !attempt.pointee.hasToken && attempt.link.loadRelaxed() == 0)
    }
    // Neither a task that timed out in its queue nor one that was cancelled in the blocking pool's has been started.
    if records.status(node) == .running { counters.count(.ended, lane: lane) }
    if let attempt = unsafe attempt { unsafe endTimers(of: attempt) }
    var outcome = outcome
    if compiled.hasBreakers, let breaker = compiled.breaker(node) {
      if outcome == WorkflowRun.parked {
        if let subject { giveBack(subject, breaker) } else if case .held = park(node, breaker) { return Verdict.hold.rawValue }
        outcome = shouldStop ? Outcome.cancelled.rawValue : Outcome.timedOut.rawValue
      } else {
        tell(breaker, of: node, Outcome(rawValue: outcome))
      }
      if outcome != WorkflowRun.paced { leaveBreaker(node) }
    }
    if compiled.hasRates, let rate = compiled.rate(node) {
      if outcome == WorkflowRun.paced {
        if case .held = pace(node, rate) { return Verdict.hold.rawValue }
        outcome = shouldStop ? Outcome.cancelled.rawValue : Outcome.timedOut.rawValue
      }
      leaveRate(node)
    }
    if outcome == Outcome.done.rawValue, unsafe attempt == nil {
      if let work = compiled.handlers[Int(compiled.handlerOf[task(node)])].work { return beginHeld(work, lane: lane, node: node, now) }
      skipped(lane, node, now)
      return Verdict.release.rawValue
    }
    guard outcome == Outcome.done.rawValue, let attempt = unsafe attempt else {
      return unsafe failed(lane, node, Outcome(rawValue: outcome) ?? .failed, attempt, now)
    }
    if observation != nil, let observed = unsafe attempt.ownObservation {
      unsafe observeEnd(observed, .completed, since: attempt.pointee.start, at: now, nil)
    }
    let entry = unsafe LoggedAttempt(attempt, .completed, end: now, error: nil)
    let output = unsafe attempt.pointee.output
    unsafe host.giveAttempt(attempt, lane: lane)
    if journal != nil {
      keepCompletion(entry, output)
      return Verdict.hold.rawValue
    }
    complete(entry, output, lane: lane)
    return Verdict.release.rawValue
  }

  /// The task is over, and has an output.
  func complete(_ entry: LoggedAttempt, _ output: millrace_payload, lane: Int) {
    let node = entry.node
    records.setOutput(node, output)
    records.setEnd(node, entry.end)
    if entry.number > 1 { monitor.locked { write(entry) } }
    if compiled.hasTimers(node) { endTimers(node) }
    counters.count(.completed, lane: lane)
    records.setStatus(node, .completed)
    tellWatcher()
    if observation != nil { observeTask(node, .completed) }
  }

  /// Its condition is false: its dependents go on, with null for its output.
  func skipped(_ lane: Int, _ node: UInt32, _ now: UInt64) {
    if journal != nil { note(.skipped(place(node))) }
    if compiled.hasTimers(node) { endTimers(node) }
    records.setEnd(node, now)
    records.setStatus(node, .skipped)
    counters.count(.skipped, lane: lane)
    if observation != nil { observeTask(node, .skipped) }
  }

  func failed(_ lane: Int, _ node: UInt32, _ told: Outcome, _ attempt: AttemptPointer?, _ now: UInt64) -> UInt8 {
    let policy = compiled.policy(node)
    let outcome = unsafe isLate(told, attempt, policy, now) ? Outcome.timedOut : told
    if policy.hasTimers { endTimers(node, keepClose: true) }
    let slow = policy.hasTimers ? monitor.locked { self.slow[node] } : nil
    let timeout = outcome == .timedOut ? slow?.timeoutError ?? slow?.finalError ?? EngineErrorType.startToClose : nil
    let said = unsafe attempt?.pointee.error?.takeUnretainedValue()
    let error =
      timeout.map { timeoutError($0, policy) } ?? said
      ?? AttemptError(type: EngineErrorType.cancelled, message: "the run was stopped")
    let status: NodeRecords.Status =
      switch outcome {
      case .cancelled where shouldStop || saga?.isStopAsked(node) == true: .cancelled
      case .timedOut: .timedOut
      default: .failed
      }
    let retryAfter = unsafe attempt?.pointee.retryAfter ?? 0
    let observed = unsafe observation == nil ? nil : attempt?.ownObservation ?? slow?.timedOut?.observation
    let entry: LoggedAttempt
    // Its handler was never called, and nothing failed.
    var isUnbegun = false
    if let attempt = unsafe attempt {
      entry = unsafe LoggedAttempt(attempt, status, end: now, error: error)
      unsafe dispose(attempt, lane: lane)
    } else if let begun = slow?.timedOut, outcome == .timedOut {
      entry = LoggedAttempt(node: node, number: begun.number, status: status, start: begun.start, end: now, lane: begun.lane, error: error)
    } else {
      entry = LoggedAttempt(node: node, number: records.attempts(node) + 1, status: status, start: now, end: now, lane: -1, error: error)
      isUnbegun = status == .cancelled
    }

    let cures = outcome == .retry || timeout == EngineErrorType.startToClose || timeout == EngineErrorType.heartbeat
    if let subject {
      let kind: RunFailure.Kind = cures ? .retryable : outcome == .cancelled ? .cancelled : .final
      subject.attemptFailed(RunFailure(kind: kind, retryAfter: retryAfter, type: error.type, message: error.message))
    }
    let goOn = { (lane: Int) in
      if isUnbegun {
        self.conclude(node, status, lane: lane, now)
        return false
      }
      return self.settle(entry, error, isRetryable: cures, retryAfter: retryAfter, lane: lane, now)
    }
    if let observed {
      // An unbegun task's attempt is late, and ends here as well.
      let isDeferred = observeEnd(observed, status, since: entry.start, at: now, isUnbegun ? nil : entry.error) {
        if !goOn(-1) { self.release(node) }
      }
      if isDeferred { return Verdict.hold.rawValue }
    }
    return goOn(lane) ? Verdict.hold.rawValue : Verdict.release.rawValue
  }

  /// An attempt without an output is over. True: the task waits for its next one. False: it is over, and its node is to be released. `isInterrupted`: the next one
  /// follows at once, whatever the policy says.
  func settle(
    _ attempt: LoggedAttempt, _ error: AttemptError, isRetryable: Bool, retryAfter: UInt64, lane: Int, _ now: UInt64,
    isInterrupted: Bool = false
  ) -> Bool {
    var entry = attempt
    let node = entry.node
    // What fails because its process is about to end is done again by the next one.
    if isSuspended {
      conclude(node, .cancelled, lane: lane, now)
      return false
    }
    // Of a workflow they do not change while it runs.
    let before = saga != nil ? before(node) : items?.past(node)?.before ?? (attemptsBefore.isEmpty ? 0 : attemptsBefore[node] ?? 0)
    let policy = isInterrupted ? nil : retryPolicy(entry)
    let mayRetry = policy.map { entry.number - before < $0.attempts && !$0.nonRetryable.contains(error.type) } ?? isInterrupted
    if isRetryable, !shouldStop, !isStopAsked(entry), mayRetry {
      let breaker = compiled.hasBreakers ? compiled.breaker(node) : nil
      let wait = retryAfter > 0 ? retryAfter : policy.map { retryWait($0, node, entry.number - before) } ?? 0
      let (sum, overflow) = now.addingReportingOverflow(wait)
      let due = overflow ? UInt64.max : sum
      let closeAt = monitor.locked { slow[node]?.closeAt ?? 0 }
      if closeAt != 0, due >= closeAt {
        entry.error = error.adding("not retried: the wait before attempt \(entry.number + 1) would end after schedule-to-close")
      } else if let breaker, !breaker.mayRetry() {
        entry.error = error.adding("not retried: the retry budget of \(breaker.destination) is used up")
      } else {
        // Before it can begin.
        if observation != nil { observeRetry(node, entry.number, after: wait) }
        if journal != nil {
          keepRetry(entry, error, due: due, after: wait)
          return true
        }
        switch hold(node, until: due, entry) {
        case .held: return true
        case .refused: break
        case .noTimer(let reason): entry.error = error.adding("not retried: no timer for the wait before the next attempt: \(reason)")
        }
      }
    }
    if journal != nil, entry.status != .cancelled || saga != nil {
      keepFailure(entry)
      return true
    }
    monitor.locked { write(entry) }
    conclude(node, entry.status, lane: lane, now, entry.error)
    return false
  }

  private func retryPolicy(_ entry: LoggedAttempt) -> RetryPolicy? {
    if let saga, saga.compiled.repeatsPivot, saga.compiled.plan.pivot == Int(entry.node), entry.isUnknown {
      return Compensation.defaultRetry
    }
    return compiled.policy(entry.node).retry
  }

  /// A step of a saga is to stop: what it has come to counts. Only a pivot of which nobody knows what it did goes on.
  private func isStopAsked(_ entry: LoggedAttempt) -> Bool {
    guard let saga, saga.isStopAsked(entry.node) else { return false }
    return !(saga.compiled.plan.pivot == Int(entry.node) && entry.isUnknown)
  }

  /// A handler that stops by itself when its time is over may be heard of before the timer: its attempt timed out all the same.
  private func isLate(_ told: Outcome, _ attempt: AttemptPointer?, _ policy: CompiledWorkflow.ResolvedPolicy, _ now: UInt64) -> Bool {
    guard told == .failed || told == .retry, let allowed = policy.timeouts.startToClose, let attempt = unsafe attempt else { return false }
    let (due, overflow) = unsafe attempt.pointee.start.addingReportingOverflow(allowed)
    return !overflow && due <= now
  }

  /// The task is over without an output: its dependents are skipped.
  func conclude(_ node: UInt32, _ status: NodeRecords.Status, lane: Int, _ now: UInt64, _ error: AttemptError? = nil) {
    if compiled.hasTimers(node) { endTimers(node) }
    records.setEnd(node, now)
    counters.count(status == .cancelled ? .cancelled : .failed, lane: lane)
    records.setStatus(node, status)
    tellWatcher()
    if observation != nil { observeTask(node, status) }
    if status == .cancelled { return }
    for successor in plan.successors(of: Int(node)) {
      records.setCause(UInt32(successor), node)
      coreRun.poison(UInt32(successor))
    }
    items?.note(items?.item(node) ?? 0, error)
    if definition.onFailure == .failFast {
      stop(1)
      items?.owner.stop(1)
    }
  }

  /// A task that is not run: a task before it failed, or the run stops.
  func bypassed(lane: Int, node: UInt32) {
    leaveLines(node)
    if compiled.hasTimers(node) { endTimers(node) }
    records.setEnd(node, host.scheduler.clock.now)
    guard let cause = records.cause(node) else {
      counters.count(.cancelled, lane: lane)
      records.setStatus(node, .cancelled)
      tellWatcher()
      if observation != nil { observeTask(node, .cancelled) }
      return
    }
    counters.count(.skipped, lane: lane)
    records.setStatus(node, .skipped)
    tellWatcher()
    if observation != nil { observeTask(node, .skipped) }
    for successor in plan.successors(of: Int(node)) {
      records.setCause(UInt32(successor), cause)
      coreRun.poison(UInt32(successor))
    }
  }

  func timeoutError(_ type: String, _ policy: CompiledWorkflow.ResolvedPolicy) -> AttemptError {
    switch type {
    case EngineErrorType.scheduleToStart:
      AttemptError(
        type: EngineErrorType.scheduleToStart,
        message:
          "did not start within \(DurationText.text(policy.timeouts.scheduleToStart ?? 0)) of being ready: more slots, or less work before it"
      )
    case EngineErrorType.scheduleToClose:
      AttemptError(
        type: EngineErrorType.scheduleToClose,
        message: "did not end within \(DurationText.text(policy.timeouts.scheduleToClose ?? 0)), all attempts and waits included")
    case EngineErrorType.heartbeat:
      AttemptError(
        type: EngineErrorType.heartbeat,
        message: "the handler gave no heartbeat for \(DurationText.text(policy.timeouts.heartbeat ?? 0))")
    default:
      AttemptError(
        type: EngineErrorType.startToClose,
        message: "the attempt did not end within \(DurationText.text(policy.timeouts.startToClose ?? 0))")
    }
  }

  /// The wait before the next attempt: the same for the same seed, task and attempt, whatever ran in between.
  private func retryWait(_ retry: RetryPolicy, _ node: UInt32, _ number: Int) -> UInt64 {
    var tasks = SeededRandom(seed: seed &+ UInt64(logged(node)))
    var attempts = SeededRandom(seed: tasks.next() &+ UInt64(number))
    return retry.wait(beforeRetry: number, using: &attempts)
  }

  /// An attempt whose token may still be about is not used again: its holder may use it until it has said how it ends.
  private func dispose(_ attempt: AttemptPointer, lane: Int) {
    let isOut = unsafe attempt.pointee.isPending && !attempt.pointee.isSettled
    if isOut, items != nil { unsafe attempt.turn?.isOut = true }
    if isOut { unsafe host.abandon(attempt) } else { unsafe host.giveAttempt(attempt, lane: lane) }
  }

  // MARK: Late handlers

  /// The node's attempt has timed out and its handler runs on: the attempt belongs to the handler from here on, and keeps the run alive.
  func overdue(node: UInt32) {
    let anchor = anchor
    _ = unsafe Unmanaged.passRetained(anchor)
    if !anchor.compiled.builds.isEmpty { _ = anchor.enterBuilds() }
    // None: the timeout came when the attempt had begun for the core, but not here; nor will it. It counts all the same.
    let attempt = unsafe records.attempt(node)
    var begun = (number: 0, start: host.scheduler.clock.now, lane: -1, observation: AttemptObservation?.none)
    if let attempt = unsafe attempt {
      begun = unsafe (Int(attempt.pointee.number), attempt.pointee.start, attempt.pointee.lane, attempt.ownObservation)
    } else {
      begun.number = Int(records.countAttempt(node))
      counters.count(.attempts, lane: -1)
    }
    unsafe records.setAttempt(node, nil)
    if let attempt = unsafe attempt {
      unsafe forgetSaid(attempt)
      if items != nil { unsafe attempt.turn?.isOut = true }
      unsafe attempt.life.storeReleasing(AttemptLife.overdue)
      unsafe attempt.ownLink?.stop()
    }
    monitor.locked {
      var state = slow[node] ?? SlowNode()
      state.lateHandlers += 1
      if state.timeoutError == nil { state.timeoutError = EngineErrorType.startToClose }
      if let attempt = unsafe attempt { unsafe state.lateAttempts.append(attempt) }
      state.timedOut = begun
      slow[node] = state
    }
  }

  /// The late handler is back on its lane; what it said is dropped.
  func late(lane: Int, node: UInt32) {
    let (attempt, resubmit): (AttemptPointer?, Bool) = unsafe monitor.locked {
      if items != nil {
        let orphan = unsafe lateOrphan(node, lane: lane)
        if unsafe orphan.isOne { return unsafe (orphan.attempt, false) }
      }
      guard var state = slow[node] else { return (nil, false) }
      state.lateHandlers -= 1
      var attempt: AttemptPointer?
      if let index = unsafe state.lateAttempts.firstIndex(where: { unsafe $0.pointee.lane == lane }) {
        unsafe attempt = state.lateAttempts.remove(at: index)
      }
      let resubmit = state.retryBlocked && state.lateHandlers == 0
      if resubmit { state.retryBlocked = false }
      slow[node] = state
      if !resubmit, isOver(node) { dropIfIdle(node) }
      return unsafe (attempt, resubmit)
    }
    if let attempt = unsafe attempt {
      unsafe endTimers(of: attempt)
      unsafe dispose(attempt, lane: lane)
    }
    if resubmit { host.scheduler.resubmit(coreRun, node: node) }
    let anchor = anchor
    anchor.leaveBuilds()
    // unsafe: the retain of `overdue`.
    unsafe Unmanaged.passUnretained(anchor).release()
  }

  func isOver(_ node: UInt32) -> Bool {
    switch records.status(node) {
    case .pending, .running: false
    default: true
    }
  }
}

extension WorkflowRun {
  /// Entries of the log of a run of items, of which a million may fail: more are left out, and counted.
  static let loggedItems = 10_000

  /// Adds an entry to the log. With the monitor held.
  func write(_ entry: LoggedAttempt) {
    guard items != nil else {
      log.append(entry)
      return
    }
    if log.count == WorkflowRun.loggedItems { return }
    var entry = entry
    entry.node = logged(entry.node)
    log.append(entry)
  }

  /// A node that the core does not have is over.
  func release(_ node: UInt32) {
    if saga != nil {
      if !stepOver(node) { host.scheduler.release(coreRun, node: node) }
      return
    }
    if !itemOver(node) { host.scheduler.release(coreRun, node: node) }
  }
}

extension WorkflowRun.LoggedAttempt {
  /// unsafe: the caller has the attempt to itself.
  @unsafe init(_ attempt: AttemptPointer, _ status: NodeRecords.Status, end: UInt64, error: AttemptError?) {
    unsafe self.init(
      node: attempt.pointee.node, number: Int(attempt.pointee.number), status: status, start: attempt.pointee.start, end: end,
      lane: attempt.pointee.isPending ? -1 : attempt.pointee.lane, error: error)
  }
}

extension AttemptError {
  /// With a remark in brackets behind the message.
  func adding(_ remark: String) -> AttemptError {
    AttemptError(type: type, message: message.isEmpty ? remark : "\(message) (\(remark))", details: details)
  }
}
