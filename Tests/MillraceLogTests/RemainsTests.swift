import MillraceLog
import MillraceSimulation
import Testing

/// What lies on a disk and is not the log's: left by an interrupted write, an earlier session, another log.
@Suite struct RemainsTests {
  private func configuration() -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.hasThreads = false
    return configuration
  }

  private func ids(_ disk: SimulatedDisk) throws -> [UInt64] {
    let log = try EventLog(disk, configuration())
    defer { log.close() }
    return try log.page(ReadRequest(.all, limit: 4096, bytes: 1 << 30)).events.map(\.id.low)
  }

  private let payload = Array(repeating: UInt8(3), count: 3000)

  /// The log appends events of these sizes as one commit, and the disk is switched off in its midst. What came of it.
  private func interrupted(_ disk: SimulatedDisk, first: UInt64, _ sizes: [Int]) async throws -> SimulatedDisk {
    let log = try EventLog(disk, configuration())
    disk.setOff(after: 0)
    let events = sizes.enumerated().map { index, bytes in
      EventDraft(id: EventID(high: 0, low: first + UInt64(index)), type: "counted", payload: Array(payload[..<bytes]))
    }
    await #expect(throws: EventStoreError.self) { try await log.append([StreamAppend(stream: try StreamName("s"), events: events)]) }
    log.close()
    return disk
  }

  @Test("what an interrupted commit left is never taken for a part of the next one, nor made whole by it")
  func mixed() async throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    _ = try await log.append("s", .any, [1])
    log.close()
    var random = Seed(1)
    let first = try await interrupted(disk.copy(), first: 11, [3000, 3000, 3000])
    // Their third events lie in the same place, and differ in one sector: behind the block that a log writes first where something was left, and without it.
    var whole = 0
    for sizes in [[952, 952, 3000], [3000, 3000, 3000]] {
      for _ in 0..<40 {
        let left = first.afterCrash(.reordered, &random)
        guard try ids(left.copy()) == [1] else { continue }
        let second = try await interrupted(left, first: 21, sizes)
        for _ in 0..<40 {
          let found = try ids(second.afterCrash(.reordered, &random))
          #expect(found == [1] || found == [1, 21, 22, 23])
          whole += found.count == 4 ? 1 : 0
        }
      }
    }
    #expect(whole > 0)
  }

  @Test("what counted as not written is not made whole by a later write, though that has the very bytes that are missing")
  func comesBack() async throws {
    let name = "00000000000000000001.log"
    let disk = SimulatedDisk()
    var log = try EventLog(disk, configuration())
    _ = try await log.append("s", .any, [1])
    let begun = try #require(disk.bytes(of: name))
    _ = try await log.append("s", .any, [11], payload: payload)
    let whole = try #require(disk.bytes(of: name))
    log.close()
    // Of its block a sector is missing that holds a part of its payload, and nothing else.
    let block = 2 * disk.unit
    let missing = block + 3 * 512..<block + 4 * 512
    #expect(whole[missing].allSatisfy { $0 == payload[0] })
    let left = SimulatedDisk()
    left.put(name, Array(whole[..<missing.lowerBound] + begun[missing] + whole[missing.upperBound...]))
    #expect(try ids(left.copy()) == [1])
    // The next session appends the same payload, and is switched off when one sector of that is written.
    log = try EventLog(left, configuration())
    #expect(log.recovery.unfinishedBytes > 0)
    let opened = try #require(left.bytes(of: name))
    _ = try await log.append("s", .any, [21], payload: payload)
    let written = try #require(left.bytes(of: name))
    log.close()
    for sector in stride(from: block, to: block + 4 * disk.unit, by: 512) {
      let crashed = SimulatedDisk()
      crashed.put(name, Array(opened[..<sector] + written[sector..<sector + 512] + opened[(sector + 512)...]))
      #expect(try ids(crashed) == [1], "sector at \(sector)")
    }
  }

  @Test("blocks that another log left in a recycled file are not taken for this one's")
  func otherLog() async throws {
    // Fifteen commits to a segment: what is behind the first one of the second is the other log's.
    let other = SimulatedDisk()
    var log = try EventLog(other, configuration())
    for number in 0..<25 { _ = try await log.append("s", .any, [100 + UInt64(number)], payload: payload) }
    log.close()
    let disk = SimulatedDisk()
    log = try EventLog(disk, configuration())
    for number in 0..<10 { _ = try await log.append("s", .any, [UInt64(number)], payload: payload) }
    disk.put("next", try #require(other.bytes(of: "00000000000000000002.log")))
    for number in 10..<18 { _ = try await log.append("s", .any, [UInt64(number)], payload: payload) }
    let found = disk.copy()
    log.close()
    #expect(try ids(found) == Array(0..<18))
  }

  @Test("a block that an earlier session left further on is not taken for this one's")
  func earlierSession() async throws {
    let disk = SimulatedDisk()
    var log = try EventLog(disk, configuration())
    _ = try await log.append("s", .any, [1])
    let begun = disk.copy()
    for number in 2...4 { _ = try await log.append("s", .any, [UInt64(number)]) }
    log.close()
    log = try EventLog(begun, configuration())
    _ = try await log.append("s", .any, [12])
    let mixed = begun.copy()
    log.close()
    // Header, the first block, this session's block, then what the session before wrote behind it.
    let name = "00000000000000000001.log"
    let unit = disk.unit
    let bytes = try #require(mixed.bytes(of: name))[..<(3 * unit)] + #require(disk.bytes(of: name))[(3 * unit)...]
    let both = SimulatedDisk()
    both.put(name, Array(bytes))
    #expect { try EventLog(both, configuration()) } throws: {
      if case .damaged(2, 1, _, _)? = $0 as? LogError { true } else { false }
    }
  }

  @Test("damage of a commit without events is found by the commit behind it")
  func withoutEvents() async throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    let stream = try StreamName("s")
    _ = try await log.append("s", .any, [1])
    try await Calls.of { log.setLimits(StreamLimits(count: 5), of: stream, completion: $0) }
    _ = try await log.append("s", .any, [2])
    let killed = disk.copy()
    log.close()
    killed.flip("00000000000000000001.log", bit: (2 * disk.unit + 100) * 8)
    #expect { try EventLog(killed, configuration()) } throws: {
      if case .damaged(1, 1, _, _)? = $0 as? LogError { true } else { false }
    }
  }
}
