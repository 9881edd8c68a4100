import CMillrace
import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Items of a `foreach` that wait for their next attempts when another process goes on with them.
@Suite(.serialized, .timeLimit(.minutes(5))) struct DurableItemsTests {
  private static let hour: Int64 = 3600

  /// Items that ask for their next attempt after as many hours as they are.
  private func items(parallelism: Int, version: Int = 1) -> Definition {
    var workflow = Definition("items", durability: .log)
    (workflow.version, workflow.versionPolicy, workflow.onFailure) = (version, .upgradeAtStepBoundary, .continue)
    workflow.task(
      "each", handler: "hours", input: "${item}", foreach: .list([1, 1, 2, 1]), parallelism: parallelism, retry: RetryPolicy(attempts: 2),
      timeouts: Timeouts(scheduleToClose: 5400 * 1_000_000_000))
    return workflow
  }

  private func register(_ engine: Engine, _ effects: Effects) throws {
    try engine.register("do") { (_: JSON, _: TaskContext) -> Int in 1 }
    try engine.register("hours") { (hours: Int, context: TaskContext) throws -> Int in
      effects.note(context.key)
      if context.attempt == 1 { throw TaskFailure("busy", "later", retryAfter: .seconds(Int64(hours) * Self.hour)) }
      return context.attempt
    }
  }

  /// Waits until there are so many events of a type.
  private func wait(_ store: MemoryEventStore, _ type: String, _ count: Int) {
    let deadline = Clock.monotonic.now + 60_000_000_000
    while store.all.count(where: { $0.type == type }) < count, Clock.monotonic.now < deadline { millrace_yield() }
  }

  /// A run whose first items wait.
  private func left(parallelism: Int, _ clocks: MachineClocks, _ store: MemoryEventStore, _ effects: Effects) throws -> String {
    let engine = try clocks.engine(store) { try register($0, effects) }
    let id = try engine.start(items(parallelism: parallelism)).id
    wait(store, "task-retry-scheduled", parallelism)
    engine.shutdown()
    return id
  }

  private func calls(_ effects: Effects, _ id: String) -> [Int] { (0..<4).map { effects.count("\(id)/each[\($0)]") } }

  @Test("items keep the times of their next attempts, and their places meanwhile", arguments: [true, false])
  func times(reboots: Bool) throws {
    let (clocks, effects) = (MachineClocks(wall: 500_000 * Self.hour), Effects())
    let store = MemoryEventStore { clocks.wall }
    let id = try left(parallelism: 2, clocks, store, effects)
    // Minutes that pass before each process, and what its handlers have been called for in the end; the third item would wait for longer than it has.
    for (minutes, retries, failed, expected) in [
      (30, 2, 0, [1, 1, 0, 0]), (31, 3, 1, [2, 2, 1, 1]), (30, 3, 1, [2, 2, 1, 1]), (31, 3, 1, [2, 2, 1, 2]),
    ] as [(Int64, Int, Int, [Int])] {
      clocks.pass(wall: minutes * 60 + (reboots ? 0 : 7 * Self.hour), boot: minutes * 60 - (reboots ? Self.hour : 0), reboots: reboots)
      let engine = try clocks.engine(store) { try register($0, effects) }
      let run = try engine.resume(id)
      wait(store, "task-retry-scheduled", retries)
      wait(store, "task-failed", failed)
      if expected[3] == 2 { #expect(run.wait() == .failed) }
      try engine.settle()
      #expect(calls(effects, id) == expected)
      engine.shutdown()
    }
  }

  @Test("items that are more than the places of a new version wait until they are due when a place takes them")
  func fewerPlaces() throws {
    let (clocks, effects) = (MachineClocks(wall: 500_000 * Self.hour), Effects())
    let store = MemoryEventStore { clocks.wall }
    let engine = try clocks.engine(store) { try register($0, effects) }
    var old = items(parallelism: 4)
    old.tasks[0].policy.timeouts = Timeouts()
    let id = try engine.start(old).id
    wait(store, "task-retry-scheduled", 4)
    engine.shutdown()
    var new = items(parallelism: 1, version: 2)
    new.tasks[0].policy.timeouts = Timeouts()
    for (minutes, completed, expected) in [(61, 2, [2, 2, 1, 1]), (60, 4, [2, 2, 2, 2])] as [(Int64, Int, [Int])] {
      clocks.pass(wall: minutes * 60, boot: minutes * 60, reboots: false)
      let engine = try clocks.engine(store) { engine in
        try register(engine, effects)
        try engine.deploy(new)
      }
      let run = try engine.resume(id)
      wait(store, "task-completed", completed)
      if completed == 4 { #expect(run.wait() == .completed) }
      try engine.settle()
      #expect(calls(effects, id) == expected)
      engine.shutdown()
    }
  }

  @Test("an item whose time was over while no process was there is timed out, and its handler is not called again")
  func closed() throws {
    let (clocks, effects) = (MachineClocks(wall: 500_000 * Self.hour), Effects())
    let store = MemoryEventStore { clocks.wall }
    let id = try left(parallelism: 2, clocks, store, effects)
    clocks.pass(wall: 100 * 60, boot: 100 * 60, reboots: false)
    let engine = try clocks.engine(store) { try register($0, effects) }
    let run = try engine.resume(id)
    wait(store, "task-failed", 3)
    try engine.settle()
    #expect(calls(effects, id) == [1, 1, 1, 1] && run.status == .running)
    engine.shutdown()
  }

  @Test("items that failed have a fresh allowance of attempts when somebody has their task done again")
  func retry() throws {
    let store = MemoryEventStore()
    let world = DurableWorld()
    var workflow = Definition("items", durability: .log)
    workflow.onFailure = .continue
    workflow.task(
      "each", handler: "odd", input: "${item}", foreach: .range(from: 0, to: 3),
      retry: RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000))
    // `until`: attempts at which odd items fail.
    func engine(until: Int) throws -> Engine {
      try world.engine(over: store) { engine in
        try engine.register("odd") { (item: Int, context: TaskContext) throws -> Int in
          world.effects.note(context.key)
          if item % 2 == 1, context.attempt <= until { throw TaskFailure("odd", "attempt \(context.attempt)") }
          return item
        }
      }
    }
    let first = try engine(until: 9)
    let run = try first.start(workflow)
    #expect(run.wait() == .failed)
    first.shutdown()
    let second = try engine(until: 3)
    #expect(try second.retry(run.id).wait() == .completed)
    second.shutdown()
    #expect((0..<4).map { world.effects.count("\(run.id)/each[\($0)]") } == [1, 4, 1, 4])
  }
}
