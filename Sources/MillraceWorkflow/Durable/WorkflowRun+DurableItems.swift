internal import CMillrace
internal import MillraceCore
internal import MillraceLog

/// The items of a durable run: their list is recorded before the first of them starts, and what became of each as it ends.
extension WorkflowRun {
  /// Records the list, and starts the items after that.
  func keep(_ list: ItemList, _ journal: RunJournal, _ task: HeldTask, _ foreach: CompiledForeach) -> HeldStop? {
    let isStopped = Flag()
    journal.append(.items(task.definition.id, list.recorded)) { [self] error in
      let next: @Sendable () -> Void = { [self] in
        if error != nil || isStopped.isSet {
          task.conclude(.cancelled)
          return
        }
        do {
          let stop = try start(list, task, foreach)
          isStopped.then { stop?() }
        } catch {
          task.conclude(.failed(type: EngineErrorType.noRoom, message: "the items do not start: \(error)", isRetryable: false))
        }
      }
      if let error { suspend(because: "it could not be recorded: \(error)") }
      if !journal.runs.errands.run(next) { next() }
    }
    return { isStopped.set() }
  }

  /// What another process has recorded of a task's items; nil: nothing.
  func itemHistory(_ node: UInt32) -> RunHistory.Task? {
    guard items == nil, let task = journal?.history?.tasks[definition.tasks[Int(node)].id], task.items != nil, !task.isOver else {
      return nil
    }
    return task
  }

  /// The items that are left.
  func goOn(_ history: RunHistory.Task, _ task: HeldTask, _ foreach: CompiledForeach) -> HeldStop? {
    do {
      return try start(try list(history), task, foreach, try itemsHistory(history, isHeld: foreach.work != nil))
    } catch {
      task.conclude(.failed(type: EngineErrorType.noRoom, message: "the items do not go on: \(error)", isRetryable: false))
      return nil
    }
  }

  private func list(_ history: RunHistory.Task) throws -> ItemList {
    guard let recorded = history.items else { throw RecordError("a task with items has no list") }
    guard case .spilled(let version) = recorded, let journal else { return try ItemList(recorded: recorded) }
    return try ItemList(recorded: .list(try journal.runs.payload(of: journal.run, version: version)))
  }

  /// `isHeld`: the run does itself what is done for an item.
  private func itemsHistory(_ history: RunHistory.Task, isHeld: Bool) throws -> Items.History {
    let count = try list(history).count
    var outputs: [Int: millrace_payload] = [:]
    for (item, state) in history.byItem where item < count {
      if let output = state.output { outputs[item] = try payload(output) }
    }
    var left: [UInt32] = []
    var pasts: [UInt32: Items.Past] = [:]
    let (now, clock) = (journal?.runs.now(), host.scheduler.clock.now)
    let moment = { (time: DurableTime?) in now.flatMap { now in time.map { self.moment($0, now, clock) } } }
    for item in 0..<count {
      let state = history.byItem[item]
      if state?.isOver == true { continue }
      left.append(UInt32(item))
      if let state, state.attempts > 0 {
        // A run that an item has started goes on: its attempt is the same.
        let isGoingOn = isHeld && state.running != nil
        pasts[UInt32(item)] = Items.Past(
          attempts: state.attempts - (isGoingOn ? 1 : 0), before: state.attemptsBefore, due: moment(state.due), closes: moment(state.closes)
        )
      }
    }
    return Items.History(left: left, pasts: pasts) { [self] records in
      for (item, state) in history.byItem where item < count && state.isOver {
        records.restore(
          item, state.status.recorded, start: reported(state.started), end: reported(state.ended), output: outputs[item] ?? .empty,
          attempts: state.attempts)
      }
    }
  }

  private func reported(_ wall: Int64) -> UInt64 { anchor.entered &+ UInt64(max(0, wall &- anchor.startedWall)) }

  /// The items of a task that was completed in another process: its dependents read what they gave.
  func restoreItems(_ node: UInt32, _ task: RunHistory.Task, _ clock: UInt64) throws {
    guard let foreach = compiled.foreaches[node] else { return }
    let list = task.items == nil ? try ItemList(recorded: .list(Array("[]".utf8))) : try list(task)
    var history = task.items == nil ? Items.History(left: []) { _ in } : try itemsHistory(task, isHeld: foreach.work != nil)
    history.left = []
    let items = try Items(list, of: self, node: node, places: 0, task: nil, history: history)
    items.end()
    keep(items)
  }

  /// A place goes on with an item that has had attempts in another process. When its next one is due; nil: now.
  func takeUp(_ past: Items.Past, _ place: UInt32) -> UInt64? {
    records.setAttempts(place, past.attempts)
    if let closes = past.closes, compiled.policy(place).timeouts.scheduleToClose != nil {
      monitor.locked { slow[place, default: SlowNode()].closeAt = max(1, closes) }
    }
    return past.due.flatMap { $0 > host.scheduler.clock.now ? $0 : nil }
  }

  /// Of a run of items: those that were over before it began, and those that its places begin with.
  func restoreItems(_ items: Items) {
    for item in 0..<items.count {
      switch items.records.status(item) {
      case .completed: counters.count(.completed, lane: -1)
      case .skipped: counters.count(.skipped, lane: -1)
      case .failed, .timedOut:
        counters.count(.failed, lane: -1)
        items.note(item, nil)
        if definition.onFailure == .failFast { _ = stopReason.replace(0, by: 1) }
      case .pending, .running, .cancelled: break
      }
    }
    var waiting: [(node: UInt32, due: UInt64)] = []
    for place in 0..<UInt32(items.places) {
      if let past = items.past(place), let due = takeUp(past, place) { waiting.append((place, due)) }
    }
    if waiting.isEmpty || shouldStop { return }
    resumption = RunResumption(
      entered: host.scheduler.clock.now,
      core: Run.Resumption(finished: [Bool](repeating: false, count: items.places), held: Set(waiting.map(\.node))), waiting: waiting)
  }
}

extension TaskStatus {
  var recorded: NodeRecords.Status {
    switch self {
    case .pending: .pending
    case .running: .running
    case .completed: .completed
    case .failed: .failed
    case .skipped: .skipped
    case .cancelled: .cancelled
    case .timedOut: .timedOut
    }
  }
}
