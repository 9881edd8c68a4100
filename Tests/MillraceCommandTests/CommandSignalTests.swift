import Foundation
import Millrace
import Testing

@Suite("Signals to millrace run", .timeLimit(.minutes(5)))
struct CommandSignalTests {
  /// A run that goes on until it is told to stop, with its standard error to be read line by line.
  struct Going {
    let process: Process
    let output: String
    private let errors = Pipe()
    private(set) var lines: [String] = []

    init(_ command: Command, _ definition: String, _ arguments: [String]) throws {
      let file = try command.write("going.yaml", definition)
      try self.init(command, arguments: ["run", file] + arguments)
    }

    init(_ command: Command, arguments: [String]) throws {
      (process, output, _) = try command.process(arguments)
      process.standardError = errors
      try process.run()
    }

    /// Reads up to a line that contains the words; false at the end of the output.
    mutating func see(_ words: String) throws -> Bool {
      var rest = Data()
      while let byte = try errors.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
        if byte[0] != 0x0A {
          rest += byte
          continue
        }
        let line = String(decoding: rest, as: UTF8.self)
        rest = Data()
        lines.append(line)
        if line.contains(words) { return true }
      }
      return false
    }

    mutating func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    mutating func end() throws -> Int32 {
      _ = try see("\u{0}")
      process.waitUntilExit()
      return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }
  }

  @Test("SIGINT cancels the run, says what was done and ends with 130")
  func interrupt() throws {
    let command = try Command()
    var run = try Going(command, Sample.endless, ["--set", "replay.mode=wait", "--report", "out", "-o", "json"])
    // The first progress line: the first task has ended.
    #expect(try run.see("1 of 3 tasks"), "\(run.lines)")
    run.send(SIGINT)
    #expect(try run.end() == 130)
    #expect(run.lines.contains { $0.contains("1 of 3 tasks completed, 2 cancelled") }, "\(run.lines)")
    let object = try JSON(parsing: String(contentsOfFile: run.output, encoding: .utf8))
    #expect(object["status"] == "CANCELLED")
    #expect(object["tasks"] == ["completed": 1, "failed": 0, "skipped": 0, "cancelled": 2])
    #expect(try JSON(parsing: command.read("out/run.json"))["status"] == "CANCELLED")
  }

  @Test("SIGTERM and SIGHUP do the same and end with 2", arguments: [SIGTERM, SIGHUP])
  func terminate(signal: Int32) throws {
    let command = try Command()
    var run = try Going(command, Sample.endless, ["--set", "replay.mode=wait"])
    #expect(try run.see("1 of 3 tasks"), "\(run.lines)")
    run.send(signal)
    #expect(try run.end() == 2)
    #expect(run.lines.contains { $0.contains("1 of 3 tasks completed, 2 cancelled") }, "\(run.lines)")
  }

  @Test("a second SIGINT ends it at once")
  func twice() throws {
    let command = try Command()
    // The program takes no notice of the first one, and is gone by itself soon after.
    let stubborn = """
      format: 1
      workflow: stubborn
      tasks:
        - { id: quick, handler: shell/run, input: { command: "true" } }
        - { id: stubborn, handler: shell/run, dependencies: [quick], input: { command: "trap '' TERM; sleep 3" } }
      """
    var run = try Going(command, stubborn, [])
    #expect(try run.see("1 of 2 tasks"), "\(run.lines)")
    run.send(SIGINT)
    #expect(try run.see("once more ends at once"), "\(run.lines)")
    run.send(SIGINT)
    #expect(try run.end() == 130)
  }
}
