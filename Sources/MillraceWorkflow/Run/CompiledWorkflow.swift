public import CMillrace
public import MillraceCore

/// A handler that tasks can name.
@safe public struct TaskHandler: Sendable {
  /// As tasks write it; `wait`, `workflow` or `foreach HANDLER` for work that the run does itself.
  public let name: String
  /// The core's handler that runs its tasks.
  public let index: HandlerIndex
  let isExclusive: Bool
  /// What the run does itself in place of a handler; nil: there is a handler.
  let work: (any HeldWork)?
  /// How many tasks it takes at once; 0: any number.
  let concurrency: Int
  /// What runs pin that name it; nil: it stays as long as the engine.
  package let build: HandlerBuild?

  /// unsafe: `pointer` is valid until the engine has shut down. `index` was registered with `WorkflowRun.handler(for:)`.
  @unsafe public init(name: String, index: HandlerIndex, pointer: UnsafePointer<millrace_handler>) {
    unsafe self.init(name: name, index: index, pointer: pointer, build: nil)
  }

  /// As above, of a plugin that may be replaced: `pointer` is valid as long as `build` is pinned.
  @unsafe package init(name: String, index: HandlerIndex, pointer: UnsafePointer<millrace_handler>, build: HandlerBuild?) {
    self.name = name
    self.index = index
    self.build = build
    work = nil
    isExclusive = unsafe pointer.pointee.flags & UInt32(MILLRACE_EXCLUSIVE) != 0
    concurrency = unsafe Int(pointer.pointee.concurrency)
  }

  /// For tasks whose work the run does itself. `index`: `TaskHost.heldIndex`.
  package init(work: any HeldWork, index: HandlerIndex) {
    name = work.word
    self.index = index
    self.work = work
    isExclusive = false
    concurrency = 0
    build = nil
  }
}

/// Order of ready tasks within one priority.
public enum TaskOrder: String, Sendable, Hashable, CaseIterable {
  /// First ready, first started.
  case fifo
  /// Earliest schedule-to-close first, then those without.
  case deadline
  /// Longest way to the end of the workflow first, by recorded durations where there are some, else by the number of tasks.
  case criticalPath = "critical-path"
}

/// Why a checked definition cannot be compiled.
public enum CompileError: Error, CustomStringConvertible {
  /// `handler` is none of those that were given.
  case unknownHandler(task: String, handler: String)
  /// `dependency` is the id of no task.
  case unknownDependency(task: String, dependency: String)
  /// `task`: one that can never start, on a cycle or behind it.
  case cycle(task: String)
  /// The definition has no tasks.
  case empty(workflow: String)
  /// More than `Plan.maxNodes` tasks; `tasks`: how many there are.
  case tooLarge(tasks: Int)
  /// All `limit` concurrency keys of the engine are in use, those of handlers with a limit of their own among them.
  case tooManyKeys(limit: Int)
  /// All `limit` rates of the engine are in use.
  case tooManyRates(limit: Int)
  /// All `limit` breakers of the engine are in use.
  case tooManyBreakers(limit: Int)
  /// An expression that the checker would have refused.
  case badExpression(task: String, reason: String)
  /// There is not enough of it; the text says for what.
  case memory(String)
  /// A plugin of the workflow has been replaced since it was compiled, and the build that it was compiled for has gone: compile it again.
  case buildGone(workflow: String)

  public var description: String {
    switch self {
    case .unknownHandler(let task, let handler):
      "task \(task): no handler is called \(handler): `millrace plugin list` shows those there are"
    case .unknownDependency(let task, let dependency): "task \(task) depends on \(dependency), which is no task of the workflow"
    case .cycle(let task): "task \(task) depends on itself, through others: run the checker for the path"
    case .empty(let workflow): "workflow \(workflow) has no tasks: add one"
    case .tooLarge(let tasks): "\(tasks) tasks are more than a plan holds (\(Plan.maxNodes)): split the workflow"
    case .tooManyKeys(let limit):
      "\(limit) concurrency keys and limited handlers are in use, the most an engine has: start the run when others have ended, or use fewer keys"
    case .tooManyRates(let limit):
      "\(limit) rates are in use, the most an engine has: start the run when others have ended, or use fewer keys"
    case .tooManyBreakers(let limit):
      "\(limit) breakers are in use, the most an engine has: start the run when others have ended, or name fewer destinations"
    case .badExpression(let task, let reason): "task \(task): \(reason)"
    case .memory(let what): what
    case .buildGone(let workflow):
      "the plugin that workflow \(workflow) was compiled for has been replaced, and its old build has gone: compile the workflow again"
    }
  }
}

/// A definition with its parameters in place, as flat arrays: what runs are made of, any number of them.
public final class CompiledWorkflow: Sendable {
  /// As it was compiled, with the values of its parameters.
  public let definition: Definition
  let plan: Plan
  /// What the first task is in the plan.
  let first: Plan.Node
  let order: TaskOrder
  let index: [String: UInt32]
  /// Dependencies of task i: `predecessors[rows[i] ..< rows[i + 1]]`, in the order of the definition.
  let rows: [UInt32]
  let predecessors: [UInt32]
  /// Index into `handlers`, by task.
  let handlerOf: [UInt32]
  let handlers: [TaskHandler]
  /// Of its handlers, those of its items and its cleanup: what each run of it pins.
  package let builds: [HandlerBuild]
  /// Index into `policies`, by task; empty: all tasks have policy 0.
  let policyOf: [UInt32]
  let policies: [ResolvedPolicy]
  /// Of the tasks that have some; empty for most workflows.
  let expressions: [UInt32: TaskExpressions]
  /// Tasks with items; empty for most workflows.
  let foreaches: [UInt32: CompiledForeach]
  /// What the uses of templates were given, as the definition lists it; nil: nothing here asks for it.
  let arguments: [TaskArgument?]
  /// How many inputs have expressions.
  let inputSlots: Int
  /// Some task is more than a handler and a constant input: an attempt looks for what there is.
  let hasExpressions: Bool
  /// Some tasks have a rate.
  let hasRates: Bool
  /// Some tasks have a breaker.
  let hasBreakers: Bool
  let texts: TaskTexts
  /// The tasks that run when all others have ended; nil: there are none.
  let cleanup: CompiledWorkflow?
  /// Names of the signals that tasks wait for, those of the cleanup among them.
  let signalNames: [String]
  /// The core's limits of the policies' keys, each once.
  let limits: [UInt32]
  /// nil: it is no saga.
  let saga: CompiledSaga?
  /// The keys and rates of the policies.
  private let lease: KeyLease
  /// Names of the secrets that a run needs, each with the first task that does.
  public let secrets: [(name: String, task: String)]

  /// A policy with the defaults in place.
  struct ResolvedPolicy: Hashable {
    var priority: Priority
    var retry: RetryPolicy?
    var timeouts: Timeouts
    var key: String?
    var keyLimit: Int
    var weight: Int
    /// What the core is asked for, if there is a key.
    var permits = PermitRequest(rawValue: 0)
    var rate: RateLimit?
    /// Index of the rate; -1: there is none.
    var pace = -1
    var breaker: BreakerPolicy?
    /// Index of the breaker; -1: there is none.
    var guardian = -1
    let hasTimeouts: Bool
    /// Timeouts, a retry, a rate or a breaker: the node may need more than its record.
    let hasTimers: Bool

    init(_ task: Policy, _ defaults: Policy) {
      priority = task.priority ?? defaults.priority ?? .normal
      retry = task.retry ?? defaults.retry
      timeouts = Timeouts(
        scheduleToStart: task.timeouts.scheduleToStart ?? defaults.timeouts.scheduleToStart,
        startToClose: task.timeouts.startToClose ?? defaults.timeouts.startToClose,
        scheduleToClose: task.timeouts.scheduleToClose ?? defaults.timeouts.scheduleToClose,
        heartbeat: task.timeouts.heartbeat ?? defaults.timeouts.heartbeat)
      key = task.concurrencyKey ?? defaults.concurrencyKey
      keyLimit = task.concurrencyLimit ?? defaults.concurrencyLimit ?? 1
      weight = task.concurrencyWeight ?? defaults.concurrencyWeight ?? 1
      rate = task.rate ?? defaults.rate
      breaker = task.breaker ?? defaults.breaker
      hasTimeouts = timeouts != Timeouts()
      hasTimers = hasTimeouts || retry != nil || rate != nil || breaker != nil
    }
  }

  /// Of a checked definition. Complexity: O(tasks + dependencies). `held`: `TaskHost.heldIndex`. `keys`: of the host that will run it. Throws
  /// `CompileError`.
  public convenience init(
    _ definition: Definition, handlers known: [String: TaskHandler], held: HandlerIndex, order: TaskOrder, keys: KeyTable
  ) throws(CompileError) {
    try self.init(definition, known, held, order, Names(), keys, nil)
  }

  /// As above, of a saga too, expanded.
  convenience init(
    _ definition: Definition, handlers known: [String: TaskHandler], held: HandlerIndex, order: TaskOrder, keys: KeyTable,
    saga: CompiledSaga?
  ) throws(CompileError) {
    try self.init(definition, known, held, order, Names(), keys, saga)
  }

  /// What expressions may name beside the tasks of the definition.
  private struct Names {
    /// For a cleanup, the tasks before it.
    var ended: [String: UInt32] = [:]
    /// For a task's items, the names of the workflow; nil: the definition is a workflow of its own.
    var around: TaskExpressions.Binder?
  }

  private init(
    _ definition: Definition, _ known: [String: TaskHandler], _ held: HandlerIndex, _ order: TaskOrder, _ names: Names, _ table: KeyTable,
    _ saga: CompiledSaga?
  ) throws(CompileError) {
    let tasks = definition.tasks
    if tasks.isEmpty { throw .empty(workflow: definition.name) }
    if tasks.count > Plan.maxNodes { throw .tooLarge(tasks: tasks.count) }
    var index = [String: UInt32](minimumCapacity: tasks.count)
    for (i, task) in tasks.enumerated() { index[task.id] = UInt32(i) }

    var rows: [UInt32] = [0]
    rows.reserveCapacity(tasks.count + 1)
    var predecessors: [UInt32] = []
    var handlerIndex: [String: UInt32] = [:]
    var handlers: [TaskHandler] = []
    var handlerOf: [UInt32] = []
    handlerOf.reserveCapacity(tasks.count)
    let defaults = ResolvedPolicy(Policy(), definition.defaults)
    var policies = [defaults]
    var policyIndex: [ResolvedPolicy: UInt32] = [defaults: 0]
    var policyOf: [UInt32] = []
    var expressions: [UInt32: TaskExpressions] = [:]
    var inputSlots = 0
    let binder = names.around ?? TaskExpressions.Binder(definition, tasks: index, ended: names.ended)
    var bodies: [UInt32: CompiledWorkflow] = [:]
    for (i, whole) in tasks.enumerated() {
      var task = whole
      var taskDefaults = definition.defaults
      if whole.isSpecial, whole.foreach != nil {
        let body = whole.ofItem(definition)
        bodies[UInt32(i)] = try CompiledWorkflow(body, known, held, order, Names(around: binder), table, nil)
        task = whole.aroundItems(body.defaults.priority)
        taskDefaults = Policy()
      }
      for dependency in task.dependencies {
        guard let p = index[dependency] else { throw .unknownDependency(task: task.id, dependency: dependency) }
        predecessors.append(p)
      }
      rows.append(UInt32(predecessors.count))
      let work = whole.heldWork
      // No handler is called so.
      let name = work.map { " \($0.word)" } ?? task.handler
      if let known = handlerIndex[name] {
        handlerOf.append(known)
      } else {
        guard let handler = work.map({ TaskHandler(work: $0, index: held) }) ?? known[name] else {
          throw .unknownHandler(task: task.id, handler: name)
        }
        handlerIndex[name] = UInt32(handlers.count)
        handlerOf.append(UInt32(handlers.count))
        handlers.append(handler)
      }
      if task.isSpecial {
        let policy = ResolvedPolicy(task.policy, taskDefaults)
        let position = policyIndex[policy] ?? UInt32(policies.count)
        if position == UInt32(policies.count) {
          policyIndex[policy] = position
          policies.append(policy)
        }
        if policyOf.isEmpty, position != 0 { policyOf = [UInt32](repeating: 0, count: i) }
        if !policyOf.isEmpty || position != 0 { policyOf.append(position) }
        if var own = try TaskExpressions(task, binder) {
          own.inputSlot = inputSlots
          if own.input != nil { inputSlots += 1 }
          expressions[UInt32(i)] = own
        }
      } else if !policyOf.isEmpty {
        policyOf.append(0)
      }
    }
    let lease = KeyLease(table)
    for i in policies.indices {
      if let key = policies[i].key {
        policies[i].permits = PermitRequest(limit: try lease.limit(key, policies[i].keyLimit), weight: policies[i].weight)
      }
      if let rate = policies[i].rate { policies[i].pace = try lease.rate(rate) }
      if let breaker = policies[i].breaker { policies[i].guardian = try lease.breaker(breaker) }
    }
    let isRanked = expressions.values.contains { $0.priority != nil }
    let keys = try CompiledWorkflow.keys(definition, rows, predecessors, policyOf, policies, order)
    func node(_ i: Int) -> Plan.Node {
      let policy = policies[policyOf.isEmpty ? 0 : Int(policyOf[i])]
      let handler = handlers[Int(handlerOf[i])]
      let ranked = isRanked && expressions[UInt32(i)]?.priority != nil ? Plan.NodeFlag.ranked : 0
      return Plan.Node(
        handler: handler.index, priority: policy.priority.rawValue, flags: policy.nodeFlags(isHeld: handler.work != nil) | ranked,
        key: keys.isEmpty ? 0 : keys[i])
    }
    var foreaches: [UInt32: CompiledForeach] = [:]
    for (i, body) in bodies {
      guard let foreach = tasks[Int(i)].foreach else { continue }
      foreaches[i] = try CompiledForeach(tasks[Int(i)], foreach, body: body, key: keys.isEmpty ? 0 : keys[Int(i)], binder)
    }
    do {
      plan = try Plan(
        count: tasks.count, node: node,
        // Nothing of a saga is ready by itself.
        predecessors: { i, visit in if saga == nil { for j in Int(rows[i])..<Int(rows[i + 1]) { visit(Int(predecessors[j])) } } })
    } catch {
      throw .memory("\(error)")
    }
    self.definition = definition
    self.saga = saga
    self.order = order
    self.index = index
    self.rows = rows
    self.predecessors = predecessors
    self.handlers = handlers
    self.handlerOf = handlerOf
    self.policies = policies
    self.policyOf = policyOf
    self.expressions = expressions
    arguments = definition.arguments.map { TaskArgument($0, binder) }
    self.inputSlots = inputSlots
    self.foreaches = foreaches
    first = node(0)
    hasExpressions = !expressions.isEmpty || !foreaches.isEmpty || names.around != nil
    self.lease = lease
    limits = Array(Set(policies.lazy.filter { $0.key != nil }.map(\.permits.limit)))
    hasRates = !lease.rates.isEmpty
    hasBreakers = !lease.breakers.isEmpty
    texts = TaskTexts(definition)
    let tasksOfCleanup = definition.ofCleanup
    cleanup = tasksOfCleanup.tasks.isEmpty ? nil : try CompiledWorkflow(tasksOfCleanup, known, held, order, Names(ended: index), table, nil)
    var builds: [HandlerBuild] = []
    let more = bodies.values.flatMap(\.builds) + (cleanup?.builds ?? [])
    for build in handlers.compactMap(\.build) + more where !builds.contains(where: { $0 === build }) { builds.append(build) }
    self.builds = builds
    signalNames = definition.signalNames
    secrets = expressions.isEmpty && foreaches.isEmpty && cleanup == nil ? [] : definition.secrets
  }

  @inline(__always) func policy(_ node: UInt32) -> ResolvedPolicy { policies[policyOf.isEmpty ? 0 : Int(policyOf[Int(node)])] }

  /// True if timeouts may end the node's attempts.
  @inline(__always) func isWatched(_ node: UInt32) -> Bool { policies[policyOf.isEmpty ? 0 : Int(policyOf[Int(node)])].hasTimeouts }

  /// What makes the node's attempts wait; nil: nothing does.
  func rate(_ node: UInt32) -> Rate? {
    let pace = policy(node).pace
    return pace < 0 ? nil : lease.rates[pace]
  }

  /// What keeps the node's attempts from a destination that fails; nil: nothing does.
  func breaker(_ node: UInt32) -> Breaker? {
    let guardian = policy(node).guardian
    return guardian < 0 ? nil : lease.breakers[guardian]
  }

  @inline(__always) func hasTimers(_ node: UInt32) -> Bool { policies[policyOf.isEmpty ? 0 : Int(policyOf[Int(node)])].hasTimers }

  /// Start keys by order: smaller first. Also finds what the checker should have found: a cycle.
  private static func keys(
    _ definition: Definition, _ rows: [UInt32], _ predecessors: [UInt32], _ policyOf: [UInt32], _ policies: [ResolvedPolicy],
    _ order: TaskOrder
  ) throws(CompileError) -> [UInt32] {
    let tasks = definition.tasks
    // Reverse topological order by counting successors that are still to come.
    var left = [UInt32](repeating: 0, count: tasks.count)
    for p in predecessors { left[Int(p)] += 1 }
    var ranks = order == .criticalPath ? [Double](repeating: 0, count: tasks.count) : []
    let measured = definition.tasks.contains { $0.recordedSeconds != nil }
    var ready = tasks.indices.filter { left[$0] == 0 }
    var seen = 0
    while let i = ready.popLast() {
      seen += 1
      if order == .criticalPath { ranks[i] += measured ? tasks[i].recordedSeconds ?? 0 : 1 }
      for j in Int(rows[i])..<Int(rows[i + 1]) {
        let p = Int(predecessors[j])
        if order == .criticalPath { ranks[p] = max(ranks[p], ranks[i]) }
        left[p] -= 1
        if left[p] == 0 { ready.append(p) }
      }
    }
    if seen < tasks.count, let stuck = left.firstIndex(where: { $0 > 0 }) { throw .cycle(task: tasks[stuck].id) }
    switch order {
    case .fifo: return []
    case .criticalPath:
      let longest = max(ranks.max() ?? 0, .leastNormalMagnitude)
      return ranks.map { UInt32((1 - $0 / longest) * Double(UInt32.max - 1)) }
    case .deadline:
      // Milliseconds from the start of the run; the core's keys have 32 bits.
      return tasks.indices.map { i in
        let close = policies[policyOf.isEmpty ? 0 : Int(policyOf[i])].timeouts.scheduleToClose
        return close.map { UInt32(min($0 / 1_000_000, UInt64(UInt32.max - 1))) } ?? UInt32.max
      }
    }
  }
}

extension CompiledWorkflow.ResolvedPolicy {
  /// `isHeld`: the node has a job only until it begins, so that the core neither watches it nor keeps a permit for it.
  fileprivate func nodeFlags(isHeld: Bool) -> UInt8 {
    var flags: UInt8 = 0
    if timeouts.startToClose != nil, !isHeld { flags |= Plan.NodeFlag.timed }
    if timeouts.scheduleToStart != nil || timeouts.scheduleToClose != nil { flags |= Plan.NodeFlag.tellReady | Plan.NodeFlag.expires }
    if key != nil, !isHeld { flags |= Plan.NodeFlag.keyed }
    return flags
  }
}
