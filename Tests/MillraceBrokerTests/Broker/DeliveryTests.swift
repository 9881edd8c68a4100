import MillraceCore
import Testing

@testable import MillraceBroker

/// What becomes of messages in the hands of consumers.
@Suite struct DeliveryTests {
  @Test("a consumer says what becomes of each message: done, again now or later, dead, or handed back")
  func settlements() throws {
    let bed = try BrokerBed()
    try bed.declare("dead")
    try bed.declare("tasks") { $0.deadLetters = .queue((try? BrokerName("dead"))!) }
    for text in ["done", "again", "later", "dead", "back"] { try bed.publish(text, to: "tasks") }
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    try receiver.receive(upTo: 5) { message in
      switch String(decoding: message.copy(), as: UTF8.self) {
      case "again": .retry(after: nil)
      case "later": .retry(after: 50)
      case "dead": .reject
      case "back": .release(after: 0)
      default: .acknowledge
      }
    }
    var seen: [String] = []
    func look(_ message: borrowing Message) -> Settlement {
      seen.append("\(String(decoding: message.copy(), as: UTF8.self)) \(message.acquiredCount) \(message.failedCount)")
      return .acknowledge
    }
    try receiver.receive(look)
    #expect(seen == ["again 1 1", "back 1 0"])
    bed.clock.move(by: 50)
    try receiver.receive(look)
    #expect(seen == ["again 1 1", "back 1 0", "later 1 1"])
    #expect(try bed.drain("dead") == ["dead"])
  }

  @Test("a delivery of one's own is settled once; dropped, it goes back and nothing failed")
  func owned() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks") { $0.lease = 100 }
    try bed.publish("a", to: "tasks")
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    func take() throws -> (acquired: Int, failed: Int)? {
      guard let delivery = try receiver.next() else { return nil }
      return (delivery.message.acquiredCount, delivery.message.failedCount)
    }
    let first = try take()
    let second = try take()
    #expect(first?.acquired == 0 && second?.acquired == 1 && second?.failed == 0)
    // Longer than its lease, but extended.
    let third = try receiver.next()
    guard let third else { throw Unexpected() }
    bed.clock.move(by: 90)
    try third.extend(nanoseconds: 200)
    bed.clock.move(by: 190)
    try third.acknowledge()
    let none = try take()
    #expect(none == nil)
    // Taken back by its lease: another one has it, and what the first one reads stays.
    try bed.publish("b", to: "tasks")
    let slow = try receiver.next()
    guard let slow else { throw Unexpected() }
    bed.clock.move(by: 101)
    var other = try bed.broker.makeReceiver(BrokerName("tasks"))
    let count = try other.receive { message in
      #expect(message.acquiredCount == 1 && message.failedCount == 0)
      return .acknowledge
    }
    #expect(count == 1)
    for text in ["c", "d"] { try bed.publish(text, to: "tasks") }
    #expect(slow.message.copy() == Array("b".utf8))
    #expect(throws: SettleError.takenBack) { try slow.extend(nanoseconds: 5) }
    #expect(refusal(of: slow) == .takenBack)
    #expect(try bed.drain("tasks") == ["c", "d"])
  }

  @Test("a delivery whose lease ends as it is settled was taken back, and its memory is used again")
  func leaseEnds() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks") { $0.lease = 100 }
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    for round in 0..<3 {
      try bed.publish("\(round)", to: "tasks")
      guard let delivery = try receiver.next() else { throw Unexpected() }
      bed.clock.move(by: 101)
      // Nobody has looked at the queue in between.
      if round == 1 {
        #expect(throws: SettleError.takenBack) { try delivery.extend(nanoseconds: 5) }
      }
      #expect(refusal(of: delivery) == .takenBack)
      #expect(try bed.broker.statistics(of: BrokerName("tasks")).overdue == 0)
      #expect(try bed.drain("tasks") == ["\(round)"])
    }
  }

  @Test("a receiver that goes leaves its deliveries to who has them; others get them then")
  func receiverGone() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    try bed.publish("a", to: "tasks")
    var delivery: Delivery? = nil
    do {
      var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
      delivery = try receiver.next()
    }
    #expect(try bed.drain("tasks") == ["a"])
    guard let delivery else { throw Unexpected() }
    #expect(delivery.message.copy() == Array("a".utf8))
    #expect(refusal(of: delivery) == .takenBack)
  }

  @Test("a deleted queue's messages go; what consumers hold stays readable, and its settling says why it is in vain")
  func deleted() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    for text in ["a", "b"] { try bed.publish(text, to: "tasks") }
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    guard let held = try receiver.next() else { throw Unexpected() }
    #expect(throws: BrokerError.inUse(try BrokerName("tasks"), messages: 2, consumers: 1)) {
      try bed.broker.delete(queue: BrokerName("tasks"), ifEmpty: true)
    }
    #expect(try bed.broker.delete(queue: BrokerName("tasks")))
    #expect(try bed.broker.delete(queue: BrokerName("tasks")) == false)
    // The number has another queue now.
    try bed.declare("others")
    try bed.publish("c", to: "others")
    #expect(held.message.copy() == Array("a".utf8))
    #expect(refusal(of: held) == .queueDeleted)
    #expect(throws: BrokerError.noQueue(try BrokerName("tasks"))) { try receiver.receive { _ in .acknowledge } }
    #expect(throws: PublishRefusal.unroutable) { try bed.publish("d", to: "tasks") }
    #expect(try bed.drain("others") == ["c"])
  }

  @Test("purging takes what nobody holds, ready and delayed, however much it is")
  func purge() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    for index in 0..<5_000 { try bed.publish("\(index)", to: "tasks") { $0.delay = index % 3 == 0 ? 1_000 : 0 } }
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    guard let held = try receiver.next() else { throw Unexpected() }
    #expect(try bed.broker.purge(queue: BrokerName("tasks")) == 4_999)
    try held.settle(.release(after: 0))
    bed.clock.move(by: 2_000)
    #expect(try bed.drain("tasks") == ["1"])
  }
}
