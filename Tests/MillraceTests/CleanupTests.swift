import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

@Suite struct CleanupTests {
  @Test("on real threads, the cleanup of every run comes after all of its tasks and before its end, whatever became of it")
  func manyRuns() throws {
    let engine = try engine(slots: 8, threads: 4)
    let ended = Gauge()
    try engine.register("work") { call in
      defer { ended.enter() }
      if call.taskID == "t7", try call.input == true { throw TaskFailure("broken", "as asked", isRetryable: false) }
      return .json(1)
    }
    try engine.register("check") { call in .json(try call.input) }
    var workflow = Definition("w", parameters: [.init("fails", kind: .boolean)])
    let first = workflow.task("first", handler: "work", input: false)
    for i in 0..<20 { workflow.task("t\(i)", handler: "work", dependencies: [first], input: "${params.fails}") }
    let checked = workflow.cleanup("check", handler: "check", input: ["run": "${run.status}", "t": "${tasks.t19.output ?? 0}"])
    workflow.cleanup("again", handler: "check", dependencies: [checked], input: "${tasks.check.output.run}")
    let runs = try (0..<200).map { i in
      let run = try engine.start(workflow, parameters: ["fails": .bool(i % 2 == 0)])
      if i % 5 == 4 { run.cancel() }
      return run
    }
    for (i, run) in runs.enumerated() {
      let status = run.wait()
      if i % 2 == 0, i % 5 != 4 { #expect(status == .failed) }
      if i % 2 == 1, i % 5 != 4 { #expect(status == .completed) }
      let said = try JSON(parsing: run.output(of: "again") ?? [])
      #expect(said.string == status.rawValue)
      #expect(run.isAccounted())
      let record = run.record()
      let before = record.tasks.dropLast(2).compactMap { $0.attempts.last?.end }.max() ?? 0
      #expect((record.tasks[21].attempts.first?.start ?? 0) >= before)
    }
    engine.shutdown()
  }

  @Test("an engine that is shut down asks its runs to stop, and waits for their cleanup")
  func shutdown() throws {
    let engine = try engine(slots: 2, threads: 2)
    let begun = Gauge()
    let cleaned = Gauge()
    try engine.register("long") { call in
      begun.enter()
      while !call.isCancelled { millrace_yield() }
      throw CancellationError()
    }
    try engine.register("clean") { _ in
      cleaned.enter()
      return .empty
    }
    var workflow = Definition("w")
    workflow.task("long", handler: "long")
    let first = workflow.cleanup("first", handler: "clean")
    workflow.cleanup("second", handler: "clean", dependencies: [first])
    let run = try engine.start(workflow)
    while begun.entries == 0 { millrace_yield() }
    engine.shutdown()
    #expect(cleaned.entries == 2)
    #expect(run.status == .cancelled)
    #expect(run.accounts == [2, 0, 0, 1])
    #expect(run.isAccounted())
  }

  @Test("secrets reach the handlers of an engine, and stay out of what these say; without a source no run starts")
  func secrets() throws {
    var configuration = Engine.Configuration()
    configuration.threads = 1
    configuration.secrets = SecretSource { name in name == "TOKEN" ? Array("hidden-4711".utf8) : nil }
      .or(SecretSource { name in name == "SHORT" ? [65] : nil })
    let told = try Engine(configuration)
    try told.register("tell") { call in
      throw TaskFailure("no-access", "with \(call.environment("TOKEN") ?? "nothing") and \(call.environment("NONE") ?? "nothing")")
    }
    func workflow(_ secret: String) -> Definition {
      var workflow = Definition("w")
      workflow.task("a", handler: "tell", environment: ["TOKEN": "${secrets.\(secret)}"])
      return workflow
    }
    let run = try told.start(workflow("TOKEN"))
    #expect(run.wait() == .failed)
    #expect(run.record().tasks[0].attempts.map(\.message) == ["with *** and nothing"])
    #expect(told.redact("x hidden-4711 y") == "x *** y")
    #expect(throws: SecretError.missing(name: "GONE", task: "a")) { try told.start(workflow("GONE")) }
    #expect(throws: SecretError.unfit(name: "SHORT", reason: "has 1 bytes: at least 4 are needed")) { try told.start(workflow("SHORT")) }
    told.shutdown()
    let other = try engine(slots: 1)
    try other.register("tell") { _ in .empty }
    #expect(throws: SecretError.noSource(name: "TOKEN", task: "a")) { try other.start(workflow("TOKEN")) }
    other.shutdown()
  }
}
