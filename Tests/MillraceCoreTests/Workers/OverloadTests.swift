import CMillrace
import Synchronization
import Testing

@testable import MillraceCore

/// More is submitted than there is room for.
@Suite struct OverloadTests {
  private static let capacity = 4_000
  private static let producers = 4
  /// Times the capacity that is submitted.
  private static let excess = 10

  /// A thread's requests, by number: those that were refused stay.
  private final class Producer: @unchecked Sendable {
    var left: [JobRequest]
    /// Refusals that were not for want of room.
    var odd: [SubmitError] = []

    init(_ requests: [JobRequest]) { left = requests }

    /// Tries each of them once.
    func submit(to scheduler: Scheduler) {
      left = left.filter { request in
        do throws(SubmitError) {
          try scheduler.submit(request)
          return false
        } catch {
          if error != .full(limit: OverloadTests.capacity) { odd.append(error) }
          return true
        }
      }
    }
  }

  @Test("ten times the capacity from four threads: as many are taken as there is room for; the others are refused, come again and run")
  func refused() throws {
    let total = Self.capacity * Self.excess
    let ledger = Ledger(total)
    let door = Atomic<UInt32>(0)
    let runtime = unsafe try Runtime(RuntimeConfiguration(slots: 2, threads: 2, capacity: Self.capacity, wait: .park, stallAfter: 0))
    let scheduler = runtime.scheduler
    let stopped = ClosureHandler { context in
      // The workers stand here until all have been refused.
      while door.load(ordering: .acquiring) == 0 { millrace_yield() }
      ledger.record(Int(context.first))
    }
    let handler = try #require(scheduler.register(stopped.handler))
    try runtime.start()
    defer { runtime.stop() }
    let requests = (0..<total).map { JobRequest(handler: handler, priority: UInt8($0 % 4), tenant: UInt16($0 % 16), first: UInt64($0)) }
    let share = total / Self.producers
    let producers = (0..<Self.producers).map { Producer(Array(requests[$0 * share..<($0 + 1) * share])) }
    for thread in producers.map({ producer in TestThread { producer.submit(to: scheduler) } }) { thread.join() }
    let refused = producers.reduce(0) { $0 + $1.left.count }
    #expect(total - refused == Self.capacity)
    #expect(scheduler.admittedJobs == Self.capacity)
    #expect(producers.allSatisfy { $0.odd.isEmpty })

    door.store(1, ordering: .releasing)
    for thread in producers.map({ producer in
      TestThread {
        while !producer.left.isEmpty {
          producer.submit(to: scheduler)
          millrace_yield()
        }
      }
    }) { thread.join() }
    while ledger.starts < total || scheduler.admittedJobs != 0 { millrace_yield() }
    #expect(ledger.isComplete)
    #expect(producers.allSatisfy { $0.odd.isEmpty })
    #expect(scheduler.freeSlots == 2)
  }

  @Test("records and nodes of a full engine are as many as its capacity and the caches hold, and no more after ten times full and empty")
  func records() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 2, workers: 2, capacity: Self.capacity))
    let handler = try #require(scheduler.register(unsafe Handler(run: { _, _ in Outcome.done.rawValue })))
    let worker = scheduler.makeWorker(0)
    for round in 0..<10 {
      for i in 0..<Self.capacity {
        try scheduler.submit(JobRequest(handler: handler, priority: UInt8(i % 4), tenant: UInt16(i % 16)))
      }
      #expect(throws: SubmitError.full(limit: Self.capacity)) { try scheduler.submit(JobRequest(handler: handler)) }
      // A queue of each priority and tenant keeps a node; what a cache holds is two blocks at most.
      let caches = (scheduler.configuration.workers + 2) * 2 * Slab.blockRecords
      #expect(scheduler.touchedRecords <= Self.capacity + caches, "round \(round)")
      #expect(scheduler.ready.nodes.touchedRecords <= Self.capacity + 4 * 16 + 1 + caches, "round \(round)")
      drain: while true { if case .idle = worker.work(upTo: 1_000).end { break drain } }
      worker.settleCounts()
      #expect(scheduler.admittedJobs == 0)
    }
    worker.retire()
  }
}
