import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Sagas that run: in memory, recorded, and cut off after each of their records.
@Suite struct SagaRunTests {
  struct Scenario: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var saga: @Sendable () -> Definition
    var status: SagaStatus
    /// Steps, and compensations as `STEP/c`, whose handlers have done something in the end.
    var done: Set<String>
    /// Pairs of which the first is done before the second begins.
    var order: [(String, String)] = []
    /// What an operator does with a saga that is parked, once.
    var verb: (@Sendable (SagaHandle) throws -> Void)?
    /// Somebody cancels when this step runs.
    var cancelIn: String?
  }

  private static func saga(_ body: (inout Definition) -> Void) -> Definition {
    var saga = Definition(saga: "order")
    body(&saga)
    return saga
  }

  private static let quick = RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000)

  static let scenarios: [Scenario] = [
    Scenario(
      testDescription: "all goes well",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          let b = saga.step("b", handler: "do", dependencies: [a], compensation: "undo")
          let pivot = saga.step("pivot", handler: "do", dependencies: [b], isPivot: true)
          saga.step("after", handler: "do", dependencies: [pivot])
        }
      }, status: .completed, done: ["a", "b", "pivot", "after"], order: [("a", "b"), ("b", "pivot"), ("pivot", "after")]),
    Scenario(
      testDescription: "a step fails, and what was done is undone backward, but not queries",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          let query = saga.step("query", handler: "do", dependencies: [a], compensation: .notNeeded)
          let b = saga.step("b", handler: "do", dependencies: [query], compensation: "undo")
          saga.step("bad", handler: "fail", dependencies: [b], compensation: "undo", retry: quick)
        }
      }, status: .compensated, done: ["a", "query", "b", "b/c", "a/c"], order: [("b", "b/c"), ("b/c", "a/c")]),
    Scenario(
      testDescription: "branches beside each other are undone beside each other",
      saga: {
        saga { saga in
          let root = saga.step("root", handler: "do", compensation: "undo")
          let left = saga.step("left", handler: "do", dependencies: [root], compensation: "undo")
          let right = saga.step("right", handler: "do", dependencies: [root], compensation: "undo")
          saga.step("pivot", handler: "fail", dependencies: [left, right], isPivot: true)
        }
      }, status: .compensated, done: ["root", "left", "right", "left/c", "right/c", "root/c"],
      order: [("left/c", "root/c"), ("right/c", "root/c")]),
    Scenario(
      testDescription: "a compensation fails for good, and an operator has it run once more",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          let b = saga.step("b", handler: "do", dependencies: [a], compensation: Compensation(handler: "stubborn", retry: quick))
          saga.step("bad", handler: "fail", dependencies: [b], compensation: .notNeeded)
        }
      }, status: .compensated, done: ["a", "b", "b/c", "a/c"], order: [("b/c", "a/c")],
      verb: { saga in
        #expect(saga.status == .compensationParked)
        try saga.resume(by: "ann")
      }),
    Scenario(
      testDescription: "a compensation fails for good, and an operator passes it over",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          let b = saga.step("b", handler: "do", dependencies: [a], compensation: Compensation(handler: "fail", retry: quick))
          saga.step("bad", handler: "fail", dependencies: [b], compensation: .notNeeded)
        }
      }, status: .compensatedWithSkips, done: ["a", "b", "a/c"],
      verb: { saga in try saga.skip(step: "b", by: "ann", reason: "done by hand") }),
    Scenario(
      testDescription: "a step after the pivot fails for good, and an operator has it run once more",
      saga: {
        saga { saga in
          let pivot = saga.step("pivot", handler: "do", isPivot: true)
          let after = saga.step("after", handler: "stubborn", dependencies: [pivot], retry: quick)
          saga.step("last", handler: "do", dependencies: [after])
        }
      }, status: .completed, done: ["pivot", "after", "last"],
      verb: { saga in
        #expect(saga.status == .forwardParked)
        #expect(throws: SagaRefusal.self) { try saga.skip(step: "pivot", by: "ann", reason: "no") }
        #expect(throws: SagaRefusal.missingReason) { try saga.force(by: "ann", reason: "") }
        try saga.resume(step: "after", by: "ann")
      }),
    Scenario(
      testDescription: "a step after the pivot fails for good, and an operator passes it over",
      saga: {
        saga { saga in
          let pivot = saga.step("pivot", handler: "do", isPivot: true)
          let after = saga.step("after", handler: "fail", dependencies: [pivot], retry: quick)
          saga.step("last", handler: "do", dependencies: [after])
        }
      }, status: .completed, done: ["pivot", "last"], verb: { saga in try saga.skip(step: "after", by: "ann", reason: "not needed") }),
    Scenario(
      testDescription: "a pivot of which nobody knows what it did is parked, and declared done",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          let pivot = saga.step(
            "pivot", handler: "hangs", dependencies: [a], isPivot: true, retry: quick, timeouts: Timeouts(startToClose: 1_000_000))
          saga.step("after", handler: "do", dependencies: [pivot])
        }
      }, status: .completed, done: ["a", "after"],
      verb: { saga in
        #expect(saga.status == .pivotParked)
        try saga.force(by: "ann", reason: "the bank says so")
      }),
    Scenario(
      testDescription: "a pivot of which nobody knows what it did is parked, and declared not done",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          saga.step("pivot", handler: "hangs", dependencies: [a], isPivot: true, retry: quick, timeouts: Timeouts(startToClose: 1_000_000))
        }
      }, status: .compensatedWithSkips, done: ["a", "a/c"],
      verb: { saga in try saga.skip(step: "pivot", by: "ann", reason: "the bank says no") }),
    Scenario(
      testDescription: "a step that timed out is undone as well, for it may have been done",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          saga.step("slow", handler: "hangs", dependencies: [a], compensation: "undo", timeouts: Timeouts(startToClose: 1_000_000))
        }
      }, status: .compensated, done: ["a", "slow/c", "a/c"], order: [("slow/c", "a/c")]),
    Scenario(
      testDescription: "a saga that is cancelled is undone",
      saga: {
        saga { saga in
          let a = saga.step("a", handler: "do", compensation: "undo")
          let wait = saga.step("wait", handler: "until-cancelled", dependencies: [a], compensation: "undo")
          saga.step("never", handler: "do", dependencies: [wait], compensation: "undo")
        }
      }, status: .compensated, done: ["a", "wait/c", "a/c"], order: [("wait/c", "a/c")], cancelIn: "wait"),
  ]

  /// In what order the handlers have done something.
  final class Diary: @unchecked Sendable {
    private let monitor = Monitor()
    private var lines: [String] = []
    /// Keys whose handlers have been called before: those that are stubborn do it then.
    private var calls: [String: Int] = [:]

    deinit { monitor.deallocate() }

    func write(_ key: String) { monitor.locked { lines.append(key) } }
    func call(_ key: String) -> Int {
      monitor.locked {
        calls[key, default: 0] += 1
        return calls[key] ?? 0
      }
    }
    var all: [String] { monitor.locked { lines } }
  }

  private func register(_ engine: Engine, _ diary: Diary) throws {
    for name in ["do", "undo"] {
      try engine.register(name) { (_: JSON, context: TaskContext) -> String in
        diary.write(context.taskID)
        return "done \(context.taskID)"
      }
    }
    try engine.register("fail") { (_: JSON, _: TaskContext) throws -> String in throw TaskFailure("refused", "as ever") }
    // Two attempts in vain: then an operator has come.
    try engine.register("stubborn") { (_: JSON, context: TaskContext) throws -> String in
      if diary.call(context.taskID) <= 2 { throw TaskFailure("refused", "not yet") }
      diary.write(context.taskID)
      return "done"
    }
    try engine.register("hangs") { (_: JSON, _: TaskContext) async throws -> String in
      while !_Concurrency.Task.isCancelled { await _Concurrency.Task.yield() }
      throw CancellationError()
    }
    try engine.register("until-cancelled") { (_: JSON, _: TaskContext) async throws -> String in
      while !_Concurrency.Task.isCancelled { await _Concurrency.Task.yield() }
      throw CancellationError()
    }
  }

  /// Drives the saga to its end.
  private func drive(_ run: WorkflowHandle, _ scenario: Scenario, _ diary: Diary) throws {
    let saga = try #require(run.saga)
    var isCancelled = false
    while run.wait(nanoseconds: 200_000) == nil {
      if saga.status.isParked { try scenario.verb?(saga) }
      if let step = scenario.cancelIn, !isCancelled, run.runningTasks.contains(step) {
        isCancelled = true
        run.cancel()
      }
    }
  }

  private func check(_ run: WorkflowHandle, _ scenario: Scenario, _ place: String) throws {
    let saga = try #require(run.saga)
    #expect(saga.status == scenario.status, "\(place)")
    let expected: WorkflowStatus =
      scenario.status == .completed ? .completed : scenario.cancelIn != nil ? .cancelled : .failed
    #expect(run.status == expected, "\(place)")
  }

  private func check(_ lines: [String], _ scenario: Scenario, _ place: String) {
    #expect(Set(lines) == scenario.done, "\(place): \(lines)")
    for (first, second) in scenario.order {
      let (a, b) = (lines.lastIndex(of: first), lines.firstIndex(of: second))
      #expect(a != nil && b != nil && a! < b!, "\(place): \(first) before \(second) in \(lines)")
    }
  }

  @Test("a saga in memory goes forward, or is undone, as its steps say", arguments: scenarios)
  func inMemory(scenario: Scenario) throws {
    let diary = Diary()
    var configuration = Engine.Configuration()
    configuration.capacity = 10_000
    let engine = try Engine(configuration)
    try register(engine, diary)
    let run = try engine.start(scenario.saga())
    try drive(run, scenario, diary)
    try check(run, scenario, "")
    check(diary.all, scenario, "")
    engine.shutdown()
  }

  @Test("a recorded saga ends the same, whatever record is the last before a crash", arguments: scenarios)
  func everyPrefix(scenario: Scenario) throws {
    var definition = scenario.saga()
    definition.durability = .log
    let store = MemoryEventStore()
    let diary = Diary()
    let first = try DurableWorld().engine(over: store) { try register($0, diary) }
    let handle = try first.start(definition)
    try drive(handle, scenario, diary)
    try check(handle, scenario, "without a crash")
    check(diary.all, scenario, "without a crash")
    first.shutdown()
    let events = store.all
    let begins = try #require(events.firstIndex { $0.type == "run-created" })
    for count in begins + 1...events.count {
      let place = "after \(count) events of \(events.count), the last a \(events[count - 1].type) \(events[count - 1].text.prefix(120))"
      let world = DurableWorld()
      let cut = world.store(events.prefix(count))
      let second = Diary()
      // What had been tried in vain before the crash has been.
      for event in events.prefix(count) where event.type == "task-retry-scheduled" || event.type == "task-failed" {
        switch try #require(try RunEvent(event)) {
        case .retryScheduled(let attempt, _, _), .failed(let attempt, _): _ = second.call(attempt.place.task)
        default: break
        }
      }
      let engine = try world.engine(over: cut) { try register($0, second) }
      let resumed = try engine.resume()
      #expect(resumed.problems.isEmpty, "\(place): \(resumed.problems)")
      if let run = resumed.handles.first {
        try drive(run, scenario, second)
        try check(run, scenario, place)
      } else {
        #expect(events.prefix(count).contains { $0.type == "run-ended" }, "\(place)")
      }
      engine.shutdown()
      // Both lives together have done what is to be done; what is recorded as done is not done again.
      var recorded: [String] = []
      for event in events.prefix(count) where event.type == "task-completed" {
        guard let known = try RunEvent(event), case .completed(let task, _, _, _, _) = known else { continue }
        recorded.append(task.task)
      }
      #expect(second.all.allSatisfy { !recorded.contains($0) }, "\(place): \(recorded) and again \(second.all)")
      check(recorded + second.all, scenario, place)
    }
  }
}
