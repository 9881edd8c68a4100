import MillraceSimulation
import Synchronization
import Testing

@testable import MillraceLog

/// At the edges of what a log takes, and what became of requests beside one that failed.
@Suite struct EdgeTests {
  private func configuration() -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.hasThreads = false
    return configuration
  }

  @Test("backward is forward turned round, whatever the events' sizes")
  func backward() async throws {
    let log = try EventLog(SimulatedDisk(), configuration())
    for number in 0..<100 {
      let bytes = [3000, 4000, 4090, 5000, 16_000, 60_000, 65_500, 70_000][number % 8]
      _ = try await log.append("s-1", .any, [UInt64(number)], payload: Array(repeating: UInt8(number), count: bytes))
    }
    let name = try StreamName("s-1")
    for scope in [ReadRequest.Scope.all, .category("s"), .stream(name)] {
      let forward = try log.page(ReadRequest(scope, limit: 4096, bytes: 1 << 30)).events
      let backward = try log.page(ReadRequest(scope, .backward, limit: 4096, bytes: 1 << 30)).events
      #expect(forward.count == 100 && backward.map(\.payload) == forward.reversed().map(\.payload))
      for event in forward {
        let start = ReadRequest.Start.at(scope == .stream(name) ? event.version : event.position)
        #expect(try log.page(ReadRequest(scope, .backward, from: start, limit: 1)).events.first?.payload == event.payload)
      }
    }
    log.close()
  }

  /// Requests as a program makes them that keeps its events in memory of its own.
  @safe private final class Raw {
    let requests: UnsafeMutablePointer<AppendRequest>
    let parts: UnsafeMutablePointer<RawStreamAppend>
    let events: UnsafeMutablePointer<RawEvent>
    let count: Int
    private let sink = UnsafeMutablePointer<AppendSink>.allocate(capacity: 1)

    /// - Parameter ids: of each request its events'.
    init(_ log: EventLog, _ stream: String, _ expected: ExpectedVersion, ids: [[UInt64]], payload: UnsafeRawBufferPointer) throws {
      count = ids.count
      unsafe requests = .allocate(capacity: count)
      unsafe parts = .allocate(capacity: count)
      unsafe events = .allocate(capacity: ids.joined().count)
      unsafe sink.initialize(to: AppendSink(context: nil) { _, _, _ in })
      let type = try log.number(ofType: "raw")
      let stream = log.number(of: try StreamName(stream))
      var at = 0
      for (index, ids) in ids.enumerated() {
        for (number, id) in ids.enumerated() {
          unsafe (events + at + number).initialize(
            to: RawEvent(id: EventID(high: 0, low: id), type: type, payload: payload.baseAddress, bytes: payload.count))
        }
        unsafe (parts + index).initialize(to: RawStreamAppend(stream: stream, expected: expected, events: events + at, count: ids.count))
        unsafe (requests + index).initialize(to: AppendRequest(parts + index, sink: sink))
        at += ids.count
      }
    }

    deinit {
      unsafe requests.deallocate()
      unsafe parts.deallocate()
      unsafe events.deallocate()
      unsafe sink.deallocate()
    }

    /// All at once; without threads they have ended when this returns.
    func append(to log: EventLog) throws -> [AppendRequest.Outcome] {
      let all = unsafe (0..<count).map { unsafe UnsafeMutableRawPointer(requests + $0) }
      try unsafe all.withUnsafeBufferPointer { all in try unsafe log.append(all, mayLead: true) }
      return (0..<count).map { unsafe requests[$0].outcome }
    }
  }

  @Test("an append that is larger than a block may be is refused, and no segment is made for it")
  func tooLarge() throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    let before = try disk.names().count
    let payload = [UInt8](repeating: 1, count: 10 << 20)
    try unsafe payload.withUnsafeBytes { payload in
      let raw = try unsafe Raw(log, "s", .any, ids: [[1, 2]], payload: payload)
      #expect(try raw.append(to: log) == [.tooLarge])
    }
    #expect(try disk.names().count == before)
    log.close()
  }

  @Test("beside an append whose outcome is not known, what was refused because of it is not known either")
  func beside() throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration())
    disk.breakDown()
    let payload = [UInt8](repeating: 1, count: 10)
    try unsafe payload.withUnsafeBytes { payload in
      // A repetition under any; the second of two that want the same version.
      let repeated = try unsafe Raw(log, "s", .any, ids: [[1], [1]], payload: payload)
      #expect(try repeated.append(to: log) == [.outcomeUnknown, .outcomeUnknown])
    }
    log.close()
    let other = SimulatedDisk()
    let second = try EventLog(other, configuration())
    other.breakDown()
    try unsafe payload.withUnsafeBytes { payload in
      let racing = try unsafe Raw(second, "s", .noStream, ids: [[1], [2]], payload: payload)
      #expect(try racing.append(to: second) == [.outcomeUnknown, .outcomeUnknown])
    }
    second.close()
  }

  @Test("an exact version that no stream can have is refused, also for events that are there")
  func exact() async throws {
    let log = try EventLog(SimulatedDisk(), configuration())
    _ = try await log.append("s", .noStream, [1, 2])
    let name = try StreamName("s")
    await #expect(throws: EventStoreError.wrongExpectedVersion(stream: name, expected: .exact(.max), actual: 1)) {
      try await log.append("s", .exact(.max), [1, 2])
    }
    log.close()
  }

  @Test("the position since a moment after an event is behind it, before and after the log was opened again")
  func since() async throws {
    let disk = SimulatedDisk()
    let ticks = Mutex<Int64>(1000)
    var configuration = configuration()
    configuration.wallClock = {
      ticks.withLock {
        $0 += 1
        return $0
      }
    }
    var log = try EventLog(disk, configuration)
    for id in 0..<3 { _ = try await log.append("s", .any, [UInt64(id)]) }
    for _ in 0..<2 {
      for event in try log.page(ReadRequest(.all)).events {
        let after = try await Calls.of { log.position(since: event.time + 1, completion: $0) }
        let at = try await Calls.of { log.position(since: event.time, completion: $0) }
        #expect(after == event.position + 1 && at == event.position)
      }
      log.close()
      log = try EventLog(disk, configuration)
    }
    log.close()
  }

  @Test("a log that is closed while others are refused for want of room comes to its end", arguments: 0..<40)
  func closing(_ round: Int) async throws {
    var configuration = EventLog.Configuration()
    configuration.capacity = 4
    let log = try EventLog(SimulatedDisk(), configuration)
    await withTaskGroup(of: Void.self) { group in
      for writer in 0..<3 {
        group.addTask {
          var id = UInt64(writer) << 32
          while true {
            id += 1
            // Refused as busy, appended, or closed.
            do { _ = try await log.append("s-\(writer)", .any, [id]) } catch {
              if error as? EventStoreError == .closed { return }
            }
          }
        }
      }
      group.addTask {
        for _ in 0..<round * 20 { await Task.yield() }
        log.close()
      }
    }
  }

  @Test("a segment stays while it holds the last event of a group's or a projection's own stream, and the log says which")
  func systemStreams() async throws {
    let disk = SimulatedDisk()
    var configuration = configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.retention = Retention(bytes: 256 << 10)
    var log = try EventLog(disk, configuration)
    _ = try await log.append("$group-g", .noStream, [1_000_000])
    var next: UInt64 = 0
    func fill() async throws {
      for _ in 0..<200 {
        _ = try await log.append("s", .any, [next], payload: Array(repeating: 1, count: 3000))
        next += 1
      }
    }
    try await fill()
    log.close()
    log = try EventLog(disk, configuration)
    try await fill()
    #expect(log.retentionProblem?.contains("$group-g") == true)
    #expect(try log.page(ReadRequest(.stream(StreamName("$group-g")))).lastVersion == 0)
    // A later one is there: what is behind it goes.
    _ = try await log.append("$group-g", .exact(0), [1_000_001])
    for _ in 0..<3 { try await fill() }
    #expect(try log.page(ReadRequest(.stream(StreamName("$group-g")))).events.map(\.version) == [1])
    #expect(try !disk.names().contains("00000000000000000001.log"))
    log.close()
  }

  @Test("a replay goes on behind the segments that go meanwhile, and calls nothing damaged")
  func replay() async throws {
    let disk = SimulatedDisk()
    var configuration = configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.retention = Retention(bytes: 512 << 10)
    let log = try EventLog(disk, configuration)
    let payload = [UInt8](repeating: 1, count: 3000)
    let stream = try StreamName("s")
    func fill(_ ids: Range<UInt64>) {
      for id in ids {
        let event = EventDraft(id: EventID(high: 0, low: id), type: "counted", payload: payload)
        log.append([StreamAppend(stream: stream, events: [event])]) { if case .failure(let error) = $0 { Issue.record("\(error)") } }
      }
    }
    fill(0..<150)
    var seen: [UInt64] = []
    var next: UInt64 = 150
    try log.replay { event in
      seen.append(event.position)
      if seen.count % 2 == 0, next < 600 {
        fill(next..<next + 60)
        next += 60
      }
      return true
    }
    let first = try log.page(ReadRequest(.all, limit: 1)).events[0].position
    #expect(seen == seen.sorted() && Set(seen).count == seen.count && seen.last! < 150)
    #expect(first > 150 || Set(seen).isSuperset(of: first..<150))
    // Half of it, and what was there by then.
    var stopped = 0
    try log.replay(from: first + 50) { _ in
      stopped += 1
      return stopped < 3
    }
    #expect(stopped == 3)
    log.close()
  }

  @Test("a log is continued on a disk of smaller pieces in its own, and refused on one of larger")
  func units() async throws {
    let disk = SimulatedDisk(unit: 16_384)
    var log = try EventLog(disk, configuration())
    _ = try await log.append("s", .any, [1])
    log.close()
    let smaller = disk.copy(unit: 4096)
    for id in 2..<6 {
      log = try EventLog(smaller, configuration())
      _ = try await log.append("s", .any, [UInt64(id)])
      _ = try await log.append("s", .any, [UInt64(id) + 100])
      log.close()
    }
    log = try EventLog(smaller, configuration())
    #expect(try log.page(ReadRequest(.all)).events.map(\.id.low) == [1, 2, 102, 3, 103, 4, 104, 5, 105])
    log.close()
    let made = SimulatedDisk()
    try EventLog(made, configuration()).close()
    #expect(throws: LogError.self) { try EventLog(made.copy(unit: 16_384), configuration()) }
  }
}
