internal import CMillrace
internal import MillraceCore
internal import MillraceLog

/// A run of a saga: what its nodes do is what all nodes do; what follows from it is the machine's.
extension WorkflowRun {
  // MARK: Beginning

  /// All nodes are held until they are launched.
  static func heldNodes(_ count: Int) -> Run.Resumption {
    Run.Resumption(finished: [Bool](repeating: false, count: count), held: Set(0..<UInt32(count)))
  }

  /// The core has the run.
  func beginSaga(_ saga: SagaRun) {
    perform(saga.begin(), saga)
    endIfOver(saga)
  }

  // MARK: What the machine asks for

  private func perform(_ actions: [SagaAction], _ saga: SagaRun) {
    for action in actions {
      switch action {
      case .launch(let step): launch(UInt32(step), saga)
      case .compensate(let step): launch(UInt32(saga.compiled.compensations[step]), saga)
      case .requestStop(let step): requestStop(UInt32(step), saga)
      }
    }
  }

  private func launch(_ node: UInt32, _ saga: SagaRun) {
    guard saga.launch(node) else { return }
    let status = records.status(node)
    if isOver(node) {
      // An operator has it done once more.
      counters.count(status == .cancelled ? .cancelled : .failed, lane: -1, by: -1)
      monitor.locked { attemptsBefore[node] = records.attempts(node) }
      records.setStatus(node, .pending)
    }
    // In another process it waited for its next attempt, and goes on to.
    if let wait = resumption?.waiting.first(where: { $0.node == node }), records.attempts(node) > 0, !shouldStop,
      wait.due > host.scheduler.clock.now
    {
      goOnWaiting(node, wait.due)
    } else {
      host.scheduler.resubmit(coreRun, node: node)
    }
  }

  /// A step is to stop. A pivot is not interrupted: it is taken back only where nothing is done by it.
  private func requestStop(_ node: UInt32, _ saga: SagaRun) {
    if saga.compiled.plan.pivot != Int(node) {
      if records.status(node) == .running { host.scheduler.cancel(records.job(node)) }
      if let attempt = unsafe records.attempt(node), let link = unsafe attempt.ownLink { link.stop() }
    }
    endWait(node)
  }

  // MARK: Outcomes

  /// The core has ended an attempt of a node.
  func finishedStep(lane: Int, node: UInt32, outcome: UInt8) -> UInt8 {
    if finished(lane: lane, node: node, outcome: outcome) == Verdict.hold.rawValue { return Verdict.hold.rawValue }
    return stepOver(node) ? Verdict.hold.rawValue : Verdict.release.rawValue
  }

  /// The core bypasses a node: the run is suspended.
  func bypassedStep(lane: Int, node: UInt32) {
    bypassed(lane: lane, node: node)
    saga?.drop(node)
  }

  /// The outcome of a node is settled. True: the run keeps the node; false: it is to be released.
  func stepOver(_ node: UInt32) -> Bool {
    guard let saga else { return false }
    // What it has come to is not recorded, and does not count.
    if isSuspended {
      let isKept = saga.takeKnown(node)
      if isKept, records.status(node) == .completed { tell(fact(node, saga), saga) }
      let stays = saga.take(node)
      if isKept { saga.done() }
      return stays
    }
    guard journal == nil || saga.takeKnown(node) else {
      // Nothing of it was worth a record of its own: an attempt that did not begin.
      keepFact(node, saga)
      return true
    }
    let stays = saga.take(node)
    tell(fact(node, saga), saga)
    if journal != nil { saga.done() }
    return stays
  }

  private func tell(_ fact: SagaFact, _ saga: SagaRun) {
    perform(saga.tell(fact), saga)
    endIfOver(saga)
  }

  private func keepFact(_ node: UInt32, _ saga: SagaRun) {
    let fact = fact(node, saga)
    keep(.saga(word: fact.word, fact.json(in: saga.compiled.plan)), of: node, lane: -1) { _, _ in .release }
  }

  /// What has become of a node, as the machine hears it.
  private func fact(_ node: UInt32, _ saga: SagaRun) -> SagaFact {
    let step = saga.compiled.step(node)
    let isUndo = saga.compiled.isCompensation(node)
    if records.status(node) == .completed { return isUndo ? .compensationCompleted(step) : .stepCompleted(step) }
    let last = monitor.locked { log.last { $0.node == node && !$0.isUnbegun } }
    let error = SagaError(last?.error, orElse: "it did not start")
    if isUndo { return .compensationFailed(step, error) }
    if isUnknown(node) { return .stepUnknown(step, error) }
    let hasBegun = last.map { $0.number > before(node) } ?? false
    return !hasBegun && saga.isStopAsked(node) ? .stepWithdrawn(step) : .stepFailed(step, error)
  }

  /// Whether a step may have been done: so says its last attempt that began. `entry`: one that is not in the log yet.
  func isUnknown(_ node: UInt32, adding entry: LoggedAttempt? = nil) -> Bool {
    if let entry, !entry.isUnbegun, entry.number <= records.attempts(node) { return entry.isUnknown }
    let last = monitor.locked { log.last { $0.node == node && !$0.isUnbegun } }
    return last.map { $0.number > before(node) && $0.isUnknown } ?? false
  }

  /// Attempts of a node that do not count: those before an operator had it done once more.
  func before(_ node: UInt32) -> Int { monitor.locked { attemptsBefore[node] ?? 0 } }

  /// The saga has ended: its nodes are released, and the run ends with the last of them.
  private func endIfOver(_ saga: SagaRun) {
    // One that has not begun finds that it has ended when it does.
    guard saga.state.status.hasEnded, let core = monitor.locked({ core }) else { return }
    let held = saga.close()
    for node in held where !isOver(node) {
      records.setStatus(node, .skipped)
      counters.count(.skipped, lane: -1)
    }
    for node in held { host.scheduler.release(core, node: node) }
  }

  /// The run is suspended, or its engine has stopped.
  func closeSaga() {
    guard let saga, let core = monitor.locked({ core }) else { return }
    for node in saga.close() { host.scheduler.release(core, node: node) }
  }

  /// How a saga's end ends its run.
  func status(of saga: SagaMachine) -> WorkflowStatus {
    if !saga.status.hasEnded { return journal == nil ? .cancelled : .running }
    if saga.status == .completed { return .completed }
    return saga.isCancelled ? .cancelled : .failed
  }

  /// A saga in memory that is being undone: what it has done would be lost with it.
  package var isUndoing: Bool { saga.map { journal == nil && $0.state.status == .compensating } ?? false }

  // MARK: What somebody wants

  /// The saga that the run executes, as it is; nil: it executes none.
  package var sagaState: SagaMachine? { saga?.state }

  /// Applies what an operator, or whoever cancels, wants: looked at when all that came before it is recorded and done, and recorded itself before anything follows.
  /// `then`: nil when it counts. Throws nothing: `then` is told, on any thread that must not be held up.
  package func want(_ fact: SagaFact, then: @escaping @Sendable ((any Error)?) -> Void) {
    guard let saga else { return then(RunVerbRefusal.noSaga) }
    saga.enqueue(
      { [self] in
        do throws(SagaRefusal) { try saga.check(fact) } catch {
          saga.done()
          return then(error)
        }
        guard let journal else {
          take(fact, saga)
          saga.done()
          return then(nil)
        }
        journal.append(RunEvent(wish: fact, in: saga.compiled.plan)) { [self] error in
          let next: @Sendable () -> Void = { [self] in
            if let error { suspendSoon(because: error) } else { take(fact, saga) }
            saga.done()
            then(error)
          }
          // What follows may call handlers' code: not on the committer's thread.
          if !journal.runs.errands.run(next) { next() }
        }
      }, orElse: { then(RunVerbRefusal.left) })
  }

  private func take(_ fact: SagaFact, _ saga: SagaRun) {
    let before = saga.state
    let actions = saga.tell(fact)
    let after = saga.state
    // What is passed over, or declared done, has no output.
    for step in 0..<saga.compiled.plan.count where before.state(of: step) != after.state(of: step) {
      switch after.state(of: step) {
      case .skipped: settle(passed: saga.compiled, step, before.state(of: step), .skipped)
      case .completed: settle(passed: saga.compiled, step, before.state(of: step), .completed)
      default: break
      }
    }
    if case .resumed = fact { for action in actions { clearStop(action, saga) } }
    perform(actions, saga)
    endIfOver(saga)
  }

  private func clearStop(_ action: SagaAction, _ saga: SagaRun) { if case .launch(let step) = action { saga.clearStop(UInt32(step)) } }

  private func settle(passed saga: CompiledSaga, _ step: Int, _ before: SagaStepState, _ status: NodeRecords.Status) {
    let isUndo =
      before == .compensationFailed || before == .completed || before == .unknown && status == .skipped && saga.plan.pivot != step
    let node = isUndo && saga.compensations[step] >= 0 ? UInt32(saga.compensations[step]) : UInt32(step)
    guard isOver(node), records.status(node) != .completed else { return }
    counters.count(records.status(node) == .cancelled ? .cancelled : .failed, lane: -1, by: -1)
    records.setStatus(node, status)
    counters.count(status == .completed ? .completed : .skipped, lane: -1)
  }
}

/// What cannot be wanted of a run.
package enum RunVerbRefusal: Error, CustomStringConvertible {
  case noSaga
  /// The engine has left it meanwhile.
  case left

  package var description: String {
    switch self {
    case .noSaga: "the run is no saga: resume, skip and force are for sagas"
    case .left: "the run has ended, or was left to another process, before that was done"
    }
  }
}

extension SagaError {
  fileprivate init(_ error: AttemptError?, orElse message: String) {
    self.init(
      type: String(decoding: (error?.type ?? EngineErrorType.cancelled).utf8.prefix(SagaError.maximumTypeBytes), as: UTF8.self),
      message: String(decoding: (error?.message ?? message).utf8.prefix(SagaError.maximumMessageBytes - 4), as: UTF8.self))
  }
}

extension WorkflowRun.LoggedAttempt {
  /// It did not begin: whatever became of the one before counts.
  var isUnbegun: Bool { error?.type == EngineErrorType.scheduleToStart }

  /// Its handler may have done what it was called for.
  var isUnknown: Bool {
    switch status {
    case .timedOut, .cancelled: true
    default: error?.type == EngineErrorType.cancelled || error?.type == EngineErrorType.interrupted
    }
  }
}
