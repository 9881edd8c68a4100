import Millrace
import MillraceCore
import MillraceTesting
import Testing

/// Writes down what it is told, and finds what is told twice, too late or out of order.
final class Witness: EngineObserver, @unchecked Sendable {
  private let monitor = Monitor()
  private var written: [String] = []
  private var complaints: [String] = []
  private var open = 0
  private var runs = 0
  let trace: TraceContext?

  init(trace: TraceContext? = nil) { self.trace = trace }

  deinit { monitor.deallocate() }

  /// What the handler of an attempt finds.
  @TaskLocal static var attempt: String?

  var lines: [String] { monitor.locked { written } }
  var faults: [String] { monitor.locked { complaints } }
  var unfinished: Int { monitor.locked { open } }
  var unfinishedRuns: Int { monitor.locked { runs } }

  func write(_ line: String) { monitor.locked { written.append(line) } }
  func complain(_ fault: String) { monitor.locked { complaints.append(fault) } }
  func count(_ change: Int) { monitor.locked { open += change } }

  func runBegins(_ run: ObservedRun) -> (any RunObserver)? {
    write("run \(run.workflow) of \(run.tasks)")
    monitor.locked { runs += 1 }
    return OfRun(self)
  }

  final class OfRun: RunObserver, @unchecked Sendable {
    let witness: Witness
    private let monitor = Monitor()
    private var isOver = false
    private var running: [String: Int] = [:]
    private var ended: Set<String> = []

    init(_ witness: Witness) { self.witness = witness }

    deinit { monitor.deallocate() }

    var trace: TraceContext? { witness.trace }

    func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? {
      monitor.locked {
        if isOver { witness.complain("\(attempt.task) begins after the run has ended") }
        if running[attempt.task] != nil || ended.contains(attempt.task) { witness.complain("\(attempt.task) begins when it should not") }
        running[attempt.task] = attempt.number
      }
      witness.count(1)
      witness.write("\(attempt.task) \(attempt.number) by \(attempt.handler)")
      return OfAttempt(self, attempt)
    }

    func attemptEnded(_ attempt: ObservedAttempt) {
      witness.count(-1)
      monitor.locked {
        if isOver { witness.complain("\(attempt.task) ends after the run") }
        if running.removeValue(forKey: attempt.task) != attempt.number { witness.complain("\(attempt.task) ends, and has not begun") }
      }
    }

    func retryScheduled(_ attempt: ObservedAttempt, after wait: Duration) {
      monitor.locked {
        if isOver || running[attempt.task] != nil || ended.contains(attempt.task) { witness.complain("\(attempt.task) again, too late") }
      }
      witness.write("\(attempt.task) \(attempt.number) again after \(wait)")
    }

    func taskEnded(_ task: String, handler: String, _ status: TaskStatus) {
      monitor.locked {
        if isOver || running[task] != nil || !ended.insert(task).inserted { witness.complain("\(task) is over when it should not be") }
      }
      witness.write("\(task) is \(status.rawValue)")
    }

    func ended(_ status: WorkflowStatus, after elapsed: Duration) {
      over()
      witness.write("run is \(status.rawValue) after \(elapsed)")
    }

    func refused(_ error: any Error) {
      over()
      witness.write("run refused: \(error)")
    }

    private func over() {
      monitor.locked {
        if isOver || !running.isEmpty { witness.complain("the run ends with \(running), or again") }
        isOver = true
      }
      witness.monitor.locked { witness.runs -= 1 }
    }
  }

  final class OfAttempt: AttemptObserver {
    let run: OfRun
    let attempt: ObservedAttempt

    init(_ run: OfRun, _ attempt: ObservedAttempt) {
      self.run = run
      self.attempt = attempt
    }

    func around(_ handler: () -> Void) { Witness.$attempt.withValue("\(attempt.task) \(attempt.number)") { handler() } }

    func ended(_ ending: ObservedEnding) {
      run.attemptEnded(attempt)
      run.witness.write(
        "\(attempt.task) \(attempt.number) \(ending.status.rawValue) \(ending.elapsed) \(ending.errorType)")
    }
  }
}

@Suite struct ObserverTests {
  private static let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test("of items the attempts are told, by their names, and their task ends once; the record has the run's tenant")
  func items() throws {
    let witness = Witness()
    let engine = try TestEngine(tenants: ["team": 2], observer: witness)
    try engine.mock("work", [.failing(TaskFailure("away", "", retryAfter: .seconds(1))), .payload(.empty)])
    var workflow = Definition("w")
    workflow.task("each", handler: "work", foreach: .range(from: 0, to: 2), retry: RetryPolicy(attempts: 2))
    let run = try engine.run(workflow, tenant: "team")
    #expect(run.status == .completed && run.record().tenant == "team")
    #expect(witness.faults == [] && witness.unfinished == 0 && witness.unfinishedRuns == 0)
    for item in 0..<3 {
      for line in ["each[\(item)] 1 by work", "each[\(item)] 1 again after 1.0 seconds", "each[\(item)] 2 by work"] {
        #expect(witness.lines.count { $0 == line } == 1, "\(line)")
      }
    }
    #expect(witness.lines.filter { $0.contains(" is ") } == ["each is COMPLETED", "run is COMPLETED after 1.0 seconds"])
    #expect(witness.lines.first == "run w of 1")
  }

  @Test("a run is told in its order: attempts, retries, what is skipped, the cleanup, its end")
  func story() throws {
    let witness = Witness()
    let engine = try TestEngine(observer: witness)
    try engine.mock("fetch", [.failing(TaskFailure("away", "no", retryAfter: .seconds(2))), .payload(.empty).after(.seconds(3))])
    try engine.mock("fail", [.failing(TaskFailure("broken", "", isRetryable: false))])
    try engine.mock("tidy", [.payload(.empty)])
    var workflow = Definition("story", onFailure: .continue)
    let fetch = workflow.task("fetch", handler: "fetch", retry: RetryPolicy(attempts: 2))
    let fail = workflow.task("fail", handler: "fail", dependencies: [fetch])
    workflow.task("after", handler: "fetch", dependencies: [fail])
    workflow.cleanup("tidy", handler: "tidy")
    let run = try engine.run(workflow)
    #expect(run.status == .failed)
    #expect(
      witness.lines == [
        "run story of 4", "fetch 1 by fetch", "fetch 1 FAILED 0.0 seconds away", "fetch 1 again after 2.0 seconds", "fetch 2 by fetch",
        "fetch 2 COMPLETED 3.0 seconds ", "fetch is COMPLETED", "fail 1 by fail", "fail 1 FAILED 0.0 seconds broken", "fail is FAILED",
        "after is SKIPPED", "tidy 1 by tidy", "tidy 1 COMPLETED 0.0 seconds ", "tidy is COMPLETED", "run is FAILED after 5.0 seconds",
      ])
    #expect(witness.faults == [])
  }

  /// Notes how long attempts waited for their start, in seconds.
  private final class Waits: EngineObserver, RunObserver, @unchecked Sendable {
    private let monitor = Monitor()
    private var seconds: [String: [Int64]] = [:]

    deinit { monitor.deallocate() }

    var all: [String: [Int64]] { monitor.locked { seconds } }

    func runBegins(_ run: ObservedRun) -> (any RunObserver)? { self }

    func attemptBegins(_ attempt: ObservedAttempt) -> (any AttemptObserver)? {
      monitor.locked { seconds[attempt.task, default: []].append(attempt.scheduleToStart?.components.seconds ?? -1) }
      return nil
    }
  }

  @Test("how long an attempt waits counts from when it was ready, its retry due, or its item's turn; of a saga it is not known")
  func scheduleToStart() throws {
    let waits = Waits()
    let engine = try TestEngine(slots: 1, observer: waits)
    try engine.mock("work", taking: .seconds(2)) { _ in .empty }
    try engine.mock("fickle", [.failing(TaskFailure("away", "", retryAfter: .seconds(1))), .payload(.empty)])
    var workflow = Definition("w")
    let a = workflow.task("a", handler: "work", priority: .high)
    let b = workflow.task("b", handler: "fickle", retry: RetryPolicy(attempts: 2))
    let c = workflow.task("c", handler: "work", dependencies: [a])
    let each = workflow.task("each", handler: "work", dependencies: [b, c], foreach: .range(from: 0, to: 2))
    workflow.task("turns", handler: "work", dependencies: [each], foreach: .range(from: 0, to: 2), parallelism: 1)
    workflow.cleanup("tidy", handler: "work")
    #expect(try engine.run(workflow).status == .completed)
    // b waits for a; its retry, due at 3, for c, which goes on to 4.
    #expect(
      waits.all == [
        "a": [0], "b": [2, 1], "c": [0], "each[0]": [0], "each[1]": [2], "each[2]": [4], "turns[0]": [0], "turns[1]": [0],
        "turns[2]": [0], "tidy": [0],
      ])

    var saga = Definition(saga: "s")
    saga.step("step", handler: "work", isPivot: true)
    #expect(try engine.run(saga).status == .completed)
    #expect(waits.all["step"] == [-1])
  }

  @Test("a handler that hangs has timed out for the observer too; one whose input cannot be made fails without being called")
  func timeouts() throws {
    let witness = Witness()
    let engine = try TestEngine(observer: witness)
    try engine.mock("hang", [.hanging])
    var workflow = Definition("w", onFailure: .continue)
    workflow.task("slow", handler: "hang", timeouts: Timeouts(startToClose: 1_000_000_000))
    let first = workflow.task("first", handler: "hang", when: "${params.no}")
    workflow.task("bad", handler: "hang", dependencies: [first], input: "${tasks.first.output.gone}")
    workflow.parameters = [.init("no", fallback: false)]
    let run = try engine.run(workflow)
    #expect(run.status == .failed)
    #expect(witness.lines.contains("slow 1 TIMED_OUT 1.0 seconds start-to-close"))
    #expect(witness.lines.contains("first is SKIPPED") && !witness.lines.contains { $0.hasPrefix("first 1") })
    #expect(witness.lines.contains("bad 1 FAILED 0.0 seconds expression"))
    #expect(witness.faults == [] && witness.unfinished == 0)
  }

  @Test("a run that is cancelled while it waits, and one that is refused, are told to have ended")
  func cancelled() throws {
    let witness = Witness()
    let engine = try TestEngine(observer: witness)
    try engine.mock("hang", [.hanging])
    var workflow = Definition("w")
    let a = workflow.task("a", handler: "hang")
    workflow.task("b", handler: "hang", dependencies: [a])
    let run = try engine.start(workflow)
    try engine.advance(by: .seconds(1))
    run.cancel()
    #expect(try run.finish() == .cancelled)
    #expect(
      witness.lines.suffix(4) == [
        "a 1 CANCELLED 1.0 seconds cancelled", "a is CANCELLED", "b is CANCELLED", "run is CANCELLED after 1.0 seconds",
      ])

    var configuration = Engine.Configuration()
    configuration.observer = witness
    configuration.capacity = 2
    let full = try Engine(configuration)
    try full.register("hang") { _ in .empty }
    var large = Definition("large")
    for i in 0..<3 { large.task("t\(i)", handler: "hang") }
    #expect(throws: (any Error).self) { try full.start(large) }
    #expect(witness.lines.last?.hasPrefix("run refused: ") == true)
    #expect(witness.faults == [] && witness.unfinishedRuns == 0)
  }

  @Test("what an observer sets around a handler is there in it: of bytes, typed, and asynchronous after it has waited")
  func around() async throws {
    let witness = Witness()
    var configuration = Engine.Configuration()
    configuration.observer = witness
    let engine = try Engine(configuration)
    @Sendable func seen() -> String {
      "\(Witness.attempt ?? "-") \(TaskContext.current?.taskID ?? "-") \(TaskContext.current?.workflow ?? "-")"
    }
    try engine.register("bytes") { _ in .json(.string(seen())) }
    try engine.register("typed") { (_: JSON, _) in seen() }
    try engine.register("waits") { (_: JSON, _) async -> String in
      for _ in 0..<3 { await Task.yield() }
      return await Task { seen() }.value
    }
    for name in ["bytes", "typed", "waits"] {
      let result = try await engine.run(Definition("w", result: "t", tasks: [TaskDefinition("t", handler: name)]))
      #expect(try result.value(as: String.self) == "t 1 t w")
    }
    await engine.drain(timeout: .seconds(60))
    #expect(witness.faults == [])
    #expect(TaskContext.current == nil)
  }

  @Test("without an observer handlers find their contexts if the engine binds them; one of bytes makes one", arguments: [false, true])
  func context(isBound: Bool) async throws {
    var configuration = Engine.Configuration()
    configuration.bindsContext = isBound
    let engine = try Engine(configuration)
    try engine.register("typed") { (_: JSON, context) in [TaskContext.current?.key, context.key] }
    try engine.register("async") { (_: JSON, context) async -> [String?] in
      await Task.yield()
      return [TaskContext.current?.key, context.key]
    }
    try engine.register("bytes") { call in
      let context = call.context
      return .json(try JSON(encoding: [TaskContext.current?.key, context.key, call.context.taskID]))
    }
    for handler in ["typed", "async"] {
      let result = try await engine.run(Definition("w", result: "t", tasks: [TaskDefinition("t", handler: handler)]))
      #expect(try result.value(as: [String?].self) == [isBound ? "\(result.id)/t" : nil, "\(result.id)/t"])
    }
    let bytes = try await engine.run(Definition("w", result: "t", tasks: [TaskDefinition("t", handler: "bytes")]))
    #expect(try bytes.value(as: [String?].self) == [isBound ? "\(bytes.id)/t" : nil, "\(bytes.id)/t", "t"])
    await engine.drain(timeout: .seconds(60))
  }

  @Test("the trace that a run is started with reaches its handlers, all attempts and the cleanup; an observer's goes before it")
  func traces() throws {
    let given = try #require(TraceContext(Self.traceparent))
    let own = try #require(TraceContext(traceID: (1, 2), spanID: 3))
    for witness in [nil, Witness(), Witness(trace: own)] {
      let engine = try TestEngine(observer: witness)
      try engine.register("trace") { (_: JSON, context) in "\(context.trace.map { "\($0)" } ?? "-")" }
      var workflow = Definition("w")
      workflow.task("a", handler: "trace")
      workflow.cleanup("b", handler: "trace")
      for trace in [given, nil] {
        let run = try engine.start(workflow, trace: trace)
        try run.finish()
        let expected = (witness?.trace ?? trace).map { "\($0)" } ?? "-"
        #expect(try run.output(of: "a", as: String.self) == expected)
        #expect(try run.output(of: "b", as: String.self) == expected)
      }
    }
  }

  @Test("a typed handler reads the variables of its task, the secret ones too; other tasks have none")
  func environment() async throws {
    var configuration = Engine.Configuration()
    configuration.secrets = SecretSource { name in name == "KEY" ? Array("wrought iron".utf8) : nil }
    let engine = try Engine(configuration)
    try engine.register("typed") { (_: JSON, context) in
      [context.environment("TOKEN"), context.environment("PLAIN"), context.environment("NONE")]
    }
    try engine.register("async") { (_: JSON, context) async -> [String?] in
      await Task.yield()
      return [context.environment("TOKEN"), context.environment("PLAIN"), context.environment("NONE")]
    }
    for handler in ["typed", "async"] {
      var workflow = Definition("w", result: "a")
      workflow.task("a", handler: handler, environment: ["TOKEN": "Bearer ${secrets.KEY}", "PLAIN": "p"])
      workflow.task("b", handler: handler)
      let result = try await engine.run(workflow)
      #expect(try result.value(as: [String?].self) == ["Bearer wrought iron", "p", nil])
      #expect(try result.output(of: "b", as: [String?].self) == [nil, nil, nil])
    }
    await engine.drain(timeout: .seconds(60))
  }

  @Test("with threads, timeouts, retries and cancellations all at once, each attempt and each run begins and ends once, in order")
  func threads() async throws {
    let witness = Witness()
    var configuration = Engine.Configuration()
    configuration.observer = witness
    configuration.threads = 2
    configuration.slots = 8
    let engine = try Engine(configuration)
    try engine.register("fine") { _ in .empty }
    try engine.register("fails") { call in
      if call.attempt < 3 { throw TaskFailure("again", "") }
      return .empty
    }
    try engine.register("waits") { (_: TaskContext) async throws in
      while !Task.isCancelled { await Task.yield() }
      throw CancellationError()
    }
    try engine.register("stays") { call in
      while !call.isCancelled {}
      return .empty
    }
    var runs: [WorkflowHandle] = []
    for i in 0..<20 {
      var workflow = Definition("w\(i)", onFailure: .continue)
      var before: [TaskReference] = []
      for j in 0..<30 {
        let kind = ["fine", "fails", "fine", "waits", "fine", "stays"][j % 6]
        let timeouts = kind == "waits" || kind == "stays" ? Timeouts(startToClose: 1_000_000) : Timeouts()
        let task = workflow.task(
          "t\(j)", handler: kind, dependencies: j % 7 == 6 ? before : [], retry: RetryPolicy(attempts: 3, initial: 1000), timeouts: timeouts
        )
        before = [task]
      }
      workflow.cleanup("c", handler: "fine")
      runs.append(try engine.start(workflow))
      if i % 3 == 0 { runs[i].cancel() }
    }
    for run in runs { _ = await run.finished() }
    // One more is cut short by the end of the engine.
    var last = Definition("last")
    for j in 0..<20 { last.task("t\(j)", handler: j % 2 == 0 ? "waits" : "stays") }
    _ = try engine.start(last)
    engine.shutdown()
    #expect(witness.faults == [])
    #expect(witness.unfinished == 0)
    #expect(witness.unfinishedRuns == 0)
    #expect(witness.lines.count { $0.hasPrefix("run is") } == 21)
  }
}
