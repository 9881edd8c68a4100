import Millrace
import MillraceCore
import Testing

@Suite struct TypedHandlerTests {
  struct Image: Codable, Hashable {
    var name: String
    var width: Int
    var tags: [String]?
  }
  struct Sum: Codable { var total: Int }
  struct Refusal: RetryableError {
    var isRetryable: Bool { false }
  }

  /// The last attempt of the one task of a run.
  private func last(_ engine: Engine, _ handler: String, input: JSON = .null, retry: RetryPolicy? = nil) async throws -> AttemptRecord {
    var workflow = Definition("w")
    workflow.task("t", handler: handler, input: input, retry: retry)
    let run = try engine.start(workflow)
    _ = await run.finished()
    return try #require(run.record().tasks[0].attempts.last)
  }

  @Test("typed inputs and outputs pass through synchronous and asynchronous handlers, by name and by place")
  func typed() async throws {
    let engine = try engine()
    try engine.register("image") { (input: Image, context) in Image(name: context.taskID, width: input.width * 2, tags: input.tags) }
    try engine.register("later") { (input: Image, context) in
      await Task.yield()
      return Image(name: "\(context.taskID) \(context.attempt)", width: input.width + 1)
    }
    try engine.register("sum") { (_: JSON, context) in
      let first = try context.output(of: "a", as: Image.self)
      let all = try context.outputs(as: Image.self)
      #expect(try context.output(at: 0, as: Image.self) == first)
      #expect(context.payload(of: "nobody") == nil && context.payload(at: 2) == nil && context.payload(at: -1) == nil)
      return Sum(total: all.reduce(0) { $0 + $1.width })
    }
    var workflow = Definition("w", result: "sum")
    let input = try JSON(encoding: Image(name: "x", width: 10, tags: ["t"]))
    let a = workflow.task("a", handler: "image", input: input)
    let b = workflow.task("b", handler: "later", input: input)
    workflow.task("sum", handler: "sum", dependencies: [a, b])
    let result = try await engine.run(workflow)
    #expect(try result.output(of: a, as: Image.self) == Image(name: "a", width: 20, tags: ["t"]))
    #expect(try result.output(of: "b", as: Image.self) == Image(name: "b 1", width: 11))
    #expect(try result.value(as: Sum.self).total == 31)
    #expect(throws: OutputError.self) { try result.output(of: "nobody", as: Sum.self) }
    let error = #expect(throws: OutputError.self) { try result.output(of: "a", as: Sum.self) }
    #expect(error?.description == "output of a: total: is missing")
    engine.shutdown()
  }

  @Test(
    "an input that an output makes no JSON fails the task as bad-input, for handlers of bytes as for typed ones",
    arguments: [#"{"a":1,"a":2}"#, String(repeating: "[", count: 60) + String(repeating: "]", count: 60)])
  func noJSON(output: String) async throws {
    let engine = try engine()
    try engine.register("make") { _ in Payload(Array(output.utf8), .json) }
    try engine.register("bytes") { call in .json(try call.input) }
    try engine.register("typed") { (input: JSON, _) in input }
    for handler in ["bytes", "typed"] {
      var workflow = Definition("w")
      let made = workflow.task("made", handler: "make")
      let nested = (0..<20).reduce("${tasks.made.output}" as JSON) { inner, _ in ["in": inner] }
      workflow.task("t", handler: handler, dependencies: [made], input: nested, retry: RetryPolicy(attempts: 3))
      let run = try engine.start(workflow)
      #expect(await run.finished() == .failed)
      let attempts = run.record().tasks[1].attempts
      #expect(attempts.map(\.errorType) == ["bad-input"], "\(handler) \(attempts)")
      #expect(attempts[0].message.hasPrefix("input: "))
    }
    engine.shutdown()
  }

  @Test("an input that does not fit fails the task as bad-input, names the place, and is not retried")
  func badInput() async throws {
    let engine = try engine()
    try engine.register("image") { (input: [Image], _) in input }
    try engine.register("later") { (input: [Image], _) async in input }
    try engine.register("other") { (_: JSON, context) in try context.output(of: "t", as: Int.self) }
    for handler in ["image", "later"] {
      let attempt = try await last(
        engine, handler, input: [["name": "n", "width": 3], ["name": "n", "width": "wide"]], retry: RetryPolicy(attempts: 5, initial: 1))
      #expect(attempt.number == 1)
      #expect(attempt.errorType == "bad-input")
      #expect(attempt.message == "input: [1].width: an integer is wanted, not a string")
    }
    let attempt = try await last(engine, "other")
    #expect(attempt.errorType == "bad-input" && attempt.message.contains("does not depend on 't'"))
    engine.shutdown()
  }

  @Test(
    "what a handler throws becomes type, message and retry: failures, errors of a program's own, and any other; an output JSON cannot hold is bad-output"
  )
  func errors() async throws {
    let engine = try engine()
    try engine.register("refuses") { (_: JSON, _) async throws -> Int in throw Refusal() }
    try engine.register("fails") { (_: JSON, _) -> Int in throw TaskFailure("flaky", "again", retryAfter: .nanoseconds(1)) }
    try engine.register("infinite") { (_: JSON, _) in Double.infinity }
    let retry = RetryPolicy(attempts: 2, initial: 3_600_000_000_000, cap: 3_600_000_000_000)
    let refused = try await last(engine, "refuses", retry: retry)
    #expect(refused.number == 1 && refused.errorType == "Refusal")
    // The policy's wait would take an hour.
    let failed = try await last(engine, "fails", retry: retry)
    #expect(failed.number == 2 && failed.errorType == "flaky" && failed.message == "again")
    let infinite = try await last(engine, "infinite", retry: retry)
    #expect(infinite.number == 1 && infinite.errorType == "bad-output")
    engine.shutdown()
  }

  @Test("the details of the last heartbeat reach the next attempt")
  func heartbeats() async throws {
    let engine = try engine()
    try engine.register("copies") { (_: JSON, context) async throws in
      let done = try context.lastHeartbeat(as: Sum.self)?.total ?? 0
      try context.heartbeat(Sum(total: done + 10))
      await Task.yield()
      if context.attempt < 3 { throw TaskFailure("cut", "after \(done)", retryAfter: .nanoseconds(1)) }
      return done
    }
    var workflow = Definition("w")
    workflow.task("t", handler: "copies", retry: RetryPolicy())
    let result = try await engine.run(workflow)
    #expect(try result.output(of: "t", as: Int.self) == 20)
    #expect(result.record().tasks[0].attempts.map(\.message) == ["after 0", "after 10", ""])
    engine.shutdown()
  }

  @Test("steps put together one by one run as a definition does")
  func imperative() async throws {
    let engine = try engine()
    try engine.register("word") { (input: String, _) in input }
    try engine.register("join") { (_: JSON, context) in try context.outputs(as: String.self).joined(separator: " ") }
    let workflow = engine.createWorkflow("words")
    let words = ["a", "b", "c"].map { engine.addTask(to: workflow, $0, handler: "word", input: .string($0)) }
    engine.addTask(to: workflow, "all", handler: "join", dependencies: words)
    #expect(try await engine.run(workflow).output(of: "all", as: String.self) == "a b c")
    engine.addTask(to: workflow, "all", handler: "word")
    await #expect(throws: DefinitionError.self) { try await engine.run(workflow) }
    engine.shutdown()
  }

  @Test("a run that does not complete throws, with the task that failed first, and what was made nevertheless")
  func failedRun() async throws {
    let engine = try engine()
    try engine.register("fine") { (_: JSON, _) in 1 }
    try engine.register("bad") { (_: JSON, _) -> Int in throw TaskFailure("broken", "it is broken", isRetryable: false) }
    var workflow = Definition("w")
    let fine = workflow.task("fine", handler: "fine")
    workflow.task("bad", handler: "bad", dependencies: [fine])
    let error = await #expect(throws: WorkflowError.self) { try await engine.run(workflow) }
    #expect(error?.description == "workflow w is FAILED: task bad: broken: it is broken")
    #expect(try error?.result.output(of: "fine", as: Int.self) == 1)
    engine.shutdown()
  }
}
