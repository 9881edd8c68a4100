import MillraceCore
import MillraceLog
import MillraceTesting
import Testing

@testable import Millrace
@testable import MillraceWorkflow

/// Runs as they are told from their records alone.
@Suite struct RecordedRunTests {
  /// Something of all that a record has: attempts, conditions, failures and what they skip, items, signals, approvals, a cleanup.
  private var workflow: Definition {
    var workflow = Definition("all", parameters: [.init("size", fallback: 3)], onFailure: .continue)
    workflow.durability = .log
    let first = workflow.task("first", handler: "note", priority: .high)
    workflow.task(
      "flaky", handler: "flaky", dependencies: [first], retry: RetryPolicy(attempts: 5, initial: 1000, factor: 1, cap: 1000))
    let skipped = workflow.task("skipped", handler: "note", dependencies: [first], when: "${params.size > 10}")
    workflow.task("behind", handler: "note", dependencies: [skipped])
    let fails = workflow.task("fails", handler: "fails", dependencies: [first])
    let after = workflow.task("after", handler: "note", dependencies: [fails])
    workflow.task("far", handler: "note", dependencies: [after])
    workflow.task("each", handler: "note", dependencies: [first], input: "${item}", foreach: .range(from: 1, to: 3))
    workflow.tasks.append(TaskDefinition("signalled", wait: .signal("go")))
    workflow.tasks.append(TaskDefinition("answered", wait: .approval("ok?"), dependencies: ["signalled"]))
    var child = Definition("child", parameters: [.init("number", fallback: 0)])
    child.durability = .log
    child.task("half", handler: "even", input: "${params.number}")
    workflow.workflow(
      "many", of: child, parameters: ["number": "${item}"], dependencies: [first], foreach: .range(from: 1, to: 4),
      retry: RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000))
    workflow.cleanup = [TaskDefinition("tidy", handler: "note")]
    return workflow
  }

  private func register(_ engine: Engine) throws {
    try engine.register("note") { (_: JSON, _: TaskContext) -> String in "noted" }
    try engine.register("flaky") { (_: JSON, context: TaskContext) throws -> Int in
      if context.attempt < 3 { throw TaskFailure("flaky", "attempt \(context.attempt)", isRetryable: true) }
      return context.attempt
    }
    try engine.register("even") { (number: Int, _: TaskContext) throws -> Int in
      if number % 2 == 1 { throw TaskFailure("odd", "\(number) is odd") }
      return number / 2
    }
    try engine.register("fails") { (_: JSON, _: TaskContext) throws -> Int in
      throw TaskFailure("no-luck", "there was none", isRetryable: false)
    }
  }

  private func runs(_ store: any EventStore) -> RunStore { RunStore(store, now: DurableTime.now, report: { _ in }, spawn: OwnThread.run) }

  private func whole(_ store: MemoryEventStore) throws -> RunRecord {
    let engine = try DurableWorld().engine(over: store, register)
    let run = try engine.start(workflow)
    try run.signal("go", ["n": 1])
    while true {
      do throws(ApprovalError) {
        try run.approve(task: "answered", by: "ann")
        break
      } catch .notWaiting { _ = run.wait(nanoseconds: 1_000_000) }
    }
    #expect(run.wait() == .failed)
    let record = run.record()
    engine.shutdown()
    return record
  }

  @Test("the record made from a run's events tells what its process told")
  func same() throws {
    let store = MemoryEventStore()
    let told = try whole(store)
    let id = try #require(RunID(told.run))
    let made = try #require(try runs(store).recorded(id, now: nil, isAttended: false)).record
    #expect(made.status == .failed && made.workflow == told.workflow && made.tenant == told.tenant)
    // Recorded before it begins.
    #expect(made.startedWall <= told.startedWall)
    #expect(made.definitionSHA256 == told.definitionSHA256)
    #expect(made.tasks.map(\.id) == told.tasks.map(\.id))
    for (a, b) in zip(made.tasks, told.tasks) {
      #expect(a.handler == b.handler && a.priority == b.priority && a.status == b.status, "\(a.id)")
      #expect(a.dependencies == b.dependencies && a.cause == b.cause && a.outputBytes == b.outputBytes, "\(a.id)")
      #expect((a.ready == nil) == (b.ready == nil), "\(a.id)")
      #expect(a.attempts.map(\.number) == b.attempts.map(\.number) && a.attempts.map(\.status) == b.attempts.map(\.status), "\(a.id)")
      #expect(
        a.attempts.map(\.errorType) == b.attempts.map(\.errorType) && a.attempts.map(\.message) == b.attempts.map(\.message), "\(a.id)")
      #expect(a.attempts.allSatisfy { ($0.end ?? 0) >= $0.start }, "\(a.id)")
      #expect(a.wait == b.wait && a.answer == b.answer, "\(a.id)")
      #expect(a.children.map(\.run) == b.children.map(\.run) && a.children.map(\.status) == b.children.map(\.status), "\(a.id)")
      #expect(
        a.items?.statuses == b.items?.statuses && a.items?.attempts == b.items?.attempts && a.items?.listed == b.items?.listed, "\(a.id)")
    }
    #expect(made.signals.map(\.name) == ["go"] && made.signals[0].task == "signalled")
    #expect(!RunSummary.text(made).isEmpty)
    _ = try RunRecord(RunSummary.record(made))
  }

  @Test("at every position the run is told as it was there: tasks only come to an end, and each moment has all of them")
  func everyPosition() throws {
    let store = MemoryEventStore()
    let told = try whole(store)
    let id = try #require(RunID(told.run))
    var over: [String: TaskStatus] = [:]
    for event in store.all where event.stream.description == "run-\(told.run)" {
      let run = try #require(try runs(store).recorded(id, now: nil, isAttended: true, until: event.position))
      #expect(run.history.position == event.position)
      #expect(run.record.tasks.count { !$0.isItem } == 12)
      for task in run.record.tasks {
        if let before = over[task.id] { #expect(task.status == before, "\(task.id) at \(event.position)") }
        if ![.pending, .running].contains(task.status) { over[task.id] = task.status }
      }
      let unexplained = run.record.tasks.filter { run.record.explain($0.id, moment: run.moment) == nil }
      #expect(unexplained.isEmpty)
    }
    let creation = try #require(store.all.first { $0.type == "run-created" })
    #expect(try runs(store).recorded(id, now: nil, isAttended: true, until: creation.position - 1) == nil)
    #expect(try runs(store).recorded(id, now: nil, isAttended: true, at: creation.time - 1) == nil)
    #expect(try runs(store).recorded(id, now: nil, isAttended: true, at: .max)?.history.ended == .failed)
  }

  @Test("a recorded definition is read again with the workflows that its tasks run, whatever stands in their texts")
  func children() throws {
    var inner = Definition("inner")
    inner.tasks = [TaskDefinition("odd", handler: "note", input: ["text": "a \"quoted\" {brace] \\ and\na line"])]
    inner.cleanup = [TaskDefinition("tidy", handler: "note")]
    var middle = Definition("middle")
    middle.workflow("inner", of: inner)
    var outer = Definition("outer", result: "middle")
    outer.workflow("middle", of: middle)
    outer.task("last", handler: "note")
    let again = try Definition(recorded: outer.recorded)
    #expect(again.recorded == outer.recorded)
    let read = try #require(again.tasks[0].child?.definition?.tasks[0].child?.definition)
    #expect(read.tasks[0].input == inner.tasks[0].input && read.cleanup.map(\.id) == ["tidy"])
    for broken in ["", "{", "{}", "nonsense", "{\"workflow\":\"w\"}\"tasks\"{"] {
      #expect(throws: RecordError.self) { try Definition(recorded: Array(broken.utf8)) }
    }
  }

  @Test("of a run that no process has that is the reason, whatever its tasks wait for; of one in quarantine that")
  func standstill() throws {
    let store = MemoryEventStore()
    let told = try whole(store)
    let id = try #require(RunID(told.run))
    let first = try #require(store.all.firstIndex { $0.type == "task-completed" && $0.text.contains(#""task":"first""#) })
    let cut = DurableWorld().store(store.all.prefix(first + 1))
    for (isAttended, reason) in [(false, Explanation.Reason.noProcess), (true, .unrecorded)] {
      let run = try #require(try runs(cut).recorded(id, now: .now(), isAttended: isAttended))
      let explanation = try #require(run.record.explain("flaky", moment: run.moment))
      #expect(explanation.reason == reason || isAttended && explanation.reason == .running, "\(explanation)")
      #expect(run.record.explain("first", moment: run.moment)?.reason == .completed)
    }
    let journal = try RunJournal(runs(cut), id, tenant: "default")
    try journal.record(.quarantined(suspects: ["flaky"]))
    let run = try #require(try runs(cut).recorded(id, now: .now(), isAttended: false))
    let explanation = try #require(run.record.explain("flaky", moment: run.moment))
    #expect(explanation.reason == .quarantine && explanation.remedy.contains("millrace run retry \(told.run)"))
    #expect(explanation.evidence.first?.contains("flaky") == true)
  }
}
