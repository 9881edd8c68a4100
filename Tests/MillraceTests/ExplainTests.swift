import CMillrace
import Millrace
import MillraceCore
import MillraceWorkflow
import Testing

/// Why a task is where it is: of runs that go on, and of those that have ended.
@Suite struct ExplainTests {
  /// `quick` ends at once, `shut` at its door, `fails` at once.
  private func world(slots: Int = 2, _ door: Door) throws -> Engine {
    let engine = try engine(slots: slots)
    try engine.register("quick") { _ in .empty }
    try engine.register("fails") { _ in throw TaskFailure("no-luck", "there was none") }
    try engine.register("shut", blocking: true) { _ in
      door.pass()
      return .empty
    }
    return engine
  }

  /// Ends what the test left at the door.
  private func end(_ door: Door, _ engine: Engine) {
    door.open()
    engine.shutdown()
  }

  @Test("a task behind others waits for the one that runs: with the way there, how long, and that no timeout ends it")
  func dependency() throws {
    let door = Door()
    let engine = try world(door)
    defer { end(door, engine) }
    var workflow = Definition("w")
    let done = workflow.task("done", handler: "quick")
    let hangs = workflow.task("hangs", handler: "shut", dependencies: [done])
    let between = workflow.task("between", handler: "quick", dependencies: [hangs])
    workflow.task("last", handler: "quick", dependencies: [done, between])
    let run = try engine.start(workflow)
    #expect(door.wait(for: 1))

    let last = try #require(run.explain("last"))
    #expect(last.reason == .dependency && last.status == .pending && last.blockedBy == "hangs")
    #expect(last.summary.hasPrefix("waits for hangs, which has been running for ") && last.summary.hasSuffix(" (shut)"), "\(last.summary)")
    #expect(last.evidence.contains("each waits for the next: last -> between -> hangs"), "\(last.evidence)")
    #expect(last.evidence.contains("not done of its 2 dependencies: between"))
    #expect(last.evidence.contains("no timeout: nothing ends it but its handler"))
    #expect(last.remedy.contains("give the task a `startToClose`"))
    #expect(run.explain("done")?.reason == .completed)
    #expect(run.explain("hangs")?.reason == .running)
    #expect(run.explain("nothing") == nil)
    #expect(run.explain().map(\.task) == ["hangs"])

    door.open()
    #expect(run.wait() == .completed)
    #expect(run.explain().isEmpty)
    #expect(run.explain("last")?.reason == .completed)
  }

  @Test("a task that is ready says who has the slots, the key or the handler that it needs, in this run and in others")
  func taken() throws {
    let door = Door()
    let engine = try world(slots: 3, door)
    defer { end(door, engine) }
    try engine.register("narrow", blocking: true, concurrency: 1) { _ in
      door.pass()
      return .empty
    }
    var other = Definition("other")
    other.task("first", handler: "shut", concurrencyKey: "disk")
    let first = try engine.start(other)
    #expect(door.wait(for: 1))
    var workflow = Definition("w")
    workflow.task("keyed", handler: "quick", concurrencyKey: "disk")
    workflow.task("in", handler: "narrow")
    let run = try engine.start(workflow)
    #expect(door.wait(for: 2))

    let keyed = try #require(run.explain("keyed"))
    #expect(keyed.reason == .concurrencyKey)
    #expect(keyed.summary == "waits in line: 1 task with the concurrency key disk may run at once")
    #expect(keyed.evidence.first?.hasPrefix("taken by \(first.id)/first (shut) for ") == true, "\(keyed.evidence)")

    var third = Definition("third")
    third.task("narrow", handler: "narrow")
    let narrow = try engine.start(third)
    #expect(narrow.explain("narrow")?.reason == .handlerLimit)
    #expect(narrow.explain("narrow")?.evidence.first?.hasPrefix("taken by \(run.id)/in (narrow) for ") == true)

    // The third slot.
    var last = Definition("last")
    last.task("a", handler: "shut")
    last.task("b", handler: "quick", priority: .low)
    let full = try engine.start(last)
    #expect(door.wait(for: 3))
    let waits = try #require(full.explain("b"))
    #expect(waits.reason == .slots || waits.reason == .completed)
    if waits.reason == .slots {
      #expect(waits.summary == "is ready, but all 3 slots are taken" && waits.evidence.count == 3, "\(waits)")
      #expect(waits.remedy.contains("--slots"))
    }
  }

  @Test("a task behind a heavier one, at its rate, or of a run that waits for its turn says so")
  func limits() throws {
    let door = Door()
    let engine = try world(slots: 3, door)
    defer { end(door, engine) }
    var workflow = Definition("w", concurrency: RunConcurrency(key: "one"))
    workflow.task("holds", handler: "shut", concurrencyKey: "disk", concurrencyLimit: 4, concurrencyWeight: 3)
    let rate = RateLimit(key: "api", limit: 1, per: 3_600_000_000_000)
    workflow.task("asked", handler: "shut", rate: rate)
    let run = try engine.start(workflow)
    #expect(door.wait(for: 2))
    var other = Definition("other")
    other.task("heavy", handler: "quick", concurrencyKey: "disk", concurrencyLimit: 4, concurrencyWeight: 2)
    other.task("ask", handler: "quick", rate: rate)
    let second = try engine.start(other)
    let third = try engine.start(workflow)
    let heavy = try #require(second.explain("heavy"))
    #expect(heavy.reason == .concurrencyKey)
    #expect(heavy.summary == "waits in line: its weight is 2, and 3 of 4 of the concurrency key disk are taken")
    while second.explain("ask")?.reason != .rate { millrace_yield() }
    #expect(second.explain("ask")?.summary == "waits for its rate api: 1 start in 1h")
    #expect(third.explain("holds")?.reason == .runKey)
    #expect(third.explain("holds")?.summary == "the run has not begun: it waits for key 'one', held by run \(run.id)")
    second.cancel()
    third.cancel()
    #expect(second.wait() == .cancelled && third.wait() == .cancelled)
  }

  @Test("what failed, what was skipped and what never started say so of a record that was written and read again")
  func ended() throws {
    let door = Door()
    let engine = try world(door)
    defer { end(door, engine) }
    var workflow = Definition("w", onFailure: .continue)
    let bad = workflow.task("bad", handler: "fails", retry: RetryPolicy(attempts: 2, initial: 1))
    let after = workflow.task("after", handler: "quick", dependencies: [bad])
    workflow.task("later", handler: "quick", dependencies: [after])
    workflow.task("never", handler: "quick", when: "${1 == 2}")
    let run = try engine.start(workflow)
    #expect(run.wait() == .failed)
    let record = try RunRecord(JSON(parsing: RunSummary.record(run.record()).utf8()))
    #expect(RunSummary.record(record) == RunSummary.record(run.record()))

    let failed = try #require(record.explain("bad"))
    #expect(failed.reason == .failed && failed.blockedBy == nil)
    let attempts = failed.evidence.count - 1
    #expect(failed.summary == "failed after \(attempts) attempt\(attempts == 1 ? "" : "s"): no-luck: there was none")
    #expect(failed.evidence.last == "2 tasks skipped because of it")
    let skipped = try #require(record.explain("later"))
    #expect(skipped.reason == .dependencyFailed && skipped.blockedBy == "bad")
    #expect(skipped.summary == "skipped, for bad, which it depends on, \(failed.summary)")
    #expect(record.explain("never")?.reason == .condition)
    #expect(record.explain().map(\.task) == ["bad"])
  }

  @Test("fail_fast: what was not started names the failure that stopped the run; a cancelled run names nobody")
  func stopped() throws {
    let door = Door()
    let engine = try world(slots: 1, door)
    defer { end(door, engine) }
    var workflow = Definition("w")
    let bad = workflow.task("bad", handler: "fails")
    workflow.task("other", handler: "shut")
    workflow.task("after", handler: "quick", dependencies: [bad])
    let run = try engine.start(workflow)
    door.open()
    #expect(run.wait() == .failed)
    let record = run.record()
    for task in record.tasks where task.status == .cancelled {
      let why = try #require(record.explain(task.id))
      #expect(why.reason == .runFailed && why.blockedBy == "bad")
      #expect(why.summary.hasPrefix("the run stopped when bad failed after 1 attempt: no-luck") && why.remedy.contains("on_failure"))
    }
    var two = Definition("two")
    let shut = two.task("shut", handler: "shut")
    two.task("after", handler: "quick", dependencies: [shut])
    let later = Door()
    try engine.register("later", blocking: true) { _ in
      later.pass()
      return .empty
    }
    var three = Definition("three")
    let waits = three.task("waits", handler: "later")
    three.task("after", handler: "quick", dependencies: [waits])
    let cancelled = try engine.start(three)
    #expect(later.wait(for: 1))
    cancelled.cancel()
    later.open()
    #expect(cancelled.wait() == .cancelled)
    #expect(cancelled.explain("after")?.reason == .runCancelled)
  }

  @Test("cleanup tasks say that they wait for all others, and for whom")
  func cleanup() throws {
    let door = Door()
    let engine = try world(door)
    defer { end(door, engine) }
    var workflow = Definition("w")
    workflow.task("hangs", handler: "shut")
    workflow.cleanup = [TaskDefinition("tidy", handler: "quick")]
    let run = try engine.start(workflow)
    #expect(door.wait(for: 1))
    let tidy = try #require(run.explain("tidy"))
    #expect(tidy.reason == .cleanup && tidy.blockedBy == "hangs")
    #expect(tidy.summary == "is a cleanup task: it runs when all others have ended, and 1 task has not")
    #expect(run.explain().map(\.task) == ["hangs"])
    door.open()
    #expect(run.wait() == .completed)
    #expect(run.explain("tidy")?.reason == .completed)
  }

  @Test("a record that is none, or is damaged, is refused with the place of what is wrong")
  func refusals() throws {
    let engine = try world(Door())
    var workflow = Definition("w")
    workflow.task("a", handler: "quick")
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    engine.shutdown()
    let text = RunSummary.record(run.record()).text()
    func error(_ old: String, _ new: String) -> String {
      #expect(text.contains(old))
      do {
        _ = try RunRecord(JSON(parsing: text.replacing(old, with: new)))
        return "read"
      } catch { return "\(error)" }
    }
    #expect(error("\"format\":1", "\"format\":2").contains("no record of a run of format 1"))
    #expect(error("\"dependencies\":[]", "\"dependencies\":[1]") == "`tasks[0].dependencies[0]` is no index of a task: there are 1")
    #expect(error("\"status\":\"COMPLETED\"", "\"status\":\"DONE\"").contains("status` is \"DONE\", which is no status"))
    #expect(error("\"lane\":", "\"lain\":") == "`tasks[0].attempts[0].lane` is missing, or no integer")
    #expect(error("\"outputBytes\":0", "\"outputBytes\":-1") == "`tasks[0].outputBytes` is negative")
  }
}
