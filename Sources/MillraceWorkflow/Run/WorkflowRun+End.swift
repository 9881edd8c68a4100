internal import CMillrace
internal import MillraceCore

/// The end of a run: its last task, a stop, or the end of the engine.
extension WorkflowRun {
  func completed() {
    if let items { endItems(items) }
    let counts = counters.sum()
    // Cancelling a run whose last task is through changes nothing.
    if let saga { return end(status(of: saga.state)) }
    let isAllDone = counts.completed + counts.skipped >= count
    // It goes on in another process, and so does its cleanup.
    if isSuspended, !isAllDone { return end(.running) }
    let isCancelled = stopReason.loadSequential() == 2 && !isAllDone
    let status: WorkflowStatus = isCancelled ? .cancelled : counts.failed > 0 ? .failed : .completed
    guard let cleanup else { return end(status) }
    let starts = monitor.locked {
      verdict = status
      return !isAbandoned
    }
    if starts {
      stopLeftChildren(beforeCleanup: true)
      do { return try cleanup.start() } catch { host.report("run \(id): its cleanup tasks do not start: \(error)") }
    }
    cleanup.giveUp()
    end(status == .completed ? .failed : status)
  }

  private func end(_ status: WorkflowStatus, hadTurn: Bool = true) {
    if isRoot {
      _ = host.ended(self)
      stopLeftChildren()
      noteEnd(status)
    }
    mailbox?.close()
    saga?.end()
    if isRoot, !compiled.builds.isEmpty {
      tallyAttempts()
      leaveBuilds()
    }
    let now = host.scheduler.clock.now
    if isRoot, hadTurn, let observation { observation.observer?.ended(status, after: .nanoseconds(now &- started)) }
    let waiters = monitor.locked {
      finalStatus = status
      endTime = now
      monitor.broadcast(.ended)
      defer { self.waiters = [] }
      return self.waiters
    }
    tellWatcher()
    ended(self)
    for action in waiters { action() }
    if hadTurn { host.lines.leave(self) }
  }

  /// Ends a run that waited for its turn: none of its tasks begins, those of its cleanup neither.
  func endUnbegun(_ status: WorkflowStatus, because reason: String? = nil) {
    monitor.locked { if cause == nil { cause = reason } }
    giveUpTasks()
    cleanup?.giveUp()
    end(status, hadTurn: false)
  }

  /// The cleanup has ended, and the run with it. What failed in it fails a run that was completed.
  func cleanedUp(_ cleanup: WorkflowRun) {
    let status = monitor.locked { verdict } ?? .failed
    if cleanup.status == .running { return end(.running) }
    end(status == .completed && cleanup.status != .completed ? .failed : status)
  }

  /// A cleanup that cannot start: its tasks are cancelled.
  private func giveUp() {
    giveUpTasks()
    monitor.locked {
      finalStatus = .cancelled
      endTime = host.scheduler.clock.now
    }
  }

  private func giveUpTasks() {
    for node in 0..<UInt32(records.count) {
      records.setStatus(node, .cancelled)
      counters.count(.cancelled, lane: -1)
    }
  }

  /// The runtime has stopped, and the run is not over: what is left of it is cancelled. The caller is the only thread that still touches its tasks.
  func abandon() {
    if host.lines.remove(self) { return endUnbegun(isSuspended ? .running : .cancelled) }
    guard host.ended(self) else { return }
    let isCleaning = monitor.locked {
      isAbandoned = true
      return verdict != nil
    }
    if isCleaning { cleanup?.abandonTasks() } else { abandonTasks() }
  }

  private func abandonTasks() {
    guard let core, monitor.locked({ finalStatus == nil }) else { return }
    stop(journal == nil ? 2 : WorkflowRun.suspended)
    // Nobody is told of the end of their items: their tasks end below.
    for run in itemRuns {
      _ = run.items?.takeTask()
      run.abandonTasks()
    }
    abandonHeld()
    for node in 0..<UInt32(records.count) where !isOver(node) {
      leaveLines(node)
      if compiled.hasTimers(node) { endTimers(node) }
      if observation != nil { unsafe observeAbandoned(node, records.attempt(node), host.scheduler.clock.now) }
      if let attempt = unsafe records.attempt(node) {
        // A holder of its token may be about to complete it: after this claim nobody is.
        if host.claim(records.job(node)) { host.scheduler.endClaimed(records.job(node), Outcome.cancelled.rawValue) }
        unsafe records.setAttempt(node, nil)
        unsafe forgetSaid(attempt)
        unsafe endTimers(of: attempt)
        if unsafe attempt.pointee.isPending && !attempt.pointee.isSettled {
          unsafe host.abandon(attempt)
        } else {
          unsafe host.discard(attempt)
        }
      }
      if records.status(node) == .running { counters.count(.ended, lane: -1) }
      records.setEnd(node, host.scheduler.clock.now)
      records.setStatus(node, .cancelled)
      counters.count(.cancelled, lane: -1)
      if let items { takeRecord(items, node) }
      if observation != nil { observeTask(node, .cancelled) }
    }
    withExtendedLifetime(core) { completed() }
    // unsafe: the retain of `start`, which the core will not give back any more.
    unsafe Unmanaged.passUnretained(self).release()
  }

  /// Asks the run to stop: what has not started is not started, waits end, what runs is asked to stop. Any thread, any number of times.
  /// Of a durable run the wish is on stable storage when this returns.
  public func cancel() { cancel(by: nil, because: nil) }

  /// Out of the lines of handlers. Nobody waits there once the builds have been let go of, and the numbers of their handlers may be others'.
  private func letOut(_ core: Run) {
    let run = anchor
    if !compiled.builds.isEmpty, !run.enterBuilds() { return }
    for handler in compiled.handlers { host.scheduler.letOut(of: core, handler: handler.index) }
    run.leaveBuilds()
  }

  /// `reason` as in `stopReason`; `cause`: what is told of it. Complexity: O(tasks).
  func stop(_ reason: UInt64, because cause: String? = nil) {
    while true {
      let before = stopReason.loadSequential()
      if before >= reason { return }
      if stopReason.replace(before, by: reason) { break }
    }
    let core = monitor.locked {
      if self.cause == nil { self.cause = cause }
      return self.core
    }
    guard let core else {
      // It waits for its turn; or begins just now, and will find the reason.
      if host.lines.remove(self) { endUnbegun(reason == WorkflowRun.suspended ? .running : .cancelled) }
      return
    }
    if reason == WorkflowRun.suspended { cleanup?.stop(reason) }
    defer { closeSaga() }
    core.stop()
    for limit in compiled.limits { host.scheduler.letOut(of: core, limit: limit) }
    letOut(core)
    for node in 0..<UInt32(records.count) where records.status(node) == .running {
      host.scheduler.cancel(records.job(node))
    }
    endWaits()
    for run in itemRuns { run.stop(reason) }
    stopHeld()
    host.stopLinks(of: self)
  }
}
