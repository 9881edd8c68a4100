#if AMQP
  import MillraceCore
  import Testing

  @testable import MillraceBroker

  /// What expires, what finds no room, and what a publisher is told, here and in a real RabbitMQ.
  @Suite(.needsRabbitMQ, .serialized) struct RabbitMQOverflowTests {
    // MARK: Time to live

    @Test("the lower of queue's and message's time to live counts")
    func lower() throws {
      let both = try BesideRabbitMQ()
      try both.declare("lower.dead")
      for (queue, own, message) in [("lower.queue", 5, 3_600_000), ("lower.message", 3_600_000, 5)] {
        try both.declare(queue) { ($0.timeToLive, $0.deadLetters) = (own, .queue(name("lower.dead"))) }
        try both.publish(queue, queue, expiration: message)
        try both.pass(milliseconds: 10)
      }
      #expect(try both.drain("lower.dead").map(\.deaths[0].expiration) == [3_600_000, 5])
      try both.publish("long", "lower.message", expiration: 7_200_000)
      try both.age(milliseconds: 20)
      #expect(try both.drain("lower.message").map(\.expiration) == [7_200_000])
    }

    @Test("what is given back keeps its expiry, and what a consumer holds does not expire")
    func requeued() throws {
      let both = try BesideRabbitMQ()
      try both.declare("requeued.dead")
      try both.declare("requeued.work") { $0.deadLetters = .queue(name("requeued.dead")) }
      for body in ["back", "done"] { try both.publish(body, "requeued.work", expiration: 2_000) }
      let back = try #require(try both.get("requeued.work"))
      let done = try #require(try both.get("requeued.work"))
      try both.age(milliseconds: 2_100)
      #expect(try both.agree()["requeued.dead"] == 0)
      try both.requeue(back)
      try both.acknowledge(done)
      try both.agree()
      #expect(try both.drain("requeued.dead").map(\.deaths[0].reason) == ["expired"])
    }

    @Test("a time to live of nothing: nobody gets it who is not there")
    func nothing() throws {
      let both = try BesideRabbitMQ()
      try both.declare("nothing.dead")
      try both.declare("nothing.work") { ($0.timeToLive, $0.deadLetters) = (0, .queue(name("nothing.dead"))) }
      try both.publish("queue's", "nothing.work")
      try both.pass(milliseconds: 1)
      try both.declare("nothing.plain") { $0.deadLetters = .queue(name("nothing.dead")) }
      try both.publish("own", "nothing.plain", expiration: 0)
      both.passHere(1)
      try both.agree()
      #expect(try both.client.counts("nothing.dead").ready == 2)
      var bodies: [String] = []
      while let there = try both.client.get("nothing.dead") {
        bodies.append(there.seen.body)
        try both.client.acknowledge(there.tag)
      }
      #expect(try bodies == both.bed.drain("nothing.dead"))
    }

    @Test("on purpose: behind the head what has expired is gone here, and counted there until the head goes")
    func behindTheHead() throws {
      let both = try BesideRabbitMQ()
      try both.declare("head.dead")
      try both.declare("head.work") { $0.deadLetters = .queue(name("head.dead")) }
      try both.publish("first", "head.work")
      try both.publish("second", "head.work", expiration: 5)
      try both.age(milliseconds: 30)
      #expect(try both.client.counts("head.work").ready == 2 && both.bed.broker.statistics(of: name("head.work")).ready == 1)
      #expect(try both.client.counts("head.dead").ready == 0 && both.bed.broker.statistics(of: name("head.dead")).ready == 1)
      try both.acknowledge(try #require(try both.get("head.work")))
      // Whoever asks makes it go there.
      #expect(try both.get("head.work") == nil)
      try both.agree()
      #expect(try both.drain("head.dead").map(\.body) == ["second"])
    }

    // MARK: Overflow

    @Test("drop-head: the oldest goes, by number and by bytes, though that be the new one itself")
    func dropHead() throws {
      let both = try BesideRabbitMQ()
      try both.declare("drop.dead")
      try both.declare("drop.number") { ($0.maxSize, $0.deadLetters) = (3, .queue(name("drop.dead"))) }
      for body in 1...5 { try both.publish("\(body)", "drop.number") }
      try both.agree()
      #expect(try both.drain("drop.dead").map(\.body) == ["1", "2"])
      #expect(try both.drain("drop.number").map(\.body) == ["3", "4", "5"])
      try both.declare("drop.bytes") { ($0.maxBytes, $0.deadLetters) = (10, .queue(name("drop.dead"))) }
      for body in ["aaaa", "bbb", "cc", "d", "eeeeee", "fffffffffff"] {
        try both.publish(body, "drop.bytes")
        try both.agree()
      }
      #expect(try both.drain("drop.dead").map(\.body) == ["aaaa", "bbb", "cc", "d", "eeeeee", "fffffffffff"])
      for body in ["g", "hhhhhhhhh", "", ""] { try both.publish(body, "drop.bytes") }
      #expect(try both.drain("drop.bytes").map(\.body) == ["g", "hhhhhhhhh", "", ""])
    }

    @Test("reject-publish: the publisher is refused by number and by bytes; what consumers hold takes no room")
    func rejectPublish() throws {
      let both = try BesideRabbitMQ()
      try both.declare("refuse.number") { ($0.maxSize, $0.overflow) = (2, .rejectPublish) }
      try both.declare("refuse.bytes") { ($0.maxBytes, $0.overflow) = (10, .rejectPublish) }
      var told: [Told] = []
      for body in 1...4 { told.append(try both.publish("\(body)", "refuse.number")) }
      #expect(told == [.taken, .taken, .refused, .refused])
      let held = try #require(try both.get("refuse.number"))
      #expect(try both.publish("5", "refuse.number") == .taken)
      #expect(try both.publish("6", "refuse.number") == .refused)
      try both.acknowledge(held)
      #expect(try both.publish("7", "refuse.number") == .refused)
      #expect(try both.drain("refuse.number").map(\.body) == ["2", "5"])
      told = []
      for body in ["aaaa", "bbbbbb", "c", "", "dddddddddddd"] { told.append(try both.publish(body, "refuse.bytes")) }
      #expect(told == [.taken, .taken, .refused, .taken, .refused])
      #expect(try both.drain("refuse.bytes").map(\.body) == ["aaaa", "bbbbbb", ""])
      #expect(try both.publish("eeeeeeeeeee", "refuse.bytes") == .refused)
      #expect(try both.publish("ffffffffff", "refuse.bytes") == .taken)
    }

    @Test("on purpose: one full queue of two refuses for both here, and for itself there")
    func partOfThem() throws {
      let both = try BesideRabbitMQ()
      try both.declare("part.small") { ($0.maxSize, $0.overflow) = (1, .rejectPublish) }
      try both.declare("part.large")
      try both.declare(exchange: "part.x", to: [("part.small", ""), ("part.large", "")])
      #expect(try both.publish("1", to: "part.x", "") == .taken)
      #expect(try both.publish("2", to: "part.x", "") == .refused)
      #expect(try both.bed.drain("part.large") == ["1"])
      #expect(try both.client.purge("part.large") == 2)
    }

    @Test("on purpose: what comes back to a full queue stays here, and makes the head go there")
    func requeueToFull() throws {
      let both = try BesideRabbitMQ()
      try both.declare("back.work") { $0.maxSize = 2 }
      for body in ["1", "2"] { try both.publish(body, "back.work") }
      let held = try #require(try both.get("back.work"))
      try both.publish("3", "back.work")
      try both.requeue(held)
      #expect(try both.client.counts("back.work").ready == 2)
      #expect(try both.bed.drain("back.work") == ["1", "2", "3"])
      // The next message that comes makes room for all.
      for body in ["1", "2"] { try both.bed.publish(body, to: "back.work") }
      #expect(try both.client.get("back.work")?.seen.body == "2")
    }

    @Test("on purpose: the lowest priority makes room here, the head there")
    func priorityMakesRoom() throws {
      let both = try BesideRabbitMQ()
      try both.declare("room.work") { ($0.maxSize, $0.priority) = (2, 5) }
      for (body, priority) in [("low", 0), ("high", 5), ("middle", 3)] { try both.publish(body, "room.work", priority: priority) }
      #expect(try both.bed.drain("room.work") == ["high", "middle"])
      var there: [String] = []
      while let next = try both.client.get("room.work") { there.append(next.seen.body) }
      #expect(there == ["middle", "low"])
    }

    // MARK: Confirms

    @Test("each message of many is confirmed or refused once, and what no queue wants comes back before")
    func confirms() throws {
      let both = try BesideRabbitMQ()
      try both.declare("confirms.work") { ($0.maxSize, $0.overflow) = (150, .rejectPublish) }
      var batch = both.bed.publisher.batch(try Envelope(to: BrokerName("confirms.work")), capacity: 200)
      for index in 0..<200 {
        try both.bed.publisher.add(1, to: &batch) { $0[0] = UInt8(index) }
        try both.client.send("\(index)", to: "", "confirms.work")
      }
      let there = try both.client.confirms(200)
      let here = both.bed.publisher.publish(&batch)
      #expect(there.taken.count == here.accepted && there.refused.count == batch.count && here.accepted == 150)
      // The first ones are taken on both sides.
      #expect(there.taken.sorted() == Array(1...150))
      try both.declare(exchange: "confirms.x", .direct, to: [("confirms.work", "known")])
      #expect(try both.publish("nobody's", to: "confirms.x", "unknown") == .returned)
      #expect(try both.publish("nobody's", "confirms.nowhere") == .returned)
    }

    @Test("purging and deleting count what is ready; consumers keep what they hold until the queue goes")
    func purgeAndDelete() throws {
      let both = try BesideRabbitMQ()
      try both.declare("purge.work")
      for body in 1...5 { try both.publish("\(body)", "purge.work") }
      let held = try #require(try both.get("purge.work"))
      #expect(try both.purge("purge.work") == 4)
      #expect(try both.purge("purge.work") == 0)
      try both.requeue(held)
      try both.publish("6", "purge.work")
      try both.agree()
      let again = try #require(try both.get("purge.work"))
      #expect(again.seen.isRedelivered)
      #expect(throws: Failed.self) { _ = try BesideRabbitMQ.another().delete("purge.work", ifEmpty: true) }
      #expect(throws: BrokerError.self) { try both.bed.broker.delete(queue: name("purge.work"), ifEmpty: true) }
      try both.delete("purge.work")
      #expect(throws: SettleError.queueDeleted) { try again.settle(.acknowledge) }
      #expect(try both.publish("7", "purge.work") == .returned)
    }

    @Test("on purpose: a queue whose messages are all in consumers' hands is not empty here, and is there")
    func emptyOrNot() throws {
      let both = try BesideRabbitMQ()
      try both.declare("empty.work")
      try both.publish("1", "empty.work")
      let held = try #require(try both.get("empty.work"))
      #expect(throws: BrokerError.inUse(name("empty.work"), messages: 1, consumers: 1)) {
        try both.bed.broker.delete(queue: name("empty.work"), ifEmpty: true)
      }
      #expect(try both.client.delete("empty.work", ifEmpty: true) == 0)
      try held.settle(.acknowledge)
    }
  }
#endif
