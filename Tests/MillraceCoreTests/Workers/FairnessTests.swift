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
}
