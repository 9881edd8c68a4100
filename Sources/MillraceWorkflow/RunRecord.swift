/// What happened in a run, as a value: the source of the report, the timeline, `run show` and the live view.
public struct RunRecord: Sendable {
  public var run: String
  public var workflow: String
  /// The workflow's `version`; nil: its author does not number it.
  public var workflowVersion: Int?
  /// SHA-256 of the definition, without the parameters of the run (`Definition.sha256`); nil: not known.
  public var definitionSHA256: String?
  /// The builds of the plugins whose handlers the tasks name.
  public var plugins: [PluginBuild] = []
  public var status: WorkflowStatus
  public var slots: Int
  public var threads: Int
  /// `fifo`, `deadline` or `critical-path`.
  public var order: String
  /// Wall time of the start, nanoseconds since 1970 UTC. All other times are nanoseconds since the start of the run.
  public var startedWall: Int64
  /// Length of the run so far, nanoseconds.
  public var elapsed: UInt64
  /// Makespan that the imported trace recorded, seconds; nil if the workflow is not an import.
  public var recordedMakespanSeconds: Double?
  /// Whose work it was.
  public var tenant: String
  /// Why it was cancelled, or did not begin, if that was not its caller's wish.
  public var reason: String?
  public var tasks: [TaskRecord]
  /// In the order in which they came, but for those that waited for their tasks.
  public var signals: [SignalRecord] = []

  public init(
    run: String, workflow: String, status: WorkflowStatus, slots: Int, threads: Int, order: String, startedWall: Int64, elapsed: UInt64,
    recordedMakespanSeconds: Double? = nil, tenant: String = RunTenant.standard.name, reason: String? = nil, tasks: [TaskRecord]
  ) {
    self.run = run
    self.workflow = workflow
    self.status = status
    self.slots = slots
    self.threads = threads
    self.order = order
    self.startedWall = startedWall
    self.elapsed = elapsed
    self.recordedMakespanSeconds = recordedMakespanSeconds
    self.tenant = tenant
    self.reason = reason
    self.tasks = tasks
  }
}

/// A build of a plugin.
public struct PluginBuild: Sendable, Hashable {
  public var name: String
  /// The plugin's own version.
  public var version: String
  /// SHA-256 of its file, 64 hexadecimal digits.
  public var sha256: String

  public init(name: String, version: String, sha256: String) {
    self.name = name
    self.version = version
    self.sha256 = sha256
  }
}

/// One task of a run.
public struct TaskRecord: Sendable {
  public var id: String
  public var handler: String
  public var priority: Priority
  public var status: TaskStatus
  /// Indices into `RunRecord.tasks`.
  public var dependencies: [Int]
  /// When all dependencies were satisfied, nanoseconds since the start of the run; nil while they are not.
  public var ready: UInt64?
  /// In order; empty if the task never started.
  public var attempts: [AttemptRecord]
  /// For a skipped task: id of the task whose failure caused it.
  public var cause: String?
  /// Bytes of the output.
  public var outputBytes: UInt64
  /// Of a task with `foreach` that has begun.
  public var items: ItemsRecord?
  /// What a task without a handler waits for, as the definition says it.
  public var wait: Wait?
  /// The runs of a task that runs a workflow, one for each attempt that started one.
  public var children: [RunRecord] = []
  /// Who said what to its question; when is the end of its last attempt.
  public var answer: Answer?

  public init(
    id: String, handler: String, priority: Priority, status: TaskStatus, dependencies: [Int], ready: UInt64?, attempts: [AttemptRecord],
    cause: String? = nil, outputBytes: UInt64 = 0
  ) {
    self.id = id
    self.handler = handler
    self.priority = priority
    self.status = status
    self.dependencies = dependencies
    self.ready = ready
    self.attempts = attempts
    self.cause = cause
    self.outputBytes = outputBytes
  }
}

/// A signal that a run was sent.
public struct SignalRecord: Sendable, Hashable {
  public var name: String
  /// When it came, nanoseconds since the start of the run.
  public var time: UInt64
  /// Id of the task that took it; nil: none has.
  public var task: String?

  public init(name: String, time: UInt64, task: String? = nil) {
    self.name = name
    self.time = time
    self.task = task
  }
}

/// One attempt of a task. Results and errors of every attempt are kept.
public struct AttemptRecord: Sendable {
  /// From 1.
  public var number: Int
  public var status: TaskStatus
  /// Nanoseconds since the start of the run.
  public var start: UInt64
  /// nil while it runs.
  public var end: UInt64?
  /// Where it ran: worker threads 0 ..< threads, then threads of the blocking pool; `callerLane`.
  public var lane: Int
  /// Short word for the kind of error, empty if there was none.
  public var errorType: String
  public var message: String

  /// On the thread that awaited the run.
  public static let callerLane = Int(Int16.max)

  public init(number: Int, status: TaskStatus, start: UInt64, end: UInt64?, lane: Int, errorType: String = "", message: String = "") {
    self.number = number
    self.status = status
    self.start = start
    self.end = end
    self.lane = lane
    self.errorType = errorType
    self.message = message
  }
}

/// The user's status words.
public enum WorkflowStatus: String, Sendable, Hashable, CaseIterable {
  case created = "CREATED"
  case running = "RUNNING"
  case completed = "COMPLETED"
  case failed = "FAILED"
  case cancelled = "CANCELLED"
}

/// The user's status words.
public enum TaskStatus: String, Sendable, Hashable, CaseIterable {
  case pending = "PENDING"
  case running = "RUNNING"
  case completed = "COMPLETED"
  case failed = "FAILED"
  case skipped = "SKIPPED"
  case cancelled = "CANCELLED"
  case timedOut = "TIMED_OUT"
}

/// A moment of a run, cheap enough to take many times a second at any number of tasks: counters only.
public struct Progress: Sendable, Hashable {
  public var status: WorkflowStatus
  public var tasks: Int
  public var completed: Int
  public var failed: Int
  public var skipped: Int
  public var cancelled: Int
  public var running: Int
  public var attempts: Int
  /// Nanoseconds since the start of the run.
  public var elapsed: UInt64
  /// Nanoseconds still to go, from what has been measured; nil until there is something to estimate from.
  public var estimatedRemaining: UInt64?
  /// What a run that is CREATED waits for.
  public var waitsFor: RunWait?

  public init(
    status: WorkflowStatus, tasks: Int, completed: Int, failed: Int, skipped: Int, cancelled: Int, running: Int, attempts: Int,
    elapsed: UInt64,
    estimatedRemaining: UInt64?, waitsFor: RunWait? = nil
  ) {
    self.status = status
    self.tasks = tasks
    self.completed = completed
    self.failed = failed
    self.skipped = skipped
    self.cancelled = cancelled
    self.running = running
    self.attempts = attempts
    self.elapsed = elapsed
    self.estimatedRemaining = estimatedRemaining
    self.waitsFor = waitsFor
  }

  /// Tasks that will not change any more.
  public var finished: Int { completed + failed + skipped + cancelled }
}
