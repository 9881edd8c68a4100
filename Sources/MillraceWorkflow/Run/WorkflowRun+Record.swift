internal import CMillrace
internal import MillraceCore

/// A run as it can be told: at any moment, from any thread.
extension WorkflowRun {
  /// Tasks up to which an estimate looks at each of them.
  private static let estimatedOneByOne = 20_000

  /// Counters of this moment. Complexity: O(workers), and O(tasks) for the estimate of a run of up to 20,000 tasks.
  public func progress() -> Progress {
    var progress = ownProgress()
    guard let cleanup = cleanup?.ownProgress() else { return progress }
    progress.tasks += cleanup.tasks
    progress.completed += cleanup.completed
    progress.failed += cleanup.failed
    progress.skipped += cleanup.skipped
    progress.cancelled += cleanup.cancelled
    progress.running += cleanup.running
    progress.attempts += cleanup.attempts
    progress.perMille += cleanup.perMille
    return progress
  }

  /// Items count as tasks, beside the task whose they are.
  private func ownProgress() -> Progress {
    let (sum, tasks) = sumWithItems()
    let status = status
    let elapsed = elapsed
    return Progress(
      status: status, tasks: tasks, completed: sum.completed, failed: sum.failed, skipped: sum.skipped, cancelled: sum.cancelled,
      running: max(0, sum.started - sum.ended), attempts: sum.attempts, elapsed: elapsed,
      estimatedRemaining: status == .running ? estimate(sum, elapsed, tasks) : nil, waitsFor: status == .created ? waitsFor : nil,
      perMille: status == .running ? saidOfAll : 0)
  }

  /// What is left, from the mean duration of each handler's finished tasks, what running ones say, and the parallelism reached so far.
  private func estimate(_ sum: RunCounters.Sum, _ elapsed: UInt64, _ tasks: Int) -> UInt64? {
    let finished = sum.completed + sum.failed + sum.skipped + sum.cancelled
    let said = monitor.locked { self.said }
    guard sum.completed > 0 || !said.isEmpty, elapsed > 0, finished < tasks else { return nil }
    if sum.completed > 0, tasks > WorkflowRun.estimatedOneByOne || !compiled.foreaches.isEmpty {
      return UInt64(Double(elapsed) * Double(tasks - finished) / Double(finished))
    }
    let now = host.scheduler.clock.now
    var done = [(tasks: Double, time: Double)](repeating: (0, 0), count: compiled.handlers.count)
    var spent = 0.0
    for node in 0..<UInt32(records.count) where records.status(node) == .completed {
      let time = Double(max(records.end(node), records.start(node)) - records.start(node))
      done[Int(compiled.handlerOf[Int(node)])].tasks += 1
      done[Int(compiled.handlerOf[Int(node)])].time += time
      spent += time
    }
    let mean = sum.completed > 0 ? spent / Double(sum.completed) : nil
    var left = 0.0
    for node in 0..<UInt32(records.count) {
      let own = done[Int(compiled.handlerOf[Int(node)])]
      let expected = own.tasks > 0 ? own.time / own.tasks : mean
      switch records.status(node) {
      case .pending:
        guard let expected else { return nil }
        left += expected
      case .running:
        let soFar = Double(max(now, records.start(node)) - records.start(node))
        spent += soFar
        if let share = said[node] {
          left += soFar * Double(WorkflowRun.whole - Int(share)) / Double(share)
        } else if let expected {
          left += max(0, expected - soFar)
        } else {
          return nil
        }
      default: break
      }
    }
    let parallelism = max(1, spent / Double(elapsed))
    return UInt64(left / parallelism)
  }

  /// Ids of up to `limit` tasks that run now. Complexity: O(tasks).
  public func runningTasks(limit: Int = 8) -> [String] { running(limit: limit).map(\.id) }

  /// Up to `limit` tasks that run now, and how far they are. Complexity: O(tasks).
  public func running(limit: Int = 8) -> [RunningTask] {
    var running: [RunningTask] = []
    let said = monitor.locked { self.said }
    for node in 0..<UInt32(records.count) where records.status(node) == .running {
      running.append(RunningTask(id: name(node), perMille: said[node].map(Int.init)))
      if running.count == limit { return running }
    }
    for run in itemRuns where running.count < limit { running += run.running(limit: limit - running.count) }
    if running.count >= limit { return running }
    return running + (cleanup?.running(limit: limit - running.count) ?? [])
  }

  /// Everything that is known of the run. Complexity: O(tasks + dependencies + attempts), memory likewise.
  public func record(slots: Int, threads: Int) -> RunRecord {
    var tasks = taskRecords(slots, threads)
    if let cleanup { tasks += cleanup.taskRecords(slots, threads, after: tasks) }
    addItems(to: &tasks, from: 0, slots: slots, threads: threads)
    cleanup?.addItems(to: &tasks, from: records.count, slots: slots, threads: threads)
    var record = RunRecord(
      run: id.description, workflow: definition.name, status: status, slots: slots, threads: threads, order: compiled.order.rawValue,
      startedWall: beganWall, elapsed: elapsed, recordedMakespanSeconds: definition.recordedMakespanSeconds, tenant: tenant.name,
      reason: reason, tasks: tasks)
    record.workflowVersion = definition.version
    record.signals = mailbox?.entries.map { SignalRecord(name: $0.name, time: $0.time, task: $0.task) } ?? []
    return record
  }

  /// Of a cleanup: behind the tasks that came before it.
  private func taskRecords(_ slots: Int, _ threads: Int, after before: [TaskRecord] = []) -> [TaskRecord] {
    var logged: [UInt32: [LoggedAttempt]] = [:]
    let (log, answers, children) = monitor.locked { (self.log, self.answers, self.children) }
    for attempt in log { logged[attempt.node, default: []].append(attempt) }
    let began = beganAt
    let base = origin?.beganAt ?? began
    func since(_ time: UInt64) -> UInt64 { time > base ? time - base : 0 }
    // What released a cleanup: the task that ended last.
    let last = before.indices.max { (before[$0].attempts.last?.end ?? 0, $0) < (before[$1].attempts.last?.end ?? 0, $1) }
    let begins = origin == nil ? 0 : since(began)
    var tasks: [TaskRecord] = []
    tasks.reserveCapacity(records.count)
    for node in 0..<UInt32(records.count) {
      let definition = definition.tasks[Int(node)]
      let status = records.status(node)
      let dependencies = compiled.predecessors[Int(compiled.rows[Int(node)])..<Int(compiled.rows[Int(node) + 1])]
      var attempts = (logged[node] ?? []).map { attempt in
        AttemptRecord(
          number: attempt.number, status: attempt.status.word, start: since(attempt.start), end: since(attempt.end), lane: attempt.lane,
          errorType: attempt.error?.type ?? "", message: attempt.error?.message ?? "")
      }
      // A task that goes on meanwhile may have been logged already.
      let isLogged = attempts.last.map { $0.number >= records.attempts(node) } ?? false
      if !isLogged, status == .running || status == .completed {
        attempts.append(
          AttemptRecord(
            number: max(records.attempts(node), 1), status: status.word, start: since(records.start(node)),
            end: status == .running ? nil : since(records.end(node)), lane: records.lane(node)))
      }
      // Ready with the end of the last dependency: nothing else makes a task ready.
      var ready = began == 0 ? nil : Optional(begins)
      for dependency in dependencies {
        guard records.isSatisfied(dependency), let soFar = ready else {
          ready = nil
          break
        }
        ready = max(soFar, since(records.end(dependency)))
      }
      tasks.append(
        TaskRecord(
          id: definition.id, handler: compiled.handlers[Int(compiled.handlerOf[Int(node)])].name, priority: priority(of: node),
          status: status.word,
          dependencies: dependencies.isEmpty ? last.map { [$0] } ?? [] : dependencies.map { before.count + Int($0) }, ready: ready,
          attempts: attempts,
          cause: status == .skipped ? records.cause(node).map { self.definition.tasks[Int($0)].id } : nil,
          outputBytes: status == .completed ? records.output(node).length : 0))
      if let runs = children[node] { tasks[tasks.count - 1].children = runs.map { $0.run.record(slots: slots, threads: threads) } }
      if let wait = definition.wait {
        tasks[tasks.count - 1].wait = wait
        tasks[tasks.count - 1].answer = answers[node]
      }
    }
    return tasks
  }
}

extension NodeRecords.Status {
  var word: TaskStatus {
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
