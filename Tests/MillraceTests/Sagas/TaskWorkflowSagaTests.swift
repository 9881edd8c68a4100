import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

@Suite struct TaskWorkflowSagaTests {
  private final class Diary: @unchecked Sendable {
    private let monitor = Monitor()
    private var lines: [String] = []
    deinit { monitor.deallocate() }
    func write(_ line: String) { monitor.locked { lines.append(line) } }
    var all: [String] { monitor.locked { lines } }
  }

  /// `do` gives its input with its own id behind it.
  private func engine(_ diary: Diary) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.capacity = 1_000
    let engine = try Engine(configuration)
    try engine.register("do") { (input: JSON, context: TaskContext) -> JSON in
      diary.write(context.taskID)
      return .array((input.array ?? [input]) + [.string(context.taskID)])
    }
    try engine.register("fail") { (_: JSON, _: TaskContext) throws -> JSON in throw TaskFailure("refused", "no") }
    try engine.register("undo") { (input: JSON, context: TaskContext) in
      diary.write(context.taskID + " " + Payload.json(input["output"] ?? .null).text)
    }
    return engine
  }

  @Test("steps run one after the other, and each is given what the one before it gave")
  func sequence() async throws {
    let engine = try engine(Diary())
    let result = try await engine.run(
      TaskWorkflowSaga(
        parameters: ["first": "${run.id}"],
        steps: [
          .init("a", handler: "do", input: "${params.first}", compensation: "undo"),
          .init("b", handler: "do", compensation: .notNeeded),
          .init("go", handler: "do", isPivot: true),
          .init("c", handler: "do"),
        ]))
    #expect(try result.value(as: [String].self) == ["${run.id}", "a", "b", "go", "c"])
    #expect(result.handle.saga?.status == .completed)
    engine.shutdown()
  }

  @Test("a step that fails has all before it undone, backward, with what they gave")
  func failure() async throws {
    let diary = Diary()
    let engine = try engine(diary)
    let error = await #expect(throws: WorkflowError.self) {
      try await engine.run(
        TaskWorkflowSaga(steps: [
          .init("a", handler: "do", input: "x", compensation: "undo"), .init("b", handler: "do", compensation: "undo"),
          .init("c", handler: "fail", compensation: "undo"), .init("d", handler: "do", compensation: "undo"),
        ]))
    }
    #expect(error?.task == "c" && error?.result.saga == .compensated)
    #expect(error?.description.hasPrefix("saga task-workflow is COMPENSATED: step c: ") == true, "\(String(describing: error))")
    #expect(diary.all == ["a", "b", #"b/c ["x","a","b"]"#, #"a/c ["x","a"]"#])
    engine.shutdown()
  }

  @Test("steps that say their dependencies run beside each other, and one that joins them is given all by id")
  func dependencies() async throws {
    let engine = try engine(Diary())
    let result = try await engine.run(
      TaskWorkflowSaga(
        "joined",
        steps: [
          .init("a", handler: "do", input: 1, compensation: .notNeeded),
          .init("b", handler: "do", dependencies: [], input: 2, compensation: .notNeeded),
          .init("join", handler: "do", dependencies: ["a", "b"], compensation: .notNeeded),
        ]))
    #expect(try result.value(as: JSON.self) == [["a": [1, "a"], "b": [2, "b"]], "join"])
    #expect(result.record().workflow == "joined")
    engine.shutdown()
  }

  @Test("it is the saga that a file says with every dependency and input")
  func definition() throws {
    let file = """
      format: 1
      kind: saga
      workflow: task-workflow
      durability: log
      parameters: { item: {} }
      result: ship
      steps:
        - { id: reserve, handler: reserve, input: "${params.item}", compensation: { handler: release } }
        - { id: charge, handler: charge, dependencies: [reserve], input: '${tasks["reserve"].output}', pivot: true }
        - { id: ship, handler: ship, dependencies: [charge], input: '${tasks["charge"].output}', retry: { attempts: 9 } }
      """
    let saga = TaskWorkflowSaga(
      parameters: ["item": "book"], durability: .log,
      steps: [
        .init("reserve", handler: "reserve", input: "${params.item}", compensation: "release"),
        .init("charge", handler: "charge", isPivot: true),
        .init("ship", handler: "ship", retry: RetryPolicy(attempts: 9)),
      ])
    #expect(saga.definition == (try DefinitionReader().read(Array(file.utf8), name: "saga.yaml").definition))
    #expect(saga.parameters == ["item": "book"])
  }

  @Test("a step before the pivot that says nothing of how it is undone is refused")
  func noCompensation() throws {
    let engine = try engine(Diary())
    let error = #expect(throws: DefinitionError.self) { try engine.start(TaskWorkflowSaga(steps: [.init("a", handler: "do")])) }
    #expect(error?.faults.map(\.message) == ["step 'a' has no 'compensation'"])
    engine.shutdown()
  }
}
