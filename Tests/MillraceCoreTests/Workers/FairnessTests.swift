import Synchronization
import Testing

@testable import MillraceCore

/// Shares of tenants with threads, by the numbers of starts.
@Suite(.serialized) struct FairnessTests {
  @Test(
    "two tenants with 1,000 jobs to 1 get 50 +- 2 % of every window of 1,000 starts, weights 1 : 3 give 25 : 75", arguments: [1, 2],
    [1, 3])
  func shares(threads: Int, weight: Int) throws {
    let runtime = try PriorityTests.runtime(.adaptive, capacity: 1 << 22, tenants: 2, threads: threads)
    let scheduler = runtime.scheduler
    scheduler.setWeight(weight, tenant: 1)
    let few = 2_000
    let many = 1_000 * few
    let ledger = Ledger(many + few)
    let done = Tally()
    let each = ClosureHandler { context in
      ledger.record(Int(context.first))
      if context.first < few { done.raise() }
    }
    let handler = try #require(scheduler.register(each.handler))
    // All of one tenant before the first of the other.
    var next = few
    while next < many + few {
      let batch = (next..<min(next + 4_096, many + few)).map { JobRequest(handler: handler, tenant: 0, first: UInt64($0)) }
      try scheduler.submit(batch.span)
      next += batch.count
    }
    let batch = (0..<few).map { JobRequest(handler: handler, tenant: 1, first: UInt64($0)) }
    try scheduler.submit(batch.span)
    try runtime.start()
    try #require(done.wait(for: UInt32(few)))
    runtime.stop()

    let orders = (0..<few).map(ledger.order(of:))
    // While both have jobs in line: the last ones may sit, charged, with a worker that the system has taken off its processor.
    let last = orders.sorted()[few - 1 - 2 * WorkerCache.capacity * threads]
    var isFew = [Bool](repeating: false, count: last + 1)
    for order in orders where order <= last { isFew[order] = true }
    let expected = 1_000 * weight / (weight + 1)
    var inWindow = 0
    var worst = 0
    for i in 0...last {
      inWindow += isFew[i] ? 1 : 0
      if i >= 1_000 { inWindow -= isFew[i - 1_000] ? 1 : 0 }
      if i >= 999 { worst = max(worst, abs(inWindow - expected)) }
    }
    #expect(worst <= 20, "a window of 1,000 starts is \(worst) off \(expected)")
  }

  @Test("a tenant that comes late waits for no more than full caches and one round of turns: 72 x workers + 16", arguments: [1, 3])
  func latecomer(workers: Int) throws {
    let bound = Bounds.fairness(workers: workers, totalWeight: 2)
    #expect(bound == 72 * workers + 16)
    let scheduler = try Scheduler(SchedulerConfiguration(slots: workers, workers: workers, capacity: 10_000, tenants: 2, stealPatience: 0))
    let course = Course()
    // Each job submits two more as long as there is room in the caches and after that one, so that the caches stay full.
    let load = ClosureHandler { context in
      let starts = course.starts.add(1, ordering: .relaxed).newValue
      if course.isOver.load(ordering: .relaxed) { return }
      do {
        for _ in 0..<(starts < 100 * workers ? 2 : 1) { try context.spawn(JobRequest(handler: HandlerIndex(rawValue: 0))) }
      } catch { Issue.record(error) }
    }
    let late = ClosureHandler { context in
      course.arrive(context.lane)
      course.isOver.store(true, ordering: .relaxed)
    }
    try #require(scheduler.register(load.handler)?.rawValue == 0)
    let handler = try #require(scheduler.register(late.handler))
    try scheduler.submit(JobRequest(handler: HandlerIndex(rawValue: 0)))
    var mark = 0
    drive(scheduler, seed: 3) { _ in
      guard mark == 0, course.starts.load(ordering: .relaxed) >= 1_000 * workers else { return }
      mark = course.starts.load(ordering: .relaxed)
      do { try scheduler.submit(JobRequest(handler: handler, tenant: 1)) } catch { Issue.record(error) }
    }
    let waited = course.arrivedAt.load(ordering: .relaxed) - mark
    #expect(waited > 32 * workers && waited <= bound, "\(waited) starts of the other tenant came first")
  }
}
