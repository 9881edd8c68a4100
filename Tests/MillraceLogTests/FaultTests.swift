import Foundation
import LogLoad
import MillraceFaults
import Testing

/// The program that users run, with single calls that fail.
@Suite struct FaultTests {
  private func ending(_ victim: Victim, _ words: [String], _ fault: String) throws -> FaultedProgram.Ending {
    var program = victim.program(words)
    program.fault = fault
    let ending = try program.run()
    #expect(!ending.report.injected.isEmpty)
    victim.ledger.add(ending.lines)
    return ending
  }

  @Test("a write that took only a part, or was interrupted, goes on", arguments: ["direct", "dataSync", "sync"])
  func goesOn(way: String) throws {
    for fault in ["short:512", "EINTR"] {
      let victim = try Victim(isInMemory: true)
      let faults = stride(from: 3, to: 66, by: 9).map { "pwrite:\($0):\(fault)" }.joined(separator: ",")
      let ending = try ending(victim, ["way=\(way)", "threads=1", "count=60"], faults)
      #expect(ending.exit == 0 && victim.ledger.acknowledged.count == 60, "\(ending.errors)")
      #expect(ending.report.injected.count > 5)
      #expect(victim.complaint() == nil, "\(fault)")
    }
  }

  @Test(
    "after a write or a sync that failed nothing more is acknowledged",
    arguments: [("direct", "pwrite:20:EIO"), ("sync", "pwrite:20:EIO"), ("sync", "fdatasync:15:EIO-dropped"), ("direct", "dirsync:3:EIO")])
  func ends(way: String, fault: String) throws {
    let victim = try Victim(isInMemory: true)
    let ending = try ending(victim, ["way=\(way)", "threads=1", "count=60"], fault)
    #expect(ending.exit == 2 && victim.ledger.failed == 3, "\(ending.exit) \(ending.errors)")
    #expect(victim.complaint() == nil)
  }

  @Test("a segment that cannot get its name ends the log, whatever the reason: the appends are answered")
  func rename() throws {
    let victim = try Victim(isInMemory: true)
    let ending = try ending(victim, ["way=direct", "count=60"], "rename:3:ENOSPC")
    #expect(ending.exit == 2 && victim.ledger.failed > 0, "\(ending.exit) \(ending.errors)")
    #expect(victim.complaint() == nil)
  }

  @Test("a disk that is full for a time refuses appends, and takes them when it has room again")
  func full() throws {
    let victim = try Victim(isInMemory: true)
    var program = victim.program(["count=60", "way=direct"])
    let room = victim.directory + "/../room"
    program.fault = "allocate:3+:ENOSPC"
    program.faultUntil = room
    let running = try program.start()
    var lines: [String] = []
    var refused = 0
    while let line = try running.line() {
      lines.append(line)
      guard line.hasPrefix("refused") else { continue }
      refused += 1
      if refused == 1 { try Data().write(to: URL(filePath: room)) }
    }
    let ending = try running.wait()
    victim.ledger.add(lines)
    #expect(refused > 0 && ending.exit == 0 && victim.ledger.acknowledged.count == 60, "\(ending.errors)")
    #expect(victim.complaint() == nil)
  }
}
