import CMillrace
import Glibc
import MillraceCore
import MillraceLog

/// `LogBenchmark WORK DIRECTORY SECONDS`: one work in a new log below the directory, and one line of JSON about it.
@main struct LogBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let work = Work(arguments[1]), let seconds = Double(arguments[3]), seconds > 0 else {
      fail(
        "usage: LogBenchmark append-N | append-N-thread | append-open-RATE | replay-EVENTS | snapshot-TAIL | recover-MIB  DIRECTORY SECONDS",
        64)
    }
    do {
      print(try work.run(in: arguments[2], seconds: seconds))
    } catch {
      fail("\(error)", 1)
    }
  }

  static func fail(_ text: String, _ code: Int32) -> Never {
    let line = "LogBenchmark: \(text)\n"
    _ = unsafe write(2, line, line.utf8.count)
    exit(code)
  }
}

/// What is measured.
enum Work {
  /// So many appends under way, each answered by the next: from the completion, or by a thread of its own.
  case append(Int, byThread: Bool)
  /// So many a second at fixed times, from 8 threads.
  case open(Double)
  /// Reads so many events back.
  case replay(Int)
  /// Rebuilds a stream of 10,000 events from a snapshot and so many events behind it, and from all of them.
  case snapshot(Int)
  /// Opens a log of so many MiB whose writer was killed.
  case recover(Int)
  /// Fills a log with so many MiB, says so, and waits to be killed.
  case fill(Int)

  init?(_ name: String) {
    let parts = name.split(separator: "-")
    guard parts.count >= 2 else { return nil }
    switch parts[0] {
    case "append" where parts[1] == "open" && parts.count == 3:
      guard let rate = Double(parts[2]) else { return nil }
      self = .open(rate)
    case "append":
      guard let count = Int(parts[1]), 1...4096 ~= count else { return nil }
      self = .append(count, byThread: parts.count == 3 && parts[2] == "thread")
    case "replay":
      guard let count = Int(parts[1]), count > 0 else { return nil }
      self = .replay(count)
    case "snapshot":
      guard let tail = Int(parts[1]), 1...9_999 ~= tail else { return nil }
      self = .snapshot(tail)
    case "recover", "fill":
      guard let size = Int(parts[1]), 1...16_384 ~= size else { return nil }
      self = parts[0] == "fill" ? .fill(size) : .recover(size)
    default: return nil
    }
  }

  func run(in directory: String, seconds: Double) throws -> String {
    if case .recover(let size) = self { return try Recovering(directory, size).run() }
    let isFilling = if case .fill = self { true } else { false }
    let path = isFilling ? directory : "\(directory)/log-\(millrace_process_id())"
    let storage = try DirectoryStorage(path)
    guard !storage.isMemory else { throw StorageError("open", path, code: 0, "the directory lives in memory: measure on a disk") }
    defer { if !isFilling { Self.remove(path) } }
    let log = try EventLog(storage)
    defer { log.close() }
    let head = "{\"program\":\"millrace\",\"work\":\"\(name)\",\"way\":\"\(storage.way.rawValue)\""
    switch self {
    case .append(let count, let byThread):
      return head + ClosedLoop(log, count).run(seconds: seconds, byThread: byThread) + "}"
    case .open(let rate):
      return head + OpenLoop(log, rate: rate).run(seconds: seconds) + "}"
    case .replay(let count):
      return try head + Replay(log, count).run(seconds: seconds) + "}"
    case .snapshot(let tail):
      return try head + Rebuilding(log, tail: tail).run(seconds: seconds) + "}"
    case .fill(let size):
      try Filling(log).fill(size << 20 / Filling.bytesOfEvent)
      let line = "filled\n"
      _ = unsafe write(1, line, line.utf8.count)
      while true { pause() }
    case .recover: preconditionFailure("handled above")
    }
  }

  private var name: String {
    switch self {
    case .append(let count, let byThread): "append-\(count)" + (byThread ? "-thread" : "")
    case .open: "append-open"
    case .replay: "replay"
    case .snapshot(let tail): "snapshot-\(tail)"
    case .recover: "recover"
    case .fill: "fill"
    }
  }

  static func remove(_ path: String) {
    guard let storage = try? DirectoryStorage(path, create: false, way: .sync), let names = try? storage.names() else { return }
    for name in names { try? storage.remove(name) }
    unsafe _ = rmdir(path)
  }
}
