import MillraceCore
import Testing

@testable import MillraceBroker

/// Several deliveries settled by one: what AMQP calls `multiple`.
@Suite struct SettleSeveralTests {
  private func take(_ receiver: inout Receiver) throws -> Delivery {
    guard let delivery = try receiver.next() else { throw Unexpected() }
    return delivery
  }

  /// Why it could not; nil: it did.
  private func settle(_ receiver: inout Receiver, upTo delivery: borrowing Delivery) -> SettleError? {
    do throws(SettleError) {
      try receiver.settle(upTo: delivery, .acknowledge)
      return nil
    } catch { return error }
  }

  /// The machine's own rule, and what a receiver makes of it: the same operations on both.
  @Test("a delivery settles those before it of its receiver alone, once, and later ones can be settled still")
  func upTo() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    var machine = QueueMachine(QueueConfiguration())
    var (held, gone): ([QueueDelivery], [QueueDeparture]) = ([], [])
    let (own, other) = (try machine.addConsumer(prefetch: 0), try machine.addConsumer(prefetch: 0))
    for (index, text) in ["a", "b", "c", "d", "e"].enumerated() {
      try bed.publish(text, to: "tasks")
      try machine.publish(QueueMessage(id: UInt64(index + 1)), 0, &gone)
    }
    for consumer in [own, other, own, own, own] { try machine.take(consumer, 0, &gone).map { held.append($0) } }
    let counted = try machine.settle(upTo: held[3].tag, of: own, .acknowledge, 0, &gone)
    #expect(counted == 3 && gone.map(\.message) == [1, 3, 4] && machine.acquired == 2)
    #expect(throws: QueueRefusal.notYours) { try machine.settle(upTo: held[1].tag, of: own, .acknowledge, 0, &gone) }

    var receiver = try bed.broker.makeReceiver(name("tasks"))
    var stranger = try bed.broker.makeReceiver(name("tasks"))
    let first = try take(&receiver)
    let strange = try take(&stranger)
    let third = try take(&receiver)
    let fourth = try take(&receiver)
    let fifth = try take(&receiver)
    let count = try receiver.settle(upTo: fourth, .acknowledge)
    #expect(count == 3)
    let stray = [settle(&receiver, upTo: strange), settle(&receiver, upTo: third)]
    #expect(stray == [.notYours, .unknownDelivery])
    let statistics = try bed.broker.statistics(of: name("tasks"))
    #expect(statistics.unacknowledged == 2 && statistics.left == [.acknowledged: 3] && statistics.overdue == 3)
    // What was settled is read until it is let go of, whatever comes into the queue.
    for _ in 0..<200 { try bed.publish("x", to: "tasks") }
    let read = [first.message.copy(), third.message.copy(), fourth.message.copy()]
    #expect(read == [Array("a".utf8), Array("c".utf8), Array("d".utf8)])
    let again = [refusal(of: first), refusal(of: third), refusal(of: fourth)]
    #expect(again == [.unknownDelivery, .unknownDelivery, .unknownDelivery])
    #expect(try bed.broker.statistics(of: name("tasks")).overdue == 0)
    let later = [refusal(of: strange), refusal(of: fifth)]
    #expect(later == [nil, nil])
    #expect(try bed.broker.statistics(of: name("tasks")).left == [.acknowledged: 5])
  }

  @Test("what is given back by a later delivery stands where it stood, and dropping the earlier ones says nothing more")
  func givenBack() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    for text in ["a", "b", "c"] { try bed.publish(text, to: "tasks") }
    var receiver = try bed.broker.makeReceiver(name("tasks"))
    do {
      let first = try take(&receiver)
      let second = try take(&receiver)
      let count = try receiver.settle(upTo: second, .retry(after: nil))
      let failed = first.message.failedCount
      #expect(count == 2 && failed == 0)
    }
    var seen: [String] = []
    try receiver.receive { message in
      seen.append("\(String(decoding: message.copy(), as: UTF8.self)) \(message.acquiredCount) \(message.failedCount)")
      return .acknowledge
    }
    #expect(seen == ["a 1 1", "b 1 1", "c 0 0"])
  }

  @Test("after the queue was deleted, or the lease was over, nothing is settled by a later delivery")
  func tooLate() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks") { $0.lease = 100 }
    for text in ["a", "b"] { try bed.publish(text, to: "tasks") }
    var receiver = try bed.broker.makeReceiver(name("tasks"))
    let first = try take(&receiver)
    let second = try take(&receiver)
    bed.clock.move(by: 101)
    let taken = settle(&receiver, upTo: second)
    #expect(taken == .takenBack)
    let refusals = [refusal(of: first), refusal(of: second)]
    #expect(refusals == [.takenBack, .takenBack])
    let again = try take(&receiver)
    try bed.broker.delete(queue: name("tasks"))
    let deleted = settle(&receiver, upTo: again)
    #expect(deleted == .queueDeleted)
    #expect(refusal(of: again) == .queueDeleted)
  }
}
