internal import MillraceWorkflow

/// Finds the reasons that explanations tell.
struct Explainer {
  /// Lines of evidence of one kind.
  static let listed = 5

  let record: RunRecord
  let moment: RunMoment?

  init(_ record: RunRecord, _ moment: RunMoment?) {
    self.record = record
    self.moment = record.status == .running || record.status == .created ? moment : nil
  }

  func explain(_ index: Int) -> Explanation {
    if let standstill = moment?.standstill, isUnfinished(index) { return standing(index, standstill) }
    return switch record.tasks[index].status {
    case .completed: completed(index)
    case .failed, .timedOut: failed(index)
    case .skipped: skipped(index)
    case .cancelled: cancelled(index)
    case .running: running(index)
    case .pending: pending(index)
    }
  }

  // MARK: The run

  /// Tasks that explain the run: where others wait for them in the end, the longest-waiting first; then what failed.
  func chief(_ limit: Int) -> [Int] {
    let failed = record.tasks.indices.filter { [.failed, .timedOut].contains(record.tasks[$0].status) }
      .sorted { (ended($0), $0) < (ended($1), $1) }
    let open = record.tasks.indices.filter(isOpen).sorted { (since($0), $0) < (since($1), $1) }
    if !open.isEmpty || !failed.isEmpty { return Array((open + failed).prefix(limit)) }
    return record.tasks.indices.first { record.tasks[$0].status == .cancelled }.map { [$0] } ?? []
  }

  /// Neither over nor waiting for a task before it.
  private func isOpen(_ index: Int) -> Bool {
    isUnfinished(index) && !isBeforeCleanup(index) && record.tasks[index].dependencies.allSatisfy { !isUnfinished($0) }
  }

  private func isUnfinished(_ index: Int) -> Bool { [.pending, .running].contains(record.tasks[index].status) }

  private func isBeforeCleanup(_ index: Int) -> Bool { moment?.cleanup.map { index >= $0 && !record.tasks[index].isItem } ?? false }

  private func since(_ index: Int) -> UInt64 { record.tasks[index].attempts.last?.start ?? record.tasks[index].ready ?? record.elapsed }

  private func ended(_ index: Int) -> UInt64 { record.tasks[index].attempts.last?.end ?? record.elapsed }

  // MARK: Over

  private func completed(_ index: Int) -> Explanation {
    let task = record.tasks[index]
    var evidence = attempts(task)
    if let ready = task.ready, let first = task.attempts.first, first.start > ready {
      evidence.insert("ready at \(Quantity.nanoseconds(ready)), started \(Quantity.nanoseconds(first.start - ready)) later", at: 0)
    }
    return Explanation(
      task: task.id, status: task.status, reason: .completed,
      summary: "completed" + (task.attempts.count > 1 ? " in attempt \(task.attempts.count)" : ""), evidence: evidence, remedy: "")
  }

  private func failed(_ index: Int) -> Explanation {
    let task = record.tasks[index]
    let last = task.attempts.last
    let error = [last?.errorType ?? "", last?.message ?? ""].filter { !$0.isEmpty }.joined(separator: ": ")
    let skipped = record.tasks.count { $0.cause == task.id }
    var evidence = attempts(task)
    if skipped > 0 { evidence.append("\(Quantity.count(skipped, "task")) skipped because of it") }
    let isTimeout = task.status == .timedOut
    let once = task.attempts.count == 1 && !isTimeout ? "; if the error can pass by itself, give the task a `retry`" : ""
    let advice = last.flatMap { Advice.text(errorType: $0.errorType, status: $0.status) } ?? "correct what the error names"
    return Explanation(
      task: task.id, status: task.status, reason: isTimeout ? .timedOut : .failed,
      summary: "\(isTimeout ? "timed out" : "failed") after \(Quantity.count(task.attempts.count, "attempt"))"
        + (error.isEmpty ? "" : ": \(TimelineData.shortened(error, RunSummary.messageLimit))"),
      evidence: evidence, remedy: advice + once)
  }

  private func skipped(_ index: Int) -> Explanation {
    let task = record.tasks[index]
    let failure = record.tasks.firstIndex { $0.id == task.cause && [.failed, .timedOut].contains($0.status) }
    guard let cause = task.cause, let failure else {
      return Explanation(
        task: task.id, status: task.status, reason: .condition, summary: "its condition (`when`) was false when it would have begun",
        evidence: [], remedy: "")
    }
    let why = explain(failure)
    return Explanation(
      task: task.id, status: task.status, reason: .dependencyFailed, summary: "skipped, for \(cause), which it depends on, \(why.summary)",
      evidence: why.evidence, remedy: why.remedy, blockedBy: cause)
  }

  private func cancelled(_ index: Int) -> Explanation {
    let task = record.tasks[index]
    let first = record.tasks.indices.filter { [.failed, .timedOut].contains(record.tasks[$0].status) }
      .min { (ended($0), $0) < (ended($1), $1) }
    if record.status != .cancelled, let first {
      let why = explain(first)
      return Explanation(
        task: task.id, status: task.status, reason: .runFailed,
        summary: "the run stopped when \(why.task) \(why.summary)", evidence: why.evidence,
        remedy: why.remedy + "; `on_failure: continue` lets tasks that do not depend on it go on", blockedBy: why.task)
    }
    return Explanation(
      task: task.id, status: task.status, reason: .runCancelled,
      summary: record.reason.map { "the run was cancelled: \($0)" }
        ?? "the run was cancelled after \(Quantity.nanoseconds(record.elapsed))",
      evidence: attempts(task),
      remedy: "start the workflow again")
  }

  // MARK: Going on

  private func running(_ index: Int) -> Explanation {
    let task = record.tasks[index]
    let start = task.attempts.last?.start ?? 0
    if let child = task.children.last, child.status == .running {
      return Explanation(
        task: task.id, status: task.status, reason: .running,
        summary: "has run the workflow \(child.workflow) for \(Quantity.nanoseconds(record.elapsed > start ? record.elapsed - start : 0))",
        evidence: ["its run is \(child.run)"]
          + Explainer(child, nil).chief(Self.listed).map { "there: \(child.tasks[$0].id) is \(child.tasks[$0].status.rawValue)" },
        remedy: "")
    }
    if let wait = task.wait { return waiting(task, wait, record.elapsed > start ? record.elapsed - start : 0) }
    var evidence = attempts(task)
    if let share = moment?.tasks[index]?.perMille { evidence.append("its handler said that \(Quantity.perMille(share)) of it is done") }
    var remedy = ""
    if let timeouts = moment?.tasks[index]?.timeouts {
      let words = words(timeouts)
      evidence.append(words.isEmpty ? "no timeout: nothing ends it but its handler" : "timeouts: \(words.joined(separator: ", "))")
      if timeouts.startToClose == nil, timeouts.scheduleToClose == nil, timeouts.heartbeat == nil {
        remedy = "if it hangs, cancel the run, and give the task a `startToClose`, with a `retry` if another attempt may go better"
      }
    }
    return Explanation(
      task: task.id, status: task.status, reason: .running,
      summary: "has been running for \(Quantity.nanoseconds(record.elapsed > start ? record.elapsed - start : 0))"
        + (task.attempts.count > 1 ? " in attempt \(task.attempts.last?.number ?? 1)" : "") + " (\(task.handler))",
      evidence: evidence, remedy: remedy)
  }

  private func waiting(_ task: TaskRecord, _ wait: Wait, _ time: UInt64) -> Explanation {
    let (what, remedy) =
      switch wait {
      case .signal(let name): ("the signal \(name)", "send the signal: `--signal \(name)`, or `millrace run signal` of a durable run")
      case .until(let time): ("the time \(time)", "")
      case .duration(let time): ("\(time) to pass", "")
      case .approval(let question):
        ("an approval: \(question)", "approve or reject it: `--approve \(task.id)`, or `millrace run approve` of a durable run")
      case .message(let queue):
        ("a message of the queue \(queue)", "publish one; if there are some, other consumers of the queue take them")
      }
    return Explanation(
      task: task.id, status: task.status, reason: .running, summary: "has waited \(Quantity.nanoseconds(time)) for \(what)",
      evidence: attempts(task), remedy: remedy)
  }

  private func pending(_ index: Int) -> Explanation {
    let task = record.tasks[index]
    if isBeforeCleanup(index) { return beforeCleanup(task) }
    if let path = blocker(of: index) { return waiting(index, path) }
    func explanation(_ reason: Explanation.Reason, _ summary: String, _ evidence: [String], _ remedy: String) -> Explanation {
      Explanation(task: task.id, status: task.status, reason: reason, summary: summary, evidence: evidence + attempts(task), remedy: remedy)
    }
    guard let moment, let own = moment.tasks[index] else {
      return explanation(.starting, "is ready, and had not started", [], "")
    }
    if let wait = moment.wait {
      return explanation(
        .runKey, "the run has not begun: it \(wait)", [],
        "wait, or cancel the run that has the key; the workflow's `concurrency.limit` says how many go on")
    }
    if let due = own.retryAt {
      let number = (task.attempts.last?.number ?? 0) + 1
      return explanation(
        .retry,
        "waits \(Quantity.nanoseconds(due > record.elapsed ? due - record.elapsed : 0)) more for attempt \(number) of \(own.attempts)", [],
        "nothing, if the error can pass by itself; else see the error. `retry.initial` and `retry.cap` bound the waits")
    }
    if own.isBehindLateHandler {
      return explanation(
        .lateHandler, "waits until an attempt that timed out has left its handler, which lets only one in at a time", [],
        "make \(task.handler) look whether it was asked to stop")
    }
    if let destination = own.breaker {
      return explanation(
        .breaker, "is parked by the breaker of \(destination), whose last calls failed", [],
        "look at that destination; canaries go through by themselves, and then all tasks")
    }
    if let rate = own.rate {
      return explanation(
        .rate, "waits for its rate \(rate.key): \(Quantity.count(rate.limit, "start")) in \(DurationText.text(rate.per))", [],
        "wait; or raise the rate's `limit`, or give this task a higher `priority`")
    }
    let running = moment.holders
    if let key = own.concurrencyKey {
      let holders = running.filter { $0.concurrencyKey == key }
      let held = holders.reduce(0) { $0 + $1.concurrencyWeight }
      if held + own.concurrencyWeight > own.concurrencyLimit {
        let weights = held == holders.count && own.concurrencyWeight == 1
        return explanation(
          .concurrencyKey,
          weights
            ? "waits in line: \(Quantity.count(own.concurrencyLimit, "task")) with the concurrency key \(key) may run at once"
            : "waits in line: its weight is \(own.concurrencyWeight), and \(held) of \(own.concurrencyLimit) of the concurrency key \(key) are taken",
          names(holders), "raise the limit of \(key), or wait")
      }
    }
    let withHandler = running.filter { $0.handler == task.handler }
    if own.handlerLimit > 0, withHandler.count >= own.handlerLimit {
      return explanation(
        .handlerLimit, "waits in line: \(task.handler) takes \(Quantity.count(own.handlerLimit, "task")) at once", names(withHandler),
        "wait; the limit is the handler's own")
    }
    if moment.isFromRecord {
      return explanation(
        .unrecorded, "is ready, and has not started: why, only the process knows that has the run", names(running),
        "send SIGUSR1 to that process: it tells what its tasks wait for")
    }
    if running.count >= record.slots {
      return explanation(
        .slots, "is ready, but all \(Quantity.count(record.slots, "slot")) are taken", names(running),
        "wait; or give the engine more slots (`--slots`), or this task a higher `priority`")
    }
    return explanation(.starting, "is ready, and about to start", [], "")
  }

  private func beforeCleanup(_ task: TaskRecord) -> Explanation {
    let open = chief(1).filter(isUnfinished).first.map(explain)
    let left = record.tasks.prefix(moment?.cleanup ?? 0).count { [.pending, .running].contains($0.status) }
    return Explanation(
      task: task.id, status: task.status, reason: .cleanup,
      summary:
        "is a cleanup task: it runs when all others have ended, and \(Quantity.count(left, "task")) \(left == 1 ? "has" : "have") not",
      evidence: open.map { ["\($0.task) \($0.summary)"] + $0.evidence } ?? [], remedy: open?.remedy ?? "", blockedBy: open?.task)
  }

  /// It waits for the last task of the path.
  private func waiting(_ index: Int, _ path: [Int]) -> Explanation {
    let task = record.tasks[index]
    let root = explain(path[path.count - 1])
    let unfinished = task.dependencies.filter(isUnfinished)
    var evidence = root.evidence
    if path.count > 1 {
      let names = ([index] + path).map { record.tasks[$0].id }
      let shown = names.count <= 8 ? names : names.prefix(4) + ["... (\(names.count - 7) more)"] + names.suffix(3)
      evidence.append("each waits for the next: " + shown.joined(separator: " -> "))
    }
    if task.dependencies.count > 1 {
      let listed = unfinished.prefix(Self.listed).map { record.tasks[$0].id }.joined(separator: ", ")
      let more = unfinished.count > Self.listed ? " and \(unfinished.count - Self.listed) more" : ""
      evidence.append("not done of its \(Quantity.integer(task.dependencies.count)) dependencies: \(listed)\(more)")
    }
    return Explanation(
      task: task.id, status: task.status, reason: .dependency, summary: "waits for \(root.task), which \(root.summary)", evidence: evidence,
      remedy: root.remedy, blockedBy: root.task)
  }

  /// The way to the task that this one waits for in the end: of several, the one that has been ready for the longest. nil: it waits for none.
  private func blocker(of index: Int) -> [Int]? {
    var cameFrom: [Int: Int] = [index: index]
    var queue = [index]
    var next = 0
    var best: Int?
    while next < queue.count {
      let at = queue[next]
      next += 1
      if at != index, isOpen(at), best.map({ (since(at), at) < (since($0), $0) }) ?? true { best = at }
      for dependency in record.tasks[at].dependencies where isUnfinished(dependency) && cameFrom[dependency] == nil {
        cameFrom[dependency] = at
        queue.append(dependency)
      }
    }
    guard var at = best else { return nil }
    var path: [Int] = []
    while at != index {
      path.append(at)
      at = cameFrom[at] ?? index
    }
    return path.reversed()
  }

  // MARK: Words

  /// The last attempts, a line each.
  private func attempts(_ task: TaskRecord) -> [String] {
    task.attempts.suffix(Self.listed).map { attempt in
      let error = [attempt.errorType, TimelineData.shortened(attempt.message, RunSummary.messageLimit)].filter { !$0.isEmpty }
      let end = attempt.end.map { " after \(Quantity.nanoseconds($0 > attempt.start ? $0 - attempt.start : 0))" } ?? ""
      return "attempt \(attempt.number) \(attempt.status.word)\(end), begun at \(Quantity.nanoseconds(attempt.start))"
        + (error.isEmpty ? "" : ": " + error.joined(separator: ": "))
    }
  }

  private func words(_ timeouts: Timeouts) -> [String] {
    [
      ("scheduleToStart", timeouts.scheduleToStart), ("startToClose", timeouts.startToClose), ("scheduleToClose", timeouts.scheduleToClose),
      ("heartbeat", timeouts.heartbeat),
    ].compactMap { name, value in value.map { "\(name) \(DurationText.text($0))" } }
  }

  private func names(_ holders: [RunMoment.Holder]) -> [String] {
    let lines = holders.prefix(Self.listed).map { holder in
      let task = holder.run == record.run ? holder.task : "\(holder.run)/\(holder.task)"
      return "taken by \(task) (\(holder.handler)) for \(Quantity.nanoseconds(holder.age))"
    }
    return lines + (holders.count > Self.listed ? ["and by \(Quantity.integer(holders.count - Self.listed)) more"] : [])
  }
}
