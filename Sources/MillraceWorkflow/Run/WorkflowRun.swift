internal import CMillrace
package import MillraceCore

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
  let seed: UInt64
  let startedWall: Int64
  /// On the clock of the host; 0: it has not begun. As `core`.
  private(set) var started: UInt64 = 0
  /// When `start` was called: before `started` if it had to wait.
  private var entered: UInt64 = 0
  /// Set once, by `begin`, before any hook is called; other threads look under the monitor.
  private var core: Run?
  /// Whose work it is: a name and its number in the core.
  public let tenant: RunTenant
  /// The key of the runs that it counts with; nil: nobody counts.
  let lineKey: String?
  /// Why the run was cancelled, or did not begin, if that was not its caller's wish.
  private var cause: String?
  private let ended: Ended
  /// nil: nobody is told, and there is no trace.
  let observation: RunObservation?
  /// Handlers find their contexts as `TaskContext.current`.
  let bindsContext: Bool
  /// Guards what follows.
  let monitor = Monitor()
  /// Tasks with timers or waiting for a retry.
  var slow: [UInt32: SlowNode] = [:]
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
  /// Who is told of the next change of the counters, once each.
  private var watchers: [@Sendable () -> Void] = []
  private var finalStatus: WorkflowStatus?
  /// What became of the tasks before the cleanup; nil: they go on, or there is no cleanup.
  private(set) var verdict: WorkflowStatus?
  /// The tasks that run when all others have ended, as a run of its own behind this one; nil: there are none.
  private(set) var cleanup: WorkflowRun?
  /// The run whose cleanup this is; it outlives its cleanup.
  unowned let origin: WorkflowRun?
  /// The items of a task of another run, which outlives this one, whose nodes are their places; nil: this is a run of tasks.
  let items: Items?
  var isAbandoned = false
  private var endTime: UInt64 = 0
  private let stopWord: UnsafeMutablePointer<UInt64>
  /// Why nothing new starts: 0 it does, 1 a task failed, 2 cancelled.
  let stopReason: SharedWord

  /// A task that needs more than its record.
  @safe struct SlowNode {
    /// Schedule-to-close, schedule-to-start, wait for the next attempt.
    var close: ArmedTimer?
    var open: ArmedTimer?
    var retry: ArmedTimer?
    /// When the wait for the next attempt ends.
    var waitEnds: UInt64 = 0
    /// When schedule-to-close ends; 0: it has not begun.
    var closeAt: UInt64 = 0
    /// The job that waits for its start, or did.
    var job: JobID?
    /// Handlers of timed-out attempts that have not come back, and their attempts.
    var lateHandlers = 0
    var lateAttempts: [AttemptPointer] = unsafe []
    /// What timed out while its handler ran.
    var timedOut: (number: Int, start: UInt64, lane: Int, observation: AttemptObservation?)?
    /// The next attempt is due, but late code of an exclusive handler is still inside.
    var retryBlocked = false
    /// Its rate has made it wait, and thinks of it.
    var pace: PacedTask?
    /// It is in the rate's line, and nowhere else.
    var isPaced = false
    /// Which timeout ended the attempt.
    var timeoutError: String?
    /// Which timeout ended the task: no more attempts.
    var finalError: String?
    /// What the last heartbeat said, for the next attempt.
    var details: [UInt8]?
    var isWaiting: Bool { retry != nil || retryBlocked || isPaced }
  }

  struct LoggedAttempt {
    var node: UInt32
    var number: Int
    var status: NodeRecords.Status
    var start: UInt64
    var end: UInt64
    var lane: Int
    var error: AttemptError?
  }

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
    for secret in secrets.values { host.redactor.add(secret) }
    let secrets = secrets.mapValues { KeptBytes($0, isSecret: true) }
    try self.init(
      compiled, nil, nil, compiled.plan, id, wall, seed, host, secrets, tenant, RunObservation(host.observer, trace), depth, ended)
    guard let tasks = compiled.cleanup else { return }
    cleanup = try WorkflowRun(
      tasks, self, nil, tasks.plan, id, wall, seed &+ UInt64(compiled.definition.tasks.count), host, secrets, tenant, observation, depth,
      { [unowned self] in cleanedUp($0) })
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
      owner.depth,
      { [unowned items] in $0.itemsEnded(items) })
  }

  private init(
    _ compiled: CompiledWorkflow, _ origin: WorkflowRun?, _ items: Items?, _ plan: Plan, _ id: RunID, _ wall: Int64, _ seed: UInt64,
    _ host: TaskHost, _ secrets: [String: KeptBytes], _ tenant: RunTenant, _ observation: RunObservation?, _ depth: Int,
    _ ended: @escaping Ended
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
    self.tenant = tenant
    lineKey = origin == nil && items == nil ? definition.concurrency.map { $0.key ?? definition.name } : nil
    self.ended = ended
    self.observation = observation
    bindsContext = host.bindsContext || host.observer != nil
    startedWall = wall
    mailbox = origin == nil && items == nil ? Mailbox(compiled.signalNames) : nil
    arena = items?.owner.arena ?? Arena(workers: host.workers)
    counters = RunCounters(workers: host.workers)
    texts = RunTexts(compiled.texts, run: id)
    values = compiled.hasExpressions ? items?.owner.values ?? RunValues(definition, run: id, secrets: secrets) : nil
    // unsafe: freed in deinit; a slot is written by the lane that begins its task, and read by that attempt and those after it.
    unsafe inputs = compiled.inputSlots == 0 ? nil : .allocate(capacity: compiled.inputSlots)
    unsafe inputs?.initialize(repeating: .empty, count: compiled.inputSlots)
    // unsafe: freed in deinit.
    unsafe stopWord = .allocate(capacity: 1)
    unsafe stopWord.initialize(to: 0)
    unsafe stopReason = SharedWord(stopWord)
    do {
      records = try NodeRecords(count: plan.count)
    } catch {
      throw .memory("\(error)")
    }
  }

  deinit {
    records.deallocate()
    counters.deallocate()
    monitor.deallocate()
    unsafe inputs?.deallocate()
    unsafe stopWord.deallocate()
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
    entered = host.scheduler.clock.now
    guard lineKey != nil, let concurrency = definition.concurrency else { return try begin(put) }
    try host.lines.start(self, concurrency)
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
      let core = try Run(plan, hooks: hooks, tenant: tenant.number)
      let now = host.scheduler.clock.now
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

  // MARK: Inputs and outputs

  func inputCount(_ node: UInt32) -> Int {
    if let items { return items.owner.inputCount(items.node) }
    return 1 + Int(compiled.rows[Int(node) + 1] - compiled.rows[Int(node)])
  }

  /// Input 0 is the definition's; then the outputs of the dependencies, where they lie, and null for one that was skipped.
  /// `turn`: of an item.
  func input(_ node: UInt32, _ index: Int, _ turn: ItemTurn? = nil) -> millrace_input? {
    if let items { return unsafe input(items, turn, index) }
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    if index == 0 {
      if compiled.hasExpressions, let own = compiled.expressions[node], own.input != nil, let inputs = unsafe inputs {
        let made = unsafe inputs[own.inputSlot]
        unsafe input.payload = made
        unsafe input.payload.content_type = UInt32(MILLRACE_JSON)
        unsafe input.bytes = arena.bytes(of: made)
        unsafe input.name = texts.inputName
        return unsafe input
      }
      let bytes = unsafe texts.input(Int(node))
      unsafe input.payload = millrace_payload(offset: 0, length: UInt64(bytes.count), arena: .max, content_type: UInt32(MILLRACE_JSON))
      unsafe input.bytes = unsafe UnsafeRawPointer(bytes.baseAddress)
      unsafe input.name = texts.inputName
      return unsafe input
    }
    guard index > 0, index < inputCount(node) else { return nil }
    let dependency = compiled.predecessors[Int(compiled.rows[Int(node)]) + index - 1]
    unsafe input.name = texts.id(Int(dependency))
    if compiled.hasExpressions, records.status(dependency) == .skipped {
      unsafe input.payload = millrace_payload(offset: 0, length: 4, arena: .max, content_type: UInt32(MILLRACE_JSON))
      unsafe input.bytes = UnsafeRawPointer(texts.null)
      return unsafe input
    }
    var output = records.output(dependency)
    if compiled.hasExpressions, let items = items(of: dependency) {
      guard let list = listInput(items, for: node) else { return nil }
      output = list
    }
    unsafe input.payload = output
    unsafe input.bytes = output.length == 0 ? nil : arena.bytes(of: output)
    return unsafe input
  }

  /// The bytes of a completed task's output, where they lie: valid as long as the run is held. `ID[index]` is an item of a task with `foreach`, `ID` the list
  /// of its items' outputs. nil: no such task, it is not completed, or the list is too long: `outputProblem` says so.
  ///
  /// Complexity: O(1); O(outputs) for a list that nobody has asked for.
  public func output(of task: String) -> (bytes: UnsafeRawBufferPointer, contentType: UInt32)? {
    let payload: millrace_payload
    if let node = compiled.index[task], compiled.foreaches[node] == nil {
      guard records.status(node) == .completed else { return nil }
      payload = records.output(node)
    } else if let node = compiled.index[task], records.status(node) != .completed {
      return nil
    } else if let output = itemsOutput(task) {
      payload = output
    } else {
      return unsafe cleanup?.output(of: task)
    }
    return unsafe (UnsafeRawBufferPointer(start: arena.bytes(of: payload), count: Int(payload.length)), payload.content_type)
  }

  // MARK: Watching

  /// Calls `action` once when the counters of `progress` change next, or the run ends: on the thread that changes them, which it must not block.
  /// A change that `progress`, called after this, does not show is told.
  package func watch(_ action: @escaping @Sendable () -> Void) {
    let hasEnded = monitor.locked {
      if finalStatus != nil { return true }
      watchers.append(action)
      // Order: sequentially consistent. Pairs with the load in `tellWatcher`, which comes after a count and an exchange: either the change is told,
      // or it can be read from here on.
      _ = counters.watched.exchange(1)
      return false
    }
    if hasEnded { action() }
  }

  /// After a count, and the exchange of a task's status that follows it.
  @inline(__always) func tellWatcher() {
    if items == nil {
      if counters.watched.loadSequential() != 0 { tellWatchers() }
    } else {
      items?.owner.tellOwner()
    }
  }

  /// An item has changed.
  private func tellOwner() { anchor.tellWatcher() }

  @inline(never) private func tellWatchers() {
    let actions = monitor.locked {
      _ = counters.watched.exchange(0)
      defer { watchers = [] }
      return watchers
    }
    for action in actions { action() }
  }

  // MARK: End

  private func completed() {
    if let items { endItems(items) }
    let counts = counters.sum()
    // Cancelling a run whose last task is through changes nothing.
    let isCancelled = stopReason.loadSequential() == 2 && counts.completed + counts.skipped < count
    let status: WorkflowStatus = isCancelled ? .cancelled : counts.failed > 0 ? .failed : .completed
    guard let cleanup else { return end(status) }
    let starts = monitor.locked {
      verdict = status
      return !isAbandoned
    }
    if starts {
      do { return try cleanup.start() } catch { host.report("run \(id): its cleanup tasks do not start: \(error)") }
    }
    cleanup.giveUp()
    end(status == .completed ? .failed : status)
  }

  private func end(_ status: WorkflowStatus, hadTurn: Bool = true) {
    if isRoot { _ = host.ended(self) }
    mailbox?.close()
    let now = host.scheduler.clock.now
    if isRoot, hadTurn, let observation { observation.observer?.ended(status, after: .nanoseconds(now &- started)) }
    monitor.locked {
      finalStatus = status
      endTime = now
      monitor.broadcast(.ended)
    }
    tellWatcher()
    ended(self)
    if hadTurn { host.lines.leave(self) }
  }

  /// Ends a run that waited for its turn: none of its tasks begins, those of its cleanup neither.
  func endUnbegun(_ status: WorkflowStatus, because reason: String? = nil) {
    monitor.locked { if cause == nil { cause = reason } }
    giveUpTasks()
    cleanup?.giveUp()
    end(status, hadTurn: false)
  }

  /// The cleanup has ended, and the run with it. What failed in it fails a run that was completed.
  private func cleanedUp(_ cleanup: WorkflowRun) {
    let status = monitor.locked { verdict } ?? .failed
    end(status == .completed && cleanup.status != .completed ? .failed : status)
  }

  /// A cleanup that cannot start: its tasks are cancelled.
  private func giveUp() {
    giveUpTasks()
    monitor.locked {
      finalStatus = .cancelled
      endTime = host.scheduler.clock.now
    }
  }

  private func giveUpTasks() {
    for node in 0..<UInt32(records.count) {
      records.setStatus(node, .cancelled)
      counters.count(.cancelled, lane: -1)
    }
  }

  /// The runtime has stopped, and the run is not over: what is left of it is cancelled. The caller is the only thread that still touches its tasks.
  func abandon() {
    if host.lines.remove(self) { return endUnbegun(.cancelled) }
    guard host.ended(self) else { return }
    let isCleaning = monitor.locked {
      isAbandoned = true
      return verdict != nil
    }
    if isCleaning { cleanup?.abandonTasks() } else { abandonTasks() }
  }

  private func abandonTasks() {
    guard let core, monitor.locked({ finalStatus == nil }) else { return }
    stop(2)
    // Nobody is told of the end of their items: their tasks end below.
    for run in itemRuns {
      _ = run.items?.takeTask()
      run.abandonTasks()
    }
    abandonHeld()
    for node in 0..<UInt32(records.count) where !isOver(node) {
      if compiled.hasRates { leaveRate(node) }
      if compiled.hasTimers(node) { endTimers(node) }
      if observation != nil { unsafe observeAbandoned(node, records.attempt(node), host.scheduler.clock.now) }
      if let attempt = unsafe records.attempt(node) {
        // A holder of its token may be about to complete it: after this claim nobody is.
        if host.claim(records.job(node)) { host.scheduler.endClaimed(records.job(node), Outcome.cancelled.rawValue) }
        unsafe records.setAttempt(node, nil)
        unsafe endTimers(of: attempt)
        if unsafe attempt.pointee.isPending && !attempt.pointee.isSettled {
          unsafe host.abandon(attempt)
        } else {
          unsafe host.discard(attempt)
        }
      }
      if records.status(node) == .running { counters.count(.ended, lane: -1) }
      records.setEnd(node, host.scheduler.clock.now)
      records.setStatus(node, .cancelled)
      counters.count(.cancelled, lane: -1)
      items?.records.take(items?.item(node) ?? 0, from: records, node)
      if observation != nil { observeTask(node, .cancelled) }
    }
    withExtendedLifetime(core) { completed() }
    // unsafe: the retain of `start`, which the core will not give back any more.
    unsafe Unmanaged.passUnretained(self).release()
  }

  /// As of this moment. Complexity: O(1). Any thread.
  public var status: WorkflowStatus { monitor.locked { finalStatus ?? (core == nil ? .created : .running) } }

  /// When it began, on the clock of the host; 0: it has not.
  var beganAt: UInt64 { monitor.locked { started } }

  /// Wall time at which it began, nanoseconds since 1970 UTC; when it was started, if it has not begun.
  var beganWall: Int64 {
    let began = beganAt
    return began == 0 ? startedWall : startedWall &+ Int64(clamping: began &- entered)
  }

  /// Nanoseconds since it began.
  public var elapsed: UInt64 {
    let (began, end) = monitor.locked { (started, finalStatus == nil ? nil : endTime) }
    return began == 0 ? 0 : (end ?? host.scheduler.clock.now) &- began
  }

  /// Blocks the calling thread until the run has ended; nil: not by `deadline` of the system's monotonic clock.
  public func wait(until deadline: UInt64 = .max) -> WorkflowStatus? {
    monitor.locked {
      while finalStatus == nil {
        if deadline == .max {
          monitor.wait(.ended)
        } else if !monitor.wait(.ended, until: deadline), finalStatus == nil {
          return nil
        }
      }
      return finalStatus
    }
  }

  /// Asks the run to stop: what has not started is not started, waits end, what runs is asked to stop. Any thread, any number of times.
  public func cancel() { stop(2) }

  /// `reason` as in `stopReason`; `cause`: what is told of it. Complexity: O(tasks).
  func stop(_ reason: UInt64, because cause: String? = nil) {
    while true {
      let before = stopReason.loadSequential()
      if before >= reason { return }
      if stopReason.replace(before, by: reason) { break }
    }
    let core = monitor.locked {
      if self.cause == nil { self.cause = cause }
      return self.core
    }
    guard let core else {
      // It waits for its turn; or begins just now, and will find the reason.
      if host.lines.remove(self) { endUnbegun(.cancelled) }
      return
    }
    core.stop()
    for limit in compiled.limits { host.scheduler.letOut(of: core, limit: limit) }
    for handler in compiled.handlers { host.scheduler.letOut(of: core, handler: handler.index) }
    for node in 0..<UInt32(records.count) where records.status(node) == .running {
      host.scheduler.cancel(records.job(node))
    }
    endWaits()
    for run in itemRuns { run.stop(reason) }
    stopHeld()
    host.stopLinks(of: self)
  }
}
