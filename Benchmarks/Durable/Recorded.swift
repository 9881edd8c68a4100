import MillraceLog

/// What another process finds in the log of runs: it is opened anew and read.
struct Recorded {
  private(set) var events = 0
  private(set) var runs = 0
  private var endedTasks = 0

  init(_ storage: any LogStorage) throws {
    let log = try EventLog(storage)
    defer { log.close() }
    var request = ReadRequest(.category("run"), limit: EventLimits.eventsInPage)
    while true {
      let page = try log.page(request)
      for event in page.events {
        events += 1
        switch event.type {
        case "run-ended": runs += 1
        case "task-completed", "task-failed": endedTasks += 1
        default: break
        }
      }
      guard !page.isLast, let next = page.next else { return }
      request.start = .at(next)
    }
  }

  /// Throws if it is not what was done.
  func check(_ work: Work, _ finished: (runs: Int, calls: Int)) throws {
    let calls = work.calls * finished.runs
    guard runs == finished.runs, finished.calls == calls, endedTasks == calls else {
      throw Difference(
        description: "of \(finished.runs) runs the log has \(runs), and \(endedTasks) ended steps where \(finished.calls) were done")
    }
  }

  struct Difference: Error, CustomStringConvertible { let description: String }
}
