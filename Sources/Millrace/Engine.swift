internal import CMillrace
public import MillraceBroker
public import MillraceCore
public import MillraceLog
public import MillracePlugins
public import MillraceWorkflow

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
    /// How often the files that plugins came from are looked at: a new build there, which was the same at two looks, is swapped in (see `Engine.swap`). nil: never.
    public var watchesPlugins: Duration?
    /// Which builds of plugins may be loaded, beyond who may write their files. By default all.
    public var pluginTrust = PluginTrust()
    /// Which of them run in processes of their own, by name, and how. One that no plugin has is told by `Engine.init`.
    public var isolation: [String: PluginIsolation] = [:]
    /// How the others run.
    public var defaultIsolation = PluginIsolation.inProcess
    /// What plugins read through `setting`, by full name, as `replay.mode`. A plugin with a configuration schema that its settings do not fit is refused.
    public var settings: [String: String] = [:]
    /// Where the secrets come from that definitions name in `env`; nil: there are none.
    public var secrets: SecretSource?
    /// Directory of the engine's own for workflows that say `durability: log`: a log of what their runs do, which one process at a time has open, and the builds of
    /// plugins that they are pinned to; and for the broker's durable queues. Made if it is not there, its parents are not. nil: there is none.
    public var data: String?
    /// Where durable runs are recorded, in place of a log in `data`; the embedder closes it, after the engine. One engine at a time. nil: in `data`.
    public var store: (any EventStore)?
    /// Of `Engine.broker`, which is made when it is first used.
    public var broker = BrokerConfiguration()
    /// Seed of the retry waits, and of what plugins draw; nil: the one is drawn, the other the system's.
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
    /// The same is published as messages to the exchange `Engine.events`; false, and free: it is not.
    public var events = false
    /// Handlers, and what they call, find their contexts as `TaskContext.current`: some 100 ns a call. With an `observer` they do anyway.
    public var bindsContext = false
    /// A plugin that calls a function of an attempt from a thread that may not is told of in the log, once for a function and handler. By default in debug builds of Millrace; in
    /// others it costs nothing.
    public var checksThreads = checksThreadsByDefault
    #if DEBUG
      private static let checksThreadsByDefault = true
    #else
      private static let checksThreadsByDefault = false
    #endif
    /// What schedules are followed by, and waits for a time end by, nanoseconds since 1970 in UTC; nil: the system's clock. For tests.
    public var wallClock: (@Sendable () -> Int64)?
    /// By which the waits of durable runs go on in another engine: id of the machine's boot, and nanoseconds since then, while the machine slept too; nil: the system's. For tests.
    package var bootClock: (@Sendable () -> (id: String, nanoseconds: UInt64))?
    /// The loop of the program that the engine calls back on; nil: none.
    package var hostLoop: HostLoop?
    /// Where the broker keeps durable queues; nil: in `data`. For tests.
    package var journal: (@Sendable () throws -> any QueueJournal)?

    /// Everything by default: as many slots and threads as there are processors, no plugins, no log.
    public init() {}
  }

  /// Tasks that may be in progress at once.
  public let slots: Int
  /// Worker threads; those of handlers that block come on top.
  public let threads: Int
  let order: Order
  let seed: UInt64
  let secrets: SecretSource?
  let host: TaskHost
  let runtime: Runtime
  let hooks: HooksBox
  let state: EngineState
  let registry = WorkflowRegistry()
  let tenants: Tenants
  let book = ScheduleBook()
  let wallClock: @Sendable () -> Int64
  /// nil: no run is durable.
  let durable: DurableRuns?
  let children = ResumedChildren()
  let desk: BrokerDesk
  /// nil: the program has none for callbacks.
  let hostLoop: HostLoop?
  /// nil: nothing is published.
  let eventPublisher: EventPublisher?

  /// Loads the plugins and starts the threads. A plugin file that is refused is no error: see `pluginProblems`. Throws `EngineError`.
  public init(_ configuration: Configuration = Configuration()) throws(EngineError) {
    let log = configuration.log
    host = TaskHost(version: Engine.version, settings: configuration.settings) { level, line in
      log?(LogLevel(rawValue: level) ?? .error, line)
    }
    host.bindsContext = configuration.bindsContext
    if configuration.checksThreads { host.checkThreads() }
    if let seed = configuration.seed { host.randomness.follow(seed: ~seed) }
    let slots = configuration.slots ?? configuration.threads ?? Machine.read().cpusGranted
    var runtimeConfiguration = RuntimeConfiguration(
      slots: slots, threads: configuration.threads, capacity: configuration.capacity, ordered: configuration.order != .fifo,
      wait: configuration.wait, blockingThreads: configuration.blockingThreads, stallAfter: configuration.stallAfter)
    tenants = try Tenants(configuration.tenants)
    let wall = configuration.wallClock ?? { millrace_wall() }
    wallClock = wall
    eventPublisher = configuration.events ? EventPublisher(configuration.observer, wall: wall) : nil
    host.observer = eventPublisher ?? configuration.observer
    durable = try DurableRuns(configuration.store, configuration.data, wall: wall, boot: configuration.bootClock) { [host] in
      host.report($0)
    }
    runtimeConfiguration.scheduler.tenants = tenants.count
    runtimeConfiguration.takesGuests = true
    desk = BrokerDesk(
      configuration.broker, data: configuration.data, journal: configuration.journal, host: host, tenants: tenants, wall: wall)
    hostLoop = configuration.hostLoop
    hooks = HooksBox(host: host, book: book, desk: desk, stalled: configuration.stalled, wake: configuration.hostLoop?.wake)
    do {
      // unsafe: the box outlives the runtime: both are this engine's.
      runtime = unsafe try Runtime(
        runtimeConfiguration,
        hooks: unsafe RuntimeHooks(
          context: Unmanaged.passUnretained(hooks).toOpaque(),
          timer: { context, value, kind, _ in unsafe HooksBox.from(context).timer(value, kind) },
          stall: { context, lane, job, nanoseconds in unsafe HooksBox.from(context).stall(lane, job, nanoseconds) },
          wake: { context in unsafe HooksBox.from(context).wake?() }),
        hostLoop: hostLoop?.pointer)
      host.connect(runtime.scheduler, timers: runtime.timers, sharedShard: runtime.sharedTimerShard)
      self.slots = slots
      threads = runtime.threadCount
      order = configuration.order
      secrets = configuration.secrets
      var system = SystemRandomNumberGenerator()
      seed = configuration.seed ?? system.next()
      var isolation = IsolationChoice()
      (isolation.standard, isolation.plugins) = (configuration.defaultIsolation, configuration.isolation)
      state = EngineState(
        host: host, trust: configuration.pluginTrust, settings: PluginSettings(all: configuration.settings), isolation: isolation)
      state.connect(runtime.scheduler)
      host.wall = wall
      host.children = self
      book.connect(runtime.scheduler, runtime.timers, shard: runtime.sharedTimerShard)
      tenants.setWeights(runtime.scheduler)
      desk.connect(runtime.scheduler, runtime.timers, shard: runtime.sharedTimerShard, state)
      try runtime.start()
    } catch {
      durable?.close()
      throw .runtime(error)
    }
    do throws(BrokerError) { try eventPublisher?.open(desk) } catch { throw .data("the exchange \(Engine.events)", "\(error)") }
    try state.register(PublishTask.handler(desk), runtime.scheduler)
    if let search = configuration.plugins {
      do {
        try state.load(search, runtime.scheduler)
      } catch {
        runtime.stop()
        durable?.close()
        throw error
      }
    }
    if let interval = configuration.watchesPlugins { state.watchFiles(interval: max(1, UInt64(clamping: interval)), SwapOptions()) }
    book.serve(self)
  }

  deinit { shutdown() }

  // MARK: Handlers

  /// Names of all handlers, of plugins and registered ones: what `DefinitionReader` checks against.
  public var handlerNames: Set<String> { state.handlerNames }
  /// What the inputs of handlers may be, where their plugin or their program says so.
  public var inputSchemas: [String: InputSchema] { state.schemas }
  /// Handlers, and plugins, with a schema that is none, and what follows from that.
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
}
