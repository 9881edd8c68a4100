import Glibc
import Synchronization
import Testing

@testable import MillraceCore

/// Order among priorities with threads, by numbers that handlers take from one counter.
///
/// A number is taken a little after the pick, and while a worker is held up between the two, by the system, the machine or a sanitizer, the
/// other one goes on. So what is counted is what certainly began too early: up to the last start before it on the worker that picked the urgent
/// job, which had not picked it then. No delay adds to that, and every observation counts. Without threads: `SteppedWorkerTests`.
@Suite(.serialized) struct PriorityTests {
  static let workers = 2
  static let policies = WaitPolicy.allCases.filter { $0 != .spin || Machine.read().cpusGranted >= workers }
  /// Lower starts after `submit` returned, each worker's turn for the lowest level included.
  static let allowed = Bounds.strictness(workers: workers) + workers

  static func runtime(_ wait: WaitPolicy, capacity: Int = 1 << 16, tenants: Int = 1, threads: Int = workers) throws -> Runtime {
    var configuration = RuntimeConfiguration(slots: threads, threads: threads, capacity: capacity, tenants: tenants, wait: wait)
    configuration.stallAfter = 0
    return unsafe try Runtime(configuration)
  }

  @Test(
    "critical jobs overtake an endless load of low and normal ones: at most 2 x workers start in between, and one by each worker's ageing: 6 in all",
    arguments: policies)
  func endlessLoad(wait: WaitPolicy) throws {
    let runtime = try Self.runtime(wait)
    let scheduler = runtime.scheduler
    #expect(Self.allowed == 6)
    let course = Course()
    // Each of 256 jobs goes on for ever by submitting the next: half of them through its worker's cache, half through the tenant's queue.
    let load = ClosureHandler { context in
      course.start(lane: context.lane)
      if course.isOver.load(ordering: .relaxed) { return }
      let next = JobRequest(handler: HandlerIndex(rawValue: 0), priority: UInt8(context.first & 1), first: context.first)
      do {
        if context.first & 2 == 0 { try context.spawn(next) } else { try scheduler.submit(next) }
      } catch SubmitError.stopped {
        // The test is over.
      } catch { Issue.record(error) }
    }
    let urgent = ClosureHandler { context in course.arrive(context.lane) }
    let handler = try #require(scheduler.register(load.handler))
    #expect(handler.rawValue == 0)
    let critical = try #require(scheduler.register(urgent.handler))
    for i in 0..<256 { try scheduler.submit(JobRequest(handler: handler, priority: UInt8(i & 1), first: UInt64(i))) }
    try runtime.start()
    defer {
      course.isOver.store(true, ordering: .relaxed)
      runtime.stop()
    }
    #expect(course.everyLaneSeen.wait(for: 2))
    for i in 1...400 {
      try scheduler.submit(JobRequest(handler: critical, priority: 3))
      let mark = course.starts.load(ordering: .sequentiallyConsistent)
      try #require(course.arrivals.wait(for: UInt32(i)), "a critical job does not start")
      let lower = course.startsBeforeArrival.load(ordering: .acquiring) - mark
      #expect(lower <= Self.allowed, "critical job \(i)")
    }
  }

  @Test(
    "a high job overtakes the normal ones in full caches: at most 2 x workers start in between, and one by each worker's ageing: 6 in all",
    arguments: policies)
  func fullCaches(wait: WaitPolicy) throws {
    let runtime = try Self.runtime(wait)
    let scheduler = runtime.scheduler
    let course = Course()
    let filled = Tally()
    let gate = Tally()
    let normal = ClosureHandler { context in course.start(lane: context.lane) }
    let low = try #require(scheduler.register(normal.handler))
    // Fills its worker's cache, then holds the worker until the test lets go.
    let filler = ClosureHandler { context in
      do {
        for _ in 0..<WorkerCache.capacity { try context.spawn(JobRequest(handler: low, priority: 1)) }
      } catch { Issue.record(error) }
      filled.raise()
      _ = gate.wait(for: UInt32(context.first))
    }
    let fill = try #require(scheduler.register(filler.handler))
    let urgent = ClosureHandler { context in course.arrive(context.lane) }
    let high = try #require(scheduler.register(urgent.handler))
    try runtime.start()
    defer { runtime.stop() }
    for round in 1...100 {
      for _ in 0..<Self.workers { try scheduler.submit(JobRequest(handler: fill, priority: 3, first: UInt64(round))) }
      try #require(filled.wait(for: UInt32(Self.workers * round)))
      try scheduler.submit(JobRequest(handler: high, priority: 2))
      let mark = course.starts.load(ordering: .sequentiallyConsistent)
      gate.raise()
      try #require(course.arrivals.wait(for: UInt32(round)), "a high job does not start")
      let lower = course.startsBeforeArrival.load(ordering: .acquiring) - mark
      #expect(lower <= Self.allowed, "high job \(round)")
    }
  }

  @Test("jobs in the cache of a worker that sits in a long handler are run by another", arguments: policies, [1, 3, WorkerCache.capacity])
  func longHandler(wait: WaitPolicy, jobs: Int) throws {
    let runtime = try Self.runtime(wait)
    let scheduler = runtime.scheduler
    let done = Tally()
    let gate = Tally()
    let quick = ClosureHandler { _ in done.raise() }
    let high = try #require(scheduler.register(quick.handler))
    let blocker = ClosureHandler { context in
      do {
        for _ in 0..<jobs { try context.spawn(JobRequest(handler: high, priority: 2)) }
      } catch { Issue.record(error) }
      // Long: until all others are done.
      _ = gate.wait(for: UInt32(context.first))
    }
    let block = try #require(scheduler.register(blocker.handler))
    try runtime.start()
    defer { runtime.stop() }
    for round in 1...50 {
      try scheduler.submit(JobRequest(handler: block, priority: 1, first: UInt64(round)))
      let all = done.wait(for: UInt32(jobs * round))
      gate.raise()
      try #require(all, "jobs wait behind a handler that they do not need")
    }
  }

  @Test("an endless critical load lets low start: the k-th within k x 64 x workers starts: 128", arguments: policies)
  func ageing(wait: WaitPolicy) throws {
    let runtime = try Self.runtime(wait)
    let scheduler = runtime.scheduler
    #expect(Bounds.ageing(workers: Self.workers) == 128)
    let few = 20
    let many = 20_000
    let ledger = Ledger(many + few)
    let done = Tally()
    let each = ClosureHandler { context in
      ledger.record(Int(context.first))
      if Int(context.first) >= many { done.raise() }
    }
    let handler = try #require(scheduler.register(each.handler))
    for i in 0..<many { try scheduler.submit(JobRequest(handler: handler, priority: 3, first: UInt64(i))) }
    for i in many..<many + few { try scheduler.submit(JobRequest(handler: handler, priority: 0, first: UInt64(i))) }
    try runtime.start()
    try #require(done.wait(for: UInt32(few)))
    runtime.stop()
    let orders = (many..<many + few).map(ledger.order(of:)).sorted()
    // One round more: a worker may be taken off its processor with a low job in hand.
    for (k, order) in orders.enumerated() {
      #expect(order < Bounds.ageing(workers: Self.workers) * (k + 2), "low job \(k) starts as number \(order)")
    }
  }
}

/// What the handlers of a test count.
final class Course: Sendable {
  let starts = Atomic<Int>(0)
  let isOver = Atomic<Bool>(false)
  /// Number of the last arrival.
  let arrivedAt = Atomic<Int>(0)
  /// Starts up to the last one on the lane of the last arrival, before that: all of them were picked before it.
  let startsBeforeArrival = Atomic<Int>(0)
  let arrivals = Tally()
  let everyLaneSeen = Tally()
  /// Starts up to the last one on each lane; 0: none.
  private let first = Atomic<Int>(0)
  private let second = Atomic<Int>(0)

  func start(lane: Int) {
    let number = starts.add(1, ordering: .sequentiallyConsistent).newValue
    let before = lane == 0 ? first.exchange(number, ordering: .relaxed) : second.exchange(number, ordering: .relaxed)
    if before == 0 { everyLaneSeen.raise() }
  }

  func arrive(_ lane: Int) {
    arrivedAt.store(starts.add(1, ordering: .sequentiallyConsistent).oldValue, ordering: .relaxed)
    // The lane's own words.
    startsBeforeArrival.store(lane == 0 ? first.load(ordering: .relaxed) : second.load(ordering: .relaxed), ordering: .releasing)
    arrivals.raise()
  }
}
