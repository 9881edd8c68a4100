import Millrace
import MillraceTesting
import Testing

/// Whose work it is, and who gets how much.
@Suite struct TenantTests {
  @Test(
    "two tenants of weights 1 and 3 get a quarter and three of the starts, in every window of 200, while both have tasks ready",
    arguments: [1, 4])
  func shares(workers: Int) throws {
    let engine = try TestEngine(slots: workers, workers: workers, tenants: ["a": 1, "b": 3])
    let order = Order()
    try engine.mock("work") { (context: TaskContext) in
      order.append(context.taskID.hasPrefix("a"))
      return .empty
    }
    func workflow(_ name: String) -> Definition {
      var workflow = Definition(name)
      for i in 0..<2_000 { workflow.task("\(name)\(i)", handler: "work") }
      return workflow
    }
    let first = try engine.start(workflow("a"), tenant: "a")
    let second = try engine.start(workflow("b"), tenant: "b")
    try first.finish()
    try second.finish()
    // While both have some: tenant b has had its last at about the 2,666th.
    let starts = order.all.prefix(2_400)
    for begin in stride(from: 0, to: 2_200, by: 50) {
      let share = starts[begin..<begin + 200].count { $0 }
      // A turn of b are 24 starts, one of a 8; each worker may keep what it has charged.
      #expect(abs(share - 50) <= 8 + 8 * workers, "\(share) of 200 from \(begin) on")
    }
    #expect(abs(starts.count { $0 } - 600) <= 8 + 8 * workers)
    #expect(first.record().tenant == "a" && second.record().tenant == "b")
  }

  @Test("who names no tenant is the default one; one that the engine does not have is refused by name")
  func names() throws {
    let engine = try TestEngine(tenants: ["team-1": 5])
    try engine.mock("work") { (_: TaskContext) in .empty }
    var workflow = Definition("w")
    workflow.task("t", handler: "work")
    #expect(try engine.run(workflow).record().tenant == "default")
    #expect(try engine.run(workflow, tenant: "team-1").record().tenant == "team-1")
    let error = #expect(throws: EngineError.self) { try engine.start(workflow, tenant: "team-2") }
    #expect(
      error?.description == "no tenant is called \"team-2\": the engine's are default, team-1; name it in Engine.Configuration.tenants")
  }

  @Test("names and weights are checked when an engine is made", arguments: ["", "a b", "ä"])
  func bad(name: String) throws {
    var configuration = Engine.Configuration()
    configuration.tenants = [name: 1]
    #expect(throws: EngineError.self) { try Engine(configuration) }
    configuration.tenants = ["a": 1_001]
    #expect(throws: EngineError.self) { try Engine(configuration) }
    configuration.tenants = Dictionary(uniqueKeysWithValues: (0..<1_024).map { ("t\($0)", 1) })
    #expect(throws: EngineError.self) { try Engine(configuration) }
    configuration.tenants["t0"] = nil
    configuration.capacity = 1_024
    let engine = try Engine(configuration)
    try engine.register("work") { _ in .empty }
    var workflow = Definition("w")
    workflow.task("t", handler: "work")
    let run = try engine.start(engine.prepare(workflow), tenant: "t1023")
    #expect(run.wait() == .completed && run.tenant == "t1023" && run.record().tenant == "t1023")
    #expect(throws: EngineError.self) { try engine.start(workflow, tenant: "t0") }
    #expect(Timeline.html(run.record(), result: nil).contains("<title>w for t1023: timeline</title>"))
    engine.shutdown()
  }

  private final class Order: @unchecked Sendable {
    // One thread steps a test engine.
    private(set) var all: [Bool] = []
    func append(_ isFirst: Bool) { all.append(isFirst) }
  }

  @Test("lines of runs and rates in a test: minutes of waiting take no time")
  func virtual() throws {
    let engine = try TestEngine()
    try engine.mock("deploy", taking: .seconds(60)) { (_: TaskContext) in .empty }
    try engine.mock("call") { (_: TaskContext) in .empty }
    var workflow = Definition("deploy", concurrency: RunConcurrency())
    let calls = (0..<3).map { workflow.task("call\($0)", handler: "call", rate: RateLimit(key: "api", limit: 1, per: 60_000_000_000)) }
    workflow.task("deploy", handler: "deploy", dependencies: calls)
    let first = try engine.start(workflow)
    let second = try engine.start(workflow)
    #expect(second.status == .created && second.waitsFor?.holder == first.id)
    #expect(try second.finish() == .completed)
    #expect(first.startTimes(of: "call2") == [.seconds(120)] && first.elapsed == .seconds(180))
    #expect(second.startTimes(of: "call0") == [.zero] && second.elapsed == .seconds(180))
    #expect(engine.now == .seconds(360))
    let third = try engine.start(workflow)
    let fourth = try engine.start(workflow)
    fourth.cancel()
    #expect(fourth.status == .cancelled)
    third.cancel()
    #expect(try third.finish() == .cancelled)
  }
}
