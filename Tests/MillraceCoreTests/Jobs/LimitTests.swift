import Synchronization
import Testing

@testable import MillraceCore

@Suite struct LimitTests {
  /// A limit with jobs of its own; memory of a test.
  @safe private final class Bench {
    let jobs: Slab
    let limit: Limit
    private let region: Region

    /// Jobs by priority and weight.
    init(limit count: Int, _ wanted: [(priority: UInt8, weight: Int)]) throws {
      jobs = try Slab(capacity: 64)
      region = try Region(bytes: Limit.bytes)
      limit = unsafe Limit(region.base)
      limit.setLimit(count)
      for (index, job) in wanted.enumerated() {
        unsafe Job(jobs, UInt32(index)).fields.initialize(
          to: Job.Fields(
            first: 0, second: 0, key: 0, timeout: 0, word: Job.Word(handler: 0, tenant: 0, priority: job.priority, flags: 0), link: 0,
            limit: PermitRequest(limit: 0, weight: job.weight).rawValue))
      }
    }

    deinit {
      jobs.deallocate()
      region.free()
    }

    func enter(_ index: UInt32) -> Bool { limit.enter(index, keyed: true, jobs) }

    /// The jobs that have their permits by that.
    func leave(_ index: UInt32) -> [UInt32] { chain(limit.leave(index, keyed: true, jobs).first) }

    func chain(_ first: UInt32) -> [UInt32] {
      var (found, next): ([UInt32], UInt32) = ([], first)
      while next != 0 {
        found.append(next - 1)
        next = unsafe Job(jobs, next - 1).fields.pointee.link
      }
      return found
    }
  }

  @Test("a limit never lets more in at once, hands permits on by priority, and the last one back")
  func unit() throws {
    let bench = try Bench(limit: 2, (0..<6).map { (UInt8($0 % 3), 1) })
    #expect((0..<6).map { bench.enter($0) } == [true, true, false, false, false, false])
    // In line: 2 and 5 of priority 2, 4 of priority 1, 3 of priority 0.
    #expect([0, 1, 2, 5].map { bench.leave($0) } == [[2], [5], [4], [3]])
    #expect(bench.leave(4) == [] && bench.leave(3) == [])
    #expect(bench.enter(0) && bench.enter(1) && !bench.enter(2))
  }

  @Test("in line is in line: light jobs do not pass a heavy one of their priority that waits, those of a higher priority do")
  func heavy() throws {
    let bench = try Bench(limit: 4, [(1, 3), (1, 4), (1, 1), (1, 1), (2, 1)])
    #expect(bench.enter(0))
    // One permit is left, and the heavy one waits for four: no light one behind it takes it.
    #expect(!bench.enter(1) && !bench.enter(2) && !bench.enter(3))
    #expect(bench.enter(4), "of a higher priority, it stands before the heavy one")
    #expect(bench.leave(0) == [], "three of four are there")
    #expect(bench.leave(4) == [1])
    #expect(bench.leave(1) == [2, 3], "both at once")
  }

  @Test("a light job of a lower priority takes nothing from a heavy one that waits")
  func heavyAndUrgent() throws {
    let bench = try Bench(limit: 4, [(0, 2), (3, 4), (0, 1)])
    #expect(bench.enter(0) && !bench.enter(1) && !bench.enter(2))
    #expect(bench.leave(0) == [1])
    #expect(bench.leave(1) == [2])
  }

  @Test("a job that asks for more than there is gets all of it, and gives that back")
  func tooHeavy() throws {
    let bench = try Bench(limit: 3, [(1, 60_000), (1, 1)])
    #expect(bench.enter(0) && !bench.enter(1))
    #expect(bench.leave(0) == [1])
    #expect(bench.leave(1) == [])
    #expect(bench.limit.retire(), "nothing is held")
  }

  @Test("the place of a limit that was given back is used again, but not before the last job has left")
  func reuse() throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 16))
    let first = try #require(scheduler.makeLimit(1))
    let second = try #require(scheduler.makeLimit(1))
    scheduler.retireLimit(first)
    #expect(scheduler.makeLimit(7) == first)
    scheduler.retireLimit(second)
    scheduler.retireLimit(first)
    #expect(Set([scheduler.makeLimit(1), scheduler.makeLimit(1)]) == [first, second])
    // As many as an engine has, ten times over.
    for _ in 0..<10 * Scheduler.maxLimits {
      let made = try #require(scheduler.makeLimit(1))
      scheduler.retireLimit(made)
    }
    var kept: [UInt32] = []
    while let made = scheduler.makeLimit(1) { kept.append(made) }
    #expect(kept.count == Scheduler.maxLimits - 2)

    let bench = try Bench(limit: 1, [(1, 1), (1, 1)])
    #expect(bench.enter(0) && !bench.enter(1))
    #expect(!bench.limit.retire())
    #expect(!bench.limit.leave(0, keyed: true, bench.jobs).isFree, "the other one is in it now")
    #expect(bench.limit.leave(1, keyed: true, bench.jobs).isFree)
  }

  /// Nodes with a key: how many permits are held at once.
  private final class Meter: Sendable {
    let held = Atomic<Int>(0)
    let most = Atomic<Int>(0)
    let ran = Atomic<Int>(0)
    let limit: UInt32
    let weights: [Int]
    let done = Tally()

    init(limit: UInt32, weights: [Int]) { (self.limit, self.weights) = (limit, weights) }
  }

  @Test("threads: never more permits held than the limit, whatever the weights, and every node runs", arguments: [1, 3])
  func stress(threads: Int) throws {
    let runtime = try PriorityTests.runtime(.adaptive, capacity: 1 << 17, tenants: 1, threads: threads)
    let scheduler = runtime.scheduler
    var random = Seed(5)
    let count = 20_000
    let meter = Meter(
      limit: try #require(scheduler.makeLimit(5)), weights: (0..<count).map { _ in Int.random(in: 1...5, using: &random) })
    let each = ClosureHandler { context in
      let weight = meter.weights[Int(context.second)]
      let now = meter.held.add(weight, ordering: .sequentiallyConsistent).newValue
      meter.most.max(now, ordering: .relaxed)
      meter.ran.add(1, ordering: .relaxed)
      meter.held.subtract(weight, ordering: .sequentiallyConsistent)
    }
    let handler = try #require(scheduler.register(each.handler))
    let plan = try Plan(
      count: count,
      node: { Plan.Node(handler: handler, priority: UInt8($0 % 4), flags: Plan.NodeFlag.keyed) }, predecessors: { _, _ in })
    // unsafe: the meter outlives the run.
    let run = try Run(
      plan,
      hooks: unsafe RunHooks(
        context: Unmanaged.passUnretained(meter).toOpaque(),
        completed: { unsafe Unmanaged<Meter>.fromOpaque($0).takeUnretainedValue().done.raise() },
        keyed: { context, node in
          let meter = unsafe Unmanaged<Meter>.fromOpaque(context).takeUnretainedValue()
          return PermitRequest(limit: meter.limit, weight: meter.weights[Int(node)]).rawValue
        }))
    try scheduler.start(run)
    try runtime.start()
    try #require(meter.done.wait(for: 1))
    runtime.stop()
    #expect(meter.ran.load(ordering: .relaxed) == count)
    #expect(meter.most.load(ordering: .relaxed) <= 5)
    #expect(meter.held.load(ordering: .relaxed) == 0)
  }
}
