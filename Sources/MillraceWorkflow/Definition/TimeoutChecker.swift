/// Timeouts of one task that contradict each other: the longer one can never pass, which is seldom meant. Warnings.
enum TimeoutChecker {
  static func check(_ definition: Definition, _ positions: DefinitionPositions?, _ faults: inout FaultList) {
    let defaults = definition.defaults.timeouts
    check(defaults, "'defaults'", at: nil, task: nil, &faults)
    for (index, task) in definition.tasks.enumerated() where task.isSpecial {
      let own = task.policy.timeouts
      guard own != Timeouts() else { continue }
      let timeouts = Timeouts(
        startToClose: own.startToClose ?? defaults.startToClose, scheduleToClose: own.scheduleToClose ?? defaults.scheduleToClose,
        heartbeat: own.heartbeat ?? defaults.heartbeat)
      check(timeouts, definition.label(index), at: positions?.tasks[index].task, task: task.id, &faults)
    }
    guard definition.kind == .saga else { return }
    for (index, step) in definition.tasks.enumerated() {
      guard let undo = step.compensation else { continue }
      check(
        undo.timeouts, "the compensation of \(definition.label(index))", at: positions?.compensations[index]?.whole, task: step.id, &faults)
    }
  }

  private static func check(_ timeouts: Timeouts, _ label: String, at position: Position?, task: String?, _ faults: inout FaultList) {
    let pairs = [
      ("startToClose", timeouts.startToClose, "scheduleToClose", timeouts.scheduleToClose),
      ("heartbeat", timeouts.heartbeat, "startToClose", timeouts.startToClose),
      ("heartbeat", timeouts.heartbeat, "scheduleToClose", timeouts.scheduleToClose),
    ]
    // One is enough: the next would say the same again.
    guard case (let name, let length?, let other, let limit?)? = pairs.first(where: { isLonger($0.1, $0.3) }) else { return }
    faults.add(
      .mismatch, "\(label): '\(name)' (\(DurationText.text(length))) never passes, for '\(other)' is \(DurationText.text(limit))",
      fix: "make '\(name)' shorter, or leave it out", at: position, task: task, severity: .warning)
  }

  private static func isLonger(_ length: UInt64?, _ limit: UInt64?) -> Bool {
    guard let length, let limit else { return false }
    return length > limit
  }
}
