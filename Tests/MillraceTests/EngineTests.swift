import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

@Suite struct EngineTests {
  /// An engine of two threads without plugins.
  static func engine(_ change: (inout Engine.Configuration) -> Void = { _ in }) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.threads = 2
    configuration.slots = 2
    change(&configuration)
    return try Engine(configuration)
  }

  @Test("outputs reach dependents in the order of the definition")
  func outputs() async throws {
    let engine = try Self.engine()
    try engine.register("word") { call in .text(call.taskID) }
    try engine.register("join") { call in .text(call.inputs.map(\.text).joined(separator: " ")) }
    var workflow = Definition("words")
    let parts = ["c", "a", "b"].map { workflow.task($0, handler: "word") }
    workflow.task("all", handler: "join", dependencies: parts)
    let run = try engine.start(workflow)
    #expect(await run.finished() == .completed)
    #expect(run.output(of: "all").map { String(decoding: $0, as: UTF8.self) } == "c a b")
    #expect(run.progress().completed == 4)
    #expect(run.record().tasks.allSatisfy { $0.attempts.count == 1 })
    engine.shutdown()
  }

  @Test("a prepared workflow starts any number of runs, each with a record of its own, and keeps its parameters")
  func prepared() throws {
    let engine = try Self.engine()
    try engine.register("say") { call in .text(try call.input["word"]?.string ?? "nothing") }
    var workflow = Definition("saying")
    workflow.parameters = [Definition.Parameter("word", fallback: "hello")]
    workflow.task("a", handler: "say", input: ["word": "${params.word}"])
    let (plain, other) = (try engine.prepare(workflow), try engine.prepare(workflow, parameters: ["word": "good day"]))
    let runs = try (0..<20).map { try engine.start($0 % 2 == 0 ? plain : other) }
    #expect(Set(runs.map(\.id)).count == 20)
    for (i, run) in runs.enumerated() {
      #expect(run.wait() == .completed)
      #expect(run.output(of: "a").map { String(decoding: $0, as: UTF8.self) } == (i % 2 == 0 ? "hello" : "good day"))
    }
    #expect(throws: DefinitionError.self) { try engine.prepare(workflow, parameters: ["wurd": "x"]) }
    engine.shutdown()
  }

  @Test("a prepared workflow is refused by another engine, and by its own once that has been shut down")
  func preparedElsewhere() throws {
    let (engine, other) = (try Self.engine(), try Self.engine())
    try engine.register("empty") { _ in .empty }
    try other.register("empty") { _ in .empty }
    var workflow = Definition("w")
    workflow.task("a", handler: "empty")
    let prepared = try engine.prepare(workflow)
    #expect { try other.start(prepared) } throws: { if case EngineError.preparedElsewhere = $0 { true } else { false } }
    engine.shutdown()
    #expect { try engine.start(prepared) } throws: { if case EngineError.stopped = $0 { true } else { false } }
    other.shutdown()
  }

  @Test("a failed task skips those that need it and names itself as the cause; all else goes on")
  func failure() async throws {
    let engine = try Self.engine()
    try engine.register("fine") { _ in .empty }
    try engine.register("bad") { _ in throw TaskFailure("broken", "it is broken") }
    var workflow = Definition("failing", onFailure: .continue)
    let bad = workflow.task("bad", handler: "bad")
    let next = workflow.task("next", handler: "fine", dependencies: [bad])
    workflow.task("last", handler: "fine", dependencies: [next])
    workflow.task("other", handler: "fine")
    let run = try engine.start(workflow)
    #expect(await run.finished() == .failed)
    let record = run.record()
    #expect(record.tasks.map(\.status) == [.failed, .skipped, .skipped, .completed])
    #expect(record.tasks[2].cause == "bad")
    #expect(record.tasks[0].attempts.map(\.errorType) == ["broken"])
    #expect(record.tasks[0].attempts[0].message == "it is broken")
    engine.shutdown()
  }

  @Test("a task is retried as its policy says, and every attempt is kept")
  func retries() async throws {
    let engine = try Self.engine()
    try engine.register("third-time") { call in
      if call.attempt < 3 { throw TaskFailure("not-yet", "attempt \(call.attempt)") }
      return .text("done in \(call.attempt)")
    }
    var workflow = Definition("retrying")
    workflow.task("t", handler: "third-time", retry: RetryPolicy(attempts: 3, initial: 1_000_000, cap: 2_000_000))
    let run = try engine.start(workflow)
    #expect(await run.finished() == .completed)
    let attempts = run.record().tasks[0].attempts
    #expect(attempts.map(\.number) == [1, 2, 3])
    #expect(attempts.map(\.status) == [.failed, .failed, .completed])
    #expect(attempts.map(\.message) == ["attempt 1", "attempt 2", ""])
    engine.shutdown()
  }
}
