#if AMQP
  import MillraceCore
  import Testing

  @testable import MillraceBroker

  /// In which order messages are delivered, and given back, here and in a real RabbitMQ.
  @Suite(.needsRabbitMQ, .serialized) struct RabbitMQOrderTests {
    @Test("the highest priority first, in order of arrival, those above the highest as the highest; also what comes back")
    func priorities() throws {
      let both = try BesideRabbitMQ()
      var numbers = SeededNumbers(41)
      try both.declare("priorities.work") { $0.priority = 5 }
      for round in 0..<3 {
        for index in 0..<60 {
          let priority = Int.random(in: 0..<9, using: &numbers)
          try both.publish("\(round).\(index)", "priorities.work", priority: priority == 8 ? nil : priority)
        }
        var held: [BesideRabbitMQ.Held] = []
        for _ in 0..<25 { held.append(try #require(try both.get("priorities.work"))) }
        for message in held.shuffled(using: &numbers) { try both.requeue(message) }
        let all = try both.drain("priorities.work")
        let levels = all.map { min($0.priority, 5) }
        #expect(all.count == 60 && levels == levels.sorted(by: >) && Set(levels).count == 6)
      }
    }

    @Test("what is given back stands where it stood, and says that it was delivered")
    func requeue() throws {
      let both = try BesideRabbitMQ()
      try both.declare("order.work")
      for body in 1...8 { try both.publish("\(body)", "order.work") }
      var held: [BesideRabbitMQ.Held] = []
      for _ in 0..<5 { held.append(try #require(try both.get("order.work"))) }
      for index in [3, 0, 4, 2] { try both.requeue(held[index]) }
      try both.publish("9", "order.work")
      let first = try #require(try both.get("order.work"))
      #expect(first.seen.body == "1")
      try both.acknowledge(held[1])
      let rest = try both.drain("order.work")
      #expect(rest.map(\.body) == ["3", "4", "5", "6", "7", "8", "9"])
      #expect(rest.map(\.isRedelivered) == [true, true, true, false, false, false, false])
      try both.requeue(first)
      #expect(try both.drain("order.work").map(\.body) == ["1"])
    }

    @Test("2,000 random operations on three queues whose dead letters go round: the same after each")
    func random() throws {
      let both = try BesideRabbitMQ()
      var numbers = SeededNumbers(2_026)
      let queues = ["random.a", "random.b", "random.c"]
      try both.declare(queues[0]) { $0.deadLetters = .queue(name(queues[1])) }
      try both.declare(queues[2]) { ($0.maxSize, $0.deadLetters) = (8, .queue(name(queues[0]))) }
      try both.declare(exchange: "random.x", .topic, to: [(queues[2], "random.#")])
      try both.declare(queues[1]) { ($0.priority, $0.deadLetters) = (3, .exchange(name("random.x"))) }
      var held: [(queue: String, message: BesideRabbitMQ.Held)] = []
      var (published, deaths, given) = (0, 0, 0)
      for _ in 0..<2_000 {
        let queue = queues.randomElement(using: &numbers)!
        switch Int.random(in: 0..<100, using: &numbers) {
        case ..<35:
          published += 1
          try both.publish(
            "\(published)", queue, priority: Int.random(in: 0..<6, using: &numbers), expiration: published % 5 == 0 ? 3_600_000 : nil)
        case ..<65 where held.count < 20:
          if let message = try both.get(queue) {
            held.append((queue, message))
            deaths = max(deaths, message.seen.deaths.count)
          }
        default:
          guard let index = held.indices.randomElement(using: &numbers) else { continue }
          let (queue, message) = held.remove(at: index)
          let ready = try both.bed.broker.statistics(of: name(queue)).ready
          switch Int.random(in: 0..<4, using: &numbers) {
          case 0: try both.acknowledge(message)
          // What comes back to a full queue is another matter.
          case 1 where queue != queues[2] || ready < 8:
            given += 1
            try both.requeue(message)
          default: try both.reject(message)
          }
        }
        try both.agree()
      }
      #expect(published > 500 && deaths >= 4 && given > 50, "the comparison is worth something: \(published), \(deaths), \(given)")
      for queue in queues { try both.drain(queue) }
    }
  }
#endif
