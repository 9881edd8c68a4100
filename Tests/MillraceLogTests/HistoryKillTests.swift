import Foundation
import MillraceFaults
import MillraceLog
import MillraceSimulation
import Testing

/// Appends with expected versions from several threads, in a program that is killed.
@Suite struct HistoryKillTests {
  @Test(
    "the union of all lives of a program that is killed again and again is one linearizable history, stream by stream and over all",
    arguments: 1...3)
  func lives(seed: UInt64) throws {
    var random = Seed(seed)
    let victim = try Victim()
    var history = KilledHistory()
    let wanted = Victim.isFull ? 350_000 : 35_000
    var lives = 0
    while lives < 8 || history.count < wanted {
      let running = try victim.program(["threads=8", "segment=\(1 << 20)", "from=\(lives * 1_000_000)"], "history").start()
      var lines: [String] = []
      let last = Int.random(in: 0...20_000, using: &random)
      while lines.count < last, let line = try running.line() { lines.append(line) }
      running.kill()
      let ending = try running.wait()
      #expect(ending.exit == -SIGKILL, "\(ending.errors)")
      history.add(ending.lines)
      lives += 1
    }
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 1 << 20
    let log = try EventLog(DirectoryStorage(victim.directory), configuration)
    defer { log.close() }
    let complaints = try history.complaints(about: log, streams: 4)
    #expect(complaints.isEmpty, "\(complaints.prefix(5))")
    #expect(history.unanswered >= lives / 2, "a kill that meets no append shows nothing")
  }
}
