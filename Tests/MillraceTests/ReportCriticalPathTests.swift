import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportCriticalPathTests {
  let second: UInt64 = 1_000_000_000

  @Test("the chain goes through the dependency that finished last, with its retries and waits")
  func small() {
    let path = CriticalPath(ReportRecords.small)
    #expect(path.steps.map(\.task) == [1, 2])
    #expect(path.steps[0] == .init(task: 1, start: second / 2, end: 5 * second, running: 5 * second / 2, waiting: 5 * second / 2))
    #expect(path.steps[1] == .init(task: 2, start: 5 * second, end: 9 * second, running: 4 * second, waiting: 0))
    #expect(path.length == 13 * second / 2)
    #expect(path.waiting == 5 * second / 2)
    #expect(path.makespan == 10 * second)
    #expect(path.share == 0.65)
  }

  @Test("a skipped dependency stands for what finished last before it")
  func skipped() {
    var record = ReportRecords.small
    record.tasks.append(
      TaskRecord(id: "s", handler: "demo/work", priority: .normal, status: .skipped, dependencies: [2], ready: nil, attempts: []))
    record.tasks.append(
      TaskRecord(
        id: "e", handler: "demo/work", priority: .normal, status: .running, dependencies: [3], ready: 9 * second,
        attempts: [AttemptRecord(number: 1, status: .running, start: 9 * second, end: nil, lane: 0)]))
    let path = CriticalPath(record)
    #expect(path.steps.map(\.task) == [1, 2, 4])
    #expect(path.steps[2].running == second, "what still runs counts up to now")
  }

  @Test("a run in which nothing started has no critical path")
  func empty() {
    var record = ReportRecords.small
    for task in record.tasks.indices { record.tasks[task].attempts = [] }
    #expect(CriticalPath(record).steps.isEmpty)
    #expect(CriticalPath(record).length == 0)
    record.elapsed = 0
    #expect(CriticalPath(record).share == 0)
  }

  @Test("stamps that contradict each other count no moment twice")
  func overlap() {
    var record = ReportRecords.small
    record.tasks[2].attempts[0].start = 4 * second
    let path = CriticalPath(record)
    #expect(path.length + path.waiting == 9 * second)
    #expect(path.steps[1].running == 4 * second)
  }

  @Test("a chain of 100,000 skipped tasks needs no recursion")
  func deep() {
    var record = ReportRecords.small
    for index in 3..<100_003 {
      record.tasks.append(
        TaskRecord(id: "s\(index)", handler: "h/x", priority: .low, status: .skipped, dependencies: [index - 1], ready: nil, attempts: []))
    }
    record.tasks.reverse()
    let count = record.tasks.count
    for index in record.tasks.indices { record.tasks[index].dependencies = record.tasks[index].dependencies.map { count - 1 - $0 } }
    #expect(CriticalPath(record).steps.count == 2)
    #expect(Releasers(record).of[0] == count - 3)
  }

  @Test("its length is at most the makespan, and with its waits it is the end of the last task", arguments: 1...25 as ClosedRange<UInt64>)
  func property(seed: UInt64) {
    let record = ReportRecords(tasks: 40 + Int(seed) * 5, failures: 80, seed: seed).record()
    let path = CriticalPath(record)
    #expect(path.length > 0)
    #expect(path.length <= path.makespan)
    #expect(path.length + path.waiting == path.steps.last?.end)
    for (before, after) in zip(path.steps, path.steps.dropFirst()) {
      #expect(record.tasks[after.task].dependencies.contains(before.task))
      #expect(record.tasks[after.task].dependencies.allSatisfy { (record.tasks[$0].attempts.last?.end ?? 0) <= before.end })
    }
  }
}
