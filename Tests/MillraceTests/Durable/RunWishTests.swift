import MillraceCore
import MillraceLog
import MillraceWorkflow
import Testing

@testable import Millrace

/// What is recorded for runs that no process has, and what becomes of it in the next one.
@Suite(.timeLimit(.minutes(5))) struct RunWishTests {
  private let folder: Folder
  private var data: String { folder.path + "/data" }

  init() throws { folder = try Folder() }

  private func engine(_ deployed: Definition...) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.capacity = 10_000
    configuration.data = data
    let engine = try Engine(configuration)
    try engine.register("do") { (_: JSON, _: TaskContext) -> Int in 1 }
    try engine.register("fail") { (_: JSON, _: TaskContext) throws -> Int in throw TaskFailure("refused", "as ever", isRetryable: false) }
    for definition in deployed { try engine.deploy(definition) }
    return engine
  }

  /// A run that waits for a signal, and a child of it for another.
  private func workflows() -> (parent: Definition, child: Definition) {
    var child = Definition("child", result: "go", durability: .log)
    child.wait("go", for: .signal("go"))
    var parent = Definition("parent", durability: .log)
    parent.workflow("below", named: "child")
    parent.wait("own", for: .signal("own"))
    return (parent, child)
  }

  @Test("signals reach the run and its child with their payloads, and those that nothing waits for are refused")
  func signals() throws {
    let (parent, child) = workflows()
    let first = try engine(child)
    let run = try first.start(parent)
    while run.waits.count < 2 { _ = run.wait(nanoseconds: 200_000) }
    #expect(throws: EngineError.self) { try RunWishes(data) }
    first.shutdown()
    let id = try #require(RunID(run.id))
    let wishes = try RunWishes(data)
    try wishes.signal(id, "own", ["n": 1])
    try wishes.signal(id, "below/go", ["n": 2])
    #expect(throws: SignalError.self) { try wishes.signal(id, "go", .null) }
    #expect(throws: SignalError.self) { try wishes.signal(id, "below/own", .null) }
    #expect(throws: SignalError.noChild(task: "own")) { try wishes.signal(id, "own/go", .null) }
    var random = SystemRandomNumberGenerator()
    let unknown = RunID(wall: 0, random: &random)
    #expect(throws: WishError.self) { try wishes.signal(unknown, "own", .null) }
    wishes.close()
    let second = try engine(child)
    let going = try #require(try second.resume().handles.first { $0.id == run.id })
    #expect(going.wait() == .completed)
    #expect(try going.output(of: "own", as: JSON.self) == ["n": 1] && going.output(of: "below", as: JSON.self) == ["n": 2])
    second.shutdown()
    let after = try RunWishes(data)
    #expect(throws: WishError.self) { try after.cancel(id, by: nil, because: nil) }
    #expect(throws: WishError.self) { try after.signal(id, "own", .null) }
    after.close()
  }

  @Test("a signal reaches the run of an item, and no other item's")
  func signalOfItem() throws {
    var child = Definition("child", result: "go", durability: .log)
    child.wait("go", for: .signal("go"))
    var parent = Definition("parent", durability: .log)
    parent.workflow("each", named: "child", foreach: .range(from: 0, to: 2))
    let first = try engine(child)
    let run = try first.start(parent)
    while run.waits.count < 3 { _ = run.wait(nanoseconds: 200_000) }
    first.shutdown()
    let id = try #require(RunID(run.id))
    let wishes = try RunWishes(data)
    try wishes.signal(id, "each[2]/go", 2)
    try wishes.signal(id, "each[0]/go", 0)
    #expect(throws: SignalError.noChild(task: "each[3]")) { try wishes.signal(id, "each[3]/go", .null) }
    #expect(throws: SignalError.noChild(task: "each")) { try wishes.signal(id, "each/go", .null) }
    wishes.close()
    let second = try engine(child)
    let going = try #require(try second.resume().handles.first { $0.id == run.id })
    while going.progress().completed < 2 { _ = going.wait(nanoseconds: 200_000) }
    #expect(going.waits.map(\.task) == ["each[1]/go"])
    try going.signal("each[1]/go", 1)
    #expect(going.wait() == .completed)
    #expect(try going.output(of: "each", as: [Int].self) == [0, 1, 2])
    #expect((0..<3).map { going.record().tasks[$0 + 1].attempts.count } == [1, 1, 1])
    second.shutdown()
  }

  @Test("what an operator says of a parked saga counts in the next process; what its state does not allow is refused and not recorded")
  func saga() throws {
    var saga = Definition(saga: "order", durability: .log)
    let pivot = saga.step("pivot", handler: "do", isPivot: true)
    saga.step("after", handler: "fail", dependencies: [pivot], retry: RetryPolicy(attempts: 1))
    let first = try engine()
    let run = try first.start(saga)
    while run.saga?.status != .forwardParked { _ = run.wait(nanoseconds: 200_000) }
    first.shutdown()
    let id = try #require(RunID(run.id))
    let wishes = try RunWishes(data)
    #expect(throws: SagaRefusal.self) { try wishes.saga(id) { .skipped(try #require($0.number(of: "pivot")), by: "ann", reason: "no") } }
    try wishes.saga(id) { .skipped(try #require($0.number(of: "after")), by: "ann", reason: "it is not needed") }
    #expect(throws: SagaRefusal.self) { try wishes.saga(id) { .skipped(try #require($0.number(of: "after")), by: "ann", reason: "again") } }
    wishes.close()
    let second = try engine()
    let going = try second.resume(run.id)
    #expect(going.wait() == .completed && going.saga?.status == .completed)
    second.shutdown()
  }
}
