import Testing

@testable import MillraceCore

/// A place for what handlers on the test's one thread find out.
private final class Found: @unchecked Sendable {
  weak var watched: WorkTests.Watched?
  var isExact = true
  var most = 0
  var ran = 0
  var onStart: (() -> Void)?
}

/// What a plan keeps to while one worker goes through it in a single call of `work`: the way that benchmarks measure.
@Suite struct WorkTests {
  /// A plan whose nodes tell a test that they start.
  @safe final class Watched: @unchecked Sendable {
    let scheduler: Scheduler
    let handler: HandlerIndex
    private let closure: ClosureHandler
    var run: Run!
    /// Nodes and, from -1 downwards, other jobs, in the order of their starts.
    var starts: [Int] = []
    var finished = 0
    var ended = 0

    init(workers: Int = 1, _ onStart: @escaping @Sendable (Watched, Int) -> Void = { _, _ in }) throws {
      scheduler = try Scheduler(SchedulerConfiguration(slots: workers, workers: workers, capacity: 10_000, tenants: 2, stealPatience: 0))
      let found = Found()
      closure = ClosureHandler { context in
        guard let watched = found.watched else { return }
        watched.starts.append(Int(truncatingIfNeeded: context.second))
        onStart(watched, Int(truncatingIfNeeded: context.second))
      }
      handler = try #require(scheduler.register(closure.handler))
      found.watched = self
    }

    func start(_ count: Int, priority: (Int) -> UInt8 = { _ in 1 }, predecessors: (Int, (Int) -> Void) -> Void) throws {
      let plan = try Plan(count: count, node: { Plan.Node(handler: handler, priority: priority($0)) }, predecessors: predecessors)
      let hooks = unsafe RunHooks(
        context: Unmanaged.passUnretained(self).toOpaque(),
        completed: { unsafe Unmanaged<Watched>.fromOpaque($0).takeUnretainedValue().ended += 1 },
        finished: { context, _, _, _ in
          unsafe Unmanaged<Watched>.fromOpaque(context).takeUnretainedValue().finished += 1
          return Verdict.release.rawValue
        })
      run = try Run(plan, hooks: hooks)
      try scheduler.start(run)
    }
  }

  private static func chain(_ i: Int, _ visit: (Int) -> Void) { if i > 0 { visit(i - 1) } }

  @Test("a run that is stopped by a node starts no other one, and ends")
  func stop() throws {
    let watched = try Watched { if $1 == 500 { $0.run.stop() } }
    try watched.start(1000, predecessors: Self.chain)
    drive(watched.scheduler, seed: 1, upTo: 10_000)
    #expect(watched.starts == Array(0...500) && watched.ended == 1)
  }

  @Test(
    "a critical job that a node submits starts before the next node, and so does one of another priority above the plan's",
    arguments: [2, 3])
  func injection(priority: Int) throws {
    let watched = try Watched { watched, node in
      if node != 500 { return }
      do {
        try watched.scheduler.submit(
          JobRequest(handler: watched.handler, priority: UInt8(priority), second: UInt64(bitPattern: -1)))
      } catch { Issue.record(error) }
    }
    try watched.start(1000, predecessors: Self.chain)
    drive(watched.scheduler, seed: 1, upTo: 10_000)
    #expect(watched.starts.count == 1001 && watched.starts[501] == -1)
  }

  @Test("once the scheduler stops, nothing that is ready is started", arguments: [nil, 10_000])
  func schedulerStop(limit: Int?) throws {
    let watched = try Watched { if $1 == 500 { $0.scheduler.stop() } }
    try watched.start(1000, predecessors: Self.chain)
    drive(watched.scheduler, seed: 1, upTo: limit)
    #expect(watched.starts == Array(0...500) && watched.ended == 0)
    #expect(throws: SubmitError.stopped) { try watched.scheduler.submit(JobRequest(handler: watched.handler)) }
  }

  @Test("progress can be read between two nodes: all before the one that runs are finished")
  func progress() throws {
    let found = Found()
    let watched = try Watched { watched, node in found.isExact = found.isExact && watched.finished == node }
    try watched.start(1000, predecessors: Self.chain)
    drive(watched.scheduler, seed: 1, upTo: 10_000)
    #expect(found.isExact && watched.finished == 1000)
  }

  @Test("another tenant that comes while a chain runs gets its turns")
  func otherTenant() throws {
    let watched = try Watched { watched, node in
      if node != 100 { return }
      for job in 1...50 {
        do {
          try watched.scheduler.submit(JobRequest(handler: watched.handler, tenant: 1, second: UInt64(bitPattern: Int64(-job))))
        } catch { Issue.record(error) }
      }
    }
    try watched.start(2000, predecessors: Self.chain)
    drive(watched.scheduler, seed: 1, upTo: 10_000)
    let last = watched.starts.lastIndex { $0 < 0 }!
    #expect(last <= 101 + 2 * 50 + Bounds.fairness(workers: 1, totalWeight: 2))
  }

  @Test("a job that waits is not held up by a chain without an end: it gets an aged start")
  func waiting() throws {
    let watched = try Watched { watched, node in
      if node != 10 { return }
      do {
        try watched.scheduler.submit(JobRequest(handler: watched.handler, second: UInt64(bitPattern: -1)))
      } catch { Issue.record(error) }
    }
    try watched.start(1000, predecessors: Self.chain)
    drive(watched.scheduler, seed: 1, upTo: 10_000)
    #expect(watched.starts.firstIndex(of: -1)! <= 11 + Bounds.ageing)
  }

  @Test("of the nodes that one node makes ready the most urgent starts first, wherever it stands among them", arguments: 1...5)
  func mostUrgentFirst(urgent: Int) throws {
    let watched = try Watched()
    // 0 -> 1 ... 5 -> 6; node `urgent` is critical, the others differ as well.
    try watched.start(
      7, priority: { $0 == urgent ? 3 : UInt8($0 % 3) },
      predecessors: { i, visit in
        if 1...5 ~= i { visit(0) }
        if i == 6 { for p in 1...5 { visit(p) } }
      })
    drive(watched.scheduler, seed: 1, upTo: 100)
    try #require(watched.starts.count == 7)
    #expect(watched.starts.first == 0 && watched.starts[1] == urgent && watched.starts.last == 6)
    let rest = watched.starts[2...5]
    #expect(rest.sorted() == (1...5).filter { $0 != urgent } && rest.map { $0 % 3 } == rest.map { $0 % 3 }.sorted(by: >))
    #expect(watched.ended == 1 && watched.finished == 7)
  }

  @Test("a node with many successors hands what is ready beside its own next one to other workers before it starts that")
  func restIsVisible() throws {
    let other = Found()
    let watched = try Watched(workers: 2) { _, node in
      // In the first of the released nodes, on worker 0: another worker finds one of the others.
      if node == 1 { other.onStart?() }
    }
    let hand = Hand(watched.scheduler.makeWorker(1))
    other.onStart = { other.ran = hand.worker.work(upTo: 1).ran }
    try watched.start(4) { i, visit in if i > 0 { visit(0) } }
    let worker = watched.scheduler.makeWorker(0)
    _ = worker.work(upTo: 100)
    worker.settleCounts()
    hand.worker.settleCounts()
    #expect(other.ran == 1 && watched.ended == 1 && watched.starts.sorted() == [0, 1, 2, 3])
  }

  @Test("a tree keeps about as many jobs waiting as it is deep, not as it is wide", arguments: [false, true])
  func depthFirst(together: Bool) throws {
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 1 << 17))
    let found = Found()
    let spawner = ClosureHandler { context in
      found.ran += 1
      found.most = max(found.most, scheduler.touchedRecords)
      if context.first == 0 { return }
      do {
        let request = JobRequest(handler: HandlerIndex(rawValue: 0), first: context.first - 1)
        if together { return try context.spawn([request, request].span) }
        for _ in 0..<2 { try context.spawn(request) }
      } catch { Issue.record(error) }
    }
    let handler = try #require(scheduler.register(spawner.handler))
    try scheduler.submit(JobRequest(handler: handler, first: 15))
    drive(scheduler, seed: 1, upTo: 10_000)
    #expect(found.ran == 1 << 16 - 1)
    // 16 for its depth, as many again for each time that the oldest job was taken (once in 1,024 starts), and what caches hold in blocks of 64.
    #expect(found.most <= 16 * (1 + 64) + 4 * 64)
  }

  @Test("a node whose hundred predecessors end on four workers becomes ready once, when the last of them has ended", arguments: 0..<20)
  func crowd(seed: Int) throws {
    let watched = try Watched(workers: 4)
    try watched.start(202) { i, visit in
      if i == 201 || i == 100 { for p in (i == 100 ? 0..<100 : 101..<201) { visit(p) } } else if i > 100 { visit(100) }
    }
    drive(watched.scheduler, seed: UInt64(seed), upTo: 40)
    #expect(watched.starts.count == 202 && watched.starts[100] == 100 && watched.starts[201] == 201)
    #expect(watched.ended == 1 && watched.scheduler.admittedJobs == 0)
  }

  /// A worker that a handler can hold.
  final class Hand: @unchecked Sendable {
    let worker: Worker
    init(_ worker: consuming Worker) { self.worker = worker }
  }

  @Test(
    "a node whose predecessors were counted in a lot can be taken by others before the worker goes into a handler that it does not wait for"
  )
  func crowdBeforeHandler() throws {
    let count = 12
    let scheduler = try Scheduler(SchedulerConfiguration(slots: 2, workers: 2, capacity: 1000, stealPatience: 0))
    let found = Found()
    let other = Hand(scheduler.makeWorker(1))
    let node = ClosureHandler { _ in }
    let long = ClosureHandler { _ in
      // The other worker looks for work while this handler runs.
      while let begun = other.worker.begin() {
        found.most = Int(begun.second)
        found.ran += 1
        other.worker.finish(begun, other.worker.run(begun))
      }
      other.worker.settleCounts()
    }
    let nodeHandler = try #require(scheduler.register(node.handler))
    let longHandler = try #require(scheduler.register(long.handler))
    let plan = try Plan(
      count: count + 1, node: { _ in Plan.Node(handler: nodeHandler) },
      predecessors: { i, visit in if i == count { for p in 0..<count { visit(p) } } })
    let run = try Run(
      plan, hooks: unsafe RunHooks(context: Unmanaged.passUnretained(found).toOpaque(), completed: { _ in }))
    try scheduler.start(run)
    try scheduler.submit(JobRequest(handler: longHandler))
    let own = Hand(scheduler.makeWorker(0))
    #expect(own.worker.work(upTo: 100).ran == count + 1)
    #expect(found.ran == 1 && found.most == count)
    own.worker.settleCounts()
    withExtendedLifetime(run) { #expect(scheduler.admittedJobs == 0) }
  }
}
