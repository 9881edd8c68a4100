#if AMQP
  import MillraceCore
  import Testing

  @testable import MillraceBroker

  /// How a queue is declared, in words of both. Milliseconds.
  struct BothQueue {
    var timeToLive: Int?
    var maxSize: Int?
    var maxBytes: Int?
    var overflow: QueueConfiguration.Overflow = .dropHead
    /// The highest.
    var priority: Int?
    var deadLetters: DeadLetterTarget?
    var isSingleActive = false

    var here: QueueConfiguration {
      var configuration = QueueConfiguration()
      configuration.priorities = (priority ?? 0) + 1
      configuration.maxSize = maxSize ?? .max
      configuration.maxBytes = maxBytes ?? .max
      configuration.overflow = overflow
      configuration.timeToLive = timeToLive.map { UInt64($0) * 1_000_000 }
      configuration.deliveryLimit = nil
      configuration.deadLetters = deadLetters
      configuration.isSingleActive = isSingleActive
      return configuration
    }

    var there: [RabbitMQClient.Field] {
      var fields: [RabbitMQClient.Field] = []
      func add(_ name: String, _ value: Int?) { if let value { fields.append((name, .int64(Int64(value)))) } }
      add("x-message-ttl", timeToLive)
      add("x-max-length", maxSize)
      add("x-max-length-bytes", maxBytes)
      add("x-max-priority", priority)
      switch overflow {
      case .dropHead: break
      case .rejectPublish: fields.append(("x-overflow", .text("reject-publish")))
      case .rejectPublishDeadLetter: fields.append(("x-overflow", .text("reject-publish-dlx")))
      }
      switch deadLetters {
      case .queue(let queue): fields += [("x-dead-letter-exchange", .text("")), ("x-dead-letter-routing-key", .text(queue.description))]
      case .exchange(let exchange, let key):
        fields.append(("x-dead-letter-exchange", .text(exchange.description)))
        if let key { fields.append(("x-dead-letter-routing-key", .text(key))) }
      case nil: break
      }
      if isSingleActive { fields.append(("x-single-active-consumer", .boolean(true))) }
      return fields
    }
  }

  /// A broker of ours and a real one, through the same operations. What each of them gives is compared on the way.
  final class BesideRabbitMQ {
    let bed: BrokerBed
    let client: RabbitMQClient
    private var queues: [String] = []
    private var receivers: [String: Receiving] = [:]

    /// A receiver that can lie in a table.
    private final class Receiving {
      private var receiver: Receiver

      init(_ broker: Broker, _ queue: String) throws { receiver = try broker.makeReceiver(name(queue)) }

      func next() throws -> Delivery? { try receiver.next() }
    }

    /// A message in a consumer's hands on both sides.
    final class Held {
      private var delivery: Delivery?
      let tag: UInt64
      let seen: Seen

      init(_ delivery: consuming Delivery, _ tag: UInt64, _ seen: Seen) {
        self.delivery = consume delivery
        (self.tag, self.seen) = (tag, seen)
      }

      func settle(_ settlement: Settlement) throws { try delivery.take()!.settle(settlement) }
    }

    init() throws {
      bed = try BrokerBed()
      client = try RabbitMQClient(port: RabbitMQServer.shared.get().port)
    }

    static func another() throws -> RabbitMQClient { try RabbitMQClient(port: RabbitMQServer.shared.get().port) }

    func declare(_ queue: String, _ change: (inout BothQueue) -> Void = { _ in }) throws {
      var both = BothQueue()
      change(&both)
      try bed.broker.declare(queue: name(queue), both.here)
      try client.declare(queue: queue, both.there)
      queues.append(queue)
    }

    func declare(exchange: String, _ kind: ExchangeKind = .fanout, to targets: [(queue: String, key: String)]) throws {
      try bed.broker.router.declare(name(exchange), kind)
      try client.declare(exchange: exchange, "\(kind)", autoDelete: false, alternate: nil)
      for target in targets {
        try bed.broker.router.bind(Binding(exchange, .queue(name(target.queue)), target.key))
        try client.bind(queue: target.queue, to: exchange, target.key, [])
      }
    }

    /// To a queue, or to an exchange by a key. What both say of it.
    @discardableResult
    func publish(
      _ body: String, to exchange: String = "", _ key: String, priority: Int? = nil, expiration: Int? = nil,
      _ at: SourceLocation = #_sourceLocation
    ) throws -> Told {
      let here = try publishHere(body, to: exchange, key, priority: priority, expiration: expiration)
      let there = try client.publish(body, to: exchange, key, priority: priority, expiration: expiration)
      #expect(here == there, "\(body) to '\(exchange)' by '\(key)'", sourceLocation: at)
      return here
    }

    func publishHere(_ body: String, to exchange: String = "", _ key: String, priority: Int? = nil, expiration: Int? = nil) throws -> Told {
      let id = exchange.isEmpty ? ExchangeID.default : bed.broker.router.exchange(named: name(exchange))!
      var envelope = Envelope(to: id, key: key)
      envelope.priority = UInt8(priority ?? 0)
      envelope.timeToLive = expiration.map { UInt64($0) * 1_000_000 }
      do throws(PublishRefusal) {
        _ = try bed.publisher.publish(Array(body.utf8).span, envelope)
        return .taken
      } catch {
        switch error {
        case .unroutable: return .returned
        case .full: return .refused
        default: throw error
        }
      }
    }

    /// The first message of a queue; both must have the same, or none.
    func get(_ queue: String, _ at: SourceLocation = #_sourceLocation) throws -> Held? {
      if receivers[queue] == nil { receivers[queue] = try Receiving(bed.broker, queue) }
      let there = try client.get(queue)
      guard let here = try receivers[queue]!.next() else {
        #expect(there == nil, "only RabbitMQ has a message in \(queue)", sourceLocation: at)
        return nil
      }
      let seen = Seen(here.message)
      guard let there else {
        Issue.record("only we have a message in \(queue): \(seen)", sourceLocation: at)
        return nil
      }
      #expect(seen.inAnyOrder == there.seen.inAnyOrder, "in \(queue)", sourceLocation: at)
      return Held(here, there.tag, seen)
    }

    func acknowledge(_ held: Held) throws {
      try held.settle(.acknowledge)
      try client.acknowledge(held.tag)
    }

    func requeue(_ held: Held) throws {
      try held.settle(.release(after: 0))
      try client.refuse(held.tag, requeue: true)
    }

    func reject(_ held: Held) throws {
      try held.settle(.reject)
      try client.refuse(held.tag, requeue: false)
    }

    /// How many were ready; compared.
    func purge(_ queue: String, _ at: SourceLocation = #_sourceLocation) throws -> Int {
      let here = try bed.broker.purge(queue: name(queue))
      #expect(try client.purge(queue) == here, sourceLocation: at)
      return here
    }

    /// Whatever is in it; how many were ready is compared.
    func delete(_ queue: String, _ at: SourceLocation = #_sourceLocation) throws {
      let here = try bed.broker.statistics(of: name(queue)).ready
      #expect(try bed.broker.delete(queue: name(queue)), sourceLocation: at)
      #expect(try client.delete(queue) == here, sourceLocation: at)
      queues.removeAll { $0 == queue }
      receivers[queue] = nil
    }

    /// Waits until there are as many ready messages there as here, in each queue: a dead letter is a message under way there. How many.
    @discardableResult
    func agree(_ at: SourceLocation = #_sourceLocation) throws -> [String: Int] {
      var here: [String: Int] = [:]
      for queue in queues { here[queue] = try bed.broker.statistics(of: name(queue)).ready }
      let end = Clock.monotonic.now + 10_000_000_000
      while true {
        var there: [String: Int] = [:]
        for queue in queues { there[queue] = try client.counts(queue).ready }
        if here == there { return here }
        if Clock.monotonic.now > end {
          #expect(here == there, "here, there", sourceLocation: at)
          throw Failed("they do not come to agree")
        }
      }
    }

    /// Time passes here: so much, so many times, and there: as long as it takes to come to the same.
    func pass(milliseconds: Int, times: Int = 1, _ at: SourceLocation = #_sourceLocation) throws {
      passHere(milliseconds, times)
      try agree(at)
    }

    func passHere(_ milliseconds: Int, _ times: Int = 1) {
      for _ in 0..<times {
        bed.clock.move(by: UInt64(milliseconds) * 1_000_000)
        bed.broker.advance()
      }
    }

    /// So much time passes on both sides: there, a message in a queue of its own has as long to live, and is seen to die.
    func age(milliseconds: Int) throws {
      let (clock, dead) = ("clock-\(milliseconds)", "clock-\(milliseconds)-dead")
      try client.declare(queue: dead)
      try client.declare(queue: clock, [("x-dead-letter-exchange", .text("")), ("x-dead-letter-routing-key", .text(dead))])
      _ = try client.publish("tick", to: "", clock, expiration: milliseconds)
      while try client.counts(dead).ready == 0 {}
      _ = try client.purge(dead)
      passHere(milliseconds)
    }

    /// All that is ready, acknowledged; compared one by one.
    @discardableResult
    func drain(_ queue: String, _ at: SourceLocation = #_sourceLocation) throws -> [Seen] {
      var all: [Seen] = []
      while let held = try get(queue, at) {
        all.append(held.seen)
        try acknowledge(held)
      }
      return all
    }
  }

  extension Seen {
    /// The newest death first, the others in an order of ours: RabbitMQ 3.10 turns those round at each death (`group_by_queue_and_reason`), its documentation says that the newest come first.
    var inAnyOrder: Seen {
      var seen = self
      seen.deaths = deaths.prefix(1) + deaths.dropFirst().sorted { ($0.queue, $0.reason) < ($1.queue, $1.reason) }
      return seen
    }

    init(_ message: borrowing Message) {
      func death(_ death: Deaths.Death) -> Death {
        Death(
          queue: death.queue, reason: death.reason.inRabbitMQ, count: Int(death.count), exchange: death.exchange, keys: death.routingKeys,
          expiration: death.originalExpiration.map { Int($0 / 1_000_000) })
      }
      self.init(
        body: String(decoding: message.copy(), as: UTF8.self), key: message.key, priority: Int(message.priority),
        isRedelivered: message.isRedelivered, expiration: message.block.timeToLive == 0 ? nil : Int(message.block.timeToLive / 1_000_000),
        deaths: message.deaths.all.map(death))
      if let first = message.deaths.first { self.first = [first.queue, first.reason.inRabbitMQ, first.exchange] }
    }
  }

  extension QueueExit {
    /// The word for it in `x-death`.
    fileprivate var inRabbitMQ: String {
      switch self {
      case .rejected: "rejected"
      case .expired: "expired"
      case .maxLength: "maxlen"
      case .deliveryLimit: "delivery_limit"
      case .acknowledged, .purged, .moved: "none"
      }
    }
  }
#endif
