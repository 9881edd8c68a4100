#if AMQP
  import MillraceCore
  import Testing

  @testable import MillraceBroker

  /// Who gets which message when, here and in a real RabbitMQ: consumers to which messages are pushed, each with its own connection.
  @Suite(.needsRabbitMQ, .serialized) struct RabbitMQConsumerTests {
    /// A queue of ours as the broker has it, and a real one.
    final class Pushed {
      struct Consumer {
        var client: RabbitMQClient?
        var number: UInt32
        var held: [(here: QueueDelivery, tag: UInt64)] = []
      }

      let queue: String
      private let control: RabbitMQClient
      private var machine: QueueMachine
      private(set) var consumers: [Consumer] = []
      private var published = 0
      /// Of our side: nanoseconds.
      var now: UInt64 = 0
      private var gone: [QueueDeparture] = []
      /// What our consumers got and was not compared yet.
      private var pending: [QueueDelivery] = []

      init(_ queue: String, _ change: (inout BothQueue) -> Void = { _ in }) throws {
        var both = BothQueue()
        change(&both)
        self.queue = queue
        control = try BesideRabbitMQ.another()
        machine = QueueMachine(both.here)
        try control.declare(queue: queue, both.there)
      }

      func publish(_ count: Int = 1, priority: Int? = nil) throws {
        for _ in 0..<count {
          published += 1
          try machine.publish(QueueMessage(id: UInt64(published), bytes: 1, priority: UInt8(priority ?? 0)), now, &gone)
          #expect(try control.publish("\(published)", to: "", queue, priority: priority) == .taken)
          push()
        }
      }

      /// Everybody has what there is to be had.
      private func push() { machine.deliver(.max, now, &pending, &gone) }

      /// Its index.
      @discardableResult
      func add(prefetch: Int) throws -> Int {
        let client = try BesideRabbitMQ.another()
        consumers.append(Consumer(client: client, number: try machine.addConsumer(prefetch: prefetch == 0 ? 65_535 : prefetch)))
        try client.consume(queue, prefetch: prefetch)
        push()
        return consumers.count - 1
      }

      func isRefused(isExclusive: Bool, _ at: SourceLocation = #_sourceLocation) throws {
        #expect(throws: QueueRefusal.exclusive, sourceLocation: at) { try machine.addConsumer(prefetch: 1, isExclusive: isExclusive) }
        let client = try BesideRabbitMQ.another()
        #expect(throws: Failed.self, sourceLocation: at) { try client.consume(queue, prefetch: 1, isExclusive: isExclusive) }
      }

      func addExclusive() throws {
        let client = try BesideRabbitMQ.another()
        consumers.append(Consumer(client: client, number: try machine.addConsumer(prefetch: 5, isExclusive: true)))
        try client.consume(queue, prefetch: 5, isExclusive: true)
        push()
      }

      /// What a consumer says of one that it holds, or of all up to that one.
      func settle(_ consumer: Int, _ index: Int, _ settlement: QueueSettlement, isMultiple: Bool = false) throws {
        let (delivery, tag) = consumers[consumer].held[index]
        let number = consumers[consumer].number
        if isMultiple {
          #expect(try machine.settle(upTo: delivery.tag, of: number, settlement, now, &gone) == index + 1)
        } else {
          try machine.settle(delivery.tag, of: number, settlement, now, &gone)
        }
        let client = consumers[consumer].client!
        if settlement == .acknowledge {
          try client.acknowledge(tag, isMultiple: isMultiple)
        } else {
          try client.refuse(tag, isMultiple: isMultiple, requeue: settlement != .reject)
        }
        consumers[consumer].held.removeSubrange(isMultiple ? 0...index : index...index)
        push()
      }

      /// Who asks for one by itself gets it, whatever the others' windows are, and has done with it.
      func ask() throws {
        let number = try machine.addConsumer(prefetch: 0)
        let here = try #require(try machine.take(number, now, &gone))
        let there = try #require(try control.get(queue))
        #expect("\(here.message)" == there.seen.body)
        try machine.settle(here.tag, of: number, .acknowledge, now, &gone)
        try machine.removeConsumer(number, isFailure: false, now, &gone)
        try control.acknowledge(there.tag)
        push()
      }

      /// Its connection is lost.
      func lose(_ consumer: Int) throws {
        let before = try control.counts(queue).consumers
        try machine.removeConsumer(consumers[consumer].number, isFailure: true, now, &gone)
        pending.removeAll { $0.consumer == consumers[consumer].number }
        push()
        consumers[consumer].client = nil
        consumers[consumer].held = []
        while try control.counts(queue).consumers == before {}
      }

      /// Who got what since the last time, where both sides differ.
      func take() throws -> (here: [[Int]], there: [[Int]]) {
        try settleDown()
        let there = try consumers.map { try $0.client!.deliveries().map { Int($0.seen.body)! } }
        return (consumers.map { consumer in pending.filter { $0.consumer == consumer.number }.map { Int($0.message) } }, there)
      }

      /// The second answer comes after what was under way to the same connection at the first one.
      private func settleDown() throws {
        for _ in 0..<2 { for client in [control] + consumers.compactMap(\.client) { _ = try client.counts(queue) } }
      }

      /// Who got what since the last time is compared, in order. What each one got.
      @discardableResult
      func compare(_ at: SourceLocation = #_sourceLocation) throws -> [[Int]] {
        try settleDown()
        machine.advance(now, &gone)
        let here = pending
        pending = []
        var all: [[Int]] = []
        for index in consumers.indices {
          let there = try consumers[index].client?.deliveries() ?? []
          let own = here.filter { $0.consumer == consumers[index].number && consumers[index].client != nil }
          #expect(own.map { "\($0.message)" } == there.map(\.seen.body), "consumer \(index)", sourceLocation: at)
          #expect(own.map { $0.acquired > 0 } == there.map(\.seen.isRedelivered), "consumer \(index)", sourceLocation: at)
          guard own.count == there.count else { throw Failed("consumer \(index) has \(own.count) messages here, \(there.count) there") }
          consumers[index].held += zip(own, there).map { ($0, $1.tag) }
          all.append(own.map { Int($0.message) })
        }
        #expect(try control.counts(queue).ready == machine.ready, sourceLocation: at)
        return all
      }
    }

    @Test("each consumer holds as many as its prefetch says, in turns, and gets the next one when it has settled one")
    func prefetch() throws {
      let pushed = try Pushed("prefetch.work")
      for prefetch in [1, 3, 2] { try pushed.add(prefetch: prefetch) }
      try pushed.publish(10)
      #expect(try pushed.compare() == [[1], [2, 4, 6], [3, 5]])
      try pushed.ask()
      try pushed.compare()
      try pushed.settle(1, 1, .acknowledge)
      #expect(try pushed.compare() == [[], [8], []])
      try pushed.settle(0, 0, .release(after: 0))
      try pushed.compare()
      try pushed.settle(1, 2, .acknowledge, isMultiple: true)
      try pushed.compare()
      try pushed.settle(2, 1, .reject, isMultiple: true)
      try pushed.compare()
      try pushed.add(prefetch: 0)
      try pushed.publish(5)
      try pushed.compare()
    }

    @Test("with one at a time, an urgent message goes before all that wait, and not before what is held")
    func priority() throws {
      let pushed = try Pushed("urgent.work") { $0.priority = 9 }
      try pushed.add(prefetch: 1)
      for priority in [1, 5, 5, 20, 9, 0] { try pushed.publish(priority: priority) }
      var order = try pushed.compare()[0]
      for _ in 0..<5 {
        try pushed.settle(0, 0, .acknowledge)
        order += try pushed.compare()[0]
      }
      #expect(order == [1, 4, 5, 2, 3, 6])
    }

    @Test("several at once: all up to one are acknowledged, given back or rejected")
    func multiple() throws {
      let pushed = try Pushed("multiple.work")
      try pushed.add(prefetch: 6)
      try pushed.publish(12)
      try pushed.compare()
      try pushed.settle(0, 2, .release(after: 0), isMultiple: true)
      #expect(try pushed.compare() == [[1, 2, 3]])
      try pushed.settle(0, 1, .acknowledge, isMultiple: true)
      try pushed.compare()
      try pushed.settle(0, 3, .reject, isMultiple: true)
      try pushed.compare()
    }

    @Test("a lost connection gives back all that it held, where it stood, as delivered before")
    func lost() throws {
      let pushed = try Pushed("lost.work")
      try pushed.add(prefetch: 4)
      try pushed.publish(6)
      #expect(try pushed.compare() == [[1, 2, 3, 4]])
      try pushed.settle(0, 1, .acknowledge)
      #expect(try pushed.compare() == [[5]])
      try pushed.lose(0)
      try pushed.add(prefetch: 10)
      #expect(try pushed.compare() == [[], [1, 3, 4, 5, 6]])
      try pushed.add(prefetch: 2)
      try pushed.lose(1)
      #expect(try pushed.compare() == [[], [], [1, 3]])
    }

    @Test("one active consumer gets all; the next oldest follows when it is lost")
    func singleActive() throws {
      let pushed = try Pushed("single.work") { $0.isSingleActive = true }
      for prefetch in [2, 3, 4] { try pushed.add(prefetch: prefetch) }
      try pushed.publish(6)
      #expect(try pushed.compare() == [[1, 2], [], []])
      try pushed.settle(0, 0, .acknowledge)
      #expect(try pushed.compare() == [[3], [], []])
      try pushed.lose(2)
      try pushed.compare()
      try pushed.lose(0)
      #expect(try pushed.compare() == [[], [2, 3, 4], []])
    }

    @Test("an exclusive consumer shares with nobody, and comes to nobody who is there")
    func exclusive() throws {
      let pushed = try Pushed("exclusive.work")
      try pushed.add(prefetch: 1)
      try pushed.isRefused(isExclusive: true)
      try pushed.lose(0)
      try pushed.addExclusive()
      try pushed.isRefused(isExclusive: false)
      try pushed.isRefused(isExclusive: true)
      try pushed.publish(2)
      #expect(try pushed.compare() == [[], [1, 2]])
    }

    @Test("500 random operations of a consumer that settles, is lost and comes again: the same after each")
    func random() throws {
      let pushed = try Pushed("pushed.work") { $0.priority = 2 }
      var numbers = SeededNumbers(7)
      try pushed.add(prefetch: 4)
      var settled = 0
      for step in 0..<500 {
        let consumer = pushed.consumers.count - 1
        if step % 90 == 89 {
          try pushed.lose(consumer)
          try pushed.add(prefetch: Int.random(in: 1..<9, using: &numbers))
        } else if Int.random(in: 0..<2, using: &numbers) == 0 {
          try pushed.publish(Int.random(in: 1..<4, using: &numbers), priority: Int.random(in: 0..<4, using: &numbers))
        } else if let index = pushed.consumers[consumer].held.indices.randomElement(using: &numbers) {
          let settlement: QueueSettlement = [.acknowledge, .acknowledge, .release(after: 0), .reject].randomElement(using: &numbers)!
          try pushed.settle(consumer, index, settlement, isMultiple: Int.random(in: 0..<4, using: &numbers) == 0)
          settled += 1
        }
        try pushed.compare()
      }
      #expect(settled > 100)
    }

    @Test("with a time to live of nothing, who has room gets it, and it is gone for the others")
    func nothing() throws {
      let pushed = try Pushed("nothing.pushed") { $0.timeToLive = 0 }
      try pushed.add(prefetch: 2)
      try pushed.publish(4)
      pushed.now = 1
      #expect(try pushed.compare() == [[1, 2]])
      try pushed.settle(0, 0, .acknowledge)
      #expect(try pushed.compare() == [[]])
      try pushed.publish()
      #expect(try pushed.compare() == [[5]])
    }

    @Test("an acknowledgement of nothing, or a second one, is refused here, and costs the channel there; the queue goes on")
    func twice() throws {
      let both = try BesideRabbitMQ()
      try both.declare("twice.work")
      for body in ["1", "2"] { try both.publish(body, "twice.work") }
      for isSecond in [true, false] {
        let client = try BesideRabbitMQ.another()
        let first = try #require(try client.get("twice.work"))
        if isSecond {
          try client.acknowledge(first.tag)
          _ = try client.counts("twice.work")
        }
        try client.acknowledge(isSecond ? first.tag : 99)
        #expect(throws: Failed.self) { _ = try client.counts("twice.work") }
      }
      var machine = QueueMachine(QueueConfiguration())
      var gone: [QueueDeparture] = []
      let consumer = try machine.addConsumer(prefetch: 0)
      for id in 1...2 { try machine.publish(QueueMessage(id: UInt64(id)), 0, &gone) }
      let first = try #require(try machine.take(consumer, 0, &gone))
      try machine.settle(first.tag, of: consumer, .acknowledge, 0, &gone)
      #expect(throws: QueueRefusal.unknownDelivery) { try machine.settle(first.tag, of: consumer, .acknowledge, 0, &gone) }
      #expect(throws: QueueRefusal.unknownDelivery) {
        try machine.settle(QueueTag(entry: 99, generation: 1), of: consumer, .acknowledge, 0, &gone)
      }
      // There, what the lost channel held is back.
      #expect(machine.ready == 1)
      while try both.client.counts("twice.work").ready == 0 {}
      #expect(try both.client.counts("twice.work").ready == 1)
    }

    @Test("on purpose: whose window was full stands at the end of the line here when it has room, and where it was there")
    func turns() throws {
      let pushed = try Pushed("turns.work")
      for prefetch in [1, 4, 4] { try pushed.add(prefetch: prefetch) }
      try pushed.publish(2)
      #expect(try pushed.compare() == [[1], [2], []])
      try pushed.settle(0, 0, .acknowledge)
      try pushed.publish(2)
      // 3 goes to the third one; then it is the turn of the first there, of the second here.
      let (here, there) = try pushed.take()
      #expect(here == [[], [4], [3]] && there == [[4], [], [3]])
    }
  }
#endif
