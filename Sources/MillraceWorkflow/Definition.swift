/// A workflow as its author wrote it, checked or not: tasks, their order, their policies. A value; nothing runs here.
///
/// Comes from YAML or JSON (`DefinitionReader`), from a recorded trace (`WfFormat`), or from Swift (`Definition.init` and `task(...)`).
public struct Definition: Sendable, Hashable {
  /// Version of the format; this release reads 1.
  public static let format = 1
  /// Most tasks of a definition.
  public static let maximumTasks = 1_000_000
  /// Most dependencies of all tasks together.
  public static let maximumEdges = 16_000_000
  /// Longest input of a task, bytes of JSON text: 16 MiB.
  public static let maximumInputBytes = 16 << 20
  /// What `version` may be.
  public static let versions = 1...1_000_000_000

  /// What its tasks are to each other.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Work that is done, or fails.
    case workflow
    /// Steps that are undone if one of them fails: see docs/sagas.md.
    case saga
  }

  /// `[A-Za-z0-9._-]{1,128}`. Runs with a limit and no key of their own count together by it.
  public var name: String
  /// A workflow, or a saga, whose `tasks` are its steps.
  public var kind = Kind.workflow
  /// For people, of any length; empty: none.
  public var description: String
  /// Counts up with each change, 1 ... 1,000,000,000; nil: its author does not number it.
  public var version: Int?
  /// What a new version means for runs that go on.
  public var versionPolicy: VersionPolicy
  /// What a start must or may give, each name once; `${params.NAME}` stands for its value.
  public var parameters: [Parameter]
  /// What the uses of templates were given, in an order in which each needs only those before it; empty but for definitions from files with templates.
  public internal(set) var arguments: [Argument] = []
  /// What holds for a task whose own policy leaves it open.
  public var defaults: Policy
  /// Cleanup tasks run whatever it says.
  public var onFailure: OnFailure
  /// Id of the task whose output is the workflow's result; nil: the run has no result of its own.
  public var result: String?
  /// At least one; with the cleanup tasks at most `maximumTasks`. Their dependencies give the order, not their places.
  public var tasks: [TaskDefinition]
  /// Tasks that run when all others have ended, whatever became of these.
  public var cleanup: [TaskDefinition]
  /// When runs start by themselves, once an engine or a server is asked to follow it; nil: they are started by somebody.
  public var schedule: Schedule?
  /// Which messages start runs by themselves, once an engine is asked to consume them; nil: none.
  public var onMessage: MessageTrigger?
  /// How many runs go on at once; nil: any number.
  public var concurrency: RunConcurrency?
  /// Where the records of a run are kept while it goes on.
  public var durability: Durability
  /// Makespan that an imported trace recorded, seconds; nil if this is no import.
  public var recordedMakespanSeconds: Double?

  /// Without arguments a workflow without tasks: `task(...)` adds them. Nothing is checked here: `DefinitionChecker.check` does that.
  public init(
    _ name: String, description: String = "", parameters: [Parameter] = [], defaults: Policy = Policy(), onFailure: OnFailure = .failFast,
    result: String? = nil, schedule: Schedule? = nil, tasks: [TaskDefinition] = [], cleanup: [TaskDefinition] = [],
    recordedMakespanSeconds: Double? = nil, version: Int? = nil, versionPolicy: VersionPolicy = .pinned, concurrency: RunConcurrency? = nil,
    durability: Durability = .none
  ) {
    self.name = name
    self.description = description
    self.version = version
    self.versionPolicy = versionPolicy
    self.parameters = parameters
    self.defaults = defaults
    self.onFailure = onFailure
    self.result = result
    self.schedule = schedule
    self.concurrency = concurrency
    self.durability = durability
    self.tasks = tasks
    self.cleanup = cleanup
    self.recordedMakespanSeconds = recordedMakespanSeconds
  }

  /// What a failed task does to the others.
  public enum OnFailure: String, Sendable, Hashable, CaseIterable {
    /// Nothing new starts, running tasks are asked to stop.
    case failFast = "fail_fast"
    /// Dependents of the failed task are skipped, all else goes on.
    case `continue` = "continue"
  }
}

/// One task of a definition. 88 bytes beside the texts, so that a million tasks stay small.
public struct TaskDefinition: Sendable, Hashable {
  /// `[A-Za-z0-9._-]{1,128}`, unique within the definition.
  public var id: String
  /// `plugin/handler`, or the name under which an embedding program registered a function; empty where the task has none, as one that waits.
  public var handler: String
  /// Ids of the tasks that must be completed, or skipped by their own condition, first; their outputs are this task's inputs, in this order.
  public var dependencies: [String]
  /// Input 0 of the handler: JSON whose texts may hold expressions, `${...}`.
  public var input: JSON
  /// What differs from the workflow's defaults.
  public var policy: Policy {
    get { deviation?.fields.policy ?? Policy() }
    set { change { $0.policy = newValue } }
  }
  /// `${...}`: the task is skipped if this is false when it would begin; nil: it is never skipped by itself.
  public var condition: String? {
    get { deviation?.fields.condition }
    set { change { $0.condition = newValue } }
  }
  /// The handler is called, or the workflow run, for each of these, with `item` and `index` in its input, and the output is the list of what it gives; nil: once.
  public var foreach: Foreach? {
    get { deviation?.fields.foreach }
    set { change { $0.foreach = newValue } }
  }
  /// Items of `foreach` in progress at once; nil: as many as there are slots, and 1,024 more that wait or run workflows.
  public var parallelism: Int? {
    get { deviation?.fields.parallelism }
    set { change { $0.parallelism = newValue } }
  }
  /// Variables that the handler is given, and nobody else sees: the only place for secrets.
  public var environment: [EnvironmentVariable] {
    get { deviation?.fields.environment ?? [] }
    set { change { $0.environment = newValue } }
  }
  /// What the task waits for, in place of a handler; nil: it does not wait.
  public internal(set) var wait: Wait? {
    get { deviation?.fields.wait }
    set { change { $0.wait = newValue } }
  }
  /// The workflow that the task runs, in place of a handler; nil: none. Its parameters are the input.
  public internal(set) var child: ChildWorkflow? {
    get { deviation?.fields.child }
    set { change { $0.child = newValue } }
  }
  /// How the step of a saga is undone; nil: nothing is said of it, as for tasks of workflows, pivots and the steps after them.
  public var compensation: Compensation? {
    get { deviation?.fields.compensation }
    set { change { $0.compensation = newValue } }
  }
  /// The step of a saga is its pivot: once it is done, the saga only goes forward.
  public var isPivot: Bool {
    get { deviation?.fields.isPivot ?? false }
    set { change { $0.isPivot = newValue } }
  }
  /// Recorded duration of an imported task, seconds: what the critical-path order, the estimate and the bound start from.
  public var recordedSeconds: Double?

  /// The defaults: no dependencies, `null` as input 0, the workflow's policy, no condition, one call of the handler. Nothing is checked here.
  public init(
    _ id: String, handler: String, dependencies: [String] = [], input: JSON = .null, policy: Policy = Policy(), condition: String? = nil,
    environment: [EnvironmentVariable] = [], foreach: Foreach? = nil, parallelism: Int? = nil, recordedSeconds: Double? = nil
  ) {
    self.id = id
    self.handler = handler
    self.dependencies = dependencies
    self.input = input
    self.recordedSeconds = recordedSeconds
    if policy != Policy() { self.policy = policy }
    if condition != nil { self.condition = condition }
    if !environment.isEmpty { self.environment = environment }
    if foreach != nil { self.foreach = foreach }
    if parallelism != nil { self.parallelism = parallelism }
  }

  /// Whether the task has a policy, a condition or anything else that few have; cheaper than a look at these.
  public var isSpecial: Bool { deviation != nil }

  /// The input's expressions, once the parameters are in place; nil: `input` is what the handler gets.
  var inputProgram: InputProgram? {
    get { deviation?.fields.inputProgram }
    set { change { $0.inputProgram = newValue } }
  }

  /// nil for the many tasks that have none of it.
  private var deviation: Deviation?

  private mutating func change(_ body: (inout Deviation.Fields) -> Void) {
    var fields = deviation?.fields ?? Deviation.Fields()
    body(&fields)
    deviation = fields == Deviation.Fields() ? nil : Deviation(fields)
  }

  /// What few tasks have, out of line: it is twice as large as the rest of a task. Never changed, so that copies may share it.
  private final class Deviation: Sendable, Hashable {
    struct Fields: Sendable, Hashable {
      var policy = Policy()
      var condition: String?
      var environment: [EnvironmentVariable] = []
      var foreach: Foreach?
      var parallelism: Int?
      var inputProgram: InputProgram?
      var wait: Wait?
      var child: ChildWorkflow?
      var compensation: Compensation?
      var isPivot = false
    }

    let fields: Fields

    init(_ fields: Fields) { self.fields = fields }

    static func == (a: Deviation, b: Deviation) -> Bool { a === b || a.fields == b.fields }

    func hash(into hasher: inout Hasher) { hasher.combine(fields) }
  }
}

/// How a task is treated. Every field may be left out: nil means "as the workflow's defaults say", and there "as the engine does".
public struct Policy: Sendable, Hashable {
  /// Smallest and largest `concurrencyLimit`.
  public static let concurrencyRange = 1...1_000_000
  /// Smallest and largest `concurrencyWeight`.
  public static let weightRange = 1...65_535

  /// nil here and in the defaults: normal.
  public var priority: Priority?
  /// `${...}` which gives the priority's name; instead of `priority`. Over the parameters alone it is settled when a run starts, with outputs and statuses
  /// of tasks that come before when the task is ready.
  public var priorityExpression: String?
  /// As a whole: what it leaves out is not taken from the defaults. nil here and in the defaults: one attempt.
  public var retry: RetryPolicy?
  /// Each by itself: one that is nil here is as the defaults say.
  public var timeouts: Timeouts
  /// Tasks with the same key share a limit on how many of them run at once.
  public var concurrencyKey: String?
  /// How many tasks with the same `concurrencyKey` may run at once, each counted with its weight; default 1.
  public var concurrencyLimit: Int?
  /// How much of the limit the task takes; default 1.
  public var concurrencyWeight: Int?
  /// How many attempts start in a time.
  public var rate: RateLimit?
  /// What keeps attempts from a destination that fails.
  public var breaker: BreakerPolicy?

  /// Without arguments all is left to the workflow's defaults. Ranges are not checked here: `DefinitionChecker.check` does that.
  public init(
    priority: Priority? = nil, retry: RetryPolicy? = nil, timeouts: Timeouts = Timeouts(), concurrencyKey: String? = nil,
    concurrencyLimit: Int? = nil, priorityExpression: String? = nil, concurrencyWeight: Int? = nil, rate: RateLimit? = nil,
    breaker: BreakerPolicy? = nil
  ) {
    self.priority = priority
    self.priorityExpression = priorityExpression
    self.retry = retry
    self.timeouts = timeouts
    self.concurrencyKey = concurrencyKey
    self.concurrencyLimit = concurrencyLimit
    self.concurrencyWeight = concurrencyWeight
    self.rate = rate
    self.breaker = breaker
  }
}

/// Order among ready tasks. Higher first, except that every 64th start of a worker takes the lowest level that has work.
public enum Priority: UInt8, Sendable, Hashable, CaseIterable, Comparable {
  /// After all others, but for every 64th start of a worker.
  case low
  /// Of tasks of which nothing says more.
  case normal
  /// Before the normal ones.
  case high
  /// Before all others.
  case critical

  /// `low`, `normal`, `high` or `critical`; nil for any other word.
  init?(word: String) {
    guard let priority = Priority.allCases.first(where: { "\($0)" == word }) else { return nil }
    self = priority
  }

  public static func < (a: Priority, b: Priority) -> Bool { a.rawValue < b.rawValue }
}

/// The four timeouts, nanoseconds, 1 ... ten years; nil: none. Schedule-to-start and start-to-close hold for each attempt, schedule-to-close for
/// all attempts with their waits, heartbeat for the longest gap between heartbeats of an attempt.
public struct Timeouts: Sendable, Hashable {
  /// From an attempt's being ready to its start. What is late is TIMED_OUT and not tried again.
  public var scheduleToStart: UInt64?
  /// From the start of an attempt to its end. An attempt that is late is repeated as `Policy.retry` says.
  public var startToClose: UInt64?
  /// From a task's being ready to the end of its last attempt. What is late is TIMED_OUT and not tried again.
  public var scheduleToClose: UInt64?
  /// The first gap begins with the attempt. One whose handler is silent for longer is repeated as `Policy.retry` says.
  public var heartbeat: UInt64?

  /// Without arguments there are none; inside of a `Policy` those of the defaults hold then.
  public init(scheduleToStart: UInt64? = nil, startToClose: UInt64? = nil, scheduleToClose: UInt64? = nil, heartbeat: UInt64? = nil) {
    self.scheduleToStart = scheduleToStart
    self.startToClose = startToClose
    self.scheduleToClose = scheduleToClose
    self.heartbeat = heartbeat
  }
}
