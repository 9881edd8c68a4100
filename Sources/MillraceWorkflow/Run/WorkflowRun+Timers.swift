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

  /// Whether it is the one that this waiter waits with: a timer that fires while another has taken its place finds that.
  func isOf(_ other: Waiter) -> Bool { unsafe waiter.toOpaque() == Unmanaged.passUnretained(other).toOpaque() }
}

/// The timeouts and waits of tasks. Timers fire on the loop's thread or a spinning worker's; nothing here calls a handler.
extension WorkflowRun {
  /// A claim that somebody else has for a moment is tried again after so long, nanoseconds.
  private static let busy: UInt64 = 1_000_000

  // MARK: Arming

  func arm(_ node: UInt32, at due: UInt64, _ kind: UInt16) throws(TimerFull) -> ArmedTimer {
    let waiter = unsafe Unmanaged.passRetained(Waiter(self, node))
    do {
      let handle = try host.timers.arm(
        shard: host.sharedShard, due: due, value: unsafe UInt64(UInt(bitPattern: waiter.toOpaque())), kind: kind)
      return unsafe ArmedTimer(handle: handle, waiter: waiter)
    } catch {
      unsafe waiter.release()
      throw error
    }
  }

  /// True: it will not fire any more.
  @discardableResult func cancel(_ timer: ArmedTimer?) -> Bool {
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
      do {
        // Of a run that was taken over it may have begun in another process.
        if state.close == nil, state.finalError == nil, let close = timeouts.scheduleToClose {
          if state.closeAt == 0 { state.closeAt = now &+ close }
          if state.closeAt > now {
            state.close = try arm(node, at: state.closeAt, TimerKind.scheduleToClose)
          } else {
            state.finalError = EngineErrorType.scheduleToClose
          }
        }
        // A task that its rate made wait has waited for its start all the time.
        if state.open == nil, let open = timeouts.scheduleToStart { state.open = try arm(node, at: now &+ open, TimerKind.scheduleToStart) }
      } catch {
        host.write(UInt32(MILLRACE_LOG_ERROR), "task \(name(node)): a timeout is not kept: \(error)")
      }
      slow[node] = state
    }
  }

  /// The task begins: it waits for its start no longer. True: a timeout has passed before, and its handler is not called. `mayWait`: its rate is still to be asked.
  func isTooLate(_ node: UInt32, mayWait: Bool = false) -> Bool {
    let timeouts = compiled.policy(node).timeouts
    if timeouts.scheduleToStart == nil, timeouts.scheduleToClose == nil { return false }
    return monitor.locked {
      if !mayWait {
        cancel(slow[node]?.open)
        slow[node]?.open = nil
      }
      guard let type = slow[node]?.finalError else { return false }
      slow[node]?.timeoutError = type
      return true
    }
  }

  /// The attempt may have to show that it is alive. Why that cannot be watched; nil: it is, or need not be.
  func watch(_ attempt: AttemptPointer) -> String? {
    guard let heartbeat = unsafe compiled.policy(attempt.pointee.node).timeouts.heartbeat else { return nil }
    do {
      unsafe attempt.pointee.heartbeat = try host.timers.arm(
        shard: host.sharedShard, due: attempt.pointee.start &+ heartbeat, value: attempt.pointee.job.rawValue, kind: TimerKind.heartbeat)
      return nil
    } catch {
      return "the heartbeat could not be watched: \(error)"
    }
  }

  /// The attempt is over: what watched it stops.
  func endTimers(of attempt: AttemptPointer) {
    for handle in unsafe [attempt.pointee.heartbeat, attempt.pointee.closing, attempt.pointee.completing] where handle != .none {
      _ = host.timers.cancel(handle)
    }
  }

  /// The attempt, or the wait for its start, is over. `keepClose`: schedule-to-close goes on, for the next attempt.
  func endTimers(_ node: UInt32, keepClose: Bool = false) {
    monitor.locked {
      guard slow[node] != nil else { return }
      cancel(slow[node]?.open)
      slow[node]?.open = nil
      if keepClose { return }
      cancel(slow[node]?.close)
      slow[node]?.close = nil
      dropIfIdle(node)
    }
  }

  /// With the monitor held.
  func dropIfIdle(_ node: UInt32) {
    if let state = slow[node], state.lateHandlers == 0, !state.isWaiting, state.close == nil { slow[node] = nil }
  }

  /// Keeps what a heartbeat said for the next attempt, if there may be one.
  func keep(details: [UInt8], of node: UInt32) {
    guard compiled.policy(node).retry != nil else { return }
    monitor.locked { slow[node, default: SlowNode()].details = details }
  }

  // MARK: Retries

  /// What came of putting a task to sleep.
  enum Hold {
    case held
    /// The run stops.
    case refused
    case noTimer(String)
  }

  /// Puts the task to sleep until its next attempt.
  func hold(_ node: UInt32, until due: UInt64, _ entry: LoggedAttempt) -> Hold {
    monitor.locked {
      // Under the monitor: `endWaits` comes after `stopReason`, so that it finds the wait or we find the reason.
      if shouldStop { return .refused }
      let timer: ArmedTimer
      do { timer = try arm(node, at: due, TimerKind.retry) } catch { return .noTimer("\(error)") }
      records.setStatus(node, .pending)
      write(entry)
      var state = slow[node] ?? SlowNode()
      state.retry = timer
      state.waitEnds = due
      state.timeoutError = nil
      state.timedOut = nil
      slow[node] = state
      return .held
    }
  }

  private func retryDue(_ waiter: Waiter) {
    let node = waiter.node
    let go = monitor.locked {
      guard slow[node]?.retry?.isOf(waiter) == true else { return false }
      slow[node]?.retry = nil
      if let state = slow[node], state.lateHandlers > 0, compiled.handlers[Int(compiled.handlerOf[task(node)])].isExclusive {
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
        if state.retryBlocked || state.isPaced { return true }
        guard state.retry != nil else { return false }
        return cancel(state.retry)
      }
      for node in waiting.keys {
        slow[node]?.retry = nil
        slow[node]?.retryBlocked = false
        slow[node]?.isPaced = false
      }
      return Array(waiting.keys)
    }
    for node in ended { endHeld(node, .cancelled) }
  }

  /// Ends the wait of one task for its next attempt: a step of a saga is to stop. A pivot of which nobody knows what it did goes on.
  func endWait(_ node: UInt32) {
    guard mayWithdraw(node) else { return }
    let isEnded = monitor.locked {
      guard let state = slow[node] else { return false }
      guard state.retryBlocked || state.isPaced || state.retry != nil && cancel(state.retry) else { return false }
      slow[node]?.retry = nil
      slow[node]?.retryBlocked = false
      slow[node]?.isPaced = false
      return true
    }
    if isEnded { endHeld(node, .cancelled) }
  }

  /// Nothing is done by the step, as far as its attempts tell, or it can be undone.
  func mayWithdraw(_ node: UInt32) -> Bool {
    guard let saga, saga.compiled.plan.pivot == Int(node) else { return true }
    return monitor.locked { log.last { $0.node == node && !$0.isUnbegun } }?.isUnknown != true
  }

  /// Ends a task that waits for its next attempt. `error`: of the attempt that there will not be.
  func endHeld(_ node: UInt32, _ status: NodeRecords.Status, _ error: AttemptError? = nil) {
    leaveLines(node)
    let now = host.scheduler.clock.now
    if let error {
      let entry = LoggedAttempt(
        node: node, number: records.attempts(node) + 1, status: status, start: now, end: now, lane: -1, error: error)
      if journal != nil, status != .cancelled, !isSuspended { return keepFailure(entry) }
      monitor.locked { write(entry) }
    }
    conclude(node, status, lane: -1, now, error)
    release(node)
  }

  // MARK: Firing

  /// A timer of a workflow fired. Any thread; the engine's timer sink calls it.
  public static func fire(_ host: TaskHost, value: UInt64, kind: UInt16) {
    switch kind {
    case TimerKind.complete, TimerKind.startToClose, TimerKind.heartbeat:
      fire(host, job: JobID(rawValue: value), kind)
    case TimerKind.wait: unsafe TimeWait.fire(value)
    case TimerKind.rate: unsafe Rate.fire(value: value)
    case TimerKind.breaker: unsafe Breaker.fire(value: value)
    case TimerKind.line: host.lines.fire(value)
    default:
      // unsafe: armed with a retained waiter, which a cancelled timer's canceller has released instead.
      let waiter = unsafe Unmanaged<Waiter>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(value))!).takeRetainedValue()
      switch kind {
      case TimerKind.retry: waiter.run.retryDue(waiter)
      case TimerKind.scheduleToStart: waiter.run.startIsLate(waiter)
      case TimerKind.heldClose: waiter.run.heldIsLate(waiter)
      default: waiter.run.closeIsLate(waiter)
      }
    }
  }

  private static func fire(_ host: TaskHost, job: JobID, _ kind: UInt16) {
    while true {
      switch host.scheduler.claim(job) {
      case .gone: return
      case .taken: return take(host, job, kind)
      case .busy:
        do {
          _ = try host.timers.arm(shard: host.sharedShard, due: host.scheduler.clock.now &+ busy, value: job.rawValue, kind: kind)
          return
        } catch {
          // No timer to come back with: claims are short.
          millrace_yield()
        }
      }
    }
  }

  /// A timer fired for a job that is claimed now.
  private static func take(_ host: TaskHost, _ job: JobID, _ kind: UInt16) {
    let (run, node, attempt) = unsafe HostFunctions.claimed(host, job)
    guard let attempt = unsafe attempt else {
      host.scheduler.unclaim(job)
      return
    }
    switch kind {
    case TimerKind.complete:
      unsafe attempt.pointee.completing = .none
      unsafe host.scheduler.endClaimed(job, run.coreOutcome(attempt))
    case TimerKind.startToClose:
      run.expire(job, node, EngineErrorType.startToClose)
    default:
      let allowed = run.compiled.policy(node).timeouts.heartbeat ?? .max
      let (due, overflow) = unsafe attempt.beat.loadRelaxed().addingReportingOverflow(allowed)
      if !overflow, due <= host.scheduler.clock.now { return run.expire(job, node, EngineErrorType.heartbeat) }
      do {
        unsafe attempt.pointee.heartbeat = try host.timers.arm(
          shard: host.sharedShard, due: overflow ? .max : due, value: job.rawValue, kind: kind)
      } catch {
        host.write(
          UInt32(MILLRACE_LOG_ERROR), "task \(run.name(node)): its heartbeat is not watched any more: \(error)")
      }
      host.scheduler.unclaim(job)
    }
  }

  /// Ends a claimed attempt as timed out.
  private func expire(_ job: JobID, _ node: UInt32, _ type: String) {
    monitor.locked { slow[node, default: SlowNode()].timeoutError = type }
    let attempt = unsafe records.attempt(node)
    let link = unsafe attempt?.ownLink
    // Whoever works for it sees so at once: a worker that settles it may not come by before, as all may be in batches that wait for this.
    unsafe attempt?.life.storeReleasing(AttemptLife.overdue)
    host.scheduler.expireClaimed(job)
    link?.stop()
  }

  private func startIsLate(_ waiter: Waiter) {
    let node = waiter.node
    var isPaced = false
    let job: JobID? = monitor.locked {
      guard let job = slow[node]?.job, slow[node]?.open?.isOf(waiter) == true else { return nil }
      slow[node]?.open = nil
      slow[node]?.finalError = EngineErrorType.scheduleToStart
      isPaced = slow[node]?.isPaced ?? false
      slow[node]?.isPaced = false
      return job
    }
    if isPaced { return endHeld(node, .timedOut, timeoutError(EngineErrorType.scheduleToStart, compiled.policy(node))) }
    // If it is being started, or waits for a thread of the blocking pool, `isTooLate` finds the error.
    if let job { _ = host.scheduler.expireReady(job, coreRun, node: node) }
  }

  private func closeIsLate(_ waiter: Waiter) {
    let node = waiter.node
    var job: JobID?
    // The place of an item may be another item's at any moment from here on.
    var item = 0
    let isWaiting: Bool? = monitor.locked {
      guard var state = slow[node], state.close?.isOf(waiter) == true else { return nil }
      item = items?.item(node) ?? 0
      state.close = nil
      state.finalError = EngineErrorType.scheduleToClose
      job = state.job
      let waited = state.retryBlocked || state.isPaced || (state.retry != nil && cancel(state.retry))
      if waited {
        state.retry = nil
        state.retryBlocked = false
        state.isPaced = false
      }
      slow[node] = state
      return waited
    }
    guard let isWaiting else { return }
    if isWaiting { return endHeld(node, .timedOut, timeoutError(EngineErrorType.scheduleToClose, compiled.policy(node))) }
    if let job, host.scheduler.expireReady(job, coreRun, node: node) { return }
    if compiled.handlers[Int(compiled.handlerOf[task(node)])].work != nil {
      return stopHeld(node, item: item, .timeout(EngineErrorType.scheduleToClose))
    }
    // Not begun: `isTooLate` will find the error. Between two attempts: the verdict on the last one finds it.
    guard records.status(node) == .running else { return }
    let running = records.job(node)
    switch host.scheduler.claim(running) {
    case .taken where items != nil && items?.item(node) != item: host.scheduler.unclaim(running)
    case .taken: expire(running, node, EngineErrorType.scheduleToClose)
    case .gone: return
    case .busy: closeAgain(node, item)
    }
  }

  /// Somebody else has the attempt for a moment.
  private func closeAgain(_ node: UInt32, _ item: Int) {
    monitor.locked {
      guard slow[node] != nil, items == nil || items?.item(node) == item else { return }
      do {
        slow[node]?.close = try arm(node, at: host.scheduler.clock.now &+ WorkflowRun.busy, TimerKind.scheduleToClose)
      } catch {
        host.write(
          UInt32(MILLRACE_LOG_ERROR), "task \(name(node)): schedule-to-close did not end its attempt: \(error)")
      }
    }
  }
}
