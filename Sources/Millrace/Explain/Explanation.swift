public import MillraceWorkflow

/// Why a task is where it is: the one reason that matters most, what shows it, and what would change it.
///
/// Of a run that goes on by `WorkflowHandle.explain`, of one that has ended by `RunRecord.explain`, as `millrace run explain` does.
public struct Explanation: Sendable, Hashable {
  /// What keeps a task, or ended it.
  public enum Reason: String, Sendable, Hashable, CaseIterable {
    /// It did its work.
    case completed
    /// Its own condition was false.
    case condition
    /// A task before it failed.
    case dependencyFailed = "dependency-failed"
    /// Its last attempt failed.
    case failed
    /// A timeout ended it.
    case timedOut = "timed-out"
    /// The run stopped because a task failed.
    case runFailed = "run-failed"
    /// The run was cancelled.
    case runCancelled = "run-cancelled"
    /// Its handler runs.
    case running
    /// It waits for a task before it.
    case dependency
    /// It is of the cleanup, and the other tasks have not ended.
    case cleanup
    /// It waits between two attempts.
    case retry
    /// Its next attempt is due, but code of one that timed out is still in its exclusive handler.
    case lateHandler = "late-handler"
    /// Its run has not begun: as many with its key go on as may.
    case runKey = "run-key"
    /// Its destination fails, and the breaker lets nobody through.
    case breaker
    /// As many attempts with its rate have started as may.
    case rate
    /// As many tasks with its concurrency key run as may.
    case concurrencyKey = "concurrency-key"
    /// Its handler has as many tasks as it takes.
    case handlerLimit = "handler-limit"
    /// All slots are taken.
    case slots
    /// Nothing keeps it: it is about to start.
    case starting
    /// The run is durable, and no process has it.
    case noProcess = "no-process"
    /// The run is durable, and in quarantine.
    case quarantine
    /// It is ready, and why it has not started only the process knows that has its run.
    case unrecorded
  }

  /// The definition's id of the task.
  public var task: String
  /// Where it is.
  public var status: TaskStatus
  /// The one that matters most.
  public var reason: Reason
  /// The reason in a sentence without a full stop, about the task: "waits for extract, which has been running for 12.3 s".
  public var summary: String
  /// What shows it, a line each; at most 12.
  public var evidence: [String]
  /// What would unblock it, or keep it from happening again; empty: nothing has to be done.
  public var remedy: String
  /// The task that it waits for in the end, or whose failure it suffers from; nil: itself.
  public var blockedBy: String?

  /// Lines for a terminal, each ended by a newline; texts of the run are escaped.
  public var text: String {
    let head = "\(TerminalText.escaped(task)) \(status.rawValue): \(TerminalText.escaped(summary))\n"
    let lines = evidence.map { "  \(TerminalText.escaped($0))\n" }.joined()
    return head + lines + (remedy.isEmpty ? "" : "  what to do: \(TerminalText.escaped(remedy))\n")
  }

  /// As one object: `task`, `status`, `reason`, `summary`, `evidence`, `remedy`, `blockedBy`.
  public var json: JSON {
    .object([
      .init("task", .string(task)),
      .init("status", .string(status.rawValue)),
      .init("reason", .string(reason.rawValue)),
      .init("summary", .string(summary)),
      .init("evidence", .array(evidence.map(JSON.string))),
      .init("remedy", .string(remedy)),
      .init("blockedBy", blockedBy.map(JSON.string) ?? .null),
    ])
  }
}

extension RunRecord {
  /// Why a task is where it is; nil: there is no such task. `moment`, of a run that goes on, tells more of what it waits for.
  ///
  /// Complexity: O(tasks + dependencies).
  public func explain(_ task: String, moment: RunMoment? = nil) -> Explanation? {
    guard let index = tasks.firstIndex(where: { $0.id == task }) else { return nil }
    return Explainer(self, moment).explain(index)
  }

  /// What holds up a run that goes on, or what went wrong in one that has ended: at most `limit` tasks, the most important first. Empty: every task was
  /// completed or skipped by its own condition.
  ///
  /// Complexity: O(n log n) in tasks, and O(tasks + dependencies) for each of them.
  public func explain(moment: RunMoment? = nil, limit: Int = 8) -> [Explanation] {
    let explainer = Explainer(self, moment)
    return explainer.chief(limit).map(explainer.explain)
  }
}

extension WorkflowHandle {
  /// Why a task of this run is where it is, now; nil: there is no such task. Complexity: O(tasks + dependencies of the run, tasks of all runs of the engine).
  public func explain(_ task: String) -> Explanation? { record().explain(task, moment: run.moment()) }

  /// What holds the run up, or what went wrong: at most 8 tasks, the most important first.
  public func explain() -> [Explanation] { record().explain(moment: run.moment()) }
}
