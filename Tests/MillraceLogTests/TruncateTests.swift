import MillraceLog
import MillraceSimulation
import Testing

@Suite struct TruncateTests {
  private func configuration(hasThreads: Bool) -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.hasThreads = hasThreads
    return configuration
  }

  private func draft(_ number: UInt64) -> EventDraft {
    EventDraft(
      id: EventID(high: 1, low: number), type: "counted", payload: Array(repeating: UInt8(truncatingIfNeeded: number), count: 3_000))
  }

  private func segments(_ disk: SimulatedDisk) throws -> [String] { try disk.names().filter { $0.hasSuffix(".log") }.sorted() }

  @Test("whole segments before a position go, the one that holds it stays; versions and positions go on, also when it is opened again")
  func truncated() async throws {
    let disk = SimulatedDisk()
    var log = try EventLog(disk, configuration(hasThreads: false))
    let stream = try StreamName("s")
    for number in 0..<100 as Range<UInt64> {
      _ = try await log.append([StreamAppend(stream: stream, events: [draft(number)])])
    }
    let before = try segments(disk)
    #expect(before.count > 4)
    log.truncate(before: 50)
    log.truncate(before: 10)
    let left = try segments(disk)
    #expect(left == before.suffix(left.count) && left.count < before.count)
    for _ in 0..<2 {
      let page = try log.page(ReadRequest(.all, limit: 4096, bytes: 1 << 30))
      let first = try #require(page.events.first).position
      #expect(30...50 ~= first)
      #expect(page.events.map(\.position) == Array(first..<100))
      log.close()
      log = try EventLog(disk, configuration(hasThreads: false))
      #expect(log.recovery.firstPosition == first)
    }
    // However much is asked for, the last event stays.
    log.truncate(before: .max)
    let rest = try log.page(ReadRequest(.stream(stream), limit: 4096, bytes: 1 << 30))
    #expect(rest.lastVersion == 99 && rest.events.last?.position == 99)
    #expect(try segments(disk).count == 1)
    #expect(try await log.append([StreamAppend(stream: stream, events: [draft(100)])]).streams[0].firstVersion == 100)
    log.close()
  }

  @Test("with threads it is done beside the appends, and files are used again")
  func withThreads() async throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration(hasThreads: true))
    let stream = try StreamName("s")
    for number in 0..<400 as Range<UInt64> {
      let receipt = try await log.append([StreamAppend(stream: stream, events: [draft(number)])])
      if number % 20 == 0 { log.truncate(before: receipt.streams[0].firstPosition) }
    }
    // Closing waits for what is under way.
    log.close()
    #expect(try segments(disk).count < 12)
    #expect(log.retentionProblem == nil)
    let again = try EventLog(disk, configuration(hasThreads: false))
    #expect(again.recovery.nextPosition == 400 && again.recovery.firstPosition > 200)
    again.close()
  }

  @Test("single events are picked by version, in any order; what has gone is not there")
  func picked() async throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration(hasThreads: false))
    let stream = try StreamName("s")
    for number in 0..<100 as Range<UInt64> {
      _ = try await log.append([
        StreamAppend(stream: stream, events: [draft(number)]), StreamAppend(stream: try StreamName("t"), events: [draft(number)]),
      ])
    }
    do {
      var picker = try EventPicker(log, log.number(of: stream))
      for version in [0, 1, 2, 99, 50, 49, 99] as [UInt64] {
        let event = try #require(try picker.event(version))
        #expect(event.version == version && event.stream == log.number(of: stream))
        #expect(unsafe event.withPayload { unsafe $0.allSatisfy { $0 == UInt8(version) } && $0.count == 3_000 })
      }
      #expect(try picker.event(100) == nil)
      log.truncate(before: 150)
      #expect(try picker.event(0) == nil)
      #expect(try picker.event(99)?.position == 198)
    }
    log.close()
  }
}
