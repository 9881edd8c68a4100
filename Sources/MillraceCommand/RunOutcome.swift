internal import Glibc
internal import Millrace

/// How a run ended, and how that is told.
struct RunOutcome {
  var record: RunRecord
  /// Output of the definition's `result` task.
  var result: JSON?
  var trace: Trace?
  /// The signal that ended it.
  var signal: Int32?
  /// The command that goes on with it; nil: it is over, or is not recorded.
  var resumption: String?

  /// Graham's bound, seconds: for the recorded durations of a trace, else for the measured ones.
  var bound: Double { trace?.bound(record) ?? Bound.graham(of: record).bound }

  var exit: Exit {
    if let signal { return Signals.exit(after: signal) }
    if resumption != nil { return .tryAgain }
    switch record.status {
    case .completed: return .done
    case .cancelled: return .stopped
    case .created, .running, .failed:
      let hasFailed = record.tasks.contains { $0.status == .failed }
      let hasTimedOut = record.tasks.contains { $0.status == .timedOut }
      return hasTimedOut && !hasFailed ? .stopped : .failed
    }
  }

  /// As JSON: one object. As text: the result's tables, then the run in words.
  func print(_ format: Output.Format) throws(Refusal) {
    let bound = bound
    var words = RunSummary.text(record)
    if let trace, record.status == .completed {
      words += RunSummary.comparison(record, bound: bound, timeScale: trace.timeScale, machines: trace.machines(record))
    }
    switch format {
    case .json:
      if exit != .done { Output.aside(words) }
      try Output.result(RunSummary.json(record, bound: bound))
    case .text:
      let tables = result.map { ResultTables.text($0, width: Output.width) + "\n" } ?? ""
      try Output.result(tables + words)
    }
    if let resumption {
      let why = signal == nil ? record.reason.map { " (\($0))" } ?? "" : signal == SIGINT ? ", interrupted" : ", stopped by a signal"
      Output.note(
        "\(record.count(.completed)) of \(record.taskCount) tasks completed\(why); run \(record.run) goes on with: \(resumption)")
    } else if let signal {
      let count = { (status: TaskStatus) in record.count(status) }
      let name = signal == SIGINT ? "interrupted" : "stopped by a signal"
      Output.note(
        "\(name): \(count(.completed)) of \(record.taskCount) tasks completed, \(count(.cancelled)) cancelled, \(count(.failed) + count(.timedOut)) failed"
      )
    }
  }
}

extension JSON {
  /// The value with all its texts, names of members included, changed. Recursive; texts of JSON are bounded in depth.
  func mapTexts(_ change: (String) -> String) -> JSON {
    switch self {
    case .string(let text): .string(change(text))
    case .array(let elements): .array(elements.map { $0.mapTexts(change) })
    case .object(let members): .object(members.map { JSON.Member(change($0.name), $0.value.mapTexts(change)) })
    default: self
    }
  }
}
