import CMillrace
import Synchronization
import Testing

@testable import MillraceCore

/// Start-to-close of handlers that run on: never early, and found by scans that end when there is nothing to look for.
@Suite(.serialized) struct TimeoutTests {
  @Test("on a clock that is free to read a timeout passes at its nanosecond, whoever looks how often")
  func exact() throws {
    let clock = VirtualClock(start: 1_000)
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 64), clock: clock.clock)
    let ended = Atomic<Int>(0)
    let told = Atomic<UInt64>(0)
    let long = ClosureHandler { context in
      told.store(context.deadline, ordering: .relaxed)
      clock.move(by: 499)
      scheduler.endOverdue(now: clock.now)
      if context.isCancelled { ended.store(1, ordering: .relaxed) }
      clock.move(by: 1)
      scheduler.endOverdue(now: clock.now)
      if context.isCancelled { ended.add(2, ordering: .relaxed) }
    }
    let handler = try #require(scheduler.register(long.handler))
    for limit in [nil, 10] {
      ended.store(0, ordering: .relaxed)
      let start = clock.now
      try scheduler.submit(JobRequest(handler: handler, timeout: 500))
      drive(scheduler, seed: 1, upTo: limit)
      #expect(ended.load(ordering: .relaxed) == 2 && told.load(ordering: .relaxed) == start + 500)
    }
    #expect(scheduler.admittedJobs == 0 && scheduler.freeSlots == 1)
  }

  @Test("on the system's clock a handler that runs on is told to stop after its timeout, never before", arguments: [1_000_000, 30_000_000])
  func real(timeout: UInt64) throws {
    let runtime = try PriorityTests.runtime(.adaptive)
    let scheduler = runtime.scheduler
    let early = Atomic<Int>(0)
    let (stopped, quick) = (Tally(), Tally())
    let long = ClosureHandler { context in
      let begin = Clock.monotonic.now
      while !context.isCancelled { millrace_yield() }
      if Clock.monotonic.now - begin < context.timeout { early.add(1, ordering: .relaxed) }
      stopped.raise()
    }
    let short = ClosureHandler { context in
      if context.isCancelled || context.deadline == 0 { early.add(1, ordering: .relaxed) }
      quick.raise()
    }
    let handler = try #require(scheduler.register(long.handler))
    let other = try #require(scheduler.register(short.handler))
    try runtime.start()
    defer { runtime.stop() }
    // Two at once on two workers, then others that end in time: none of them may hear of the first ones' timeouts.
    for round in 1...3 {
      for _ in 0..<2 { try scheduler.submit(JobRequest(handler: handler, timeout: timeout)) }
      try #require(stopped.wait(for: UInt32(2 * round)), "a handler is not told to stop")
      for _ in 0..<100 { try scheduler.submit(JobRequest(handler: other, timeout: 3_600_000_000_000)) }
      try #require(quick.wait(for: UInt32(100 * round)))
    }
    #expect(early.load(ordering: .relaxed) == 0)
  }

  @Test("scans go on while jobs with a timeout run, and end after the last one; the next one asks for them again")
  func scansEnd() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 64))
    let asked = Tally()
    unsafe scheduler.alarmContext = Unmanaged.passUnretained(asked).toOpaque()
    unsafe scheduler.alarm = { context, _ in unsafe Unmanaged<Tally>.fromOpaque(context!).takeUnretainedValue().raise() }
    let empty = ClosureHandler { _ in }
    let handler = try #require(scheduler.register(empty.handler))
    let timeout: UInt64 = 1_000_000_000
    var now = Clock.monotonic.now
    for round in 1...3 {
      for _ in 0..<10 {
        // Between two jobs nothing is seen on the lane, but that one has run.
        try scheduler.submit(JobRequest(handler: handler, timeout: timeout))
        drive(scheduler, seed: 1, upTo: 10)
        now += 2 * Lookout.interval(timeout)
        #expect(scheduler.endOverdue(now: now) == now + Lookout.interval(timeout))
      }
      #expect(asked.count == UInt32(round))
      // One that finds nothing, and one behind which nobody can be overlooked.
      now += 2 * Lookout.interval(timeout)
      #expect(scheduler.endOverdue(now: now) == now + Lookout.interval(timeout))
      now += 2 * Lookout.interval(timeout)
      #expect(scheduler.endOverdue(now: now) == .max && scheduler.endOverdue(now: now + timeout) == .max)
    }
  }
}
