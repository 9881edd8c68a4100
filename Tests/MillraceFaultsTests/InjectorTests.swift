import Foundation
import MillraceFaults
import Testing

@Suite struct InjectorTests {
  @Test("every call that touches a file of the directory is seen, under each of its names")
  func calls() throws {
    let scratch = try Scratch()
    let directory = try scratch.directory()
    var program = FaultedProgram(try FaultTools.directory() + "/calls", [directory], directory: directory)
    program.fault = "write:1000:EIO"
    let ending = try program.run()
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(
      ending.report.calls == [
        "open": 13, "read": 13, "write": 10, "sync": 4, "dirsync": 1, "allocate": 8, "rename": 3, "unlink": 7, "link": 4, "mkdir": 3,
      ])
    #expect(ending.report.counts == ["write:1000:EIO": 10] && ending.report.injected.isEmpty)
  }

  @Test("calls on files elsewhere are not counted")
  func elsewhere() throws {
    let scratch = try Scratch()
    let other = try scratch.directory("data-other")
    var program = FaultedProgram(try FaultTools.directory() + "/calls", [other], directory: try scratch.directory())
    program.fault = "any:1:EIO"
    let ending = try program.run()
    #expect(ending.exit == 0 && ending.report.injected.isEmpty)
    #expect(ending.report.calls.values.allSatisfy { $0 == 0 })
  }

  @Test(
    "an unknown fault is refused, not taken for none",
    arguments: ["write:0:EIO", "write:1:EWHAT", "wrote:1:EIO", "write:1", "sync:1:ENOSPC-dropped", "write:1:short:x"])
  func unknown(fault: String) throws {
    let scratch = try Scratch()
    var program = try scratch.victim(1)
    program.fault = fault
    let ending = try program.run()
    #expect(ending.exit == 64 && ending.errors.hasPrefix("millrace faults: "))
  }

  @Test(
    "a short write writes a part and says so",
    arguments: [("pwrite:2:short", [], 397), ("write:2:short:10", [], 10), ("write:2:short", ["direct"], 2048)])
  func short(fault: String, words: [String], length: Int) throws {
    let scratch = try Scratch()
    var program = try scratch.victim(3, words)
    program.fault = fault
    let ending = try program.run()
    #expect(ending.exit == 0 && ending.report.injected.count == 1)
    #expect(try #require(ending.report.injected.first).contains("result=\(length) log.1"))
    #expect(VictimLog.complaint(try DirectoryImage(reading: program.directory), ending.lines, direct: !words.isEmpty) == nil)
  }

  @Test("who takes a short write for a whole one loses records")
  func ignoredShort() throws {
    let scratch = try Scratch()
    var program = try scratch.victim(3, ["ignores-short"])
    program.fault = "write:2:short"
    let ending = try program.run()
    #expect(VictimLog.complaint(try DirectoryImage(reading: program.directory), ending.lines) == "3 records were acknowledged, 1 are there")
  }

  @Test("the program dies with a part of a write on the disk, or with all of it", arguments: ["exit", "kill", "exit-after", "kill-after"])
  func end(fault: String) throws {
    let scratch = try Scratch()
    var program = try scratch.victim(3)
    program.fault = "write:2:" + fault
    let ending = try program.run()
    #expect(ending.exit == (fault.hasPrefix("kill") ? -SIGKILL : 137))
    #expect(ending.report.injected.count == 1 && ending.report.counts == ["write:2:" + fault: 2])
    let files = try DirectoryImage(reading: program.directory).files
    let whole = VictimLog.record(1) + VictimLog.record(2)
    #expect(files["log.1"] == (fault.hasSuffix("after") ? whole : Array(whole.prefix(415 + 397))))
    #expect(ending.lines == ["recovered 0", "acknowledged 1"])
  }

  @Test("a sync that fails forgets what was written, and the next one succeeds: who tries again loses records")
  func dropped() throws {
    for (words, exit) in [(["retries-sync"], 0), ([], 1)] as [([String], Int32)] {
      let scratch = try Scratch()
      var program = try scratch.victim(3, words)
      program.fault = "fdatasync:2:EIO-dropped"
      let ending = try program.run()
      #expect(ending.exit == exit && ending.report.injected.count == 1)
      let complaint = VictimLog.complaint(try DirectoryImage(reading: program.directory), ending.lines)
      #expect(complaint == (words.isEmpty ? nil : "3 records were acknowledged, 1 are there"))
    }
  }

  @Test("a full disk gets room again when a file appears")
  func roomAgain() throws {
    let scratch = try Scratch()
    var program = try scratch.victim(6, ["patient"])
    program.fault = "write:3+:ENOSPC"
    program.faultUntil = scratch.path + "/room"
    let running = try program.start()
    var lines: [String] = []
    var full = 0
    while let line = try running.line() {
      lines.append(line)
      guard line == "full" else { continue }
      full += 1
      if full == 3 { try Data().write(to: URL(filePath: scratch.path + "/room")) }
      try running.say("again")
    }
    let ending = try running.wait()
    #expect(full == 3 && ending.exit == 0 && ending.report.injected.count == 3)
    #expect(VictimLog.acknowledged(lines) == 6)
    #expect(VictimLog.complaint(try DirectoryImage(reading: program.directory), lines) == nil)
  }

  struct Sweep: CustomTestStringConvertible {
    let what: String
    let fault: String
    let words: [String]
    var testDescription: String { "\(what) \(fault) \(words.joined(separator: " "))" }
  }
  static let sweeps = ([[], ["dsync"], ["direct"], ["threads"]] as [[String]]).flatMap { words in
    ["EIO", "ENOSPC", "EINTR", "EIO-late", "short", "exit", "kill-after"].map { Sweep(what: "any", fault: $0, words: words) }
      + [Sweep(what: "sync", fault: "EIO-dropped", words: words)]
  }

  @Test("no fault of any call becomes a false acknowledgement, and what follows goes on", arguments: sweeps)
  func sweep(_ sweep: Sweep) throws {
    let scratch = try Scratch()
    let direct = sweep.words.contains("direct")
    let result = try FaultedProgram.sweep(sweep.what, sweep.fault, limit: 100) { fault in
      var program = try scratch.victim(6, sweep.words)
      program.fault = fault
      let ending = try program.run()
      var complaint = VictimLog.complaint(try DirectoryImage(reading: program.directory), ending.lines, direct: direct)
      #expect(complaint == nil, "\(fault): \(ending.report.injected)")
      program.fault = nil
      program.arguments[1] = "9"
      let again = try program.run()
      complaint = VictimLog.complaint(try DirectoryImage(reading: program.directory), again.lines, direct: direct)
      #expect(again.exit == 0 && VictimLog.acknowledged(again.lines) == 9 && complaint == nil, "\(fault): \(again.errors)")
      return ending.report
    }
    #expect(result.isComplete)
    // With several producers the number of writes depends on who comes when.
    #expect(result.met >= (sweep.what == "sync" || sweep.fault == "short" ? 1 : 5))
  }

  @Test(
    "who ignores errors acknowledges what is not there", arguments: [("write:2:EIO", "ignores-errors"), ("write:2:EINTR", "ignores-eintr")])
  func ignored(fault: String, word: String) throws {
    let scratch = try Scratch()
    var program = try scratch.victim(3, [word])
    program.fault = fault
    let ending = try program.run()
    #expect(VictimLog.complaint(try DirectoryImage(reading: program.directory), ending.lines) != nil)
  }
}
