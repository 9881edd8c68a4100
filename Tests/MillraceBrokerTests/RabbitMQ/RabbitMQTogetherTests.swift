#if AMQP
  import MillraceCore
  import Testing

  @testable import MillraceBroker

  /// Several consumers of a queue taken together: whose turn it is may differ, which messages are out may not.
  @Suite(.needsRabbitMQ, .serialized) struct RabbitMQTogetherTests {
    /// Who holds a message on each side, and as which delivery.
    private struct Holder {
      var here: QueueDelivery
      var there: (client: Int, tag: UInt64)
    }

    @Test("500 random operations with four consumers: the same messages are out after each, and nobody holds more than its prefetch")
    func random() throws {
      let prefetches = [1, 2, 3, 5]
      let control = try BesideRabbitMQ.another()
      var both = BothQueue()
      both.priority = 3
      try control.declare(queue: "together.work", both.there)
      var machine = QueueMachine(both.here)
      let numbers = try prefetches.map { try machine.addConsumer(prefetch: $0) }
      let clients = try prefetches.map { prefetch in
        let client = try BesideRabbitMQ.another()
        try client.consume("together.work", prefetch: prefetch)
        return client
      }
      var generator = SeededNumbers(99)
      var out: [Int: Holder] = [:]
      var gone: [QueueDeparture] = []
      var (published, redelivered) = (0, 0)
      for _ in 0..<500 {
        if Int.random(in: 0..<5, using: &generator) < 2 || out.isEmpty {
          published += 1
          let priority = Int.random(in: 0..<5, using: &generator)
          try machine.publish(QueueMessage(id: UInt64(published), bytes: 1, priority: UInt8(priority)), 0, &gone)
          #expect(try control.publish("\(published)", to: "", "together.work", priority: priority) == .taken)
        } else {
          let message = out.keys.sorted().randomElement(using: &generator)!
          let holder = out.removeValue(forKey: message)!
          let settlement: QueueSettlement = [.acknowledge, .acknowledge, .release(after: 0), .reject].randomElement(using: &generator)!
          try machine.settle(holder.here.tag, of: holder.here.consumer, settlement, 0, &gone)
          let client = clients[holder.there.client]
          if settlement == .acknowledge {
            try client.acknowledge(holder.there.tag)
          } else {
            try client.refuse(holder.there.tag, requeue: settlement != .reject)
          }
        }
        var here: [QueueDelivery] = []
        machine.deliver(.max, 0, &here, &gone)
        for _ in 0..<2 { for client in [control] + clients { _ = try client.counts("together.work") } }
        var there: [Int: (seen: Seen, client: Int, tag: UInt64)] = [:]
        for index in clients.indices {
          for (tag, seen) in try clients[index].deliveries() { there[Int(seen.body)!] = (seen, index, tag) }
        }
        #expect(Set(here.map { Int($0.message) }) == Set(there.keys))
        for delivery in here {
          let other = try #require(there[Int(delivery.message)])
          #expect(other.seen.isRedelivered == (delivery.acquired > 0))
          redelivered += delivery.acquired > 0 ? 1 : 0
          out[Int(delivery.message)] = Holder(here: delivery, there: (other.client, other.tag))
        }
        for (index, prefetch) in prefetches.enumerated() {
          #expect(out.values.count { $0.here.consumer == numbers[index] } <= prefetch)
          #expect(out.values.count { $0.there.client == index } <= prefetch)
        }
        #expect(try control.counts("together.work").ready == machine.ready)
      }
      #expect(published > 100 && redelivered > 20)
    }
  }
#endif
