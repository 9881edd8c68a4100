import Foundation
import Glibc
import Millrace
import MillraceFaults
import Testing

/// A disk without room under durable runs: from one of them on, calls on the data directory fail that need some.
@Suite("A full disk under the command", .timeLimit(.minutes(4)))
struct CommandDiskTests {
  private static let tasks = (0..<12).map { "t\($0)" }

  /// A chain whose tasks leave a line each in `effects`, and give as many bytes.
  private static func chain(_ command: Command, bytes: Int) -> String {
    var text = "format: 1\nworkflow: chain\ndurability: log\ntasks:\n"
    for (index, name) in tasks.enumerated() {
      let words = "echo \(name) >> \(command.folder)/effects; head -c \(bytes) /dev/zero | tr '\\\\0' x"
      text +=
        "  - { id: \(name), handler: shell/run, dependencies: [\(index > 0 ? tasks[index - 1] : "")], input: { command: \"\(words)\" } }\n"
    }
    return text
  }

  /// A command whose calls fail, read line by line.
  private struct Starved {
    let process: Process
    private let errors = Pipe()
    private(set) var lines: [String] = []

    /// `fault`: as `MILLRACE_FAULT`. Until the file `room` is there.
    init(_ command: Command, _ arguments: [String], _ fault: String) throws {
      (process, _, _) = try command.process(arguments)
      process.environment?.merge([
        "LD_PRELOAD": try FaultTools.injector(), "MILLRACE_FAULT_DIR": command.file("data"), "MILLRACE_FAULT": fault,
        "MILLRACE_FAULT_UNTIL": command.file("room"), "MILLRACE_FAULT_REPORT": command.file("report"),
      ]) { $1 }
      process.standardError = errors
      try process.run()
      try errors.fileHandleForWriting.close()
    }

    /// Reads up to a line with these words; false at the end.
    mutating func see(_ words: String) throws -> Bool {
      var rest = Data()
      while let byte = try errors.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
        if byte[0] != 0x0A {
          rest += byte
          continue
        }
        lines.append(String(decoding: rest, as: UTF8.self))
        rest = Data()
        if lines.last?.contains(words) == true { return true }
      }
      return false
    }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    mutating func end() throws -> Int32 {
      _ = try see("\u{0}")
      process.waitUntilExit()
      return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }
  }

  private static func effects(_ command: Command) throws -> [String] {
    guard FileManager.default.fileExists(atPath: command.file("effects")) else { return [] }
    return try command.read("effects").split(separator: "\n").map(String.init)
  }

  /// Tasks of the only run that are recorded as completed; nil: no run is recorded.
  private static func completed(_ command: Command) throws -> Int? {
    let listed = try command.run("run", "list", "--all", "--data", "data", "-o", "json")
    guard listed.exit == 0 else { return nil }
    return try (JSON(parsing: listed.output)["runs"]?[0]?["tasks"]?["completed"]?.integer).map(Int.init)
  }

  /// There is room again: what was recorded stays so, and the rest is done.
  private static func resume(_ command: Command, _ place: String) throws {
    let before = try #require(try completed(command), "\(place)")
    let resumed = try command.run("run", "resume", "--data", "data")
    #expect(resumed.exit == 0, "\(place): \(resumed.errors)")
    #expect(try completed(command) == tasks.count, "\(place)")
    let effects = try effects(command)
    for (index, task) in tasks.enumerated() {
      let count = effects.count { $0 == task }
      #expect(index < before ? count == 1 : 1...2 ~= count, "\(place): \(before) were recorded, then: \(effects)")
    }
    // What was under way.
    #expect(effects.count <= tasks.count + 1, "\(place): \(effects)")
  }

  /// What comes of a run that begins with a full disk.
  private static func refused(_ command: Command, _ run: Starved, _ exit: Int32, _ place: String) throws {
    #expect(exit == 75 && run.lines.contains { $0.contains("No space left on device") }, "\(place): \(exit) \(run.lines)")
    #expect(try effects(command) == [], "\(place)")
  }

  @Test("where the log cannot grow, a run waits for room and says so; Ctrl-C suspends it", arguments: [false, true])
  func grows(isInterrupted: Bool) throws {
    var (waited, isDone) = (0, false)
    for call in 1...100 where !isDone {
      let place = "allocation \(call)"
      let command = try Command()
      try FileManager.default.createDirectory(atPath: command.file("data"), withIntermediateDirectories: false)
      let file = try command.write("chain.yaml", Self.chain(command, bytes: 900_000))
      var run = try Starved(command, ["run", "start", file, "--data", "data"], "allocate:\(call)+:ENOSPC")
      guard try run.see("durable runs wait until they can be recorded: no space") else {
        let exit = try run.end()
        isDone = exit == 0
        if !isDone { try Self.refused(command, run, exit, place) }
        continue
      }
      waited += 1
      if isInterrupted {
        run.send(SIGINT)
        #expect(try run.end() == 130, "\(place): \(run.lines)")
        #expect(run.lines.contains { $0.contains("goes on with: millrace run resume --data data") }, "\(place): \(run.lines)")
        try Self.resume(command, place)
      } else {
        try command.write("room", "")
        #expect(try run.end() == 0, "\(place): \(run.lines)")
        #expect(try Self.effects(command) == Self.tasks, "\(place)")
      }
    }
    #expect(isDone && waited > 0)
  }

  @Test("where a write fails for lack of room, a run is suspended with exit code 75, and `run resume` goes on with it")
  func fails() throws {
    var (suspended, isDone) = (0, false)
    // The first calls make the log: not each of them.
    for call in Array(stride(from: 1, to: 60, by: 20)) + Array(60...200) where !isDone {
      let place = "write \(call)"
      let command = try Command()
      try FileManager.default.createDirectory(atPath: command.file("data"), withIntermediateDirectories: false)
      let file = try command.write("chain.yaml", Self.chain(command, bytes: 10))
      var run = try Starved(command, ["run", "start", file, "--data", "data"], "write:\(call)+:ENOSPC")
      let exit = try run.end()
      isDone = exit == 0
      if isDone { continue }
      guard let id = run.lines.first(where: { $0.contains(" of chain: ") }) else {
        try Self.refused(command, run, exit, place)
        continue
      }
      suspended += 1
      let words = "could not be recorded"
      #expect(
        exit == 75 && run.lines.contains { $0.contains(words) && $0.contains("No space left on device") }, "\(place): \(exit) \(run.lines)")
      #expect(run.lines.contains { $0.contains("goes on with: millrace run resume --data data") }, "\(place): \(id) \(run.lines)")
      try Self.resume(command, place)
    }
    #expect(isDone && suspended > 5)
  }
}
