internal import CMillrace
internal import MillraceBroker
package import MillraceCore
internal import Synchronization

/// One execution of a workflow: its plan on the core, its payloads, and what became of each task.
///
/// Lives from `start` until its last task, and the last late handler, are done; and for as long as somebody holds it.
///
/// # Threads
/// `progress`, `record`, `cancel`, `output`: any, at any time. Hooks: the core's threads.
@safe public final class WorkflowRun: @unchecked Sendable {
  /// Given by whoever made the run; its cleanup has the same.
  public let id: RunID
  /// Told once, on a worker, when the run has ended.
  public typealias Ended = @Sendable (WorkflowRun) -> Void

  let host: TaskHost
  let compiled: CompiledWorkflow
  /// The plan that is on the core: the workflow's, or places for the items of a task.
  let plan: Plan
  let arena: Arena
  let records: NodeRecords
  let counters: RunCounters
  let texts: RunTexts
  /// nil: no task has expressions.
  let values: RunValues?
  /// Inputs that expressions made, by their slots; nil: there are none.
  let inputs: UnsafeMutablePointer<millrace_payload>?
  /// Variables of the tasks that have begun and have some. Behind `monitor`; kept until the run is freed, for late handlers.
  var environments: [UInt32: TaskEnvironment] = [:]
  /// Signals; nil: no task waits for one. A cleanup uses that of its run.
  let mailbox: Mailbox?
  /// How many runs it is below.
  package let depth: Int
  package let seed: UInt64
  package let startedWall: Int64
  /// On the clock of the host; 0: it has not begun. As `core`.
  var started: UInt64 = 0
  /// When `start` was called: before `started` if it had to wait.
  var entered: UInt64 = 0
  /// Set once, by `begin`, before any hook is called; other threads look under the monitor.
  var core: Run?
  /// Whose work it is: a name and its number in the core.
  public let tenant: RunTenant
  /// The key of the runs that it counts with; nil: nobody counts.
  let lineKey: String?
  /// Why the run was cancelled, or did not begin, if that was not its caller's wish.
  var cause: String?
  let ended: Ended
  /// nil: nobody is told, and there is no trace.
  let observation: RunObservation?
  /// Handlers find their contexts as `TaskContext.current`.
  let bindsContext: Bool
  /// Where what becomes of it is written down before anybody sees it; nil: nowhere.
  package let journal: RunJournal?
  /// What the run executes as a saga; nil: it is none.
  let saga: SagaRun?
  /// What the run was started for, if that was not written into its definition. Set before it is started.
  package var subject: (any RunSubject)?
  /// Who may call handlers of the run, or be inside one: 1 for the run until it has ended, 1 for each late handler and each attempt that is set aside. At 0 the run
  /// has let go of its builds.
  let users = Atomic<Int>(1)
  /// It pins the builds of its workflow: a run of items, or a cleanup, leaves that to the run that it is of.
  private let pinsBuilds: Bool
  /// Guards what follows.
  let monitor = Monitor()
  /// What follows once the end of an attempt is recorded, by node.
  var verdicts: [UInt32: RecordedVerdict] = [:]
  /// Of a run that was taken over: how it goes on.
  var resumption: RunResumption?
  /// Attempts that do not count for the retry policy, by node: those before somebody had the task done again.
  var attemptsBefore: [UInt32: Int] = [:]
  /// Signals that were recorded.
  var signalsRecorded = 0
  /// What breakers gave attempts that go on, by node.
  var tickets: [UInt32: BreakerMachine.Ticket] = [:]
  /// Tasks with timers or waiting for a retry.
  var slow: [UInt32: SlowNode] = [:]
  /// What the handlers of running attempts said of their progress, per mille, by node.
  var said: [UInt32: UInt16] = [:]
  /// Why a task's priority has no value.
  var rankFaults: [UInt32: String] = [:]
  /// Attempts of tasks whose work the run does itself, by node.
  var held: [UInt32: Held] = [:]
  /// What tasks with items have of them, by node.
  var itemsOf: [UInt32: ItemsOfTask] = [:]
  /// Of a run of items.
  var orphans: [UInt32: Orphans] = [:]
  /// Inputs that were asked for and could not be made, by node.
  var unreadable: [UInt32: AttemptError] = [:]
  /// Held attempts that have been taken, and are being settled.
  var settling = 0
  /// Runs that attempts of its tasks have started, by node: as long as this one, for its record.
  var children: [UInt32: [Child]] = [:]
  /// What was answered to approvals, by node.
  var answers: [UInt32: Answer] = [:]
  /// Every attempt that was not both the first and completed.
  var log: [LoggedAttempt] = []
  /// Who is told of the end, once each.
  var waiters: [@Sendable () -> Void] = []
  /// Who is told of the next change of the counters, once each.
  var watchers: [@Sendable () -> Void] = []
  var finalStatus: WorkflowStatus?
  /// What became of the tasks before the cleanup; nil: they go on, or there is no cleanup.
  var verdict: WorkflowStatus?
  /// The tasks that run when all others have ended, as a run of its own behind this one; nil: there are none.
  private(set) var cleanup: WorkflowRun?
  /// The run whose cleanup this is; it outlives its cleanup.
  unowned let origin: WorkflowRun?
  /// The items of a task of another run, which outlives this one, whose nodes are their places; nil: this is a run of tasks.
  let items: Items?
  var isAbandoned = false
  var endTime: UInt64 = 0
  /// Why nothing new starts: 0 it does, 1 a task failed, 2 cancelled.
  var stopReason: SharedWord { counters.stopReason }

  /// Compiles a checked definition whose parameters are in place. `secrets`: the values of those that it names, by name; from here on the host
  /// keeps them out of all that handlers say. Throws `CompileError`.
  public convenience init(
    _ definition: Definition, handlers: [String: TaskHandler], order: TaskOrder, id: RunID, wall: Int64, seed: UInt64, host: TaskHost,
    secrets: [String: [UInt8]] = [:], tenant: RunTenant = .standard, trace: TraceContext? = nil, depth: Int = 0, ended: @escaping Ended
  ) throws(CompileError) {
    let compiled = try CompiledWorkflow(definition, handlers: handlers, held: host.heldIndex, order: order, keys: host.keys)
    try self.init(
      compiled, id: id, wall: wall, seed: seed, host: host, secrets: secrets, tenant: tenant, trace: trace, depth: depth, ended: ended)
  }

  /// A run of what was compiled before. Throws `CompileError`.
  public convenience init(
    _ compiled: CompiledWorkflow, id: RunID, wall: Int64, seed: UInt64, host: TaskHost, secrets: [String: [UInt8]] = [:],
    tenant: RunTenant = .standard, trace: TraceContext? = nil, depth: Int = 0, ended: @escaping Ended
  ) throws(CompileError) {
    try self.init(
      compiled, id: id, wall: wall, seed: seed, host: host, secrets: secrets, tenant: tenant, trace: trace, depth: depth, journal: nil,
      ended: ended)
  }

  /// With a `journal` a durable one: its stream begins with the creation of this run.
  package convenience init(
    _ compiled: CompiledWorkflow, id: RunID, wall: Int64, seed: UInt64, host: TaskHost, secrets: [String: [UInt8]],
    tenant: RunTenant, trace: TraceContext?, depth: Int, journal: RunJournal?, ended: @escaping Ended
  ) throws(CompileError) {
    for secret in secrets.values { host.redactor.add(secret) }
    // An empty one would be allocated.
    let secrets = secrets.isEmpty ? [:] : secrets.mapValues { KeptBytes($0, isSecret: true) }
    guard WorkflowRun.pin(compiled.builds) else { throw .buildGone(workflow: compiled.definition.name) }
    try self.init(
      compiled, nil, nil, compiled.plan, id, wall, seed, host, secrets, tenant, .make(host.observer, trace), depth, journal, ended)
    guard let tasks = compiled.cleanup else { return }
    cleanup = try WorkflowRun(
      tasks, self, nil, tasks.plan, id, wall, seed &+ UInt64(compiled.definition.tasks.count), host, secrets, tenant, observation, depth,
      journal, { [unowned self] in cleanedUp($0) })
  }

  /// Places for the items of a task of `owner`. Throws `CompileError`.
  convenience init(_ items: Items, of owner: WorkflowRun, _ foreach: CompiledForeach) throws(CompileError) {
    let plan: Plan
    var place = foreach.place
    place.priority = owner.priority(of: items.node).rawValue
    do { plan = try Plan(count: items.places, node: { _ in place }, predecessors: { _, _ in }) } catch { throw .memory("\(error)") }
    var seeds = SeededRandom(seed: owner.seed &+ UInt64(items.node))
    try self.init(
      foreach.body, nil, items, plan, owner.id, owner.startedWall, seeds.next(), owner.host, [:], owner.tenant, owner.observation,
      owner.depth, owner.journal,
      { [unowned items] in $0.itemsEnded(items) })
  }

  private init(
    _ compiled: CompiledWorkflow, _ origin: WorkflowRun?, _ items: Items?, _ plan: Plan, _ id: RunID, _ wall: Int64, _ seed: UInt64,
    _ host: TaskHost, _ secrets: [String: KeptBytes], _ tenant: RunTenant, _ observation: RunObservation?, _ depth: Int,
    _ journal: RunJournal?, _ ended: @escaping Ended
  ) throws(CompileError) {
    let definition = compiled.definition
    self.compiled = compiled
    self.origin = origin
    self.items = items
    self.plan = plan
    self.id = id
    self.host = host
    self.seed = seed
    self.depth = depth
    self.journal = journal
    saga = compiled.saga.map(SagaRun.init)
    self.tenant = tenant
    // Runs of a version that drains wait for those of the others.
    let own = definition.concurrency.map { $0.key ?? definition.name } ?? (definition.versionPolicy == .drain ? definition.name : nil)
    lineKey = origin == nil && items == nil ? own : nil
    self.ended = ended
    self.observation = observation
    bindsContext = host.bindsContext || host.observer != nil
    startedWall = wall
    mailbox = origin == nil && items == nil ? .make(compiled.signalNames) : nil
    arena = items?.owner.arena ?? Arena(workers: host.workers)
    counters = RunCounters(workers: host.workers)
    texts = RunTexts(tasks: compiled.texts, run: id)
    values = compiled.hasExpressions ? items?.owner.values ?? RunValues(definition, run: id, secrets: secrets) : nil
    // unsafe: freed in deinit; a slot is written by the lane that begins its task, and read by that attempt and those after it.
    unsafe inputs = compiled.inputSlots == 0 ? nil : .allocate(capacity: compiled.inputSlots)
    unsafe inputs?.initialize(repeating: .empty, count: compiled.inputSlots)
    pinsBuilds = origin == nil && items == nil
    do {
      records = try NodeRecords(count: plan.count)
    } catch {
      if pinsBuilds { for build in compiled.builds { build.unpin() } }
      throw .memory("\(error)")
    }
  }

  deinit {
    // One that never began, or whose end nobody has told.
    if pinsBuilds, users.load(ordering: .acquiring) > 0 { for build in compiled.builds { build.unpin() } }
    records.deallocate()
    counters.deallocate()
    monitor.deallocate()
    unsafe inputs?.deallocate()
  }

  /// What the run was compiled from, with the values of its parameters.
  public var definition: Definition { compiled.definition }

  /// Whether tasks are left to run when all others have ended.
  public var hasCleanup: Bool { cleanup != nil }

  /// A workflow of its own, which the host knows of.
  var isRoot: Bool { origin == nil && items == nil }

  /// The run of the workflow, which keeps this one: whoever needs this one keeps that.
  var anchor: WorkflowRun { (items?.owner ?? origin)?.anchor ?? self }

  /// Tasks, or items.
  var count: Int { items?.count ?? records.count }

  /// Puts the run on the core, or in line if its workflow says how many go on at once: then it begins by itself, unless it is cancelled before. Throws `SubmitError`,
  /// `RunLineFull` or `MemoryError`; then nothing has happened.
  public func start() throws {
    try start { [host] core in try host.scheduler.start(core) }
  }

  /// `put` puts the core's run onto it, by `Scheduler.start` or `Runtime.startHere`, if it need not wait for its turn.
  package func start(_ put: (Run) throws -> Void) throws {
    entered = resumption?.entered ?? host.scheduler.clock.now
    guard lineKey != nil else { return try begin(put) }
    try host.lines.start(self, definition.concurrency ?? RunConcurrency(limit: .max))
  }

  /// What it waits for before it begins; nil: it does not. Complexity: O(runs with its key).
  public var waitsFor: RunWait? { host.lines.wait(of: self) }

  /// Why it was cancelled, or did not begin, if that was not its caller's wish; nil: there is nothing to say.
  public var reason: String? { monitor.locked { cause } }

  /// Puts the run on the core. Throws `SubmitError` or `MemoryError`; then nothing has happened.
  func begin() throws { try begin { [host] core in try host.scheduler.start(core) } }

  private func begin(_ put: (Run) throws -> Void) throws {
    // unsafe: retained from here until the core's `completed` has been called.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    do {
      var hooks = unsafe RunHooks(
        context: context,
        completed: { unsafe Unmanaged<WorkflowRun>.fromOpaque($0).takeRetainedValue().completed() },
        finished: { unsafe WorkflowRun.from($0).finished(lane: $1, node: $2, outcome: $3) },
        bypassed: { unsafe WorkflowRun.from($0).bypassed(lane: $1, node: $2) },
        ready: { unsafe WorkflowRun.from($0).ready(node: $1, job: JobID(rawValue: $2)) },
        timeout: { unsafe WorkflowRun.from($0).compiled.policy($1).timeouts.startToClose ?? 0 },
        keyed: { unsafe WorkflowRun.from($0).compiled.policy($1).permits.rawValue },
        rank: { unsafe WorkflowRun.from($0).rank($1) },
        overdue: { unsafe WorkflowRun.from($0).overdue(node: $1) },
        late: { unsafe WorkflowRun.from($0).late(lane: $1, node: $2) })
      if items != nil {
        unsafe hooks.finished = { unsafe WorkflowRun.from($0).finishedItem(lane: $1, node: $2, outcome: $3) }
        unsafe hooks.bypassed = { unsafe WorkflowRun.from($0).bypassedItem(lane: $1, node: $2) }
      }
      if let saga {
        unsafe hooks.finished = { unsafe WorkflowRun.from($0).finishedStep(lane: $1, node: $2, outcome: $3) }
        unsafe hooks.bypassed = { unsafe WorkflowRun.from($0).bypassedStep(lane: $1, node: $2) }
        if resumption == nil {
          resumption = RunResumption(entered: entered, core: WorkflowRun.heldNodes(saga.nodes), waiting: [])
        }
      }
      let resumption = resumption
      if let resumption, resumption.isOver {
        unsafe Unmanaged<WorkflowRun>.fromOpaque(context).release()
        return beginOver(resumption)
      }
      let open = openNodes
      let core = try Run(plan, hooks: hooks, tenant: tenant.number, resumption: beginning(resumption, holding: open))
      let now = resumption?.entered ?? host.scheduler.clock.now
      monitor.locked {
        self.core = core
        started = now
      }
      if isRoot {
        observation?.begin(self)
        host.began(self)
      }
      if let items { items.owner.keep(items, self) }
      // The other half of `stop`: a run that waited for its turn may have been cancelled just now.
      if stopReason.loadSequential() != 0 { core.stop() }
      try put(core)
      if let saga {
        beginSaga(saga)
      } else if let resumption {
        goOnWaiting(resumption)
      }
      for node in open { takeUpOpen(node) }
    } catch {
      monitor.locked {
        core = nil
        started = 0
      }
      if isRoot { observation?.observer?.refused(error) }
      if isRoot, lineKey == nil { _ = host.ended(self) }
      // unsafe: the core has not taken the run: our own retain is given back.
      unsafe Unmanaged<WorkflowRun>.fromOpaque(context).release()
      throw error
    }
  }

  static func from(_ context: UnsafeMutableRawPointer) -> WorkflowRun {
    // unsafe: the core calls only between `start` and `completed`, or while `overdue` has retained us.
    unsafe Unmanaged<WorkflowRun>.fromOpaque(context).takeUnretainedValue()
  }

  var coreRun: Run { core! }

  /// Nothing new shall start, and what runs shall stop.
  var shouldStop: Bool { stopReason.loadRelaxed() != 0 }
}
