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
        "usage: LogBenchmark append-N | append-N-thread | append-N-growing | append-open-RATE | replay-EVENTS | snapshot-TAIL | recover-MIB  DIRECTORY SECONDS",
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
  /// So many appends under way, each answered by the next: from the completion, or by a thread of its own. A log that keeps 256 MiB and recycles its files, or a
  /// new one that grows.
  case append(Int, byThread: Bool, isGrowing: Bool)
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
      self = .append(count, byThread: parts.last == "thread", isGrowing: parts.last == "growing")
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
    var configuration = EventLog.Configuration()
    if isLasting { configuration.retention.bytes = Lasting.bytes }
    let log = try EventLog(storage, configuration)
    defer { log.close() }
    let before = isLasting ? try Lasting.prepare(log) : 0
    let head = "{\"program\":\"millrace\",\"work\":\"\(name)\",\"way\":\"\(storage.way.rawValue)\""
    switch self {
    case .append(let count, let byThread, _):
      return head + ClosedLoop(log, count).run(seconds: seconds, byThread: byThread, before: before) + "}"
    case .open(let rate):
      return head + OpenLoop(log, rate: rate).run(seconds: seconds, before: before) + "}"
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

  /// It is measured as after hours of work.
  private var isLasting: Bool {
    switch self {
    case .append(_, _, let isGrowing): !isGrowing
    case .open: true
    default: false
    }
  }

  private var name: String {
    switch self {
    case .append(let count, let byThread, let isGrowing): "append-\(count)" + (byThread ? "-thread" : "") + (isGrowing ? "-growing" : "")
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

/// A log that has been at work for a while, as the peers are when they are measured: it keeps so many bytes, and its old files become its new ones.
enum Lasting {
  static let bytes = 256 << 20
  /// Of an append that fills it.
  private static let payload = 64 << 10

  /// Fills it until its files are its last size and the first of them have come round. Gives the commits that this took.
  static func prepare(_ log: EventLog) throws -> Int {
    let stream = try StreamName("before-1")
    let done = Counter()
    let content = [UInt8](repeating: 7, count: payload)
    let count = 2 * bytes / payload
    for number in 0..<count {
      done.reset()
      let event = EventDraft(id: EventID(high: 9, low: UInt64(number)), type: "before", payload: content)
      log.append([StreamAppend(stream: stream, events: [event])]) { result in
        guard case .success = result else { LogBenchmark.fail("\(result)", 1) }
        done.add(1)
      }
      done.wait(for: 1)
    }
    return count
  }
}
