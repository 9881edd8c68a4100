internal import MillraceCore
internal import MillraceLog

/// A durable run as it can be told without the process that has it.
package struct RunView: Sendable {
  package let history: RunHistory
  /// What it runs, with its parameters in place.
  package let definition: Definition
  package let record: RunRecord
  /// What its unfinished tasks wait for, as far as that is recorded.
  package let moment: RunMoment
}

extension RunReading {
  /// A run as it is recorded; nil: there is no such run. `isAttended`: a process has it, or had it at that moment: attempts that have not ended run. `now`: nil: when its last
  /// record was made. `until`, `at`: as for `history`. Complexity: O(its events + tasks + dependencies), and those of its child runs. Blocks. Throws `EventStoreError`, `RecordError`, `DefinitionError`.
  package func recorded(
    _ run: RunID, now: DurableTime?, isAttended: Bool, until position: UInt64 = .max, at time: Int64 = .max
  ) throws -> RunView? {
    guard let history = try history(of: run, until: position, at: time) else { return nil }
    let creation = history.creation
    let parameters = Dictionary(creation.parameters.map { ($0.name, $0.value) }) { first, _ in first }
    let definition = try definition(creation.definition).expanded.resolve(parameters: parameters)
    var teller = RunTeller(history, definition, now: now ?? DurableTime(wall: history.time, boot: 0), isAttended: isAttended)
    let records = { (runs: [(attempt: Int, run: RunID)]) in
      try runs.compactMap { try recorded($0.run, now: now, isAttended: isAttended, until: position, at: time)?.record }
    }
    for (id, task) in history.tasks {
      teller.children[id] = try records(task.children)
      guard case .spilled(let version)? = task.items else { continue }
      teller.lists[id] = try ItemList(recorded: .list(try payload(of: run, version: version))).count
    }
    for task in definition.tasks + definition.cleanup where task.foreach != nil && task.child != nil {
      guard let state = history.tasks[task.id] else { continue }
      for item in teller.listed(state, try teller.count(of: task, state)) {
        teller.children[TaskPlace(task.id, item: item).name] = try records(state.byItem[item]?.children ?? [])
      }
    }
    let record = try teller.record()
    return RunView(history: history, definition: definition, record: record, moment: teller.moment(record))
  }
}

/// Makes the record of a run from its history.
private struct RunTeller {
  let history: RunHistory
  let definition: Definition
  let now: DurableTime
  let isAttended: Bool
  /// By id of the task.
  var children: [String: [RunRecord]] = [:]
  /// Lengths of the lists that stand in records of their own, by id of the task.
  var lists: [String: Int] = [:]

  init(_ history: RunHistory, _ definition: Definition, now: DurableTime, isAttended: Bool) {
    self.history = history
    self.definition = definition
    self.now = now
    self.isAttended = isAttended
  }

  private func since(_ wall: Int64) -> UInt64 { UInt64(max(0, wall.subtractingReportingOverflow(history.creation.wall).partialValue)) }

  private var elapsed: UInt64 { since(history.endedAt ?? now.wall) }

  // MARK: The run

  func record() throws -> RunRecord {
    var tasks = records(of: definition.tasks)
    tasks += records(of: definition.cleanup, after: tasks)
    for (index, task) in (definition.tasks + definition.cleanup).enumerated() where task.foreach != nil {
      if let state = history.tasks[task.id] { try addItems(of: task, state, at: index, to: &tasks) }
    }
    let creation = history.creation
    var record = RunRecord(
      run: creation.run.description, workflow: definition.name, status: history.ended ?? .running, slots: mostAtOnce(tasks),
      threads: 1, order: TaskOrder.fifo.rawValue, startedWall: creation.wall, elapsed: elapsed,
      recordedMakespanSeconds: definition.recordedMakespanSeconds, tenant: creation.tenant,
      reason: history.reason ?? history.cancel?.reason,
      tasks: tasks)
    record.threads = record.slots
    record.workflowVersion = definition.version
    record.definitionSHA256 = creation.definition
    record.plugins = creation.builds.map { PluginBuild(name: $0.name, version: "", sha256: $0.value.string ?? "") }
    record.signals = signals
    return record
  }

  /// The slots of its processes are not recorded: as many as were seen in use.
  private func mostAtOnce(_ tasks: [TaskRecord]) -> Int {
    var edges: [(time: UInt64, change: Int)] = []
    for task in tasks where !task.isHeld && task.items == nil {
      for attempt in task.attempts {
        edges.append((attempt.start, 1))
        edges.append((max(attempt.start, attempt.end ?? elapsed), -1))
      }
    }
    var (most, current) = (1, 0)
    for edge in edges.sorted(by: { ($0.time, $0.change) < ($1.time, $1.change) }) {
      current += edge.change
      most = max(most, current)
    }
    return most
  }

  /// Those of a name go to the tasks that wait for it, in the order in which these ended.
  private var signals: [SignalRecord] {
    var takers: [String: [(ended: Int64, task: String)]] = [:]
    for task in definition.tasks + definition.cleanup {
      if case .signal(let name)? = task.wait, let state = history.tasks[task.id], state.status == .completed {
        takers[name, default: []].append((state.ended, task.id))
      }
    }
    var left = takers.mapValues { $0.sorted { $0 < $1 }[...] }
    return history.signals.map { SignalRecord(name: $0.name, time: since($0.time), task: left[$0.name]?.popFirst()?.task) }
  }

  // MARK: Tasks

  /// `before`: of a cleanup, the tasks before it.
  private func records(of tasks: [TaskDefinition], after before: [TaskRecord] = []) -> [TaskRecord] {
    let index = Dictionary(tasks.enumerated().map { ($1.id, $0) }) { first, _ in first }
    let dependencies = tasks.map { $0.dependencies.compactMap { index[$0] } }
    let last = before.indices.max { (before[$0].attempts.last?.end ?? 0, $0) < (before[$1].attempts.last?.end ?? 0, $1) }
    let isCleanup = last != nil
    // A cleanup is ready when nothing before it is left to do.
    let begins: UInt64? =
      !isCleanup ? 0 : before.contains { [.pending, .running].contains($0.status) } ? nil : last.flatMap { before[$0].attempts.last?.end }
    var records = [TaskRecord?](repeating: nil, count: tasks.count)
    for task in order(dependencies) {
      var (ready, cause) = (begins, String?.none)
      var isStopped = false
      for dependency in dependencies[task] {
        guard let record = records[dependency] else { continue }
        switch record.status {
        case .failed, .timedOut: cause = cause ?? record.id
        case .skipped where record.cause != nil: cause = cause ?? record.cause
        case .cancelled: isStopped = true
        case .completed, .skipped, .pending, .running: break
        }
        let isSatisfied = record.status == .completed || record.status == .skipped && record.cause == nil
        ready = isSatisfied ? ready.map { max($0, record.attempts.last?.end ?? ended(tasks[dependency]) ?? 0) } : nil
      }
      let place = dependencies[task].isEmpty ? last.map { [$0] } ?? [] : dependencies[task].map { before.count + $0 }
      records[task] = record(of: tasks[task], place, ready, cause, isStopped)
    }
    return records.compactMap { $0 }
  }

  /// Of a task without attempts.
  private func ended(_ task: TaskDefinition) -> UInt64? { history.tasks[task.id].map { since($0.ended) } }

  /// Each behind those that it depends on.
  private func order(_ dependencies: [[Int]]) -> [Int] {
    var left = dependencies.map(\.count)
    var successors = [[Int]](repeating: [], count: left.count)
    for (task, before) in dependencies.enumerated() { for other in before { successors[other].append(task) } }
    var order = left.indices.filter { left[$0] == 0 }
    var next = 0
    while next < order.count {
      for successor in successors[order[next]] {
        left[successor] -= 1
        if left[successor] == 0 { order.append(successor) }
      }
      next += 1
    }
    return order
  }

  private func record(
    of task: TaskDefinition, _ dependencies: [Int], _ ready: UInt64?, _ cause: String?, _ isStopped: Bool
  ) -> TaskRecord {
    let state = history.tasks[task.id] ?? RunHistory.Task()
    let isHeld = task.heldWork != nil
    var status = state.status
    var skippedFor: String?
    if status == .pending {
      if history.creation.isSaga {
        // Its machine says what runs: what did not had no turn.
        if history.ended != nil { status = .skipped } else if state.running != nil, isAttended || isHeld { status = .running }
      } else if cause != nil {
        (status, skippedFor) = (.skipped, cause)
      } else if history.ended != nil || isStopped {
        status = .cancelled
      } else if state.running != nil, isAttended || isHeld {
        status = .running
      }
    }
    var record = TaskRecord(
      id: task.id, handler: task.heldWork?.word ?? task.handler,
      priority: CompiledWorkflow.ResolvedPolicy(task.policy, definition.defaults).priority,
      status: status, dependencies: dependencies, ready: ready, attempts: attempts(state, isHeld: isHeld), cause: skippedFor,
      outputBytes: state.output?.recordedBytes ?? 0)
    record.children = children[task.id] ?? []
    record.wait = task.wait
    record.answer = state.answer?.answer
    return record
  }

  private func attempts(_ state: RunHistory.Task, isHeld: Bool) -> [AttemptRecord] {
    var attempts = state.failed.map {
      AttemptRecord(
        number: $0.attempt, status: $0.status, start: since($0.started), end: since($0.ended), lane: -1, errorType: $0.errorType,
        message: $0.message)
    }
    if state.status == .completed {
      attempts.append(
        AttemptRecord(number: max(1, state.attempts), status: .completed, start: since(state.started), end: since(state.ended), lane: -1))
    } else if let running = state.running {
      attempts.append(attempt(state, since(running.wall), isHeld: isHeld))
    }
    return attempts
  }

  /// One that has begun, and of whose end there is no record.
  private func attempt(_ state: RunHistory.Task, _ start: UInt64, isHeld: Bool) -> AttemptRecord {
    let number = max(1, state.attempts)
    if history.ended != nil {
      return AttemptRecord(number: number, status: .cancelled, start: start, end: max(start, elapsed), lane: -1)
    }
    // A wait goes on whatever becomes of its process.
    if isAttended || isHeld { return AttemptRecord(number: number, status: .running, start: start, end: nil, lane: -1) }
    return AttemptRecord(
      number: number, status: .failed, start: start, end: max(start, since(history.time)), lane: -1,
      errorType: EngineErrorType.interrupted, message: "its process ended while the attempt ran")
  }

  // MARK: Items

  private func addItems(of task: TaskDefinition, _ state: RunHistory.Task, at index: Int, to tasks: inout [TaskRecord]) throws {
    if state.items == nil { return }
    let count = try count(of: task, state)
    var sum = ItemsRecord(count: count, statuses: [:], attempts: 0)
    let known = state.byItem.filter { $0.key < count }
    let listed = listed(state, count)
    let isHeld = task.child != nil
    let time = { isHeld ? 0 : self.time($0) }
    let isOver = ![.pending, .running].contains(tasks[index].status)
    func status(_ item: RunHistory.Task?) -> TaskStatus {
      let status = item?.status ?? .pending
      if status != .pending { return status }
      if isOver { return .cancelled }
      return item?.running != nil && (isAttended || isHeld) ? .running : .pending
    }
    for item in known.values {
      sum.statuses[status(item), default: 0] += 1
      sum.attempts += item.attempts
      sum.unlistedTime += time(item)
    }
    if count > known.count { sum.statuses[status(nil), default: 0] += count - known.count }
    (sum.unlistedStatuses, sum.unlistedAttempts) = (sum.statuses, sum.attempts)
    for number in listed {
      let item = known[number]
      let status = status(item)
      sum.listed.append(tasks.count)
      sum.unlistedStatuses[status, default: 0] -= 1
      if sum.unlistedStatuses[status] == 0 { sum.unlistedStatuses[status] = nil }
      sum.unlistedAttempts -= item?.attempts ?? 0
      sum.unlistedTime -= item.map(time) ?? 0
      tasks.append(
        TaskRecord(
          id: TaskPlace(task.id, item: number).name, handler: isHeld ? ChildWork.word : task.handler, priority: tasks[index].priority,
          status: status,
          dependencies: tasks[index].dependencies, ready: tasks[index].attempts.first?.start,
          attempts: item.map { attempts($0, isHeld: isHeld) } ?? [], outputBytes: item?.output?.recordedBytes ?? 0))
      tasks[tasks.count - 1].children = children[TaskPlace(task.id, item: number).name] ?? []
    }
    if sum.areListed { tasks[index].dependencies += sum.listed }
    if tasks[index].status == .completed { tasks[index].outputBytes = known.values.reduce(0) { $0 + ($1.output?.recordedBytes ?? 0) } }
    tasks[index].items = sum
  }

  /// Length of the list; 0: there is none yet.
  func count(of task: TaskDefinition, _ state: RunHistory.Task) throws -> Int {
    switch state.items {
    case nil: 0
    case .spilled?: lists[task.id] ?? 0
    case .some(let items): try ItemList(recorded: items).count
    }
  }

  /// Items that have records of their own.
  func listed(_ state: RunHistory.Task, _ count: Int) -> [Int] {
    if count <= ItemsRecord.listedInFull { return Array(0..<count) }
    let failed = state.byItem.filter { $0.key < count && [.failed, .timedOut].contains($0.value.status) }
    return Array(failed.keys.sorted().prefix(ItemsRecord.listedOfMany))
  }

  /// Of the last attempt, if it is over.
  private func time(_ item: RunHistory.Task) -> UInt64 {
    guard let last = attempts(item, isHeld: false).last, let end = last.end else { return 0 }
    return end > last.start ? end - last.start : 0
  }

  // MARK: What it waits for

  func moment(_ record: RunRecord) -> RunMoment {
    var moment = RunMoment()
    moment.isStopping = history.cancel != nil
    if let suspects = history.quarantine {
      moment.standstill = .quarantine(suspects: suspects)
    } else if !isAttended {
      moment.standstill = .noProcess(since: since(history.time))
    }
    moment.isFromRecord = true
    let tasks = definition.tasks + definition.cleanup
    if !definition.cleanup.isEmpty, record.tasks[..<definition.tasks.count].contains(where: { [.pending, .running].contains($0.status) }) {
      moment.cleanup = definition.tasks.count
    }
    for (index, task) in tasks.enumerated() where [.pending, .running].contains(record.tasks[index].status) {
      let policy = CompiledWorkflow.ResolvedPolicy(task.policy, definition.defaults)
      var own = RunMoment.Task(
        timeouts: policy.timeouts, attempts: policy.retry?.attempts ?? 1, concurrencyKey: policy.key, concurrencyLimit: policy.keyLimit,
        concurrencyWeight: policy.weight, handlerLimit: 0)
      if let due = history.tasks[task.id]?.due { own.retryAt = UInt64(clamping: Int64(clamping: elapsed) &- due.elapsed(to: now)) }
      moment.tasks[index] = own
    }
    return moment
  }
}

extension RecordedOutput {
  /// 0 of one that stands in a record of its own.
  fileprivate var recordedBytes: UInt64 {
    switch self {
    case .inline(let bytes, _): UInt64(bytes.count)
    case .spilled: 0
    }
  }
}
