import Foundation
import LogLoad
import MillraceFaults
import MillraceSimulation
import Testing

/// The program that users run, killed under load.
@Suite struct KillTests {
  struct Way: CustomTestStringConvertible, Sendable {
    let words: [String]
    var testDescription: String { words.joined(separator: " ") }
    var isWhole: Bool { !words.contains { $0.hasPrefix("retention") } }
  }
  static let ways = [
    Way(words: ["way=direct"]), Way(words: ["way=dataSync"]), Way(words: ["way=sync"]), Way(words: ["way=direct", "retention=200000"]),
  ]

  @Test("fifty times killed, nothing acknowledged is lost, and it goes on", arguments: ways)
  func killed(_ way: Way) throws {
    var random = Seed(UInt64(way.words.joined().utf8.count))
    var victim = try Victim()
    var acknowledged = 0
    let lives = Victim.isFull ? 500 : 50
    for life in 0..<lives {
      // A log that is not too large to be looked at in whole after each life.
      if way.isWhole, life % 10 == 0 { victim = try Victim() }
      let running = try victim.program(way.words + ["from=\(life * 1_000_000)"]).start()
      var lines: [String] = []
      let wanted = Int.random(in: 0...120, using: &random)
      while lines.count < wanted, let line = try running.line() { lines.append(line) }
      running.kill()
      let ending = try running.wait()
      #expect(ending.exit == -SIGKILL, "\(ending.errors)")
      victim.ledger.add(ending.lines)
      acknowledged += ending.lines.count
      #expect(victim.complaint(isWhole: way.isWhole) == nil, "life \(life)")
    }
    #expect(acknowledged > lives * 20)
  }
}
