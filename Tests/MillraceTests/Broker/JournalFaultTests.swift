import MillraceBroker
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

@Suite struct JournalFaultTests {
  private let configuration = JournalHistory.configuration(TestTime())

  /// Opened, recovered, with queue 1.
  private func open(_ disk: SimulatedDisk, _ endings: JournalEndings) throws -> LogQueueJournal {
    let journal = try LogQueueJournal(disk, configuration)
    _ = try journal.back(endings)
    try journal.record([.declare(.queue("one", 1))], token: .max)
    return journal
  }

  private func recovered(_ disk: SimulatedDisk) throws -> Recovered {
    let journal = try LogQueueJournal(disk, configuration)
    defer { journal.close() }
    let endings = JournalEndings()
    return try journal.back(endings).0
  }

  private func message(_ bytes: Int) -> SentMessage { SentMessage(queues: [1], payload: Array(repeating: 1, count: bytes)) }

  @Test("a full disk refuses messages, keeps settlements for later, and all goes on when there is room")
  func fullDisk() throws {
    let disk = SimulatedDisk(room: 256 << 10)
    let endings = JournalEndings()
    let journal = try open(disk, endings)
    defer { journal.close() }
    var written: [UInt64] = []
    var token: UInt64 = 0
    while true {
      token += 1
      let number = try journal.send([message(3_000)], token: token)
      guard endings.outcome(token) == .written else { break }
      written.append(number)
    }
    #expect(endings.outcome(token) == .noSpace)
    #expect(written.count > 30)
    // The rest of the segment is filled with what needs less.
    repeat {
      token += 1
      try journal.send(counts: [JournalCount(written[0], in: 1, acquired: 1, failed: 1)], token: token)
    } while endings.outcome(token) == .written
    #expect(endings.outcome(token) == .noSpace)
    token += 1
    try journal.send([message(10)], settled: [JournalSettlement(written[1], in: 1, .rejected)], token: token)
    #expect(endings.outcome(token) == .noSpace)
    token += 1
    try journal.send(settled: [JournalSettlement(written[2], in: 1, .acknowledged)], token: token)
    #expect(endings.outcome(token) == .noSpace)
    // Nothing is lost by a crash now; what could not be written comes again.
    var random = Seed(1)
    let image = disk.afterCrash(.lost, &random)
    #expect(throws: JournalError.storage("the journal of queues cannot be written: the disk is full")) { try recovered(image.copy()) }
    image.setRoom(2 << 20)
    #expect(try recovered(image).messages.map(\.number) == written)
    disk.setRoom(2 << 20)
    token += 1
    let last = try journal.send([message(3_000)], token: token)
    #expect(endings.outcome(token) == .written)
    let back = try recovered(disk.afterCrash(.lost, &random))
    #expect(back.messages.map(\.number) == written.filter { $0 != written[2] } + [last])
    #expect(back.messages[0].places[0].failed == 1)
    journal.close()
  }

  @Test("a full disk does not keep a pass from ending when there is room again")
  func passWithoutRoom() throws {
    let disk = SimulatedDisk()
    let endings = JournalEndings()
    let journal = try open(disk, endings)
    defer { journal.close() }
    var written: [UInt64] = []
    var used = 0
    for round in 0..<2_000 {
      // No room for a part of the time.
      if round % 200 == 100 { disk.setRoom(0) }
      if round % 200 == 199 { disk.setRoom(1 << 30) }
      let number = try journal.send([message(1_500)], token: UInt64(round + 1))
      if endings.outcome(UInt64(round + 1)) == .written { written.append(number) }
      if written.count > 8 { try journal.send(settled: [JournalSettlement(written.remove(at: round % 4), in: 1, .acknowledged)]) }
      used = max(used, try disk.names().count)
    }
    #expect(journal.spaceProblem == nil)
    #expect(used < 12)
    journal.close()
    #expect(try recovered(disk.copy()).messages.map(\.number) == written)
  }

  @Test("after a write that failed all is refused, and what was written is there when the journal is opened again")
  func brokenDisk() throws {
    let disk = SimulatedDisk()
    let endings = JournalEndings()
    let journal = try open(disk, endings)
    defer { journal.close() }
    let first = try journal.send([message(10), message(20)], token: 1)
    var random = Seed(1)
    let before = disk.afterCrash(.lost, &random)
    disk.breakDown()
    try journal.send([message(30)], token: 2)
    #expect(endings.outcome(1) == .written && endings.outcome(2) == .unknown)
    #expect(throws: JournalRefusal.failed) { try journal.send([message(30)]) }
    #expect(throws: JournalRefusal.failed) { try journal.record([], token: 1) }
    #expect(journal.failureText?.contains("Input/output error") == true)
    journal.close()
    #expect(try recovered(before).messages.map(\.number) == [first, first + 1])
  }

  @Test("a damaged record is refused by its position")
  func damage() throws {
    let disk = SimulatedDisk()
    let endings = JournalEndings()
    let journal = try open(disk, endings)
    defer { journal.close() }
    for token in 1...3 { try journal.send([SentMessage(queues: [1], payload: Array(repeating: 0x5a, count: 100))], token: UInt64(token)) }
    var random = Seed(1)
    let image = disk.afterCrash(.lost, &random)
    journal.close()
    let name = try #require(try image.names().first { $0.hasSuffix(".log") })
    let bytes = try #require(image.bytes(of: name))
    let at = try #require(bytes.indices.first { bytes[$0] == 0x5a && bytes[$0 + 99] == 0x5a })
    image.flip(name, bit: 8 * at + 3)
    // Positions 0 and 1 are the opening and the queue.
    #expect {
      try recovered(image)
    } throws: { error in
      if case .damaged(position: 2, _)? = error as? JournalError { true } else { false }
    }
  }

  @Test("a log that holds something else is no journal")
  func otherLog() throws {
    let disk = SimulatedDisk()
    let log = try EventLog(disk, configuration.log)
    log.append([
      StreamAppend(stream: try StreamName("orders"), events: [EventDraft(id: EventID(high: 1, low: 1), type: "placed", payload: [])])
    ]) {
      _ in
    }
    log.close()
    #expect {
      try recovered(disk)
    } throws: { error in
      if case .damaged(position: 0, _)? = error as? JournalError { true } else { false }
    }
  }

  @Test("what is dead gives its room back, and what lives long is carried along")
  func space() throws {
    let disk = SimulatedDisk()
    let endings = JournalEndings()
    let journal = try open(disk, endings)
    defer { journal.close() }
    let old = try journal.send([message(100), SentMessage(queues: [1], id: [9], idExpiry: 1_000)])
    try journal.send(
      settled: [JournalSettlement(old + 1, in: 1, .acknowledged)], counts: [JournalCount(old, in: 1, acquired: 2, failed: 1)])
    var files = 0
    for _ in 0..<3_000 {
      let number = try journal.send([message(1_000)])
      try journal.send(settled: [JournalSettlement(number, in: 1, .acknowledged)])
      files = max(files, try disk.names().count)
    }
    journal.close()
    #expect(journal.passes > 30)
    // 3 MB went through segments of 64 KiB.
    #expect(files < 12)
    let back = try recovered(disk)
    #expect(back.messages.map(\.number) == [old])
    #expect(back.messages[0].places == [.init(queue: 1, acquired: 2, failed: 1, isRedelivered: true)])
    #expect(Set(back.seen) == [SeenID(id: [9], until: 1_000)])
    let queue = try DurableDefinition.queue("one", 1)
    #expect(back.definitions == [queue])
  }

  @Test("messages as large as a batch may be are carried along too")
  func large() throws {
    let disk = SimulatedDisk()
    var configuration = configuration
    configuration.log.segmentBytes = 20 << 20
    configuration.log.firstSegmentBytes = 20 << 20
    configuration.spaceBytes = 1 << 20
    configuration.copyBytes = 256 << 10
    let journal = try LogQueueJournal(disk, configuration)
    defer { journal.close() }
    let endings = JournalEndings()
    _ = try journal.back(endings)
    try journal.record([.declare(.queue("one", 1))], token: 1)
    let small = try journal.send([message(200_000)])
    let large = try journal.send([message(JournalLimits.batchBytes - 56)], token: 2)
    #expect(endings.outcome(2) == .written)
    for _ in 0..<12 {
      let number = try journal.send([message(8 << 20)])
      try journal.send(settled: [JournalSettlement(number, in: 1, .acknowledged)])
    }
    #expect(journal.passes > 0 && journal.spaceProblem == nil)
    journal.close()
    let again = try LogQueueJournal(disk, configuration)
    defer { again.close() }
    let back = try again.back(endings).0
    #expect(back.messages.map(\.number) == [small, large])
    #expect(back.messages.map(\.payload.count) == [200_000, JournalLimits.batchBytes - 56])
  }
}
