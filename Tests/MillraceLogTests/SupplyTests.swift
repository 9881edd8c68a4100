import MillraceCore
import MillraceLog
import MillraceSimulation
import Synchronization
import Testing

@Suite struct SupplyTests {
  private static let segment = 16 << 20

  private func configuration() -> EventLog.Configuration {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = Self.segment
    configuration.firstSegmentBytes = 4 << 20
    return configuration
  }

  /// Bytes that are used of the segment at hand, as far as all of the appends say.
  private static func used(_ appended: Int) -> Int { appended * 20_480 + 8192 }

  @Test("the next file is written in small pieces, no faster than the segment at hand fills, and is there before it is full")
  func pace() async throws {
    let appended = Atomic<Int>(0)
    let first = 4 << 20
    let filled = Atomic<Int>(0)
    let isDone = Atomic<Bool>(false)
    let tooEarly = Atomic<Int>(0)
    let storage = Interposed(
      SimulatedDisk(),
      filling: { name, bytes, pace in
        guard name == "filling" else { return }
        #expect(bytes == 2 * first)
        var done = 0
        while done < bytes {
          let piece = pace(done)
          if piece == 0 { return }
          // What was appended before this was asked for is less than what is appended now.
          let allowed =
            Double(bytes) * (1.0 / 16 + 1.5 * Double(Self.used(appended.load(ordering: .sequentiallyConsistent) + 1)) / Double(first))
          if Double(done) > allowed { tooEarly.add(1, ordering: .relaxed) }
          #expect(piece <= 256 << 10)
          done += piece
          filled.store(done, ordering: .sequentiallyConsistent)
        }
        isDone.store(true, ordering: .sequentiallyConsistent)
      })
    let log = try EventLog(storage, configuration())
    // Commits of five units. By four fifths of the segment all is there: the last append lets it come to its end.
    let count = first * 4 / 5 / 20_480
    for number in 0..<count {
      appended.store(number + 1, ordering: .sequentiallyConsistent)
      _ = try await log.append("s", .any, [UInt64(number)], payload: Array(repeating: 1, count: 16_384))
    }
    while !isDone.load(ordering: .sequentiallyConsistent) { await Task.yield() }
    #expect(tooEarly.load(ordering: .relaxed) == 0)
    #expect(try storage.names().filter { $0.hasSuffix(".log") }.count == 1)
    log.close()
  }

  @Test("a log that is closed does not wait for the next file, and leaves none that is not whole")
  func closed() async throws {
    let asked = Atomic<Int>(0)
    let storage = Interposed(
      SimulatedDisk(),
      filling: { name, bytes, pace in
        guard name == "filling" else { return }
        var done = 0
        while done < bytes {
          let piece = pace(done)
          if piece == 0 { throw StorageError("write", name, code: 125, "Operation canceled") }
          done += piece
          asked.store(done, ordering: .sequentiallyConsistent)
        }
      })
    let log = try EventLog(storage, configuration())
    while asked.load(ordering: .sequentiallyConsistent) == 0 { await Task.yield() }
    log.close()
    #expect(asked.load(ordering: .sequentiallyConsistent) < 8 << 20)
    #expect(try !storage.names().contains("next") && !storage.names().contains("filling"))
  }

  @Test("what is to go goes when a segment begins, however slowly the next file is written", .timeLimit(.minutes(5)))
  func retires() async throws {
    let storage = Interposed(
      SimulatedDisk(),
      filling: { name, bytes, pace in
        var done = 0
        while name == "filling", done < bytes {
          let piece = pace(done)
          if piece == 0 { throw StorageError("write", name, code: 125, "Operation canceled") }
          done += piece
        }
      })
    var configuration = configuration()
    configuration.retention = Retention(bytes: 1)
    let log = try EventLog(storage, configuration)
    var number: UInt64 = 0
    while try !storage.names().contains("00000000000000000002.log") {
      _ = try await log.append("s", .any, [number], payload: Array(repeating: 1, count: 16_384))
      number += 1
    }
    while try storage.names().contains("00000000000000000001.log") { await Task.yield() }
    log.close()
  }

  @Test("segments grow to their size, each twice as long as the one before; what a killed process left of a file goes")
  func growth() async throws {
    let disk = SimulatedDisk()
    disk.put("filling", [1, 2, 3])
    var configuration = configuration()
    configuration.segmentBytes = 1 << 20
    configuration.firstSegmentBytes = 128 << 10
    let log = try EventLog(disk, configuration)
    for number in 0..<200 { _ = try await log.append("s", .any, [UInt64(number)], payload: Array(repeating: 1, count: 16_384)) }
    log.close()
    let sizes = try disk.names().filter { $0.hasSuffix(".log") }.sorted().map { try #require(disk.bytes(of: $0)).count >> 10 }
    #expect(sizes.prefix(4) == [128, 256, 512, 1024] && sizes.dropFirst(4).allSatisfy { $0 == 1024 })
    #expect(try !disk.names().contains("filling"))
  }

  @Test("a page goes on where it was when the oldest segments go meanwhile", arguments: [ReadRequest.Scope.all, .category("s")])
  func retired(_ scope: ReadRequest.Scope) async throws {
    let disk = SimulatedDisk()
    let reads = Mutex<(count: Int, act: (@Sendable () throws -> Void)?)>((0, nil))
    let storage = Interposed(
      disk,
      reading: {
        let act = reads.withLock { reads in
          reads.count += 1
          return reads.count % 3 == 0 ? reads.act : nil
        }
        try act?()
      })
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 64 << 10
    configuration.firstSegmentBytes = 64 << 10
    configuration.hasThreads = false
    configuration.retention = Retention(bytes: 512 << 10)
    let log = try EventLog(storage, configuration)
    let number = Atomic<UInt64>(0)
    // Without threads an append has ended when it returns.
    @Sendable func fill(_ count: Int) throws {
      for _ in 0..<count {
        let id = EventID(high: 0, low: number.add(1, ordering: .relaxed).newValue)
        let event = EventDraft(id: id, type: "counted", payload: Array(repeating: 1, count: 3000))
        log.append([StreamAppend(stream: try StreamName("s-1"), expected: .any, events: [event])]) { result in
          if case .failure(let error) = result { Issue.record("\(error)") }
        }
      }
    }
    try fill(200)
    // While one page is read, appends retire segment after segment.
    reads.withLock { $0.act = { try fill(9) } }
    let start = try log.page(ReadRequest(.all, limit: 1)).events[0].position
    let end = number.load(ordering: .relaxed)
    let page = try log.page(ReadRequest(scope, limit: 4096, bytes: 1 << 30))
    reads.withLock { $0.act = nil }
    let left = try log.page(ReadRequest(.all, limit: 1)).events[0].position
    #expect(left > start)
    let seen = Set(page.events.map(\.position))
    #expect(page.events.map(\.position) == seen.sorted())
    for position in left..<end where !seen.contains(position) { Issue.record("\(position) was passed over") }
    log.close()
  }
}

/// A storage that lets a test in before files are filled or read.
final class Interposed: LogStorage {
  typealias Filling = @Sendable (String, Int, (Int) -> Int) throws -> Void
  private let disk: SimulatedDisk
  private let filling: Filling
  private let reading: @Sendable () throws -> Void

  init(_ disk: SimulatedDisk, reading: @escaping @Sendable () throws -> Void = {}, filling: @escaping Filling = { _, _, _ in }) {
    self.disk = disk
    self.filling = filling
    self.reading = reading
  }

  var unit: Int { disk.unit }
  func names() throws(StorageError) -> [String] { try disk.names() }
  func create(_ name: String, bytes: Int, pace: (Int) -> Int) throws(StorageError) -> any LogFile {
    do { try filling(name, bytes, pace) } catch { throw error as? StorageError ?? StorageError("create", name, code: 5, "\(error)") }
    return File(try disk.create(name, bytes: bytes, pace: pace), reading)
  }
  func open(_ name: String, writing: Bool) throws(StorageError) -> any LogFile { File(try disk.open(name, writing: writing), reading) }
  func rename(_ name: String, to other: String) throws(StorageError) { try disk.rename(name, to: other) }
  func remove(_ name: String) throws(StorageError) { try disk.remove(name) }
  func syncNames() throws(StorageError) { try disk.syncNames() }
  func lock(owner: String) throws(StorageError) { try disk.lock(owner: owner) }
  func unlock() { disk.unlock() }

  private final class File: LogFile {
    private let file: any LogFile
    private let reading: @Sendable () throws -> Void
    init(_ file: any LogFile, _ reading: @escaping @Sendable () throws -> Void) {
      self.file = file
      self.reading = reading
    }
    var bytes: Int { file.bytes }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(StorageError) -> Int {
      do { try reading() } catch { throw StorageError("read", "", code: 5, "\(error)") }
      return try unsafe file.read(into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) { try unsafe file.write(bytes, at: offset) }
  }
}
