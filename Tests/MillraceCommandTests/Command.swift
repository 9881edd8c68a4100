import Foundation
import Millrace
import Testing

/// The built command as a process, and a directory of its own for one test. Removed with it.
final class Command {
  /// Beside the test program, as its plugins.
  static let program = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "millrace")
  static let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  /// Recorded workflows; they are no part of the package.
  static let traces = packageRoot.deletingLastPathComponent().appending(path: "shared/data/wfinstances").path
  static let hasTraces = FileManager.default.fileExists(atPath: traces)
  static let noTraces: Comment = "no recorded workflows at ../shared/data/wfinstances"

  struct Ending {
    var exit: Int32
    var output: String
    var errors: String

    /// Standard output as the one JSON object that it must be.
    func object() throws -> JSON {
      let value = try JSON(parsing: output)
      #expect(value.object != nil)
      return value
    }
  }

  let folder: String

  init() throws {
    let url = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().appending(path: "millrace-" + UUID().uuidString)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    folder = url.path
  }

  deinit {
    do {
      try FileManager.default.removeItem(atPath: folder)
    } catch {
      Issue.record(error)
    }
  }

  func file(_ name: String) -> String { folder + "/" + name }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String {
    try Data(text.utf8).write(to: URL(filePath: file(name)))
    return file(name)
  }

  func read(_ name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }

  /// Not yet started. Standard output and error go to files, so that neither can fill a pipe that nobody reads.
  func process(_ arguments: [String], output: String? = nil) throws -> (process: Process, output: String, errors: String) {
    let names = (output ?? file(UUID().uuidString), file(UUID().uuidString))
    for name in [names.0, names.1] where !FileManager.default.fileExists(atPath: name) { try Data().write(to: URL(filePath: name)) }
    let process = Process()
    process.executableURL = Self.program
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: folder)
    process.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(filePath: names.0))
    process.standardError = try FileHandle(forWritingTo: URL(filePath: names.1))
    return (process, names.0, names.1)
  }

  func run(_ arguments: String..., output: String? = nil) throws -> Ending {
    let (process, outputFile, errorFile) = try process(arguments, output: output)
    try process.run()
    process.waitUntilExit()
    return Ending(
      exit: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: output == nil ? try String(contentsOfFile: outputFile, encoding: .utf8) : "",
      errors: try String(contentsOfFile: errorFile, encoding: .utf8))
  }
}

/// Definitions that the tests share.
enum Sample {
  /// Two programs, one after the other; the result is what the second one found out.
  static let works = """
    format: 1
    workflow: words
    parameters:
      word: { description: what is said, default: hello }
    result: say
    tasks:
      - { id: first, handler: shell/run, input: { command: "true" } }
      - { id: say, handler: shell/run, dependencies: [first], input: { program: echo, arguments: ["${params.word}"] } }
    """

  static let fails = """
    format: 1
    workflow: failing
    tasks:
      - { id: bad, handler: shell/run, input: { command: "echo no such luck >&2; exit 3" } }
      - { id: after, handler: shell/run, dependencies: [bad], input: { command: "true" } }
    """

  static let timesOut = """
    format: 1
    workflow: late
    tasks:
      - { id: long, handler: shell/run, input: { command: "sleep 1000" }, timeouts: { startToClose: 20ms } }
    """

  /// The first task ends at once, the second not before it is asked to. With `--set replay.mode=wait`.
  static let endless = """
    format: 1
    workflow: endless
    tasks:
      - { id: quick, handler: replay/task, input: { seconds: 0 } }
      - { id: endless, handler: replay/task, dependencies: [quick], input: { seconds: 30000000 } }
      - { id: after, handler: replay/task, dependencies: [endless], input: { seconds: 0 } }
    """
}
