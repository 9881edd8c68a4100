import Foundation
import MillraceBroker
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

/// Where journals can be opened, one after the other, on the same storage.
struct JournalPlace: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let make: @Sendable () throws -> @Sendable () throws -> any QueueJournal

  static let all = [
    JournalPlace(testDescription: "a log without threads, on a simulated disk") {
      let disk = SimulatedDisk()
      var configuration = JournalHistory.configuration(TestTime())
      configuration.log.segmentBytes = 1 << 20
      configuration.log.firstSegmentBytes = 1 << 20
      return { [configuration] in try LogQueueJournal(disk, configuration) }
    },
    JournalPlace(testDescription: "a log with threads, on a simulated disk") {
      let disk = SimulatedDisk()
      var configuration = JournalHistory.configuration(TestTime())
      configuration.log.hasThreads = true
      configuration.log.segmentBytes = 1 << 20
      configuration.log.capacity = 1_024
      return { [configuration] in try LogQueueJournal(disk, configuration) }
    },
    JournalPlace(testDescription: "a log in a directory") {
      let directory = Directory()
      var configuration = LogQueueJournal.Configuration()
      configuration.log.firstSegmentBytes = 1 << 20
      configuration.log.segmentBytes = 1 << 20
      configuration.log.wallClock = { 1 }
      return { [configuration] in try LogQueueJournal(DirectoryStorage(directory.path), configuration) }
    },
  ]

  private final class Directory: Sendable {
    let path = NSTemporaryDirectory() + "journal-\(UUID().uuidString)"
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }
}

/// The promises of `QueueJournal`, for any of them.
@Suite struct JournalConformance {
  /// A journal that is open, and what it has told.
  private final class Session {
    let journal: any QueueJournal
    let endings = JournalEndings()
    let back: Recovered
    let recovery: JournalRecovery
    private var token: UInt64 = 0

    init(_ open: @Sendable () throws -> any QueueJournal) throws {
      journal = try open()
      do { (back, recovery) = try journal.back(endings) } catch {
        journal.close()
        throw error
      }
    }

    /// On stable storage when it returns.
    @discardableResult
    func send(_ messages: [SentMessage] = [], settled: [JournalSettlement] = [], counts: [JournalCount] = []) throws -> UInt64 {
      token += 1
      let first = try journal.send(messages, settled: settled, counts: counts, token: token)
      #expect(endings.wait(token) == .written)
      return first
    }

    func record(_ changes: JournalChange...) throws {
      token += 1
      try journal.record(changes, token: token)
      #expect(endings.wait(token) == .written)
    }
  }

  /// Opens, and closes again.
  private func session<Value>(_ open: @Sendable () throws -> any QueueJournal, _ body: (Session) throws -> Value) throws -> Value {
    let session = try Session(open)
    defer { session.journal.close() }
    return try body(session)
  }

  @Test("messages come back as they were sent, in the order of their numbers, once for all of their queues", arguments: JournalPlace.all)
  func messages(_ place: JournalPlace) throws {
    let open = try place.make()
    let sent = [
      SentMessage(queues: [1], payload: [1, 2, 3], properties: [4, 5], priority: 3, expiry: 10, due: -7),
      SentMessage(queues: [2, 1], payload: [], properties: []),
      SentMessage(queues: [2], payload: Array(repeating: 9, count: 70_000), id: [7, 7], idExpiry: 5),
    ]
    let first = try session(open) { session in
      #expect(session.back.messages.isEmpty && session.recovery.wasClean)
      try session.record(.declare(.queue("one", 1)), .declare(.queue("two", 2)))
      let first = try session.send(sent)
      // For a queue that there is not.
      try session.send([SentMessage(queues: [9], payload: [1])])
      return first
    }
    try session(open) { session in
      let messages = session.back.messages
      #expect(messages.map(\.number) == [first, first + 1, first + 2])
      #expect(messages.map(\.payload) == sent.map(\.payload) && messages.map(\.properties) == sent.map(\.properties))
      #expect(messages.map(\.expiry) == [10, nil, nil] && messages.map(\.due) == [-7, nil, nil] && messages.map(\.priority) == [3, 0, 0])
      #expect(messages.map { $0.places.map(\.queue) } == [[1], [1, 2], [2]])
      #expect(messages[2].id == [7, 7] && messages[2].idExpiry == 5)
      #expect(session.back.numbers(of: 2) == [first + 1, first + 2])
      #expect(session.recovery.messages == 3 && session.recovery.places == 4 && session.recovery.nextQueue == 3)
      let next = try session.send([SentMessage(queues: [1])])
      #expect(next >= session.recovery.nextMessage)
      #expect(session.recovery.nextMessage > first + 3)
    }
  }

  @Test("what was settled in a queue does not come back there; a dead letter has moved wholly", arguments: JournalPlace.all)
  func settlements(_ place: JournalPlace) throws {
    let open = try place.make()
    let (first, moved) = try session(open) { session in
      try session.record(.declare(.queue("one", 1)), .declare(.queue("two", 2)))
      let first = try session.send([SentMessage(queues: [1]), SentMessage(queues: [1, 2]), SentMessage(queues: [1])])
      try session.send(settled: [
        JournalSettlement(first, in: 1, .acknowledged), JournalSettlement(first + 1, in: 1, .expired),
        // Unknown: by number, by queue, a second time.
        JournalSettlement(first + 1_000, in: 1, .rejected), JournalSettlement(first + 2, in: 2, .purged),
        JournalSettlement(first, in: 1, .purged),
      ])
      return (first, try session.send([SentMessage(queues: [2])], settled: [JournalSettlement(first + 2, in: 1, .deliveryLimit)]))
    }
    try session(open) { session in
      #expect(session.back.numbers(of: 1) == [])
      #expect(session.back.numbers(of: 2) == [first + 1, moved])
    }
  }

  @Test("counts only rise; after a clean stop only what was delivered is redelivered", arguments: JournalPlace.all)
  func counts(_ place: JournalPlace) throws {
    let open = try place.make()
    let first = try session(open) { session in
      try session.record(.declare(.queue("one", 1)), .declare(.queue("two", 2)))
      let first = try session.send([SentMessage(queues: [1, 2]), SentMessage(queues: [1])])
      try session.send(counts: [JournalCount(first, in: 2, acquired: 3, failed: 2)])
      try session.send(counts: [JournalCount(first, in: 2, acquired: 4, failed: 1), JournalCount(first + 1, in: 2, acquired: 1, failed: 1)])
      return first
    }
    try session(open) { session in
      #expect(session.recovery.wasClean)
      #expect(session.back.messages.map(\.number) == [first, first + 1])
      #expect(
        session.back.messages.map(\.places) == [
          [
            .init(queue: 1, acquired: 0, failed: 0, isRedelivered: false), .init(queue: 2, acquired: 4, failed: 2, isRedelivered: true),
          ],
          [.init(queue: 1, acquired: 0, failed: 0, isRedelivered: false)],
        ])
    }
  }

  @Test(
    "exchanges, queues and bindings come back as they were declared last; what is deleted takes its bindings and messages",
    arguments: JournalPlace.all)
  func definitions(_ place: JournalPlace) throws {
    let open = try place.make()
    let (orders, audit) = (try BrokerName("orders"), try BrokerName("audit"))
    var options = ExchangeOptions()
    options.isDurable = true
    options.alternate = audit
    var configuration = QueueConfiguration()
    configuration.timeToLive = 5
    configuration.deliveryLimit = nil
    let exchange = DurableDefinition.exchange(DurableExchange(orders, .headers, options))
    let queue = DurableDefinition.queue(DurableQueue(audit, number: 4, configuration, attributes: [1, 2, 3]))
    let arguments = try Headers([("x-match", .text("any")), ("n", .integer(5))])
    let bindings = [
      Binding(orders, to: .queue(audit), key: "k", arguments: arguments), Binding(orders, to: .queue(try BrokerName("other"))),
      Binding(orders, to: .exchange(try BrokerName("more")), key: [0, 255]),
    ]
    let other = try DurableDefinition.queue("other", 6)
    let renewed = try DurableDefinition.queue("audit", 7)
    try session(open) { session in
      try session.record(.declare(exchange), .declare(.queue("audit", 4)), .declare(queue), .declare(.queue("other", 6)))
      try session.record(.declare(.binding(bindings[0])), .declare(.binding(bindings[1])), .declare(.binding(bindings[2])))
      try session.send([SentMessage(queues: [4, 6])])
    }
    try session(open) { session in
      #expect(session.back.definitions == [exchange, queue, other] + bindings.map { .binding($0) })
      try session.record(.delete(.queue(try BrokerName("other"))), .delete(.binding(bindings[2])))
    }
    try session(open) { session in
      #expect(session.back.definitions == [exchange, queue, .binding(bindings[0])])
      #expect(session.back.messages.map { $0.places.map(\.queue) } == [[4]])
      #expect(session.recovery.nextQueue == 7)
      try session.record(.delete(.exchange(orders)))
      // Under another number it is another queue.
      try session.record(.declare(renewed))
    }
    try session(open) { session in
      #expect(session.back.definitions == [renewed])
      #expect(session.back.messages.isEmpty)
    }
  }

  @Test("ids of messages come back as long as they are to be known, wherever the message is", arguments: JournalPlace.all)
  func ids(_ place: JournalPlace) throws {
    let open = try place.make()
    try session(open) { session in
      try session.record(.declare(.queue("one", 1)))
      let first = try session.send([
        SentMessage(queues: [1], id: [1], idExpiry: 100), SentMessage(queues: [1], id: [2], idExpiry: 1), SentMessage(queues: [1]),
      ])
      try session.send(settled: (first..<first + 3).map { JournalSettlement($0, in: 1, .acknowledged) })
    }
    try session(open) { session in
      #expect(Set(session.back.seen) == [SeenID(id: [1], until: 100)])
      #expect(session.back.messages.isEmpty)
    }
  }

  @Test("a batch has up to 1,024 of each kind; what is more is refused and changes nothing", arguments: JournalPlace.all)
  func batches(_ place: JournalPlace) throws {
    let open = try place.make()
    let most = JournalLimits.batch
    let first = try session(open) { session in
      try session.record(.declare(.queue("one", 1)))
      let first = try session.send((0..<most).map { SentMessage(queues: [1], payload: [UInt8(truncatingIfNeeded: $0)]) })
      #expect(throws: JournalRefusal.tooLarge) { try session.send((0...most).map { _ in SentMessage(queues: [1]) }) }
      #expect(throws: JournalRefusal.tooLarge) {
        try session.send([SentMessage(queues: [1], payload: Array(repeating: 0, count: JournalLimits.batchBytes))])
      }
      #expect(throws: JournalRefusal.tooLarge) {
        try session.send(settled: (0...most).map { JournalSettlement(first + UInt64($0), in: 1, .acknowledged) })
      }
      try session.send([SentMessage(queues: [1])], counts: [JournalCount(first, in: 1, acquired: 1, failed: 0)])
      return first
    }
    try session(open) { session in
      #expect(session.back.messages.count == most + 1)
      #expect(session.back.messages.prefix(most).map(\.payload) == (0..<most).map { [UInt8(truncatingIfNeeded: $0)] })
      try session.send(settled: (0..<most).map { JournalSettlement(first + UInt64($0), in: 1, .acknowledged) })
    }
    try session(open) { #expect($0.back.messages.count == 1) }
  }

  @Test("endings come in the order of the calls, each once; before recovery and after closing all is refused", arguments: JournalPlace.all)
  func order(_ place: JournalPlace) throws {
    let open = try place.make()
    let early = try open()
    #expect(throws: JournalRefusal.closed) { try early.send([SentMessage(queues: [1])]) }
    early.close()
    let session = try Session(open)
    try session.journal.record([.declare(.queue("one", 1))], token: 1)
    for token in 2...500 { try session.journal.send([SentMessage(queues: [1])], token: UInt64(token), mayWait: token % 3 == 0) }
    try session.journal.send([SentMessage(queues: [1])])
    session.journal.close()
    #expect(session.endings.list.map(\.token) == Array(1...500))
    #expect(session.endings.list.allSatisfy { $0.outcome == .written })
    #expect(throws: JournalRefusal.closed) { try session.journal.send([SentMessage(queues: [1])]) }
    #expect(throws: JournalRefusal.closed) { try session.journal.record([.delete(.queue(BrokerName("one")))], token: 1) }
    try self.session(open) { #expect($0.back.messages.count == 500) }
  }
}
