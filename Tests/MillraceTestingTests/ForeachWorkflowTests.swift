import Millrace
import MillraceTesting
import Testing

/// `foreach` over workflows, on a virtual clock.
@Suite struct ForeachWorkflowTests {
  /// Says the name that it was given, after a second; its cleanup takes two.
  private func child(cleanup: Bool = false) -> Definition {
    var child = Definition("child", parameters: [.init("name", fallback: "nobody"), .init("number", fallback: 0)], result: "say")
    child.task("say", handler: "say", input: ["name": "${params.name}", "number": "${params.number}"])
    if cleanup { child.cleanup("tidy", handler: "tidy") }
    return child
  }

  private struct Said: Codable, Equatable {
    var name: String
    var number: Int
  }

  private func engine() throws -> TestEngine {
    let engine = try TestEngine(slots: 8)
    try engine.mock("say", taking: .seconds(1)) { (input: Said, _) in input }
    try engine.mock("tidy", taking: .seconds(2)) { _ in .empty }
    return engine
  }

  private static let parameters: JSON = ["name": "${item}", "number": "${index}"]

  @Test("each item is a run of its own, a few at once, and the output is the list of their results")
  func output() throws {
    let engine = try engine()
    try engine.deploy(child())
    var parent = Definition("parent", parameters: [.init("names", fallback: ["Ada", "Bob", "Cy", "Di", "Ed"])], result: "last")
    let each = parent.workflow(
      "each", named: "child", parameters: Self.parameters, when: "${item != \"Cy\"}", foreach: .list("${params.names}"), parallelism: 2)
    parent.task("last", handler: "say", dependencies: [each], input: "${tasks.each.output[4]}")
    let run = try engine.run(parent)
    #expect(run.status == .completed)
    let wanted = [
      Said(name: "Ada", number: 0), Said(name: "Bob", number: 1), nil, Said(name: "Di", number: 3), Said(name: "Ed", number: 4),
    ]
    #expect(try run.output(of: "each", as: [Said?].self) == wanted)
    #expect(try run.output(of: "each[3]", as: Said.self) == wanted[3])
    #expect(try run.output(of: "last", as: Said.self) == wanted[4])
    #expect(run.attempts(of: "each").map(\.end) == [2_000_000_000])
    #expect(run.task("each")?.handler == "foreach workflow")
    let record = run.record()
    let items = record.tasks.filter(\.isItem)
    #expect(items.map(\.id) == (0..<5).map { "each[\($0)]" })
    #expect(items.map(\.handler) == [String](repeating: "workflow", count: 5))
    #expect(items.map(\.status) == [.completed, .completed, .skipped, .completed, .completed])
    #expect(items.map { $0.children.map(\.status) } == [[.completed], [.completed], [], [.completed], [.completed]])
    #expect(Set(items.flatMap(\.children).map(\.run) + [record.run]).count == 5)
    #expect(record.tasks[0].items?.statuses == [.completed: 4, .skipped: 1])
    let read = try RunRecord(RunSummary.record(record))
    #expect(read.tasks.map { $0.children.map(\.run) } == record.tasks.map { $0.children.map(\.run) })
  }

  @Test("an item whose run fails is tried again by another run; one that fails for good fails the task, with what its child said")
  func fails() throws {
    let engine = try engine()
    try engine.mock("say") { (input: Said, _) -> Said in
      if input.number == 2 { throw TaskFailure("broken", "no voice") }
      return input
    }
    var parent = Definition("parent", onFailure: .continue)
    parent.workflow(
      "each", of: child(), parameters: ["name": "x", "number": "${index}"], foreach: .range(from: 0, to: 3),
      retry: RetryPolicy(attempts: 2))
    let run = try engine.run(parent)
    #expect(run.status == .failed)
    let attempts = run.attempts(of: "each[2]")
    let children = try #require(run.task("each[2]")?.children)
    #expect(attempts.map(\.errorType) == ["child-failed", "child-failed"])
    #expect(Set(children.map(\.run)).count == 2)
    #expect(attempts.map(\.message) == children.map { "run \($0.run) of child: task say: broken: no voice" })
    #expect([0, 1, 3].map { run.task("each[\($0)]")?.status } == [.completed, .completed, .completed])
    let error = try #require(run.attempts(of: "each").first)
    #expect(error.errorType == "items-failed")
    #expect(error.message == "1 of 4 items failed; the first was each[2]: child-failed: \(attempts[1].message)")
  }

  @Test("with fail_fast the first item that fails cancels the runs of the others, whose cleanup still runs")
  func failsFast() throws {
    let engine = try engine()
    try engine.mock("say", taking: .seconds(1)) { (input: Said, _) -> Said in
      if input.number == 1 { throw TaskFailure("broken", "no voice") }
      return input
    }
    var parent = Definition("parent")
    var hangs = Definition("hangs", parameters: [.init("number", fallback: 0)])
    hangs.task("say", handler: "say", input: ["name": "x", "number": "${params.number}"])
    hangs.wait("never", for: .signal("never"))
    hangs.cleanup("tidy", handler: "tidy")
    parent.workflow("each", of: hangs, parameters: ["number": "${index}"], foreach: .range(from: 0, to: 5), parallelism: 3)
    let run = try engine.run(parent)
    #expect(run.status == .failed)
    #expect((0..<6).map { run.task("each[\($0)]")?.status } == [.cancelled, .failed, .cancelled, .cancelled, .cancelled, .cancelled])
    let children = (0..<6).map { run.task("each[\($0)]")?.children ?? [] }
    #expect(children.map { $0.map(\.status) } == [[.cancelled], [.failed], [.cancelled], [], [], []])
    #expect(children.joined().allSatisfy { $0.tasks.last?.status == .completed })
  }

  @Test("cancelling the parent cancels the runs of its items; no further one begins")
  func cancels() throws {
    let engine = try engine()
    try engine.mock("say", [.hanging])
    var parent = Definition("parent")
    parent.workflow("each", of: child(cleanup: true), foreach: .range(from: 1, to: 10), parallelism: 4)
    let run = try engine.start(parent)
    engine.after(.seconds(5)) {
      #expect(run.progress().running == 5)
      run.cancel()
    }
    #expect(try run.finish() == .cancelled)
    #expect(run.elapsed == .seconds(7))
    #expect(run.task("each")?.items?.statuses == [.cancelled: 10])
    let children = (0..<10).flatMap { run.task("each[\($0)]")?.children ?? [] }
    #expect(children.map { $0.tasks.map(\.status) } == [[TaskStatus]](repeating: [.cancelled, .completed], count: 4))
  }

  @Test("timeouts hold for each item, from its turn on; a place goes on with the next item afterwards")
  func timesOut() throws {
    let engine = try engine()
    try engine.mock("say") { (input: Said, _) in input }
    var slow = Definition("slow", parameters: [.init("pause", fallback: "1s")])
    slow.wait("pause", for: .duration("${params.pause}"))
    var parent = Definition("parent", onFailure: .continue)
    parent.workflow(
      "each", of: slow, parameters: ["pause": "${item}"], foreach: .list(["3s", "9s", "3s", "9s", "3s"]), parallelism: 1,
      retry: RetryPolicy(attempts: 2, initial: 1_000_000_000, factor: 1, cap: 1_000_000_000),
      timeouts: Timeouts(startToClose: 4_000_000_000))
    let run = try engine.run(parent)
    #expect((0..<5).map { run.task("each[\($0)]")?.status } == [.completed, .timedOut, .completed, .timedOut, .completed])
    #expect(run.attempts(of: "each[1]").map(\.errorType) == ["start-to-close", "start-to-close"])
    #expect(run.task("each[3]")?.children.map(\.status) == [.cancelled, .cancelled])

    var all = Definition("all", onFailure: .continue)
    all.workflow(
      "each", of: slow, parameters: ["pause": "${item}"], foreach: .list(["3s", "9s", "3s"]), parallelism: 1,
      timeouts: Timeouts(scheduleToClose: 4_000_000_000))
    let bounded = try engine.run(all)
    #expect((0..<3).map { bounded.task("each[\($0)]")?.status } == [.completed, .timedOut, .completed])
    #expect(bounded.elapsed == .seconds(10))
  }

  @Test("what the runs of items wait for is asked, signalled and answered by the item's name")
  func waits() throws {
    let engine = try engine()
    var child = Definition("child", parameters: [.init("who", fallback: "")], result: "ok")
    let go = child.wait("go", for: .signal("release"))
    child.wait("ok", for: .approval("Does ${params.who} go on?"), dependencies: [go])
    var parent = Definition("parent")
    parent.workflow("each", of: child, parameters: ["who": "${item}"], foreach: .list(["Ada", "Bob", "Cy"]))
    let run = try engine.start(parent)
    engine.after(.seconds(1)) {
      #expect(run.waits.map(\.task) == ["each[0]/go", "each[1]/go", "each[2]/go"])
      #expect(throws: SignalError.noChild(task: "each")) { try run.signal("each/release") }
      #expect(throws: SignalError.noChild(task: "each[3]")) { try run.signal("each[3]/release") }
      #expect(throws: SignalError.noChild(task: "each[-1]")) { try run.signal("each[-1]/release") }
      #expect(throws: SignalError.noChild(task: "each[1]x")) { try run.signal("each[1]x/release") }
      #expect(throws: Never.self) { try run.signal("each[1]/release") }
    }
    engine.after(.seconds(2)) {
      #expect(run.waits.map(\.task) == ["each[0]/go", "each[1]/ok", "each[2]/go"])
      #expect(run.waits.map(\.wait).contains(.approval("Does Bob go on?")))
      #expect(throws: Never.self) { try run.approve(task: "each[1]/ok", by: "Di") }
      #expect(throws: Never.self) { try run.signal("each[2]/release") }
    }
    engine.after(.seconds(3)) {
      #expect(run.waits.map(\.task) == ["each[0]/go", "each[2]/ok"])
      #expect(throws: SignalError.noChild(task: "each[1]")) { try run.signal("each[1]/release") }
      #expect(throws: Never.self) { try run.signal("each[0]/release") }
      #expect(throws: Never.self) { try run.reject(task: "each[2]/ok", by: "Di", comment: "no") }
    }
    #expect(try run.finish() == .failed)
    #expect((0..<3).map { run.task("each[\($0)]")?.status } == [.cancelled, .completed, .failed])
  }

  @Test("more items than have records of their own: those that failed keep their runs, the sums are of all")
  func many() throws {
    let engine = try engine()
    try engine.mock("say") { (input: Said, _) -> Said in
      if input.number % 1000 == 7 { throw TaskFailure("broken", "no voice") }
      return input
    }
    var parent = Definition("parent", onFailure: .continue)
    parent.workflow("each", of: child(), parameters: ["name": "x", "number": "${item}"], foreach: .range(from: 0, to: 2999))
    let run = try engine.run(parent)
    let items = try #require(run.task("each")?.items)
    #expect(items.statuses == [.completed: 2997, .failed: 3])
    #expect(items.unlistedTime == 0)
    #expect([7, 1007, 2007].map { run.task("each[\($0)]")?.children.map(\.status) } == [[.failed], [.failed], [.failed]])
    #expect(run.attempts(of: "each").map(\.errorType) == ["items-failed"])
  }

  @Test("workflows of items have items that are workflows")
  func nested() throws {
    let engine = try engine()
    var row = Definition("row", parameters: [.init("row", fallback: 0)], result: "cells")
    row.workflow(
      "cells", of: child(), parameters: ["name": "${params.row}-${item}", "number": "${item}"], foreach: .range(from: 0, to: 2))
    var table = Definition("table", result: "rows")
    table.workflow("rows", of: row, parameters: ["row": "${item}"], foreach: .range(from: 0, to: 2))
    let run = try engine.run(table)
    #expect(run.status == .completed)
    let wanted = (0...2).map { row in (0...2).map { Said(name: "\(row)-\($0)", number: $0) } }
    #expect(try run.output(of: "rows", as: [[Said]].self) == wanted)
  }

  @Test("as a cleanup task, and of no item at all")
  func cleanup() throws {
    let engine = try engine()
    var parent = Definition("parent")
    let none = parent.workflow("none", of: child(), foreach: .list([]))
    parent.task("after", handler: "say", dependencies: [none], input: ["name": "x", "number": "${size tasks.none.output}"])
    parent.workflow("last", of: child(), parameters: Self.parameters, foreach: .list(["Ada", "Bob"]))
    parent.cleanup = [parent.tasks.removeLast()]
    let run = try engine.run(parent)
    #expect(run.status == .completed)
    #expect(try run.output(of: "after", as: Said.self) == Said(name: "x", number: 0))
    #expect(try run.output(of: "last", as: [Said].self).map(\.name) == ["Ada", "Bob"])
    #expect(run.task("last[1]")?.children.map(\.status) == [.completed])
  }
}
