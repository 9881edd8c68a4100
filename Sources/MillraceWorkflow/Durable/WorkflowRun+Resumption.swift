internal import CMillrace
internal import MillraceCore
internal import MillraceLog

/// How a run begins that was under way in another process.
struct RunResumption {
  /// When it was started, on this host's clock.
  let entered: UInt64
  let core: Run.Resumption
  /// Tasks that wait for their next attempt, and when it is due, on this host's clock.
  let waiting: [(node: UInt32, due: UInt64)]
  /// Nothing is left to do.
  var isOver: Bool { core.finished.allSatisfy { $0 } }
}

extension WorkflowRun {
  /// Takes over what the history of the run says. Before `start`, once. Complexity: O(tasks + dependencies + attempts). Blocks where outputs are large. Throws `EventStoreError`,
  /// `RecordError`.
  package func restore() throws {
    guard let journal, let history = journal.history else { return }
    let now = journal.runs.now()
    let clock = host.scheduler.clock.now
    let age = DurableTime(wall: startedWall, boot: 0).elapsed(to: now)
    // A machine that was started meanwhile: the clock is younger than the run.
    entered = max(1, clock &- min(clock, UInt64(max(0, age))))
    if history.cancel != nil, saga == nil { _ = stopReason.replace(0, by: 2) }
    cause = history.cancel?.reason
    signalsRecorded = history.signals.map(\.number).max() ?? 0
    restoreSignals(history)
    if let saga { return try restore(saga, history, now, clock) }
    try restoreTasks(history, now, clock)
    cleanup?.entered = entered
    try cleanup?.restoreTasks(history, now, clock)
  }

  private func restoreSignals(_ history: RunHistory) {
    guard let mailbox else { return }
    var taken: [String: [String]] = [:]
    for task in definition.tasks + (cleanup?.definition.tasks ?? []) {
      if case .signal(let name) = task.wait, history.tasks[task.id]?.status == .completed { taken[name, default: []].append(task.id) }
    }
    mailbox.restore(history.signals.map { ($0.name, $0.payload, UInt64(max(0, $0.time &- startedWall))) }, taken: taken)
  }

  /// What of a saga was under way is launched once more by its machine.
  private func restore(_ saga: SagaRun, _ history: RunHistory, _ now: DurableTime, _ clock: UInt64) throws {
    var waiting: [(node: UInt32, due: UInt64)] = []
    for node in 0..<UInt32(records.count) where try !restore(node, history, nil, now, clock) {
      if let due = history.tasks[definition.tasks[Int(node)].id]?.due { waiting.append((node, moment(due, now, clock))) }
    }
    try saga.restore(try history.facts(in: saga.compiled.plan))
    resumption = RunResumption(entered: entered, core: WorkflowRun.heldNodes(records.count), waiting: waiting)
  }

  private func restoreTasks(_ history: RunHistory, _ now: DurableTime, _ clock: UInt64) throws {
    var finished = [Bool](repeating: false, count: records.count)
    var left = (0..<records.count).map { compiled.rows[$0 + 1] - compiled.rows[$0] }
    var ready = (0..<UInt32(records.count)).filter { left[Int($0)] == 0 }
    var waiting: [(node: UInt32, due: UInt64)] = []
    // In an order in which each task comes after those that it depends on.
    while let node = ready.popLast() {
      let cause = predecessorCause(node)
      guard try restore(node, history, cause, now, clock) else {
        if let due = history.tasks[definition.tasks[Int(node)].id]?.due { waiting.append((node, moment(due, now, clock))) }
        continue
      }
      finished[Int(node)] = true
      for successor in plan.successors(of: Int(node)) {
        left[successor] -= 1
        if left[successor] == 0 { ready.append(UInt32(successor)) }
      }
    }
    let failed = counters.sum().failed > 0
    if failed, definition.onFailure == .failFast { _ = stopReason.replace(0, by: 1) }
    if shouldStop { waiting = [] }
    resumption = RunResumption(
      entered: entered, core: Run.Resumption(finished: finished, held: Set(waiting.map(\.node))), waiting: waiting)
  }

  /// The task whose failure skips this one; nil: none. All tasks before it are over.
  private func predecessorCause(_ node: UInt32) -> UInt32? {
    for i in Int(compiled.rows[Int(node)])..<Int(compiled.rows[Int(node) + 1]) {
      let before = compiled.predecessors[i]
      switch records.status(before) {
      case .failed, .timedOut, .cancelled: return before
      case .skipped: if let cause = records.cause(before) { return cause }
      case .pending, .running, .completed: break
      }
    }
    return nil
  }

  /// True: the task is over. All before it are.
  private func restore(_ node: UInt32, _ history: RunHistory, _ cause: UInt32?, _ now: DurableTime, _ clock: UInt64) throws -> Bool {
    let id = definition.tasks[Int(node)].id
    if let cause {
      records.setCause(node, cause)
      return end(node, .skipped, .skipped, clock)
    }
    guard let task = history.tasks[id] else { return false }
    let isHeld = compiled.handlers[Int(compiled.handlerOf[Int(node)])].work != nil
    // A wait goes on where it was: its attempt is the same.
    let isGoingOn = isHeld && task.running != nil
    records.setAttempts(node, isGoingOn ? max(0, task.attempts - 1) : task.attempts)
    counters.count(.attempts, lane: -1, by: isGoingOn ? max(0, task.attempts - 1) : task.attempts)
    if task.attemptsBefore > 0 { attemptsBefore[node] = task.attemptsBefore }
    for attempt in task.failed { log.append(logged(node, attempt, clock)) }
    if let closes = task.closes, compiled.policy(node).timeouts.scheduleToClose != nil {
      slow[node, default: SlowNode()].closeAt = max(1, moment(closes, now, clock))
    }
    switch task.status {
    case .pending, .running: return false
    case .completed:
      if let output = task.output { records.setOutput(node, try payload(output)) }
      records.setStart(node, moment(wall: task.started, clock))
      if task.attempts > 1 {
        log.append(
          LoggedAttempt(
            node: node, number: task.attempts, status: .completed, start: moment(wall: task.started, clock),
            end: moment(wall: task.ended, clock), lane: -1, error: nil))
      }
      try restoreItems(node, task, clock)
      return end(node, .completed, .completed, moment(wall: task.ended, clock))
    case .skipped: return end(node, .skipped, .skipped, moment(wall: task.ended, clock))
    case .failed: return end(node, .failed, .failed, moment(wall: task.ended, clock))
    case .timedOut: return end(node, .timedOut, .failed, moment(wall: task.ended, clock))
    case .cancelled: return end(node, .cancelled, .cancelled, moment(wall: task.ended, clock))
    }
  }

  private func end(_ node: UInt32, _ status: NodeRecords.Status, _ kind: RunCounters.Kind, _ time: UInt64) -> Bool {
    slow[node] = nil
    records.setEnd(node, time)
    records.setStatus(node, status)
    counters.count(kind, lane: -1)
    return true
  }

  private func logged(_ node: UInt32, _ attempt: FailedAttempt, _ clock: UInt64) -> LoggedAttempt {
    LoggedAttempt(
      node: node, number: attempt.attempt,
      status: attempt.status == .timedOut ? .timedOut : attempt.status == .cancelled ? .cancelled : .failed,
      start: moment(wall: attempt.started, clock), end: moment(wall: attempt.ended, clock), lane: -1,
      error: AttemptError(type: attempt.errorType, message: attempt.message))
  }

  /// A recorded output as memory of the run.
  func payload(_ output: RecordedOutput) throws -> millrace_payload {
    let (bytes, type): ([UInt8], UInt32)
    switch output {
    case .inline(let inline, let contentType): (bytes, type) = (inline, contentType)
    case .spilled(let version, let contentType):
      guard let journal else { return .empty }
      (bytes, type) = (try journal.runs.payload(of: journal.run, version: version), contentType)
    }
    var payload = millrace_payload.empty
    if !bytes.isEmpty {
      guard let claimed = unsafe arena.claim(lane: host.workers, length: bytes.count) else {
        throw CompileError.memory("no memory for an output of \(bytes.count) bytes")
      }
      // unsafe: claimed for as many bytes.
      unsafe bytes.withUnsafeBytes { unsafe claimed.bytes.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      payload = unsafe claimed.payload
    }
    payload.content_type = type
    return payload
  }

  // MARK: Times

  /// A recorded moment on this host's clock.
  func moment(_ time: DurableTime, _ now: DurableTime, _ clock: UInt64) -> UInt64 {
    let elapsed = time.elapsed(to: now)
    if elapsed >= 0 { return clock &- min(clock, UInt64(elapsed)) }
    let (moment, overflow) = clock.addingReportingOverflow(elapsed.magnitude)
    return overflow ? .max : moment
  }

  /// As above, of what has been, for reports.
  private func moment(wall: Int64, _ clock: UInt64) -> UInt64 {
    let since = UInt64(max(0, wall &- anchor.startedWall))
    return min(clock, anchor.entered &+ since)
  }

  /// When the attempt of a task that waits for a time began, on this host's clock.
  func waitBegan(_ node: UInt32, _ attempt: Int) -> UInt64 {
    let clock = host.scheduler.clock.now
    guard let journal, items == nil, let task = journal.history?.tasks[definition.tasks[Int(node)].id], task.attempts == attempt,
      let began = task.running
    else { return clock }
    return moment(began, journal.runs.now(), clock)
  }

  /// What was answered to an approval before the run was taken over.
  func recordedAnswer(_ node: UInt32, _ attempt: Int) -> Answer? {
    guard let answer = journal?.history?.tasks[definition.tasks[Int(node)].id]?.answer, answer.attempt == attempt else { return nil }
    monitor.locked { answers[node] = answer.answer }
    return answer.answer
  }

  /// The run that an attempt of a task had started before the run was taken over.
  func recordedChild(_ node: UInt32, _ attempt: Int) -> RunID? {
    journal?.history?.task(named: name(node))?.children.last { $0.attempt == attempt }?.run
  }

  /// What the reason of a run begins with that was recorded and could not begin.
  package static let notBegun = "it could not begin: "

  /// How a child that had ended in another process ends its task. Blocks.
  func ending(of child: RunID) -> HeldEnding {
    guard let journal else { return .cancelled }
    do {
      guard let history = try journal.runs.history(of: child), let ended = history.ended else {
        return .failed(type: "child-failed", message: "run \(child) does not go on: see why with `millrace run list`", isRetryable: true)
      }
      switch ended {
      case .completed:
        let definition = try journal.runs.definition(history.creation.definition)
        guard let result = definition.result, let output = history.tasks[result]?.output else { return .null }
        switch output {
        case .inline(let bytes, let type): return .output(bytes, contentType: type)
        case .spilled(let version, let type): return .output(try journal.runs.payload(of: child, version: version), contentType: type)
        }
      case .cancelled:
        let reason = history.cancel?.reason ?? history.reason ?? ""
        if reason == WorkflowRun.stoppedByParent { return shouldStop ? .cancelled : .interrupted(child) }
        if history.cancel == nil, reason.hasPrefix(WorkflowRun.notBegun) {
          return .failed(
            type: "child-start", message: "the workflow \(history.creation.workflow) does not start: \(reason)", isRetryable: true)
        }
        return .cancelled
      case .created, .running, .failed:
        return .failed(type: "child-failed", message: "run \(child) of \(history.creation.workflow) failed", isRetryable: true)
      }
    } catch {
      return .failed(type: "child-failed", message: "what came of run \(child) is not to be read: \(error)", isRetryable: true)
    }
  }

  // MARK: Going on

  /// What the core is to know of a run that begins; nil: nothing has been done of it. `open`: of `openNodes`.
  func beginning(_ resumption: RunResumption?, holding open: [UInt32]) -> Run.Resumption? {
    if open.isEmpty { return resumption?.core }
    let finished = resumption?.core.finished ?? [Bool](repeating: false, count: records.count)
    return Run.Resumption(finished: finished, held: (resumption?.core.held ?? []).union(open))
  }

  /// A run of which nothing is left to do but its end.
  func beginOver(_ resumption: RunResumption) {
    monitor.locked { started = resumption.entered }
    if isRoot {
      observation?.begin(self)
      host.began(self)
    }
    completed()
  }

  /// Tasks that waited for their next attempt do so again. The core has the run.
  func goOnWaiting(_ resumption: RunResumption) {
    for (node, due) in resumption.waiting { goOnWaiting(node, due) }
  }

  func goOnWaiting(_ node: UInt32, _ due: UInt64) {
    let isHeld: Bool = monitor.locked {
      // As in `hold`: `endWaits` comes after the reason.
      if shouldStop { return false }
      do {
        var state = slow[node] ?? SlowNode()
        if state.closeAt != 0, state.close == nil { state.close = try arm(node, at: state.closeAt, TimerKind.scheduleToClose) }
        // What closed while no process was there does not begin: both timers would fire now.
        let isClosed = state.closeAt != 0 && state.closeAt <= host.scheduler.clock.now
        state.retry = try arm(node, at: isClosed ? .max : due, TimerKind.retry)
        state.waitEnds = due
        slow[node] = state
        return true
      } catch {
        host.report("task \(name(node)) of run \(id) goes on at once, for its wait could not be kept: \(error)")
        return false
      }
    }
    // A run that stops bypasses it.
    if !isHeld { host.scheduler.resubmit(coreRun, node: node) }
  }
}
