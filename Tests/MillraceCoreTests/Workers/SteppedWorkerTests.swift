import Synchronization
import Testing

@testable import MillraceCore

/// Drives `count` workers of a scheduler from the calling thread until none finds work `rounds` times in a row.
/// `upTo`: by `work`, so many jobs a step at most; nil: by `begin`, `run` and `finish`.
func drive(_ scheduler: Scheduler, seed: UInt64, upTo limit: Int? = nil, before: (Int) -> Void = { _ in }) {
  var seed = Seed(seed)
  let count = scheduler.configuration.workers
  var idle = 0
  // Noncopyable workers in fixed places.
  let workers = UnsafeMutablePointer<Worker>.allocate(capacity: count)
  for i in 0..<count { unsafe (workers + i).initialize(to: scheduler.makeWorker(i)) }
  var step = 0
  while idle < 8 * count {
    before(step)
    step += 1
    let i = Int.random(in: 0..<count, using: &seed)
    if let limit {
      if unsafe workers[i].work(upTo: Int.random(in: 1...limit, using: &seed)).ran > 0 {
        idle = 0
        continue
      }
    } else if let begun = unsafe workers[i].begin() {
      idle = 0
      unsafe workers[i].finish(begun, workers[i].run(begun))
      continue
    }
    idle += 1
    unsafe workers[i].settleCounts()
  }
  for i in 0..<count { unsafe (workers + i).deinitialize(count: 1) }
  unsafe workers.deallocate()
}

@Suite struct SteppedWorkerTests {
  @Test("eight workers on one thread run every job once, whatever the seed", arguments: 0..<20)
  func conservation(seed: Int) throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 8, workers: 8, capacity: 100_000, tenants: 3, stealPatience: 0))
    let ledger = Ledger(20_000)
    let handler = try #require(scheduler.register(ledger.handler))
    var random = Seed(UInt64(seed) + 1000)
    var submitted = 0
    drive(scheduler, seed: UInt64(seed), upTo: [nil, 1, 16][seed % 3]) { step in
      if submitted == ledger.count || step % 7 != 0 { return }
      let count = min(Int.random(in: 1...90, using: &random), ledger.count - submitted)
      let priority = UInt8.random(in: 0...3, using: &random)
      let tenant = UInt16.random(in: 0...2, using: &random)
      let batch = (0..<count).map { JobRequest(handler: handler, priority: priority, tenant: tenant, first: UInt64(submitted + $0)) }
      do { try scheduler.submit(batch.span) } catch { Issue.record(error) }
      submitted += count
    }
    #expect(ledger.isComplete)
    #expect(scheduler.admittedJobs == 0)
    #expect(scheduler.freeSlots == 8)
  }

  @Test("a tenant's jobs of one priority start in the order of submission on one worker")
  func order() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 10_000))
    let ledger = Ledger(1_000)
    let handler = try #require(scheduler.register(ledger.handler))
    for i in 0..<ledger.count { try scheduler.submit(JobRequest(handler: handler, first: UInt64(i))) }
    drive(scheduler, seed: 1)
    #expect((0..<ledger.count).map(ledger.order(of:)) == Array(0..<ledger.count))
  }

  @Test("two tenants with 1000 jobs to 1 get equal shares, weights 1 to 3 give one to three")
  func shares() throws {
    for (weight, expected) in [(1, 500), (3, 750)] {
      let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 2_000_000, tenants: 2))
      scheduler.setWeight(weight, tenant: 1)
      let many = 200_000
      let few = 20_000
      let ledger = Ledger(many + few)
      let handler = try #require(scheduler.register(ledger.handler))
      for i in 0..<many { try scheduler.submit(JobRequest(handler: handler, tenant: 0, first: UInt64(i))) }
      for i in many..<many + few { try scheduler.submit(JobRequest(handler: handler, tenant: 1, first: UInt64(i))) }
      drive(scheduler, seed: 1)
      #expect(ledger.isComplete)
      var order = [Int](repeating: 0, count: ledger.count)
      for i in 0..<ledger.count { order[ledger.order(of: i)] = i }
      // While both have jobs, every window of 1000 starts.
      let last = (many..<many + few).map(ledger.order(of:)).max()!
      var inWindow = 0
      for i in 0..<last {
        inWindow += order[i] >= many ? 1 : 0
        if i >= 1000 {
          inWindow -= order[i - 1000] >= many ? 1 : 0
          #expect(abs(inWindow - expected) <= 20, "window ending at start \(i)")
        }
      }
    }
  }

  @Test("64 jobs behind another tenant's 64,000 end at start number 136 at the latest")
  func latecomer() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 100_000, tenants: 2))
    let ledger = Ledger(64_064)
    let handler = try #require(scheduler.register(ledger.handler))
    for i in 0..<64_000 { try scheduler.submit(JobRequest(handler: handler, tenant: 0, first: UInt64(i))) }
    for i in 64_000..<64_064 { try scheduler.submit(JobRequest(handler: handler, tenant: 1, first: UInt64(i))) }
    drive(scheduler, seed: 1)
    let last = (64_000..<64_064).map(ledger.order(of:)).max()!
    #expect(last <= 136)
  }

  @Test("after `submit` of a critical job each worker starts one lower job at most, for ageing, whatever the seed", arguments: 0..<20)
  func strictness(seed: Int) throws {
    let workers = 4
    let scheduler = try Scheduler(SchedulerConfiguration(slots: workers, workers: workers, capacity: 10_000, stealPatience: 0))
    let course = Course()
    // 500 jobs of low to high priority that go on for ever, through the caches.
    let load = ClosureHandler { context in
      course.starts.add(1, ordering: .relaxed)
      if course.isOver.load(ordering: .relaxed) { return }
      do {
        try context.spawn(JobRequest(handler: HandlerIndex(rawValue: 0), priority: UInt8(context.first % 3), first: context.first))
      } catch { Issue.record(error) }
    }
    let urgent = ClosureHandler { context in course.arrive(context.lane) }
    try #require(scheduler.register(load.handler)?.rawValue == 0)
    let critical = try #require(scheduler.register(urgent.handler))
    for i in 0..<500 { try scheduler.submit(JobRequest(handler: HandlerIndex(rawValue: 0), priority: UInt8(i % 3), first: UInt64(i))) }
    var mark: Int?
    var observed = 0
    drive(scheduler, seed: UInt64(seed), upTo: seed % 2 == 0 ? nil : 1) { step in
      let arrived = course.arrivedAt.load(ordering: .relaxed)
      if let from = mark, arrived >= from {
        #expect(arrived - from <= workers)
        mark = nil
        observed += 1
      }
      if observed == 200 { course.isOver.store(true, ordering: .relaxed) }
      if mark == nil, step % 37 == 0, observed < 200 {
        do { try scheduler.submit(JobRequest(handler: critical, priority: 3)) } catch { Issue.record(error) }
        mark = course.starts.load(ordering: .relaxed)
      }
    }
    #expect(observed == 200)
  }

  @Test("jobs that a worker has taken ahead are started by others before anything lower, while it sits in its handler")
  func takenAhead() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 2, workers: 2, capacity: 100, stealPatience: 0))
    let warmUp = Int(WorkerBody.memory)
    let ledger = Ledger(20 + warmUp)
    let handler = try #require(scheduler.register(ledger.handler))
    let requests = (0..<20).map { JobRequest(handler: handler, priority: $0 < 10 ? 1 : 2, first: UInt64($0)) }
    let holder = scheduler.makeWorker(0)
    let other = scheduler.makeWorker(1)
    // A new worker takes nothing ahead until it has seen that its handlers return what they have done.
    for i in 0..<warmUp { try scheduler.submit(JobRequest(handler: handler, priority: 3, first: UInt64(20 + i))) }
    #expect(holder.work(upTo: warmUp).ran == warmUp)
    try scheduler.submit(requests.span)
    let first = holder.begin()
    let held = try #require(first)
    #expect(held.first >= 10 && !scheduler.cache(of: 0, 2).isEmpty())
    for i in 0..<19 {
      let next = other.begin()
      let begun = try #require(next)
      #expect((begun.first >= 10) == (i < 9), "start \(i) is of job \(begun.first)")
      other.finish(begun, other.run(begun))
    }
    holder.finish(held, holder.run(held))
    #expect(ledger.isComplete)
    holder.retire()
    other.retire()
  }

  @Test("an endless critical load still lets low start, within 64 starts of each worker")
  func ageing() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 2, workers: 2, capacity: 100_000, stealPatience: 0))
    let ledger = Ledger(10_010)
    let handler = try #require(scheduler.register(ledger.handler))
    for i in 0..<10_000 { try scheduler.submit(JobRequest(handler: handler, priority: 3, first: UInt64(i))) }
    for i in 10_000..<10_010 { try scheduler.submit(JobRequest(handler: handler, priority: 0, first: UInt64(i))) }
    drive(scheduler, seed: 5)
    let orders = (10_000..<10_010).map(ledger.order(of:)).sorted()
    for (i, order) in orders.enumerated() { #expect(order <= 64 * 2 * (i + 1)) }
    #expect(ledger.isComplete)
  }

  @Test("a full engine refuses and gives everything back; room comes back when jobs end")
  func full() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 100))
    let ledger = Ledger(200)
    let handler = try #require(scheduler.register(ledger.handler))
    for i in 0..<100 { try scheduler.submit(JobRequest(handler: handler, first: UInt64(i))) }
    #expect(throws: SubmitError.full(limit: 100)) { try scheduler.submit(JobRequest(handler: handler, first: 100)) }
    drive(scheduler, seed: 2)
    #expect(ledger.starts == 100)
    for i in 100..<200 { try scheduler.submit(JobRequest(handler: handler, first: UInt64(i))) }
    drive(scheduler, seed: 3)
    #expect(ledger.isComplete)
  }
}
