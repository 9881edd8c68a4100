import MillraceCore
import Synchronization

/// Counts jobs on the lanes that run them, and waits for the last.
@safe final class Done: @unchecked Sendable {
  private static let stride = 16
  // unsafe: 64 lanes of 128 bytes, each written by one lane.
  private let counts: UnsafeMutablePointer<Atomic<Int>>
  private var expected = 0
  private let ended = Atomic<Bool>(false)

  init() {
    unsafe counts = .allocate(capacity: 64 * Done.stride)
    for i in 0..<64 * Done.stride { unsafe (counts + i).initialize(to: Atomic(0)) }
  }

  deinit { unsafe counts.deallocate() }

  func expect(_ count: Int) { expected = count }

  private func count(_ lane: Int) {
    let own = unsafe counts + lane * Done.stride
    unsafe own.pointee.store(own.pointee.load(ordering: .relaxed) + 1, ordering: .releasing)
  }

  private var total: Int {
    var total = 0
    for lane in 0..<64 { total += unsafe counts[lane * Done.stride].load(ordering: .acquiring) }
    return total
  }

  /// The waiting thread must not take a processor from the workers: it looks now and then.
  func wait() {
    while total < expected { yield() }
  }

  private func yield() { for _ in 0..<2000 where ended.load(ordering: .relaxed) { return } }

  var counting: Handler {
    unsafe Handler(
      run: { context, call in
        let done = unsafe Unmanaged<Done>.fromOpaque(context!)
        let lane = unsafe call.assumingMemoryBound(to: JobContext.self).pointee.lane
        unsafe done._withUnsafeGuaranteedRef { $0.count(lane) }
        return Outcome.done.rawValue
      }, context: Unmanaged.passUnretained(self).toOpaque())
  }

  /// A job that spawns two of `first - 1`, until 0.
  var spawning: Handler {
    unsafe Handler(
      run: { context, call in
        let done = unsafe Unmanaged<Done>.fromOpaque(context!)
        let call = unsafe call.assumingMemoryBound(to: JobContext.self)
        let depth = unsafe call.pointee.first
        if depth > 0 {
          let request = unsafe JobRequest(
            handler: HandlerIndex(rawValue: UInt32(call.pointee.second)), first: depth - 1, second: call.pointee.second)
          do {
            unsafe try call.pointee.spawn(request)
            unsafe try call.pointee.spawn(request)
          } catch {
            preconditionFailure("the capacity of the benchmark holds the tree: \(error)")
          }
        }
        unsafe done._withUnsafeGuaranteedRef { unsafe $0.count(call.pointee.lane) }
        return Outcome.done.rawValue
      }, context: Unmanaged.passUnretained(self).toOpaque())
  }

  /// Nanoseconds a node of one run.
  func time(_ plan: Plan, _ scheduler: Scheduler) throws -> Double {
    let run = try unsafe Run(
      plan,
      hooks: RunHooks(
        context: Unmanaged.passUnretained(self).toOpaque(),
        completed: { context in
          unsafe Unmanaged<Done>.fromOpaque(context).takeUnretainedValue().ended.store(true, ordering: .releasing)
        }))
    let start = Clock.monotonic.now
    try scheduler.start(run)
    while !ended.load(ordering: .acquiring) { yield() }
    return Double(Clock.monotonic.now - start) / Double(plan.count)
  }
}
