internal import CMillrace
internal import MillraceCore

/// What follows from the end of an attempt. Called by the core's workers, one attempt of a task at a time.
extension WorkflowRun {
  func finished(lane: Int, node: UInt32, outcome: UInt8) -> UInt8 {
    let now = host.scheduler.clock.now
    let attempt = unsafe records.attempt(node)
    unsafe records.setAttempt(node, nil)
    counters.count(.ended, lane: lane)
    if outcome == Outcome.done.rawValue, let attempt = unsafe attempt {
      unsafe records.setOutput(node, attempt.pointee.output)
      records.setEnd(node, now)
      let first = unsafe attempt.pointee.number == 1
      if !first {
        let entry = unsafe LoggedAttempt(
          node: node, number: Int(attempt.pointee.number), status: .completed, start: attempt.pointee.start, end: now,
          lane: attempt.pointee.lane, error: nil)
        monitor.locked { log.append(entry) }
      }
      if compiled.policy(node).hasTimers { unsafe endTimers(node, attempt) }
      records.setStatus(node, .completed)
      counters.count(.completed, lane: lane)
      unsafe host.giveAttempt(attempt, lane: lane)
      return Verdict.release.rawValue
    }
    return unsafe failed(lane, node, Outcome(rawValue: outcome) ?? .failed, attempt, now)
  }

  private func failed(_ lane: Int, _ node: UInt32, _ outcome: Outcome, _ attempt: UnsafeMutablePointer<Attempt>?, _ now: UInt64) -> UInt8 {
    let policy = compiled.policy(node)
    if policy.hasTimers { unsafe endTimers(node, attempt, keepClose: true) }
    let slow = monitor.locked { self.slow[node] }
    var error = unsafe attempt?.pointee.error?.takeUnretainedValue()
    if error == nil || slow?.timeoutError != nil || slow?.finalError != nil {
      error = timeoutError(slow?.finalError ?? slow?.timeoutError, outcome, policy)
    }
    let number = unsafe attempt.map { unsafe Int($0.pointee.number) } ?? max(records.attempts(node), 1)
    let retryAfter = unsafe attempt?.pointee.retryAfter ?? 0
    let status: NodeRecords.Status =
      switch outcome {
      case .cancelled where shouldStop: .cancelled
      case .timedOut: .timedOut
      default: .failed
      }
    let started = unsafe attempt != nil || records.lane(node) != 0 || records.start(node) != 0
    var entry = unsafe LoggedAttempt(
      node: node, number: number, status: status, start: attempt?.pointee.start ?? (started ? records.start(node) : now), end: now,
      lane: records.lane(node), error: error)
    if let attempt = unsafe attempt { unsafe dispose(attempt, outcome, lane: lane) }

    let cures = outcome == .retry || (outcome == .timedOut && slow?.finalError == nil)
    if cures, !shouldStop, let retry = policy.retry, number < retry.attempts, !retry.nonRetryable.contains(error?.type ?? "") {
      let wait = retryAfter > 0 ? retryAfter : retryWait(retry, node, number)
      let closeAt = slow?.closeAt ?? 0
      if closeAt != 0, now &+ wait >= closeAt {
        entry.error = AttemptError(
          type: error?.type ?? "error",
          message: (error?.message ?? "") + " (not retried: the wait before attempt \(number + 1) would end after schedule-to-close)",
          details: error?.details ?? [])
      } else if hold(node, until: now &+ wait, entry) {
        return Verdict.hold.rawValue
      }
    }
    monitor.locked { log.append(entry) }
    conclude(node, status, lane: lane, now)
    return Verdict.release.rawValue
  }

  /// The task is over without an output: its dependents are skipped.
  func conclude(_ node: UInt32, _ status: NodeRecords.Status, lane: Int, _ now: UInt64) {
    forgetTimers(node)
    records.setEnd(node, now)
    records.setStatus(node, status)
    counters.count(status == .cancelled ? .cancelled : .failed, lane: lane)
    if status == .cancelled { return }
    for successor in compiled.plan.successors(of: Int(node)) {
      records.setCause(UInt32(successor), node)
      coreRun.poison(UInt32(successor))
    }
    if definition.onFailure == .failFast { stop(1) }
  }

  /// A task that is not run: a task before it failed, or the run stops.
  func bypassed(lane: Int, node: UInt32) {
    if compiled.policy(node).hasTimers { unsafe endTimers(node, nil) }
    records.setEnd(node, host.scheduler.clock.now)
    guard let cause = records.cause(node) else {
      records.setStatus(node, .cancelled)
      counters.count(.cancelled, lane: lane)
      return
    }
    records.setStatus(node, .skipped)
    counters.count(.skipped, lane: lane)
    for successor in compiled.plan.successors(of: Int(node)) {
      records.setCause(UInt32(successor), cause)
      coreRun.poison(UInt32(successor))
    }
  }

  private func timeoutError(_ type: String?, _ outcome: Outcome, _ policy: CompiledWorkflow.ResolvedPolicy) -> AttemptError {
    switch type ?? (outcome == .timedOut ? EngineErrorType.startToClose : EngineErrorType.cancelled) {
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
    case EngineErrorType.startToClose:
      AttemptError(
        type: EngineErrorType.startToClose,
        message: "the attempt did not end within \(DurationText.text(policy.timeouts.startToClose ?? 0))")
    default:
      AttemptError(type: EngineErrorType.cancelled, message: "the attempt was cancelled")
    }
  }

  /// The wait before the next attempt: the same for the same seed, task and attempt, whatever ran in between.
  private func retryWait(_ retry: RetryPolicy, _ node: UInt32, _ number: Int) -> UInt64 {
    var random = SeededRandom(seed: seed ^ UInt64(node) &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(number) << 48)
    return retry.wait(beforeRetry: number, using: &random)
  }

  /// An attempt whose token may still be about is not used again: its holder may ask `cancelled` of it at any time.
  private func dispose(_ attempt: UnsafeMutablePointer<Attempt>, _ outcome: Outcome, lane: Int) {
    let isOut = unsafe attempt.pointee.context == nil && (outcome == .timedOut || outcome == .cancelled)
    if isOut { unsafe host.abandon(attempt) } else { unsafe host.giveAttempt(attempt, lane: lane) }
  }

  // MARK: Late handlers

  /// The node's attempt has timed out and its handler runs on: the attempt belongs to the handler from here on, and keeps the run alive.
  func overdue(node: UInt32) {
    _ = unsafe Unmanaged.passRetained(self)
    unsafe records.setAttempt(node, nil)
    monitor.locked {
      slow[node, default: SlowNode()].late += 1
      if slow[node]?.timeoutError == nil { slow[node]?.timeoutError = EngineErrorType.startToClose }
    }
  }

  /// The late handler is back; what it said is dropped.
  func late(lane: Int, node: UInt32) {
    if let attempt = unsafe host.lane(lane).pointee.current { unsafe host.giveAttempt(attempt, lane: lane) }
    let resubmit = monitor.locked {
      slow[node]?.late -= 1
      guard let now = slow[node], now.retryBlocked, now.late == 0 else { return false }
      slow[node]?.retryBlocked = false
      return true
    }
    if resubmit { host.scheduler.resubmit(coreRun, node: node) }
    // unsafe: the retain of `overdue`.
    unsafe Unmanaged.passUnretained(self).release()
  }
}
