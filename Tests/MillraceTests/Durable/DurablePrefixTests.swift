import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Synchronization
import Testing

@testable import Millrace

/// Runs of all kinds of tasks, cut off after each of their records, gone on with by another engine, and driven to the same end.
@Suite struct DurablePrefixTests {
  /// What is run, and how it ends.
  struct Scenario: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var workflow: @Sendable () -> Definition
    var children: @Sendable () -> [Definition] = { [] }
    var status = WorkflowStatus.completed
    var result: JSON?
    /// Effects by task that each way to the end has at least once, with one key.
    var effects: Set<String> = []
    /// Cancelled when so many effects have been seen.
    var cancelAfter: Int?
    /// Runs that it started may be still about to be cancelled when it has ended.
    var mayLeaveChildren = false
  }

  private static func durable(_ name: String, result: String? = nil, _ body: (inout Definition) -> Void) -> Definition {
    var workflow = Definition(name, result: result)
    workflow.durability = .log
    body(&workflow)
    return workflow
  }

  static let scenarios: [Scenario] = [
    Scenario(
      testDescription: "signals and approvals",
      workflow: {
        durable("waits", result: "end") { workflow in
          let go = workflow.wait("go", for: .signal("go"))
          let ok = workflow.wait("ok", for: .approval("Shall it?"), dependencies: [go])
          let again = workflow.wait("again", for: .signal("go"), dependencies: [ok])
          workflow.task("end", handler: "echo", dependencies: [again], input: "${tasks.again.output}")
        }
      }, result: 2, effects: ["end"]),
    Scenario(
      testDescription: "waits for a time",
      workflow: {
        durable("times", result: "end") { workflow in
          let pause = workflow.wait("pause", for: .lasting(.milliseconds(2)))
          let past = workflow.wait("past", for: .until("2020-01-01T00:00:00Z"), dependencies: [pause])
          workflow.task("end", handler: "echo", dependencies: [past], input: 5)
        }
      }, result: 5, effects: ["end"]),
    Scenario(
      testDescription: "a failure that others are skipped for, and one that is not",
      workflow: {
        var workflow = durable("fails") { workflow in
          let bad = workflow.task("bad", handler: "bad", retry: RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000))
          let after = workflow.task("after", handler: "echo", dependencies: [bad])
          workflow.task("last", handler: "echo", dependencies: [after])
          let good = workflow.task("good", handler: "echo", input: 1)
          workflow.task("better", handler: "echo", dependencies: [good], input: 2)
        }
        workflow.onFailure = .continue
        workflow.cleanup = [TaskDefinition("tidy", handler: "echo", input: 9)]
        return workflow
      }, status: .failed, effects: ["bad", "good", "better", "tidy"]),
    Scenario(
      testDescription: "a failure that ends all",
      workflow: {
        durable("stops") { workflow in
          let one = workflow.task("one", handler: "echo", input: 1)
          let bad = workflow.task("bad", handler: "bad", dependencies: [one])
          workflow.task("two", handler: "echo", dependencies: [bad], input: 2)
        }
      }, status: .failed, effects: ["one", "bad"]),
    Scenario(
      testDescription: "children, durable ones and one that is not",
      workflow: {
        durable("parent", result: "sum") { workflow in
          let first = workflow.workflow("first", named: "child", parameters: ["n": 3])
          let second = workflow.workflow("second", named: "child", parameters: ["n": "${tasks.first.output}"], dependencies: [first])
          let fleeting = workflow.workflow("fleeting", named: "fleeting")
          workflow.task(
            "sum", handler: "add", dependencies: [second, fleeting], input: ["${tasks.second.output}", "${tasks.fleeting.output}"])
        }
      },
      children: {
        let child = { (name: String, durability: Durability) in
          var workflow = Definition(name, parameters: [.init("n", fallback: 1)], result: "twice")
          workflow.durability = durability
          let once = workflow.task("once", handler: "echo", input: "${params.n}")
          workflow.task("twice", handler: "add", dependencies: [once], input: ["${tasks.once.output}", "${tasks.once.output}"])
          return workflow
        }
        return [child("child", .log), child("fleeting", .none)]
      }, result: 14, effects: ["sum"]),
    Scenario(
      testDescription: "items that are workflows, durable ones that ask and fail at first, and some that are not",
      workflow: {
        durable("families", result: "sum") { workflow in
          let each = workflow.workflow(
            "each", named: "asks", parameters: ["n": "${item}"], foreach: .list([1, 2, 3]), parallelism: 2,
            retry: RetryPolicy(attempts: 3, initial: 1000, factor: 1, cap: 1000))
          let fleeting = workflow.workflow(
            "fleeting", named: "fleeting", parameters: ["n": "${item}"], foreach: .range(from: 1, to: 2), parallelism: 1)
          workflow.task(
            "sum", handler: "add", dependencies: [each, fleeting],
            input: ["${tasks.each.output[0]}", "${tasks.each.output[2]}", "${tasks.fleeting.output[1]}"])
        }
      },
      children: {
        let child = { (name: String, durability: Durability) in
          var workflow = Definition(name, parameters: [.init("n", fallback: 1)], result: "own")
          workflow.durability = durability
          var before: [TaskReference] = []
          if durability == .log { before = [workflow.wait("ok", for: .approval("Shall ${params.n}?"))] }
          workflow.task("own", handler: durability == .log ? "fickle" : "echo", dependencies: before, input: "${params.n}")
          return workflow
        }
        return [child("asks", .log), child("fleeting", .none)]
      }, result: 6, effects: ["sum"]),
    Scenario(
      testDescription: "children that wait, of a task and of items, beside a task that fails",
      workflow: {
        durable("leaves") { workflow in
          workflow.workflow("one", named: "waiting")
          workflow.workflow("each", named: "waiting", foreach: .range(from: 1, to: 3), parallelism: 2)
          let pause = workflow.wait("pause", for: .lasting(.milliseconds(5)))
          workflow.task("bad", handler: "bad", dependencies: [pause])
        }
      },
      children: {
        [
          durable("waiting") { workflow in
            workflow.wait("never", for: .signal("never"))
            workflow.cleanup = [TaskDefinition("tidy", handler: "echo", input: 9)]
          }
        ]
      }, status: .failed, effects: ["bad"], mayLeaveChildren: true),
    Scenario(
      testDescription: "items that fail, are skipped, and are many",
      workflow: {
        durable("items", result: "count") { workflow in
          let list = workflow.task("list", handler: "echo", input: [1, 2, 3, 4, 5, 6])
          let each = workflow.task(
            "each", handler: "odd", dependencies: [list], input: "${item}",
            foreach: .list("${tasks.list.output}"), parallelism: 2, retry: RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000))
          workflow.task("count", handler: "count", dependencies: [each], input: "${tasks.each.output}")
        }
      }, result: 6, effects: ["list", "count", "each[0]", "each[5]"]),
    Scenario(
      testDescription: "an output too large for its record",
      workflow: {
        durable("large", result: "length") { workflow in
          let large = workflow.task("large", handler: "large")
          workflow.task("length", handler: "length", dependencies: [large])
        }
      }, result: 200_000, effects: ["large", "length"]),
    Scenario(
      testDescription: "a run that is cancelled, and cleans up",
      workflow: {
        var workflow = durable("cancelled") { workflow in
          let one = workflow.task("one", handler: "echo", input: 1)
          let never = workflow.wait("never", for: .signal("never"), dependencies: [one])
          workflow.task("end", handler: "echo", dependencies: [never])
        }
        workflow.cleanup = [TaskDefinition("tidy", handler: "echo", input: 9)]
        return workflow
      }, status: .cancelled, effects: ["one", "tidy"], cancelAfter: 1),
  ]

  private func register(_ scenario: Scenario, _ engine: Engine, _ effects: Effects) throws {
    try engine.register("echo") { (input: JSON, context: TaskContext) -> JSON in
      effects.note(context.key)
      return input
    }
    try engine.register("add") { (numbers: [Int], context: TaskContext) -> Int in
      effects.note(context.key)
      return numbers.reduce(0, +)
    }
    try engine.register("bad") { (_: JSON, context: TaskContext) throws -> Int in
      effects.note(context.key)
      throw TaskFailure("bad", "it is", isRetryable: true)
    }
    try engine.register("odd") { (number: Int, context: TaskContext) throws -> Int in
      effects.note(context.key)
      if number % 2 == 1, context.attempt == 1 { throw TaskFailure("odd", "not at first", isRetryable: true) }
      return number
    }
    // Fails once in each process, whatever its run.
    let isFirst = Atomic<Bool>(true)
    try engine.register("fickle") { (number: Int, context: TaskContext) throws -> Int in
      effects.note(context.key)
      if number == 2, isFirst.exchange(false, ordering: .relaxed) { throw TaskFailure("fickle", "not at first", isRetryable: false) }
      return number
    }
    try engine.register("count") { (list: [JSON], context: TaskContext) -> Int in
      effects.note(context.key)
      return list.count
    }
    try engine.register("large") { (_: JSON, context: TaskContext) -> String in
      effects.note(context.key)
      return String(repeating: "x", count: 200_000)
    }
    try engine.register("length") { (_: JSON, context: TaskContext) throws -> Int in
      effects.note(context.key)
      return (try context.output(at: 0) as String).utf8.count
    }
    for child in scenario.children() { try engine.deploy(child) }
  }

  /// Answers what the run asks until it has ended.
  private func drive(_ run: WorkflowHandle, _ scenario: Scenario, _ effects: Effects) throws -> WorkflowStatus {
    var isCancelled = false
    while true {
      if let status = run.wait(nanoseconds: 200_000) { return status }
      for wait in run.waits {
        switch wait.wait {
        case .approval: approve(run, wait.task)
        case .signal("go"):
          // One each: a task that a signal came for before the crash may still be seen to wait.
          let sent = run.record().signals.count
          if sent < (wait.task == "go" ? 1 : 2) { try run.signal("go", .integer(Int64(sent + 1))) }
        case .signal, .until, .duration, .message: break
        }
      }
      if let count = scenario.cancelAfter, !isCancelled, run.waits.contains(where: { $0.wait == .signal("never") }),
        effects.all.count >= count || run.record().count(.completed) >= count
      {
        isCancelled = true
        run.cancel()
      }
    }
  }

  private func approve(_ run: WorkflowHandle, _ task: String) {
    do throws(ApprovalError) { try run.approve(task: task, by: "me") } catch {
      // One that was answered before the crash is over before we come.
      guard case .notWaiting = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  /// The key of what a completion is of.
  private func completed(_ event: RecordedEvent) throws -> String? {
    guard event.type == "task-completed", let run = event.correlation, let known = try RunEvent(event) else { return nil }
    guard case .completed(let place, _, _, _, _) = known else { return nil }
    return "\(run)/\(place.name)"
  }

  private func check(_ run: WorkflowHandle, _ status: WorkflowStatus, _ scenario: Scenario, _ place: String) {
    #expect(status == scenario.status, "\(place): \(run.record().tasks.map { "\($0.id) \($0.status)" })")
    if let result = scenario.result { #expect(run.result == result, "\(place)") }
  }

  @Test("the end is the same, whatever record is the last before a crash", arguments: scenarios)
  func everyPrefix(scenario: Scenario) throws {
    let store = MemoryEventStore()
    let effects = Effects()
    let first = try DurableWorld().engine(over: store) { try register(scenario, $0, effects) }
    let handle = try first.start(scenario.workflow())
    let status = try drive(handle, scenario, effects)
    check(handle, status, scenario, "without a crash")
    first.shutdown()
    for task in scenario.effects { #expect(effects.count("\(handle.id)/\(task)") >= 1, "\(task) without a crash") }
    let events = store.all
    let begins = try #require(events.firstIndex { $0.type == "run-created" })
    for count in begins + 1...events.count {
      // Events of one append are there together, or none of them.
      if events[count - 1].type == "definition-part" || count < events.count && events[count].type == "task-child-started" { continue }
      let place = "after \(count) events of \(events.count), the last a \(events[count - 1].type) \(events[count - 1].text.prefix(100))"
      let world = DurableWorld()
      let cut = world.store(events.prefix(count))
      let engine = try world.engine(over: cut) { try register(scenario, $0, world.effects) }
      let resumed = try engine.resume()
      #expect(resumed.problems.isEmpty, "\(place): \(resumed.problems)")
      if let run = resumed.handles.first(where: { $0.id == handle.id }) {
        check(run, try drive(run, scenario, world.effects), scenario, place)
      }
      engine.shutdown()
      // What is recorded as completed is not done again; all else is, in one of the two lives.
      for key in try events.prefix(count).compactMap(completed) {
        #expect(world.effects.count(key) == 0, "\(place): \(key) was done again")
      }
      for task in scenario.effects {
        #expect(effects.count("\(handle.id)/\(task)") + world.effects.count("\(handle.id)/\(task)") >= 1, "\(place): \(task)")
      }
      // And it stays so: nothing is left to go on with.
      let after = try world.engine(over: cut) { try register(scenario, $0, world.effects) }
      let left = try after.resume().handles
      #expect(left.isEmpty || scenario.mayLeaveChildren, "\(place)")
      for run in left { #expect(run.wait() == .cancelled, "\(place)") }
      after.shutdown()
    }
  }
}
