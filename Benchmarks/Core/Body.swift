import CMillrace
import MillraceCore
import MillracePlugins

/// What a job does.
enum Body: Sendable {
  /// `bench/empty` of the plugin.
  case empty
  /// `bench/spin`: about so many nanoseconds of arithmetic.
  case spin(nanoseconds: Double)
  /// A function of the program: what the plugin's is compared with.
  case function
}

/// The bench plugin, and the host table that it sees.
@safe final class BenchPlugin {
  private static let pointsPerCalibration = 20
  private static let calibrationRounds = 1 << 14

  // unsafe: freed when the plugin is unloaded.
  private let table: UnsafeMutablePointer<millrace_host>
  private let plugin: LoadedPlugin
  /// What `setting` answers for `bench.rounds`.
  private let rounds: UnsafeMutablePointer<CChar>

  /// Loads the plugin that stands beside the program.
  init(rounds count: Int = 0) throws {
    unsafe table = .allocate(capacity: 1)
    unsafe table.initialize(to: millrace_host())
    let text = Array("\(count)".utf8CString)
    unsafe rounds = .allocate(capacity: text.count)
    for (i, character) in text.enumerated() { unsafe (rounds + i).initialize(to: character) }
    unsafe table.pointee.size = UInt32(MemoryLayout<millrace_host>.size)
    unsafe table.pointee.abi_version = MILLRACE_ABI_VERSION
    unsafe table.pointee.context = UnsafeMutableRawPointer(rounds)
    unsafe table.pointee.now = { _ in Clock.monotonic.now }
    unsafe table.pointee.setting = { host, key in
      guard let host = unsafe host, let key = unsafe key, unsafe String(cString: key) == "bench.rounds" else { return nil }
      return unsafe UnsafePointer(host.pointee.context.assumingMemoryBound(to: CChar.self))
    }
    unsafe table.pointee.log = { _, _, _ in }
    unsafe table.pointee.input_count = { _ in 0 }
    unsafe table.pointee.input = { _, _, _ in -1 }
    unsafe table.pointee.claim = { _, _, _, _ in nil }
    unsafe table.pointee.cancelled = { _ in 0 }
    unsafe table.pointee.heartbeat = { _, _ in }
    unsafe table.pointee.token = { _ in 0 }
    unsafe table.pointee.complete = { _, _, _ in -1 }
    unsafe table.pointee.complete_after = { _, _, _, _ in -1 }
    unsafe table.pointee.extension = { _, _ in nil }
    let beside = PluginSearch.ofProcess().programDirectory ?? "."
    var loader = unsafe PluginLoader(host: table)
    plugin = try loader.load(beside + "/libmillrace-plugin-bench.so")
  }

  deinit {
    plugin.unload()
    unsafe table.deallocate()
    unsafe rounds.deallocate()
  }

  /// Makes a lane ready to call `handler`.
  func prepare(_ call: UnsafeMutablePointer<Stage.Call>, handler name: String) {
    guard let handler = plugin.handlers.first(where: { $0.qualifiedName == name }) else { preconditionFailure("the plugin has no \(name)") }
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.message_capacity = MILLRACE_MESSAGE_BYTES
    // Kept for as long as the program runs: a page for each lane.
    unsafe outcome.message = .allocate(capacity: Int(MILLRACE_MESSAGE_BYTES))
    var first = unsafe millrace_call()
    unsafe first.size = UInt32(MemoryLayout<millrace_call>.size)
    unsafe first.attempt_number = 1
    unsafe first.host = UnsafePointer(table)
    unsafe call.initialize(
      to: Stage.Call(
        run: handler.pointer.pointee.run, context: handler.pointer.pointee.context, call: first, outcome: outcome,
        message: outcome.message))
  }

  /// Rounds of `bench/spin` in a nanosecond: the best of some tries.
  static func calibrate() throws -> Double {
    let plugin = try BenchPlugin(rounds: calibrationRounds)
    let call = UnsafeMutablePointer<Stage.Call>.allocate(capacity: 1)
    defer { unsafe call.deallocate() }
    unsafe plugin.prepare(call, handler: "bench/spin")
    var best = UInt64.max
    for _ in 0..<pointsPerCalibration {
      let start = Clock.monotonic.now
      _ = unsafe call.pointee.run(call.pointee.context, &call.pointee.call, &call.pointee.outcome)
      best = min(best, Clock.monotonic.now - start)
    }
    return Double(calibrationRounds) / Double(best)
  }
}

/// From the core's handler to the plugin's.
enum Trampoline {
  /// Calls the plugin's handler as the interface asks: the call's deadline, and an outcome without traces of the last one.
  @inline(__always) static func enter(_ stage: Stage, _ job: UnsafeMutablePointer<JobContext>) -> UInt8 {
    let call = unsafe stage.call(job.pointee.lane)
    unsafe call.pointee.call.deadline = job.pointee.deadline
    unsafe call.pointee.renew()
    return unsafe UInt8(truncatingIfNeeded: call.pointee.run(call.pointee.context, &call.pointee.call, &call.pointee.outcome))
  }

  /// A node of a plan. It is counted by the run's hook.
  static let node: Handler.Run = { context, job in
    unsafe enter(Stage(context!), job.assumingMemoryBound(to: JobContext.self))
  }

  /// A job from outside.
  static let job: Handler.Run = { context, job in
    let stage = unsafe Stage(context!)
    let job = unsafe job.assumingMemoryBound(to: JobContext.self)
    let outcome = unsafe enter(stage, job)
    unsafe stage.finished(job.pointee.lane)
    return outcome
  }

  /// A job that spawns two of `first - 1`, until 0. `second`: its handler.
  static let spawner: Handler.Run = { context, job in
    let stage = unsafe Stage(context!)
    let job = unsafe job.assumingMemoryBound(to: JobContext.self)
    let outcome = unsafe enter(stage, job)
    let depth = unsafe job.pointee.first
    if depth > 0 {
      let request = unsafe JobRequest(
        handler: HandlerIndex(rawValue: UInt32(job.pointee.second)), first: depth - 1, second: job.pointee.second)
      do {
        let pair: InlineArray<2, JobRequest> = [request, request]
        unsafe try job.pointee.spawn(pair.span)
      } catch {
        preconditionFailure("the capacity of the benchmark holds the tree: \(error)")
      }
    }
    unsafe stage.finished(job.pointee.lane)
    return outcome
  }

  /// A job that leaves how long after `second` it started in sample `first`.
  static let stamping: Handler.Run = { context, job in
    let stage = unsafe Stage(context!)
    let job = unsafe job.assumingMemoryBound(to: JobContext.self)
    unsafe stage.stamp(Int(job.pointee.first), since: job.pointee.second)
    let outcome = unsafe enter(stage, job)
    unsafe stage.finished(job.pointee.lane)
    return outcome
  }

  /// A job that goes on after its handler, and leaves its token in sample `first`.
  static let waiting: Handler.Run = { context, job in
    let stage = unsafe Stage(context!)
    let job = unsafe job.assumingMemoryBound(to: JobContext.self)
    unsafe stage.leave(job.pointee.job.rawValue, at: Int(job.pointee.first))
    unsafe job.pointee.tokenIssued = true
    return Outcome.pending.rawValue
  }

  /// A function of the program, for a node.
  static let function: Handler.Run = { _, _ in Outcome.done.rawValue }
}
