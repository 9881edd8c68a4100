import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportSummaryTests {
  private let second: UInt64 = 1_000_000_000

  @Test("a completed run is told in counts, times and its slowest tasks")
  func completed() {
    #expect(
      RunSummary.text(ReportRecords.small) == """
        small COMPLETED (run run-1)
        Tasks         3: 3 completed
        Attempts      4
        Makespan      10.0 s
        Bound         7.50 s (Graham, 2 at once, measured durations, without the waits before retries)
        Efficiency    43 % (0.85 of 2 busy on average)
        Critical path 6.50 s in 2 tasks, 65 % of the makespan; 2.50 s waiting

        Longest on the critical path
          4.00 s  c  demo/work
          2.50 s  b  demo/fetch, 2 attempts

        Slowest tasks
          4.00 s  c  demo/work
          2.50 s  b  demo/fetch, 2 attempts
          2.00 s  a  demo/work

        """)
  }

  /// `b` fails for good, `c` is skipped because of it, `d` runs out of time, `e` is cancelled.
  private var failed: RunRecord {
    var record = ReportRecords.small
    record.status = .failed
    record.recordedMakespanSeconds = 100
    record.tasks[1].status = .failed
    record.tasks[1].attempts[1].status = .failed
    record.tasks[1].attempts[1].errorType = "not-found"
    record.tasks[1].attempts[1].message = "no such page\u{1B}[2J"
    record.tasks[2].status = .skipped
    record.tasks[2].cause = "b"
    record.tasks[2].attempts = []
    let late = AttemptRecord(
      number: 1, status: .timedOut, start: 0, end: second, lane: -1, errorType: "start-to-close", message: "took longer than 1 s")
    record.tasks.append(
      TaskRecord(id: "d", handler: "demo/wait", priority: .low, status: .timedOut, dependencies: [], ready: 0, attempts: [late]))
    record.tasks.append(
      TaskRecord(id: "e", handler: "demo/wait", priority: .low, status: .cancelled, dependencies: [], ready: 0, attempts: []))
    return record
  }

  @Test("each failure is told with its attempts, what it caused and what to do")
  func failures() throws {
    let text = RunSummary.text(failed)
    let start = try #require(text.firstRange(of: "Failures\n"))
    #expect(
      text[start.upperBound...] == """
          b (demo/fetch) failed, 1 task skipped because of it
            attempt 1 failed after 500 ms: not-found: no such page
            attempt 2 failed after 2.00 s: not-found: no such page\\u{1B}[2J
            what to do: check the name or path in the task's `input`, and that what it names exists on this machine
          d (demo/wait) timed out
            attempt 1 timed out after 1.00 s: start-to-close: took longer than 1 s
            what to do: raise `startToClose`, or give the handler less to do per task

        """)
    #expect(text.contains("Tasks         5: 1 completed, 1 failed, 1 timed out, 1 skipped, 1 cancelled\n"))
    #expect(text.contains("Makespan      10.0 s (recorded: 1 min 40 s)\n"))
  }

  @Test("an unknown kind of error gets no advice")
  func noAdvice() {
    #expect(Advice.text(errorType: "strange", status: .failed) == nil)
    #expect(Advice.text(errorType: "strange", status: .timedOut) != nil)
  }

  @Test("the object of -o json counts what timed out as failed, and says null for what is not known")
  func object() {
    #expect(
      RunSummary.json(failed, bound: nil)
        == .object([
          .init("run", .string("run-1")), .init("workflow", .string("small")), .init("status", .string("FAILED")),
          .init(
            "tasks",
            .object([
              .init("completed", .integer(1)), .init("failed", .integer(2)), .init("skipped", .integer(1)), .init("cancelled", .integer(1)),
            ])),
          .init("attempts", .integer(4)), .init("makespanSeconds", .number(10)), .init("boundSeconds", .null),
          .init("recordedMakespanSeconds", .number(100)), .init("slots", .integer(2)), .init("threads", .integer(2)),
        ]))
    guard case .object(let members) = RunSummary.json(ReportRecords.small, bound: 7.5) else {
      Issue.record("not an object")
      return
    }
    #expect(members.first { $0.name == "boundSeconds" }?.value == .number(7.5))
    #expect(members.first { $0.name == "recordedMakespanSeconds" }?.value == .null)
  }

  @Test("run.json has every field of every attempt")
  func record() {
    guard case .object(let members) = RunSummary.record(failed), case .array(let tasks) = members.last?.value else {
      Issue.record("no tasks")
      return
    }
    #expect(tasks.count == 5)
    #expect(
      tasks[2]
        == .object([
          .init("id", .string("c")), .init("handler", .string("demo/work")), .init("priority", .string("normal")),
          .init("status", .string("SKIPPED")),
          .init("dependencies", .array([.integer(0), .integer(1)])), .init("readyNanoseconds", .integer(5_000_000_000)),
          .init("cause", .string("b")),
          .init("outputBytes", .integer(0)), .init("attempts", .array([])),
        ]))
    guard case .object(let late) = tasks[3] else {
      Issue.record("not an object")
      return
    }
    #expect(
      late.last?.value
        == .array([
          .object([
            .init("number", .integer(1)), .init("status", .string("TIMED_OUT")), .init("startNanoseconds", .integer(0)),
            .init("endNanoseconds", .integer(1_000_000_000)), .init("lane", .integer(-1)), .init("errorType", .string("start-to-close")),
            .init("message", .string("took longer than 1 s")),
          ])
        ]))
  }

  @Test("a run of nothing is told without a fault")
  func empty() {
    var record = ReportRecords.small
    record.tasks = []
    record.elapsed = 0
    #expect(RunSummary.text(record).contains("Tasks         0: none\n"))
    #expect(!Timeline.html(record, result: nil).isEmpty)
  }
}
