import Foundation
import LogLoad
import MillraceFaults
import Testing

/// The program that users run, with one call that fails: each of the first hundred of every class.
@Suite struct FaultSweepTests {
  struct Sweep: CustomTestStringConvertible, Sendable {
    let what: String
    let fault: String
    let words: [String]
    var testDescription: String { "\(what) \(fault) \(words.joined(separator: " "))" }
    var isWhole: Bool { !words.contains { $0.hasPrefix("retention") } }
    /// The program may not notice.
    var isHarmless: Bool {
      fault == "short" || fault == "EINTR" && ["open", "read", "write", "sync", "allocate"].contains(what)
    }
    var ends: Bool { fault.hasPrefix("exit") || fault.hasPrefix("kill") }
  }

  /// What can happen to a class of calls.
  static let faults = [
    "open": ["EIO", "ENOSPC", "EINTR", "exit", "kill-after"],
    "read": ["EIO", "EINTR", "short", "exit", "kill-after"],
    "write": ["EIO", "ENOSPC", "EINTR", "EIO-late", "short", "exit", "kill", "exit-after", "kill-after"],
    "allocate": ["EIO", "ENOSPC", "EINTR", "EIO-late", "exit", "kill-after"],
    "rename": ["EIO", "ENOSPC", "EIO-late", "exit", "kill-after"],
    "unlink": ["EIO-late", "exit", "kill-after"],
    "dirsync": ["EIO", "EIO-late", "exit", "kill-after"],
    "sync": ["EIO", "ENOSPC", "EINTR", "EIO-late", "EIO-dropped", "exit", "kill-after"],
  ]

  static let sweeps: [Sweep] = faults.sorted { $0.key < $1.key }.flatMap { what, faults in
    let ways =
      switch what {
      // Only a retired segment that nobody needs is unlinked.
      case "unlink": [["way=direct", "retention=150000", "threads=1", "count=120"]]
      case "sync": [["way=sync", "count=30"]]
      default: (Victim.isFull ? ["direct", "dataSync", "sync"] : ["direct"]).map { ["way=\($0)", "count=30"] }
      }
    return ways.flatMap { words in faults.map { Sweep(what: what, fault: $0, words: words) } }
  }

  @Test("no call that fails becomes a false acknowledgement, and what was interrupted goes on", arguments: sweeps)
  func sweep(_ sweep: Sweep) throws {
    let count = Int(sweep.words.last!.dropFirst(6))!
    let result = try FaultedProgram.sweep(sweep.what, sweep.fault, limit: Victim.isFull ? 10_000 : 100) { fault in
      let victim = try Victim(isInMemory: true)
      var program = victim.program(sweep.words)
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
      #expect(victim.complaint(isWhole: sweep.isWhole) == nil, "\(fault): \(ending.report.injected)")
      return ending.report
    }
    // Whether a retired segment is needed or unlinked depends on who comes first.
    #expect(result.met > 0 || sweep.what == "unlink")
    if Victim.isFull { #expect(result.isComplete) }
  }
}
