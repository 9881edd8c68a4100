import Dispatch
import Millrace
import MillraceCore
import Testing

/// Circuit breakers and retry budgets on real threads, of tasks and of messages.
@Suite(.timeLimit(.minutes(5))) struct BreakerEngineTests {
  private func breaker(
    _ destination: String = "shop", window: Int = 4, openFor: Duration = .milliseconds(5), canaries: Int = 2,
    retryBudget: BreakerPolicy.RetryShare? = nil
  ) -> BreakerPolicy {
    var configuration = BreakerMachine.Configuration()
    (configuration.window, configuration.canaries) = (window, canaries)
    configuration.openFor = UInt64(clamping: openFor)
    configuration.longestOpen = max(configuration.openFor, 20_000_000)
    return BreakerPolicy(destination, breaker: configuration, retryBudget: retryBudget)
  }

  @Test("while a destination fails its tasks are parked without slot or attempt, and all are done when it works again")
  func parks() async throws {
    let engine = try engine(slots: 2, threads: 2)
    let works = Door()
    let calls = Gauge()
    try engine.register("call") { _ in
      calls.enter()
      if !works.isPassable { throw TaskFailure("away", "the shop is closed") }
      return .empty
    }
    try engine.register("other") { _ in .empty }
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<200 {
      workflow.task(
        "t\(i)", handler: "call", retry: RetryPolicy(attempts: 1_000, initial: 1_000, factor: 1, cap: 1_000), breaker: breaker())
    }
    let run = try engine.start(workflow)
    #expect(await eventually { engine.breakers.contains { $0.openings > 0 && $0.parked >= 190 } })
    let state = engine.breakers[0]
    #expect(state.destination == "shop" && state.state != .closed)
    // The slots are free for others meanwhile.
    var others = Definition("others")
    for i in 0..<50 { others.task("o\(i)", handler: "other") }
    #expect(try await engine.run(others).status == .completed)
    works.open()
    #expect(await run.finished() == .completed)
    #expect(run.isAccounted())
    // Each attempt was a call: nothing was charged for being parked.
    #expect(run.record().tasks.reduce(0) { $0 + $1.attempts.count } == calls.entries)
    #expect(engine.breakers.allSatisfy { $0.state == .closed && $0.parked == 0 })
    engine.shutdown()
  }

  @Test("all runs share a destination's breaker; runs that are cancelled, and tasks whose time is over, leave it without harm")
  func shared() async throws {
    let engine = try engine(slots: 4, threads: 2)
    let works = Door()
    let calls = Gauge()
    try engine.register("call") { _ in
      calls.enter()
      if !works.isPassable { throw TaskFailure("away", "") }
      return .empty
    }
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<40 {
      workflow.task(
        "t\(i)", handler: "call", priority: Priority(rawValue: UInt8(i % 4)),
        retry: RetryPolicy(attempts: 1_000, initial: 1_000, factor: 1, cap: 1_000),
        timeouts: i % 5 == 0 ? Timeouts(scheduleToClose: 20_000_000) : i % 5 == 1 ? Timeouts(scheduleToStart: 10_000_000) : Timeouts(),
        breaker: breaker(openFor: .milliseconds(1)))
    }
    let prepared = try engine.prepare(workflow)
    let runs = try (0..<20).map { _ in try engine.start(prepared) }
    #expect(await eventually { engine.breakers.contains { $0.parked > 100 } })
    for (i, run) in runs.enumerated() where i % 3 == 0 { run.cancel() }
    works.open()
    for run in runs {
      _ = await run.finished()
      #expect(run.isAccounted())
    }
    #expect(engine.breakers.allSatisfy { $0.parked == 0 })
    engine.shutdown()
  }

  @Test("an error that no attempt can cure comes from a destination that works")
  func answers() async throws {
    let engine = try engine()
    try engine.register("call") { _ in throw TaskFailure("no-stock", "", isRetryable: false) }
    var workflow = Definition("w", onFailure: .continue)
    for i in 0..<50 { workflow.task("t\(i)", handler: "call", breaker: breaker()) }
    let run = try engine.start(workflow)
    #expect(await run.finished() == .failed)
    #expect(run.accounts == [0, 50, 0, 0])
    engine.shutdown()
  }

  @Test("a retry budget bounds retries by the first attempts")
  func budget() async throws {
    let engine = try engine()
    let calls = Gauge()
    try engine.register("call") { _ in
      calls.enter()
      throw TaskFailure("away", "")
    }
    var workflow = Definition("w", onFailure: .continue)
    let policy = breaker(window: 64, retryBudget: .init(ratio: 0.1, least: 2, per: 3_600_000_000_000))
    for i in 0..<50 {
      workflow.task("t\(i)", handler: "call", retry: RetryPolicy(attempts: 10, initial: 1_000, factor: 1, cap: 1_000), breaker: policy)
    }
    let run = try engine.start(workflow)
    #expect(await run.finished() == .failed)
    #expect(calls.entries >= 52 && calls.entries <= 55)
    let errors = run.record().tasks.flatMap(\.attempts).map(\.message)
    #expect(errors.contains { $0.contains("the retry budget of shop is used up") })
    engine.shutdown()
  }

  @Test("messages go back to their queue while their destination fails, and nothing is charged; the breaker is the tasks' too")
  func messages() async throws {
    let engine = try engine()
    try queue("orders", on: engine) { $0.deliveryLimit = nil }
    let works = Door()
    let failures = Notes()
    let notes = Notes()
    var options = ConsumeOptions()
    options.breaker = breaker(openFor: .milliseconds(2))
    try engine.consume("orders", options) { (message: ReceivedMessage, _) in
      if !works.isPassable {
        failures.add(message.text)
        throw TaskFailure("away", "")
      }
      notes.add("\(message.text) \(message.failedCount)")
    }
    for i in 0..<100 { try await engine.publish(.text("\(i)"), to: "orders") }
    #expect(await eventually { engine.breakers.contains { $0.openings > 1 } })
    works.open()
    #expect(await notes.reach(100))
    #expect(Set(notes.all.compactMap { $0.split(separator: " ").first }).count == 100)
    // Each failure was a call: nothing was charged for going back.
    let failed = Dictionary(failures.all.map { ($0, 1) }, uniquingKeysWith: +)
    for line in notes.all {
      let parts = line.split(separator: " ").map(String.init)
      // A delivery counts to 255.
      #expect(parts[1] == "\(min(255, failed[parts[0]] ?? 0))")
    }
    engine.shutdown()
  }
}
