internal import CMillrace
internal import MillraceCore

/// Held tasks: begun by a worker, which goes on with other work, and ended by whoever is first.
///
/// # Threads
/// `beginHeld`: the worker that settles the node. The rest: any. `held` is behind the monitor; who takes a node out of it settles the node.
extension WorkflowRun {
  /// An attempt that is held.
  struct Held {
    /// As `HeldTask.item`.
    let item: Int
    let number: Int
    let start: UInt64
    var state = HeldState()
    /// Start-to-close.
    var close: ArmedTimer?
  }

  /// The core's handler of all held tasks: what there is to do is done by the verdict, since a node that is held has no job.
  static let heldHandler = unsafe Handler(run: { _, _ in Outcome.done.rawValue })

  /// The node's turn has come: it begins, and is held unless it ends at once. On the worker that settles it; gives the verdict. `isTakenUp`: by `takeUpOpen`, where a run
  /// that stops, and a timeout that has passed, are told to what goes on.
  func beginHeld(_ work: any HeldWork, lane: Int, node: UInt32, _ now: UInt64, isTakenUp: Bool = false) -> UInt8 {
    if !isTakenUp {
      if shouldStop { return unsafe failed(lane, node, .cancelled, nil, now) }
      if compiled.isWatched(node), isTooLate(node) { return unsafe failed(lane, node, .timedOut, nil, now) }
    }
    records.setStart(node, now)
    records.setLane(node, -1)
    counters.count(.started, lane: lane)
    records.setStatus(node, .running)
    tellWatcher()
    var refusal: (type: String, message: String)?
    if compiled.hasExpressions {
      switch begin(node, lane: lane >= 0 ? lane : host.workers) {
      case .goes: break
      case .skipped:
        counters.count(.ended, lane: lane)
        skipped(lane, node, now)
        return Verdict.release.rawValue
      case .failed(let reason): refusal = (EngineErrorType.expression, reason)
      }
    }
    counters.count(.attempts, lane: lane)
    let number = Int(records.countAttempt(node))
    let item = items?.item(node) ?? 0
    if journal != nil { noteStart(node, number) }
    let reason: HeldState.Reason? = monitor.locked {
      // Under the monitor: `stopHeld` comes after `stopReason`, and the timeout after `finalError`, so that they find the task or we find them.
      if !isTakenUp {
        if shouldStop { return .runStops }
        if let type = slow[node]?.finalError { return .timeout(type) }
      }
      var entry = Held(item: item, number: number, start: now)
      if let close = compiled.policy(node).timeouts.startToClose, refusal == nil {
        do {
          entry.close = try arm(node, at: now.addingReportingOverflow(close).overflow ? .max : now &+ close, TimerKind.heldClose)
        } catch {
          refusal = (EngineErrorType.noTimer, "start-to-close could not be kept: \(error)")
        }
      }
      held[node] = entry
      return nil
    }
    if let reason {
      return finish(node, Held(item: item, number: number, start: now), .cancelled, reason, lane: lane)
        ? Verdict.hold.rawValue : Verdict.release.rawValue
    }
    let task = HeldTask(run: self, node: node, item: item, attempt: number)
    var stop: HeldStop?
    if let refusal {
      task.conclude(.failed(type: refusal.type, message: refusal.message, isRetryable: false))
    } else {
      stop = work.begin(task)
    }
    // Nobody else takes the node before this.
    let next = step(node, item, number) { $0.begun(stop) }
    if case .finish(let ending, let reason) = next.action, let entry = next.entry {
      let goesOn = finish(node, entry, ending, reason, lane: lane)
      settled()
      return goesOn ? Verdict.hold.rawValue : Verdict.release.rawValue
    }
    if case .ask(let stop) = next.action { stop() }
    return Verdict.hold.rawValue
  }

  // MARK: Taking up

  /// Tasks, or places, whose attempts another process had begun and whose runs go on here. They are taken up with the run, whether it stops or not: their runs end before them.
  /// Complexity: O(tasks) of a run that is taken over and runs workflows.
  var openNodes: [UInt32] {
    guard journal?.history != nil, hasChildren else { return [] }
    return (0..<UInt32(records.count)).filter { node in
      if isOver(node) { return false }
      // In another version, or after a retry, something may have come before it: then it is taken up in its turn.
      if items == nil, !compiled.predecessors[Int(compiled.rows[Int(node)])..<Int(compiled.rows[Int(node) + 1])].allSatisfy(isOver) {
        return false
      }
      switch compiled.handlers[Int(compiled.handlerOf[task(node)])].work {
      case is ChildWork: return hasOpenChild(node)
      case is ForeachWork: return itemHistory(node)?.lastChildren.contains { host.children?.goesOn($0) ?? false } ?? false
      default: return false
      }
    }
  }

  /// A node of `openNodes`: the core has it as one that is held. On the thread that starts the run.
  func takeUpOpen(_ node: UInt32) {
    guard let work = compiled.handlers[Int(compiled.handlerOf[task(node)])].work else { return }
    let now = host.scheduler.clock.now
    monitor.locked {
      guard var state = slow[node], state.closeAt != 0, state.close == nil else { return }
      if state.closeAt <= now {
        state.finalError = EngineErrorType.scheduleToClose
      } else {
        do {
          state.close = try arm(node, at: state.closeAt, TimerKind.scheduleToClose)
        } catch { host.report("task \(name(node)) of run \(id): schedule-to-close is not kept: \(error)") }
      }
      slow[node] = state
    }
    let item = items?.item(node) ?? 0
    if beginHeld(work, lane: -1, node: node, now, isTakenUp: true) == Verdict.release.rawValue { return release(node) }
    if shouldStop {
      stopHeld(node, item: item, .runStops)
    } else if let type = monitor.locked({ slow[node]?.finalError }) {
      stopHeld(node, item: item, .timeout(type))
    }
  }

  /// See `HeldTask.conclude`.
  func conclude(_ task: HeldTask, _ ending: HeldEnding, _ note: () -> Void) -> Bool {
    let next = step(task.node, task.item, task.attempt) { state in
      let action = state.conclude(ending)
      if case .refused = action {} else { note() }
      return action
    }
    if case .refused = next.action { return false }
    act(task.node, next)
    return true
  }

  /// Asks a task that is held to stop. What is not held is somebody else's. `item`: as `HeldTask.item`.
  func stopHeld(_ node: UInt32, item: Int, _ reason: HeldState.Reason) { act(node, step(node, item, nil) { $0.stop(reason) }) }

  /// The run stops. Complexity: O(held tasks).
  func stopHeld() {
    for (node, item) in monitor.locked({ held.map { ($0.key, $0.value.item) } }) { stopHeld(node, item: item, .runStops) }
  }

  /// Start-to-close of a held attempt has passed.
  func heldIsLate(_ waiter: Waiter) {
    let own: Held? = monitor.locked {
      guard let entry = held[waiter.node], let timer = entry.close,
        unsafe timer.waiter.toOpaque() == Unmanaged.passUnretained(waiter).toOpaque()
      else { return nil }
      held[waiter.node]?.close = nil
      return entry
    }
    guard let own else { return }
    // The next attempt may have begun by now.
    act(waiter.node, step(waiter.node, own.item, own.number) { $0.stop(.timeout(EngineErrorType.startToClose)) })
  }

  /// The runtime has stopped: nobody ends a held task any more, and who is about to has done so.
  func abandonHeld() {
    let left = monitor.locked {
      isAbandoned = true
      while settling > 0 { monitor.wait(.ended) }
      defer { held = [:] }
      return Array(held.values)
    }
    for entry in left { cancel(entry.close) }
  }

  // MARK: Steps

  private typealias Step = (action: HeldState.Action, entry: Held?)

  /// Tells the state of an attempt what happened. If it is over by that the attempt is the caller's, who must call `settled` after it has settled it.
  /// `number` nil: whichever attempt is held.
  private func step(_ node: UInt32, _ item: Int, _ number: Int?, _ event: (inout HeldState) -> HeldState.Action) -> Step {
    monitor.locked {
      guard var entry = held[node], entry.item == item, number == nil || entry.number == number else { return (.refused, nil) }
      let action = event(&entry.state)
      if case .finish = action {
        held[node] = nil
        settling += 1
      } else {
        held[node] = entry
      }
      return (action, entry)
    }
  }

  private func act(_ node: UInt32, _ step: Step) {
    switch step.action {
    case .none, .refused: break
    case .ask(let stop): stop()
    case .finish(let ending, let reason):
      guard let entry = step.entry else { return }
      // After the release the run may end at any moment: the caller holds it.
      if !finish(node, entry, ending, reason, lane: -1) { release(node) }
      settled()
    }
  }

  /// What the caller took is settled.
  private func settled() {
    monitor.locked {
      settling -= 1
      if settling == 0, isAbandoned { monitor.broadcast(.ended) }
    }
  }

  /// Settles an attempt that is over. True: the task waits for its next attempt; false: the caller releases its node.
  private func finish(_ node: UInt32, _ entry: Held, _ told: HeldEnding, _ reason: HeldState.Reason?, lane: Int) -> Bool {
    let now = host.scheduler.clock.now
    cancel(entry.close)
    counters.count(.ended, lane: lane)
    var error: AttemptError
    var isRetryable = false
    var isInterrupted = false
    var status = NodeRecords.Status.failed
    let kept = told.kept
    switch placed(told, lane) {
    case _ where reason?.timeout != nil:
      let type = reason?.timeout ?? ""
      error = timeoutError(type, compiled.policy(node))
      isRetryable = type == EngineErrorType.startToClose
      status = .timedOut
    case .payload(let output):
      let log = LoggedAttempt(node: node, number: entry.number, status: .completed, start: entry.start, end: now, lane: -1, error: nil)
      if journal != nil {
        keepCompletion(log, output, kept)
        return true
      }
      complete(log, output, lane: lane)
      kept?(true)
      return false
    case .failed(let type, let message, let mayRetry):
      error = AttemptError(type: host.redactor.redact(type), message: host.redactor.redact(message))
      isRetryable = mayRetry
    case .interrupted(let message):
      error = AttemptError(type: EngineErrorType.interrupted, message: message)
      (isRetryable, isInterrupted) = (true, true)
    case .cancelled, .output, .taken:
      error = AttemptError(type: EngineErrorType.cancelled, message: shouldStop ? "the run was stopped" : "it was cancelled")
      if shouldStop { status = .cancelled }
    }
    kept?(false)
    let log = LoggedAttempt(node: node, number: entry.number, status: status, start: entry.start, end: now, lane: -1, error: error)
    return settle(log, error, isRetryable: isRetryable, retryAfter: 0, lane: lane, now, isInterrupted: isInterrupted)
  }

  /// An output as memory of the run; other endings as they are.
  private func placed(_ ending: HeldEnding, _ lane: Int) -> HeldEnding {
    let (bytes, type): ([UInt8], UInt32)
    switch ending {
    case .output(let output, let contentType), .taken(let output, let contentType, _): (bytes, type) = (output, contentType)
    case .payload, .failed, .interrupted, .cancelled: return ending
    }
    if bytes.count > Int(MILLRACE_INLINE_BYTES) {
      return .failed(
        type: "too-large", message: "an output of \(bytes.count) bytes: at most \(MILLRACE_INLINE_BYTES) fit", isRetryable: false)
    }
    var payload = millrace_payload.empty
    if !bytes.isEmpty {
      let arenaLane = lane >= 0 ? min(lane, host.workers) : host.workers
      guard let claimed = unsafe arena.claim(lane: arenaLane, length: bytes.count) else {
        return .failed(type: "no-memory", message: "no memory for an output of \(bytes.count) bytes", isRetryable: true)
      }
      unsafe bytes.withUnsafeBytes { unsafe claimed.bytes.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      payload = unsafe claimed.payload
    }
    payload.content_type = type
    return .payload(payload)
  }
}

extension HeldState.Reason {
  /// The type of the timeout; nil: it was none.
  var timeout: String? { if case .timeout(let type) = self { type } else { nil } }
}
