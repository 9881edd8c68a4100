/// A workflow as its author wrote it, checked or not: tasks, their order, their policies. A value; nothing runs here.
///
/// Comes from YAML or JSON (`DefinitionReader`), from a recorded trace (`WfFormat`), or from Swift (`Definition.init` and `task(...)`).
public struct Definition: Sendable, Hashable {
  /// Version of the format; this release reads 1.
  public static let format = 1

  public var name: String
  public var description: String
  public var parameters: [Parameter]
  public var defaults: Policy
  public var onFailure: OnFailure
  /// Id of the task whose output is the workflow's result; nil: the run has no result of its own.
  public var result: String?
  public var tasks: [TaskDefinition]

  public init(
    _ name: String, description: String = "", parameters: [Parameter] = [], defaults: Policy = Policy(), onFailure: OnFailure = .failFast,
    result: String? = nil, tasks: [TaskDefinition] = []
  ) {
    self.name = name
    self.description = description
    self.parameters = parameters
    self.defaults = defaults
    self.onFailure = onFailure
    self.result = result
    self.tasks = tasks
  }

  /// A value given at the start of a run, `--param name=value`, and used as `${params.name}`.
  public struct Parameter: Sendable, Hashable {
    public var name: String
    public var description: String
    /// nil: the parameter must be given.
    public var fallback: JSON?

    public init(_ name: String, description: String = "", fallback: JSON? = nil) {
      self.name = name
      self.description = description
      self.fallback = fallback
    }
  }

  /// What a failed task does to the others.
  public enum OnFailure: String, Sendable, Hashable, CaseIterable {
    /// Nothing new starts, running tasks are asked to stop.
    case failFast = "fail_fast"
    /// Dependents of the failed task are skipped, all else goes on.
    case `continue` = "continue"
  }
}

/// One task of a definition.
public struct TaskDefinition: Sendable, Hashable {
  /// `[A-Za-z0-9._-]{1,128}`, unique within the definition.
  public var id: String
  /// `plugin/handler`, or the name under which an embedding program registered a function.
  public var handler: String
  /// Ids of the tasks that must be completed first; their outputs are this task's inputs, in this order.
  public var dependencies: [String]
  /// Input 0 of the handler: JSON in which `${params.name}` has not been replaced yet.
  public var input: JSON
  /// What differs from the workflow's defaults.
  public var policy: Policy
  /// Recorded duration of an imported task, seconds: what the critical-path order, the estimate and the bound start from.
  public var recordedSeconds: Double?

  public init(
    _ id: String, handler: String, dependencies: [String] = [], input: JSON = .null, policy: Policy = Policy(), recordedSeconds: Double? = nil
  ) {
    self.id = id
    self.handler = handler
    self.dependencies = dependencies
    self.input = input
    self.policy = policy
    self.recordedSeconds = recordedSeconds
  }
}

/// How a task is treated. Every field may be left out: nil means "as the workflow's defaults say", and there "as the engine does".
public struct Policy: Sendable, Hashable {
  public var priority: Priority?
  public var retry: RetryPolicy?
  public var timeouts: Timeouts
  /// Tasks with the same key share a limit on how many of them run at once.
  public var concurrencyKey: String?
  /// How many tasks with the same `concurrencyKey` may run at once; default 1.
  public var concurrencyLimit: Int?

  public init(
    priority: Priority? = nil, retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts(), concurrencyKey: String? = nil,
    concurrencyLimit: Int? = nil
  ) {
    self.priority = priority
    self.retry = retry
    self.timeouts = timeouts
    self.concurrencyKey = concurrencyKey
    self.concurrencyLimit = concurrencyLimit
  }
}

/// Order among ready tasks. Higher first, except that every 64th start of a worker takes the lowest level that has work.
public enum Priority: UInt8, Sendable, Hashable, CaseIterable, Comparable {
  case low, normal, high, critical

  public static func < (a: Priority, b: Priority) -> Bool { a.rawValue < b.rawValue }
}

/// The four timeouts, nanoseconds; nil: none. SEMANTICS: schedule-to-start and start-to-close hold for each attempt, schedule-to-close for all
/// attempts with their waits, heartbeat for the longest gap between heartbeats of an attempt.
public struct Timeouts: Sendable, Hashable {
  public var scheduleToStart: UInt64?
  public var startToClose: UInt64?
  public var scheduleToClose: UInt64?
  public var heartbeat: UInt64?

  public init(scheduleToStart: UInt64? = nil, startToClose: UInt64? = nil, scheduleToClose: UInt64? = nil, heartbeat: UInt64? = nil) {
    self.scheduleToStart = scheduleToStart
    self.startToClose = startToClose
    self.scheduleToClose = scheduleToClose
    self.heartbeat = heartbeat
  }
}
