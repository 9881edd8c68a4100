internal import CMillrace
public import MillraceCore
public import MillracePlugins
public import MillraceWorkflow

/// Why an engine could not be had, or a handler not be registered.
public enum EngineError: Error, CustomStringConvertible {
  case runtime(RuntimeError)
  case plugins(PluginError)
  case badHandlerName(String)
  case duplicateHandler(String)
  case tooManyHandlers(limit: Int)
  case tooManySchedules(limit: Int)
  case noSchedule(String)
  case stopped
  /// `version` nil: no version of that name is deployed.
  case unknownWorkflow(String, version: Int?)
  /// It is deployed already, or no number from 1 on.
  case badVersion(workflow: String, version: Int)
  case tooManyWorkflows(limit: Int)
  /// A workflow was prepared by one engine and started on another.
  case preparedElsewhere
  case badTenant(String, weight: Int)
  case tooManyTenants(limit: Int)
  case unknownTenant(String, known: [String])

  public var description: String {
    switch self {
    case .runtime(let error): "\(error)"
    case .plugins(let error): "\(error)"
    case .badHandlerName(let name):
      "\"\(name)\" cannot be the name of a handler: use a-z, 0-9 and -, at most 127 of them, with one / between plugin and handler if it is to have one"
    case .duplicateHandler(let name): "a handler called \(name) is registered already: names are unique in an engine"
    case .tooManyHandlers(let limit): "\(limit) handlers are registered, the most an engine has"
    case .tooManySchedules(let limit): "\(limit) schedules are followed, the most an engine does"
    case .noSchedule(let name): "\(name) has no schedule: set its `schedule`, or add `schedule:` to the file"
    case .unknownWorkflow(let name, let version):
      "no workflow is deployed as \(name)" + (version.map { " in version \($0)" } ?? "") + ": deploy it first"
    case .badVersion(let workflow, let version):
      "version \(version) of \(workflow) cannot be deployed: \(version < 1 ? "versions begin with 1" : "it is already, and does not change")"
    case .tooManyWorkflows(let limit): "\(limit) workflows are deployed, the most an engine keeps"
    case .stopped: "the engine has been shut down"
    case .badTenant(let name, let weight):
      "the tenant \"\(name)\" of weight \(weight): a name has 1 to 128 of A-Z a-z 0-9 . _ and -, a weight is 1 to \(Tenants.maximumWeight)"
    case .tooManyTenants(let limit): "more than \(limit) tenants, the most an engine has"
    case .unknownTenant(let name, let known):
      "no tenant is called \"\(name)\": the engine's are \(known.prefix(20).joined(separator: ", "))"
        + (known.count > 20 ? " and \(known.count - 20) more" : "") + "; name it in Engine.Configuration.tenants"
    case .preparedElsewhere: "the workflow was prepared by another engine: prepare it with the one that shall run it"
    }
  }
}

/// The workflow core inside a program: handlers, the threads they run on, and the runs.
///
///     let engine = try Engine()
///     try engine.register("greet") { call in .text("hello \(call.input["name"]?.string ?? "you")") }
///     var workflow = Definition("greetings")
///     workflow.task("hello", handler: "greet", input: ["name": "world"])
///     let run = try engine.start(workflow)
///     _ = await run.finished()
///
/// All methods may be called from any thread.
@safe public final class Engine: Sendable, HandlerRegistry {
  public static let version = "0.1.0"

  /// Order of ready tasks within one priority.
  public typealias Order = TaskOrder

  /// How loud a line of the log is.
  public enum LogLevel: UInt32, Sendable, CaseIterable {
    case debug, notice, warning, error
  }

  public struct Configuration: Sendable {
    /// Tasks in progress at once, 1 ... 16,777,216; nil: the processors granted.
    public var slots: Int?
    /// Worker threads, 1 ... 56; nil: the processors granted.
    public var threads: Int?
    public var order = Order.fifo
    public var wait = WaitPolicy.adaptive
    /// Whose work it is, name to weight, 1 ... 1,000: while several have tasks of one priority ready, each gets starts by its weight. Names are `[A-Za-z0-9._-]{1,128}`; "default",
    /// of weight 1 if it is not here, has the runs that name no tenant. 1,024 at most.
    public var tenants: [String: Int] = [:]
    /// Where plugins are looked for; nil: none are loaded.
    public var plugins: PluginSearch?
    /// What plugins read through `setting`, by full name, as `replay.mode`.
    public var settings: [String: String] = [:]
    /// Where the secrets come from that definitions name in `env`; nil: there are none.
    public var secrets: SecretSource?
    /// Seed of the retry waits; nil: drawn.
    public var seed: UInt64?
    /// Unfinished tasks of all runs at once. Default: 2^22, or what a quarter of the memory granted holds, `taskBytes` each.
    public var capacity = Machine.read().room(forEach: taskBytes, most: 1 << 22)
    /// What a task of a run takes, bytes, with ids and inputs of a few dozen: docs/engine.md has the sum.
    public static let taskBytes = 512
    /// Threads for handlers that block, at most; nil: as many as slots, 256 at most.
    public var blockingThreads: Int?
    /// A handler that runs for longer is reported to `stalled`, nanoseconds; 0: never.
    public var stallAfter: UInt64 = 10_000_000_000
    public var log: (@Sendable (LogLevel, String) -> Void)?
    public var stalled: (@Sendable (String) -> Void)?
    /// What schedules are followed by, and waits for a time end by, nanoseconds since 1970 in UTC; nil: the system's clock. For tests.
    public var wallClock: (@Sendable () -> Int64)?

    public init() {}
  }

  public let slots: Int
  public let threads: Int
  let order: Order
  private let seed: UInt64
  private let secrets: SecretSource?
  private let host: TaskHost
  private let runtime: Runtime
  private let hooks: HooksBox
  let state: EngineState
  let registry = WorkflowRegistry()
  let tenants: Tenants
  let book = ScheduleBook()
  let wallClock: @Sendable () -> Int64

  /// Loads the plugins and starts the threads. A plugin file that is refused is no error: see `pluginProblems`. Throws `EngineError`.
  public init(_ configuration: Configuration = Configuration()) throws(EngineError) {
    let log = configuration.log
    host = TaskHost(version: Engine.version, settings: configuration.settings) { level, line in
      log?(LogLevel(rawValue: level) ?? .error, line)
    }
    let slots = configuration.slots ?? configuration.threads ?? Machine.read().cpusGranted
    var runtimeConfiguration = RuntimeConfiguration(
      slots: slots, threads: configuration.threads, capacity: configuration.capacity, ordered: configuration.order != .fifo,
      wait: configuration.wait, blockingThreads: configuration.blockingThreads, stallAfter: configuration.stallAfter)
    tenants = try Tenants(configuration.tenants)
    runtimeConfiguration.scheduler.tenants = tenants.count
    hooks = HooksBox(host: host, book: book, stalled: configuration.stalled)
    do {
      // unsafe: the box outlives the runtime: both are this engine's.
      runtime = unsafe try Runtime(
        runtimeConfiguration,
        hooks: unsafe RuntimeHooks(
          context: Unmanaged.passUnretained(hooks).toOpaque(),
          timer: { context, value, kind, _ in unsafe HooksBox.from(context).timer(value, kind) },
          stall: { context, lane, job, nanoseconds in unsafe HooksBox.from(context).stall(lane, job, nanoseconds) }))
      host.connect(runtime.scheduler, timers: runtime.timers, sharedShard: runtime.sharedTimerShard)
      self.slots = slots
      threads = runtimeConfiguration.scheduler.workers
      order = configuration.order
      secrets = configuration.secrets
      var system = SystemRandomNumberGenerator()
      seed = configuration.seed ?? system.next()
      state = EngineState(host: host)
      wallClock = configuration.wallClock ?? { millrace_wall() }
      host.wall = wallClock
      host.children = self
      book.connect(runtime.scheduler, runtime.timers, shard: runtime.sharedTimerShard)
      tenants.setWeights(runtime.scheduler)
      try runtime.start()
    } catch {
      throw .runtime(error)
    }
    if let search = configuration.plugins {
      do {
        try state.load(search, runtime.scheduler)
      } catch {
        runtime.stop()
        throw error
      }
    }
    book.serve(self)
  }

  deinit { shutdown() }

  // MARK: Handlers

  /// Names of all handlers, of plugins and registered ones: what `DefinitionReader` checks against.
  public var handlerNames: Set<String> { state.handlerNames }
  /// What the inputs of handlers may be, where their plugin or their program says so.
  public var inputSchemas: [String: InputSchema] { state.schemas }
  /// Handlers whose schema is none, and why: their inputs are not checked.
  public var schemaProblems: [(handler: String, reason: String)] { state.schemaProblems }
  /// Reads files and checks them against the handlers of this engine.
  public var reader: DefinitionReader { DefinitionReader(handlers: handlerNames, schemas: inputSchemas, workflows: workflows) }
  public var plugins: [LoadedPlugin] { state.plugins }
  /// Files that were found but refused, and why.
  public var pluginProblems: [PluginError] { state.problems }

  public func add(_ handler: RegisteredHandler) throws(EngineError) { try state.register(handler, runtime.scheduler) }

  // MARK: Runs

  /// Runs that wait for others with their key.
  public var waitingRuns: Int { host.waitingRuns }

  /// A text without the values of secrets that runs of this engine have used: each is `***`. What handlers log, and how they fail, has been
  /// through this.
  public func redact(_ text: String) -> String { host.redact(text) }

  /// Checks and starts a workflow. Throws `DefinitionError` (every fault of the definition), `SecretError`, `CompileError`, `SubmitError`, `RunLineFull` or
  /// `EngineError`.
  ///
  /// A workflow that says how many of its runs go on at once (`concurrency`) may have to wait: its handle is CREATED until then, and tells what it waits for. `tenant`: one
  /// of `Configuration.tenants`; nil: "default".
  public func start(_ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil) throws -> WorkflowHandle {
    let handlers = try state.handlers()
    _ = try DefinitionChecker(handlers: Set(handlers.keys), schemas: state.schemas, workflows: workflows).check(definition)
    return try startChecked(definition, parameters: parameters, handlers, tenant: tenant)
  }

  /// Starts a workflow that `DefinitionReader` has checked against this engine's handlers. Throws as `start`.
  public func start(_ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:], tenant: String? = nil) throws -> WorkflowHandle {
    try startChecked(reading.definition, parameters: parameters, try state.handlers(), tenant: tenant)
  }

  func handlerTable() throws(EngineError) -> [String: TaskHandler] { try state.handlers() }

  /// Checks and compiles a workflow once, for any number of runs with the same parameters. Throws as `start`, but no `SubmitError`.
  public func prepare(_ definition: Definition, parameters: [String: JSON] = [:]) throws -> PreparedWorkflow {
    let handlers = try state.handlers()
    _ = try DefinitionChecker(handlers: Set(handlers.keys), schemas: state.schemas, workflows: workflows).check(definition)
    return try compile(definition, parameters: parameters, handlers)
  }

  /// The same of a workflow that `DefinitionReader` has checked against this engine's handlers.
  public func prepare(_ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:]) throws -> PreparedWorkflow {
    try compile(reading.definition, parameters: parameters, try state.handlers())
  }

  /// Starts a run of a prepared workflow. Throws `CompileError.memory`, `SubmitError`, `RunLineFull` or `EngineError`.
  public func start(_ workflow: PreparedWorkflow, tenant: String? = nil) throws -> WorkflowHandle {
    guard workflow.state === state else { throw EngineError.preparedElsewhere }
    if state.isStopped { throw EngineError.stopped }
    return try run(workflow, tenant: tenants.find(tenant))
  }

  func compile(_ definition: Definition, parameters: [String: JSON], _ handlers: [String: TaskHandler]) throws -> PreparedWorkflow {
    let compiled = try CompiledWorkflow(
      definition.resolve(parameters: parameters), handlers: handlers, held: host.heldIndex, order: order, keys: host.keys)
    return PreparedWorkflow(compiled: compiled, source: DefinitionSource(definition), state: state)
  }

  func startChecked(_ definition: Definition, parameters: [String: JSON], _ handlers: [String: TaskHandler], tenant: String?) throws
    -> WorkflowHandle
  {
    let tenant = try tenants.find(tenant)
    return try run(compile(definition, parameters: parameters, handlers), tenant: tenant)
  }

  private func run(_ workflow: PreparedWorkflow, tenant: RunTenant) throws -> WorkflowHandle {
    let end = RunEnd()
    let run = try makeRun(workflow.compiled, tenant: tenant, depth: 0) { _ in end.fire() }
    try run.start()
    return WorkflowHandle(run, of: workflow.source, end: end, engine: self)
  }

  /// A run that has not been started.
  func makeRun(_ compiled: CompiledWorkflow, tenant: RunTenant, depth: Int, ended: @escaping WorkflowRun.Ended) throws -> WorkflowRun {
    var random = SystemRandomNumberGenerator()
    let wall = millrace_wall()
    // Runs that fail together must not come back together: each has waits of its own.
    var seeds = SeededRandom(seed: seed &+ state.nextRun())
    var values: [String: [UInt8]] = [:]
    for (name, task) in compiled.secrets {
      guard let secrets else { throw SecretError.noSource(name: name, task: task) }
      values[name] = try secrets.value(name, for: task)
    }
    return try WorkflowRun(
      compiled, id: RunID(wall: wall, random: &random), wall: wall, seed: seeds.next(), host: host, secrets: values, tenant: tenant,
      depth: depth, ended: ended)
  }

  /// Stops gracefully: follows no schedule and takes no more runs (`start` throws `EngineError.stopped`), lets those that go on end, and the
  /// asynchronous handlers with them, for at most `timeout`; then shuts down. True: all had ended by then. Not from a handler, which it would wait for.
  @discardableResult
  public func drain(timeout: Duration) async -> Bool {
    state.close()
    book.stop()
    return await withCheckedContinuation { continuation in
      let isApart = OwnThread.run { [self] in
        let (deadline, overflow) = millrace_monotonic().addingReportingOverflow(UInt64(clamping: timeout))
        let isIdle = host.waitUntilIdle(until: overflow ? .max : deadline)
        shutdown()
        continuation.resume(returning: isIdle)
      }
      if !isApart {
        host.report("the engine could not be drained: no thread to be had; it is shut down at once")
        shutdown()
        continuation.resume(returning: false)
      }
    }
  }

  /// Stops: takes no more work, cancels the runs that go on, waits for their cleanup tasks and for handlers that run, ends the threads and
  /// unloads the plugins. Unfinished runs are CANCELLED then. Any number of times; later calls return at once. Letting go of the engine does the
  /// same.
  ///
  /// On a thread of the engine, as in a handler, it returns at once, and the rest happens on a thread of its own when the handler has returned.
  public func shutdown() {
    guard state.stop() else { return }
    book.stop()
    let ending = Ending(runtime: runtime, host: host, state: state, hooks: hooks)
    if !runtime.isOwnThread { return ending.run() }
    if !ending.runApart() { hooks.host.report("the engine could not be shut down from its own thread: no thread to be had") }
  }

  /// What is to be stopped, apart from the engine, which may be gone by then.
  private final class Ending: Sendable {
    private let runtime: Runtime
    private let host: TaskHost
    private let state: EngineState
    /// Called back until the runtime has stopped.
    private let hooks: HooksBox

    init(runtime: Runtime, host: TaskHost, state: EngineState, hooks: HooksBox) {
      self.runtime = runtime
      self.host = host
      self.state = state
      self.hooks = hooks
    }

    func run() {
      // Those that wait for their turn first, or they would begin when the others end.
      let runs = host.activeRuns
      for run in runs where run.status == .created { run.cancel() }
      for run in runs { run.cancel() }
      for run in host.activeRuns where run.hasCleanup || run.hasChildren { _ = run.wait() }
      runtime.stop()
      host.endRuns()
      state.unload()
      host.close()
    }

    /// False: there is no thread, and everything stays as it is.
    func runApart() -> Bool { OwnThread.run { self.run() } }
  }
}

/// A workflow that one engine has checked and compiled, with its parameters in place: starting a run of it costs none of that.
public struct PreparedWorkflow: Sendable {
  let compiled: CompiledWorkflow
  let source: DefinitionSource
  /// Of the engine that prepared it: its handlers are named by number.
  let state: EngineState

  public var definition: Definition { compiled.definition }
}

/// What the runtime calls back with.
final class HooksBox: Sendable {
  let host: TaskHost
  private let book: ScheduleBook
  private let stalled: (@Sendable (String) -> Void)?

  init(host: TaskHost, book: ScheduleBook, stalled: (@Sendable (String) -> Void)?) {
    self.host = host
    self.book = book
    self.stalled = stalled
  }

  static func from(_ context: UnsafeMutableRawPointer?) -> HooksBox {
    // unsafe: the engine keeps the box for as long as the runtime.
    unsafe Unmanaged<HooksBox>.fromOpaque(context!).takeUnretainedValue()
  }

  func timer(_ value: UInt64, _ kind: UInt16) {
    if kind == ScheduleBook.timerKind { book.request(value) } else { WorkflowRun.fire(host, value: value, kind: kind) }
  }

  func stall(_ lane: Int, _ job: UInt64, _ nanoseconds: UInt64) {
    let task = host.taskKey(running: JobID(rawValue: job)) ?? "a job"
    stalled?("\(task) has run for more than \(DurationText.text(nanoseconds)) on lane \(lane), and holds its slot")
  }
}
