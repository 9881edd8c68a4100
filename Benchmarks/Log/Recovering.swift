import CMillrace
import Foundation
import MillraceLog

/// How long it takes to open a log whose writer was killed.
struct Recovering {
  private let path: String
  private let size: Int

  init(_ directory: String, _ size: Int) {
    path = "\(directory)/log-\(millrace_process_id())"
    self.size = size
  }

  func run() throws -> String {
    defer { Work.remove(path) }
    let writer = Process()
    writer.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    writer.arguments = ["fill-\(size)", path, "1"]
    let output = Pipe()
    writer.standardOutput = output
    try writer.run()
    let said = output.fileHandleForReading.availableData
    guard String(decoding: said, as: UTF8.self).hasPrefix("filled") else { LogBenchmark.fail("the log was not filled", 1) }
    kill(writer.processIdentifier, SIGKILL)
    writer.waitUntilExit()
    let storage = try DirectoryStorage(path, create: false)
    let begin = millrace_monotonic()
    let log = try EventLog(storage)
    let elapsed = Double(millrace_monotonic() - begin) / 1e9
    defer { log.close() }
    guard !log.recovery.wasClean else { LogBenchmark.fail("the writer has stopped cleanly", 1) }
    return "{\"program\":\"millrace\",\"work\":\"recover\",\"mib\":\(size),\"events\":\(log.recovery.nextPosition),\"seconds\":\(elapsed)}"
  }
}
