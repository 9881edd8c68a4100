import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Definitions that change while runs of them wait for another process.
@Suite struct DurableVersionTests {
  private let world = DurableWorld()
  private let store = MemoryEventStore()

  /// `first`, which says what it is given; a wait; `last`.
  private func workflow(
    _ version: Int, _ policy: VersionPolicy, parameters: [Definition.Parameter] = [], last: JSON? = nil, kind: Definition.Kind = .workflow
  ) -> Definition {
    var workflow = kind == .saga ? Definition(saga: "w", durability: .log) : Definition("w", durability: .log)
    (workflow.version, workflow.versionPolicy, workflow.parameters) = (version, policy, parameters)
    let input = last ?? .integer(Int64(version))
    if kind == .saga {
      let first = workflow.step("first", handler: "say", input: .integer(Int64(version)), compensation: .notNeeded)
      workflow.step("last", handler: "say", dependencies: [first], input: input, compensation: .notNeeded)
    } else {
      let first = workflow.task("first", handler: "say", input: .integer(Int64(version)))
      let go = workflow.wait("go", for: .signal("go"), dependencies: [first])
      workflow.task("last", handler: "say", dependencies: [go], input: input)
    }
    workflow.result = "last"
    return workflow
  }

  private func engine(_ deployed: Definition...) throws -> Engine {
    try world.engine(over: store) { engine in
      try engine.register("say") { (input: JSON, context: TaskContext) -> JSON in
        world.effects.note(context.key)
        return input
      }
      for definition in deployed { try engine.deploy(definition) }
    }
  }

  /// Waits until the run waits, and lets its engine go.
  private func leave(_ run: WorkflowHandle, _ engine: Engine) {
    while run.waits.isEmpty { _ = run.wait(nanoseconds: 200_000) }
    engine.shutdown()
  }

  private var upgrades: [String] { store.all.filter { $0.type == "run-upgraded" }.map(\.text) }

  @Test("a run goes from version to version as its processes know them, and never back")
  func upward() throws {
    let first = try engine()
    let run = try first.start(workflow(1, .upgradeAtStepBoundary))
    leave(run, first)
    for (deployed, expected) in [(2, 2), (2, 2), (5, 5), (3, 5)] {
      let engine = try engine(workflow(deployed, .upgradeAtStepBoundary))
      let going = try engine.resume(run.id)
      #expect(going.record().workflowVersion == expected)
      leave(going, engine)
    }
    let engine = try engine()
    let last = try engine.resume(run.id)
    try last.signal("go")
    #expect(last.wait() == .completed && last.result == 5)
    engine.shutdown()
    #expect(upgrades.count == 2 && upgrades[0].contains("\"version\":2") && upgrades[1].contains("\"version\":5"))
    #expect(world.effects.all == ["\(run.id)/first": 1, "\(run.id)/last": 1])
  }

  @Test("parameters that a new version has no more are left out, and new ones have their defaults")
  func parameters() throws {
    let first = try engine()
    let old = workflow(1, .upgradeAtStepBoundary, parameters: [.init("kept", fallback: 1), .init("gone", fallback: 2)])
    let run = try first.start(old, parameters: ["kept": 10, "gone": 20])
    leave(run, first)
    let new = workflow(
      2, .upgradeAtStepBoundary, parameters: [.init("kept", fallback: 1), .init("new", fallback: 3)],
      last: ["kept": "${params.kept}", "new": "${params.new}"])
    let engine = try engine(new)
    let going = try engine.resume(run.id)
    try going.signal("go")
    #expect(going.wait() == .completed && going.result == ["kept": 10, "new": 3])
    engine.shutdown()
  }

  @Test("a version that the run cannot go over to is told, and the run stays with its own until there is another one")
  func impossible() throws {
    let first = try engine()
    let run = try first.start(workflow(1, .upgradeAtStepBoundary))
    leave(run, first)
    let second = try engine(workflow(2, .upgradeAtStepBoundary, parameters: [.init("needed")]))
    let resumed = try second.resume()
    #expect(resumed.handles.isEmpty && resumed.problems.map(\.run) == [run.id])
    #expect(resumed.problems.first?.reason.contains("needed") == true, "\(resumed.problems)")
    second.shutdown()
    #expect(upgrades.isEmpty)
    let third = try engine()
    let going = try third.resume(run.id)
    try going.signal("go")
    #expect(going.wait() == .completed && going.result == 1 && going.record().workflowVersion == 1)
    third.shutdown()
  }

  @Test("a saga ends with the version it began with, whatever its policy says", arguments: VersionPolicy.allCases)
  func saga(policy: VersionPolicy) throws {
    let door = Door()
    let register = { (engine: Engine) in
      try engine.register("say", blocking: true) { (input: JSON, context: TaskContext) -> JSON in
        if context.taskID == "first" { door.pass() }
        return input
      }
    }
    let first = try world.engine(over: store, register)
    let id = try first.start(workflow(1, policy, kind: .saga)).id
    #expect(door.wait(for: 1))
    let cut = world.store(store.all)
    door.open()
    first.shutdown()
    let second = try world.engine(over: cut) { engine in
      try register(engine)
      try engine.deploy(workflow(2, policy, kind: .saga))
    }
    let run = try second.resume(id)
    #expect(run.wait() == .completed && run.result == 1 && run.record().workflowVersion == 1)
    second.shutdown()
  }

  @Test("a run of a new version that drains waits for those of the old one, in the next process as well")
  func drain() throws {
    let first = try engine()
    let old = try first.start(workflow(1, .drain))
    while old.waits.isEmpty { _ = old.wait(nanoseconds: 200_000) }
    let new = try first.start(workflow(2, .drain))
    #expect(new.status == .created && new.waitsFor != nil)
    leave(old, first)
    let second = try engine(workflow(2, .drain))
    let resumed = try second.resume().handles
    #expect(resumed.map(\.id).sorted() == [old.id, new.id].sorted())
    let going = try #require(resumed.first { $0.id == old.id })
    let waiting = try #require(resumed.first { $0.id == new.id })
    #expect(waiting.status == .created && waiting.waitsFor != nil)
    #expect(world.effects.count("\(new.id)/first") == 0)
    while going.waits.isEmpty { _ = going.wait(nanoseconds: 200_000) }
    try going.signal("go")
    #expect(going.wait() == .completed && going.result == 1)
    while waiting.waits.isEmpty { _ = waiting.wait(nanoseconds: 200_000) }
    try waiting.signal("go")
    #expect(waiting.wait() == .completed && waiting.result == 2)
    second.shutdown()
    #expect(world.effects.all.count == 4 && world.effects.all.values.allSatisfy { $0 == 1 })
  }
}
