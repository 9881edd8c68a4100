import MillraceBroker
import MillraceCore
import MillraceLog
import MillraceSimulation
import Testing

@testable import Millrace

/// What is durable in a broker is there again after a restart.
@Suite struct DurableBrokerTests {
  /// A disk that outlives brokers, and the time.
  private final class Bed {
    let disk = SimulatedDisk()
    let clock = VirtualClock(start: 1_000)
    let wall = TestTime()

    func open() throws -> Broker {
      var configuration = JournalHistory.configuration(wall)
      configuration.log.hasThreads = true
      configuration.log.capacity = 1_024
      var limits = BrokerConfiguration()
      limits.messageBytes = 64 << 20
      limits.duplicateWindow = 1_000_000_000
      let wall = wall
      return try Broker(
        limits, host: BrokerHost(clock: clock.clock, wall: { wall.now }), journal: LogQueueJournal(disk, configuration))
    }
  }

  private static func declare(_ broker: Broker, _ name: String, _ change: (inout QueueConfiguration) -> Void = { _ in }) throws {
    var configuration = QueueConfiguration()
    configuration.isDurable = true
    change(&configuration)
    try broker.declare(queue: BrokerName(name), configuration)
  }

  private static func publish(
    _ publisher: inout Publisher, _ text: String, to queue: String, _ change: (inout Envelope) -> Void = { _ in }
  ) throws -> Receipt? {
    var envelope = try Envelope(to: BrokerName(queue))
    change(&envelope)
    return try publisher.publish(Array(text.utf8).span, envelope)
  }

  private static func drain(_ broker: Broker, _ queue: String) throws -> [String] {
    var seen: [String] = []
    var receiver = try broker.makeReceiver(BrokerName(queue))
    while try receiver.receive({ message in
      seen.append(
        "\(String(decoding: message.copy(), as: UTF8.self)) \(message.acquiredCount) \(message.failedCount) \(message.type ?? "-")")
      return .acknowledge
    }) > 0 {}
    return seen
  }

  @Test("queues are there again with their messages, in their order, with their counts; what was acknowledged is not")
  func again() throws {
    let bed = Bed()
    do {
      let broker = try bed.open()
      try Self.declare(broker, "tasks") { $0.maxSize = 100 }
      try Self.declare(broker, "brief") { $0.isDurable = false }
      var publisher = try broker.makePublisher()
      for text in ["a", "b", "c", "d"] { _ = try Self.publish(&publisher, text, to: "tasks") { $0.type = "t" } }
      _ = try Self.publish(&publisher, "urgent", to: "tasks") { $0.priority = 3 }
      let brief = try Self.publish(&publisher, "memory", to: "tasks") { $0.isPersistent = false }
      let other = try Self.publish(&publisher, "gone", to: "brief")
      #expect(brief?.confirmation == nil && other?.confirmation == nil)
      let last = try Self.publish(&publisher, "e", to: "tasks")
      let told = publisher.confirms
      let confirms = try #require(told)
      #expect(last?.confirmation == 6 && confirms.wait(for: 6, nanoseconds: 60_000_000_000))
      #expect(confirms.failed.isEmpty)
      var receiver = try broker.makeReceiver(BrokerName("tasks"))
      var held: [String] = []
      // The urgent one is done, a is tried again, b is held at the end.
      try receiver.receive(upTo: 2) { message in
        held.append(String(decoding: message.copy(), as: UTF8.self))
        return held.count == 1 ? .acknowledge : .retry(after: nil)
      }
      #expect(held == ["urgent", "a"])
      broker.close()
    }
    let broker = try bed.open()
    #expect(broker.queues.map(\.description) == ["tasks"])
    #expect(try broker.configuration(of: BrokerName("tasks")).maxSize == 100)
    #expect(try Self.drain(broker, "tasks") == ["a 1 1 t", "b 0 0 t", "c 0 0 t", "d 0 0 t", "e 0 0 -"])
    broker.close()
    let third = try bed.open()
    #expect(try Self.drain(third, "tasks") == [])
    third.close()
  }

  @Test("times go on while no process is there, and ids are remembered")
  func times() throws {
    let bed = Bed()
    do {
      let broker = try bed.open()
      try Self.declare(broker, "tasks")
      try Self.declare(broker, "dead")
      try Self.declare(broker, "short") {
        $0.timeToLive = 5_000_000_000
        $0.deadLetters = .queue((try? BrokerName("dead"))!)
      }
      var publisher = try broker.makePublisher()
      _ = try Self.publish(&publisher, "expires", to: "tasks") { $0.timeToLive = 3_000_000_000 }
      _ = try Self.publish(&publisher, "lives", to: "tasks") { $0.timeToLive = 30_000_000_000 }
      _ = try Self.publish(&publisher, "later", to: "tasks") { $0.delay = 20_000_000_000 }
      _ = try Self.publish(&publisher, "queue", to: "short") { $0.messageID = "once" }
      broker.close()
    }
    bed.wall.now += 900_000_000
    do {
      let broker = try bed.open()
      var publisher = try broker.makePublisher()
      let again = try Self.publish(&publisher, "queue", to: "short") { $0.messageID = "once" }
      #expect(again == nil)
      #expect(try broker.statistics(of: BrokerName("short")).ready == 1)
      broker.close()
    }
    bed.wall.now += 9_000_000_000
    let broker = try bed.open()
    #expect(try Self.drain(broker, "tasks") == ["lives 0 0 -"])
    broker.advance()
    #expect(try Self.drain(broker, "dead") == ["queue 0 0 -"])
    bed.clock.move(by: 11_000_000_000)
    bed.wall.now += 11_000_000_000
    #expect(try Self.drain(broker, "tasks") == ["later 0 0 -"])
    var publisher = try broker.makePublisher()
    let later = try Self.publish(&publisher, "queue", to: "short") { $0.messageID = "once" }
    #expect(later != nil)
    broker.close()
  }

  @Test("a dead letter moves from one durable queue to another in one step, and tells its way after a restart")
  func deadLetters() throws {
    let bed = Bed()
    do {
      let broker = try bed.open()
      try Self.declare(broker, "dead")
      try Self.declare(broker, "tasks") { $0.deadLetters = .queue((try? BrokerName("dead"))!) }
      var publisher = try broker.makePublisher()
      for text in ["good", "bad"] { _ = try Self.publish(&publisher, text, to: "tasks") }
      var receiver = try broker.makeReceiver(BrokerName("tasks"))
      try receiver.receive { message in message.copy() == Array("bad".utf8) ? .reject : .acknowledge }
      broker.close()
    }
    let broker = try bed.open()
    #expect(try Self.drain(broker, "tasks") == [])
    var receiver = try broker.makeReceiver(BrokerName("dead"))
    let count = try receiver.receive { message in
      #expect(message.copy() == Array("bad".utf8) && message.deaths.last?.queue == "tasks" && message.deaths.last?.reason == .rejected)
      return .acknowledge
    }
    #expect(count == 1)
    broker.close()
  }

  @Test("durable exchanges and bindings are there again; those that were deleted, or deleted themselves, are not")
  func exchanges() throws {
    let bed = Bed()
    let (shop, passing, orders) = (try BrokerName("shop"), try BrokerName("passing"), try BrokerName("orders"))
    var durable = ExchangeOptions()
    durable.isDurable = true
    do {
      let broker = try bed.open()
      try Self.declare(broker, "orders")
      try Self.declare(broker, "brief") { $0.isDurable = false }
      try broker.declare(exchange: shop, .topic, durable)
      try broker.declare(exchange: passing, .fanout)
      var deletesItself = durable
      deletesItself.autoDeletes = true
      try broker.declare(exchange: BrokerName("lone"), .direct, deletesItself)
      try broker.bind(Binding(shop, to: .queue(orders), key: "order.#"))
      try broker.bind(Binding(shop, to: .queue(orders), key: "other"))
      try broker.bind(Binding(shop, to: .queue(BrokerName("brief")), key: "order.#"))
      try broker.bind(Binding(BrokerName("lone"), to: .queue(orders), key: "x"))
      #expect(try broker.unbind(Binding(shop, to: .queue(orders), key: "other")))
      #expect(try broker.unbind(Binding(BrokerName("lone"), to: .queue(orders), key: "x")))
      let exchange = try #require(broker.router.exchange(named: shop))
      var publisher = try broker.makePublisher()
      _ = try publisher.publish(Array("a".utf8).span, Envelope(to: exchange, key: "order.made"))
      broker.close()
    }
    let broker = try bed.open()
    let lone = try BrokerName("lone")
    #expect(broker.router.exchange(named: passing) == nil && broker.router.exchange(named: lone) == nil)
    #expect(try broker.router.bindings(from: shop) == [Binding(shop, to: .queue(orders), key: "order.#")])
    let exchange = try #require(broker.router.exchange(named: shop))
    var publisher = try broker.makePublisher()
    _ = try publisher.publish(Array("b".utf8).span, Envelope(to: exchange, key: "order.paid"))
    var receiver = try broker.makeReceiver(orders)
    var seen: [String] = []
    try receiver.receive { message in
      seen.append("\(String(decoding: message.copy(), as: UTF8.self)) \(message.key)")
      return .acknowledge
    }
    #expect(seen == ["a order.made", "b order.paid"])
    #expect(try broker.delete(exchange: shop))
    broker.close()
    let third = try bed.open()
    #expect(third.router.exchange(named: shop) == nil)
    third.close()
  }

  @Test("a deleted queue is not there again, and one of its name begins empty")
  func deleted() throws {
    let bed = Bed()
    do {
      let broker = try bed.open()
      try Self.declare(broker, "tasks")
      var publisher = try broker.makePublisher()
      _ = try Self.publish(&publisher, "old", to: "tasks")
      try broker.delete(queue: BrokerName("tasks"))
      try Self.declare(broker, "tasks")
      _ = try Self.publish(&publisher, "new", to: "tasks")
      try Self.declare(broker, "others")
      _ = try Self.publish(&publisher, "purged", to: "others")
      #expect(try broker.purge(queue: BrokerName("others")) == 1)
      broker.close()
    }
    let broker = try bed.open()
    #expect(try Self.drain(broker, "tasks") == ["new 0 0 -"])
    #expect(try Self.drain(broker, "others") == [])
    broker.close()
  }
}
