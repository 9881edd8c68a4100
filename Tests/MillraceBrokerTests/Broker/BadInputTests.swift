import MillraceCore
import Testing

@testable import MillraceBroker

/// What is wrong is refused with a typed error that says so, and the broker goes on.
@Suite struct BadInputTests {
  @Test("a queue that is not there is refused by its name, whatever is asked of it")
  func noQueue() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    let nowhere = name("nowhere")
    #expect(throws: BrokerError.noQueue(nowhere)) { _ = try bed.broker.makeReceiver(nowhere) }
    #expect(throws: BrokerError.noQueue(nowhere)) { try bed.broker.purge(queue: nowhere) }
    #expect(throws: BrokerError.noQueue(nowhere)) { _ = try bed.broker.statistics(of: nowhere) }
    #expect(throws: BrokerError.noQueue(nowhere)) { _ = try bed.broker.configuration(of: nowhere) }
    #expect(throws: BrokerError.noQueue(nowhere)) { _ = try bed.broker.loans(of: nowhere) }
    #expect(throws: BrokerError.noQueue(nowhere)) { _ = try bed.publisher.waitForRoom(in: nowhere, nanoseconds: 0) }
    #expect(throws: PublishRefusal.unroutable) { try bed.publish("x", to: "nowhere") }
    #expect(try bed.broker.delete(queue: nowhere) == false)
    try bed.broker.router.declare(name("orders"), .topic)
    #expect(throws: RoutingError.noQueue(nowhere)) { try bed.broker.router.bind(Binding("orders", .queue(nowhere))) }
    try bed.publish("goes on", to: "tasks")
    #expect(try bed.drain("tasks") == ["goes on"] && bed.broker.queues == [name("tasks")])
  }

  @Test("an exchange that is not there is refused: to bind, to unbind, to delete, and to publish to")
  func noExchange() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    let nowhere = RoutingError.noExchange(name("nowhere"))
    #expect(throws: nowhere) { try bed.broker.router.bind(Binding("nowhere", .queue(name("tasks")))) }
    #expect(throws: nowhere) { try bed.broker.router.unbind(Binding("nowhere", .queue(name("tasks")))) }
    let gone = try bed.broker.router.declare(name("gone"), .fanout)
    try bed.broker.router.bind(Binding("gone", .queue(name("tasks"))))
    #expect(try bed.publisher.publish([65].span, Envelope(to: gone))?.queues == 1)
    try bed.broker.router.delete(exchange: name("gone"))
    #expect(throws: PublishRefusal.route(.noExchange)) { try bed.publisher.publish([66].span, Envelope(to: gone)) }
    // Its successor is another one.
    try bed.broker.router.declare(name("gone"), .fanout)
    #expect(throws: PublishRefusal.route(.noExchange)) { try bed.publisher.publish([66].span, Envelope(to: gone)) }
    #expect(try bed.drain("tasks") == ["A"])
  }

  @Test("a message that is too large is refused, alone and in a batch, which stays as it was")
  func tooLarge() throws {
    var configuration = BrokerConfiguration()
    configuration.largestMessage = 1_000
    let bed = try BrokerBed(configuration)
    try bed.declare("tasks")
    let refusal = PublishRefusal.tooLarge(bytes: 1_001, most: 1_000)
    #expect(throws: refusal) { _ = try bed.publisher.publish([UInt8](repeating: 1, count: 1_001).span, Envelope(to: name("tasks"))) }
    var batch = bed.publisher.batch(Envelope(to: name("tasks")), capacity: 4)
    try bed.publisher.add(1, to: &batch) { $0[0] = 65 }
    var refused: PublishRefusal?
    do throws(PublishRefusal) { try bed.publisher.add(1_001, to: &batch) { _ in } } catch { refused = error }
    #expect(refused == refusal && batch.count == 1)
    try bed.publisher.add(1, to: &batch) { $0[0] = 66 }
    #expect(bed.publisher.publish(&batch).accepted == 2)
    #expect(try bed.drain("tasks") == ["A", "B"])
  }

  @Test(
    "patterns and filters of 10,000 words are refused, and bind nothing",
    arguments: [("a.", ExchangeKind.topic), ("#.", .topic), ("a/", .mqtt)])
  func longPatterns(word: String, kind: ExchangeKind) throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    let exchange = try bed.broker.router.declare(name("x"), kind)
    let long = Binding("x", .queue(name("tasks")), String(repeating: word, count: 10_000))
    let error = #expect(throws: RoutingError.self) { try bed.broker.router.bind(long) }
    guard case .key(let shown, byte: 256, _) = error else { throw Unexpected() }
    #expect(shown.utf8.count == 255)
    #expect(try bed.broker.router.unbind(long) == false)
    #expect(throws: PublishRefusal.unroutable) { try bed.publisher.publish([65].span, Envelope(to: exchange, key: "a")) }
    try bed.broker.router.bind(Binding("x", .queue(name("tasks")), "a"))
    try bed.publisher.publish([65].span, Envelope(to: exchange, key: "a"))
    #expect(try bed.drain("tasks") == ["A"])
  }

  @Test("a delivery is settled once, and by whom it was given to")
  func settledTwice() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    try bed.publish("a", to: "tasks")
    var mine = try bed.broker.makeReceiver(name("tasks"))
    var other = try bed.broker.makeReceiver(name("tasks"))
    guard let delivery = try mine.next() else { throw Unexpected() }
    try bed.publish("b", to: "tasks")
    guard let another = try other.next() else { throw Unexpected() }
    // As a client would that keeps tags: `Delivery` itself cannot be settled twice.
    let (place, since, tag) = (delivery.message.place, delivery.message.since, delivery.message.tag)
    func settle(_ tag: QueueTag, of consumer: UInt32) -> SettleError? {
      bed.broker.spaces.with { work in bed.broker.settle(place, since, tag, of: consumer, .acknowledge, &work) }
    }
    let (mineNumber, otherNumber) = (delivery.message.consumer, another.message.consumer)
    #expect(settle(tag, of: otherNumber) == .notYours && settle(another.message.tag, of: mineNumber) == .notYours)
    #expect(settle(QueueTag(entry: 4_000_000_000, generation: 0), of: mineNumber) == .unknownDelivery)
    #expect(bed.broker.extend(place, since, tag, of: otherNumber, 5) == .notYours)
    #expect(try bed.broker.statistics(of: name("tasks")).unacknowledged == 2)
    #expect(refusal(of: delivery) == nil)
    #expect(settle(tag, of: mineNumber) == .unknownDelivery)
    #expect(bed.broker.extend(place, since, tag, of: mineNumber, 5) == .unknownDelivery)
    // Its place has another message now.
    try bed.publish("c", to: "tasks")
    #expect(settle(tag, of: mineNumber) == .unknownDelivery)
    #expect(refusal(of: another) == nil)
    #expect(try bed.drain("tasks") == ["c"])
    let statistics = try bed.broker.statistics(of: name("tasks"))
    #expect(statistics.left == [.acknowledged: 3] && statistics.unacknowledged == 0)
  }
}
