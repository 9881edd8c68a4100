internal import MillraceBroker
internal import MillraceCore

/// Tasks whose destination has a breaker: see `Breaker`.
extension WorkflowRun {
  /// What the core is told of a task that is parked; it comes back to `finished`, and goes no further.
  static let parked: UInt8 = 0x12

  /// The attempt of a task is about to call. False: it has to wait, and `finished` will park it.
  func mayCall(_ node: UInt32, _ breaker: Breaker) -> Bool {
    let task = monitor.locked { slow[node]?.parked }
    guard let ticket = breaker.ask(called: task) else { return false }
    if records.attempts(node) == 0, subject?.isNew ?? true { breaker.countAttempt() }
    monitor.locked {
      if task != nil { slow[node]?.parked = nil }
      tickets[node] = ticket
    }
    return true
  }

  /// Parks a task that may not call yet.
  func park(_ node: UInt32, _ breaker: Breaker) -> Hold {
    let found: (task: PacedTask, wasCalled: Bool)? = monitor.locked {
      // Under the monitor, as in `hold`.
      if shouldStop || slow[node]?.finalError != nil { return nil }
      let known = slow[node]?.parked
      let task = known ?? PacedTask(self, node, priority: priority(of: node).rawValue)
      records.setStatus(node, .pending)
      slow[node, default: SlowNode()].parked = task
      slow[node]?.isPaced = true
      return (task, known != nil)
    }
    guard let found else { return .refused }
    breaker.join(found.task, wasCalled: found.wasCalled)
    return .held
  }

  /// A message does not stand in line: its run ends, and its queue has it meanwhile.
  func giveBack(_ subject: any RunSubject, _ breaker: Breaker) {
    subject.attemptFailed(
      RunFailure(
        kind: .parked, retryAfter: breaker.patience, type: "", message: "the breaker of \(breaker.destination) lets nobody through"))
    stop(2)
  }

  /// Its breaker calls a task. False: it does not wait any more.
  func callParked(_ task: PacedTask) -> Bool {
    let isWaiting = endParking(task, forgets: false)
    if isWaiting { host.scheduler.resubmit(coreRun, node: task.node) }
    return isWaiting
  }

  /// There is no timer to wait with.
  func failParked(_ task: PacedTask, _ reason: String) {
    guard endParking(task, forgets: true) else { return }
    endHeld(
      task.node, .failed, AttemptError(type: EngineErrorType.noTimer, message: "the wait for its breaker could not be kept: \(reason)"))
  }

  private func endParking(_ task: PacedTask, forgets: Bool) -> Bool {
    monitor.locked {
      guard slow[task.node]?.parked === task, slow[task.node]?.isPaced == true else { return false }
      slow[task.node]?.isPaced = false
      if forgets { slow[task.node]?.parked = nil }
      return true
    }
  }

  /// The attempt of a task has ended, if it was let through: a timeout, or an error that another attempt may cure, is a failure of the destination.
  func tell(_ breaker: Breaker, of node: UInt32, _ outcome: Outcome?) {
    guard let ticket = monitor.locked({ tickets.removeValue(forKey: node) }) else { return }
    switch outcome {
    case .done, .failed: breaker.tell(ticket, isFailure: false)
    case .retry, .timedOut: breaker.tell(ticket, isFailure: true)
    case .cancelled, .pending, nil: breaker.tell(ticket, isFailure: nil)
    }
  }

  /// The task has ended, or begun: its breaker need not think of it any more. With no lock held.
  func leaveBreaker(_ node: UInt32) {
    guard let breaker = compiled.breaker(node) else { return }
    let task: PacedTask? = monitor.locked {
      guard let task = slow[node]?.parked else { return nil }
      slow[node]?.parked = nil
      slow[node]?.isPaced = false
      return task
    }
    if let task { breaker.leave(task) }
  }

  /// The task has ended without having begun: neither its rate nor its breaker need think of it.
  func leaveLines(_ node: UInt32) {
    if compiled.hasRates { leaveRate(node) }
    if compiled.hasBreakers { leaveBreaker(node) }
  }
}
