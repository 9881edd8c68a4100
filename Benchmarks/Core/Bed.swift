import CMillrace
import MillraceCore

/// A runtime as a user gets it, with four priorities, tenants, cancellation and counters on, and the plugin's handler in it.
@safe final class Bed {
  let runtime: Runtime
  let stage: Stage
  let workers: Int
  private let plugin: BenchPlugin
  private let timerTarget = TimerTarget()
  /// Of a plan's nodes.
  let node: HandlerIndex
  let job: HandlerIndex
  let spawner: HandlerIndex
  let stamping: HandlerIndex

  var scheduler: Scheduler { runtime.scheduler }

  init(workers: Int, body: Body = .empty, wait: WaitPolicy = .adaptive, firesTimers: Bool = false, stallAfter: UInt64? = nil)
    throws
  {
    self.workers = workers
    let stage = Stage()
    self.stage = stage
    (plugin, _) = try Bed.load(body, lanes: workers, on: stage)
    var configuration = RuntimeConfiguration(slots: workers, threads: workers, wait: wait)
    if let stallAfter { configuration.stallAfter = stallAfter }
    if firesTimers {
      let hooks = unsafe RuntimeHooks(
        context: Unmanaged.passUnretained(timerTarget).toOpaque(),
        timer: { context, value, _, due in
          // unsafe: the target outlives the runtime.
          unsafe Unmanaged<TimerTarget>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.fire(value, due) }
        })
      runtime = try unsafe Runtime(configuration, hooks: hooks)
    } else {
      runtime = try unsafe Runtime(configuration)
    }
    let scheduler = runtime.scheduler
    job = unsafe scheduler.add(Trampoline.job, stage)
    spawner = unsafe scheduler.add(Trampoline.spawner, stage)
    stamping = unsafe scheduler.add(Trampoline.stamping, stage)
    if case .function = body {
      node = unsafe scheduler.add(Trampoline.function, stage)
    } else {
      node = unsafe scheduler.add(Trampoline.node, stage)
    }
    timerTarget.submit(to: scheduler, stamping)
    try runtime.start()
  }

  deinit {
    runtime.stop()
    stage.deallocate()
  }

  /// Loads the plugin, and makes the lanes ready to call the handler that `body` asks for.
  static func load(_ body: Body, lanes: Int, on stage: Stage) throws -> (BenchPlugin, rounds: Int) {
    var rounds = 0
    var name = "bench/empty"
    if case .spin(let nanoseconds) = body {
      rounds = max(1, Int(nanoseconds * (try BenchPlugin.calibrate())))
      name = "bench/spin"
    }
    let plugin = try BenchPlugin(rounds: rounds)
    for lane in 0..<lanes { unsafe plugin.prepare(stage.call(lane), handler: name) }
    return (plugin, rounds)
  }

  // MARK: What is measured, nanoseconds

  /// `count` jobs from outside, in batches of 64; `batches` different ones in turn. Nanoseconds for all.
  func independent(_ count: Int, batches: Int = 1, request: (Int) -> JobRequest) throws -> UInt64 {
    let lots = (0..<batches).map { b in (0..<Bed.batch).map { request(b * Bed.batch + $0) } }
    let target = stage.expect(Shape.independent.jobs(count), lanes: workers)
    let start = Clock.monotonic.now
    for i in 0..<Shape.independent.jobs(count) / Bed.batch { try submit(lots[i % batches]) }
    stage.waitForCount(target)
    return Clock.monotonic.now - start
  }

  static let batch = 64

  /// Job `i` of two batches: a tenant each, a quarter of the batch of every priority.
  static func mixed(_ handler: HandlerIndex, _ i: Int) -> JobRequest {
    JobRequest(handler: handler, priority: UInt8(i % batch / (batch / 4)), tenant: UInt16(i / batch))
  }

  private func submit(_ batch: [JobRequest]) throws {
    while true {
      do {
        return try scheduler.submit(batch.span)
      } catch SubmitError.full {
        millrace_yield()
      }
    }
  }

  /// A binary tree of 2^depth - 1 jobs, each spawning two.
  func tree(depth: Int) throws -> UInt64 {
    let target = stage.expect(1 << depth - 1, lanes: workers)
    let start = Clock.monotonic.now
    try scheduler.submit(Tree.root(spawner, depth: depth))
    stage.waitForCount(target)
    return Clock.monotonic.now - start
  }

  /// One run of a prebuilt plan, with a hook that counts its nodes, and the making of the run itself.
  /// `atEnd` is called when it has ended and is not yet freed.
  func run(_ plan: Plan, atEnd: () throws -> Void = {}) throws -> UInt64 {
    _ = stage.expect(0, lanes: workers)
    let start = Clock.monotonic.now
    let run = try Run(plan, hooks: Hooks.counting(stage))
    try scheduler.start(run)
    stage.waitForGate()
    let end = Clock.monotonic.now
    try atEnd()
    return withExtendedLifetime(run) { end - start }
  }

  /// The body alone, called `count` times on this thread while nothing else runs.
  func serial(_ count: Int) -> UInt64 {
    let call = unsafe stage.call(0)
    let start = Clock.monotonic.now
    for _ in 0..<count { _ = unsafe call.pointee.run(call.pointee.context, &call.pointee.call, &call.pointee.outcome) }
    return Clock.monotonic.now - start
  }
}

extension Scheduler {
  /// Registers one of the benchmark's few handlers.
  func add(_ run: @escaping Handler.Run, _ stage: Stage) -> HandlerIndex {
    guard let index = unsafe register(Handler(run: run, context: stage.base)) else {
      preconditionFailure("there is room for some handlers")
    }
    return index
  }
}

/// What the owner of a measured run is told.
enum Hooks {
  /// Start-to-close of timed jobs, nanoseconds.
  static let timeout: UInt64 = 10_000_000_000

  /// The timeout is asked for only by nodes with `Plan.NodeFlag.timed`.
  static func counting(_ stage: Stage) -> RunHooks {
    unsafe RunHooks(
      context: stage.base, completed: { unsafe Stage($0).open() },
      finished: { context, lane, _, _ in
        unsafe Stage(context).finished(lane)
        return Verdict.release.rawValue
      }, timeout: { _, _ in Hooks.timeout })
  }
}
