import Foundation
import MillraceBroker
import MillraceFaults
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

/// A program that keeps a journal under load, killed again and again.
@Suite struct JournalKillTests {
  private struct Place: Hashable {
    var message: UInt64
    var queue: UInt32
  }

  private static let victim = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(
    path: "JournalVictim"
  )
  .path
  private static let isFull = ProcessInfo.processInfo.environment["MILLRACE_FULL"] != nil

  @Test("killed again and again, nothing that was written is lost, and nothing that was settled comes back")
  func killed() throws {
    let folder = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().appending(path: "millrace-journal-\(UUID().uuidString)")
      .path
    let directory = folder + "/data"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var random = Seed(5)
    var (written, asked, settled): (Set<Place>, Set<Place>, Set<Place>) = ([], [], [])
    /// Lives in which segments went.
    var gone = 0
    var first: UInt64 = 0
    for life in 0..<(Self.isFull ? 300 : 20) {
      let running = try FaultedProgram(Self.victim, [directory, "\(life)"], directory: directory).start()
      let wanted = Int.random(in: 0...20_000, using: &random)
      var count = 0
      while count < wanted, try running.line() != nil { count += 1 }
      running.kill()
      let ending = try running.wait()
      #expect(ending.exit == -SIGKILL, "\(ending.errors)")
      for line in ending.lines {
        let words = line.split(separator: " ")
        let numbers = words.dropFirst().compactMap { UInt64($0) }
        switch (words.first, numbers.count) {
        case ("sent", 3):
          for message in numbers[0]..<numbers[0] + numbers[1] {
            for queue in 1...numbers[2] { written.insert(Place(message: message, queue: UInt32(queue))) }
          }
        case ("asks", 2): asked.insert(Place(message: numbers[0], queue: UInt32(numbers[1])))
        case ("settled", 2): settled.insert(Place(message: numbers[0], queue: UInt32(numbers[1])))
        default: break  // Cut off.
        }
      }
      let journal = try LogQueueJournal(DirectoryStorage(directory, way: .sync))
      if journal.log.recovery.firstPosition > first { gone += 1 }
      first = journal.log.recovery.firstPosition
      let endings = JournalEndings()
      let back: Recovered
      do { back = try journal.back(endings).0 } catch {
        journal.close()
        throw error
      }
      journal.close()
      let there = Set(back.messages.flatMap { message in message.places.map { Place(message: message.number, queue: $0.queue) } })
      #expect(written.subtracting(asked).subtracting(there).isEmpty, "lost in life \(life)")
      #expect(there.intersection(settled).isEmpty, "back in life \(life)")
      #expect(back.messages.map(\.number) == back.messages.map(\.number).sorted())
      #expect(back.messages.allSatisfy { $0.payload.allSatisfy { $0 == 0x5a } && $0.places.allSatisfy(\.isRedelivered) })
    }
    #expect(settled.count > 1_000)
    #expect(gone > 3)
  }
}
