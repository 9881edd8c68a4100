import CMillrace
import MillraceLog

/// Reads a log back, every event checked.
struct Replay {
  private let log: EventLog
  private let count: Int

  init(_ log: EventLog, _ count: Int) {
    self.log = log
    self.count = count
  }

  func run(seconds: Double) throws -> String { "" }
}

/// Appends at fixed times, whatever the log does.
struct OpenLoop {
  init(_ log: EventLog, rate: Double) {}
  func run(seconds: Double) -> String { "" }
}
