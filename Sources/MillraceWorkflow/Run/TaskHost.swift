public import CMillrace
internal import Glibc
public import MillraceCore
internal import Synchronization

/// What plugins see of the engine: the host table of `millrace/plugin.h`, and the memory that attempts use while they run.
///
/// One for each engine; made before plugins are loaded, since they keep its address.
@safe public final class TaskHost: @unchecked Sendable {
  /// Receives what plugins log: level (`MILLRACE_LOG_...`), line. Any thread.
  public typealias Log = @Sendable (UInt32, String) -> Void

  // unsafe: allocated in init, freed in deinit; plugins hold it as long as they are loaded.
  /// What a plugin is given when it is loaded. Valid as long as this object lives.
  public nonisolated(unsafe) let table: UnsafeMutablePointer<millrace_host>
  private let settings: [String: UnsafeMutablePointer<CChar>]
  private let settingNames: [String]
  private let log: Log
  /// What must not be written down.
  let redactor = Redactor()
  // unsafe: as `table`.
  nonisolated(unsafe) let environmentTable: UnsafeMutablePointer<millrace_environment>
  // unsafe: as `table`.
  nonisolated(unsafe) let itemsTable: UnsafeMutablePointer<millrace_items>
  nonisolated(unsafe) let traceTable: UnsafeMutablePointer<millrace_trace>
  nonisolated(unsafe) let randomTable: UnsafeMutablePointer<millrace_random>
  nonisolated(unsafe) let deliveryTable: UnsafeMutablePointer<millrace_deliveries>
  nonisolated(unsafe) let brokerTable: UnsafeMutablePointer<millrace_broker>
  private let names: (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<CChar>)
  /// Set once by `connect`, before any handler runs.
  private(set) var scheduler: Scheduler!
  private(set) var timers: Timers!
  private(set) var sharedShard = 0
  /// Concurrency keys and rates. Set once by `connect`.
  public private(set) var keys: KeyTable!
  /// Runs that wait for others with their key.
  let lines = RunLines()
  private(set) var workers = 0
  /// The core's handler of work of the runs' own that blocks.
  private var blockingIndex = HandlerIndex(rawValue: 0)
  /// Such work that has not begun, behind the monitor.
  private var blockingWork: [UInt64: @Sendable () -> Void] = [:]
  private var lastBlockingWork: UInt64 = 0
  /// The core's handler of tasks whose work the run does itself.
  public private(set) var heldIndex = HandlerIndex(rawValue: 0)
  private var lanes: UnsafeMutablePointer<HostLane>?
  private var laneCount = 0
  /// A list for each worker.
  private var lists: [LinkList] = []
  /// Where Swift tasks of asynchronous handlers run; nil: on the worker until they first wait, then among Swift's threads. Set before any handler runs.
  package var executor: (any TaskExecutor)?
  /// Who is told what runs do; nil: nobody. Set before any run is started.
  package var observer: (any EngineObserver)?
  /// Handlers find their contexts in a task-local value. As `observer`, which has it done too.
  package var bindsContext = false
  /// Functions of an attempt look at the thread that calls them. Set by `checkThreads`.
  private(set) var checksThreads = false
  /// What was told, behind the monitor: a function and a handler.
  private var wrongThreads: Set<String> = []
  /// Starts child workflows; nil: nobody does. Set before any run.
  package weak var children: (any ChildStarter)?
  /// Has the messages that tasks wait for; nil: there are none. Set before any run.
  package weak var messages: (any MessageSource)?
  /// Takes the messages of plugins; nil: there is no broker. Set before plugins are loaded.
  package weak var broker: (any PluginBroker)?
  /// What plugins draw from.
  package let randomness = Randomness()
  /// The wall clock, nanoseconds since 1970 in UTC, and how long it may be before it is looked at again. Set before any run.
  package var wall: @Sendable () -> Int64 = { millrace_wall() }
  package var wallLook: UInt64 = 60_000_000_000
  /// Who waits for asynchronous handlers to end.
  private let linkWaiters = Atomic<Int>(0)
  /// Guards what follows.
  private let monitor = Monitor()
  /// Runs that are not over, those that wait for their turn among them.
  private var runs: [ObjectIdentifier: WorkflowRun] = [:]
  private var isHurried = false
  /// Runs batches of handlers that block; nil: there was none.
  private var batches: BlockingPool?
  /// Attempts that were ended while their tokens were out, by token.
  private var abandoned: [JobID: AttemptPointer] = unsafe [:]
  /// The last tokens that were completed too late: a holder may do so just before its attempt is set aside.
  private var lateTokens = LateTokens()

  /// Attempts that a lane keeps for reuse.
  private static let keptAttempts = 64

  /// What a lane of handlers has for itself.
  @safe struct HostLane {
    var free: AttemptPointer?
    var freeCount = 0
    /// MILLRACE_MESSAGE_BYTES for the handler's message.
    var message: UnsafeMutablePointer<CChar>
    /// Attempts that are to be run together, of one handler.
    var row: BatchCall?
  }

  /// Plugins see `name`, `version` and `settings`, by full names such as `replay.mode`; all of it is copied. By default what they log is dropped.
  public init(name: String = "millrace", version: String, settings: [String: String] = [:], log: @escaping Log = { _, _ in }) {
    self.log = log
    unsafe names = (strdup(name), strdup(version))
    var copied: [String: UnsafeMutablePointer<CChar>] = unsafe [:]
    for (key, value) in settings { unsafe copied[key] = strdup(value) }
    unsafe self.settings = copied
    settingNames = Array(settings.keys)
    unsafe environmentTable = .allocate(capacity: 1)
    unsafe environmentTable.initialize(to: HostFunctions.environment)
    unsafe itemsTable = .allocate(capacity: 1)
    unsafe itemsTable.initialize(to: HostFunctions.items)
    unsafe traceTable = .allocate(capacity: 1)
    unsafe traceTable.initialize(to: HostFunctions.trace)
    unsafe randomTable = .allocate(capacity: 1)
    unsafe randomTable.initialize(to: HostFunctions.random)
    unsafe deliveryTable = .allocate(capacity: 1)
    unsafe deliveryTable.initialize(to: HostFunctions.deliveries)
    unsafe brokerTable = .allocate(capacity: 1)
    unsafe brokerTable.initialize(to: HostFunctions.broker)
    unsafe table = .allocate(capacity: 1)
    unsafe table.initialize(to: millrace_host())
    unsafe table.pointee.size = UInt32(MemoryLayout<millrace_host>.size)
    unsafe table.pointee.abi_version = MILLRACE_ABI_VERSION
    unsafe table.pointee.name = UnsafePointer(names.0)
    unsafe table.pointee.version = UnsafePointer(names.1)
    // unsafe: this object outlives the plugins that call through the table.
    unsafe table.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    unsafe HostFunctions.fill(table)
  }

  deinit {
    if let lanes = unsafe lanes {
      for i in 0..<laneCount {
        var attempt = unsafe lanes[i].free
        while let one = unsafe attempt {
          unsafe attempt = one.pointee.next
          unsafe one.deallocate()
        }
        unsafe lanes[i].message.deallocate()
      }
      unsafe lanes.deinitialize(count: laneCount)
      unsafe lanes.deallocate()
    }
    monitor.deallocate()
    for key in settingNames { unsafe free(settings[key]) }
    unsafe free(names.0)
    unsafe free(names.1)
    unsafe environmentTable.deallocate()
    unsafe itemsTable.deallocate()
    unsafe traceTable.deallocate()
    unsafe randomTable.deallocate()
    unsafe deliveryTable.deallocate()
    unsafe brokerTable.deallocate()
    unsafe table.deallocate()
  }

  /// Joins the host to the scheduler whose jobs its attempts are. Once, before any handler runs.
  public func connect(_ scheduler: Scheduler, timers: Timers, sharedShard: Int) {
    self.scheduler = scheduler
    self.timers = timers
    self.sharedShard = sharedShard
    keys = KeyTable(scheduler, timers: timers, shard: sharedShard)
    workers = scheduler.configuration.workers
    laneCount = scheduler.laneCount
    // Ended attempts that no worker has settled yet have their slots.
    lateTokens.room += scheduler.configuration.slots
    let lanes = UnsafeMutablePointer<HostLane>.allocate(capacity: laneCount)
    for i in 0..<laneCount {
      unsafe (lanes + i).initialize(
        to: HostLane(free: nil, message: .allocate(capacity: Int(MILLRACE_MESSAGE_BYTES))))
    }
    unsafe self.lanes = lanes
    lists = (0..<workers).map { _ in LinkList() }
    // unsafe: this object outlives the scheduler's workers.
    unsafe scheduler.tellRowEnds(
      { host, lane in unsafe Unmanaged<TaskHost>.fromOpaque(host!)._withUnsafeGuaranteedRef { $0.endRow(lane: lane) } },
      context: Unmanaged.passUnretained(self).toOpaque())
    guard let index = scheduler.register(WorkflowRun.heldHandler) else {
      preconditionFailure("a scheduler without room for one handler: connect the host before handlers are registered")
    }
    heldIndex = index
    // unsafe: this object outlives the scheduler's jobs.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    let handler = unsafe Handler(
      run: { host, context in
        let context = unsafe context.assumingMemoryBound(to: JobContext.self)
        unsafe Unmanaged<TaskHost>.fromOpaque(host!).takeUnretainedValue().runBlocking(context.pointee.first)
        return Outcome.done.rawValue
      }, context: context, blocking: true)
    guard let index = scheduler.register(handler) else {
      preconditionFailure("a scheduler without room for two handlers: connect the host before handlers are registered")
    }
    blockingIndex = index
  }

  /// From here on a plugin that calls a function of an attempt from a wrong thread is told of in the log, once for a function and handler. Before plugins are loaded.
  public func checkThreads() {
    checksThreads = true
    unsafe ThreadChecks.fill(table)
    unsafe ThreadChecks.fill(environmentTable)
    unsafe ThreadChecks.fill(itemsTable)
    unsafe ThreadChecks.fill(traceTable)
    unsafe ThreadChecks.fill(deliveryTable)
  }

  /// Any thread.
  func tellWrongThread(_ function: StaticString, handler: String) {
    guard monitor.locked({ wrongThreads.insert("\(function) \(handler)").inserted }) else { return }
    report(
      "handler \(handler) called `\(function)` from a thread that does not run its attempt, and no token of it is out: call it on the worker, or ask for a token first"
    )
  }

  /// unsafe: the lane's own thread only.
  @inline(__always) func lane(_ index: Int) -> UnsafeMutablePointer<HostLane> { unsafe lanes! + index }

  func setting(_ key: String) -> UnsafePointer<CChar>? { unsafe settings[key].map { unsafe UnsafePointer($0) } }

  func write(_ level: UInt32, _ line: String) { log(level, redactor.redact(line)) }

  /// A text without the values of the secrets that runs of this host have used: each is `***`. Complexity: O(text).
  public func redact(_ text: String) -> String { redactor.redact(text) }

  /// A line for the log about something that went wrong.
  public func report(_ line: String) { write(UInt32(MILLRACE_LOG_ERROR), line) }

  /// A line for the log about something that was to be expected.
  package func note(_ line: String) { write(UInt32(MILLRACE_LOG_NOTICE), line) }

  /// The clock that attempts are timed by.
  package var now: UInt64 { scheduler.clock.now }

  // MARK: Claims

  /// The right to end an attempt whose job has a token or a deadline. Whoever else has it for a moment, to look at a heartbeat, is waited for. False:
  /// the attempt has been ended.
  func claim(_ job: JobID) -> Bool {
    while true {
      switch scheduler.claim(job) {
      case .taken: return true
      case .gone: return false
      case .busy: millrace_yield()
      }
    }
  }

  // MARK: Attempts

  func takeAttempt(_ index: Int) -> AttemptPointer {
    let lane = unsafe lane(index)
    guard let attempt = unsafe lane.pointee.free else { return unsafe AttemptPointer.allocateAttempt() }
    unsafe lane.pointee.free = attempt.pointee.next
    unsafe lane.pointee.freeCount -= 1
    return unsafe attempt
  }

  /// Nobody uses the attempt any more. On the lane's own thread, which need not be the one that took it.
  func giveAttempt(_ attempt: AttemptPointer, lane index: Int) {
    unsafe attempt.pointee.error?.release()
    unsafe attempt.dropLink()
    unsafe attempt.dropObservation()
    let lane = unsafe lane(index)
    // Attempts of the blocking pool end on workers, which have no use for them.
    if unsafe lane.pointee.freeCount >= TaskHost.keptAttempts {
      unsafe attempt.deallocate()
      return
    }
    unsafe attempt.pointee.next = lane.pointee.free
    unsafe lane.pointee.free = attempt
    unsafe lane.pointee.freeCount += 1
  }

  /// Sets an attempt aside that was ended while its token was out: its holder may read inputs and ask `cancelled` until it completes the token, too late, or
  /// the engine ends. Until then the run stays.
  func abandon(_ attempt: AttemptPointer) {
    unsafe attempt.pointee.error?.release()
    unsafe attempt.pointee.error = nil
    unsafe attempt.life.storeReleasing(AttemptLife.abandoned)
    unsafe attempt.ownLink?.stop()
    // unsafe: the run is alive, as its attempt is.
    let anchor = unsafe attempt.pointee.run.takeUnretainedValue().anchor
    _ = unsafe Unmanaged.passRetained(anchor)
    if !anchor.compiled.builds.isEmpty { _ = anchor.enterBuilds() }
    let isLate = monitor.locked {
      if unsafe lateTokens.remove(attempt.pointee.job) { return true }
      unsafe abandoned[attempt.pointee.job] = attempt
      return false
    }
    if isLate { unsafe bury(attempt) }
  }

  /// A token was completed too late. If its attempt was set aside, it is freed, and its run let go.
  func tooLate(_ token: JobID) {
    let attempt: AttemptPointer? = unsafe monitor.locked {
      if let attempt = unsafe abandoned.removeValue(forKey: token) { return unsafe attempt }
      lateTokens.insert(token)
      return nil
    }
    if let attempt = unsafe attempt { unsafe bury(attempt) }
  }

  /// Frees an attempt that belongs to no lane any more.
  func discard(_ attempt: AttemptPointer) {
    unsafe attempt.pointee.error?.release()
    unsafe attempt.dropLink()
    unsafe attempt.dropObservation()
    unsafe attempt.deallocate()
  }

  private func bury(_ attempt: AttemptPointer) {
    let anchor = unsafe attempt.pointee.run.takeUnretainedValue().anchor
    unsafe attempt.dropLink()
    unsafe attempt.dropObservation()
    unsafe attempt.deallocate()
    anchor.leaveBuilds()
    // unsafe: the retain of `abandon`.
    unsafe Unmanaged.passUnretained(anchor).release()
  }

  /// Attempts that wait for the holders of their tokens.
  public var abandonedAttempts: Int { monitor.locked { unsafe abandoned.count } }

  // MARK: Asynchronous handlers

  func links(_ lane: Int) -> LinkList { lists[lane] }

  /// Asks the asynchronous handlers of a run to stop. Complexity: O(lanes + asynchronous handlers of all runs that have not ended).
  func stopLinks(of run: WorkflowRun) {
    for list in lists { for link in list.links(of: run) { link.stop() } }
  }

  /// Asynchronous handlers whose Swift tasks have not ended.
  package var openLinks: Int { lists.reduce(0) { $0 + $1.links(of: nil).count } }

  /// An asynchronous handler has ended: it is in no list any more.
  func linkEnded() {
    // Order: sequentially consistent. Pairs with the one in `waitForLinks`: either it is counted, or the lists are looked at again.
    if linkWaiters.add(0, ordering: .sequentiallyConsistent).newValue > 0 { monitor.locked { monitor.broadcast(.ended) } }
  }

  /// Waits until `condition` holds, looked at again under the monitor whenever an asynchronous handler or the last run has ended. False: it does not by `deadline` of the system's monotonic clock.
  package func waitForLinks(until deadline: UInt64, _ condition: () -> Bool) -> Bool {
    linkWaiters.add(1, ordering: .sequentiallyConsistent)
    defer { linkWaiters.subtract(1, ordering: .sequentiallyConsistent) }
    return monitor.locked {
      while !condition() {
        if deadline == .max {
          monitor.wait(.ended)
        } else if !monitor.wait(.ended, until: deadline) {
          return condition()
        }
      }
      return true
    }
  }

  // MARK: Work that blocks

  /// Has `work` done by a thread of the blocking pool, if the engine goes on until then. Throws `SubmitError`.
  func runBlocking(_ work: @escaping @Sendable () -> Void, priority: Priority) throws(SubmitError) {
    let number = monitor.locked {
      lastBlockingWork += 1
      blockingWork[lastBlockingWork] = work
      return lastBlockingWork
    }
    do {
      try scheduler.submit(JobRequest(handler: blockingIndex, priority: priority.rawValue, first: number))
    } catch {
      monitor.locked { blockingWork[number] = nil }
      throw error
    }
  }

  // MARK: Batches

  /// The worker's row takes one more attempt, which is pending. On the worker.
  func gather(_ attempt: GatheredAttempt, for handler: BatchHandler, lane index: Int) {
    let lane = unsafe lane(index)
    if let row = unsafe lane.pointee.row, row.handler !== handler { endRow(lane: index) }
    let row = unsafe lane.pointee.row ?? BatchCall(handler)
    row.add(attempt)
    unsafe lane.pointee.row = row
  }

  /// Calls the plugin for the row of a worker, if there is one. On the worker.
  private func endRow(lane index: Int) {
    let lane = unsafe lane(index)
    guard let row = unsafe lane.pointee.row else { return }
    unsafe lane.pointee.row = nil
    if row.handler.isBlocking { runElsewhere(row) } else { row.run() }
  }

  /// Has a batch run by a thread that may wait: one of its own pool, for those of the core are begun with jobs, and a batch has no job of its own that could wait for a slot.
  private func runElsewhere(_ call: BatchCall) {
    // unsafe: retained until it has run.
    let held = unsafe Unmanaged.passRetained(call)
    do {
      try unsafe batchPool().submit(UInt64(UInt(bitPattern: held.toOpaque())))
    } catch {
      // No thread to be had: better late than lost.
      unsafe held.release()
      call.run()
    }
  }

  private func batchPool() -> BlockingPool {
    monitor.locked {
      if let pool = batches { return pool }
      // A batch has an attempt with a slot: there are no more batches than slots, and none waits for a thread while its attempts' time runs.
      let slots = scheduler.configuration.slots
      let pool = unsafe BlockingPool(limit: min(slots, BlockingPool.threadLimit), capacity: slots, context: nil) { _, bits, _ in
        // unsafe: what `runElsewhere` retained.
        unsafe Unmanaged<BatchCall>.fromOpaque(UnsafeMutableRawPointer(bitPattern: UInt(bits))!).takeRetainedValue().run()
      }
      batches = pool
      return pool
    }
  }

  /// The thread that asks runs a batch of a handler that blocks.
  package var runsBatchHere: Bool { monitor.locked { batches }?.isOwnThread == true }

  /// Waits for the batches that are with their plugins. After the last worker, once.
  public func endBatches() { monitor.locked { batches }?.stop(.drain) }

  private func runBlocking(_ number: UInt64) {
    let work = monitor.locked { blockingWork.removeValue(forKey: number) }
    work?()
  }

  // MARK: Runs

  func began(_ run: WorkflowRun) { monitor.locked { runs[ObjectIdentifier(run)] = run } }

  /// True: the run was one of those that are not over.
  func ended(_ run: WorkflowRun) -> Bool {
    monitor.locked {
      let isNew = runs.removeValue(forKey: ObjectIdentifier(run)) != nil
      if runs.isEmpty { monitor.broadcast(.ended) }
      return isNew
    }
  }

  /// Waits until no run goes on and no asynchronous handler is left. False: some are at `deadline` of the system's monotonic clock, or when `stopWaiting` is called.
  package func waitUntilIdle(until deadline: UInt64) -> Bool {
    var isIdle = false
    _ = waitForLinks(until: deadline) {
      isIdle = runs.isEmpty && openLinks == 0
      return isIdle || isHurried
    }
    return isIdle
  }

  /// Ends `waitUntilIdle`, now and for ever.
  package func stopWaiting() {
    monitor.locked {
      isHurried = true
      monitor.broadcast(.ended)
    }
  }

  /// Runs that wait for others with their key.
  public var waitingRuns: Int { lines.waitingCount }

  /// Runs that are not over, those that wait among them.
  public var activeRuns: [WorkflowRun] { monitor.locked { Array(runs.values) } }

  package var activeRunCount: Int { monitor.locked { runs.count } }

  /// `run/task` of a job that runs, for reports; nil: it has ended. Complexity: O(tasks of all runs). Any thread.
  public func taskKey(running job: JobID) -> String? {
    for run in activeRuns {
      if let task = run.task(running: job) { return "\(run.id)/\(task)" }
    }
    return nil
  }

  /// Ends what the runtime left when it stopped: unfinished runs become CANCELLED. After the last thread of the runtime, before plugins go.
  public func endRuns() {
    for run in activeRuns { run.abandon() }
    monitor.locked { blockingWork = [:] }
  }

  /// Lets go of attempts whose tokens nobody will complete any more. After plugins have gone.
  public func close() {
    let left: [AttemptPointer] = unsafe monitor.locked {
      defer { unsafe abandoned = [:] }
      return unsafe Array(abandoned.values)
    }
    for i in unsafe 0..<left.count { unsafe bury(left[i]) }
  }

  static func from(_ host: UnsafePointer<millrace_host>?) -> TaskHost {
    // unsafe: the table is ours, its context set by init.
    unsafe Unmanaged<TaskHost>.fromOpaque(host!.pointee.context).takeUnretainedValue()
  }
}

/// The last tokens that were completed too late.
private struct LateTokens {
  /// How many are kept.
  var room = 256
  /// In order, and beyond those that are left: some have been removed.
  private var tokens: [JobID] = []
  private var next = 0
  private var left: Set<JobID> = []

  mutating func insert(_ token: JobID) {
    guard left.insert(token).inserted else { return }
    if tokens.count < room {
      tokens.append(token)
    } else {
      left.remove(tokens[next])
      tokens[next] = token
      next = (next + 1) % room
    }
  }

  mutating func remove(_ token: JobID) -> Bool { left.remove(token) != nil }
}
