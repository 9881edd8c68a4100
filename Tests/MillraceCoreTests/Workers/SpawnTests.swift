import Testing

@testable import MillraceCore

/// Jobs that handlers submit several of at once.
@Suite struct SpawnTests {
  /// What the handlers on the test's one thread found out.
  private final class Found: @unchecked Sendable {
    var refusals: [SubmitError] = []
  }

  @Test("each job of a lot runs once, beyond what a cache holds too, of any priority and tenant, whatever the seed", arguments: 0..<20)
  func conservation(seed: Int) throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 4, workers: 4, capacity: 20_000, tenants: 3, stealPatience: 0))
    let sizes = [1, 2, 3, 63, 64, 65, 200]
    let ledger = Ledger(10_000)
    let recorder = try #require(scheduler.register(ledger.handler))
    let spawner = ClosureHandler { context in
      // Job i of a lot: its priority changes every `first` jobs, its tenant with each.
      let alike = context.first
      var random = Seed(UInt64(seed) &+ context.second)
      var next = context.second
      while next < context.second + 1_000 {
        let size = min(UInt64(sizes.randomElement(using: &random)!), context.second + 1_000 - next)
        let lot = (next..<next + size).map { i in
          JobRequest(
            handler: recorder, priority: alike == 0 ? 1 : UInt8(i / alike % 4), tenant: alike == 0 ? 0 : UInt16(i % 3), first: i)
        }
        do { try context.spawn(lot.span) } catch { Issue.record(error) }
        next += size
      }
    }
    let handler = try #require(scheduler.register(spawner.handler))
    for i in 0..<10 { try scheduler.submit(JobRequest(handler: handler, first: UInt64(i % 3) * 5, second: UInt64(i) * 1_000)) }
    drive(scheduler, seed: UInt64(seed), upTo: seed % 2 == 0 ? nil : 16)
    #expect(ledger.isComplete)
    #expect(scheduler.admittedJobs == 0 && scheduler.freeSlots == 4)
  }

  @Test("a lot that is refused leaves nothing behind: too many for the engine, or one that names no handler")
  func refusal() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 100))
    let ledger = Ledger(150)
    let recorder = try #require(scheduler.register(ledger.handler))
    let found = Found()
    let spawner = ClosureHandler { context in
      let jobs = (0..<UInt64(150)).map { JobRequest(handler: recorder, first: $0) }
      var wrong = Array(jobs[..<50])
      wrong[40].handler = HandlerIndex(rawValue: 7)
      for lot in [jobs, wrong, Array(jobs[..<99]), [jobs[99]]] {
        do throws(SubmitError) { try context.spawn(lot.span) } catch { found.refusals.append(error) }
      }
    }
    let handler = try #require(scheduler.register(spawner.handler))
    try scheduler.submit(JobRequest(handler: handler))
    drive(scheduler, seed: 1)
    // The spawner itself is the hundredth job.
    #expect(found.refusals == [.full(limit: 100), .unknownHandler(7), .full(limit: 100)])
    #expect((0..<150).allSatisfy { (ledger.order(of: $0) >= 0) == ($0 < 99) })
    #expect(scheduler.admittedJobs == 0)
  }

  @Test("the words of a request are kept apart: handler, priority and tenant")
  func words() {
    var request = JobRequest(handler: HandlerIndex(rawValue: .max), priority: 0, tenant: 0)
    #expect(request.handler.rawValue == .max && request.priority == 0 && request.tenant == 0)
    request.priority = .max
    request.handler = HandlerIndex(rawValue: 5)
    #expect(request.handler.rawValue == 5 && request.priority == .max && request.tenant == 0)
    request.tenant = .max
    request.priority = 2
    #expect(request.handler.rawValue == 5 && request.priority == 2 && request.tenant == .max)
  }
}
