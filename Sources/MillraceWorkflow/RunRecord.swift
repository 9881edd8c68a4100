/// What happened in a run, as a value: the source of the report, the timeline, `run show` and the live view.
public struct RunRecord: Sendable {
  /// The run's id: a UUID, 36 characters.
  public var run: String
  /// Name of the definition.
  public var workflow: String
  /// The workflow's `version`; nil: its author does not number it.
  public var workflowVersion: Int?
  /// SHA-256 of the definition, without the parameters of the run (`Definition.sha256`); nil: not known.
  public var definitionSHA256: String?
  /// The builds of the plugins whose handlers the tasks name.
  public var plugins: [PluginBuild] = []
  /// As of the moment at which the record was made.
  public var status: WorkflowStatus
  /// Tasks that the engine may have in progress at once.
  public var slots: Int
  /// Worker threads of the engine; those of handlers that block come on top.
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
  /// Those of the definition in its order, then the cleanup, then the items that are listed.
  public var tasks: [TaskRecord]
  /// In the order in which they came, but for those that waited for their tasks.
  public var signals: [SignalRecord] = []

  /// What it does not take is as if not known: no version, no hash, no plugins, no signals.
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
  /// As handlers begin with it: `plugin/handler`.
  public var name: String
  /// The plugin's own version.
  public var version: String
  /// SHA-256 of its file, 64 hexadecimal digits.
  public var sha256: String

  /// `sha256`: 64 hexadecimal digits; not checked.
  public init(name: String, version: String, sha256: String) {
    self.name = name
    self.version = version
    self.sha256 = sha256
  }
}

/// One task of a run.
public struct TaskRecord: Sendable {
  /// Of the definition; of an item `TASK[INDEX]`.
  public var id: String
  /// `plugin/handler` or the name of a function; `wait`, `workflow` or `foreach HANDLER` for work that the run does itself.
  public var handler: String
  /// That it has or had in the queue, from the task, the defaults or an expression.
  public var priority: Priority
  /// That of the task as a whole: between two attempts it is `pending`.
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

  /// It holds no slot while it goes on: it waits, or runs a workflow.
  package var isHeld: Bool { wait != nil || !children.isEmpty || handler == ChildWork.word }

  /// Without items, wait, children and answer: these are set afterwards.
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
  /// Without the path to a child workflow's run: that run has its own record of it.
  public var name: String
  /// When it came, nanoseconds since the start of the run.
  public var time: UInt64
  /// Id of the task that took it; nil: none has.
  public var task: String?

  /// By default no task has taken it.
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
  /// `running`, or how it ended: `completed`, `failed`, `timedOut` or `cancelled`.
  public var status: TaskStatus
  /// Nanoseconds since the start of the run.
  public var start: UInt64
  /// nil while it runs.
  public var end: UInt64?
  /// Where it ran: worker threads 0 ..< threads, then threads of the blocking pool; `callerLane`.
  public var lane: Int
  /// Short word for the kind of error, empty if there was none.
  public var errorType: String
  /// What the handler or the engine said about the error, secrets left out; empty if there was none.
  public var message: String

  /// On the thread that awaited the run.
  public static let callerLane = Int(Int16.max)

  /// By default without an error.
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
  /// It has not begun: not started, or in line for its key.
  case created = "CREATED"
  /// It has begun, and some task is not over, those of the cleanup included.
  case running = "RUNNING"
  /// No task failed; some may have been skipped by their own conditions.
  case completed = "COMPLETED"
  /// A task failed or timed out, in the cleanup perhaps; or the run could not begin.
  case failed = "FAILED"
  /// It was stopped before all was done, or before it began.
  case cancelled = "CANCELLED"
}

/// The user's status words.
public enum TaskStatus: String, Sendable, Hashable, CaseIterable {
  /// It waits: for its dependencies, a slot, a key, a rate or the next attempt.
  case pending = "PENDING"
  /// Its handler works; or it waits itself, for a signal, a time, an answer, its items or a child workflow.
  case running = "RUNNING"
  /// Its handler succeeded; or what it waited for came, its items or its child workflow are done.
  case completed = "COMPLETED"
  /// Its last attempt failed, and there is no further one.
  case failed = "FAILED"
  /// Its condition was false, or a task before it failed; `TaskRecord.cause` tells the two apart.
  case skipped = "SKIPPED"
  /// The run stopped before it began, or while it ran.
  case cancelled = "CANCELLED"
  /// One of its timeouts passed, and there is no further attempt. Counts as failed.
  case timedOut = "TIMED_OUT"
}

/// A moment of a run, cheap enough to take many times a second at any number of tasks: counters only.
public struct Progress: Sendable, Hashable {
  /// CREATED while it waits in line; RUNNING until its cleanup has ended too.
  public var status: WorkflowStatus
  /// Tasks, those of the cleanup and items included.
  public var tasks: Int
  /// Of `tasks`, those that succeeded.
  public var completed: Int
  /// Of `tasks`, those that failed or timed out for good.
  public var failed: Int
  /// Of `tasks`, those skipped by a condition or because of a failure before them.
  public var skipped: Int
  /// Of `tasks`, those that were not run, or not to their end, because the run stopped.
  public var cancelled: Int
  /// Of `tasks`, those in progress now, with or without a slot.
  public var running: Int
  /// Those that have begun, of all tasks together.
  public var attempts: Int
  /// Nanoseconds since the start of the run.
  public var elapsed: UInt64
  /// Nanoseconds still to go, from what has been measured; nil until there is something to estimate from.
  public var estimatedRemaining: UInt64?
  /// What a run that is CREATED waits for.
  public var waitsFor: RunWait?
  /// What running tasks have done by the words of their handlers' heartbeats, thousandths of a task: 500 for two that are at a quarter.
  public var perMille: Int

  /// The numbers are taken as they are: nothing makes them agree.
  public init(
    status: WorkflowStatus, tasks: Int, completed: Int, failed: Int, skipped: Int, cancelled: Int, running: Int, attempts: Int,
    elapsed: UInt64,
    estimatedRemaining: UInt64?, waitsFor: RunWait? = nil, perMille: Int = 0
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
    self.perMille = perMille
  }

  /// Tasks that will not change any more.
  public var finished: Int { completed + failed + skipped + cancelled }

  /// The part of the tasks that is done, from 0 to 1, with what running ones say of themselves; 1 only when all have finished.
  public var share: Double {
    if tasks == 0 { return 0 }
    if finished >= tasks { return 1 }
    return min(0.999, (Double(finished) + Double(perMille) / 1000) / Double(tasks))
  }
}

/// A task that runs.
public struct RunningTask: Sendable, Hashable {
  /// Of an item `TASK[INDEX]`.
  public var id: String
  /// How much of it is done, by the last heartbeat that said so, per mille; nil: none has.
  public var perMille: Int?

  /// The values are taken as they are.
  public init(id: String, perMille: Int? = nil) {
    self.id = id
    self.perMille = perMille
  }
}
