import CMillrace
import Synchronization
import Testing

@testable import MillraceCore

/// What an engine that has nothing to do costs: nothing.
@Suite(.serialized) struct IdleTests {
  @Test("an idle engine is not scheduled for a second", arguments: [WaitPolicy.park, .adaptive])
  func idle(wait: WaitPolicy) throws {
    let threads = Threads()
    let runtime = try Self.runtime(wait, threads)
    try runtime.start()
    defer { runtime.stop() }
    try warm(runtime, threads)
    try expectRest(of: runtime, threads)
  }

  @Test("an engine whose slots are all held, with more jobs ready, is not scheduled for a second", arguments: [WaitPolicy.park, .adaptive])
  func full(wait: WaitPolicy) throws {
    let threads = Threads()
    let runtime = try Self.runtime(wait, threads)
    let scheduler = runtime.scheduler
    let pending = try #require(scheduler.register(unsafe Handler(run: { _, _ in Outcome.pending.rawValue })))
    try runtime.start()
    defer { runtime.stop() }
    try warm(runtime, threads)
    for _ in 0..<10 { try scheduler.submit(JobRequest(handler: pending)) }
    try expectRest(of: runtime, threads)
    #expect(scheduler.freeSlots == 0)
    #expect(scheduler.ready.occupied() != 0)
  }

  static func runtime(_ wait: WaitPolicy, _ threads: Threads) throws -> Runtime {
    var configuration = RuntimeConfiguration(slots: 2, threads: 2, capacity: 1_000, wait: wait)
    // The stall detector looks as long as something runs, and once more.
    configuration.stallAfter = 1_000_000
    return unsafe try Runtime(configuration, hooks: threads.hooks)
  }

  /// Makes both workers and the loop work once, so that their threads are known.
  private func warm(_ runtime: Runtime, _ threads: Threads) throws {
    let scheduler = runtime.scheduler
    let both = Tally()
    let meet = ClosureHandler { context in
      threads.see(context.lane)
      both.raise()
      // Neither goes on before the other has come.
      _ = both.wait(for: 2)
    }
    let handler = try #require(scheduler.register(meet.handler))
    for _ in 0..<2 { try scheduler.submit(JobRequest(handler: handler)) }
    try #require(both.wait(for: 2))
    var fired: UInt32 = 0
    // A worker that still looks for work may fire a timer in the loop's place.
    while !threads.isComplete {
      _ = try runtime.timers.arm(shard: runtime.sharedTimerShard, due: scheduler.clock.now + 1_000_000, value: 0, kind: 1)
      fired += 1
      try #require(threads.fired.wait(for: fired))
    }
    // The handler is this function's: it must be over before we return.
    while scheduler.freeSlots < 2 { waitByTimer(nanoseconds: 1_000_000) }
  }

  private func expectRest(of runtime: Runtime, _ threads: Threads) throws {
    let watch = ThreadWatch(threads.all)
    var looks = 0
    // A thread that sleeps may be about to do its last: rest is when none was scheduled from one look to the next, many times over.
    var before = watch.switches
    var restful = 0
    while restful < 25 {
      waitByTimer(nanoseconds: 2_000_000)
      let atRest = runtime.scheduler.parking.sleeping == 2 && runtime.timers.nextDue == Timers.never && watch.areAsleep
      let now = watch.switches
      restful = atRest && now.total == before.total ? restful + 1 : 0
      before = now
      looks += 1
      try #require(looks < 10_000, "the engine does not come to rest")
    }
    waitByTimer(nanoseconds: 1_000_000_000)
    #expect(watch.switches.total == before.total)
  }
}

/// The threads of a runtime with two workers, by their own words.
@safe final class Threads: Sendable {
  let fired = Tally()
  private let first = Atomic<Int32>(0)
  private let second = Atomic<Int32>(0)
  private let loop = Atomic<Int32>(0)

  var all: [Int32] {
    [first.load(ordering: .acquiring), second.load(ordering: .acquiring), loop.load(ordering: .acquiring)]
  }
  var isComplete: Bool { !all.contains(0) }

  func see(_ lane: Int) {
    let thread = millrace_thread_id()
    if lane == 0 { first.store(thread, ordering: .releasing) } else { second.store(thread, ordering: .releasing) }
  }

  /// Timers tell of the loop's thread.
  var hooks: RuntimeHooks {
    unsafe RuntimeHooks(
      context: Unmanaged.passUnretained(self).toOpaque(),
      timer: { context, _, _, _ in
        // unsafe: the test keeps this object for as long as the runtime.
        let threads = unsafe Unmanaged<Threads>.fromOpaque(context!).takeUnretainedValue()
        let thread = millrace_thread_id()
        if !threads.all.prefix(2).contains(thread) { threads.loop.store(thread, ordering: .releasing) }
        threads.fired.raise()
      })
  }
}
