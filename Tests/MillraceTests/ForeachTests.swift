import CMillrace
import Foundation
import MillraceCore
import Testing

@testable import Millrace
@testable import MillraceWorkflow

/// Tasks with items on real threads.
@Suite struct ForeachTests {
  /// Accounts of the progress and of the record: every task and item is in one of the four.
  private func isAccounted(_ run: WorkflowHandle) -> Bool {
    let record = run.record()
    let counts = [
      record.count(.completed), record.count(.failed) + record.count(.timedOut), record.count(.skipped), record.count(.cancelled),
    ]
    return run.accounts == counts && counts.reduce(0, +) == record.taskCount && run.progress().tasks == record.taskCount
      && run.progress().running == 0
  }

  @Test("every item is done once, on all threads, and the outputs stand in the order of the list", arguments: [nil, 1, 7])
  func order(parallelism: Int?) throws {
    let engine = try engine(slots: 4, threads: 2)
    let inside = Gauge()
    try engine.register("square") { (item: Int, context: TaskContext) -> Int in
      inside.enter()
      defer { inside.leave() }
      #expect(context.taskID == "each[\(item)]" && context.key == "\(context.runID)/each[\(item)]")
      return item * item
    }
    try engine.register("sum") { (_: JSON, context: TaskContext) in try (context.output(at: 0) as [Int]).reduce(0, +) }
    var workflow = Definition("w", result: "sum")
    let each = workflow.task("each", handler: "square", input: "${item}", foreach: .range(from: 0, to: 2999), parallelism: parallelism)
    workflow.task("sum", handler: "sum", dependencies: [each])
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    #expect(inside.entries == 3000 && inside.most <= min(parallelism ?? 4, 2))
    #expect(try run.output(of: "each", as: [Int].self) == (0..<3000).map { $0 * $0 })
    #expect(try run.output(of: "each[1234]", as: Int.self) == 1234 * 1234)
    var sum: Int64 = 0
    for i: Int64 in 0..<3000 { sum += i * i }
    #expect(run.result == .integer(sum))
    #expect(run.output(of: "each[3000]") == nil)
    #expect(isAccounted(run))
    engine.shutdown()
  }

  @Test("handlers that block and asynchronous ones work on items, with one slot too", arguments: [1, 3])
  func kinds(slots: Int) async throws {
    let engine = try engine(slots: slots, threads: 1)
    try engine.register("blocks", blocking: true) { (item: Int, _: TaskContext) -> Int in item + 1 }
    try engine.register("waits") { (item: Int, _: TaskContext) async -> Int in
      await Task.yield()
      return item + 1
    }
    var workflow = Definition("w")
    let first = workflow.task("first", handler: "blocks", input: "${item}", foreach: .range(from: 0, to: 199))
    workflow.task("second", handler: "waits", dependencies: [first], input: "${item}", foreach: .list("${tasks.first.output}"))
    let result = try await engine.run(workflow)
    #expect(try result.output(of: "second", as: [Int].self) == (2..<202).map { $0 })
    engine.shutdown()
  }

  @Test("progress moves while the items run, and whoever watches is told")
  func progress() throws {
    let engine = try engine(slots: 2, threads: 2)
    let door = Door()
    try engine.register("some") { (item: Int, _: TaskContext) -> Void in if item >= 50 { door.pass() } }
    var workflow = Definition("w")
    workflow.task("each", handler: "some", input: "${item}", foreach: .range(from: 0, to: 99))
    let run = try engine.start(workflow)
    #expect(door.wait(for: 2))
    let now = run.progress()
    #expect(now.tasks == 101 && now.completed == 50 && now.running == 3 && now.attempts == 53)
    #expect(Set(run.runningTasks) == ["each", "each[50]", "each[51]"])
    let record = run.record()
    #expect(record.tasks[0].items?.statuses == [.completed: 50, .running: 2, .pending: 48])
    let last = record.tasks.first { $0.id == "each[51]" }?.attempts.last
    #expect(last?.status == .running && last?.end == nil)
    let told = Door()
    let before = Gauge()
    run.run.watch {
      // With 50 items open: an item is what changed.
      if run.progress().completed < 101 { before.enter() }
      told.open()
    }
    door.open()
    #expect(told.pass() && before.entries == 1)
    #expect(run.wait() == .completed && run.progress().completed == 101)
    engine.shutdown()
  }

  @Test("items that fail, retry, time out and are skipped beside one another are all accounted for", arguments: [false, true])
  func mixture(failFast: Bool) throws {
    let engine = try engine(slots: 3, threads: 2)
    try engine.register("mixed") { (item: Int, context: TaskContext) throws -> Int in
      switch item % 7 {
      case 1 where context.attempt == 1: throw TaskFailure("flaky", "again")
      case 2 where failFast == false: throw TaskFailure("bad", "no", isRetryable: false)
      case 2 where item > 1500: throw TaskFailure("bad", "no", isRetryable: false)
      default: return item
      }
    }
    var workflow = Definition("w", onFailure: failFast ? .failFast : .continue)
    let each = workflow.task(
      "each", handler: "mixed", input: "${item}", when: "${item != 700}", foreach: .range(from: 0, to: 1999),
      retry: RetryPolicy(attempts: 3, initial: 1_000), timeouts: Timeouts(startToClose: 60_000_000_000, scheduleToClose: 120_000_000_000))
    workflow.task("after", handler: "mixed", dependencies: [each], input: 0)
    let run = try engine.start(workflow)
    #expect(run.wait() == .failed)
    let bad = (0..<2000).count { $0 % 7 == 2 }
    if !failFast { #expect(run.accounts == [2000 - bad - 1, bad + 1, 2, 0]) }
    #expect(run.accounts.reduce(0, +) == 2002)
    #expect(isAccounted(run))
    let message = run.record().tasks[0].attempts.last?.message ?? ""
    #expect(message.contains(failFast ? " of 2000 items failed; the first was each[" : "\(bad) of 2000 items failed; the first was each["))
    engine.shutdown()
  }

  @Test("a run that is cancelled, or an engine that is shut down, at any time leaves nothing open", arguments: 0..<24)
  func stop(at turn: Int) throws {
    let engine = try engine(slots: 3, threads: 2)
    let begun = Gauge()
    let run = Left()
    // A handler that holds its engine, or a run of it, would keep it for ever.
    defer { run.value = nil }
    try engine.register("some") { [weak engine] (item: Int, context: TaskContext) throws -> Int in
      begun.enter()
      if begun.entries == turn * 40 { if turn % 2 == 0 { run.value?.cancel() } else { engine?.shutdown() } }
      if context.attempt == 1, item % 5 == 0 { throw TaskFailure("flaky", "again") }
      return item
    }
    var workflow = Definition("w")
    workflow.task(
      "each", handler: "some", input: "${item}", foreach: .range(from: 0, to: 9_999), retry: RetryPolicy(attempts: 2, initial: 10_000))
    run.value = try engine.start(workflow)
    if turn == 0 { run.value?.cancel() }
    let handle = try #require(run.value)
    #expect([.cancelled, .completed].contains(handle.wait()))
    #expect(isAccounted(handle))
    engine.shutdown()
  }

  @Test("items of one key share its limit with other tasks")
  func concurrency() throws {
    let engine = try engine(slots: 6, threads: 3)
    let inside = Gauge()
    try engine.register("some") { (_: JSON, _: TaskContext) -> Void in
      inside.enter()
      inside.leave()
    }
    var workflow = Definition("w")
    workflow.task("each", handler: "some", foreach: .range(from: 0, to: 499), concurrencyKey: "k", concurrencyLimit: 1)
    workflow.task("more", handler: "some", foreach: .range(from: 0, to: 499), concurrencyKey: "k", concurrencyLimit: 1)
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    #expect(inside.most == 1 && inside.entries == 1000)
    engine.shutdown()
  }

  @Test("items that are workflows end once each, whatever times out, is tried again or stopped at that moment", arguments: [false, true])
  func workflows(isCancelled: Bool) throws {
    let engine = try engine(slots: 4, threads: 2)
    try engine.register("some") { (item: Int, _: TaskContext) throws -> Void in if item % 7 == 3 { throw TaskFailure("bad", "no") } }
    var child = Definition("child", parameters: [.init("item", fallback: 0)])
    let pause = child.wait("pause", for: .lasting(.microseconds(300)))
    child.task("some", handler: "some", dependencies: [pause], input: "${params.item}")
    var workflow = Definition("w", onFailure: .continue)
    workflow.workflow(
      "each", of: child, parameters: ["item": "${item}"], foreach: .range(from: 0, to: 999), parallelism: 32,
      retry: RetryPolicy(attempts: 2, initial: 1000, factor: 1, cap: 1000), timeouts: Timeouts(startToClose: 500_000))
    let run = try engine.start(workflow)
    if isCancelled {
      while run.progress().completed + run.progress().failed < 100 { _ = run.wait(nanoseconds: 100_000) }
      run.cancel()
    }
    #expect([.failed, .cancelled, .completed].contains(run.wait()))
    #expect(isAccounted(run) && run.waits.isEmpty)
    let items = run.record().tasks.filter(\.isItem)
    #expect(items.count == 1000)
    for item in items {
      let last = item.children.last?.status
      let isRight: Bool
      switch item.status {
      case .completed: isRight = last == .completed
      case .failed: isRight = last == .failed && item.attempts.count == 2
      case .timedOut: isRight = last != nil && last != .running && item.attempts.last?.errorType == "start-to-close"
      case .cancelled: isRight = isCancelled && last != .running
      case .pending, .running, .skipped: isRight = false
      }
      #expect(isRight, "\(item.id) is \(item.status), its runs \(item.children.map(\.status)), \(item.attempts.map(\.errorType))")
      #expect(item.children.count <= max(1, item.attempts.count), "\(item.id)")
    }
    #expect(engine.host.activeRuns.isEmpty)
    engine.shutdown()
  }

  @Test("what comes late for an item that is over does nothing to the one that has its place")
  func lateForItem() throws {
    let engine = try engine()
    var child = Definition("child", result: "go")
    child.wait("go", for: .signal("go"))
    var workflow = Definition("w")
    workflow.workflow(
      "each", of: child, foreach: .range(from: 0, to: 1), parallelism: 1, timeouts: Timeouts(scheduleToClose: 3_600_000_000_000))
    let run = try engine.start(workflow)
    while run.waits.isEmpty { _ = run.wait(nanoseconds: 100_000) }
    let items = try #require(run.run.itemRuns.first)
    let first = HeldTask(run: items, node: 0, item: 0, attempt: 1)
    try run.signal("each[0]/go", 0)
    while run.waits.map(\.task) != ["each[1]/go"] { _ = run.wait(nanoseconds: 100_000) }
    #expect(!first.conclude(.failed(type: "late", message: "", isRetryable: false)))
    items.stopHeld(0, item: 0, .timeout("late"))
    #expect(run.waits.map(\.task) == ["each[1]/go"])
    try run.signal("each[1]/go", 1)
    #expect(run.wait() == .completed)
    #expect(try run.output(of: "each", as: [Int].self) == [0, 1])
    engine.shutdown()
  }

  @Test("more items than have records of their own: the run is summed up, and the report says so")
  func summedUp() throws {
    let engine = try engine()
    try engine.register("some") { (item: Int, _: TaskContext) throws -> Void in if item % 500 == 9 { throw TaskFailure("bad", "no") } }
    var workflow = Definition("w", onFailure: .continue)
    workflow.task("each", handler: "some", input: "${item}", foreach: .range(from: 0, to: 4999))
    let run = try engine.start(workflow)
    #expect(run.wait() == .failed)
    let record = run.record()
    let items = try #require(record.tasks[0].items)
    #expect(items.count == 5000 && items.statuses == [.completed: 4990, .failed: 10])
    #expect(record.tasks.count == 1 + items.listed.count && (10...110).contains(items.listed.count))
    #expect(items.listed.map { record.tasks[$0].status }.count { $0 == .failed } == 10)
    #expect(record.taskCount == 5001 && record.count(.completed) == 4990 && record.count(.failed) == 11)
    let text = RunSummary.text(record)
    #expect(text.contains("5,001: 4,990 completed, 11 failed"))
    #expect(text.contains("5,000 of 1 task, of which \(items.listed.count) are listed: the first that failed, and the slowest"))
    #expect(text.contains("items-failed: 10 of 5000 items failed; the first was each["))
    let json = RunSummary.record(record)
    #expect(json["tasks"]?[0]?["items"]?["statuses"] == ["COMPLETED": 4990, "FAILED": 10])
    #expect(json["tasks"]?[1]?["items"] == nil)
    let read = try RunRecord(json)
    #expect(read.tasks[0].items == items && read.taskCount == 5001 && RunSummary.text(read) == text)
    #expect(Timeline.html(record, result: nil).utf8.count < 300_000)
    engine.shutdown()
  }

  @Test("paths of files, by a pattern of the shell, sorted by their bytes")
  func files() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-foreach-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    for name in ["b.csv", "a.csv", "c.txt", ".hidden.csv", "in/d.csv", "in/deep/e.csv", "z/f.csv", "é.csv"] {
      let file = folder.appending(path: name)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(name.utf8).write(to: file)
    }
    try FileManager.default.createSymbolicLink(at: folder.appending(path: "link.csv"), withDestinationURL: folder.appending(path: "a.csv"))
    let engine = try engine()
    try engine.register("echo") { (path: String, _: TaskContext) -> String in String(path.dropFirst(folder.path.count + 1)) }
    for (pattern, expected) in [
      ("*.csv", ["a.csv", "b.csv", "é.csv"]), ("?.*", ["a.csv", "b.csv", "c.txt"]), ("[ab].csv", ["a.csv", "b.csv"]),
      ("*/*.csv", ["in/d.csv", "z/f.csv"]), ("**/*.csv", ["a.csv", "b.csv", "in/d.csv", "in/deep/e.csv", "z/f.csv", "é.csv"]),
      ("in/**", ["in/d.csv", "in/deep/e.csv"]), ("**/**/e.csv", ["in/deep/e.csv"]), ("a.csv", ["a.csv"]), ("link.csv", ["link.csv"]),
      (".*.csv", [".hidden.csv"]), ("none", []), ("*.none", []), ("${params.kind}", ["c.txt"]),
    ] {
      var workflow = Definition("w", parameters: [.init("kind", fallback: "*.txt"), .init("folder", fallback: .string(folder.path))])
      workflow.task("each", handler: "echo", input: "${item}", foreach: .files(pattern, directory: "${params.folder}"))
      let run = try engine.start(workflow)
      #expect(run.wait() == .completed, "\(pattern)")
      #expect(try run.output(of: "each", as: [String].self) == expected, "\(pattern)")
    }
    for (pattern, directory, type) in [
      ("*", folder.path + "/no", "not-found"), ("*", folder.path + "/a.csv", "not-a-directory"), ("/*", folder.path, "bad-input"),
    ] {
      var workflow = Definition("w")
      workflow.task("each", handler: "echo", foreach: .files(pattern, directory: directory))
      let run = try engine.start(workflow)
      #expect(run.wait() == .failed)
      #expect(run.record().tasks[0].attempts.last?.errorType == type)
    }
    engine.shutdown()
  }

  @Test("a dependent reads items one by one, however long the list of all would be")
  func oneByOne() throws {
    let engine = try engine()
    try engine.register("big") { (item: Int, _: TaskContext) -> Payload in Payload(Array(repeating: UInt8(item), count: 6 << 20)) }
    try engine.register("read") { (_: JSON, context: TaskContext) throws -> [Int] in
      let count = try #require(context.itemCount(of: "each"))
      #expect(context.itemCount(of: "none") == nil)
      #expect(context.payload(of: "each", item: count) == nil && context.payload(of: "each", item: -1) == nil)
      #expect(context.payload(of: "each", item: 2) == Payload.json(.null))
      return [0, 1, 3].map { context.payload(of: "each", item: $0)?.bytes.reduce(0) { $0 + Int($1) } ?? -1 } + [count]
    }
    var workflow = Definition("w")
    let each = workflow.task("each", handler: "big", input: "${item}", when: "${index != 2}", foreach: .range(from: 1, to: 4))
    workflow.task("read", handler: "read", dependencies: [each])
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    #expect(try run.output(of: "read", as: [Int].self) == [6 << 20, 2 * (6 << 20), 4 * (6 << 20), 4])
    engine.shutdown()
  }

  @Test("an output that cannot be had says why")
  func outputErrors() throws {
    let engine = try engine()
    try engine.register("bytes") { (_: JSON, _: TaskContext) -> Payload in Payload([1]) }
    var workflow = Definition("w")
    workflow.task("each", handler: "bytes", foreach: .list([1]))
    let run = try engine.start(workflow)
    #expect(run.wait() == .completed)
    let error = #expect(throws: OutputError.self) { try run.output(of: "each", as: [Int].self) }
    #expect(error?.reason.contains("the output of task 'each[0]' is neither JSON nor text") == true)
    #expect(run.output(of: "each[0]") == [1])
    engine.shutdown()
  }

  /// `MILLRACE_FULL=1 swift test -c release --filter ForeachTests` runs the million, alone in its process.
  @Test("a million items take at most 64 bytes each beside their outputs (50,000 unless MILLRACE_FULL is set)")
  func million() throws {
    let count = isAlone ? 1_000_000 : 50_000
    let engine = try engine()
    try engine.register("nothing") { call in call.isCancelled ? .text("") : .empty }
    var workflow = Definition("million")
    let numbers = (0..<count).map { JSON.integer(Int64($0)) }
    workflow.parameters = [.init("list", fallback: .array(numbers))]
    workflow.task("warm", handler: "nothing", input: ["n": "${item}", "i": "${index}"], foreach: .range(from: 0, to: 9_999))
    #expect(try engine.start(workflow).wait() == .completed)
    for (foreach, own) in [(Foreach.range(from: 1, to: .integer(Int64(count))), 40), (.list("${params.list}"), 44)] {
      workflow.tasks = []
      workflow.task("each", handler: "nothing", input: ["n": "${item}", "i": "${index}"], foreach: foreach)
      let prepared = try engine.prepare(workflow)
      let before = residentBytes()
      let begin = millrace_monotonic()
      let run = try engine.start(prepared)
      #expect(run.wait() == .completed)
      let end = millrace_monotonic()
      #expect(run.accounts == [count + 1, 0, 0, 0])
      let entry = try #require(run.run.allItems.first)
      #expect(entry.items.bytesPerItem == own && entry.items.count == count && entry.items.places == 2 + Items.places)
      if isAlone {
        let grown = residentBytes() - before
        print(
          "1,000,000 items: \((end - begin) / 1_000_000) ms, \(grown / 1000) kB more in memory, \(Double(grown) / Double(count)) bytes an item"
        )
        #expect(grown < 64 * count + 2 << 20)
      }
    }
    engine.shutdown()
  }

  /// A run that a handler may look for before it has been handed back.
  private final class Left: @unchecked Sendable {
    private let monitor = Monitor()
    private var run: WorkflowHandle?

    deinit { monitor.deallocate() }

    var value: WorkflowHandle? {
      get { monitor.locked { run } }
      set { monitor.locked { run = newValue } }
    }
  }
}
