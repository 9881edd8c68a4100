public import MillraceWorkflow

/// What is told after a run: in words, as the one object of `-o json`, and as run.json.
public enum RunSummary {
  /// Tasks listed of the critical path, of the slowest, and of the failed.
  static let listedSteps = 5
  static let listedSlowest = 5
  static let listedFailures = 10
  /// Bytes of a message and attempts of a task that are printed.
  static let messageLimit = 300
  static let listedAttempts = 5

  /// The run in words: status, counts, times, critical path, slowest tasks, and each failure with its attempts and what to do.
  ///
  /// - Returns: lines, each ended by a newline; texts of the run are escaped for a terminal.
  /// - Complexity: O(n log n) in attempts, O(dependencies).
  public static func text(_ record: RunRecord) -> String {
    let figures = RunFigures(record)
    var facts: [(name: String, value: String)] = []
    if let reason = record.reason { facts.append(("Why", TerminalText.escaped(reason))) }
    facts.append(("Tasks", Quantity.integer(record.taskCount) + ": " + record.countsInWords))
    if let items = record.unlistedItems { facts.append(("Items", items)) }
    facts.append(("Attempts", Quantity.integer(record.attemptCount)))
    let recorded = record.recordedMakespanSeconds.map { " (recorded: " + Quantity.seconds($0) + ")" } ?? ""
    facts.append(("Makespan", Quantity.nanoseconds(figures.makespan) + recorded))
    let waits = record.tasks.contains { $0.attempts.count > 1 } ? ", without the waits before retries" : ""
    let assumed = "Graham, \(Quantity.integer(figures.machines)) at once, measured durations\(waits)"
    facts.append(("Bound", Quantity.seconds(figures.bound) + " (\(assumed))"))
    let average = Quantity.fixed(figures.parallelism, decimals: 2)
    facts.append(
      ("Efficiency", Quantity.percent(figures.efficiency) + " (\(average) of \(Quantity.integer(figures.capacity)) busy on average)"))
    let path = figures.path
    facts.append(
      (
        "Critical path",
        Quantity.nanoseconds(path.length) + " in \(Quantity.count(path.steps.count, "task")), "
          + "\(Quantity.percent(path.share)) of the makespan; \(Quantity.nanoseconds(path.waiting)) waiting"
      ))
    var lines = ["\(TerminalText.escaped(record.workflow)) \(record.status.rawValue) (run \(TerminalText.escaped(record.run)))"]
    lines += facts.map { TerminalText.padded($0.name, to: 14) + $0.value }

    let longestSteps = path.steps.sorted { ($1.running, $0.start) < ($0.running, $1.start) }.prefix(listedSteps)
    lines += table("Longest on the critical path", longestSteps.map { ($0.running, record.tasks[$0.task]) })
    lines += table("Slowest tasks", record.slowest(listedSlowest).map { (record.busy(record.tasks[$0]), record.tasks[$0]) })
    lines += failures(record)
    return lines.map { $0 + "\n" }.joined()
  }

  private static func table(_ title: String, _ rows: [(time: UInt64, task: TaskRecord)]) -> [String] {
    if rows.isEmpty { return [] }
    let times = rows.map { Quantity.nanoseconds($0.time) }
    let ids = rows.map { TerminalText.escaped($0.task.id) }
    let width = times.map(TerminalText.width).max() ?? 0
    let idWidth = min(48, ids.map(TerminalText.width).max() ?? 0)
    return ["", title]
      + rows.indices.map { index in
        let repeated = rows[index].task.attempts.count > 1 ? ", \(Quantity.integer(rows[index].task.attempts.count)) attempts" : ""
        return "  " + TerminalText.padded(times[index], to: width, right: true) + "  " + TerminalText.padded(ids[index], to: idWidth) + "  "
          + TerminalText.escaped(rows[index].task.handler) + repeated
      }
  }

  private static func failures(_ record: RunRecord) -> [String] {
    let failed = record.failed
    if failed.isEmpty { return [] }
    let skipped = Dictionary(grouping: record.tasks.lazy.compactMap(\.cause), by: { $0 }).mapValues(\.count)
    var lines = ["", "Failures"]
    for index in failed.prefix(listedFailures) {
      let task = record.tasks[index]
      let caused = skipped[task.id].map { ", \(Quantity.count($0, "task")) skipped because of it" } ?? ""
      lines.append("  \(TerminalText.escaped(task.id)) (\(TerminalText.escaped(task.handler))) \(task.status.word)\(caused)")
      let attempts = task.attempts.suffix(listedAttempts)
      if attempts.count < task.attempts.count {
        lines.append("    the last \(attempts.count) of \(Quantity.count(task.attempts.count, "attempt")):")
      }
      for attempt in attempts {
        let error = [attempt.errorType, TimelineData.shortened(attempt.message, messageLimit)].filter { !$0.isEmpty }.joined(
          separator: ": ")
        let words = error.isEmpty ? "" : ": " + TerminalText.escaped(error)
        lines.append("    attempt \(attempt.number) \(attempt.status.word) after \(Quantity.nanoseconds(record.duration(attempt)))\(words)")
      }
      if let advice = task.attempts.last.flatMap({ Advice.text(errorType: $0.errorType, status: $0.status) }) {
        lines.append("    what to do: " + advice)
      }
    }
    if failed.count > listedFailures { lines.append("  and \(Quantity.integer(failed.count - listedFailures)) more, in run.json") }
    return lines
  }
}

/// What a person can do about a kind of error. Messages of the shipped plugins mostly say it themselves; this adds what only the whole tells.
enum Advice {
  /// nil where the kind of error does not tell.
  static func text(errorType: String, status: TaskStatus) -> String? {
    switch errorType {
    case "bad-input": "correct the task's `input` in the definition, or the `--param` that it uses"
    case "not-found": "check the name or path in the task's `input`, and that what it names exists on this machine"
    case "permission-denied", "not-executable": "run as a user who may use it, or change its permissions"
    case "too-large": "give a smaller input, or split it over more tasks"
    case "not-started": "lower `--slots`, or raise the limits on processes and open files (`ulimit -u`, `ulimit -n`)"
    case "no-memory", "out-of-memory": "lower `--slots`, or give the process more memory"
    case "no-space": "free space on the disk that the message names"
    case "start-to-close", "timed-out": "raise `startToClose`, or give the handler less to do per task"
    case "schedule-to-start": "raise `scheduleToStart`, or `--slots`: the task waited too long for its start"
    case "schedule-to-close": "raise `scheduleToClose`, or lower the waits of `retry`"
    case "heartbeat": "the handler stopped reporting: raise `heartbeat`, or see why it hangs"
    default: status == .timedOut ? "raise the timeout that the message names, or give the handler less to do per task" : nil
    }
  }
}
