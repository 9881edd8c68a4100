import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// Durable runs that tasks and items have started, when another process goes on with them.
@Suite(.timeLimit(.minutes(5))) struct DurableChildTests {
  private let store = MemoryEventStore()
  private let world = DurableWorld()

  private static func durable(_ name: String, _ body: (inout Definition) -> Void) -> Definition {
    var workflow = Definition(name, durability: .log)
    body(&workflow)
    return workflow
  }

  /// Waits for a signal, and at its end for an approval.
  private static let slow = durable("slow") { child in
    child.wait("go", for: .signal("go"))
    child.cleanup = [TaskDefinition("bye", wait: .approval("Is it over?"))]
  }

  private func engine(capacity: Int = 10_000, fails: Bool = true) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.slots = 2
    configuration.threads = 2
    configuration.capacity = capacity
    configuration.store = store
    let engine = try Engine(configuration)
    try engine.register("note") { (_: JSON, context: TaskContext) in world.effects.note(context.key) }
    try engine.register("fail") { (_: JSON, _: TaskContext) throws -> Void in
      if fails { throw TaskFailure("broken", "for now", isRetryable: false) }
    }
    return engine
  }

  private func resumed(_ run: WorkflowHandle, _ engine: Engine) throws -> WorkflowHandle {
    let resumed = try engine.resume()
    #expect(resumed.problems.isEmpty, "\(resumed.problems)")
    return try #require(resumed.handles.first { $0.id == run.id })
  }

  private func until(_ run: WorkflowHandle, waits tasks: [String]) {
    while run.wait(nanoseconds: 100_000) == nil, run.waits.map(\.task).sorted() != tasks {}
    #expect(run.waits.map(\.task).sorted() == tasks)
  }

  /// One that may have been answered by now.
  private func approve(_ run: WorkflowHandle, _ task: String) {
    do throws(ApprovalError) { try run.approve(task: task) } catch {
      guard case .notWaiting = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  /// One whose wait may be over by now.
  private func signal(_ run: WorkflowHandle, _ path: String) {
    do throws(SignalError) { try run.signal(path) } catch {
      guard case .noChild = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  /// `each` runs `slow` for two items, and `task` once; `fail` waits for a signal, and fails.
  private func failing(_ policy: Definition.OnFailure = .failFast) -> Definition {
    Self.durable("failing") { workflow in
      workflow.onFailure = policy
      workflow.workflow("each", of: Self.slow, foreach: .range(from: 0, to: 3), parallelism: 2)
      workflow.workflow("task", of: Self.slow)
      let now = workflow.wait("now", for: .signal("now"))
      workflow.task("fails", handler: "fail", dependencies: [now])
      workflow.cleanup = [TaskDefinition("tidy", handler: "note")]
    }
  }

  private static let open = ["each[0]/go", "each[1]/go", "now", "task/go"]
  private static let ending = ["each[0]/bye", "each[1]/bye", "task/bye"]

  @Test("a run that failed or was cancelled over children is done again with new ones", arguments: [false, true])
  func retry(isCancelled: Bool) throws {
    let first = try engine()
    let run = try first.start(failing())
    until(run, waits: Self.open)
    if isCancelled { run.cancel(by: "me") } else { try run.signal("now") }
    until(run, waits: Self.ending)
    for task in Self.ending { try run.approve(task: task) }
    #expect(run.wait() == (isCancelled ? .cancelled : .failed))
    #expect(try first.resume().handles.isEmpty)
    first.shutdown()

    let second = try engine(fails: false)
    let again = try second.retry(run.id)
    until(again, waits: ["each[0]/go", "each[1]/go"] + (isCancelled ? ["now"] : []) + ["task/go"])
    while again.wait(nanoseconds: 100_000) == nil {
      for wait in again.waits {
        if wait.task.hasSuffix("/bye") { approve(again, wait.task) } else { signal(again, wait.task) }
      }
    }
    #expect(again.status == .completed)
    let record = again.record()
    let numbers = ["each[0]", "each[1]", "each[2]", "each[3]", "task"].map { id in
      record.tasks.first { $0.id == id }?.attempts.last.map { $0.status == .completed ? $0.number : 0 }
    }
    #expect(numbers == [2, 2, 1, 1, 2])
    // Nothing was interrupted: the run had ended.
    #expect(!record.tasks.flatMap(\.attempts).contains { $0.errorType == "interrupted" })
    second.shutdown()
  }

  @Test("children that were being cancelled when their process ended end before their parent's cleanup begins", arguments: [false, true])
  func cleanup(isCancelled: Bool) throws {
    let first = try engine()
    let run = try first.start(failing())
    until(run, waits: Self.open)
    if isCancelled { run.cancel(by: "me") } else { try run.signal("now") }
    until(run, waits: Self.ending)
    first.shutdown()

    let second = try engine()
    let again = try resumed(run, second)
    until(again, waits: Self.ending)
    for task in Self.ending {
      #expect(world.effects.count("\(run.id)/tidy") == 0)
      #expect(again.wait(nanoseconds: 1_000_000) == nil)
      try again.approve(task: task)
    }
    #expect(again.wait() == (isCancelled ? .cancelled : .failed))
    #expect(world.effects.count("\(run.id)/tidy") == 1)
    let record = again.record()
    #expect(
      ["each[0]", "each[1]", "task"].map { id in record.tasks.first { $0.id == id }?.children.map(\.status) } == [
        [.cancelled], [.cancelled], [.cancelled],
      ])
    #expect(["each[2]", "each[3]"].map { id in record.tasks.first { $0.id == id }?.attempts.count } == [0, 0])
    second.shutdown()
  }

  @Test("an attempt whose child was being stopped by a timeout when its process ended is interrupted, and is retried")
  func interrupted() throws {
    let first = try engine()
    let workflow = Self.durable("late") { workflow in
      workflow.workflow(
        "each", of: Self.slow, foreach: .range(from: 0, to: 0), retry: RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000),
        timeouts: Timeouts(startToClose: 20_000_000))
    }
    let run = try first.start(workflow)
    until(run, waits: ["each[0]/bye"])
    first.shutdown()

    let second = try engine()
    let again = try resumed(run, second)
    // The second attempt may be late as well, which is another reason.
    while again.wait(nanoseconds: 100_000) == nil {
      for wait in again.waits where wait.task == "each[0]/bye" { approve(again, wait.task) }
    }
    let attempts = try #require(again.record().tasks.first { $0.id == "each[0]" }).attempts
    #expect(attempts.count == 2)
    #expect(["interrupted", "start-to-close"].contains(attempts.first?.errorType) && attempts.last?.errorType == "start-to-close")
    second.shutdown()
  }

  @Test("where time ran out while no process was there, the children that go on are stopped, and their tasks time out after them")
  func tooLate() throws {
    let clocks = MachineClocks(wall: 1_000_000)
    let store = MemoryEventStore { clocks.wall }
    let workflow = Self.durable("late") { workflow in
      workflow.onFailure = .continue
      let limit = Timeouts(scheduleToClose: 3_600_000_000_000)
      workflow.workflow("each", of: Self.slow, foreach: .range(from: 0, to: 1), timeouts: limit)
      workflow.workflow("task", of: Self.slow, timeouts: limit)
      workflow.wait("now", for: .signal("now"))
    }
    let first = try clocks.engine(store) { _ in }
    let run = try first.start(workflow)
    until(run, waits: Self.open)
    first.shutdown()

    clocks.pass(wall: 7_200, boot: 7_200, reboots: false)
    let second = try clocks.engine(store) { _ in }
    let again = try resumed(run, second)
    until(again, waits: ["each[0]/bye", "each[1]/bye", "now", "task/bye"])
    for task in Self.ending { approve(again, task) }
    try again.signal("now")
    #expect(again.wait() == .failed)
    let record = again.record()
    for id in ["each[0]", "each[1]", "task"] {
      let task = try #require(record.tasks.first { $0.id == id })
      #expect(task.status == .timedOut && task.attempts.map(\.errorType) == ["schedule-to-close"], "\(id)")
      #expect(task.children.map(\.status) == [.cancelled], "\(id)")
    }
    second.shutdown()
  }

  @Test("a task before which a new version has put another one waits for that, and then goes on with the run that it had started")
  func upgraded() throws {
    func workflow(_ version: Int) -> Definition {
      var workflow = Self.durable("grows") { workflow in
        let before = version == 1 ? [] : [workflow.wait("before", for: .signal("before"))]
        let task = workflow.workflow("task", of: Self.slow, dependencies: before)
        workflow.task("after", handler: "note", dependencies: [task])
      }
      (workflow.version, workflow.versionPolicy) = (version, .upgradeAtStepBoundary)
      return workflow
    }
    let first = try engine()
    try first.deploy(workflow(1))
    let run = try first.start("grows")
    until(run, waits: ["task/go"])
    first.shutdown()

    let second = try engine()
    try second.deploy(workflow(2))
    let again = try resumed(run, second)
    until(again, waits: ["before"])
    #expect(throws: SignalError.noChild(task: "task")) { try again.signal("task/go") }
    try again.signal("before")
    until(again, waits: ["task/go"])
    try again.signal("task/go")
    until(again, waits: ["task/bye"])
    try again.approve(task: "task/bye")
    #expect(again.wait() == .completed)
    #expect(again.progress().completed == 3 && world.effects.count("\(run.id)/after") == 1)
    let task = try #require(again.record().tasks.first { $0.id == "task" })
    #expect(task.attempts.map(\.number) == [1] && task.children.count == 1)
    second.shutdown()
  }

  @Test("a child that waits for its turn when the engine stops has not failed its task")
  func inLine() throws {
    var child = Self.slow
    child.concurrency = RunConcurrency(limit: 1)
    let workflow = Self.durable("line") { $0.workflow("each", of: child, foreach: .range(from: 0, to: 2)) }
    let first = try engine()
    let run = try first.start(workflow)
    while store.all.count(where: { $0.type == "task-child-started" }) < 3 { _ = run.wait(nanoseconds: 100_000) }
    while run.waits.count < 1 { _ = run.wait(nanoseconds: 100_000) }
    first.shutdown()
    #expect(run.wait() == .running)
    #expect(!store.all.contains { $0.type == "task-failed" })

    let second = try engine()
    let again = try resumed(run, second)
    while again.wait(nanoseconds: 100_000) == nil {
      for wait in again.waits {
        if wait.task.hasSuffix("/bye") { approve(again, wait.task) } else { signal(again, wait.task) }
      }
    }
    #expect(again.status == .completed)
    let items = again.record().tasks.filter(\.isItem)
    #expect(items.map(\.attempts.count) == [1, 1, 1] && items.map(\.children.count) == [1, 1, 1])
    second.shutdown()
  }

  @Test("a child for which there is no room is a problem of its parent too, which goes on when there is; nothing hangs")
  func noRoom() throws {
    let child = Self.durable("child") { child in
      let go = child.wait("go", for: .signal("go"))
      for i in 0..<200 { child.task("t\(i)", handler: "note", dependencies: [go]) }
    }
    let workflow = Self.durable("parent") { $0.workflow("each", of: child, foreach: .range(from: 0, to: 1)) }
    let first = try engine()
    let run = try first.start(workflow)
    until(run, waits: ["each[0]/go", "each[1]/go"])
    first.shutdown()

    let small = try engine(capacity: 64)
    let problems = try small.resume().problems
    #expect(problems.count == 3)
    #expect(problems.contains { $0.run == run.id && $0.reason.contains("could not begin") })
    small.shutdown()

    let second = try engine()
    let again = try resumed(run, second)
    until(again, waits: ["each[0]/go", "each[1]/go"])
    for item in 0...1 { try again.signal("each[\(item)]/go") }
    #expect(again.wait() == .completed)
    #expect(again.record().tasks.filter(\.isItem).map(\.attempts.count) == [1, 1])
    second.shutdown()
  }

  @Test("each of many quick items has its own run in the record, and no other's")
  func quick() throws {
    let child = Self.durable("child") { child in
      child.parameters = [.init("n", fallback: 0)]
      child.task("t", handler: "note", input: "${params.n}")
    }
    let engine = try engine()
    let run = try engine.start(
      Self.durable("parent") {
        $0.workflow("each", of: child, parameters: ["n": "${item}"], foreach: .range(from: 0, to: 799), parallelism: 8)
      })
    #expect(run.wait() == .completed)
    let items = run.record().tasks.filter(\.isItem)
    let wrong = items.filter { $0.children.count != 1 || $0.children[0].status != .completed }
    #expect(items.count == 800 && wrong.isEmpty, "\(wrong.map { "\($0.id): \($0.children.count)" })")
    #expect(Set(items.flatMap(\.children).map(\.run)).count == 800)
    engine.shutdown()
  }
}
