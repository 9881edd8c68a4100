// Not called: it is what Swift's memory comes from here, as in the command.
import CJemalloc
import Glibc
import MillraceLog

/// `DurableBenchmark WORK DIRECTORY SECONDS`: durable workflows of ten empty steps (`durable-N`), or sagas of five steps with one compensation (`saga-N`), N at a time, recorded in
/// a new log below the directory, and one line of JSON about it.
@main struct DurableBenchmark {
  static func main() async {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let (work, count) = work(arguments[1]), let seconds = Double(arguments[3]), seconds > 0 else {
      fail("usage: DurableBenchmark durable-N|saga-N DIRECTORY SECONDS   N from 1 to 4096", 64)
    }
    do {
      print(try await run(work, count, in: arguments[2], seconds: seconds))
    } catch {
      fail("\(error)", 1)
    }
  }

  private static func work(_ name: String) -> (Work, Int)? {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let work = Work(rawValue: String(parts[0])), let count = Int(parts[1]), 1...4096 ~= count else { return nil }
    return (work, count)
  }

  /// Not on the main actor, whose thread each run would leave and come back to.
  private static func run(_ work: Work, _ count: Int, in directory: String, seconds: Double) async throws -> String {
    let path = "\(directory)/log-\(getpid())"
    let storage = try DirectoryStorage(path)
    guard !storage.isMemory else { throw StorageError("open", path, code: 0, "the directory lives in memory: measure on a disk") }
    defer { remove(path) }
    let runs = try Runs(work, try EventLog(storage))
    let measured = try await runs.measure(count, seconds: seconds)
    runs.close()
    let found = try Recorded(DirectoryStorage(path, create: false))
    try found.check(work, runs.finished)
    return "{\"program\":\"millrace\",\"work\":\"\(work.rawValue)-\(count)\",\"way\":\"\(storage.way.rawValue)\"\(measured.members(found))}"
  }

  private static func remove(_ path: String) {
    guard let storage = try? DirectoryStorage(path, create: false, way: .sync), let names = try? storage.names() else { return }
    for name in names { try? storage.remove(name) }
    unsafe _ = rmdir(path)
  }

  static func fail(_ text: String, _ code: Int32) -> Never {
    let line = "DurableBenchmark: \(text)\n"
    _ = unsafe write(2, line, line.utf8.count)
    exit(code)
  }
}
