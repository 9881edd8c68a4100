internal import CMillrace
internal import MillraceCore

/// Tasks whose attempts start at a rate: see `Rate`.
extension WorkflowRun {
  /// What the core is told of a task that may not start yet; it comes back to `finished`, and goes no further.
  static let paced: UInt8 = 0x10

  /// The attempt of a task with a rate is about to start. False: it has to wait, and `finished` will put it in line.
  func mayStart(_ node: UInt32, _ rate: Rate) -> Bool {
    let task = monitor.locked { slow[node]?.pace }
    guard rate.start(priority: priority(of: node).rawValue, called: task) else { return false }
    if task != nil { monitor.locked { slow[node]?.pace = nil } }
    return true
  }

  /// Puts a task that may not start yet in its rate's line.
  func pace(_ node: UInt32, _ rate: Rate) -> Hold {
    let task: PacedTask? = monitor.locked {
      // Under the monitor, as in `hold`.
      if shouldStop || slow[node]?.finalError != nil { return nil }
      let task = slow[node]?.pace ?? PacedTask(self, node, priority: priority(of: node).rawValue)
      records.setStatus(node, .pending)
      slow[node, default: SlowNode()].pace = task
      slow[node]?.isPaced = true
      return task
    }
    guard let task else { return .refused }
    rate.join(task)
    return .held
  }

  /// Its rate calls a task. False: it does not wait any more.
  func call(_ task: PacedTask) -> Bool {
    let isWaiting = monitor.locked {
      guard slow[task.node]?.pace === task, slow[task.node]?.isPaced == true else { return false }
      slow[task.node]?.isPaced = false
      return true
    }
    if isWaiting { host.scheduler.resubmit(coreRun, node: task.node) }
    return isWaiting
  }

  /// There is no timer to wait with.
  func failPaced(_ task: PacedTask, _ reason: String) {
    let node = task.node
    let isWaiting = monitor.locked {
      guard slow[node]?.pace === task, slow[node]?.isPaced == true else { return false }
      slow[node]?.isPaced = false
      slow[node]?.pace = nil
      return true
    }
    if isWaiting { endHeld(node, .failed, AttemptError(type: EngineErrorType.noTimer, message: "its rate could not be kept: \(reason)")) }
  }

  /// The task has ended, or begun: its rate need not think of it any more. With no lock held.
  func leaveRate(_ node: UInt32) {
    guard let rate = compiled.rate(node) else { return }
    let task: PacedTask? = monitor.locked {
      guard let task = slow[node]?.pace else { return nil }
      slow[node]?.pace = nil
      slow[node]?.isPaced = false
      return task
    }
    if let task { rate.leave(task) }
  }
}
