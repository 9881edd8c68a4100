import MillraceBroker
import MillraceLog
import MillraceSimulation
import Synchronization

@testable import Millrace

/// Random operations on a journal without threads over a simulated disk, and a model beside it: each call has ended when it returns. One seed gives one history.
final class JournalHistory {
  struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  /// Small, so that segments and passes come often.
  static func configuration(_ clock: TestTime) -> LogQueueJournal.Configuration {
    var configuration = LogQueueJournal.Configuration()
    configuration.log.segmentBytes = 64 << 10
    configuration.log.firstSegmentBytes = 64 << 10
    configuration.log.commitBytes = 16 << 10
    configuration.log.capacity = 16
    configuration.log.hasThreads = false
    configuration.log.wallClock = { clock.now }
    configuration.spaceBytes = 60 << 10
    configuration.copyBytes = 3 << 10
    return configuration
  }

  private let seed: UInt64
  private var random: Seed
  private(set) var disk: SimulatedDisk
  private var journal: LogQueueJournal?
  private var endings = JournalEndings()
  let clock = TestTime()
  private var nextQueue: UInt32 = 0
  private(set) var model = JournalModel()
  /// As the model is if the call that was under way took place.
  private(set) var otherModel: JournalModel?
  private var leastNumber: UInt64 = 0
  /// Consumers may have had something since the last clean stop.
  private var isDirty = false
  private var redeliveredBelow: UInt64 = 0
  /// One more than the highest number of a queue that was declared.
  private var declaredQueues: UInt32 = 0
  private(set) var operations = 0

  init(seed: UInt64, _ disk: SimulatedDisk = SimulatedDisk()) {
    self.seed = seed
    random = Seed(seed)
    self.disk = disk
  }

  deinit { close() }

  /// Goes on with what another one has left, on an image of its disk.
  init(seed: UInt64, _ disk: SimulatedDisk, after other: JournalHistory) {
    self.seed = seed
    random = Seed(seed)
    self.disk = disk
    clock.now = other.clock.now
    nextQueue = other.nextQueue
    declaredQueues = other.declaredQueues
    model = other.model
    otherModel = other.otherModel
    leastNumber = other.leastNumber
    isDirty = other.isDirty
    redeliveredBelow = other.redeliveredBelow
  }

  private func violation(_ text: String) -> Violation { Violation(description: "seed \(seed), operation \(operations): \(text)") }

  // MARK: Opening

  /// Opens what is there, compares it with the model, or with the other one; what is found holds from here on. False: the disk was switched off meanwhile.
  func open() throws -> Bool {
    let journal: LogQueueJournal
    do { journal = try LogQueueJournal(disk, JournalHistory.configuration(clock)) } catch {
      if disk.isOff {
        disk.unlock()
        return false
      }
      throw violation("it cannot be opened: \(error)")
    }
    endings = JournalEndings()
    var back = Recovered()
    let recovery: JournalRecovery
    do { recovery = try journal.recover(endings.sink, &back) } catch {
      journal.close()
      if disk.isOff { return false }
      throw violation("it cannot be recovered: \(error)")
    }
    self.journal = journal
    if let difference = model.difference(back, now: clock.now) {
      guard let other = otherModel else { throw violation(difference) }
      if let otherDifference = other.difference(back, now: clock.now) { throw violation("\(difference); and \(otherDifference)") }
      model = other
    }
    otherModel = nil
    if isDirty, recovery.wasClean { throw violation("a crash is taken for a clean stop") }
    isDirty = true
    for message in back.messages {
      for place in message.places
      where place.isRedelivered != (!recovery.wasClean || place.acquired > 0 || message.number < redeliveredBelow) {
        throw violation("\(message.number) is redelivered: \(place.isRedelivered)")
      }
    }
    if !recovery.wasClean { redeliveredBelow = recovery.nextMessage }
    guard recovery.nextMessage > leastNumber, recovery.nextQueue >= declaredQueues else {
      throw violation("numbers \(recovery.nextMessage) and \(recovery.nextQueue) were given before")
    }
    nextQueue = recovery.nextQueue
    return true
  }

  func close() {
    // The mark of a clean stop may be there or not if the disk is switched off in its midst.
    if let journal, !disk.isOff, journal.failureText == nil { isDirty = false }
    journal?.close()
    journal = nil
  }

  /// As after a crash, or as a copy.
  func go(on disk: SimulatedDisk) {
    close()
    self.disk = disk
  }

  // MARK: Operations

  /// Up to `count` operations. False: the disk was switched off.
  func run(_ count: Int) throws -> Bool {
    for _ in 0..<count {
      operations += 1
      try step()
      if disk.isOff { return false }
    }
    return true
  }

  private func step() throws {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<35: try batch(messages(), [], [])
    case 35..<60: try batch([], settlements(8), [])
    case 60..<68: try batch(messages(), settlements(2), [])
    case 68..<78: try batch([], [], counts())
    case 78..<82: try batch(messages(), settlements(3), counts())
    case 82..<95: try change()
    default: clock.now += Int64.random(in: 0..<400, using: &random)
    }
  }

  private func messages() -> [SentMessage] {
    (0..<Int.random(in: 1...4, using: &random)).map { _ in
      var numbers = model.queues.map(\.number).shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random))
      // One that is none, or not any more.
      if numbers.isEmpty || Int.random(in: 0..<20, using: &random) == 0 { numbers.append(nextQueue + 1_000) }
      let bytes = [0, 1, 30, 300, 2_500].randomElement(using: &random)!
      let hasID = Int.random(in: 0..<3, using: &random) == 0
      return SentMessage(
        queues: Array(numbers), payload: (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* operations) },
        properties: Array("exchange \(operations)".utf8), priority: UInt8.random(in: 0..<4, using: &random),
        expiry: Bool.random(using: &random) ? Int64.random(in: -5..<1_000, using: &random) : nil,
        due: Bool.random(using: &random) ? Int64.random(in: -5..<1_000, using: &random) : nil,
        id: hasID ? Array("id \(operations % 50)".utf8) : [], idExpiry: hasID ? clock.now + Int64.random(in: 0..<2_000, using: &random) : 0)
    }
  }

  private func places(_ count: Int) -> [JournalCount] {
    // The older ones rather, so that the head of the log dies.
    let numbers = model.messages.keys.sorted().prefix(count * 3).shuffled(using: &random).prefix(Int.random(in: 1...count, using: &random))
    return numbers.compactMap { model.messages[$0]!.places.values.sorted { $0.queue < $1.queue }.randomElement(using: &random) }
  }

  private func settlements(_ count: Int) -> [JournalSettlement] {
    var settled = places(count).map {
      JournalSettlement($0.message, in: $0.queue, JournalSettlement.How.allCases.randomElement(using: &random)!)
    }
    // One that is gone, or never was.
    if settled.isEmpty || Int.random(in: 0..<10, using: &random) == 0 {
      settled.append(JournalSettlement(leastNumber, in: 0, .acknowledged))
    }
    return settled
  }

  private func counts() -> [JournalCount] {
    places(3).map {
      JournalCount($0.message, in: $0.queue, acquired: $0.acquired + 1, failed: $0.failed + UInt16.random(in: 0...1, using: &random))
    }
  }

  private func batch(_ messages: [SentMessage], _ settled: [JournalSettlement], _ counts: [JournalCount]) throws {
    if messages.isEmpty, settled.isEmpty, counts.isEmpty { return }
    let token = UInt64(operations)
    let first = try journal!.send(messages, settled: settled, counts: counts, token: token)
    guard first > leastNumber || messages.isEmpty else { throw violation("number \(first) was given before") }
    if !messages.isEmpty { leastNumber = first + UInt64(messages.count) - 1 }
    try ended(token) { $0.apply(messages, first: first, settled: settled, counts: counts) }
  }

  private func change() throws {
    let change = try randomChange()
    try journal!.record([change], token: UInt64(operations))
    try ended(UInt64(operations)) { $0.apply(change) }
    if case .declare(.queue(let queue)) = change, model.queues.contains(queue) { declaredQueues = max(declaredQueues, queue.number + 1) }
  }

  private func randomChange() throws -> JournalChange {
    let exchange = try BrokerName("exchange-\(Int.random(in: 0..<3, using: &random))")
    let queue = try BrokerName("queue-\(Int.random(in: 0..<5, using: &random))")
    switch Int.random(in: 0..<12, using: &random) {
    case 0..<2: return .declare(.exchange(DurableExchange(exchange, .topic, ExchangeOptions())))
    case 2..<7:
      defer { nextQueue += 1 }
      let before = model.queues.first { $0.name == queue }?.number
      var configuration = QueueConfiguration()
      configuration.maxSize = operations + 1
      return .declare(.queue(DurableQueue(queue, number: before ?? nextQueue, configuration, attributes: [1, 2])))
    case 7..<9: return .declare(.binding(Binding(exchange, to: .queue(queue), key: "key.\(Int.random(in: 0..<3, using: &random))")))
    case 9: return .delete(.exchange(exchange))
    case 10: return .delete(.queue(queue))
    default: return .delete(.binding(Binding(exchange, to: .queue(queue), key: "key.1")))
    }
  }

  /// The call with this token has ended, or the disk was switched off.
  private func ended(_ token: UInt64, _ apply: (inout JournalModel) -> Void) throws {
    switch endings.outcome(token) {
    case .written: apply(&model)
    case .unknown where disk.isOff:
      var other = model
      apply(&other)
      otherModel = other
    case .failed where disk.isOff: break
    case let outcome: throw violation("it ended as \(outcome.map { "\($0)" } ?? "nothing")")
    }
  }
}

/// A wall clock that a test moves.
final class TestTime: Sendable {
  private let time = Mutex<Int64>(1)
  var now: Int64 {
    get { time.withLock { $0 } }
    set { time.withLock { $0 = newValue } }
  }
}
