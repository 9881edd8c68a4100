/// The way forward, and where it ends.
extension SagaMachine {
  mutating func begin(_ actions: inout [SagaAction]) throws(SagaRefusal) {
    guard phase == .created else { throw .alreadyBegun }
    phase = .forward
    for step in states.indices where waiting[step] == 0 { launch(step, &actions) }
  }

  private mutating func launch(_ step: Int, _ actions: inout [SagaAction]) {
    states[step] = .running
    inFlight += 1
    actions.append(.launch(step))
  }

  mutating func complete(_ step: Int, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(step, is: .running, or: .stopping)
    inFlight -= 1
    states[step] = .completed
    errors[step] = nil
    if phase == .stopping { return undoIfAllStopped(&actions) }
    advance(past: step, &actions)
  }

  /// A step need not be waited for any more.
  mutating func advance(past step: Int, _ actions: inout [SagaAction]) {
    open -= 1
    if !isForced {
      for dependent in plan.dependents(of: step) {
        waiting[Int(dependent)] -= 1
        if waiting[Int(dependent)] == 0 { launch(Int(dependent), &actions) }
      }
    }
    endIfDone()
  }

  private mutating func endIfDone() { if open == 0 || isForced && inFlight == 0 { end() } }

  mutating func fail(
    _ step: Int, _ state: SagaStepState, _ error: SagaError, _ actions: inout [SagaAction]
  ) throws(SagaRefusal) {
    try check(step, is: .running, or: .stopping)
    try check(error)
    inFlight -= 1
    states[step] = state
    errors[step] = error
    if phase == .stopping { return undoIfAllStopped(&actions) }
    switch plan.kind(of: step) {
    case .compensatable:
      cause = step
      turnBack(&actions)
    case .pivot where state == .failed:
      cause = step
      turnBack(&actions)
    case .retriable where isForced:
      states[step] = .skipped
      endIfDone()
    case .pivot, .retriable: parked += 1
    }
  }

  /// A step that had been asked to stop has not started.
  mutating func withdraw(_ step: Int, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(step, is: .stopping, or: .running)
    guard states[step] == .stopping else { throw .notAskedToStop(plan.ids[step]) }
    inFlight -= 1
    states[step] = .waiting
    if phase == .stopping { undoIfAllStopped(&actions) } else { turnBack(&actions) }
  }

  mutating func cancel(_ name: String, _ reason: String, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(name: name)
    if reason.utf8.count > SagaFact.maximumReasonBytes { throw .tooLong(limit: SagaFact.maximumReasonBytes) }
    if phase == .stopping || phase == .undoing { throw .compensating }
    let pivot = plan.pivot.map { states[$0] }
    switch pivot {
    case .completed: throw .pivotCommitted
    case .unknown: throw .pivotUnknown
    case .running where isCancelled, .stopping: throw .alreadyCancelled
    default: break
    }
    isCancelled = true
    if pivot == .running, let step = plan.pivot {
      // Alone in flight: its outcome decides.
      states[step] = .stopping
      actions.append(.requestStop(step))
    } else {
      turnBack(&actions)
    }
  }

  /// Launches nothing any more, and undoes what was done once it is known what that is.
  mutating func turnBack(_ actions: inout [SagaAction]) {
    phase = .stopping
    isTurnedBack = true
    for step in states.indices where states[step] == .running {
      states[step] = .stopping
      actions.append(.requestStop(step))
    }
    undoIfAllStopped(&actions)
  }
}
