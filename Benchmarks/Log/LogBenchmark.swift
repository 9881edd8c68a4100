import CMillrace
import Glibc
import MillraceCore
import MillraceLog

/// `LogBenchmark WORK DIRECTORY SECONDS`: one work in a new log below the directory, and one line of JSON about it.
@main struct LogBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let work = Work(arguments[1]), let seconds = Double(arguments[3]), seconds > 0 else {
      fail("usage: LogBenchmark append-N | append-N-thread | append-open-RATE | replay-EVENTS  DIRECTORY SECONDS", 64)
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
    default: return nil
    }
  }

  func run(in directory: String, seconds: Double) throws -> String {
    let path = "\(directory)/log-\(millrace_process_id())"
    let storage = try DirectoryStorage(path)
    guard !storage.isMemory else { throw StorageError("open", path, code: 0, "the directory lives in memory: measure on a disk") }
    defer { remove(path) }
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
    }
  }

  private var name: String {
    switch self {
    case .append(let count, let byThread): "append-\(count)" + (byThread ? "-thread" : "")
    case .open: "append-open"
    case .replay: "replay"
    }
  }

  private func remove(_ path: String) {
    guard let storage = try? DirectoryStorage(path, create: false, way: .sync), let names = try? storage.names() else { return }
    for name in names { try? storage.remove(name) }
    unsafe _ = rmdir(path)
  }
}
