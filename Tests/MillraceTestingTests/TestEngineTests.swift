import Millrace
import MillraceTesting
import Testing

/// A program's own workflow, as its author would test it: an order is paid and shipped.
@Suite struct TestEngineTests {
  struct Order: Codable, Hashable { var number: Int }
  struct Receipt: Codable, Hashable {
    var order: Int
    var amount: Double
  }
  struct Declined: RetryableError {
    var retryAfter: Duration? { .seconds(30 * 86_400) }
  }
  static let day: UInt64 = 86_400_000_000_000

  /// What the program runs in its engine.
  static func handlers(_ registry: some HandlerRegistry) throws {
    try registry.register("orders/check") { (order: Order, _) in order }
    try registry.register("orders/charge") { (_: JSON, _) async throws -> Receipt in throw TaskFailure("offline", "there is no bank here") }
    try registry.register("orders/ship") { (_: JSON, context) in
      "shipped \(try context.output(of: "charge", as: Receipt.self).order)"
    }
  }

  static func workflow(retry: RetryPolicy = RetryPolicy(attempts: 5), timeouts: Timeouts = Timeouts()) -> Definition {
    var workflow = Definition("order", result: "ship")
    let check = workflow.task("check", handler: "orders/check", input: ["number": 7])
    let charge = workflow.task("charge", handler: "orders/charge", dependencies: [check], retry: retry, timeouts: timeouts)
    workflow.task("ship", handler: "orders/ship", dependencies: [charge])
    return workflow
  }

  private func engine(seed: UInt64 = 0) throws -> TestEngine {
    let engine = try TestEngine(seed: seed)
    try Self.handlers(engine)
    return engine
  }

  @Test("a payment that is declined twice is tried again 30 days later each time, in milliseconds")
  func thirtyDays() throws {
    let engine = try engine()
    try engine.mock("orders/charge", [.failing(Declined(), times: 2), .returning(Receipt(order: 7, amount: 12.5))])
    let start = ContinuousClock.now
    let run = try engine.run(Self.workflow())
    #expect(ContinuousClock.now - start < .seconds(10))
    #expect(run.status == .completed)
    #expect(run.attempts(of: "charge").map(\.errorType) == ["Declined", "Declined", ""])
    #expect(run.startTimes(of: "charge") == [.zero, .seconds(30 * 86_400), .seconds(60 * 86_400)])
    #expect(run.elapsed == .seconds(60 * 86_400))
    #expect(engine.now == run.elapsed)
    #expect(run.startOrder == ["check", "charge", "ship"])
    #expect(try run.output(of: "ship", as: String.self) == "shipped 7")
  }

  @Test("schedule-to-close of 30 days ends a task whose retries go on, at that nanosecond")
  func scheduleToClose() throws {
    let engine = try engine()
    try engine.mock("orders/charge", [.failing(TaskFailure("offline", "", retryAfter: .seconds(86_400 * 7)))])
    let run = try engine.run(
      Self.workflow(retry: RetryPolicy(attempts: 1000), timeouts: Timeouts(scheduleToClose: 30 * Self.day)))
    #expect(run.status == .failed)
    // The wait that would end on day 35 is not begun.
    #expect(run.attempts(of: "charge").count == 5)
    #expect(run.elapsed == .seconds(28 * 86_400))
    #expect(run.task("ship")?.status == .skipped || run.task("ship")?.status == .cancelled)
  }

  @Test("a handler that hangs is timed out and tried again; one that takes an hour takes it")
  func hanging() throws {
    let engine = try engine()
    try engine.mock("orders/charge", [.hanging, .returning(Receipt(order: 1, amount: 1)).after(.seconds(3600))])
    let run = try engine.run(
      Self.workflow(
        retry: RetryPolicy(attempts: 2, initial: 0), timeouts: Timeouts(startToClose: 2 * 3_600_000_000_000)))
    #expect(run.attempts(of: "charge").map(\.status) == [.timedOut, .completed])
    #expect(run.elapsed == .seconds(3 * 3600))
  }

  @Test("a task that nothing will ever end is told, not waited for; it can be cancelled")
  func stuck() throws {
    let engine = try engine()
    try engine.mock("orders/charge", [.hanging])
    let run = try engine.start(Self.workflow())
    let error = #expect(throws: TestEngineError.self) { try run.finish() }
    #expect(error.map { "\($0)" }?.contains("charge") == true)
    run.cancel()
    #expect(try run.finish() == .cancelled)
  }

  @Test("time passes as far as the test says, for all runs at once")
  func advancing() throws {
    let engine = try engine()
    try engine.mock("orders/charge", taking: .seconds(100)) { (_: JSON, context) in Receipt(order: context.attempt, amount: 0) }
    let first = try engine.start(Self.workflow())
    try engine.advance(by: .seconds(60))
    let second = try engine.start(Self.workflow())
    try engine.advance(by: .seconds(39))
    #expect([first.status, second.status] == [.running, .running])
    #expect(first.progress().running == 1)
    try engine.advance(by: .seconds(1))
    #expect([first.status, second.status] == [.completed, .running])
    #expect(first.elapsed == .seconds(100))
    try second.finish()
    #expect(engine.now == .seconds(160))
  }

  @Test("the same seed gives the same history to the nanosecond; another gives other waits")
  func seeds() throws {
    func history(_ seed: UInt64) throws -> [[UInt64]] {
      let engine = try engine(seed: seed)
      try engine.mock("orders/charge", [.failing(TaskFailure("offline", ""), times: 4), .returning(Receipt(order: 1, amount: 1))])
      return try engine.run(Self.workflow()).record().tasks.map { $0.attempts.map(\.start) }
    }
    #expect(try history(1) == history(1))
    #expect(try history(1) != history(2))
  }

  @Test("real handlers run beside mocks, asynchronous ones too, and are waited for before time moves on")
  func realHandlers() throws {
    let engine = try engine()
    try engine.register("orders/later") { (_: JSON, context) async throws in
      await Task.yield()
      if context.attempt < 3 { throw TaskFailure("again", "", retryAfter: .seconds(10)) }
      return context.attempt
    }
    var workflow = Definition("w")
    for i in 0..<20 { workflow.task("t\(i)", handler: "orders/later", retry: RetryPolicy()) }
    let run = try engine.run(workflow)
    #expect(run.elapsed == .seconds(20))
    #expect(try (0..<20).allSatisfy { try run.output(of: "t\($0)", as: Int.self) == 3 })
    #expect(throws: EngineError.self) { try Self.handlers(engine) }
  }

  @Test("a mock of a task serves all its items, and one of an item that item alone; the others call the handler")
  func items() throws {
    let engine = try TestEngine()
    try engine.register("double") { (item: Int, _: TaskContext) -> Int in 2 * item }
    var workflow = Definition("w")
    workflow.task("each", handler: "double", input: "${item}", foreach: .range(from: 0, to: 4), retry: RetryPolicy(attempts: 2))
    #expect(try engine.run(workflow).output(of: "each", as: [Int].self) == [0, 2, 4, 6, 8])
    engine.mock(task: "each[3]", [.failing(TaskFailure("declined", "no")), try .returning(-3)])
    let one = try engine.run(workflow)
    #expect(try one.output(of: "each", as: [Int].self) == [0, 2, 4, -3, 8])
    #expect(one.attempts(of: "each[3]").map(\.errorType) == ["declined", ""])
    engine.mock(task: "each", [try .returning(7)])
    let all = try engine.run(workflow)
    #expect(try all.output(of: "each", as: [Int].self) == [7, 7, 7, -3, 7])
    #expect(all.startOrder.first == "each" && all.startOrder.count == 6 && all.task("each")?.items?.count == 5)
  }

  @Test("signals and answers at virtual times, waits of 30 days in milliseconds, and the history tells who and when")
  func waits() throws {
    // 2026-12-24T12:00:00Z.
    let engine = try TestEngine(wall: 1_798_113_600_000_000_000)
    var workflow = Definition("release", result: "ok")
    let go = workflow.wait("go", for: .signal("release"))
    let pause = workflow.wait("pause", for: .lasting(.seconds(30 * 86_400)), dependencies: [go])
    let later = workflow.wait("later", for: .until("2027-03-01T12:00:00Z"), dependencies: [pause])
    workflow.wait("ok", for: .approval("Deploy ${tasks.go.output.version}?"), dependencies: [later])
    let run = try engine.start(workflow)
    engine.after(.seconds(60)) {
      #expect(run.waits.map(\.task) == ["go"])
      #expect(throws: Never.self) { try run.signal("release", ["version": 7]) }
    }
    let month = Duration.seconds(67 * 86_400)
    engine.after(month + .seconds(5)) {
      #expect(run.waits.map(\.wait) == [.approval("Deploy 7?")])
      #expect(throws: Never.self) { try run.approve(task: "ok", by: "Ada") }
    }
    #expect(try run.finish() == .completed)
    #expect(run.elapsed == month + .seconds(5))
    #expect(run.startTimes(of: "later") == [.seconds(60 + 30 * 86_400)])
    #expect(run.record().signals == [SignalRecord(name: "release", time: 60_000_000_000, task: "go")])
    #expect(run.task("ok")?.answer == Answer(isApproved: true, by: "Ada"))

    let hanging = try engine.start(workflow)
    #expect(throws: TestEngineError.self) { try hanging.finish() }
    hanging.cancel()
    #expect(try hanging.finish() == .cancelled)
  }
}
