import MillraceCore
import Testing

@testable import MillraceBroker

/// Batches stay together in their queues: one entry for all of them, until something happens to one.
@Suite struct RunTests {
  private struct Missing: Error {}

  /// `count` messages in one batch: the texts 0, 1 and so on, of different lengths.
  private func publish(_ bed: BrokerBed, _ count: Int, to queue: String, timeToLive: UInt64? = nil) throws {
    var envelope = try Envelope(to: BrokerName(queue))
    envelope.timeToLive = timeToLive
    var batch = bed.publisher.batch(envelope, capacity: count)
    for number in 0..<count {
      let text = Array("\(number)".utf8)
      try bed.publisher.add(text.count, to: &batch) { bytes in for (at, byte) in text.enumerated() { bytes[at] = byte } }
    }
    let result = bed.publisher.publish(&batch)
    #expect(result.accepted == count && result.refusal == nil)
  }

  private func numbers(_ bed: BrokerBed, _ queue: String) throws -> [Int] { try bed.drain(queue).map { Int($0)! } }

  private func texts(_ message: borrowing Message) -> Int { Int(String(decoding: message.copy(), as: UTF8.self))! }

  @Test("a batch takes one place in its queue, and comes out whole or in parts, in its order")
  func parts() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    try publish(bed, 40, to: "tasks")
    let places = try bed.broker.place(of: BrokerName("tasks"))
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    var seen: [Int] = []
    for most in [1, 7, 2, 100] {
      try receiver.receive(upTo: most) {
        seen.append(self.texts($0))
        return .acknowledge
      }
    }
    #expect(seen == Array(0..<40))
    let locked = try #require(places.locked())
    let touched = locked.state.machine.entries.touchedCount
    places.lock.unlock()
    #expect(touched == 2)
    let statistics = try bed.broker.statistics(of: BrokerName("tasks"))
    #expect(statistics.ready == 0 && statistics.bytes == 0 && statistics.unacknowledged == 0 && statistics.left[.acknowledged] == 40)
  }

  @Test("what a receiver says of one message is said of that one, and the others of the batch are acknowledged")
  func oneOfThem() throws {
    let bed = try BrokerBed()
    try bed.declare("dead")
    let dead = DeadLetterTarget.queue(try BrokerName("dead"))
    try bed.declare("tasks") { $0.deadLetters = dead }
    try publish(bed, 20, to: "tasks")
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    var seen: [Int] = []
    let count = try receiver.receive(upTo: 20) { message in
      let number = self.texts(message)
      seen.append(number)
      switch number {
      case 3: return .retry(after: 0)
      case 5: return .reject
      case 19: return .release(after: 50)
      default: return .acknowledge
      }
    }
    #expect(count == 20 && seen == Array(0..<20))
    #expect(try numbers(bed, "tasks") == [3] && numbers(bed, "dead") == [5])
    bed.clock.move(by: 60)
    #expect(try numbers(bed, "tasks") == [19])
  }

  @Test("what comes back stands before the rest of its batch")
  func comesBack() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    try publish(bed, 12, to: "tasks")
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    try receiver.receive(upTo: 6) { self.texts($0) == 2 ? .release(after: 0) : .acknowledge }
    guard let delivery = try receiver.next() else { throw Missing() }
    let (text, isRedelivered) = (texts(delivery.message), delivery.message.isRedelivered)
    #expect(text == 2 && isRedelivered)
    try delivery.settle(.release(after: 0))
    #expect(try numbers(bed, "tasks") == [2, 6, 7, 8, 9, 10, 11])
  }

  @Test("a batch whose time is over is gone, message by message, and those that were taken stay with their holder")
  func expires() throws {
    let bed = try BrokerBed()
    try bed.declare("dead")
    let dead = DeadLetterTarget.queue(try BrokerName("dead"))
    try bed.declare("tasks") { $0.deadLetters = dead }
    try publish(bed, 10, to: "tasks", timeToLive: 100)
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    guard let first = try receiver.next() else { throw Missing() }
    bed.clock.move(by: 101)
    #expect(try numbers(bed, "tasks") == [])
    #expect(try numbers(bed, "dead") == Array(1..<10))
    try first.acknowledge()
  }

  @Test("a queue that is deleted while a batch of it is read leaves it to the reader, who may still take it apart")
  func deleted() throws {
    let bed = try BrokerBed()
    let (broker, name) = (bed.broker, try BrokerName("tasks"))
    var reserved = 0
    for round in 0..<6_000 {
      try bed.declare("tasks")
      try publish(bed, 16, to: "tasks")
      var receiver = try broker.makeReceiver(name)
      var seen: [Int] = []
      try receiver.receive(upTo: 10) { message in
        let number = self.texts(message)
        seen.append(number)
        if number == 2 {
          do { try broker.delete(queue: name) } catch { Issue.record(error) }
        }
        return number == 4 ? .reject : .acknowledge
      }
      #expect(seen == Array(0..<10))
      if round == 10 { reserved = broker.pool.reservedBytes }
    }
    // What each round left over would be missed.
    #expect(broker.pool.reservedBytes == reserved)
  }

  @Test("a queue that drops takes the oldest of a batch one by one; one that is full of batches counts each message")
  func drops() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks") { $0.maxSize = 10 }
    try publish(bed, 8, to: "tasks")
    try publish(bed, 8, to: "tasks")
    #expect(try numbers(bed, "tasks") == [6, 7] + Array(0..<8))
    try bed.declare("strict") {
      $0.maxSize = 10
      $0.overflow = .rejectPublish
    }
    try publish(bed, 8, to: "strict")
    var batch = try bed.publisher.batch(Envelope(to: BrokerName("strict")))
    for _ in 0..<8 { try bed.publisher.add(1, to: &batch) { $0[0] = 0x39 } }
    #expect(bed.publisher.publish(&batch).accepted == 2)
    #expect(try bed.broker.purge(queue: BrokerName("strict")) == 10)
    #expect(bed.publisher.publish(&batch).accepted == 6)
  }
}
