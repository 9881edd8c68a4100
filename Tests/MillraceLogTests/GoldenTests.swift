import Foundation
import MillraceLog
import MillraceSimulation
import Testing

/// Logs of every format that was ever written: later versions must open them. `MILLRACE_WRITE_GOLDEN=1` writes the present format's, once.
@Suite struct GoldenTests {
  /// Tests/Golden/log
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Golden/log")
  private static let segment = "00000000000000000001.log"

  private func configuration() -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.hasThreads = false
    configuration.wallClock = { 1_795_678_490_462_498_304 }
    configuration.random = { 0x0123_4567_89ab_cdef }
    return configuration
  }

  /// One of everything that the format knows.
  private func make(_ disk: SimulatedDisk) async throws {
    let log = try EventLog(disk, configuration())
    let full = EventDraft(
      id: EventID(high: 1, low: 2), type: "order-placed", typeVersion: 3, contentType: "text/plain", payload: Array("hello".utf8),
      correlation: EventID(high: 3, low: 4), causation: EventID(high: 5, low: 6),
      trace: EventTrace(trace: EventID(high: 7, low: 8), span: 9, flags: 1))
    let plain = EventDraft(id: EventID(high: 1, low: 3), type: "order-paid", payload: Array("{}".utf8))
    let order = try StreamName("order-1")
    let ledger = try StreamName("ledger")
    _ = try await log.append([
      StreamAppend(stream: order, expected: .noStream, tenant: "acme", events: [full, plain]),
      StreamAppend(stream: ledger, events: [EventDraft(id: EventID(high: 1, low: 4), type: "booked", payload: [])]),
    ])
    try await Calls.of { log.setLimits(StreamLimits(count: 100, age: nil, firstVersion: 1), of: order, completion: $0) }
    let snapshot = Snapshot(stream: order, reducer: "total", reducerVersion: 7, version: 1, state: [1, 2, 3])
    try await Calls.of { log.save(snapshot, completion: $0) }
    log.close()
  }

  private func lines(_ bytes: [UInt8]) -> String {
    stride(from: 0, to: bytes.count, by: 32).compactMap { start in
      let row = bytes[start..<min(start + 32, bytes.count)]
      guard row.contains(where: { $0 != 0 }) else { return nil }
      return "\(String(start, radix: 16)) " + row.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }.joined(separator: "\n") + "\n"
  }

  private func bytes(_ text: String, count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ")
      var at = Int(parts[0], radix: 16)!
      var digits = parts[1][...]
      while !digits.isEmpty {
        bytes[at] = UInt8(digits.prefix(2), radix: 16)!
        digits = digits.dropFirst(2)
        at += 1
      }
    }
    return bytes
  }

  @Test("a log of format 1 is opened, and says what it said when it was written")
  func formatOne() async throws {
    let file = Self.folder.appendingPathComponent("format-1.txt")
    if ProcessInfo.processInfo.environment["MILLRACE_WRITE_GOLDEN"] != nil {
      let disk = SimulatedDisk()
      try await make(disk)
      try lines(disk.bytes(of: Self.segment)!).write(to: file, atomically: true, encoding: .utf8)
    }
    let disk = SimulatedDisk()
    disk.put(Self.segment, bytes(try String(contentsOf: file, encoding: .utf8), count: 64 << 10))
    let log = try EventLog(disk, configuration())
    defer { log.close() }
    #expect(log.recovery.wasClean)
    let events = try log.page(ReadRequest(.all)).events
    // The first event of the order is beyond its limits.
    #expect(events.map(\.position) == [1, 2])
    #expect(events.map(\.stream.description) == ["order-1", "ledger"])
    #expect(events.map(\.type) == ["order-paid", "booked"])
    #expect(events.map(\.tenant) == ["acme", nil])
    #expect(events.map(\.time) == [1_795_678_490_462_498_304, 1_795_678_490_462_498_304])
    let snapshot = try await Calls.of { log.snapshot(of: events[0].stream, reducer: "total", completion: $0) }
    #expect(snapshot == Snapshot(stream: events[0].stream, reducer: "total", reducerVersion: 7, version: 1, state: [1, 2, 3]))
    // Ids were read: an append that is there already is recognised.
    let draft = EventDraft(id: EventID(high: 1, low: 4), type: "booked", payload: [])
    #expect(try await log.append([StreamAppend(stream: events[1].stream, events: [draft])]).wasKnown)
  }

  @Test("what is written now is format 1, byte by byte")
  func written() async throws {
    let disk = SimulatedDisk()
    try await make(disk)
    let golden = try String(contentsOf: Self.folder.appendingPathComponent("format-1.txt"), encoding: .utf8)
    #expect(lines(disk.bytes(of: Self.segment)!) == golden)
  }
}
