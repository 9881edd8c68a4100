internal import CMillrace
public import MillraceCore
public import MillracePlugins
public import MillraceWorkflow

/// Why an engine could not be had, or a handler not be registered.
public enum EngineError: Error, CustomStringConvertible {
  /// The threads, the memory or the event loop could not be had, or the configuration is out of its bounds.
  case runtime(RuntimeError)
  /// The search for plugins failed as a whole. A single file that is refused is told by `Engine.pluginProblems`.
  case plugins(PluginError)
  /// The name is no handler's: `name` or `plugin/name` of a-z, 0-9 and -.
  case badHandlerName(String)
  /// A handler of this name is there already, of a plugin or registered.
  case duplicateHandler(String)
  /// The engine has as many handlers as it can: 65,536.
  case tooManyHandlers(limit: Int)
  /// The engine follows as many schedules as it can.
  case tooManySchedules(limit: Int)
  /// The workflow of this name has no `schedule` to follow.
  case noSchedule(String)
  /// The engine takes no more runs and handlers: it is drained, or has been shut down.
  case stopped
  /// `version` nil: no version of that name is deployed.
  case unknownWorkflow(String, version: Int?)
  /// It is deployed already, or no number from 1 on.
  case badVersion(workflow: String, version: Int)
  /// As many workflows, versions counted, are deployed as an engine keeps.
  case tooManyWorkflows(limit: Int)
  /// A workflow was prepared by one engine and started on another.
  case preparedElsewhere
  /// A tenant of the configuration has a name that is none, or a weight out of bounds.
  case badTenant(String, weight: Int)
  /// The configuration has more tenants than an engine.
  case tooManyTenants(limit: Int)
  /// A run is for a tenant that the configuration does not have; `known`: those it has.
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
///     try engine.register("greet") { call in .text("hello \(try call.input["name"]?.string ?? "you")") }
///     var workflow = Definition("greetings")
///     workflow.task("hello", handler: "greet", input: ["name": "world"])
///     let run = try engine.start(workflow)
///     _ = await run.finished()
///
/// All methods may be called from any thread.
@safe public final class Engine: Sendable, HandlerRegistry {
  /// Of Millrace, as `MAJOR.MINOR.PATCH`: what plugins are told.
  public static let version = "0.1.0"

  /// Order of ready tasks within one priority.
  public typealias Order = TaskOrder

  /// How loud a line of the log is.
  public enum LogLevel: UInt32, Sendable, CaseIterable {
    /// For who looks for a fault.
    case debug
    /// What usually happens, and may be of interest.
    case notice
    /// What should not be, and was dealt with.
    case warning
    /// What went wrong.
    case error
  }

  /// How an engine is made. Every member has a default; what is out of its bounds is told by `Engine.init`.
  public struct Configuration: Sendable {
    /// Tasks in progress at once, 1 ... 16,777,216; nil: the processors granted.
    public var slots: Int?
    /// Worker threads, 1 ... 56; nil: the processors granted.
    public var threads: Int?
    /// Which of the ready tasks of one priority begins first.
    public var order = Order.fifo
    /// What a worker does that finds no work: spin, sleep, or first the one and then the other.
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
    /// Gets the lines of plugins and what goes wrong inside the engine, without the values of secrets: on the thread that says it, which it must not
    /// block. nil: they are dropped.
    public var log: (@Sendable (LogLevel, String) -> Void)?
    /// Gets a line for each handler that has run for longer than `stallAfter`: on a thread of the engine, which it must not block. nil: nobody is told.
    public var stalled: (@Sendable (String) -> Void)?
    /// Is told what runs, tasks and attempts do; nil, and free: nobody.
    public var observer: (any EngineObserver)?
    /// Handlers, and what they call, find their contexts as `TaskContext.current`: some 100 ns a call. With an `observer` they do anyway.
    public var bindsContext = false
    /// What schedules are followed by, and waits for a time end by, nanoseconds since 1970 in UTC; nil: the system's clock. For tests.
    public var wallClock: (@Sendable () -> Int64)?

    /// Everything by default: as many slots and threads as there are processors, no plugins, no log.
    public init() {}
  }

  /// Tasks that may be in progress at once.
  public let slots: Int
  /// Worker threads; those of handlers that block come on top.
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
    host.observer = configuration.observer
    host.bindsContext = configuration.bindsContext
    let slots = configuration.slots ?? configuration.threads ?? Machine.read().cpusGranted
    var runtimeConfiguration = RuntimeConfiguration(
      slots: slots, threads: configuration.threads, capacity: configuration.capacity, ordered: configuration.order != .fifo,
      wait: configuration.wait, blockingThreads: configuration.blockingThreads, stallAfter: configuration.stallAfter)
    tenants = try Tenants(configuration.tenants)
    runtimeConfiguration.scheduler.tenants = tenants.count
    runtimeConfiguration.takesGuests = true
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
      threads = runtime.threadCount
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
  /// The plugins that were loaded, in the order in which they were found.
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

  /// How much there is to do at this moment. Complexity: O(1).
  public var load: EngineLoad {
    let scheduler = runtime.scheduler
    let used = max(0, slots - scheduler.freeSlots)
    return EngineLoad(runs: host.activeRunCount, tasks: scheduler.admittedJobs, slotsInUse: used, slots: slots)
  }

  /// Checks and starts a workflow. Throws `DefinitionError` (every fault of the definition), `SecretError`, `CompileError`, `SubmitError`, `RunLineFull` or
  /// `EngineError`.
  ///
  /// A workflow that says how many of its runs go on at once (`concurrency`) may have to wait: its handle is CREATED until then, and tells what it waits for. `tenant`: one
  /// of `Configuration.tenants`; nil: "default". `trace`: what the run is part of; handlers find it in their contexts.
  public func start(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    let handlers = try state.handlers()
    _ = try DefinitionChecker(handlers: Set(handlers.keys), schemas: state.schemas, workflows: workflows).check(definition)
    return try startChecked(definition, parameters: parameters, handlers, tenant: tenant, trace: trace)
  }

  /// Starts a workflow that `DefinitionReader` has checked against this engine's handlers. Throws as `start`.
  public func start(
    _ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    try startChecked(reading.definition, parameters: parameters, try state.handlers(), tenant: tenant, trace: trace)
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
  public func start(_ workflow: PreparedWorkflow, tenant: String? = nil, trace: TraceContext? = nil) throws -> WorkflowHandle {
    try check(workflow)
    return try start(workflow, tenants.find(tenant), trace)
  }

  private func check(_ workflow: PreparedWorkflow) throws(EngineError) {
    guard workflow.state === state else { throw .preparedElsewhere }
    if state.isStopped { throw .stopped }
  }

  func compile(_ definition: Definition, parameters: [String: JSON], _ handlers: [String: TaskHandler]) throws -> PreparedWorkflow {
    let compiled = try CompiledWorkflow(
      definition.resolve(parameters: parameters), handlers: handlers, held: host.heldIndex, order: order, keys: host.keys)
    return PreparedWorkflow(compiled: compiled, source: DefinitionSource(definition), state: state)
  }

  func startChecked(
    _ definition: Definition, parameters: [String: JSON], _ handlers: [String: TaskHandler], tenant: String?, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    let tenant = try tenants.find(tenant)
    return try start(compile(definition, parameters: parameters, handlers), tenant, trace)
  }

  private func start(_ workflow: PreparedWorkflow, _ tenant: RunTenant, _ trace: TraceContext?) throws -> WorkflowHandle {
    let handle = try makeRun(workflow, tenant, trace)
    try handle.run.start()
    return handle
  }

  private func makeRun(_ workflow: PreparedWorkflow, _ tenant: RunTenant, _ trace: TraceContext?) throws -> WorkflowHandle {
    let end = RunEnd()
    let run = try makeRun(workflow.compiled, tenant: tenant, trace: trace, depth: 0) { _ in end.fire() }
    return WorkflowHandle(run, of: workflow.source, end: end, engine: self)
  }

  /// A run that has not been started.
  func makeRun(
    _ compiled: CompiledWorkflow, tenant: RunTenant, trace: TraceContext?, depth: Int, ended: @escaping WorkflowRun.Ended
  ) throws -> WorkflowRun {
    let wall = millrace_wall()
    let (id, number) = state.nextRun(wall: wall)
    // Runs that fail together must not come back together: each has waits of its own.
    var seeds = SeededRandom(seed: seed &+ number)
    var values: [String: [UInt8]] = [:]
    for (name, task) in compiled.secrets {
      guard let secrets else { throw SecretError.noSource(name: name, task: task) }
      values[name] = try secrets.value(name, for: task)
    }
    return try WorkflowRun(
      compiled, id: id, wall: wall, seed: seeds.next(), host: host, secrets: values, tenant: tenant, trace: trace, depth: depth,
      ended: ended)
  }

  // MARK: Runs that are awaited

  /// Starts a workflow and waits for its end without a thread. Cancelling the Swift task that waits cancels the run.
  ///
  /// Where the engine has nothing else to do, the calling thread runs tasks until the run has ended or there is nothing to do for it: nobody has to be
  /// woken. So handlers that compute for long, and do not say that they block, hold up one of Swift's threads.
  ///
  /// Throws what `start` throws, `WorkflowError` if the run did not complete, `CancellationError` if that is because the Swift task was cancelled.
  public func run(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(prepare(definition, parameters: parameters), tenant: tenant, trace: trace)
  }

  /// As above, for a workflow that `DefinitionReader` has checked against this engine's handlers.
  public func run(
    _ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(prepare(reading, parameters: parameters), tenant: tenant, trace: trace)
  }

  /// As above, for a workflow that was put together by `addTask`.
  public func run(
    _ workflow: Workflow, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(workflow.definition, parameters: parameters, tenant: tenant, trace: trace)
  }

  /// As above, for a workflow that this engine has prepared: the shortest way.
  public func run(_ workflow: PreparedWorkflow, tenant: String? = nil, trace: TraceContext? = nil) async throws -> WorkflowResult {
    try check(workflow)
    let handle = try makeRun(workflow, tenants.find(tenant), trace)
    let status = try await withTaskCancellationHandler {
      try handle.run.start { [runtime] core in try runtime.startHere(core) { handle.hasEnded } }
      return await handle.finished()
    } onCancel: {
      handle.cancel()
    }
    if status == .completed { return WorkflowResult(handle, status) }
    if status == .cancelled, _Concurrency.Task.isCancelled { throw CancellationError() }
    throw WorkflowError(WorkflowResult(handle, status))
  }

  /// Stops gracefully: follows no schedule and takes no more runs (`start` throws `EngineError.stopped`), lets those that go on end, and the
  /// asynchronous handlers with them, for at most `timeout`; then shuts down. True: all had ended by then. Not from a handler, which it would wait for.
  ///
  /// Cancelling the Swift task that waits ends the timeout: the engine is shut down at once.
  @discardableResult
  public func drain(timeout: Duration) async -> Bool {
    await withTaskCancellationHandler {
      await drainApart(timeout)
    } onCancel: {
      host.stopWaiting()
    }
  }

  /// Takes no more runs (`start` throws `EngineError.stopped`) and follows no schedule; runs that go on end as usual. Any number of times. `drain` and
  /// `shutdown` begin with it.
  public func close() {
    state.close()
    book.stop()
  }

  private func drainApart(_ timeout: Duration) async -> Bool {
    close()
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
      // Those that wait for their turn first, or they would begin when the others end; children after their parents, whose tasks would fail by it.
      let runs = host.activeRuns.sorted { $0.depth < $1.depth }
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

/// How much an engine has to do, counted without stopping it: the figures need not be of one moment.
public struct EngineLoad: Sendable, Hashable {
  /// Runs that are not over.
  public let runs: Int
  /// Tasks of all runs that are not over, those in progress among them; up to 128 more for each worker that is busy.
  public let tasks: Int
  /// Tasks in progress.
  public let slotsInUse: Int
  /// Tasks that may be in progress at once.
  public let slots: Int
}

/// A workflow that one engine has checked and compiled, with its parameters in place: starting a run of it costs none of that.
public struct PreparedWorkflow: Sendable {
  let compiled: CompiledWorkflow
  let source: DefinitionSource
  /// Of the engine that prepared it: its handlers are named by number.
  let state: EngineState

  /// What was prepared, with its parameters in place.
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
