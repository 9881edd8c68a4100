import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportBoundTests {
  @Test("the bound of a diamond is its work by slots plus its longest chain")
  func diamond() {
    let graham = Bound.graham(durations: [1, 2, 4, 3], dependencies: [[], [0], [0], [1, 2]], slots: 2)
    #expect(graham.work == 10)
    #expect(graham.criticalPath == 8)
    #expect(graham.bound == 9)
  }

  @Test("with one slot the bound is the work, whatever the graph")
  func oneSlot() {
    #expect(Bound.graham(durations: [1, 2, 3], dependencies: [[1], [2], []], slots: 1).bound == 6)
    #expect(Bound.graham(durations: [], dependencies: [], slots: 7).bound == 0)
  }

  @Test("a chain of 300,000 tasks, listed last to first, needs no recursion")
  func longChain() {
    let count = 300_000
    let dependencies = (0..<count).map { $0 == count - 1 ? [] : [$0 + 1] }
    let graham = Bound.graham(durations: Array(repeating: 0.5, count: count), dependencies: dependencies, slots: 64)
    #expect(graham.criticalPath == 150_000)
    #expect(graham.work == 150_000)
  }

  @Test("what waits holds no slot, and is no work")
  func waits() {
    var record = ReportRecords(tasks: 20, threads: 2, slots: 2, blocking: 0, failures: 0, asynchronous: false, seed: 1).record()
    let before = Bound.graham(of: record)
    let attempt = AttemptRecord(number: 1, status: .completed, start: 0, end: 1 << 50, lane: -1)
    var task = TaskRecord(
      id: "waits", handler: "wait", priority: .normal, status: .completed, dependencies: [], ready: 0, attempts: [attempt])
    task.wait = .duration("30d")
    record.tasks.append(task)
    #expect(Bound.graham(of: record).work == before.work)
    task.wait = nil
    record.tasks[20] = task
    #expect(Bound.graham(of: record).work > before.work)
  }

  @Test("a dependency named twice changes nothing")
  func repeatedDependency() {
    let once = Bound.graham(durations: [1, 2], dependencies: [[], [0]], slots: 3)
    let twice = Bound.graham(durations: [1, 2], dependencies: [[], [0, 0]], slots: 3)
    #expect(once == twice)
  }

  @Test("a greedy schedule without retries stays within the bound of its record", arguments: 1...12 as ClosedRange<UInt64>)
  func holds(seed: UInt64) {
    let record = ReportRecords(tasks: 120, threads: 3, slots: 3, blocking: 1, failures: 0, asynchronous: false, seed: seed).record()
    let bound = Bound.graham(of: record)
    #expect(Double(record.makespan) / 1e9 <= bound.bound + 1e-9)
    #expect(bound.criticalPath <= bound.bound && bound.criticalPath <= bound.work)
  }

  @Test("a run of asynchronous handlers is bounded by its slots, one that holds threads by its threads")
  func machines() {
    var record = ReportRecords.small
    record.slots = 10
    #expect(Lanes(record, limit: 0).machines == 2)
    #expect(Lanes(record, limit: 0).capacity == 2)
    for task in record.tasks.indices {
      for attempt in record.tasks[task].attempts.indices { record.tasks[task].attempts[attempt].lane = -1 }
    }
    #expect(Lanes(record, limit: 0).machines == 10)
    #expect(Lanes(record, limit: 0).capacity == 10)
  }
}
