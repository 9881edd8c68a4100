import MillraceSimulation
import Synchronization
import Testing

@testable import MillraceLog

@Suite struct DamageTests {
  private static let segment = "00000000000000000001.log"

  private func configuration() -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.hasThreads = false
    return configuration
  }

  /// A log of a few commits that was stopped cleanly, and its events.
  private func made(_ appends: Int = 3) async throws -> (SimulatedDisk, [RecordedEvent]) {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    for number in 0..<appends {
      _ = try await log.append("stream-\(number % 2)", .any, [UInt64(number)], payload: Array(repeating: 9, count: 50))
    }
    let events = try log.page(ReadRequest(.all)).events
    log.close()
    return (disk, events)
  }

  @Test("a flipped bit in any byte that was written is found and named, or harms nothing that was acknowledged")
  func flips() async throws {
    let (disk, events) = try await made()
    var refused = 0
    let used = 5 * 4096  // header, three commits, the mark of a clean stop
    for byte in 0..<used {
      let damaged = disk.copy()
      damaged.flip(Self.segment, bit: byte * 8 + byte % 8)
      do {
        let log = try EventLog(damaged, configuration())
        defer { log.close() }
        #expect(try log.page(ReadRequest(.all)).events == events, "byte \(byte)")
        // What says nothing of events: the rest of the header's unit, the mark.
        #expect((128..<4096).contains(byte) || byte >= 4 * 4096, "byte \(byte) was flipped and not found")
      } catch let error as LogError {
        guard case .damaged(let position, 1, _, _) = error else { throw error }
        #expect(position <= UInt64(max(0, byte / 4096 - 1)), "byte \(byte): \(error)")
        refused += 1
      }
    }
    #expect(refused == 128 + 3 * 4096)
  }

  @Test("a file that was cut off at any length is refused, and named", arguments: [1, 2])
  func truncations(segment: UInt64) async throws {
    let (disk, _) = try await made(20)
    let name = SegmentHeader.name(of: segment)
    let first: UInt64 = segment == 1 ? 0 : 15
    // From the longest on, so that one disk serves all.
    for length in (0..<64 << 10).reversed() {
      disk.truncate(name, to: length)
      switch refusal(of: disk, wholly: length % 97 == 0) {
      case .damaged(position: first, segment: segment, _, _)?: break
      case .storage? where length < SegmentHeader.bytes: break
      case let other: Issue.record("\(length): \(String(describing: other))")
      }
    }
  }

  /// Why the log is not opened. `wholly`: it is tried; else only what opening does first.
  private func refusal(of disk: SimulatedDisk, wholly: Bool) -> LogError? {
    do throws(LogError) {
      if wholly {
        try EventLog(disk, configuration()).close()
      } else {
        var builder = IndexBuilder(disk, nil)
        _ = try LogScan(disk).walk(&builder)
      }
      return nil
    } catch { return error }
  }

  @Test("a segment that is missing in their midst is named")
  func missing() async throws {
    let (disk, _) = try await made(60)
    #expect(try disk.names().filter { $0.hasSuffix(".log") }.count >= 4)
    try disk.remove("00000000000000000002.log")
    #expect(throws: LogError.missingSegment(2)) { try EventLog(disk, configuration()) }
  }

  @Test("a full disk refuses appends, serves readers, and takes appends again when it has room")
  func full() async throws {
    let disk = SimulatedDisk(room: 130 << 10)
    let log = try EventLog(disk, configuration())
    var appended: UInt64 = 0
    var refusal: EventStoreError?
    while refusal == nil {
      do {
        _ = try await log.append("s", .any, [appended], payload: Array(repeating: 1, count: 3000))
        appended += 1
      } catch { refusal = error }
    }
    guard case .noSpace? = refusal else { return #expect(Bool(false), "\(String(describing: refusal))") }
    #expect(try log.page(ReadRequest(.all)).events.count == Int(appended))
    disk.setRoom(1 << 30)
    _ = try await log.append("s", .exact(appended - 1), [appended], payload: Array(repeating: 1, count: 3000))
    #expect(try await log.end() == appended + 1)
    log.close()
  }

  @Test("after a failed write nothing more is acknowledged, and readers are served what was")
  func broken() async throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    _ = try await log.append("s", .any, [1])
    // Whoever waits for what will not come is told, and so is who begins to.
    let waited = Mutex<[Result<UInt64, EventStoreError>]>([])
    let wait = log.await(1) { result in waited.withLock { $0.append(result) } }
    disk.breakDown()
    await #expect { try await log.append("s", .any, [2]) } throws: {
      if case .outcomeUnknown? = $0 as? EventStoreError { true } else { false }
    }
    await #expect { try await log.append("s", .any, [3]) } throws: {
      if case .failed? = $0 as? EventStoreError { true } else { false }
    }
    #expect(try log.page(ReadRequest(.all)).events.map(\.id.low) == [1])
    wait.cancel()
    _ = log.await(7) { result in waited.withLock { $0.append(result) } }
    let told = waited.withLock { $0 }
    #expect(told.count == 2 && told.allSatisfy { if case .failure(.failed) = $0 { true } else { false } })
    log.close()
  }
}
