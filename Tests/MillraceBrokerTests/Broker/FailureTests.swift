import MillraceCore
import Testing

@testable import MillraceBroker

/// Deliveries that fail, by the rules of RabbitMQ 4.3, which no server of Debian's can witness.
@Suite struct FailureTests {
  /// Takes the first message of a queue and says something of it. Its counts before that; nil: there is none.
  private func take(_ bed: BrokerBed, _ settlement: Settlement) throws -> [Int]? {
    var counts: [Int]?
    var receiver = try bed.broker.makeReceiver(name("tasks"))
    try receiver.receive(upTo: 1) { message in
      counts = [message.acquiredCount, message.failedCount]
      return settlement
    }
    return counts
  }

  @Test("20 failures are borne by default, the next one is a death of its own kind; what is handed back costs nothing")
  func limit() throws {
    let bed = try BrokerBed()
    try bed.declare("dead")
    try bed.declare("tasks") { $0.deadLetters = .queue(name("dead")) }
    try bed.publish("x", to: "tasks") { $0.timeToLive = 5_000_000_000 }
    for round in 0..<40 {
      #expect(try take(bed, round % 2 == 0 ? .retry(after: nil) : .release(after: 0)) == [round, (round + 1) / 2])
    }
    #expect(try take(bed, .retry(after: nil)) == [40, 20])
    #expect(try take(bed, .acknowledge) == nil)
    var receiver = try bed.broker.makeReceiver(name("dead"))
    try receiver.receive { message in
      let death = message.deaths.all[0]
      #expect(message.deaths.all.count == 1 && death.reason == .deliveryLimit && death.count == 1 && death.queue == "tasks")
      #expect(death.originalExpiration == 5_000_000_000 && message.failedCount == 0 && !message.isRedelivered)
      #expect(message.deaths.first == death && message.deaths.last == death)
      return .acknowledge
    }
  }

  @Test("without a limit a message fails as often as it may; a receiver that failed charges what it held")
  func noLimit() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks") { $0.deliveryLimit = nil }
    try bed.publish("x", to: "tasks")
    for round in 0..<100 { #expect(try take(bed, .retry(after: nil)) == [round, round]) }
    for isFailure in [true, false] {
      var receiver = try bed.broker.makeReceiver(name("tasks"))
      let held = try receiver.next()
      guard let held else { throw Unexpected() }
      receiver.close(isFailure: isFailure)
      #expect(refusal(of: held) == .takenBack)
    }
    #expect(try take(bed, .acknowledge) == [102, 101])
  }

  @Test("a message waits as long as its failures times the queue's delay, at most the longest; or as the consumer says, whatever it does")
  func delays() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks") { ($0.retryDelay, $0.longestRetry) = (10, 35) }
    try bed.publish("x", to: "tasks")
    for (failures, wait) in [10, 20, 30, 35, 35].enumerated() {
      #expect(try take(bed, .retry(after: nil))?[1] == failures)
      bed.clock.move(by: UInt64(wait) - 1)
      #expect(try take(bed, .acknowledge) == nil)
      bed.clock.move(by: 1)
    }
    for settlement in [Settlement.retry(after: 7), .release(after: 7)] {
      #expect(try take(bed, settlement) != nil)
      bed.clock.move(by: 6)
      #expect(try take(bed, .acknowledge) == nil)
      bed.clock.move(by: 1)
    }
    #expect(try take(bed, .acknowledge) == [7, 6])
  }

  @Test("one active consumer that gets no more keeps the queue to itself until it has settled what it holds")
  func activeCloses() throws {
    var configuration = QueueConfiguration()
    configuration.isSingleActive = true
    var queue = QueueMachine(configuration)
    var (held, gone): ([QueueDelivery], [QueueDeparture]) = ([], [])
    let (first, second) = (try queue.addConsumer(prefetch: 2), try queue.addConsumer(prefetch: 2))
    for id in 1...4 { try queue.publish(QueueMessage(id: UInt64(id)), 0, &gone) }
    queue.deliver(4, 0, &held, &gone)
    queue.setPrefetch(of: first, 0)
    try queue.settle(held[0].tag, of: first, .acknowledge, 0, &gone)
    queue.deliver(4, 0, &held, &gone)
    #expect(held.map(\.consumer) == [first, first])
    try queue.settle(held[1].tag, of: first, .release(after: 0), 0, &gone)
    try queue.removeConsumer(first, isFailure: false, 0, &gone)
    queue.deliver(4, 0, &held, &gone)
    #expect(held.dropFirst(2).map(\.consumer) == [second, second] && held.dropFirst(2).map(\.message) == [2, 3])
  }
}
