/// The way back: against the dependencies, each step once all that depended on it is undone.
extension SagaMachine {
  mutating func undoIfAllStopped(_ actions: inout [SagaAction]) {
    guard inFlight == 0 else { return }
    phase = .undoing
    open = 0
    var ready: [Int32] = []
    for step in states.indices where hasEffect(step) {
      open += 1
      waiting[step] = 0
      for dependent in plan.dependents(of: step) where hasEffect(Int(dependent)) { waiting[step] += 1 }
      if waiting[step] == 0 { ready.append(Int32(truncatingIfNeeded: step)) }
    }
    undo(&ready, &actions)
  }

  /// The step was done, or may have been.
  func hasEffect(_ step: Int) -> Bool { states[step] == .completed || states[step] == .unknown }

  /// Undoes these steps, and those before them as far as there is nothing to do for that.
  private mutating func undo(_ ready: inout [Int32], _ actions: inout [SagaAction]) {
    while let next = ready.popLast() {
      let step = Int(next)
      if plan.hasCompensation(step) {
        states[step] = .compensating
        inFlight += 1
        actions.append(.compensate(step))
      } else {
        settle(step, &ready)
      }
    }
    if open == 0 { end() }
  }

  /// The step is undone or passed over: those that it depended on may follow.
  private mutating func settle(_ step: Int, _ ready: inout [Int32]) {
    open -= 1
    for dependency in plan.dependencies(of: step) {
      waiting[Int(dependency)] -= 1
      if waiting[Int(dependency)] == 0 { ready.append(dependency) }
    }
  }

  mutating func settle(_ step: Int, _ actions: inout [SagaAction]) {
    var ready: [Int32] = []
    settle(step, &ready)
    undo(&ready, &actions)
  }

  mutating func completeCompensation(_ step: Int, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(step, is: .compensating)
    inFlight -= 1
    states[step] = .compensated
    errors[step] = nil
    if !isForced { settle(step, &actions) } else if inFlight == 0 { end() }
  }

  mutating func failCompensation(_ step: Int, _ error: SagaError) throws(SagaRefusal) {
    try check(step, is: .compensating)
    try check(error)
    inFlight -= 1
    errors[step] = error
    if isForced {
      states[step] = .skipped
      if inFlight == 0 { end() }
    } else {
      states[step] = .compensationFailed
      parked += 1
    }
  }

  /// What was in flight when the process ended runs once more with the same key; but steps that had been asked to stop are not begun again.
  mutating func recover(_ actions: inout [SagaAction]) {
    for step in states.indices {
      switch states[step] {
      case .running: actions.append(.launch(step))
      case .compensating: actions.append(.compensate(step))
      case .stopping where phase == .stopping:
        states[step] = .unknown
        inFlight -= 1
      case .stopping:
        // A pivot: it may have been done, and only it can say so.
        states[step] = .running
        actions.append(.launch(step))
      default: break
      }
    }
    if phase == .stopping { undoIfAllStopped(&actions) }
  }
}
