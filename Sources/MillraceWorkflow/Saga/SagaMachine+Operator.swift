/// What an operator may do with a saga that is parked.
extension SagaMachine {
  private func checkParked() throws(SagaRefusal) {
    if phase == .created { throw .notBegun }
    if parked == 0 { throw .notParked(status) }
  }

  private func checkParked(_ step: Int) throws(SagaRefusal) {
    guard states.indices.contains(step) else { throw .unknownStep(step) }
    guard isParked(step) else { throw .stepNotParked(plan.ids[step], states[step]) }
  }

  mutating func resume(_ step: Int?, _ name: String, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(name: name)
    try checkParked()
    if let step {
      try checkParked(step)
      resume(step, &actions)
    } else {
      for step in states.indices where isParked(step) { resume(step, &actions) }
    }
  }

  private mutating func resume(_ step: Int, _ actions: inout [SagaAction]) {
    parked -= 1
    inFlight += 1
    states[step] = phase == .undoing ? .compensating : .running
    actions.append(phase == .undoing ? .compensate(step) : .launch(step))
  }

  /// What is parked here is not done, and is not to be.
  mutating func skip(_ step: Int, _ name: String, _ reason: String, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(name: name, reason: reason)
    try checkParked()
    try checkParked(step)
    parked -= 1
    hasSkips = true
    states[step] = .skipped
    if phase == .undoing {
      settle(step, &actions)
    } else if plan.kind(of: step) == .pivot {
      cause = step
      turnBack(&actions)
    } else {
      advance(past: step, &actions)
    }
  }

  /// The pivot is declared done, and the saga goes on; elsewhere the saga is declared complete, and ends with what is in flight.
  mutating func force(_ name: String, _ reason: String, _ actions: inout [SagaAction]) throws(SagaRefusal) {
    try check(name: name, reason: reason)
    try checkParked()
    if isPivotParked, let pivot = plan.pivot {
      parked -= 1
      states[pivot] = .completed
      return advance(past: pivot, &actions)
    }
    isForced = true
    hasSkips = true
    parked = 0
    for step in states.indices where isLeftOut(step) { states[step] = .skipped }
    if inFlight == 0 { end() }
  }

  /// Parked, or a compensation that has not been launched.
  private func isLeftOut(_ step: Int) -> Bool {
    isParked(step) || phase == .undoing && hasEffect(step) && plan.hasCompensation(step)
  }
}
