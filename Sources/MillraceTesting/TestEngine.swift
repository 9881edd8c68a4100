public import Millrace
internal import MillraceCore
internal import MillraceSimulation

/// Why a test engine cannot go on.
public enum TestEngineError: Error, CustomStringConvertible {
  /// Tasks run, and no time will ever end them.
  case hangs(tasks: [String])
  /// An asynchronous handler waits for something real.
  case waits(tasks: [String], seconds: Int)
  /// There is not enough memory for the engine: what was wanted.
  case memory(String)
  /// Its tenants are not as an engine's may be: what is wrong.
  case tenants(String)

  public var description: String {
    switch self {
    case .hangs(let tasks):
      "\(tasks.joined(separator: ", ")) will never end: give the task a timeout, its mock an end, or what it waits for"
    case .waits(let tasks, let seconds):
      "\(tasks.joined(separator: ", ")): an asynchronous handler has waited for \(seconds) s of real time: mock the handler"
    case .memory(let what), .tenants(let what): what
    }
  }
}

/// The engine of a test: the real scheduler, timers and runs on a virtual clock, stepped by the thread that calls. Where an engine would wait, it moves the
/// clock: a retry after 30 days takes microseconds.
///
///     let engine = try TestEngine()
///     try engine.mock("charge", [.failing(TaskFailure("declined", "no"), times: 2), .returning(Receipt(number: 7))])
///     let run = try engine.run(workflow)
///     #expect(run.attempts(of: "charge").map(\.errorType) == ["declined", "declined", ""])
///
/// Handlers run one after the other on the calling thread, those that block and those that are asynchronous as well. The seed decides every order and every retry
/// wait: the same seed gives the same history. An asynchronous handler that waits for something real is waited for before the clock moves on.
///
/// One thread at a time.
public final class TestEngine: HandlerRegistry {
  /// Unfinished tasks of all runs, at most.
  public static let capacity = 1 << 18
  /// How long an asynchronous handler may wait for something real, seconds.
  private static let patience = 30

  /// No run begins at 0, which is no time for it.
  private static let start: UInt64 = 1

  private let engine: SteppedEngine
  private let thread = CallingThread()
  private let seed: UInt64
  private var runs: UInt64 = 0
  private var known: [String: TaskHandler] = [:]
  /// All there ever were: runs that were started before keep theirs.
  private var registered: [RegisteredHandler] = []
  private let tenants: Tenants
  let scripts = TaskScripts()

  private let registry = WorkflowRegistry()
  private var starter: Starter?
  /// What the test does at virtual times, by these.
  private var plans: [(due: UInt64, action: () -> Void)] = []

  /// `slots`: tasks in progress at once. `workers`: 1 ... 56, stepped in an order that the seed draws. `tenants`: as in `Engine.Configuration`. `observer`:
  /// is told of runs and attempts, as `Engine.Configuration.observer` is; `bindsContext` as there. `wall`: the wall clock at the beginning, nanoseconds since
  /// 1970 in UTC. Throws `TestEngineError`.
  public init(
    slots: Int = 1024, workers: Int = 4, seed: UInt64 = 0, tenants: [String: Int] = [:], observer: (any EngineObserver)? = nil,
    bindsContext: Bool = false, wall: Int64 = 0
  ) throws(TestEngineError) {
    self.seed = seed
    do throws(EngineError) { self.tenants = try Tenants(tenants) } catch { throw .tenants("\(error)") }
    do {
      engine = try SteppedEngine(
        SchedulerConfiguration(
          slots: slots, workers: workers, capacity: TestEngine.capacity, tenants: self.tenants.count, stealPatience: 0),
        timers: TestEngine.capacity, seed: seed, start: TestEngine.start)
    } catch {
      throw .memory("\(error)")
    }
    engine.host.executor = thread
    starter = Starter(self)
    engine.host.children = starter
    engine.host.wall = { [clock = engine.clock] in wall &+ Int64(clamping: clock.now &- TestEngine.start) }
    self.tenants.setWeights(engine.scheduler)
    engine.host.observer = observer
    engine.host.bindsContext = bindsContext
  }

  // MARK: Handlers

  /// Registers a handler as an `Engine` does. Throws `EngineError`, also for a name that is taken.
  public func add(_ handler: RegisteredHandler) throws(EngineError) {
    if known[handler.name] != nil { throw .duplicateHandler(handler.name) }
    try put(handler)
  }

  /// Puts a handler in place of the one of its name, if there is one, for runs that are started from here on. Throws `EngineError`.
  func put(_ handler: RegisteredHandler) throws(EngineError) {
    guard handler.hasGoodName else { throw .badHandlerName(handler.name) }
    let handler = RegisteredHandler(handler, mask: { [scripts] in scripts.body(of: $0) })
    // unsafe: kept as long as the scheduler.
    guard let index = unsafe engine.scheduler.register(WorkflowRun.handler(for: handler.handler)) else {
      throw .tooManyHandlers(limit: Scheduler.maxHandlers)
    }
    registered.append(handler)
    known[handler.name] = unsafe TaskHandler(name: handler.name, index: index, pointer: handler.handler)
  }

  /// Names of all handlers, mocks among them: what `DefinitionReader` checks against.
  public var handlerNames: Set<String> { Set(known.keys) }

  // MARK: Runs

  /// Checks and starts a workflow; no handler is called yet. Throws as `Engine.start`.
  public func start(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> TestRun {
    _ = try DefinitionChecker(handlers: handlerNames, workflows: registry.newest).check(definition)
    let run = try makeRun(definition, parameters: parameters, tenant: tenants.find(tenant), trace: trace, depth: 0) { _ in }
    try run.start()
    return TestRun(run, engine: self)
  }

  /// Makes a workflow known for tasks that run it, as `Engine.deploy`.
  @discardableResult public func deploy(_ definition: Definition, version: Int? = nil) throws -> Int {
    _ = try DefinitionChecker(handlers: handlerNames, workflows: registry.newest).check(definition)
    return try registry.deploy(definition, version: version)
  }

  private func makeRun(
    _ definition: Definition, parameters: [String: JSON], tenant: RunTenant, trace: TraceContext?, depth: Int,
    ended: @escaping WorkflowRun.Ended
  ) throws -> WorkflowRun {
    let compiled = try CompiledWorkflow.compile(
      definition, parameters: parameters, handlers: known, held: engine.host.heldIndex, order: .fifo, keys: engine.host.keys)
    var seeds = SeededRandom(seed: seed &+ runs)
    runs += 1
    return try WorkflowRun(
      compiled, id: RunID(wall: 0, random: &seeds), wall: 0, seed: seeds.next(), host: engine.host, tenant: tenant, trace: trace,
      depth: depth, ended: ended)
  }

  /// Starts child workflows, on the thread that steps.
  private final class Starter: ChildStarter, @unchecked Sendable {
    unowned let engine: TestEngine

    init(_ engine: TestEngine) { self.engine = engine }

    func start(
      _ child: ChildWorkflow, parameters: [String: JSON], below parent: WorkflowRun, task: String, attempt: Int,
      ended: @escaping WorkflowRun.Ended
    ) throws -> WorkflowRun {
      let run = try engine.makeRun(
        child.definition ?? engine.registry.find(child.name), parameters: parameters, tenant: parent.tenant,
        trace: parent.trace, depth: parent.depth + 1, ended: ended)
      try run.start()
      return run
    }

    /// Nothing here is durable.
    func goesOn(_ child: RunID) -> Bool { false }
    func resumed(_ child: RunID, ended: @escaping WorkflowRun.Ended) -> WorkflowRun? { nil }
  }

  /// Starts a workflow and plays it to its end. Throws as `start`, or `TestEngineError`.
  public func run(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> TestRun {
    let run = try start(definition, parameters: parameters, tenant: tenant, trace: trace)
    try run.finish()
    return run
  }

  // MARK: Time

  /// Time since the engine was made.
  public var now: Duration { .nanoseconds(engine.now - TestEngine.start) }

  /// Lets so much time pass, with all that happens meanwhile, in all runs. Throws `TestEngineError`.
  public func advance(by duration: Duration) throws(TestEngineError) {
    let (sum, overflow) = engine.now.addingReportingOverflow(UInt64(clamping: duration))
    let end = overflow ? UInt64.max : sum
    try settle()
    while let due = nextDue, due <= end { try pass(to: due) }
    try pass(to: end)
  }

  /// Calls `action` when so much virtual time has passed, while time is let pass: to send a signal then, to answer an approval, to cancel. Actions of one time
  /// are called in the order in which they were given.
  public func after(_ delay: Duration, _ action: @escaping () -> Void) {
    let (due, overflow) = engine.now.addingReportingOverflow(UInt64(clamping: delay))
    let place = plans.firstIndex { $0.due > due } ?? plans.count
    plans.insert((overflow ? .max : due, action), at: place)
  }

  /// When something happens next; nil: nothing does by itself.
  private var nextDue: UInt64? {
    guard let plan = plans.first?.due else { return engine.nextDue }
    return min(plan, engine.nextDue ?? plan)
  }

  private func pass(to time: UInt64) throws(TestEngineError) {
    engine.advance(to: time)
    try settle()
    while let plan = plans.first, plan.due <= time {
      plans.removeFirst()
      plan.action()
      try settle()
    }
  }

  /// Lets time pass until a run has ended.
  func finish(_ run: WorkflowRun) throws(TestEngineError) {
    try settle()
    while run.status == .running || run.status == .created {
      guard let due = nextDue else { throw .hangs(tasks: run.runningTasks()) }
      try pass(to: due)
    }
  }

  /// Does all that can be done at this time.
  private func settle() throws(TestEngineError) {
    while true {
      engine.stepUntilIdle()
      if thread.runAll() { continue }
      if engine.host.openLinks == 0 { return }
      let deadline = Clock.monotonic.now + UInt64(TestEngine.patience) * 1_000_000_000
      guard thread.wait(until: deadline) else {
        throw .waits(tasks: engine.host.activeRuns.flatMap { $0.runningTasks() }, seconds: TestEngine.patience)
      }
    }
  }
}
