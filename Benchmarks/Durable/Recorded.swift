import MillraceLog

/// What another process finds in the log of runs: it is opened anew and read.
struct Recorded {
  private(set) var events = 0
  private(set) var runs = 0
  private var completedTasks = 0

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
        case "task-completed": completedTasks += 1
        default: break
        }
      }
      guard !page.isLast, let next = page.next else { return }
      request.start = .at(next)
    }
  }

  /// Throws if it is not what was done.
  func check(_ finished: (runs: Int, calls: Int)) throws {
    let steps = Chains.steps * finished.runs
    guard runs == finished.runs, finished.calls == steps, completedTasks == steps else {
      throw Difference(
        description:
          "of \(finished.runs) completed runs the log has \(runs), and \(completedTasks) completed steps where \(finished.calls) were done")
    }
  }

  struct Difference: Error, CustomStringConvertible { let description: String }
}
