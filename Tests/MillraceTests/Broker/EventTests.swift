import Millrace
import MillraceBroker
import Testing

/// `Configuration.events`: what runs do, as messages.
@Suite(.timeLimit(.minutes(5))) struct EventTests {
  private func world(_ change: (inout Engine.Configuration) -> Void = { _ in }) throws -> Engine {
    let engine = try engine {
      $0.capacity = 10_000
      $0.events = true
      $0.tenants = ["blue": 1]
      $0.wallClock = { 5 }
      change(&$0)
    }
    try engine.register("good") { _ in .empty }
    try engine.register("bad") { call in throw TaskFailure("jam", "no paper") }
    return engine
  }

  private func workflow() -> Definition {
    var workflow = Definition("print", onFailure: .continue)
    let first = workflow.task("first", handler: "good")
    let second = workflow.task("second", handler: "bad", dependencies: [first], retry: RetryPolicy(attempts: 2, initial: 1))
    workflow.task("third", handler: "good", dependencies: [second])
    return workflow
  }

  private func bind(_ name: String, _ key: String, on engine: Engine, _ change: (inout QueueConfiguration) -> Void = { _ in }) throws {
    try queue(name, on: engine, change)
    try engine.broker.bind(Binding(Engine.events, to: .queue(BrokerName(name)), key: key))
  }

  @Test("runs and tasks tell what they do, by key and as JSON, in their order")
  func events() async throws {
    let engine = try world()
    try bind("all", "millrace.events.#", on: engine)
    try bind("failed", "millrace.events.task.failed.print.*", on: engine)
    let run = try engine.start(workflow(), tenant: "blue")
    #expect(await run.finished() == .failed)
    var keys: [String] = []
    var receiver = try engine.broker.makeReceiver(BrokerName("all"))
    while try receiver.receive({
      keys.append(String($0.key.dropFirst("millrace.events.".count)))
      return .acknowledge
    }) > 0 {}
    #expect(
      keys == [
        "workflow.running.print", "task.running.print.first", "task.completed.print.first", "task.running.print.second",
        "task.retrying.print.second", "task.running.print.second", "task.failed.print.second", "task.skipped.print.third",
        "workflow.failed.print",
      ])
    let failed = try #require(try drain("failed", of: engine).first)
    #expect(
      failed
        == #"{"run":"\#(run.id)","workflow":"print","task":"second","status":"failed","attempt":2,"tenant":"blue","error":{"type":"jam","message":"no paper"},"time":5}"#
    )
    #expect(engine.lostEvents == 0)
    engine.shutdown()
  }

  @Test("a full queue holds nothing up, and what it did not take is counted; without a queue nothing is")
  func full() async throws {
    let engine = try world()
    #expect(try await engine.start(workflow()).finished() == .failed)
    #expect(engine.lostEvents == 0)
    try bind("small", "#", on: engine) {
      $0.maxSize = 1
      $0.overflow = .rejectPublish
    }
    #expect(try await engine.start(workflow()).finished() == .failed)
    #expect(engine.lostEvents == 8)
    engine.shutdown()
  }

  @Test("who consumes events makes none, and another observer hears of all that it would without them")
  func consumed() async throws {
    let observer = CountingObserver()
    let engine = try world { $0.observer = observer }
    try bind("all", "#", on: engine)
    let notes = Notes()
    try engine.consume("all") { (message: ReceivedMessage, _) in notes.add(message.key) }
    #expect(try await engine.start(workflow()).finished() == .failed)
    #expect(await notes.reach(9))
    #expect(try await eventually { try engine.broker.statistics(of: BrokerName("all")).left.values.reduce(0, +) == 9 })
    #expect(notes.all.count == 9)
    // The workflow, and a run for each message.
    #expect(await eventually { observer.notes.all.filter { $0 == "ended" }.count == 10 })
    engine.shutdown()
  }

  private final class CountingObserver: EngineObserver, RunObserver {
    let notes = Notes()
    func runBegins(_ run: ObservedRun) -> (any RunObserver)? { self }
    func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? { nil }
    func ended(_ status: WorkflowStatus, after elapsed: Duration) { notes.add("ended") }
  }

  @Test("an engine without events has no exchange for them")
  func off() throws {
    let engine = try world { $0.events = false }
    #expect(throws: BrokerError.self) { try bind("all", "#", on: engine) }
    engine.shutdown()
  }
}
