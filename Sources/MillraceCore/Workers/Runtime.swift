internal import CMillrace
internal import Glibc
internal import Synchronization

/// What a worker thread does when it finds nothing to do.
public enum WaitPolicy: String, Sendable, CaseIterable {
  /// Never sleeps: the shortest way from `submit` to start, a processor each. Refused with more threads than processors, or less than a whole one.
  case spin
  /// Spins for some 20 microseconds, then sleeps. With more threads than processors, or less than a whole one, it is `park`.
  case adaptive
  /// Sleeps at once.
  case park

  /// What so many threads do on a machine; nil: it is refused there.
  public func resolved(threads: Int, on machine: Machine) -> WaitPolicy? {
    if machine.maySpin(threads: threads) { return self }
    return self == .spin ? nil : .park
  }
}

/// How a runtime is built. Defaults follow what the control group grants.
public struct RuntimeConfiguration: Sendable {
  public var scheduler: SchedulerConfiguration
  public var wait: WaitPolicy
  /// Threads for handlers that block, at most; they start on demand.
  public var blockingThreads: Int
  /// Timers of each shard at once.
  public var timers: Int
  /// What a job takes while it waits, bytes: its record and, submitted alone, a node of its queue. docs/core.md has the sum.
  public static let jobBytes = 2 * Slab.recordBytes
  /// A handler that runs for longer is reported as stalled, nanoseconds; 0: never.
  public var stallAfter: UInt64
  /// Threads that wait for what they start may run jobs meanwhile: `Runtime.startHere`. One more worker, without a thread of its own.
  public var takesGuests = false

  /// Nil: `slots` and `threads` are the processors granted; `capacity` and `timers` 2^22, or what a quarter of the memory granted holds.
  public init(
    slots: Int? = nil, threads: Int? = nil, capacity: Int? = nil, tenants: Int = 16, ordered: Bool = false, wait: WaitPolicy = .adaptive,
    blockingThreads: Int? = nil, timers: Int? = nil, stallAfter: UInt64 = 10_000_000_000
  ) {
    let machine = Machine.read()
    let granted = min(machine.cpusGranted, Parking.maxWorkers)
    let room = machine.room(forEach: RuntimeConfiguration.jobBytes, most: 1 << 22)
    let threads = threads ?? granted
    let slots = slots ?? threads
    scheduler = SchedulerConfiguration(slots: slots, workers: threads, capacity: capacity ?? room, tenants: tenants, ordered: ordered)
    self.wait = wait
    self.blockingThreads = blockingThreads ?? min(slots, 256)
    self.timers = timers ?? room
    self.stallAfter = stallAfter
  }
}

/// Why a runtime could not be had.
public enum RuntimeError: Error, CustomStringConvertible {
  case spinNeedsProcessors(threads: Int, processors: Double)
  case outOfRange(name: String, value: Int, least: Int, most: Int)
  case memory(String)
  case loop(LoopError)
  case thread(errno: Int32)

  public var description: String {
    switch self {
    case .spinNeedsProcessors(let threads, let processors) where processors < 1:
      "spinning needs a whole processor for each of \(threads) threads, and \(processors) of one is granted: use `adaptive` or `park`"
    case .spinNeedsProcessors(let threads, let processors):
      "\(threads) spinning threads on \(processors) granted processors would stand in each other's way: use `adaptive` or `park`, or at most \(Int(processors)) threads"
    case .outOfRange(let name, let value, let least, let most): "\(name) is \(value), but must be \(least) to \(most)"
    case .memory(let what): what
    case .loop(let error): "the event loop does not start: \(error)"
    case .thread(let code): "a worker thread does not start (errno \(code)): lower `threads` or raise the limit on processes"
    }
  }
}

/// What a runtime tells its embedder. Functions of C with a context that outlives the runtime.
@safe public struct RuntimeHooks: Sendable {
  /// A timer of the embedder's fired: value, kind, due. On the loop's thread or a spinning worker's; must not block.
  public var timer: TimerSink
  /// A handler has run for longer than `stallAfter`: lane, job, nanoseconds at least. On the loop's thread; once for each call.
  public var stall: @convention(c) (UnsafeMutableRawPointer?, Int, UInt64, UInt64) -> Void
  /// A watched signal arrived. On the loop's thread.
  public var signal: @convention(c) (UnsafeMutableRawPointer?, Int32) -> Void
  /// `Runtime.callBack` was called, once or more. On the thread of the host's loop, where there is one, else on that of ours.
  public var wake: @convention(c) (UnsafeMutableRawPointer?) -> Void
  // unsafe: the embedder's; outlives the runtime.
  public nonisolated(unsafe) var context: UnsafeMutableRawPointer?

  @unsafe public init(
    context: UnsafeMutableRawPointer? = nil, timer: @escaping TimerSink = { _, _, _, _ in },
    stall: @escaping @convention(c) (UnsafeMutableRawPointer?, Int, UInt64, UInt64) -> Void = { _, _, _, _ in },
    signal: @escaping @convention(c) (UnsafeMutableRawPointer?, Int32) -> Void = { _, _ in },
    wake: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void = { _ in }
  ) {
    unsafe self.context = context
    unsafe self.timer = timer
    unsafe self.stall = stall
    unsafe self.signal = signal
    unsafe self.wake = wake
  }
}

/// A scheduler with its threads: workers, the event loop, timers, and the pool for handlers that block.
///
/// The loop has a thread of its own also where the host has one, which only calls back: whatever keeps the host's busy, timers fire in time.
///
/// `start` once, `stop` once; `submit` and the like through `scheduler` in between, from any thread.
@safe public final class Runtime: @unchecked Sendable {
  /// Looks at the queues before a worker under `adaptive` goes to sleep: some 20 microseconds.
  static let adaptiveLooks = 1000
  /// Jobs that a worker runs before it looks whether the runtime stops.
  static let jobsBetweenLooks = 256
  /// Timers of kinds from here on are the runtime's own.
  public static let reservedTimerKind: UInt16 = 0xFF00
  private static let stallTimer: UInt16 = 0xFF01

  public let scheduler: Scheduler
  /// As it was given, but for `wait`: `adaptive` has become `park` where threads may not spin.
  public let configuration: RuntimeConfiguration
  private let hooks: RuntimeHooks
  private var threads: [pthread_t] = []
  /// nil: the runtime takes no guests.
  let guest: Guest?
  private var loopStorage: EventLoop?
  /// Calls back on the host's loop; nil: ours does.
  private var hosted: EventLoop?
  private var timerStorage: Timers?
  private var poolStorage: BlockingPool?
  private let stallArmed = Atomic<Bool>(false)
  /// The job on each lane when the stall detector last looked.
  private var seenJobs: [UInt64]
  /// The job on each lane that was reported last.
  private var reportedJobs: [UInt64]

  /// Armed by anyone: one shard for each worker, the last one for all others.
  public var timers: Timers { timerStorage! }
  /// Keeps the time, and watches signals.
  public var loop: EventLoop { loopStorage! }
  /// The timer shard for threads that are no workers.
  public var sharedTimerShard: Int { configuration.scheduler.workers }
  /// Threads that run handlers.
  public var threadCount: Int { configuration.scheduler.workers - (guest == nil ? 0 : 1) }

  /// `hostLoop`: a `uv_loop_t` that the caller runs, to be called back on; `start` and `stop` are then called on its thread. `signals` to watch. Throws
  /// `RuntimeError`.
  public init(
    _ configuration: RuntimeConfiguration, hooks: RuntimeHooks = unsafe RuntimeHooks(), hostLoop: UnsafeMutableRawPointer? = nil,
    signals: [Int32] = []
  ) throws(RuntimeError) {
    var configuration = configuration
    let threads = configuration.scheduler.workers
    if configuration.takesGuests { configuration.scheduler.workers += 1 }
    let workers = configuration.scheduler.workers
    func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws(RuntimeError) {
      guard range ~= value else { throw .outOfRange(name: name, value: value, least: range.lowerBound, most: range.upperBound) }
    }
    try check("threads", threads, 1...Parking.maxWorkers - (workers - threads))
    try check("slots", configuration.scheduler.slots, 1...(1 << 24))
    try check("capacity", configuration.scheduler.capacity, 1...(1 << 30))
    try check("tenants", configuration.scheduler.tenants, 1...ReadySet.maxTenants)
    try check("blockingThreads", configuration.blockingThreads, 1...4096)
    let machine = Machine.read()
    guard let wait = configuration.wait.resolved(threads: threads, on: machine) else {
      throw .spinNeedsProcessors(threads: threads, processors: machine.processorShare)
    }
    configuration.wait = wait
    self.configuration = configuration
    self.hooks = hooks
    do {
      scheduler = try Scheduler(configuration.scheduler, blockingLanes: configuration.blockingThreads)
    } catch {
      throw .memory("\(error)")
    }
    guest = configuration.takesGuests ? Guest(scheduler, index: threads) : nil
    seenJobs = Array(repeating: 0, count: scheduler.laneCount)
    reportedJobs = seenJobs

    // unsafe: the loop, the timers and the pool are stopped before this object goes away; it is their context.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    let loop = unsafe EventLoop(
      signals: signals,
      callbacks: LoopCallbacks(
        context: context, wake: { unsafe Runtime.from($0).onWake() }, alarm: { unsafe Runtime.from($0).onAlarm() },
        signal: { unsafe Runtime.from($0).onSignal($1) }))
    loopStorage = loop
    if let hostLoop = unsafe hostLoop {
      hosted = unsafe EventLoop(
        host: hostLoop, callbacks: LoopCallbacks(context: context, wake: { unsafe Runtime.from($0).onWake() }))
    }
    do {
      timerStorage = unsafe try Timers(
        shards: workers + 1, capacity: configuration.timers, context: context,
        sink: { unsafe Runtime.from($0).onTimer($1, $2, $3) },
        alarmContext: loop.alarmContext, alarm: EventLoop.alarm)
    } catch {
      throw .memory("\(error)")
    }
    unsafe scheduler.alarm = EventLoop.alarm
    unsafe scheduler.alarmContext = loop.alarmContext
    poolStorage = unsafe BlockingPool(
      limit: configuration.blockingThreads, capacity: configuration.scheduler.slots, context: context,
      run: { unsafe Runtime.from($0).runBlocking(JobID(rawValue: $1), pool: $2) })
  }

  private static func from(_ context: UnsafeMutableRawPointer?) -> Runtime {
    // unsafe: every callback is registered with the runtime itself, which outlives them.
    unsafe Unmanaged<Runtime>.fromOpaque(context!).takeUnretainedValue()
  }

  // MARK: Start and stop

  /// Starts the loop and the workers. Throws `RuntimeError`; then nothing runs.
  public func start() throws(RuntimeError) {
    do {
      try loop.start()
      try hosted?.start()
    } catch {
      loop.stop()
      throw .loop(error)
    }
    for i in 0..<threadCount {
      let start = UnsafeMutablePointer<WorkerStart>.allocate(capacity: 1)
      unsafe start.initialize(to: WorkerStart(runtime: self, index: i))
      var thread = pthread_t()
      let code = unsafe pthread_create(&thread, nil, Runtime.workerMain, start)
      if code != 0 {
        unsafe start.deinitialize(count: 1)
        unsafe start.deallocate()
        stop()
        throw .thread(errno: code)
      }
      threads.append(thread)
    }
  }

  /// Stops: no more submissions are taken, handlers that run are waited for, what is ready stays undone. Returns when no thread of the runtime is left.
  public func stop() {
    scheduler.stop()
    scheduler.parking.wakeAll()
    for thread in threads { pthread_join(thread, nil) }
    threads = []
    guest?.close()
    guest?.retire()
    poolStorage?.stop(.drain)
    loop.stop()
    hosted?.stop()
  }

  /// True on a thread that `stop` waits for: it must not be called there.
  public var isOwnThread: Bool {
    let here = pthread_self()
    if threads.contains(where: { pthread_equal($0, here) != 0 }) { return true }
    return loop.isOwnThread || poolStorage?.isOwnThread == true || guest?.isHere == true
  }

  private struct WorkerStart {
    let runtime: Runtime
    let index: Int
  }

  private static let workerMain: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
    // unsafe: allocated by `start` for this thread alone.
    let start = unsafe argument!.assumingMemoryBound(to: WorkerStart.self)
    let runtime = unsafe start.pointee.runtime
    let index = unsafe start.pointee.index
    unsafe start.deinitialize(count: 1)
    unsafe start.deallocate()
    unsafe millrace_name_thread("millrace-\(index)")
    runtime.work(index)
    return nil
  }

  // MARK: Workers

  private func work(_ index: Int) {
    let worker = scheduler.makeWorker(index)
    let parking = scheduler.parking
    var searching = false
    // Since work was last found.
    var looks = 0
    var restraint = Restraint()
    // The levels that the last look found.
    var levels: UInt64 = 0
    // A worker's first job may be there before it has searched: it is watched as well.
    var isFirst = true
    while true {
      if let begun = worker.begin() {
        looks = 0
        if isFirst {
          isFirst = false
          watchForStalls(worker.index)
        }
        let came = searching && parking.workers > 1
        if searching {
          searching = false
          // The last one to find something sends the next, so that a burst wakes everybody without every submission waking somebody.
          if parking.foundWork(), scheduler.ready.occupied() != 0 { parking.notify() }
          watchForStalls(worker.index)
        }
        execute(begun, worker)
        if came { restraint.came(levels, now: scheduler.clock.now) }
        let ran = keepWorking(worker)
        if came { restraint.wentDry(after: ran, now: scheduler.clock.now) }
        if scheduler.isStopping { break }
        continue
      }
      worker.settleCounts()
      if scheduler.isStopping { break }
      if !searching, configuration.wait != .park, !parking.enoughSearchers {
        parking.beginSearch()
        searching = true
      }
      if searching, look(&looks, &levels, &restraint) { continue }
      if scheduler.isStopping { break }
      if configuration.wait == .spin, searching {
        looks = 0
        continue
      }

      parking.prepareToSleep(index, searching: searching)
      if let begun = worker.begin() {
        _ = parking.cancelSleep(index)
        if parking.foundWork(), scheduler.ready.occupied() != 0 { parking.notify() }
        searching = false
        looks = 0
        watchForStalls(worker.index)
        execute(begun, worker)
        continue
      }
      worker.settleCounts()
      if scheduler.isStopping {
        _ = parking.cancelSleep(index)
        searching = true
        break
      }
      parking.sleep(index)
      searching = true
      looks = 0
    }
    if searching { _ = parking.foundWork() }
    worker.retire()
  }

  /// Runs what there is until there is no more, or the runtime stops. How many jobs.
  private func keepWorking(_ worker: borrowing Worker) -> Int {
    var ran = 0
    while !scheduler.isStopping {
      let work = worker.work(upTo: Runtime.jobsBetweenLooks)
      ran += work.ran
      switch work.end {
      case .idle: return ran
      case .limit: continue
      case .blocking(let job): runElsewhere(job, worker)
      }
    }
    return ran
  }

  private func execute(_ begun: Begun, _ worker: borrowing Worker) {
    if begun.blocking {
      worker.handOver(begun)
      runElsewhere(begun.job, worker)
    } else if begun.gathers {
      _ = worker.gather(begun, upTo: Runtime.jobsBetweenLooks)
    } else {
      worker.finish(begun, worker.run(begun))
    }
  }

  /// Gives a job that a worker has handed over to the pool.
  func runElsewhere(_ job: JobID, _ worker: borrowing Worker) {
    do {
      try poolStorage!.submit(job.rawValue)
    } catch {
      // No thread to be had: better late than lost. The pool's lanes are not in use by this worker, so it runs on its own.
      runBlocking(job, lane: worker.index)
    }
  }

  /// Spins until there may be work, in `levels`. False: not within the policy's patience, all `looks` since work was last found together.
  private func look(_ looks: inout Int, _ levels: inout UInt64, _ restraint: inout Restraint) -> Bool {
    while looks < Runtime.adaptiveLooks {
      looks += 1
      if scheduler.isStopping { return true }
      if scheduler.mayBegin {
        levels = scheduler.ready.occupied()
        if !restraint.isOn || !restraint.holds(levels, handed: scheduler.ready.hasHanded, now: scheduler.clock.now) { return true }
        // There is work: holding back from it is no reason to sleep, and ends by the clock.
        looks -= 1
      }
      // A spinning worker keeps the time as well: it is nearer than the loop's next wake-up.
      if looks & 63 == 0, timers.nextDue != Timers.never {
        let now = scheduler.clock.now
        if timers.nextDue <= now { _ = timers.advance(to: now) }
      }
      millrace_pause()
    }
    return false
  }

  // MARK: Blocking handlers

  private func runBlocking(_ id: JobID, pool lane: Int) { runBlocking(id, lane: configuration.scheduler.workers + lane) }

  private func runBlocking(_ id: JobID, lane index: Int) {
    watchForStalls(index)
    scheduler.runElsewhere(id, lane: index)
  }

  // MARK: The loop's thread

  /// Has `RuntimeHooks.wake` called, on the thread of the host's loop where there is one. Many at once become one.
  public func callBack() { (hosted ?? loop).wake() }

  private func onWake() { unsafe hooks.wake(hooks.context) }

  private func onAlarm() -> UInt64 {
    let now = scheduler.clock.now
    let overdue = scheduler.endOverdue(now: now)
    _ = timers.advance(to: now)
    return min(overdue, timers.nextDue)
  }

  private func onTimer(_ value: UInt64, _ kind: UInt16, _ due: UInt64) {
    if kind == Runtime.stallTimer { reportStalls() } else { unsafe hooks.timer(hooks.context, value, kind, due) }
  }

  private func onSignal(_ number: Int32) { unsafe hooks.signal(hooks.context, number) }

  // MARK: Stalls

  /// A lane becomes busy: the detector looks again as long as something is busy, and costs an idle engine nothing.
  func watchForStalls(_ lane: Int) {
    if configuration.stallAfter == 0 || stallArmed.load(ordering: .relaxed) { return }
    // Order: acquiring and releasing. Pairs with the release in `reportStalls`.
    if stallArmed.exchange(true, ordering: .acquiringAndReleasing) { return }
    armStallTimer()
  }

  private func armStallTimer() {
    do {
      _ = try timers.arm(shard: sharedTimerShard, due: scheduler.clock.now &+ configuration.stallAfter, value: 0, kind: Runtime.stallTimer)
    } catch {
      // No timer to be had: the next lane that becomes busy tries again.
      stallArmed.store(false, ordering: .releasing)
    }
  }

  private func reportStalls() {
    var busy = false
    for i in 0..<scheduler.laneCount {
      let job = scheduler.lane(i).job.loadAcquiring()
      if job == 0 { continue }
      busy = true
      // The same job as last time: it has run for a whole period at least. Reported once.
      if seenJobs[i] == job, reportedJobs[i] != job {
        reportedJobs[i] = job
        unsafe hooks.stall(hooks.context, i, job, configuration.stallAfter)
      }
      seenJobs[i] = job
    }
    if busy {
      armStallTimer()
      return
    }
    // Order: releasing. Pairs with the exchange in `watchForStalls`; a lane that became busy meanwhile is found by the second look.
    stallArmed.store(false, ordering: .releasing)
    for i in 0..<scheduler.laneCount where scheduler.lane(i).job.loadAcquiring() != 0 { return watchForStalls(i) }
  }
}
