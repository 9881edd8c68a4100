internal import CMillrace
package import MillraceCore
package import MillraceWorkflow

/// An engine without threads: the engine's own scheduler, workers, timers and host on a virtual clock, stepped from one thread in an order that a seed draws.
///
/// # Threads
/// One; tokens may be completed by any.
@safe package final class SteppedEngine: @unchecked Sendable {
  package let clock: VirtualClock
  package let scheduler: Scheduler
  package let host: TaskHost
  /// Called before a timer is given to the run: value and kind.
  package var onTimer: (UInt64, UInt16) -> Void = { _, _ in }
  private var timers: Timers!
  private let count: Int
  private let workers: UnsafeMutablePointer<Worker>
  package var random: Seed

  package init(_ configuration: SchedulerConfiguration, timers capacity: Int, seed: UInt64, start: UInt64 = 0) throws {
    clock = VirtualClock(start: start)
    count = configuration.workers
    random = Seed(seed)
    host = TaskHost(version: "simulation")
    host.randomness.follow(seed: seed)
    // The virtual clocks go together: nobody sets them.
    host.wallLook = .max
    host.wall = { [clock] in Int64(clamping: clock.now) }
    scheduler = try Scheduler(configuration, clock: clock.clock)
    // unsafe: noncopyable workers in fixed places, until deinit.
    unsafe workers = .allocate(capacity: count)
    for i in 0..<count { unsafe (workers + i).initialize(to: scheduler.makeWorker(i)) }
    // unsafe: the timers are this engine's, advanced by it only.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    timers = unsafe try Timers(
      shards: count + 1, capacity: capacity, context: context,
      sink: { context, value, kind, _ in
        // unsafe: the engine that owns the timers.
        let engine = unsafe Unmanaged<SteppedEngine>.fromOpaque(context!).takeUnretainedValue()
        engine.onTimer(value, kind)
        WorkflowRun.fire(engine.host, value: value, kind: kind)
      })
    host.connect(scheduler, timers: timers, sharedShard: count)
  }

  deinit {
    // As an engine does at its end: runs that go on, and attempts whose tokens are out, hold the host.
    host.endBatches()
    host.endRuns()
    host.close()
    for i in 0..<count { unsafe workers[i].retire() }
    unsafe workers.deinitialize(count: count)
    unsafe workers.deallocate()
  }

  /// Nanoseconds of the virtual clock, which begins with `start`.
  package var now: UInt64 { clock.now }

  /// Steps until no worker finds anything to do at this time any more. `ran`: a handler was called, and how that ended. True: something was found.
  @discardableResult
  package func stepUntilIdle(began: (Begun) -> Void = { _ in }, ran: (borrowing Begun, UInt8) -> Void = { _, _ in }) -> Bool {
    var order = Array(0..<count)
    // A worker that finds nothing may end a run by that, and so begin its cleanup, or go on with its parent: all are asked again.
    var (idle, any) = (0, false)
    while idle < 2 {
      idle += 1
      let runs = host.activeRuns.count
      order.shuffle(using: &random)
      for i in order {
        guard let begun = unsafe workers[i].begin() else {
          unsafe workers[i].settleCounts()
          continue
        }
        (idle, any) = (0, true)
        began(begun)
        let outcome = unsafe workers[i].run(begun)
        ran(begun, outcome)
        unsafe workers[i].finish(begun, outcome)
      }
      if host.activeRuns.count != runs { idle = 0 }
    }
    return any
  }

  /// When a timer is due next, virtual nanoseconds; nil: none is armed.
  package var nextDue: UInt64? {
    let due = timers.nextDue
    return due == Timers.never ? nil : due
  }

  /// Moves the clock, and fires what is due then.
  package func advance(to time: UInt64) {
    if time > clock.now { clock.move(to: time) }
    scheduler.endOverdue(now: clock.now)
    timers.advance(to: clock.now)
  }
}
