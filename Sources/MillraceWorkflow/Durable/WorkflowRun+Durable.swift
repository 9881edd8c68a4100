internal import CMillrace
internal import MillraceCore
internal import MillraceLog

/// How a durable run writes down what becomes of its tasks before anybody sees it.
///
/// An attempt ends as all others do, up to its verdict. There it is recorded, and its node held; when the record is on stable storage the node comes back to
/// `finished` with the outcome `kept`, and the verdict's second half follows: what is visible of it, and the release of its dependents.
extension WorkflowRun {
  /// What the core is told of a node whose attempt is recorded.
  static let kept: UInt8 = 0x11
  /// A `stopReason`: another process goes on with the run.
  static let suspended: UInt64 = 3

  /// What follows when the end of an attempt is recorded: on the worker of this lane. `isKept`: false if the store has failed, and the end does not count.
  typealias RecordedVerdict = (_ lane: Int, _ isKept: Bool) -> Verdict

  /// Another process goes on with it: nothing new starts here, and what does not end well is not recorded.
  var isSuspended: Bool { stopReason.loadRelaxed() == WorkflowRun.suspended || counters.lost.loadRelaxed() != 0 }

  /// A node as records name it.
  func place(_ node: UInt32) -> TaskPlace {
    guard let items else { return TaskPlace(definition.tasks[Int(node)].id) }
    return TaskPlace(items.owner.definition.tasks[Int(items.node)].id, item: items.item(node))
  }

  /// A moment of the host's clock as wall time.
  func wall(_ time: UInt64) -> Int64 {
    let root = anchor
    return root.startedWall &+ (Int64(clamping: time) &- Int64(clamping: root.entered))
  }

  // MARK: What is waited for

  /// Records the end of an attempt that began on a lane; `verdict` follows.
  func keep(_ event: RunEvent, of node: UInt32, lane: Int, _ verdict: @escaping RecordedVerdict) {
    let start = journal?.runs.starts.take(self, node, lane: lane)
    guard let saga, event.isOutcome else { return keepNow(start, event, of: node, verdict) }
    // What happens to a saga is recorded in the order in which its machine hears of it.
    saga.enqueue { [self] in
      saga.setKnown(node)
      keepNow(start, event, of: node, verdict)
    }
  }

  private func keepNow(_ start: RunEvent?, _ event: RunEvent, of node: UInt32, _ verdict: @escaping RecordedVerdict) {
    monitor.locked { verdicts[node] = verdict }
    write(RunRecords(start, event), of: node)
  }

  /// Appends events. `node`: held until they are on stable storage; nil: nobody waits.
  private func write(_ records: RunRecords, of node: UInt32?) {
    guard let journal else { preconditionFailure("a run that is not durable records nothing") }
    if !RunAppend.submit(records, journal, self, node) { appendByName(records, node) }
  }

  /// As `write`, to any store.
  func appendByName(_ records: RunRecords, _ node: UInt32?) {
    journal?.append(records) { [self] error in
      if let error {
        // Before anybody goes by what is not recorded.
        if node != nil, anchor !== self { suspendSoon(because: error) }
        anchor.suspendSoon(because: error)
        if let node { lose(node) }
      }
      guard let node else { return }
      var one = HeldNode(coreRun, node)
      unsafe withUnsafePointer(to: &one) { [host] in unsafe host.scheduler.settle(Span(_unsafeStart: $0, count: 1), WorkflowRun.kept) }
    }
  }

  /// What was to be recorded of a node is not: its verdict is told so.
  private func lose(_ node: UInt32) {
    monitor.locked {
      let verdict = verdicts[node]
      verdicts[node] = { lane, _ in verdict?(lane, false) ?? .release }
    }
  }

  /// The end of a node's attempt is recorded.
  func recorded(lane: Int, node: UInt32) -> UInt8 {
    let verdict = monitor.locked { verdicts.removeValue(forKey: node) }
    guard let verdict else { preconditionFailure("invariant broken: a node was kept without a verdict") }
    return verdict(lane, true).rawValue
  }

  /// `kept`: told whether it counts, when that is known.
  func keepCompletion(_ entry: LoggedAttempt, _ output: millrace_payload, _ kept: (@Sendable (Bool) -> Void)? = nil) {
    let bytes =
      unsafe output.length == 0
      ? []
      : arena.bytes(of: output).map {
        // unsafe: an output's bytes lie in the run's memory.
        unsafe Array(UnsafeRawBufferPointer(start: $0, count: Int(output.length)))
      } ?? []
    let event = RunEvent.completed(
      place(entry.node), attempt: entry.number, started: wall(entry.start), ended: wall(entry.end),
      output: .inline(bytes, contentType: output.content_type))
    keep(event, of: entry.node, lane: entry.lane) { [self] lane, isKept in
      if isKept { complete(entry, output, lane: lane) } else { lose(entry, lane) }
      kept?(isKept)
      return .release
    }
  }

  /// The last attempt of a task has failed.
  func keepFailure(_ entry: LoggedAttempt) {
    keep(.failed(failedAttempt(entry), isUnknown: saga != nil && isUnknown(entry.node, adding: entry)), of: entry.node, lane: entry.lane) {
      [self] lane, isKept in
      if !isKept {
        lose(entry, lane)
        return .release
      }
      monitor.locked { write(entry) }
      conclude(entry.node, entry.status, lane: lane, entry.end, entry.error)
      return .release
    }
  }

  /// An attempt has failed, and the next one is due in a time.
  func keepRetry(_ entry: LoggedAttempt, _ error: AttemptError, due: UInt64, after wait: UInt64) {
    let event = RunEvent.retryScheduled(failedAttempt(entry), due: time(after: wait), closes: closes(entry.node))
    keep(event, of: entry.node, lane: entry.lane) { [self] lane, isKept in
      var entry = entry
      if !isKept {
        lose(entry, lane)
        return .release
      }
      if saga?.isStopAsked(entry.node) == true {
        keepFailure(entry)
        return .hold
      }
      switch hold(entry.node, until: due, entry) {
      case .held: return .hold
      case .refused: break
      case .noTimer(let reason): entry.error = error.adding("not retried: no timer for the wait before the next attempt: \(reason)")
      }
      if isSuspended || shouldStop {
        monitor.locked { write(entry) }
        conclude(entry.node, .cancelled, lane: lane, entry.end)
        return .release
      }
      keepFailure(entry)
      return .hold
    }
  }

  /// The store has failed: what came of the attempt is lost, and another process does it again.
  private func lose(_ entry: LoggedAttempt, _ lane: Int) { conclude(entry.node, .cancelled, lane: lane, entry.end) }

  private func failedAttempt(_ entry: LoggedAttempt) -> FailedAttempt {
    FailedAttempt(
      place: place(entry.node), attempt: entry.number, status: entry.status.word, started: wall(entry.start), ended: wall(entry.end),
      errorType: entry.error?.type ?? "", message: entry.error?.message ?? "")
  }

  private func time(after wait: UInt64) -> DurableTime {
    guard let journal else { preconditionFailure("a run that is not durable has no durable times") }
    var time = journal.runs.now()
    time.wall = time.wall.addingReportingOverflow(Int64(clamping: wait)).overflow ? .max : time.wall + Int64(clamping: wait)
    time.boot = time.boot.addingReportingOverflow(wait).overflow ? .max : time.boot + wait
    return time
  }

  /// When schedule-to-close of a task ends; nil: it has none.
  private func closes(_ node: UInt32) -> DurableTime? {
    if compiled.policy(node).timeouts.scheduleToClose == nil { return nil }
    let at = monitor.locked { slow[node]?.closeAt ?? 0 }
    let now = host.scheduler.clock.now
    return at == 0 ? nil : time(after: at > now ? at - now : 0)
  }

  // MARK: What is not waited for

  /// Records something that nobody waits for.
  func note(_ event: RunEvent) {
    if journal != nil { write(RunRecords(nil, event), of: nil) }
  }

  /// An attempt begins. `lane`: which runs its handler; nil: it waits, and its end is far.
  func noteStart(_ node: UInt32, _ number: Int, lane: Int? = nil) {
    let event = RunEvent.started(place(node), attempt: number, at: time(after: 0), closes: closes(node))
    // A crash names what may have been running by what nothing kept from beginning; of items it does not.
    guard let lane, items == nil, let journal else { return note(event) }
    journal.runs.starts.begin(self, node, lane: lane, event)
  }

  /// The run is over.
  func noteEnd(_ status: WorkflowStatus) {
    guard let journal else { return }
    journal.runs.starts.flush(self)
    // It is already: nobody is to be told that the store has failed.
    if status == .running { journal.append(.suspended) { _ in } } else { note(.ended(status, reason: reason)) }
  }

  // MARK: Stopping

  /// Asks the run to stop: what has not started is not started, waits end, what runs is asked to stop. Of a durable run the wish is on stable storage when
  /// this returns; if the store does not take it, the run is suspended. Any thread that may wait; any number of times.
  package func cancel(by who: String?, because reason: String?) {
    if saga != nil, !isSuspended { return cancelSaga(by: who, because: reason, waits: true) }
    guard let journal, !shouldStop else { return stop(2, because: reason) }
    do throws(EventStoreError) {
      try journal.record(.cancelAsked(by: who, reason: reason))
      stop(2, because: reason)
    } catch {
      suspend(because: "it could not be recorded that the run is to be cancelled: \(error)")
    }
  }

  /// As `cancel`, and does not wait.
  func cancelSoon(because reason: String?) {
    if saga != nil, !isSuspended { return cancelSaga(by: nil, because: reason, waits: false) }
    guard let journal, !shouldStop else { return stop(2, because: reason) }
    journal.append(.cancelAsked(by: nil, reason: reason)) { [self] error in
      if let error { return suspendSoon(because: error) }
      if !journal.runs.errands.run({ [self] in stop(2, because: reason) }) { stop(2, because: reason) }
    }
  }

  /// A saga that can still be turned back is; what it says otherwise is told in its log.
  private func cancelSaga(by who: String?, because reason: String?, waits: Bool) {
    // In line for its turn: nothing has begun.
    if monitor.locked({ core == nil }), host.lines.remove(self) { return endUnbegun(.cancelled, because: reason) }
    monitor.locked { if cause == nil { cause = reason } }
    let reply = waits ? Reply<Void>() : nil
    want(.cancelAsked(by: who ?? "its caller", reason: reason ?? "")) { [host, id] error in
      if let error { host.report("run \(id) is not cancelled: \(error)") }
      reply?.give(.success(()))
    }
    _ = reply?.wait()
  }

  /// The attempt of its parent's task is to stop.
  func stop(with parent: WorkflowRun) {
    if parent.isSuspended { suspend(because: parent.reason) } else { cancelSoon(because: WorkflowRun.stoppedByParent) }
  }

  /// Nothing new starts here, what runs is asked to stop; another process goes on with the run. A run that is not durable is cancelled.
  package func suspend(because reason: String?) {
    if journal == nil { return stop(2, because: reason) }
    stop(WorkflowRun.suspended, because: reason)
  }

  /// The store has failed: nothing begins from here on; the rest is done where handlers' code may be called.
  func suspendSoon(because error: EventStoreError) {
    guard let journal else { return }
    let reason = "it could not be recorded: \(error)"
    _ = counters.lost.exchange(1)
    let core = monitor.locked {
      if cause == nil { cause = reason }
      return self.core
    }
    core?.stop()
    if !journal.runs.errands.run({ [self] in suspend(because: reason) }) { suspend(because: reason) }
  }
}
