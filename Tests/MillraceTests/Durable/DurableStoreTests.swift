import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// A store that refuses appends from a moment on, for good or for a while.
final class FailingStore: EventStore, @unchecked Sendable {
  private let store: MemoryEventStore
  private let monitor = Monitor()
  private var left: Int
  private var count = 0
  private let error: EventStoreError
  /// Refusals until it takes appends again; nil: it never does.
  private var refusals: Int?
  /// Called before each append is looked at. Set before there are any.
  var meets: (@Sendable ([StreamAppend]) -> Void)?
  /// Appends that wait for `release`; nil: they do not wait.
  private var waiting: [(appends: [StreamAppend], completion: Completion<AppendReceipt>)]?

  init(_ store: MemoryEventStore, after appends: Int, _ error: EventStoreError, refusals: Int? = nil) {
    self.store = store
    left = appends
    self.error = error
    self.refusals = refusals
  }

  deinit { monitor.deallocate() }

  /// Appends that it was asked for.
  var asked: Int { monitor.locked { count } }

  /// What is appended from here on waits.
  func hold() { monitor.locked { waiting = [] } }
  /// What waits is appended, or refused.
  func release(isRefused: Bool) {
    let held = monitor.locked {
      defer { waiting = nil }
      return waiting ?? []
    }
    for (appends, completion) in held {
      if isRefused { completion(.failure(error)) } else { store.append(appends, completion: completion) }
    }
  }
  var waitingCount: Int { monitor.locked { waiting?.count ?? 0 } }

  var hasDensePositions: Bool { true }

  func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>) {
    meets?(appends)
    let waits = monitor.locked {
      waiting?.append((appends, completion))
      return waiting != nil
    }
    if waits { return }
    let isRefused = monitor.locked {
      count += 1
      left -= 1
      if left >= 0 { return false }
      guard let refusals else { return true }
      self.refusals = refusals - 1
      return refusals > 0
    }
    if isRefused { completion(.failure(error)) } else { store.append(appends, completion: completion) }
  }

  func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>) { store.read(request, completion: completion) }
  func end(completion: @escaping Completion<UInt64>) { store.end(completion: completion) }
  func position(since time: Int64, completion: @escaping Completion<UInt64>) { store.position(since: time, completion: completion) }
  func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait {
    store.await(position, completion: completion)
  }
  func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>) {
    store.setLimits(limits, of: stream, completion: completion)
  }
  func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>) { store.save(snapshot, completion: completion) }
  func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>) {
    store.snapshot(of: stream, reducer: reducer, completion: completion)
  }
  func close(completion: @escaping Completion<Void>) { store.close(completion: completion) }
}

/// Durable runs over a store that fails.
@Suite struct DurableStoreTests {
  private func workflow(_ kind: Definition.Kind) -> Definition {
    var workflow = kind == .saga ? Definition(saga: "w", durability: .log) : Definition("w", durability: .log)
    var last: [TaskReference] = []
    for id in ["a", "b", "c", "d"] {
      last = [
        kind == .saga
          ? workflow.step(id, handler: id == "d" ? "fail" : "do", dependencies: last, compensation: "do")
          : workflow.task(
            id, handler: id == "b" ? "flaky" : "do", dependencies: last,
            retry: RetryPolicy(attempts: 3, initial: 1000, factor: 1, cap: 1000))
      ]
    }
    return workflow
  }

  private func register(_ engine: Engine, _ effects: Effects) throws {
    try engine.register("do") { (_: JSON, context: TaskContext) -> Int in
      effects.note(context.key)
      return 1
    }
    try engine.register("flaky") { (_: JSON, context: TaskContext) throws -> Int in
      effects.note(context.key)
      if context.attempt == 1 { throw TaskFailure("flaky", "at first") }
      return 1
    }
    try engine.register("fail") { (_: JSON, context: TaskContext) throws -> Int in
      effects.note(context.key)
      throw TaskFailure("bad", "as ever", isRetryable: false)
    }
  }

  @Test(
    "wherever the store fails, nothing follows from what it did not take: the run is left to the next engine",
    arguments: Definition.Kind.allCases)
  func fails(kind: Definition.Kind) throws {
    var appends = 1
    while true {
      let world = DurableWorld()
      let kept = MemoryEventStore()
      let store = FailingStore(kept, after: appends, .failed("the disk is gone"))
      let engine = try world.engine(over: store) { try register($0, world.effects) }
      var isDone = false
      do {
        let run = try engine.start(workflow(kind))
        let status = run.wait()
        isDone = status != .running
        if !isDone { #expect(run.reason?.contains("the disk is gone") == true) }
      } catch let error as EventStoreError {
        #expect(error == .failed("the disk is gone") && appends <= 2)
      }
      engine.shutdown()
      if isDone { break }
      // What was done beyond what is recorded: one attempt at most, for the steps are a chain.
      let recorded = kept.all.count { ["task-completed", "task-retry-scheduled", "task-failed"].contains($0.type) }
      let done = world.effects.all.values.reduce(0, +)
      #expect(done - recorded <= 1, "after \(appends) appends: \(done) done, \(recorded) recorded")
      let second = try world.engine(over: kept) { try register($0, world.effects) }
      for run in try second.resume().handles { #expect(run.wait() == (kind == .saga ? .failed : .completed)) }
      second.shutdown()
      // Nothing was done twice but what may have been lost.
      let twice = world.effects.all.filter { $0.value > 1 && !$0.key.hasSuffix("/b") }
      #expect(twice.values.allSatisfy { $0 == 2 } && twice.count <= 1, "after \(appends) appends: \(world.effects.all)")
      appends += 1
    }
    // The definition, the creation, the ends of attempts with their beginnings, the end.
    #expect(appends >= 7)
  }

  @Test("a store without room makes runs wait, and they go on when it has some")
  func noSpace() throws {
    let world = DurableWorld()
    for appends in 0..<14 {
      let store = FailingStore(MemoryEventStore(), after: appends, .noSpace("full"), refusals: 3)
      let engine = try world.engine(over: store) { try register($0, world.effects) }
      let run = try engine.start(workflow(.workflow))
      #expect(run.wait() == .completed)
      engine.shutdown()
      #expect(world.effects.count("\(run.id)/c") == 1)
    }
  }
}
