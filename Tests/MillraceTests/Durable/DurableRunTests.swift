import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Runs whose every step is recorded, cut off after each of their records and gone on with by another engine.
@Suite struct DurableRunTests {
  /// Five tasks in two branches, one that fails twice, one that its condition skips, one with items, and a cleanup.
  private var workflow: Definition {
    var workflow = Definition("census", parameters: [.init("size", fallback: 3)], result: "sum")
    workflow.durability = .log
    let first = workflow.task("first", handler: "note", input: ["n": "${params.size}"])
    let flaky = workflow.task(
      "flaky", handler: "flaky", dependencies: [first], retry: RetryPolicy(attempts: 5, initial: 1000, factor: 1, cap: 1000))
    let skipped = workflow.task("skipped", handler: "note", dependencies: [first], when: "${params.size > 10}")
    let each = workflow.task("each", handler: "square", dependencies: [first], input: "${item}", foreach: .range(from: 1, to: 3))
    workflow.task("sum", handler: "sum", dependencies: [each, flaky, skipped], input: "${tasks.each.output}")
    workflow.cleanup = [TaskDefinition("tidy", handler: "note")]
    return workflow
  }

  private func register(_ engine: Engine, _ effects: Effects) throws {
    try engine.register("note") { (_: JSON, context: TaskContext) -> String in
      effects.note(context.key)
      return "noted"
    }
    try engine.register("flaky") { (_: JSON, context: TaskContext) throws -> Int in
      effects.note(context.key)
      if context.attempt < 3 { throw TaskFailure("flaky", "attempt \(context.attempt)", isRetryable: true) }
      return context.attempt
    }
    try engine.register("square") { (item: Int, context: TaskContext) -> Int in
      effects.note(context.key)
      return item * item
    }
    try engine.register("sum") { (numbers: [Int], context: TaskContext) -> Int in
      effects.note(context.key)
      return numbers.reduce(0, +)
    }
  }

  @Test("a durable run does what any other does, and its records say so in their order")
  func whole() throws {
    let world = DurableWorld()
    let store = MemoryEventStore()
    let engine = try world.engine(over: store) { try register($0, world.effects) }
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    #expect(run.result == 14)
    engine.shutdown()
    let events = store.all.filter { $0.stream.category == "run" }
    #expect(events.first?.type == "run-created" && events.last?.type == "run-ended")
    #expect(events.last?.text == #"{"status":"COMPLETED"}"#)
    let types = Dictionary(grouping: events, by: \.type).mapValues(\.count)
    #expect(
      types == [
        "run-created": 1, "task-started": 10, "task-completed": 8, "task-retry-scheduled": 2, "task-skipped": 1, "task-items": 1,
        "run-ended": 1,
      ])
    #expect(world.effects.all.values.reduce(0, +) == 9)
  }

  @Test("cut off after any of its records the run goes on: completed tasks are not run again, the others once each with the same keys")
  func everyPrefix() throws {
    let store = MemoryEventStore()
    let first = try DurableWorld().engine(over: store) { try register($0, Effects()) }
    let handle = try first.start(workflow)
    #expect(handle.wait() == .completed)
    first.shutdown()
    let events = store.all
    let begins = try #require(events.firstIndex { $0.type == "run-created" })
    for count in begins + 1...events.count {
      let world = DurableWorld()
      let effects = world.effects
      let cut = world.store(events.prefix(count))
      let engine = try world.engine(over: cut) { try register($0, effects) }
      let resumed = try engine.resume()
      #expect(resumed.problems.isEmpty, "after \(count) events: \(resumed.problems)")
      let isOver = events.prefix(count).contains { $0.type == "run-ended" }
      #expect(resumed.handles.count == (isOver ? 0 : 1), "after \(count) events")
      guard let run = resumed.handles.first else { continue }
      #expect(run.id == handle.id)
      #expect(run.wait() == .completed, "after \(count) events")
      #expect(run.result == 14, "after \(count) events")
      let record = run.record()
      #expect(record.tasks.first { $0.id == "flaky" }?.attempts.last?.status == .completed)
      #expect(record.tasks.first { $0.id == "skipped" }?.status == .skipped)
      engine.shutdown()
      for event in events.prefix(count) where event.type == "task-completed" {
        let key = try RunEvent(event).flatMap { event in
          if case .completed(let place, _, _, _, _) = event { "\(handle.id)/\(place.name)" } else { nil }
        }
        #expect(effects.count(key ?? "") == 0, "after \(count) events \(key ?? "") was done again")
      }
      #expect(effects.all.filter { !$0.key.hasSuffix("/flaky") }.values.allSatisfy { $0 == 1 }, "after \(count) events: \(effects.all)")
      let left = cut.all.filter { $0.type == "run-ended" }
      #expect(left.count == 1, "after \(count) events")
    }
  }
}
