import Testing

@testable import MillraceBroker

/// The machine beside its model, and each rule by itself.
@Suite struct QueueMachineTests {
  // MARK: Beside the model

  /// One of each kind that differs from the others in what it does.
  private static let configurations: [QueueConfiguration] = (0..<24).map { seed in
    var generator = SeededNumbers(UInt64(seed) &+ 77)
    var configuration = QueueConfiguration()
    configuration.priorities = [1, 2, 4, 32].randomElement(using: &generator)!
    configuration.maxSize = [Int.max, 3, 8].randomElement(using: &generator)!
    configuration.maxBytes = [Int.max, 40].randomElement(using: &generator)!
    configuration.overflow = QueueConfiguration.Overflow.allCases[seed % 3]
    configuration.timeToLive = [nil, 0, 50, 400].randomElement(using: &generator)!
    configuration.deliveryLimit = [nil, 1, 3].randomElement(using: &generator)!
    configuration.retryDelay = [0, 30].randomElement(using: &generator)!
    configuration.longestRetry = 70
    configuration.lease = [nil, 60].randomElement(using: &generator)!
    configuration.isSingleActive = seed % 4 == 3
    return configuration
  }

  @Test("any sequence of operations gives what the model gives", arguments: configurations.indices)
  func model(index: Int) throws {
    for seed in 0..<12 {
      var comparison = Comparison(Self.configurations[index], seed: UInt64(seed))
      try comparison.run(steps: 400)
    }
  }

  @Test("whatever was done, a queue that is left alone gives all that is left, once each")
  func conservation() throws {
    for index in Self.configurations.indices {
      var comparison = Comparison(Self.configurations[index], seed: 4711)
      try comparison.run(steps: 2_000)
      try comparison.drain()
    }
  }

  // MARK: Rule by rule

  private func machine(_ change: (inout QueueConfiguration) -> Void = { _ in }) -> QueueMachine {
    var configuration = QueueConfiguration()
    change(&configuration)
    return QueueMachine(configuration)
  }

  @Test("of messages that expire at the same moment the older one goes first, whatever came of it, and each deadline counts once")
  func equalDeadlines() throws {
    var queue = machine { $0.lease = 500 }
    var gone: [QueueDeparture] = []
    let consumer = try queue.addConsumer(prefetch: 10)
    // Of two times to live, so that not all stand in line.
    for id in 1...9 { try queue.publish(QueueMessage(id: UInt64(id), expiry: id % 3 == 0 ? 50 : 100), 0, &gone) }
    var held: [QueueDelivery] = []
    queue.deliver(4, 1, &held, &gone)
    try queue.settle(held[2].tag, of: consumer, .acknowledge, 2, &gone)
    for index in [3, 0, 1] { try queue.settle(held[index].tag, of: consumer, .release(after: 0), 3, &gone) }
    #expect(gone.map(\.message) == [3] && queue.nextDeadline() == 51)
    queue.advance(51, &gone)
    #expect(gone.map(\.message) == [3, 6, 9] && queue.nextDeadline() == 101)
    queue.advance(101, &gone)
    #expect(gone.map(\.message) == [3, 6, 9, 1, 2, 4, 5, 7, 8])
    #expect(queue.nextDeadline() == .max && queue.count == 0 && queue.deadlines.count == 0)
  }

  @Test("a message that comes back stands where it stood, before those that came after it")
  func place() throws {
    var queue = machine()
    var gone: [QueueDeparture] = []
    let consumer = try queue.addConsumer(prefetch: 10)
    for id in 1...6 { try queue.publish(QueueMessage(id: UInt64(id), priority: id == 6 ? 3 : 1), 0, &gone) }
    var held: [QueueDelivery] = []
    queue.deliver(4, 1, &held, &gone)
    #expect(held.map(\.message) == [6, 1, 2, 3])
    for delivery in held.reversed() { try queue.settle(delivery.tag, of: consumer, .retry(after: nil), 2, &gone) }
    held = []
    queue.deliver(10, 3, &held, &gone)
    #expect(held.map(\.message) == [6, 1, 2, 3, 4, 5] && held.map(\.failed) == [1, 1, 1, 1, 0, 0] && gone.isEmpty)
  }

  @Test("a message expires wherever it stands, and is not counted one nanosecond later")
  func expiry() throws {
    var queue = machine()
    var gone: [QueueDeparture] = []
    for id in 1...3 { try queue.publish(QueueMessage(id: UInt64(id), expiry: id == 2 ? 100 : 0), 0, &gone) }
    #expect(queue.nextDeadline() == 101)
    queue.advance(100, &gone)
    #expect(queue.ready == 3)
    queue.advance(101, &gone)
    #expect(queue.ready == 2 && gone == [QueueDeparture(message: 2, exit: .expired, failed: 0)] && queue.nextDeadline() == .max)
  }

  @Test("a time to live of nothing reaches whoever waits at that moment, and nobody later")
  func noTime() throws {
    var queue = machine { $0.timeToLive = 0 }
    var gone: [QueueDeparture] = []
    try queue.publish(QueueMessage(id: 1), 5, &gone)
    _ = try queue.addConsumer(prefetch: 1)
    var held: [QueueDelivery] = []
    queue.deliver(1, 5, &held, &gone)
    #expect(held.map(\.message) == [1])
    try queue.publish(QueueMessage(id: 2), 5, &gone)
    queue.deliver(1, 6, &held, &gone)
    #expect(held.count == 1 && gone.map(\.exit) == [.expired])
  }

  @Test("what a consumer holds does not expire; given back too late, it does")
  func heldExpiry() throws {
    var queue = machine { $0.timeToLive = 10 }
    var gone: [QueueDeparture] = []
    let consumer = try queue.addConsumer(prefetch: 2)
    for id in 1...2 { try queue.publish(QueueMessage(id: UInt64(id)), 0, &gone) }
    var held: [QueueDelivery] = []
    queue.deliver(2, 0, &held, &gone)
    try queue.settle(held[0].tag, of: consumer, .acknowledge, 50, &gone)
    try queue.settle(held[1].tag, of: consumer, .release(after: 0), 50, &gone)
    #expect(gone.map(\.exit) == [.acknowledged, .expired] && queue.count == 0)
  }

  @Test("messages with one delay come in the order in which they were published")
  func delays() throws {
    var queue = machine()
    var gone: [QueueDeparture] = []
    for id in 1...20 { try queue.publish(QueueMessage(id: UInt64(id), due: 10), 0, &gone) }
    #expect(queue.ready == 0 && queue.delayed == 20)
    queue.advance(10, &gone)
    _ = try queue.addConsumer(prefetch: 20)
    var held: [QueueDelivery] = []
    queue.deliver(20, 10, &held, &gone)
    #expect(held.map(\.message) == Array(1...20))
  }

  @Test("failures are charged by retries, rejections and crashes; not by releases, leases that end, and consumers that leave")
  func charges() throws {
    var queue = machine { $0.lease = 5 }
    var gone: [QueueDeparture] = []
    try queue.publish(QueueMessage(id: 1), 0, &gone)
    func next(_ now: UInt64, _ queue: inout QueueMachine) throws -> (UInt32, QueueDelivery) {
      let consumer = try queue.addConsumer(prefetch: 1)
      var held: [QueueDelivery] = []
      queue.deliver(1, now, &held, &gone)
      return (consumer, try #require(held.first))
    }
    var (consumer, held) = try next(0, &queue)
    try queue.settle(held.tag, of: consumer, .release(after: 0), 0, &gone)
    try queue.removeConsumer(consumer, isFailure: true, 0, &gone)
    (consumer, held) = try next(0, &queue)
    #expect(held.acquired == 1 && held.failed == 0)
    queue.advance(6, &gone)
    #expect(queue.ready == 1)
    #expect(throws: QueueRefusal.unknownDelivery) { try queue.settle(held.tag, of: consumer, .acknowledge, 6, &gone) }
    try queue.removeConsumer(consumer, isFailure: true, 6, &gone)
    (consumer, held) = try next(7, &queue)
    #expect(held.acquired == 2 && held.failed == 0)
    try queue.removeConsumer(consumer, isFailure: false, 7, &gone)
    (consumer, held) = try next(7, &queue)
    #expect(held.acquired == 3 && held.failed == 0)
    try queue.removeConsumer(consumer, isFailure: true, 7, &gone)
    (consumer, held) = try next(7, &queue)
    #expect(held.acquired == 4 && held.failed == 1)
    try queue.settle(held.tag, of: consumer, .retry(after: nil), 7, &gone)
    try queue.removeConsumer(consumer, isFailure: false, 7, &gone)
    (consumer, held) = try next(7, &queue)
    #expect(held.acquired == 5 && held.failed == 2)
    try queue.settle(held.tag, of: consumer, .reject, 7, &gone)
    #expect(gone == [QueueDeparture(message: 1, exit: .rejected, failed: 3)])
  }

  @Test("the wait before a retry grows with the failures, up to the longest")
  func backoff() throws {
    var queue = machine {
      $0.retryDelay = 100
      $0.longestRetry = 250
    }
    var gone: [QueueDeparture] = []
    let consumer = try queue.addConsumer(prefetch: 1)
    try queue.publish(QueueMessage(id: 1), 0, &gone)
    var now: UInt64 = 0
    for wait: UInt64 in [100, 200, 250, 250] {
      var held: [QueueDelivery] = []
      queue.deliver(1, now, &held, &gone)
      try queue.settle(try #require(held.first).tag, of: consumer, .retry(after: nil), now, &gone)
      #expect(queue.nextDeadline() == now + wait)
      now += wait
    }
  }

  @Test(
    "an overflow drops the oldest of the lowest priority, or leaves the message with its publisher",
    arguments: QueueConfiguration.Overflow.allCases)
  func overflow(_ overflow: QueueConfiguration.Overflow) throws {
    var queue = machine {
      $0.maxSize = 3
      $0.overflow = overflow
    }
    var gone: [QueueDeparture] = []
    for (id, priority) in [(1, 3), (2, 1), (3, 1)] { try queue.publish(QueueMessage(id: UInt64(id), priority: UInt8(priority)), 0, &gone) }
    let fourth = QueueMessage(id: 4, priority: 2)
    switch overflow {
    case .dropHead:
      try queue.publish(fourth, 0, &gone)
      #expect(gone == [QueueDeparture(message: 2, exit: .maxLength, failed: 0)])
      try queue.publish(QueueMessage(id: 5, priority: 0), 0, &gone)
      #expect(gone.last?.message == 5)
    case .rejectPublish:
      #expect(throws: QueueRefusal.full) { try queue.publish(fourth, 0, &gone) }
      #expect(gone.isEmpty)
    case .rejectPublishDeadLetter:
      #expect(throws: QueueRefusal.full) { try queue.publish(fourth, 0, &gone) }
      #expect(gone == [QueueDeparture(message: 4, exit: .maxLength, failed: 0)])
    }
    #expect(queue.ready == 3)
  }

  @Test("a delivery is settled once, by its consumer; the queue goes on")
  func settlements() throws {
    var queue = machine()
    var gone: [QueueDeparture] = []
    let (mine, other) = (try queue.addConsumer(prefetch: 5), try queue.addConsumer(prefetch: 5))
    for id in 1...4 { try queue.publish(QueueMessage(id: UInt64(id)), 0, &gone) }
    var held: [QueueDelivery] = []
    queue.deliver(4, 0, &held, &gone)
    #expect(held.map(\.consumer) == [mine, other, mine, other])
    #expect(throws: QueueRefusal.notYours) { try queue.settle(held[1].tag, of: mine, .acknowledge, 0, &gone) }
    try queue.settle(held[1].tag, of: other, .acknowledge, 0, &gone)
    #expect(throws: QueueRefusal.unknownDelivery) { try queue.settle(held[1].tag, of: other, .acknowledge, 0, &gone) }
    #expect(throws: QueueRefusal.unknownDelivery) { try queue.settle(QueueTag(entry: 99, generation: 0), of: mine, .acknowledge, 0, &gone) }
    #expect(try queue.settle(upTo: held[2].tag, of: mine, .acknowledge, 0, &gone) == 2)
    #expect(gone.map(\.message) == [2, 1, 3] && queue.acquired == 1)
    #expect(throws: QueueRefusal.unknownConsumer) { try queue.removeConsumer(9, isFailure: false, 0, &gone) }
  }

  @Test("one active consumer gets all, then the next oldest; an exclusive one shares with nobody")
  func alone() throws {
    var queue = machine { $0.isSingleActive = true }
    var gone: [QueueDeparture] = []
    let (first, second) = (try queue.addConsumer(prefetch: 2), try queue.addConsumer(prefetch: 2))
    for id in 1...4 { try queue.publish(QueueMessage(id: UInt64(id)), 0, &gone) }
    var held: [QueueDelivery] = []
    queue.deliver(4, 0, &held, &gone)
    #expect(held.map(\.consumer) == [first, first])
    try queue.removeConsumer(first, isFailure: false, 0, &gone)
    held = []
    queue.deliver(4, 0, &held, &gone)
    #expect(held.map(\.consumer) == [second, second] && held.map(\.message) == [1, 2])
    #expect(throws: QueueRefusal.exclusive) { try queue.addConsumer(prefetch: 1, isExclusive: true) }
    #expect(throws: QueueRefusal.prefetch) { try queue.addConsumer(prefetch: -1) }
    try queue.removeConsumer(second, isFailure: false, 0, &gone)
    _ = try queue.addConsumer(prefetch: 1, isExclusive: true)
    #expect(throws: QueueRefusal.exclusive) { try queue.addConsumer(prefetch: 1) }
  }
}

/// A machine and its model through the same operations.
private struct Comparison: ~Copyable {
  private var machine: QueueMachine
  private var model: QueueModel
  private var generator: SeededNumbers
  private var now: UInt64 = 0
  private var published: UInt64 = 0
  private var held: [QueueDelivery] = []
  /// Of runs, with their messages.
  private var heldRuns: [(delivery: QueueDelivery, messages: [UInt64])] = []
  /// All that was published, and memory of those in runs.
  private var ids: Set<UInt64> = []
  private let memory = RunMemory()
  /// Settled, taken back, or gone.
  private var old: [QueueDelivery] = []
  private var left: [UInt64: QueueExit] = [:]
  private var refused: Set<UInt64> = []

  init(_ configuration: QueueConfiguration, seed: UInt64) {
    machine = QueueMachine(configuration)
    model = QueueModel(configuration)
    generator = SeededNumbers(seed)
  }

  mutating func run(steps: Int) throws {
    for step in 0..<steps {
      try self.step()
      #expect(machine.ready == model.ready && machine.bytes == model.bytes, "step \(step)")
      try #require(machine.count == model.messages.count, "step \(step)")
    }
  }

  private mutating func note(_ mine: [QueueDeparture], _ theirs: [QueueDeparture]) throws {
    let order = { (a: QueueDeparture, b: QueueDeparture) in a.message < b.message }
    try #require(mine.sorted(by: order) == theirs.sorted(by: order))
    for departure in mine {
      #expect(left.updateValue(departure.exit, forKey: departure.message) == nil, "\(departure.message) left twice")
    }
    takeBack()
  }

  /// Deliveries that the model no longer knows.
  private mutating func takeBack() {
    let isHeld = Set(model.consumers.keys.flatMap { consumer in model.held(consumer).map { "\(consumer) \($0.id) \($0.acquired)" } })
    old += held.filter { !isHeld.contains("\($0.consumer) \($0.message) \($0.acquired + 1)") }
    held.removeAll { !isHeld.contains("\($0.consumer) \($0.message) \($0.acquired + 1)") }
    let isGone = { (run: QueueDelivery, messages: [UInt64]) in !messages.contains { isHeld.contains("\(run.consumer) \($0) 1") } }
    old += heldRuns.filter { isGone($0.delivery, $0.messages) }.map(\.delivery)
    heldRuns.removeAll { isGone($0.delivery, $0.messages) }
    memory.ended(machine.endedRuns)
    machine.endedRuns = []
  }

  private mutating func step() throws {
    if generator.below(3) == 0 { now += UInt64(generator.below(40)) }
    var gone: [QueueDeparture] = []
    switch generator.below(12) {
    case 0...2: try publish()
    case 3: try publishRun()
    case 4...5:
      var deliveries: [QueueDelivery] = []
      let most = 1 + generator.below(3)
      machine.deliver(most, now, &deliveries, &gone)
      let expected = model.deliver(most, now)
      try #require(deliveries.map(\.message) == expected.deliveries.map(\.message))
      #expect(deliveries.map { Int($0.consumer) } == expected.deliveries.map(\.consumer))
      try note(gone, expected.gone)
      held += deliveries
    case 6...7: try settle()
    case 8: try takeOrSettleRuns()
    case 9:
      if model.consumers.count < 3 {
        let prefetch = 1 + generator.below(3)
        let number = try machine.addConsumer(prefetch: prefetch)
        model.add(Int(number), prefetch: prefetch, isExclusive: false)
      } else if let consumer = model.arrivals.randomElement(using: &generator), generator.below(3) == 0 {
        let isFailure = generator.below(2) == 0
        try machine.removeConsumer(UInt32(consumer), isFailure: isFailure, now, &gone)
        let first = model.advance(now)
        try note(gone, first + model.remove(consumer: consumer, isFailure: isFailure, now))
      }
    case 10:
      machine.advance(now, &gone)
      try note(gone, model.advance(now))
    default:
      if generator.below(20) == 0 {
        let count = machine.purge(now, &gone)
        let expired = model.advance(now)
        let purged = model.purge()
        #expect(count == purged.count)
        try note(gone, expired + purged)
      } else {
        try extendOrTake()
      }
    }
  }

  private mutating func publish() throws {
    published += 1
    ids.insert(published)
    var message = QueueMessage(id: published, bytes: UInt32(generator.below(16)), priority: UInt8(generator.below(6)))
    if generator.below(4) == 0 { message.expiry = now + UInt64(1 + generator.below(100)) }
    if generator.below(5) == 0 { message.due = now + UInt64(generator.below(60)) }
    var gone: [QueueDeparture] = []
    var isTaken = true
    do throws(QueueRefusal) { try machine.publish(message, now, &gone) } catch {
      #expect(error == .full)
      isTaken = false
      refused.insert(message.id)
    }
    let expected = model.publish(message, now)
    #expect(isTaken == expected.isTaken)
    try note(gone, expected.gone)
  }

  /// As whoever has the queue's lock does it: one by one, where they do not fit.
  private mutating func publishRun() throws {
    var all: [QueueMessage] = []
    let (priority, expiry) = (UInt8(generator.below(6)), generator.below(3) == 0 ? now + UInt64(1 + generator.below(100)) : 0)
    let size = generator.below(2) == 0 ? UInt32(generator.below(16)) : nil
    for _ in 0..<(1 + generator.below(7)) {
      let bytes = size ?? UInt32(generator.below(16))
      all.append(QueueMessage(id: memory.message(bytes: bytes), bytes: bytes, priority: priority, expiry: expiry))
      ids.insert(all.last!.id)
    }
    var gone: [QueueDeparture] = []
    machine.advance(now, &gone)
    try note(gone, model.advance(now))
    gone = []
    if machine.hasRoom(bytes: 0, after: all.count - 1, bytes: all.reduce(0) { $0 + Int($1.bytes) }) {
      let isTaken = machine.publish(memory.run(all), now, &gone)
      #expect(isTaken && gone.isEmpty)
      for message in all { #expect(model.publish(message, now).isTaken) }
    } else {
      for message in all {
        let isTaken = (try? machine.publish(message, now, &gone)) != nil
        let expected = model.publish(message, now)
        #expect(isTaken == expected.isTaken)
        if !isTaken { refused.insert(message.id) }
        try note(gone, expected.gone)
        gone = []
      }
    }
  }

  /// Many at a time, which may be some of a run; and what becomes of those.
  private mutating func takeOrSettleRuns() throws {
    var gone: [QueueDeparture] = []
    machine.advance(now, &gone)
    try note(gone, model.advance(now))
    gone = []
    if generator.below(2) == 0, let consumer = model.arrivals.randomElement(using: &generator) {
      var deliveries: [QueueDelivery] = []
      try machine.take(upTo: 1 + generator.below(9), UInt32(consumer), now, &deliveries, &gone)
      for delivery in deliveries {
        let messages = delivery.count == 0 ? [delivery.message] : memory.numbers(delivery)
        for message in messages { try #require(model.take(consumer, now) == message) }
        if delivery.count == 0 { held.append(delivery) } else { heldRuns.append((delivery, messages)) }
      }
      #expect(gone.isEmpty)
      return
    }
    guard let (run, messages) = heldRuns.randomElement(using: &generator) else { return }
    #expect(throws: QueueRefusal.notYours) { try machine.finish(run.tag, of: run.consumer + 1, now, &gone) }
    #expect(throws: QueueRefusal.unknownDelivery) { try machine.extend(run.tag, of: run.consumer, 30, now, &gone) }
    switch generator.below(4) {
    case 0:
      try machine.finish(run.tag, of: run.consumer, now, &gone)
      #expect(gone.isEmpty)
      gone = messages.map { QueueDeparture(message: $0, exit: .acknowledged, failed: 0) }
      try note(gone, messages.flatMap { model.settle($0, .acknowledge, now) })
    case 1...2:
      heldRuns.removeAll { $0.delivery == run }
      var deliveries: [QueueDelivery] = []
      try machine.unfold(run.tag, of: run.consumer, &deliveries)
      #expect(deliveries.map(\.message) == messages)
      held += deliveries
      old.append(run)
    default:
      let settlement: QueueSettlement =
        [.acknowledge, .retry(after: nil), .retry(after: 25), .reject, .release(after: 0), .release(after: 15)]
        .randomElement(using: &generator)!
      try machine.settle(run.tag, of: run.consumer, settlement, now, &gone)
      try note(gone, messages.flatMap { model.settle($0, settlement, now) })
    }
  }

  private mutating func settle() throws {
    var gone: [QueueDeparture] = []
    let settlement: QueueSettlement =
      [.acknowledge, .retry(after: nil), .retry(after: 25), .reject, .release(after: 0), .release(after: 15)]
      .randomElement(using: &generator)!
    let first = model.advance(now)
    machine.advance(now, &gone)
    try note(gone, first)
    gone = []
    if let stale = old.randomElement(using: &generator), generator.below(8) == 0 {
      #expect(throws: QueueRefusal.unknownDelivery) { try machine.settle(stale.tag, of: stale.consumer, settlement, now, &gone) }
    }
    guard let delivery = held.randomElement(using: &generator) else { return }
    if generator.below(8) == 0 {
      #expect(throws: QueueRefusal.notYours) { try machine.settle(delivery.tag, of: delivery.consumer + 1, settlement, now, &gone) }
    }
    var expected: [QueueDeparture] = []
    if generator.below(4) == 0 {
      let upTo = model.held(Int(delivery.consumer)).map(\.id)
      let these = upTo.prefix(through: upTo.firstIndex(of: delivery.message)!)
      let count = try machine.settle(upTo: delivery.tag, of: delivery.consumer, settlement, now, &gone)
      #expect(count == these.count)
      for id in these { expected += model.settle(id, settlement, now) }
    } else {
      try machine.settle(delivery.tag, of: delivery.consumer, settlement, now, &gone)
      expected = model.settle(delivery.message, settlement, now)
    }
    try note(gone, expected)
  }

  private mutating func extendOrTake() throws {
    var gone: [QueueDeparture] = []
    machine.advance(now, &gone)
    try note(gone, model.advance(now))
    gone = []
    if generator.below(2) == 0, let consumer = model.arrivals.randomElement(using: &generator) {
      let delivery = try machine.take(UInt32(consumer), now, &gone)
      let expected = model.take(consumer, now)
      try #require(delivery?.message == expected && gone.isEmpty)
      if let delivery { held.append(delivery) }
      #expect(throws: QueueRefusal.unknownConsumer) { try machine.take(77, now, &gone) }
    } else if let delivery = held.randomElement(using: &generator) {
      try machine.extend(delivery.tag, of: delivery.consumer, 30, now, &gone)
      model.extend(delivery.message, 30, now)
    }
  }

  /// Consumes what is left, and sees that each message that was taken has left once.
  mutating func drain() throws {
    var gone: [QueueDeparture] = []
    let consumer = try machine.addConsumer(prefetch: 65_535)
    model.add(Int(consumer), prefetch: 65_535, isExclusive: false)
    for other in model.arrivals where other != Int(consumer) {
      try machine.removeConsumer(UInt32(other), isFailure: false, now, &gone)
      let first = model.advance(now)
      try note(gone, first + model.remove(consumer: other, isFailure: false, now))
      gone = []
    }
    while machine.count > 0 {
      var deliveries: [QueueDelivery] = []
      machine.deliver(1, now, &deliveries, &gone)
      for delivery in deliveries { try machine.settle(delivery.tag, of: consumer, .acknowledge, now, &gone) }
      for departure in gone { #expect(left.updateValue(departure.exit, forKey: departure.message) == nil) }
      gone = []
      now = deliveries.isEmpty ? max(now + 1, min(machine.nextDeadline(), now + 1_000)) : now
    }
    #expect(machine.ready == 0 && machine.delayed == 0 && machine.acquired == 0 && machine.bytes == 0)
    memory.ended(machine.endedRuns)
    #expect(memory.runs == 0)
    let taken = ids.subtracting(refused)
    #expect(taken.isSubset(of: left.keys))
  }
}

/// Runs, and headers of the messages in them, until nobody needs them.
@safe private final class RunMemory {
  // unsafe: their addresses; freed at the end.
  private var blocks: [UInt] = []
  private var live: Set<UInt64> = []
  /// That have not ended.
  var runs: Int { live.count }

  deinit { for block in blocks { unsafe UnsafeMutableRawPointer(bitPattern: block)?.deallocate() } }

  private func make(_ bytes: Int) -> UnsafeMutableRawPointer {
    let block = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 8)
    blocks.append(UInt(bitPattern: block))
    return unsafe block
  }

  func message(bytes: UInt32) -> UInt64 {
    unsafe MessageBlock(make(MessageBlock.headerBytes), kind: 0, bytes: Int(bytes), properties: 0, MessageBlock.Traits()).number
  }

  func run(_ messages: [QueueMessage]) -> QueueRun {
    let run = unsafe QueueRun(make(QueueRun.size(messages.count)))
    let numbers = messages.map(\.id)
    unsafe numbers.withUnsafeBufferPointer { numbers in
      unsafe run.fill(MessageList(numbers.baseAddress!, count: numbers.count), epoch: 1, now: 0, due: 0)
    }
    let isOneSize = messages.allSatisfy { $0.bytes == messages[0].bytes }
    run.fill(
      count: messages.count, size: messages.count, epoch: 1, now: 0, due: 0, expiry: messages[0].expiry,
      bytes: messages.reduce(0) { $0 + Int($1.bytes) }, each: isOneSize ? messages[0].bytes : .max, priority: messages[0].priority,
      isAlike: true)
    live.insert(run.address)
    return run
  }

  func numbers(_ delivery: QueueDelivery) -> [UInt64] {
    // unsafe: where the machine says that so many stand.
    unsafe Array(
      UnsafeBufferPointer(start: UnsafePointer(bitPattern: UInt(delivery.message)), count: Int(delivery.count)))
  }

  func ended(_ runs: [QueueRun]) {
    for run in runs { precondition(live.remove(run.address) != nil, "a run ended twice") }
  }
}
