internal import CMillrace
internal import MillraceCore

/// What a timer of a task keeps until it fires or is cancelled.
final class Waiter: Sendable {
  let run: WorkflowRun
  let node: UInt32

  init(_ run: WorkflowRun, _ node: UInt32) {
    self.run = run
    self.node = node
  }
}

/// A timer that is armed, and the waiter it holds.
@safe struct ArmedTimer {
  var handle: TimerHandle
  var waiter: Unmanaged<Waiter>
}

/// The timeouts and waits of tasks. Timers fire on the loop's thread or a spinning worker's; nothing here calls a handler.
extension WorkflowRun {
  /// A claim that somebody else has for a moment is tried again after so long, nanoseconds.
  private static let busy: UInt64 = 1_000_000

  // MARK: Arming

  private func arm(_ node: UInt32, at due: UInt64, _ kind: UInt16) -> ArmedTimer? {
    let waiter = unsafe Unmanaged.passRetained(Waiter(self, node))
    do {
      let handle = try host.timers.arm(
        shard: host.sharedShard, due: due, value: unsafe UInt64(UInt(bitPattern: waiter.toOpaque())), kind: kind)
      return unsafe ArmedTimer(handle: handle, waiter: waiter)
    } catch {
      unsafe waiter.release()
      host.write(
        UInt32(MILLRACE_LOG_ERROR), "task \(definition.tasks[Int(node)].id): a timeout or wait is not kept: \(error)")
      return nil
    }
  }

  /// True: it will not fire any more.
  @discardableResult private func cancel(_ timer: ArmedTimer?) -> Bool {
    guard let timer, host.timers.cancel(timer.handle) else { return false }
    unsafe timer.waiter.release()
    return true
  }

  /// A job for the node is about to wait for its start. Before it can be seen by anybody.
  func ready(node: UInt32, job: JobID) {
    let timeouts = compiled.policy(node).timeouts
    let now = host.scheduler.clock.now
    monitor.locked {
      var state = slow[node] ?? SlowNode()
      state.job = job
      if state.closeAt == 0, let close = timeouts.scheduleToClose {
        state.closeAt = now &+ close
        state.close = arm(node, at: state.closeAt, TimerKind.scheduleToClose)
      }
      if let open = timeouts.scheduleToStart { state.open = arm(node, at: now &+ open, TimerKind.scheduleToStart) }
      slow[node] = state
    }
  }

  /// The attempt begins: it waits for its start no longer, and may have to show that it is alive.
  func began(_ attempt: UnsafeMutablePointer<Attempt>) {
    let node = unsafe attempt.pointee.node
    let policy = compiled.policy(node)
    if policy.timeouts == Timeouts() { return }
    if policy.timeouts.scheduleToStart != nil {
      monitor.locked {
        cancel(slow[node]?.open)
        slow[node]?.open = nil
      }
    }
    // Others may end the attempt: what the handler says counts only if it is the first to claim it.
    unsafe attempt.pointee.context?.pointee.tokenIssued = true
    guard let heartbeat = policy.timeouts.heartbeat else { return }
    do {
      unsafe attempt.pointee.heartbeat = try host.timers.arm(
        shard: host.sharedShard, due: attempt.pointee.start &+ heartbeat, value: attempt.pointee.job.rawValue, kind: TimerKind.heartbeat)
    } catch {
      host.write(UInt32(MILLRACE_LOG_ERROR), "task \(definition.tasks[Int(node)].id): its heartbeat is not watched: \(error)")
    }
  }

  /// The attempt is over: what watched it stops. `keepClose`: schedule-to-close goes on, for the next attempt.
  func endTimers(_ node: UInt32, _ attempt: UnsafeMutablePointer<Attempt>?, keepClose: Bool = false) {
    if let attempt = unsafe attempt {
      _ = unsafe host.timers.cancel(attempt.pointee.heartbeat)
      _ = unsafe host.timers.cancel(attempt.pointee.closing)
    }
    monitor.locked {
      guard slow[node] != nil else { return }
      cancel(slow[node]?.open)
      slow[node]?.open = nil
      if !keepClose {
        cancel(slow[node]?.close)
        slow[node]?.close = nil
        dropIfIdle(node)
      }
    }
  }

  /// The task is over for good.
  func forgetTimers(_ node: UInt32) {
    monitor.locked {
      guard slow[node] != nil else { return }
      cancel(slow[node]?.close)
      slow[node]?.close = nil
      dropIfIdle(node)
    }
  }

  /// With the monitor held.
  private func dropIfIdle(_ node: UInt32) {
    if let state = slow[node], state.late == 0, !state.isWaiting { slow[node] = nil }
  }

  // MARK: Retries

  /// Puts the task to sleep until its next attempt. False: the run stops.
  func hold(_ node: UInt32, until due: UInt64, _ entry: LoggedAttempt) -> Bool {
    monitor.locked {
      // Under the monitor: `endWaits` comes after `stopReason`, so that it finds the wait or we find the reason.
      if shouldStop { return false }
      records.setStatus(node, .pending)
      guard let timer = arm(node, at: due, TimerKind.retry) else { return false }
      log.append(entry)
      var state = slow[node] ?? SlowNode()
      state.retry = timer
      state.timeoutError = nil
      slow[node] = state
      return true
    }
  }

  private func retryDue(_ node: UInt32) {
    let go = monitor.locked {
      guard slow[node]?.retry != nil else { return false }
      slow[node]?.retry = nil
      if let state = slow[node], state.late > 0, compiled.handlers[Int(compiled.handlerOf[Int(node)])].isExclusive {
        slow[node]?.retryBlocked = true
        return false
      }
      return true
    }
    if go { host.scheduler.resubmit(coreRun, node: node) }
  }

  /// Ends every wait for a retry: the run stops.
  func endWaits() {
    let ended = monitor.locked {
      let waiting = slow.filter { node, state in
        if state.retryBlocked { return true }
        guard state.retry != nil else { return false }
        return cancel(state.retry)
      }
      for node in waiting.keys {
        slow[node]?.retry = nil
        slow[node]?.retryBlocked = false
      }
      return Array(waiting.keys)
    }
    for node in ended { endHeld(node, .cancelled) }
  }

  /// Ends a task that waits for its next attempt.
  private func endHeld(_ node: UInt32, _ status: NodeRecords.Status) {
    conclude(node, status, lane: -1, host.scheduler.clock.now)
    host.scheduler.release(coreRun, node: node)
  }

  // MARK: Firing

  /// A timer of a workflow fired. Any thread; the engine's timer sink calls it.
  public static func fire(_ host: TaskHost, value: UInt64, kind: UInt16) {
    switch kind {
    case TimerKind.complete, TimerKind.startToClose, TimerKind.heartbeat:
      fire(host, job: JobID(rawValue: value), kind)
    default:
      // unsafe: armed with a retained waiter, which a cancelled timer's canceller has released instead.
      let waiter = unsafe Unmanaged<Waiter>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(value))!).takeRetainedValue()
      switch kind {
      case TimerKind.retry: waiter.run.retryDue(waiter.node)
      case TimerKind.scheduleToStart: waiter.run.startIsLate(waiter.node)
      default: waiter.run.closeIsLate(waiter.node)
      }
    }
  }

  private static func fire(_ host: TaskHost, job: JobID, _ kind: UInt16) {
    switch host.scheduler.claim(job) {
    case .gone: return
    case .busy:
      again(host, job, kind, host.scheduler.clock.now &+ busy)
    case .taken:
      guard let (run, attempt) = unsafe HostFunctions.claimed(host, job) else {
        host.scheduler.unclaim(job)
        return
      }
      switch kind {
      case TimerKind.complete:
        unsafe host.scheduler.endClaimed(job, run.coreOutcome(attempt))
      case TimerKind.startToClose:
        run.expire(job, unsafe attempt.pointee.node, EngineErrorType.startToClose)
      default:
        let allowed = unsafe run.compiled.policy(attempt.pointee.node).timeouts.heartbeat ?? .max
        let last = unsafe withUnsafeMutablePointer(to: &attempt.pointee.beat) { unsafe SharedWord($0).loadRelaxed() }
        let (due, overflow) = last.addingReportingOverflow(allowed)
        if !overflow, due <= host.scheduler.clock.now {
          run.expire(job, unsafe attempt.pointee.node, EngineErrorType.heartbeat)
        } else {
          host.scheduler.unclaim(job)
          again(host, job, kind, overflow ? .max : due)
        }
      }
    }
  }

  private static func again(_ host: TaskHost, _ job: JobID, _ kind: UInt16, _ due: UInt64) {
    do {
      _ = try host.timers.arm(shard: host.sharedShard, due: due, value: job.rawValue, kind: kind)
    } catch {
      host.write(UInt32(MILLRACE_LOG_ERROR), "a timeout is not kept: \(error)")
    }
  }

  /// Ends a claimed attempt as timed out.
  private func expire(_ job: JobID, _ node: UInt32, _ type: String) {
    monitor.locked { slow[node, default: SlowNode()].timeoutError = type }
    host.scheduler.expireClaimed(job)
  }

  private func startIsLate(_ node: UInt32) {
    let job: JobID? = monitor.locked {
      guard let job = slow[node]?.job, slow[node]?.open != nil else { return nil }
      slow[node]?.open = nil
      slow[node]?.finalError = EngineErrorType.scheduleToStart
      return job
    }
    guard let job else { return }
    if !host.scheduler.expireReady(job, coreRun, node: node) { monitor.locked { slow[node]?.finalError = nil } }
  }

  private func closeIsLate(_ node: UInt32) {
    var job: JobID?
    let isWaiting: Bool? = monitor.locked {
      guard var state = slow[node], state.close != nil else { return nil }
      state.close = nil
      state.finalError = EngineErrorType.scheduleToClose
      job = state.job
      let waited = state.retryBlocked || (state.retry != nil && cancel(state.retry))
      if waited {
        state.retry = nil
        state.retryBlocked = false
      }
      slow[node] = state
      return waited
    }
    guard let isWaiting else { return }
    if isWaiting {
      let policy = compiled.policy(node)
      monitor.locked {
        log.append(
          LoggedAttempt(
            node: node, number: records.attempts(node) + 1, status: .timedOut, start: host.scheduler.clock.now,
            end: host.scheduler.clock.now,
            lane: -1,
            error: AttemptError(
              type: EngineErrorType.scheduleToClose,
              message: "did not end within \(DurationText.text(policy.timeouts.scheduleToClose ?? 0)), all attempts and waits included")))
      }
      endHeld(node, .timedOut)
      return
    }
    if let job, host.scheduler.expireReady(job, coreRun, node: node) { return }
    let running = records.job(node)
    switch host.scheduler.claim(running) {
    case .taken: expire(running, node, EngineErrorType.scheduleToClose)
    case .gone where isOver(node): return
    default:
      // On its way from one state to the next: look again in a moment.
      monitor.locked { slow[node]?.close = arm(node, at: host.scheduler.clock.now &+ WorkflowRun.busy, TimerKind.scheduleToClose) }
    }
  }

  private func isOver(_ node: UInt32) -> Bool {
    switch records.status(node) {
    case .pending, .running: false
    default: true
    }
  }
}
