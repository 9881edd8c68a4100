import MillraceBroker
import MillraceCore
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

/// Threads that publish, settle and count, passes all the time, and looks at what a process that is killed at any moment would leave.
@Suite struct JournalThreadTests {
  private static func configuration() -> LogQueueJournal.Configuration {
    var configuration = JournalHistory.configuration(TestTime())
    configuration.log.hasThreads = true
    configuration.log.capacity = 64
    return configuration
  }

  private func recovered(_ disk: SimulatedDisk) throws -> Recovered {
    let journal = try LogQueueJournal(disk, JournalHistory.configuration(TestTime()))
    defer { journal.close() }
    let endings = JournalEndings()
    return try journal.back(endings).0
  }

  @Test("a process that is killed under load loses nothing that was written, and brings nothing back that was settled")
  func killed() throws {
    let disk = SimulatedDisk()
    let ledger = Ledger()
    let journal = try LogQueueJournal(disk, Self.configuration())
    var nothing = Recovered()
    _ = try journal.recover(ledger.sink, &nothing)
    try journal.record([.declare(.queue("one", 1)), .declare(.queue("two", 2))], token: 0)
    let workers = Workers()
    for thread in 0..<2 { workers.start { Self.publish(journal, ledger, thread) } }
    for thread in 0..<2 { workers.start { Self.settle(journal, ledger, thread) } }
    var random = Seed(11)
    var looks = 0
    while !workers.isDone {
      let before = ledger.moment
      let image = Bool.random(using: &random) ? disk.copy() : disk.afterCrash(.lost, &random)
      let after = ledger.moment
      let back = try recovered(image)
      looks += 1
      let there = Set(back.messages.flatMap { message in message.places.map { Ledger.Place(message: message.number, queue: $0.queue) } })
      #expect(before.written.subtracting(after.asked).subtracting(there).isEmpty, "lost, at look \(looks)")
      #expect(there.intersection(before.settled).isEmpty, "back, at look \(looks)")
      #expect(back.messages.map(\.number) == back.messages.map(\.number).sorted())
      // Each message has its payload: its number in the thread.
      #expect(back.messages.allSatisfy { $0.payload.count == 64 })
      let counts = before.counts.filter { there.contains($0.key) }
      for message in back.messages {
        for place in message.places {
          #expect(
            place.failed >= counts[Ledger.Place(message: message.number, queue: place.queue)] ?? 0, "a count was lost, at look \(looks)")
        }
      }
    }
    journal.close()
    let end = ledger.moment
    let there = Set(
      try recovered(disk.copy()).messages.flatMap { message in message.places.map { Ledger.Place(message: message.number, queue: $0.queue) }
      })
    #expect(there == end.written.subtracting(end.settled))
    #expect(end.asked == end.settled)
    #expect(looks > 3 && journal.passes > 10)
    #expect(try disk.names().count < 40)
  }

  private static let messages = 6_000

  private static func publish(_ journal: LogQueueJournal, _ ledger: Ledger, _ thread: Int) {
    var random = Seed(UInt64(thread) + 100)
    var sent = 0
    while sent < messages {
      let count = Int.random(in: 1...4, using: &random)
      let batch = (0..<count).map { _ in
        SentMessage(queues: Bool.random(using: &random) ? [1] : [1, 2], payload: Array(repeating: 7, count: 64))
      }
      ledger.publishing(batch) { (token) throws(JournalRefusal) in try journal.send(batch, token: token, mayWait: thread == 0) }
      sent += count
    }
  }

  private static func settle(_ journal: LogQueueJournal, _ ledger: Ledger, _ thread: Int) {
    var random = Seed(UInt64(thread) + 200)
    while let places = ledger.some(&random, of: 2 * messages) {
      if Int.random(in: 0..<4, using: &random) == 0 {
        let counts = places.map { JournalCount($0.message, in: $0.queue, acquired: 1, failed: UInt16.random(in: 1...3, using: &random)) }
        ledger.counting(counts) { (token) throws(JournalRefusal) in try journal.send(counts: counts, token: token) }
      } else {
        ledger.settling(places) { (token) throws(JournalRefusal) in
          try journal.send(settled: places.map { JournalSettlement($0.message, in: $0.queue, .acknowledged) }, token: token)
        }
      }
    }
  }
}

/// Threads of a test.
private final class Workers: @unchecked Sendable {
  private let monitor = Monitor()
  private var running = 0

  deinit { monitor.deallocate() }
  var isDone: Bool { monitor.locked { running == 0 } }
  func start(_ body: @escaping @Sendable () -> Void) {
    monitor.locked { running += 1 }
    let isStarted = OwnThread.run { [self] in
      body()
      monitor.locked { running -= 1 }
    }
    precondition(isStarted, "a thread for a test")
  }
}

/// What was asked for and what was told.
private final class Ledger: @unchecked Sendable {
  struct Place: Hashable {
    var message: UInt64
    var queue: UInt32
  }

  struct Moment {
    var written: Set<Place> = []
    /// To be settled, told or not.
    var asked: Set<Place> = []
    var settled: Set<Place> = []
    /// Failed counts that are written.
    var counts: [Place: UInt16] = [:]
  }

  private enum Call {
    case published([SentMessage], first: UInt64?)
    case settled([Place])
    case counted([JournalCount])
  }

  private let monitor = Monitor()
  private var now = Moment()
  /// Published, perhaps not written yet, and nobody settles them.
  private var free: [Place] = []
  private var calls: [UInt64: Call] = [:]
  private var ended: [UInt64: JournalOutcome] = [:]
  private var token: UInt64 = 0
  private var published = 0

  deinit { monitor.deallocate() }

  var moment: Moment { monitor.locked { now } }

  var sink: JournalSink {
    unsafe JournalSink(context: Unmanaged.passUnretained(self).toOpaque()) { context, array, count in
      let ledger = unsafe Unmanaged<Ledger>.fromOpaque(context!).takeUnretainedValue()
      let told = unsafe Array(JournalSink.endings(array, count))
      ledger.monitor.locked { for ending in told { ledger.told(ending.token, ending.outcome) } }
    }
  }

  /// Some to settle or to count; nil: all of `total` messages are settled.
  func some(_ random: inout Seed, of total: Int) -> [Place]? {
    let count = Int.random(in: 1...6, using: &random)
    let seed = random.next()
    return monitor.locked {
      while free.isEmpty {
        if published >= total { return nil }
        monitor.wait(.work)
      }
      var random = Seed(seed)
      // A few stay for long.
      return (0..<min(count, free.count)).map { _ in
        let index = Int.random(in: max(0, free.count - 400)..<free.count, using: &random)
        let place = free[index]
        free.swapAt(index, free.count - 1)
        free.removeLast()
        return place
      }
    }
  }

  func publishing(_ messages: [SentMessage], _ send: (UInt64) throws(JournalRefusal) -> UInt64) {
    let token = begin(.published(messages, first: nil))
    let first = call(token, send)
    monitor.locked {
      calls[token] = .published(messages, first: first)
      published += messages.count
      for (index, message) in messages.enumerated() { free += message.queues.map { Place(message: first + UInt64(index), queue: $0) } }
      if let outcome = ended[token] { finish(token, outcome) }
      monitor.broadcast(.work)
    }
  }

  func settling(_ places: [Place], _ send: (UInt64) throws(JournalRefusal) -> UInt64) {
    monitor.locked { now.asked.formUnion(places) }
    _ = call(begin(.settled(places)), send)
  }

  func counting(_ counts: [JournalCount], _ send: (UInt64) throws(JournalRefusal) -> UInt64) {
    _ = call(begin(.counted(counts)), send)
    monitor.locked { free += counts.map { Place(message: $0.message, queue: $0.queue) } }
  }

  private func begin(_ call: Call) -> UInt64 {
    monitor.locked {
      token += 1
      calls[token] = call
      return token
    }
  }

  private func call(_ token: UInt64, _ send: (UInt64) throws(JournalRefusal) -> UInt64) -> UInt64 {
    var backoff = Backoff()
    while true {
      do throws(JournalRefusal) { return try send(token) } catch {
        precondition(error == .busy, "refused: \(error)")
        backoff.pause()
      }
    }
  }

  private func told(_ token: UInt64, _ outcome: JournalOutcome) {
    if token == 0 { return }
    ended[token] = outcome
    finish(token, outcome)
  }

  private func finish(_ token: UInt64, _ outcome: JournalOutcome) {
    precondition(outcome == .written, "it ended as \(outcome)")
    switch calls[token] {
    case .published(let messages, let first?):
      for (index, message) in messages.enumerated() {
        now.written.formUnion(message.queues.map { Place(message: first + UInt64(index), queue: $0) })
      }
    case .published(_, nil): return
    case .settled(let places): now.settled.formUnion(places)
    case .counted(let counts):
      for count in counts {
        now.counts[Place(message: count.message, queue: count.queue), default: 0] = max(
          count.failed, now.counts[Place(message: count.message, queue: count.queue)] ?? 0)
      }
    case nil: return
    }
    calls[token] = nil
    ended[token] = nil
  }
}
