internal import Foundation

/// A program whose calls to the files of one directory fail or are recorded, from outside.
public struct FaultedProgram: Sendable {
  public var program: String
  public var arguments: [String]
  public var environment: [String: String] = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
  /// The directory that is watched. It must exist.
  public var directory: String
  /// As `MILLRACE_FAULT` in `Tests/Faults/injector.c`: `write:3:EIO`. Nil: no injector.
  public var fault: String?
  /// An `N+` fault ends when this file exists.
  public var faultUntil: String?
  public var records = false
  /// What the program writes to this descriptor are its marks.
  public var marks: Int32 = 1

  public init(_ program: String, _ arguments: [String], directory: String) {
    self.program = program
    self.arguments = arguments
    self.directory = directory
  }

  public struct Ending: Sendable {
    /// The exit code, or the negative number of the signal.
    public let exit: Int32
    public let output: String
    public let errors: String
    public let report: FaultReport
    public let trace: RecordedTrace?

    public var lines: [String] { output.split(separator: "\n").map(String.init) }
  }

  /// Runs it to its end.
  public func run() throws -> Ending { try start().wait() }

  public func start() throws -> Running { try Running(self) }

  /// A started program. Standard error and what the tools write go to files, removed with this value.
  public final class Running {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let folder: String
    private let records: Bool
    private var said: [UInt8] = []
    private var read = 0

    init(_ program: FaultedProgram) throws {
      folder = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().appending(path: "millrace-fault-\(UUID().uuidString)").path
      records = program.records
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
      var tools: [String] = []
      var environment = program.environment
      environment["MILLRACE_FAULT_DIR"] = program.directory
      if program.records {
        tools.append(try FaultTools.recorder())
        environment["MILLRACE_RECORD"] = folder + "/trace"
        environment["MILLRACE_RECORD_MARKS"] = "\(program.marks)"
      }
      if let fault = program.fault {
        tools.append(try FaultTools.injector())
        environment["MILLRACE_FAULT"] = fault
        environment["MILLRACE_FAULT_UNTIL"] = program.faultUntil
        environment["MILLRACE_FAULT_REPORT"] = folder + "/report"
      }
      // The recorder sees what the injector makes of a call.
      environment["LD_PRELOAD"] = tools.joined(separator: ":")
      process.executableURL = URL(filePath: program.program)
      process.arguments = program.arguments
      process.environment = environment
      process.standardInput = input
      process.standardOutput = output
      try Data().write(to: URL(filePath: folder + "/errors"))
      process.standardError = try FileHandle(forWritingTo: URL(filePath: folder + "/errors"))
      try process.run()
      // The child has its own.
      try output.fileHandleForWriting.close()
      try input.fileHandleForReading.close()
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }  // A temporary directory that stays does no harm.

    public var processIdentifier: Int32 { process.processIdentifier }

    /// The next line of standard output, without its end. Nil when there is none any more.
    public func line() throws -> String? {
      while true {
        if let end = said[read...].firstIndex(of: UInt8(ascii: "\n")) {
          defer { read = end + 1 }
          return String(decoding: said[read..<end], as: UTF8.self)
        }
        let more = output.fileHandleForReading.availableData
        if more.isEmpty { return nil }
        said += more
      }
    }

    /// A line of standard input.
    public func say(_ line: String) throws { try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8)) }

    public func kill() { Glibc.kill(process.processIdentifier, SIGKILL) }

    public func wait() throws -> Ending {
      while try line() != nil {}
      process.waitUntilExit()
      func bytes(_ name: String) throws -> [UInt8] {
        let file = folder + "/" + name
        return FileManager.default.fileExists(atPath: file) ? try Array(Data(contentsOf: URL(filePath: file))) : []
      }
      return Ending(
        exit: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
        output: String(decoding: said, as: UTF8.self), errors: String(decoding: try bytes("errors"), as: UTF8.self),
        report: FaultReport(String(decoding: try bytes("report"), as: UTF8.self)),
        trace: records ? try RecordedTrace(try bytes("trace")) : nil)
    }
  }

  /// Fails the first call, then the second, until a run meets no fault.
  /// - Parameters:
  ///   - what: Classes or functions, as in `write+allocate`.
  ///   - fault: As in `EIO` or `exit`.
  ///   - limit: The highest number tried.
  ///   - run: Makes a fresh directory, runs a program with this text as its `fault`, and checks what it left.
  /// - Returns: how many runs met their fault, and whether the last one met none.
  public static func sweep(
    _ what: String, _ fault: String, limit: Int, run: (String) throws -> FaultReport
  ) rethrows -> (met: Int, isComplete: Bool) {
    for number in 1...limit {
      if try run("\(what):\(number):\(fault)").injected.isEmpty { return (number - 1, true) }
    }
    return (limit, false)
  }
}
