import Foundation
import LogLoad
import MillraceFaults
import Testing

/// The program that users run, with one call that fails: each of the first hundred of every class.
@Suite struct FaultSweepTests {
  struct Sweep: CustomTestStringConvertible, Sendable {
    let what: String
    let fault: String
    let way: String
    var testDescription: String { "\(what) \(fault) \(way)" }
    /// The program may not notice.
    var isHarmless: Bool {
      fault == "short" || fault == "EINTR" && ["open", "read", "write", "sync", "dirsync", "allocate"].contains(what)
    }
    var ends: Bool { fault.hasPrefix("exit") || fault.hasPrefix("kill") }
  }

  static let sweeps: [Sweep] = {
    let ways = Victim.isFull ? ["direct", "dataSync", "sync"] : ["direct"]
    let any = ["EIO", "ENOSPC", "EINTR", "EIO-late", "exit", "kill-after"]
    var sweeps: [Sweep] = []
    for way in ways {
      for what in ["open", "write", "read", "allocate", "rename", "unlink", "dirsync"] {
        sweeps += (any + (["read", "write"].contains(what) ? ["short"] : [])).map { Sweep(what: what, fault: $0, way: way) }
      }
    }
    sweeps += (any + ["EIO-dropped"]).map { Sweep(what: "sync", fault: $0, way: "sync") }
    sweeps += ["EIO", "short", "kill"].map { Sweep(what: "write", fault: $0, way: "sync") }
    return sweeps
  }()

  @Test("no call that fails becomes a false acknowledgement, and what was interrupted goes on", arguments: sweeps)
  func sweep(_ sweep: Sweep) throws {
    let count = 30
    let result = try FaultedProgram.sweep(sweep.what, sweep.fault, limit: Victim.isFull ? 10_000 : 100) { fault in
      let victim = try Victim(isInMemory: true)
      var program = victim.program(["count=\(count)", "way=\(sweep.way)"])
      program.fault = fault
      let ending = try program.run()
      victim.ledger.add(ending.lines)
      let isMet = !ending.report.injected.isEmpty
      if !isMet || sweep.isHarmless {
        #expect(ending.exit == 0 && victim.ledger.acknowledged.count == count, "\(fault): \(ending.errors)")
      } else if sweep.ends {
        #expect(ending.exit == (sweep.fault.hasPrefix("kill") ? -SIGKILL : 137), "\(fault)")
      } else {
        // Anything but a hang, which a signal ends, or a crash.
        #expect(0...3 ~= ending.exit, "\(fault): \(ending.exit) \(ending.errors)")
        #expect(ending.exit == 0 || ending.exit == 1 || victim.ledger.refused + victim.ledger.failed > 0, "\(fault)")
        #expect(ending.exit != 0 || victim.ledger.acknowledged.count == count, "\(fault)")
      }
      #expect(victim.complaint() == nil, "\(fault): \(ending.report.injected)")
      return ending.report
    }
    #expect(result.met > 0)
    if Victim.isFull { #expect(result.isComplete) }
  }

  @Test("a disk that is full for a time refuses appends, and takes them when it has room again")
  func full() throws {
    let victim = try Victim(isInMemory: true)
    var program = victim.program(["count=60", "way=direct"])
    program.fault = "allocate:4+:ENOSPC"
    program.faultUntil = victim.directory + "/../room"
    let running = try program.start()
    var lines: [String] = []
    while let line = try running.line() {
      lines.append(line)
      if line.hasPrefix("refused"), lines.filter({ $0.hasPrefix("refused") }).count == 3 {
        try Data().write(to: URL(filePath: victim.directory + "/../room"))
      }
    }
    let ending = try running.wait()
    victim.ledger.add(lines)
    #expect(ending.exit == 0 && victim.ledger.refused >= 3 && victim.ledger.acknowledged.count == 60, "\(ending.errors)")
    #expect(victim.complaint() == nil)
  }
}
