import Foundation
import MillraceLog
import MillraceSimulation
import Synchronization
import Testing

@Suite struct RetentionTests {
  private func configuration(_ retention: Retention = Retention()) -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.commitBytes = 16 << 10
    configuration.hasThreads = false
    configuration.retention = retention
    return configuration
  }

  private func segments(_ disk: SimulatedDisk) throws -> [String] { try disk.names().filter { $0.hasSuffix(".log") }.sorted() }

  @Test("the oldest segments go when the log is larger than it may be; what is left is read, and the numbers go on")
  func bytes() async throws {
    let disk = SimulatedDisk()
    let archived = Mutex<[RetiredSegment]>([])
    let retention = Retention(bytes: 256 << 10) { segment in archived.withLock { $0.append(segment) } }
    var log = try EventLog(disk, configuration(retention))
    _ = try await log.append("gone", .noStream, [1_000_000])
    for number in 0..<300 { _ = try await log.append("s-\(number % 2)", .any, [UInt64(number)], payload: Array(repeating: 1, count: 3000)) }
    #expect(log.retentionProblem == nil)
    #expect(try segments(disk).count <= 5)
    #expect(disk.steps > 300)
    for _ in 0..<2 {
      let first = try log.page(ReadRequest(.all, limit: 1)).events[0].position
      #expect(first > 200)
      #expect(try log.page(ReadRequest(.all, limit: 4096, bytes: 1 << 30)).events.map(\.position) == Array(first..<301))
      let stream = try log.page(ReadRequest(.stream(StreamName("s-1")), limit: 4096, bytes: 1 << 30))
      #expect(stream.lastVersion == 149)
      #expect(stream.events.last?.version == 149)
      #expect(stream.events.first!.version > 90)
      let category = try log.page(ReadRequest(.category("s"), limit: 4096, bytes: 1 << 30))
      #expect(category.events.count == Int(301 - first))
      log.close()
      log = try EventLog(disk, configuration(retention))
    }
    // Nothing is left of it: it begins anew.
    #expect(try log.page(ReadRequest(.stream(StreamName("gone")))).lastVersion == nil)
    #expect(try await log.append("gone", .noStream, [1_000_001]).streams[0].firstVersion == 0)
    log.close()
    let names = archived.withLock { $0.map(\.name) }
    #expect(names == (1...names.count).map { "0000000000000000000\($0).log" } || names.count > 9)
    #expect(names.count > 10)
  }

  @Test("a stream that began anew is opened as it is, whatever of its past is still there", arguments: [false, true])
  func anew(hasLimits: Bool) async throws {
    let disk = SimulatedDisk()
    let retired = Mutex<[(String, [UInt8])]>([])
    let retention = Retention(bytes: 192 << 10) { segment in
      var bytes = [UInt8](repeating: 0, count: segment.file.bytes)
      _ = try unsafe bytes.withUnsafeMutableBytes { bytes throws in try unsafe segment.file.read(into: bytes, at: 0) }
      retired.withLock { $0.append((segment.name, bytes)) }
    }
    let log = try EventLog(disk, configuration(retention))
    let gone = try StreamName("gone")
    _ = try await log.append("gone", .noStream, [1, 2])
    var number: UInt64 = 100
    func fill(until isDone: () throws -> Bool) async throws {
      while try !isDone() {
        _ = try await log.append("s", .any, [number], payload: Array(repeating: 1, count: 3000))
        number += 1
      }
    }
    try await fill { try segments(disk).count == 2 }
    if hasLimits {
      // In a segment that stays: the name and these, and no event.
      let snapshot = Snapshot(stream: gone, reducer: "r", reducerVersion: 1, version: 1, state: [1])
      try await Calls.of { log.setLimits(StreamLimits(count: 9), of: gone, completion: $0) }
      try await Calls.of { log.save(snapshot, completion: $0) }
    }
    try await fill { try segments(disk).first != "00000000000000000001.log" }
    #expect(try log.page(ReadRequest(.stream(gone))).lastVersion == nil)
    #expect(try await log.append("gone", .noStream, [5]).streams[0].firstVersion == 0)
    let killed = disk.copy()
    log.close()
    let (name, bytes) = try #require(retired.withLock { $0.first })
    for isThere in [false, true] {
      // As if the process had died before the file went.
      if isThere { killed.put(name, bytes) }
      let again = try EventLog(killed.copy(), configuration())
      let page = try again.page(ReadRequest(.stream(gone)))
      #expect(page.events.map(\.id.low) == [5] && page.lastVersion == 0)
      #expect(try await Calls.of { again.snapshot(of: gone, reducer: "r", completion: $0) } == nil)
      #expect(try await again.append("gone", .exact(0), [6]).streams[0].firstVersion == 1)
      again.close()
    }
  }

  @Test("segments go by age, and stay while they cannot be archived")
  func age() async throws {
    let disk = SimulatedDisk()
    let now = Mutex<Int64>(1_000_000_000_000)
    struct NoRoom: Error {}
    let refuses = Mutex(true)
    var configuration = configuration(
      Retention(age: 10_000_000_000) { _ in if refuses.withLock({ $0 }) { throw NoRoom() } })
    configuration.wallClock = { now.withLock { $0 } }
    let log = try EventLog(disk, configuration)
    func fill(_ first: Int) async throws {
      for number in first..<first + 40 { _ = try await log.append("s", .any, [UInt64(number)], payload: Array(repeating: 1, count: 3000)) }
    }
    try await fill(0)
    let before = try segments(disk).count
    #expect(before >= 3)
    now.withLock { $0 += 60_000_000_000 }
    try await fill(100)
    #expect(log.retentionProblem?.contains("cannot be archived: NoRoom()") == true)
    #expect(try segments(disk).first == "00000000000000000001.log")
    refuses.withLock { $0 = false }
    for round in 2..<8 { try await fill(round * 100) }
    #expect(log.retentionProblem == nil)
    // The one that was written when the time came holds younger events as well.
    #expect(try segments(disk).first == "0000000000000000000\(before).log")
    log.close()
  }

  @Test("an archive that takes its time keeps its segment and no append; closing waits for it")
  func slow() async throws {
    let disk = SimulatedDisk()
    let goesOn = DispatchSemaphore(value: 0)
    let told = Mutex<[String]>([])
    var configuration = configuration(
      Retention(bytes: 64 << 10) { segment in
        told.withLock { $0.append(segment.name) }
        // By itself only where appends wait for it.
        _ = goesOn.wait(timeout: .now() + 20)
        told.withLock { $0.append("archived") }
      })
    configuration.hasThreads = true
    var log = try EventLog(disk, configuration)
    var number: UInt64 = 0
    func fill(until isDone: () throws -> Bool) async throws {
      while try !isDone() {
        _ = try await log.append("s", .any, [number], payload: Array(repeating: 1, count: 3000))
        number += 1
      }
    }
    try await fill { try segments(disk).count >= 6 && told.withLock { $0.count > 0 } }
    try #require(told.withLock { $0.count == 1 })
    #expect(try segments(disk).first == told.withLock { $0[0] } && log.recovery.firstPosition == 0)
    #expect(try log.page(ReadRequest(.all, limit: 4096, bytes: 1 << 30)).events.count == Int(number))
    // Each goes when its archive has returned, and the next one after it.
    goesOn.signal()
    goesOn.signal()
    while try segments(disk).first != "00000000000000000003.log" { await Task.yield() }
    while told.withLock({ $0.count < 5 }) { await Task.yield() }
    let closing = Thread { [log] in
      log.close()
      told.withLock { $0.append("closed") }
    }
    closing.start()
    await #expect(throws: EventStoreError.closed) { while true { _ = try await log.append("s", .any, [number]) } }
    goesOn.signal()
    while told.withLock({ $0.last != "closed" }) { await Task.yield() }
    #expect(told.withLock { $0.suffix(2) } == ["archived", "closed"])
    // It was not given back: the log was closed. So it is asked for again.
    #expect(try segments(disk).first == "00000000000000000003.log")
    configuration.retention.archive = { segment in told.withLock { $0.append(segment.name) } }
    log = try EventLog(disk, configuration)
    try await fill { try segments(disk).first != "00000000000000000003.log" }
    log.close()
    #expect(told.withLock { $0.contains("closed") && $0[7] == "00000000000000000003.log" })
  }

  @Test("when several segments go one after the other, no crash brings one back without those behind it")
  func comesBack() async throws {
    let disk = SimulatedDisk()
    var configuration = configuration()
    var log = try EventLog(disk, configuration)
    var number: UInt64 = 0
    func fill(until isDone: () throws -> Bool) async throws {
      while try !isDone() {
        _ = try await log.append("s", .any, [number], payload: Array(repeating: 1, count: 3000))
        number += 1
      }
    }
    try await fill { try segments(disk).count == 8 }
    log.close()
    configuration.hasThreads = true
    // Not before the names of the last segment are on stable storage.
    let isBegun = DispatchSemaphore(value: 0)
    configuration.retention = Retention(bytes: 128 << 10) { _ in
      isBegun.wait()
      isBegun.signal()
    }
    log = try EventLog(disk, configuration)
    try await fill { try segments(disk).last == "00000000000000000009.log" }
    isBegun.signal()
    while try segments(disk).count > 2 { await Task.yield() }
    var random = Seed(5)
    for _ in 0..<50 {
      let again = try EventLog(disk.afterCrash(.lost, &random), self.configuration())
      #expect(again.recovery.nextPosition == number)
      again.close()
    }
    log.close()
  }

  @Test("a retired file that cannot be removed is told, and removed when it can be")
  func stuck() async throws {
    let disk = SimulatedDisk()
    let first = "00000000000000000001.log"
    disk.stick(first)
    let log = try EventLog(disk, configuration(Retention(bytes: 128 << 10)))
    func fill(_ range: Range<Int>) async throws {
      for number in range { _ = try await log.append("s", .any, [UInt64(number)], payload: Array(repeating: 1, count: 3000)) }
    }
    try await fill(0..<100)
    #expect(log.retentionProblem?.contains("Operation not permitted") == true)
    #expect(try segments(disk).contains(first))
    disk.stick(nil)
    try await fill(100..<160)
    #expect(log.retentionProblem == nil)
    #expect(try !segments(disk).contains(first))
    log.close()
  }

  @Test("a copy of a log that is written holds what was committed when it began, and one that was not finished is refused")
  func copies() async throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    for number in 0..<50 { _ = try await log.append("s", .any, [UInt64(number)], payload: Array(repeating: 1, count: 3000)) }
    let reader = try LogReader(disk)
    _ = try await log.append("s", .any, [77])
    let target = SimulatedDisk()
    #expect(try LogCopy.copy(reader, to: target).events == 50)
    let restored = try EventLog(target, configuration())
    #expect(try restored.page(ReadRequest(.all, limit: 4096)).events.map(\.id.low) == (0..<50).map { UInt64($0) })
    #expect(try await restored.append("s", .exact(49), [78]).streams[0].firstPosition == 50)
    restored.close()
    log.close()
    // Switched off at each step of the copy.
    let whole = try LogReader(disk)
    var steps = 0
    var refused = 0
    while true {
      let target = SimulatedDisk(offAfter: steps)
      do {
        _ = try LogCopy.copy(whole, to: target)
        #expect(steps > 10)
        break
      } catch {
        var random = Seed(UInt64(steps))
        for fault in SimulatedDisk.Fault.allCases {
          do throws(LogError) {
            // Only the last step may have taken place.
            #expect(try LogReader(target.afterCrash(fault, &random)).nextPosition == whole.nextPosition, "step \(steps)")
          } catch { refused += 1 }
        }
      }
      steps += 1
    }
    #expect(refused >= (steps - 1) * 4)
  }
}
