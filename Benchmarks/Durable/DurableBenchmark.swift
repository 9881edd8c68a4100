// Not called: it is what Swift's memory comes from here, as in the command.
import CJemalloc
import Glibc
import MillraceLog

/// `DurableBenchmark durable-N DIRECTORY SECONDS`: durable workflows of ten empty steps, N at a time, recorded in a new log below the directory, and one line of JSON about it.
@main struct DurableBenchmark {
  static func main() async {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let count = concurrency(arguments[1]), let seconds = Double(arguments[3]), seconds > 0 else {
      fail("usage: DurableBenchmark durable-N DIRECTORY SECONDS   N from 1 to 4096", 64)
    }
    do {
      print(try await run(count, in: arguments[2], seconds: seconds))
    } catch {
      fail("\(error)", 1)
    }
  }

  private static func concurrency(_ work: String) -> Int? {
    guard work.hasPrefix("durable-"), let count = Int(work.dropFirst("durable-".count)), 1...4096 ~= count else { return nil }
    return count
  }

  /// Not on the main actor, whose thread each run would leave and come back to.
  private static func run(_ count: Int, in directory: String, seconds: Double) async throws -> String {
    let path = "\(directory)/log-\(getpid())"
    let storage = try DirectoryStorage(path)
    guard !storage.isMemory else { throw StorageError("open", path, code: 0, "the directory lives in memory: measure on a disk") }
    defer { remove(path) }
    let chains = try Chains(try EventLog(storage))
    let measured = try await chains.measure(count, seconds: seconds)
    chains.close()
    let found = try Recorded(DirectoryStorage(path, create: false))
    try found.check(chains.finished)
    return "{\"program\":\"millrace\",\"work\":\"durable-\(count)\",\"way\":\"\(storage.way.rawValue)\"\(measured.members(found))}"
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
