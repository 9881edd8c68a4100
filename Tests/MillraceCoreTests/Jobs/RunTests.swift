import Testing

@testable import MillraceCore

/// The owner of a run in a test: remembers what it was told.
@safe private final class Owner: @unchecked Sendable {
  let scheduler: Scheduler
  var order: [UInt32] = []
  var bypassed: [UInt32] = []
  var completed = 0
  var poisons: [UInt32: [UInt32]] = [:]
  var run: Run!

  init(workers: Int = 1) throws {
    scheduler = try Scheduler(SchedulerConfiguration(slots: workers, workers: workers, capacity: 1 << 20, tenants: 1, stealPatience: 0))
    let handler = unsafe Handler(run: { _, _ in Outcome.done.rawValue })
    _ = try #require(scheduler.register(handler))
  }

  private static func from(_ context: UnsafeMutableRawPointer) -> Owner {
    unsafe Unmanaged<Owner>.fromOpaque(context).takeUnretainedValue()
  }

  func start(_ plan: Plan) throws {
    let hooks = unsafe RunHooks(
      context: Unmanaged.passUnretained(self).toOpaque(), completed: { unsafe Owner.from($0).completed += 1 },
      finished: { context, _, node, _ in
        let owner = unsafe Owner.from(context)
        owner.order.append(node)
        for other in owner.poisons[node] ?? [] { owner.run.poison(other) }
        return Verdict.release.rawValue
      },
      bypassed: { context, _, node in
        let owner = unsafe Owner.from(context)
        owner.bypassed.append(node)
        for other in owner.poisons[node] ?? [] { owner.run.poison(other) }
      })
    run = try Run(plan, hooks: hooks)
    try scheduler.start(run)
  }

  static func plan(_ predecessors: [[Int]]) throws -> Plan {
    try Plan(
      count: predecessors.count, node: { _ in Plan.Node(handler: HandlerIndex(rawValue: 0)) },
      predecessors: { i, visit in for p in predecessors[i] { visit(p) } })
  }
}

@Suite struct RunTests {
  @Test("a plan knows its rows, roots and sinks")
  func rows() throws {
    let plan = try Owner.plan([[], [0], [0], [1, 2], []])
    #expect(plan.roots == [0, 4])
    #expect(plan.sinks == 2)
    #expect(plan.edges == 4)
    #expect((0..<5).map(plan.successors(of:)) == [[1, 2], [3], [3], [], []])
  }

  @Test("a million nodes in a chain take at most 40 bytes each, plan and run together")
  func size() {
    // The sums of the parts of `Plan.init` and `Run.init`: 17 a node and 4 an edge, 5 a node.
    let nodes = 1_000_000
    #expect((17 * nodes + 4 * (nodes - 1) + RunBody.bytes(nodes: nodes)) / nodes <= 40)
    #expect(throws: Never.self) {
      let plan = try Plan(
        count: nodes, node: { _ in Plan.Node(handler: HandlerIndex(rawValue: 0)) }, predecessors: { i, visit in if i > 0 { visit(i - 1) } })
      #expect(plan.roots == [0] && plan.sinks == 1 && plan.successors(of: nodes - 2) == [nodes - 1])
    }
  }

  @Test(
    "each node runs once and after all its predecessors: diamond, fan 1-100-1, a random graph and ten fans in a row, on 1 and 4 workers",
    arguments: [1, 4], [nil, 1, 7, 64])
  func order(workers: Int, limit: Int?) throws {
    for shape in 0..<4 { try order(shape, workers: workers, limit: limit) }
  }

  private func order(_ shape: Int, workers: Int, limit: Int?) throws {
    var random = Seed(UInt64(shape))
    let graph: [[Int]] =
      switch shape {
      case 0: [[], [0], [0], [1, 2]]
      case 1: [[]] + (0..<100).map { _ in [0] } + [Array(1...100)]
      case 2: (0..<1011).map { i in i % 101 != 0 ? [i - i % 101] : i > 0 ? Array(i - 100..<i) : [] }
      default: (0..<500).map { i in i == 0 ? [] : Array(Set((0..<3).map { _ in Int.random(in: 0..<i, using: &random) })) }
      }
    let owner = try Owner(workers: workers)
    try owner.start(Owner.plan(graph))
    drive(owner.scheduler, seed: UInt64(shape), upTo: limit)
    #expect(owner.completed == 1)
    #expect(owner.order.sorted() == (0..<UInt32(graph.count)).map { $0 })
    var place = [Int](repeating: 0, count: graph.count)
    for (i, node) in owner.order.enumerated() { place[Int(node)] = i }
    for (node, predecessors) in graph.enumerated() { #expect(predecessors.allSatisfy { place[$0] < place[node] }) }
    #expect(owner.scheduler.admittedJobs == 0)
  }

  @Test("a node waits for all its predecessors, also for more than a byte can count", arguments: [254, 255, 256, 1000], [nil, 64])
  func crowd(predecessors: Int, limit: Int?) throws {
    let owner = try Owner(workers: 2)
    try owner.start(Owner.plan((0..<predecessors).map { _ in [] } + [Array(0..<predecessors)]))
    drive(owner.scheduler, seed: UInt64(predecessors), upTo: limit)
    #expect(owner.order.count == predecessors + 1 && owner.order.last == UInt32(predecessors))
    #expect(owner.completed == 1)
  }

  @Test("a chain of 100,000 behind a poisoned node is bypassed without recursion, and the run ends", arguments: [nil, 64])
  func poison(limit: Int?) throws {
    let count = 100_000
    let owner = try Owner()
    for i in 0..<UInt32(count - 1) { owner.poisons[i] = [i + 1] }
    try owner.start(Owner.plan((0..<count).map { $0 == 0 ? [] : [$0 - 1] }))
    drive(owner.scheduler, seed: 1, upTo: limit)
    #expect(owner.order == [0])
    #expect(owner.bypassed.count == count - 1)
    #expect(owner.completed == 1 && owner.scheduler.admittedJobs == 0)
  }

  @Test("a stopped run bypasses what has not started, and ends", arguments: [nil, 64])
  func stop(limit: Int?) throws {
    let owner = try Owner()
    try owner.start(Owner.plan((0..<50).map { $0 == 0 ? [] : [$0 - 1] }))
    owner.run.stop()
    drive(owner.scheduler, seed: 1, upTo: limit)
    #expect(owner.order.isEmpty && owner.bypassed.count == 50 && owner.completed == 1)
  }
}
