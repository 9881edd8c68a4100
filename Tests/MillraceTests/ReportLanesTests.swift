import MillraceWorkflow
import Testing

@testable import Millrace

@Suite struct ReportLanesTests {
  private func record(_ attempts: [(handler: String, start: UInt64, end: UInt64, lane: Int)], threads: Int = 1) -> RunRecord {
    RunRecord(
      run: "r", workflow: "w", status: .completed, slots: 8, threads: threads, order: "fifo", startedWall: 0, elapsed: 100,
      tasks: attempts.enumerated().map { index, attempt in
        TaskRecord(
          id: "t\(index)", handler: attempt.handler, priority: .normal, status: .completed, dependencies: [], ready: 0,
          attempts: [AttemptRecord(number: 1, status: .completed, start: attempt.start, end: attempt.end, lane: attempt.lane)])
      })
  }

  @Test("an attempt that goes on while its thread begins another one is asynchronous, and so is its handler")
  func inferred() {
    let lanes = Lanes(record([("p/wait", 0, 50, 0), ("p/burn", 10, 20, 0), ("p/wait", 30, 40, 0)]), limit: 10)
    #expect(lanes.rows == [.init(kind: .worker, number: 1), .init(kind: .asynchronous, number: 1), .init(kind: .asynchronous, number: 2)])
    #expect(lanes.places.map(\.row) == [1, 0, 2])
  }

  @Test("of attempts with one start, the handler that is asynchronous elsewhere is the asynchronous one")
  func ties() {
    let lanes = Lanes(record([("p/burn", 0, 10, 0), ("p/wait", 0, 50, 0), ("p/burn", 10, 20, 0)]), limit: 10)
    #expect(lanes.places.map(\.row) == [0, 1, 0])
  }

  @Test("threads past the workers are blocking ones, and lanes below 0 hold no thread")
  func kinds() {
    let lanes = Lanes(record([("p/a", 0, 10, 2), ("p/b", 0, 10, -1), ("p/c", 0, 10, 0)], threads: 2), limit: 10)
    #expect(lanes.rows.map(\.kind) == [.worker, .worker, .blocking, .asynchronous])
    #expect(lanes.places.map(\.row) == [2, 3, 0])
  }

  @Test("the thread that awaited the run is one more worker, and counts as one")
  func caller() {
    let caller = AttemptRecord.callerLane
    let lanes = Lanes(record([("p/a", 0, 10, 2), ("p/b", 0, 10, caller), ("p/c", 0, 10, 0)], threads: 2), limit: 10)
    #expect(lanes.rows.map(\.kind) == [.worker, .worker, .worker, .blocking] && lanes.rows.map(\.number) == [1, 2, 3, 1])
    #expect(lanes.places.map(\.row) == [3, 2, 0])
    let alone = Lanes(record([("p/a", 0, 10, caller), ("p/a", 10, 20, caller)], threads: 2), limit: 10)
    #expect(alone.machines == 3)
  }

  @Test("asynchronous attempts are packed into as few rows as run at once")
  func packed() {
    let lanes = Lanes(
      record([("p/w", 0, 10, -1), ("p/w", 0, 5, -1), ("p/w", 5, 9, -1), ("p/w", 10, 12, -1), ("p/w", 11, 12, -1)]), limit: 10)
    #expect(lanes.rows.count == 2)
    #expect(lanes.places.map(\.row) == [0, 1, 1, 0, 1])
  }

  @Test("above the limit, what did not complete stays, then the longest")
  func limited() {
    var record = record([("p/w", 0, 10, 0), ("p/w", 10, 90, 0), ("p/w", 90, 91, 0)])
    record.tasks[2].attempts[0].status = .failed
    let lanes = Lanes(record, limit: 2)
    #expect(lanes.omitted == 1)
    #expect(lanes.places.map(\.task) == [1, 2])
  }

  @Test("no two attempts of a row overlap, and every attempt has a row", arguments: 1...15 as ClosedRange<UInt64>)
  func property(seed: UInt64) {
    let record = ReportRecords(tasks: 150, failures: 100, seed: seed).record()
    let lanes = Lanes(record, limit: .max)
    #expect(lanes.places.count == record.attemptCount)
    for row in lanes.rows.indices {
      let places = lanes.places.filter { $0.row == row }
      for (before, after) in zip(places, places.dropFirst()) { #expect(before.end <= after.start) }
    }
    #expect(lanes.rows.count { $0.kind == .worker } == 4)
  }
}
