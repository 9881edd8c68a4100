import Foundation
import MillraceBroker
import MillraceFaults
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

/// A program with a broker and durable queues, killed again and again.
@Suite struct BrokerKillTests {
  private static let victim = URL(filePath: ProcessInfo.processInfo.arguments[0]).deletingLastPathComponent().appending(path: "BrokerVictim")
    .path
  private static let isFull = ProcessInfo.processInfo.environment["MILLRACE_FULL"] != nil

  @Test("killed again and again, no confirmed message is lost, and none is in two queues at once")
  func killed() throws {
    let folder = URL(filePath: NSTemporaryDirectory()).resolvingSymlinksInPath().appending(path: "millrace-broker-\(UUID().uuidString)").path
    let directory = folder + "/data"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var random = Seed(7)
    var (confirmed, asked, rejected): (Set<UInt64>, Set<UInt64>, Set<UInt64>) = ([], [], [])
    var moved = 0
    for life in 0..<(Self.isFull ? 100 : 15) {
      let running = try FaultedProgram(Self.victim, [directory, "\(life)"], directory: directory).start()
      let wanted = Int.random(in: 0...10_000, using: &random)
      var count = 0
      while count < wanted, try running.line() != nil { count += 1 }
      running.kill()
      let ending = try running.wait()
      #expect(ending.exit == -SIGKILL, "\(ending.errors)")
      for line in ending.lines {
        let words = line.split(separator: " ")
        let numbers = words.dropFirst().compactMap { UInt64($0) }
        switch (words.first, numbers.count) {
        case ("confirmed", 2) where numbers[0] <= numbers[1] && numbers[1] - numbers[0] < 100: confirmed.formUnion(numbers[0]...numbers[1])
        case ("asks", 1): asked.insert(numbers[0])
        case ("rejects", 1): rejected.insert(numbers[0])
        default: break  // Cut off.
        }
      }
      let journal = try LogQueueJournal(DirectoryStorage(directory, way: .sync))
      defer { journal.close() }
      let back = try journal.back(JournalEndings()).0
      var names: [UInt32: String] = [:]
      for case .queue(let queue) in back.definitions { names[queue.number] = queue.name.description }
      #expect(Set(names.values).isSubset(of: ["work", "dead"]))
      var places: [UInt64: [String]] = [:]
      for message in back.messages {
        #expect(message.payload.count == 64 && message.payload.dropFirst(8).allSatisfy { $0 == 0x5a })
        let number = message.payload.prefix(8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        for place in message.places { places[number, default: []].append(names[place.queue] ?? "?") }
      }
      let lost = confirmed.subtracting(asked).subtracting(places.keys)
      #expect(lost.isEmpty, "lost in life \(life): \(lost.prefix(5))")
      #expect(places.values.allSatisfy { $0.count == 1 }, "twice in life \(life): \(places.filter { $0.value.count > 1 }.prefix(5))")
      for (number, there) in places where there == ["dead"] {
        #expect(rejected.contains(number))
        moved += 1
      }
    }
    #expect(confirmed.count > 1_000 && asked.count > 1_000 && rejected.count > 100 && moved > 0)
  }
}
