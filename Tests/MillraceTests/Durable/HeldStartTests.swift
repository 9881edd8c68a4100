import CMillrace
import MillraceLog
import MillraceTesting
import Testing

@testable import Millrace
@testable import MillraceWorkflow

/// Beginnings of attempts, which are recorded with what follows them.
@Suite struct HeldStartTests {
  private func chain(_ tasks: [String], retry: RetryPolicy? = nil) -> Definition {
    var workflow = Definition("chain")
    workflow.durability = .log
    var last: [TaskReference] = []
    for task in tasks { last = [workflow.task(task, handler: "step", dependencies: last, input: .string(task), retry: retry)] }
    return workflow
  }

  /// What a run has left of the events of its attempts: the type and the task, in their order.
  private func attempts(_ store: MemoryEventStore) throws -> [String] {
    try store.all.filter { $0.stream.description.hasPrefix("run-") }.compactMap {
      switch try RunEvent($0) {
      case .started(let place, let attempt, _, _): "begin \(place.name) \(attempt)"
      case .completed(let place, let attempt, _, _, _): "end \(place.name) \(attempt)"
      case .retryScheduled(let failed, _, _), .failed(let failed, _): "fail \(failed.place.name) \(failed.attempt)"
      case .ended: "over"
      default: nil
      }
    }
  }

  @Test("the beginning of an attempt that is over soon goes into the store with its end, whatever that is")
  func together() throws {
    let world = DurableWorld()
    let kept = MemoryEventStore()
    let store = FailingStore(kept, after: .max, .busy)
    let engine = try world.engine(over: store) { engine in
      try engine.register("step") { (name: String, context: TaskContext) throws -> Int in
        if context.attempt == 1 { throw TaskFailure("flaky", "at first") }
        if name == "c" { throw TaskFailure("bad", "for good", isRetryable: false) }
        return 1
      }
    }
    let run = try engine.start(chain(["a", "b", "c"], retry: RetryPolicy(attempts: 3, initial: 1000, factor: 1, cap: 1000)))
    #expect(run.wait() == .failed)
    engine.shutdown()
    let order = try attempts(kept)
    #expect(
      order == [
        "begin a 1", "fail a 1", "begin a 2", "end a 2", "begin b 1", "fail b 1", "begin b 2", "end b 2",
        "begin c 1", "fail c 1", "begin c 2", "fail c 2", "over",
      ])
    // A sweep may have come between; it does not do so each time. The definition, the creation and the end have one each.
    #expect(store.asked < order.count)
  }

  @Test("that of one which runs for long is recorded while it runs, and before its end")
  func long() throws {
    let world = DurableWorld()
    let store = MemoryEventStore()
    let door = Door()
    let engine = try world.engine(over: store) { engine in
      try engine.register("step") { (_: JSON, _: TaskContext) -> Int in
        door.pass()
        return 1
      }
    }
    let run = try engine.start(chain(["a"]))
    #expect(door.wait(for: 1))
    while try !attempts(store).contains("begin a 1") { _ = run.wait(nanoseconds: 200_000) }
    door.open()
    #expect(run.wait() == .completed)
    engine.shutdown()
    #expect(try attempts(store) == ["begin a 1", "end a 1", "over"])
  }

  @Test("what is asked to stop has its beginning recorded, and nothing behind the run's end")
  func stopped() throws {
    let world = DurableWorld()
    for _ in 0..<50 {
      let store = MemoryEventStore()
      let begun = Door()
      let engine = try world.engine(over: store) { engine in
        try engine.register("step") { (_: JSON, context: TaskContext) throws -> Int in
          begun.open()
          while !context.isCancelled {}
          throw CancellationError()
        }
      }
      let run = try engine.start(chain(["a"]))
      begun.pass()
      run.cancel()
      #expect(run.wait() == .cancelled)
      engine.shutdown()
      let order = try attempts(store)
      #expect(order.first == "begin a 1" && order.last == "over", "\(order)")
    }
  }

  /// The store of a process that ended, without the last beginnings.
  private func withoutStarts(_ events: [RecordedEvent]) -> [RecordedEvent] { events.filter { $0.type != "task-started" } }

  @Test("a run whose beginnings were never recorded is put in quarantine as well", arguments: [1, 2])
  func quarantine(attempt: Int) throws {
    let world = DurableWorld()
    let workflow = chain(["a", "poison"], retry: RetryPolicy(attempts: 10, initial: 1000, factor: 1, cap: 1000))
    var events: [RecordedEvent] = []
    var id = ""
    var lives = 0
    while lives < 10 {
      let door = Door()
      let engine = try world.engine(over: world.store(events, wall: millrace_wall)) { engine in
        try engine.register("step") { (name: String, context: TaskContext) throws -> Int in
          if name == "poison" {
            if context.attempt < attempt { throw TaskFailure("flaky", "at first") }
            door.pass()
          }
          return 1
        }
      }
      if lives == 0 {
        id = try engine.start(workflow).id
      } else {
        let found = try engine.resume()
        if found.handles.isEmpty {
          #expect(found.problems.first?.reason.contains("poison") == true)
          engine.shutdown()
          break
        }
      }
      lives += 1
      #expect(door.wait(for: 1))
      events = withoutStarts((engine.durable?.runs.store as? MemoryEventStore)?.all ?? [])
      door.open()
      engine.shutdown()
    }
    #expect(lives == 3 || attempt == 2 && lives == 4, "\(id) went on \(lives) times")
  }

  @Test("a saga's step that may have begun counts as begun, recorded or not: it is undone")
  func saga() throws {
    let world = DurableWorld()
    var saga = Definition(saga: "order")
    saga.durability = .log
    let a = saga.step("a", handler: "step", compensation: "undo")
    saga.step("b", handler: "bad", dependencies: [a], compensation: "undo")
    let door = Door()
    let store = MemoryEventStore()
    let first = try world.engine(over: store) { engine in
      try engine.register("step") { (_: JSON, _: TaskContext) -> Int in
        door.pass()
        return 1
      }
      try engine.register("bad") { (_: JSON, _: TaskContext) -> Int in 1 }
      try engine.register("undo") { (_: JSON, _: TaskContext) -> Int in 1 }
    }
    let id = try first.start(saga).id
    #expect(door.wait(for: 1))
    let events = withoutStarts(store.all)
    door.open()
    first.shutdown()

    let kept = world.store(events)
    let second = try world.engine(over: kept) { engine in
      try engine.register("step") { (_: JSON, context: TaskContext) throws -> Int in
        #expect(context.attempt == 2)
        return 1
      }
      try engine.register("bad") { (_: JSON, _: TaskContext) throws -> Int in throw TaskFailure("bad", "for good", isRetryable: false) }
      try engine.register("undo") { (_: JSON, context: TaskContext) -> Int in
        world.effects.note(context.key)
        return 1
      }
    }
    let run = try second.resume(id)
    #expect(run.wait() == .failed && run.saga?.status == .compensated)
    second.shutdown()
    #expect(world.effects.all == ["\(id)/a/c": 1])
  }
}
