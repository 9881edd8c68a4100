#if AMQP
  import MillraceCore
  import Testing

  @testable import MillraceBroker

  /// What a dead letter tells, and where it goes, here and in a real RabbitMQ.
  @Suite(.needsRabbitMQ, .serialized) struct RabbitMQDeadLetterTests {
    @Test("rejected, expired and crowded-out messages say so, with the time to live that they had, and have none any more")
    func reasons() throws {
      let both = try BesideRabbitMQ()
      try both.declare("reasons.dead")
      try both.declare("reasons.work") { $0.deadLetters = .queue(name("reasons.dead")) }
      try both.declare("reasons.small") {
        $0.deadLetters = .queue(name("reasons.dead"))
        $0.maxSize = 1
      }
      try both.declare("reasons.full") {
        $0.deadLetters = .queue(name("reasons.dead"))
        ($0.maxSize, $0.overflow) = (1, .rejectPublishDeadLetter)
      }
      try both.publish("rejected", "reasons.work", priority: 3, expiration: 3_600_000)
      try both.reject(try #require(try both.get("reasons.work")))
      try both.agree()
      try both.publish("expired", "reasons.work", expiration: 5)
      try both.pass(milliseconds: 10)
      for body in ["first", "second"] { try both.publish(body, "reasons.small") }
      try both.agree()
      #expect(try both.publish("third", "reasons.full") == .taken)
      #expect(try both.publish("fourth", "reasons.full") == .refused)
      try both.agree()
      let dead = try both.drain("reasons.dead")
      #expect(dead.map(\.body) == ["rejected", "expired", "first", "fourth"])
      #expect(dead.map { $0.deaths[0].reason } == ["rejected", "expired", "maxlen", "maxlen"])
      #expect(dead.map { $0.deaths[0].expiration } == [3_600_000, 5, nil, nil] && dead.allSatisfy { $0.expiration == nil })
      for queue in ["reasons.small", "reasons.full", "reasons.work"] { try both.drain(queue) }
    }

    @Test("a dead letter has the configured key, else its own, by which its exchange chooses")
    func keys() throws {
      let both = try BesideRabbitMQ()
      for queue in ["keys.orders", "keys.all", "keys.fixed"] { try both.declare(queue) }
      try both.declare(
        exchange: "keys.dlx", .topic, to: [("keys.orders", "order.#"), ("keys.all", "#"), ("keys.fixed", "dead.letter")])
      try both.declare("keys.own") { $0.deadLetters = .exchange(name("keys.dlx")) }
      try both.declare("keys.set") { $0.deadLetters = .exchange(name("keys.dlx"), key: "dead.letter") }
      try both.declare(exchange: "keys.in", .topic, to: [("keys.own", "#"), ("keys.set", "#")])
      for key in ["order.created", "other", ""] { try both.publish("by \(key)", to: "keys.in", key) }
      for queue in ["keys.own", "keys.set"] {
        while let held = try both.get(queue) { try both.reject(held) }
        try both.agree()
      }
      #expect(try both.drain("keys.orders").map(\.key) == ["order.created"])
      #expect(try both.drain("keys.all").map(\.key) == ["order.created", "other", "", "dead.letter", "dead.letter", "dead.letter"])
      let fixed = try both.drain("keys.fixed")
      #expect(fixed.map { $0.deaths[0].keys } == [["order.created"], ["other"], [""]])
      #expect(fixed.allSatisfy { $0.deaths[0].exchange == "keys.in" && $0.first == ["keys.set", "rejected", "keys.in"] })
    }

    @Test("over three queues the deaths stand newest first, and what came first stays")
    func chain() throws {
      let both = try BesideRabbitMQ()
      try both.declare("chain.end")
      try both.declare("chain.c") { ($0.maxSize, $0.deadLetters) = (1, .queue(name("chain.end"))) }
      try both.declare(exchange: "chain.x", .direct, to: [("chain.c", "go")])
      try both.declare("chain.b") { ($0.timeToLive, $0.deadLetters) = (5, .exchange(name("chain.x"), key: "go")) }
      try both.declare("chain.a") { $0.deadLetters = .queue(name("chain.b")) }
      for body in ["1", "2"] {
        try both.publish(body, "chain.a", expiration: 60_000)
        try both.reject(try #require(try both.get("chain.a")))
        try both.pass(milliseconds: 10)
      }
      let end = try both.drain("chain.end")
      #expect(end.map(\.body) == ["1"])
      #expect(end[0].deaths.map(\.queue) == ["chain.c", "chain.b", "chain.a"])
      #expect(end[0].deaths.map(\.reason) == ["maxlen", "expired", "rejected"])
      #expect(end[0].deaths.map(\.expiration) == [nil, nil, 60_000] && end[0].deaths.map(\.exchange) == ["chain.x", "", ""])
      #expect(end[0].first == ["chain.a", "rejected", ""])
      #expect(try both.drain("chain.c").map(\.body) == ["2"])
    }

    @Test("who comes round again has one entry for each queue and reason, counted and put first")
    func counts() throws {
      let both = try BesideRabbitMQ()
      try both.declare("counts.wait") { ($0.timeToLive, $0.deadLetters) = (3, .queue(name("counts.work"))) }
      try both.declare("counts.work") { $0.deadLetters = .queue(name("counts.wait")) }
      try both.publish("again", "counts.work", priority: 2)
      for round in 0..<4 {
        let held = try #require(try both.get("counts.work"))
        #expect(held.seen.deaths.map(\.count) == (round == 0 ? [] : [round, round]))
        #expect(held.seen.deaths.map(\.reason) == (round == 0 ? [] : ["expired", "rejected"]) && !held.seen.isRedelivered)
        try both.reject(held)
        try both.pass(milliseconds: 10)
      }
      #expect(try both.drain("counts.work")[0].first == ["counts.work", "rejected", ""])
    }

    @Test("a circle of expiries ends where it began; with a rejection in it goes on; a target outside gets its copy")
    func cycles() throws {
      let both = try BesideRabbitMQ()
      try both.declare("cycles.self") { ($0.timeToLive, $0.deadLetters) = (3, .queue(name("cycles.self"))) }
      try both.publish("round", "cycles.self")
      try both.pass(milliseconds: 10, times: 3)
      try both.declare("cycles.b") { ($0.timeToLive, $0.deadLetters) = (3, .queue(name("cycles.a"))) }
      try both.declare("cycles.a") { ($0.timeToLive, $0.deadLetters) = (3, .queue(name("cycles.b"))) }
      try both.publish("round", "cycles.a")
      try both.pass(milliseconds: 10, times: 4)
      // Round by round it would still be there.
      for _ in 0..<20 { #expect(try both.agree() == ["cycles.self": 0, "cycles.a": 0, "cycles.b": 0]) }
      #expect(both.bed.broker.lostDeadLetters == (0, 2))
      try both.declare("cycles.out")
      try both.declare("cycles.two") { ($0.timeToLive, $0.deadLetters) = (3, .exchange(name("cycles.x"))) }
      try both.declare(exchange: "cycles.x", to: [("cycles.two", ""), ("cycles.out", "")])
      try both.publish("out", "cycles.two")
      try both.pass(milliseconds: 10, times: 3)
      #expect(try both.drain("cycles.out").map { $0.deaths.map(\.count) } == [[1]])
      // A rejection of itself is none, and one on the way makes it none.
      try both.declare("cycles.rejected") { $0.deadLetters = .queue(name("cycles.rejected")) }
      try both.publish("again", "cycles.rejected")
      for round in 0..<3 {
        let held = try #require(try both.get("cycles.rejected"))
        #expect(held.seen.deaths.map(\.count) == (round == 0 ? [] : [round]))
        try both.reject(held)
        try both.agree()
      }
      #expect(try both.drain("cycles.rejected").count == 1)
    }

    @Test("a circle is cut only back to the queue it would come to: a rejection before that does not count")
    func cyclesBehindRejection() throws {
      let both = try BesideRabbitMQ()
      try both.declare("behind.b") { ($0.timeToLive, $0.deadLetters) = (3, .queue(name("behind.c"))) }
      try both.declare("behind.c") { ($0.timeToLive, $0.deadLetters) = (3, .queue(name("behind.b"))) }
      try both.declare("behind.a") { $0.deadLetters = .queue(name("behind.b")) }
      try both.publish("x", "behind.a")
      try both.reject(try #require(try both.get("behind.a")))
      try both.pass(milliseconds: 10, times: 4)
      for _ in 0..<20 { #expect(try both.agree() == ["behind.a": 0, "behind.b": 0, "behind.c": 0]) }
      #expect(both.bed.broker.lostDeadLetters.cycles == 1)
    }

    @Test("dead letters for which there is no exchange, queue or room are gone, and the rest goes on; purged and deleted messages are none")
    func nowhere() throws {
      let both = try BesideRabbitMQ()
      try both.declare("nowhere.none")
      try both.declare("nowhere.exchange") { $0.deadLetters = .exchange(name("nowhere.missing")) }
      try both.declare("nowhere.queue") { $0.deadLetters = .queue(name("nowhere.absent")) }
      try both.declare("nowhere.tight") { ($0.maxSize, $0.overflow) = (1, .rejectPublish) }
      try both.declare("nowhere.crowded") { $0.deadLetters = .queue(name("nowhere.tight")) }
      for queue in ["nowhere.none", "nowhere.exchange", "nowhere.queue", "nowhere.crowded"] {
        for body in ["1", "2"] {
          try both.publish(body, queue)
          try both.reject(try #require(try both.get(queue)))
        }
        try both.agree()
      }
      #expect(both.bed.broker.lostDeadLetters == (5, 0))
      #expect(try both.drain("nowhere.tight").map(\.body) == ["1"])
      try both.declare("nowhere.dead")
      try both.declare("nowhere.work") { $0.deadLetters = .queue(name("nowhere.dead")) }
      for body in ["1", "2", "3"] { try both.publish(body, "nowhere.work") }
      #expect(try both.purge("nowhere.work") == 3)
      try both.publish("4", "nowhere.work")
      try both.delete("nowhere.work")
      try both.agree()
      #expect(try both.get("nowhere.dead") == nil)
      // An exchange that comes later is found.
      try both.declare(exchange: "nowhere.missing", to: [("nowhere.dead", "")])
      try both.publish("late", "nowhere.exchange")
      try both.reject(try #require(try both.get("nowhere.exchange")))
      try both.agree()
      #expect(try both.drain("nowhere.dead").map(\.body) == ["late"])
    }
  }
#endif
