import MillraceCore
import Testing

@testable import MillraceBroker

/// What is published reaches its queues, in place, and stays with its publisher where it does not.
@Suite struct BrokerTests {
  @Test("what is published to a queue is received from it, with all that its envelope says")
  func properties() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    try bed.publish("hello", to: "tasks") {
      $0.priority = 2
      $0.messageID = "m-1"
      $0.correlationID = "c-1"
      $0.replyTo = "answers"
      $0.contentType = "text/plain"
      $0.type = "greeting"
      $0.tenant = "acme"
      $0.trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
      $0.timestamp = 1_700_000_000_000_000_001
      $0.headers = (try? Headers([("count", .integer(7)), ("name", .text("é"))])) ?? Headers()
    }
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    let count = try receiver.receive { message in
      #expect(message.withBytes { $0.count } == 5 && String(decoding: message.copy(), as: UTF8.self) == "hello")
      #expect(message.key == "tasks" && message.priority == 2 && message.messageID == "m-1" && message.correlationID == "c-1")
      #expect(message.replyTo == "answers" && message.contentType == "text/plain" && message.type == "greeting")
      #expect(message.tenant == "acme" && message.trace == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
      #expect(message.timestamp == 1_700_000_000_000_000_001)
      #expect(
        message.headers["count"] == .integer(7) && message.headers["name"] == .text("é") && message.headers.names == ["count", "name"])
      #expect(!message.isRedelivered && message.failedCount == 0 && message.deaths.all.isEmpty)
      return .acknowledge
    }
    #expect(count == 1)
    #expect(try bed.drain("tasks") == [])
  }

  @Test("consumers of four queues read a message at the address where its publisher wrote it")
  func inPlace() throws {
    let bed = try BrokerBed()
    let exchange = try bed.broker.router.declare(BrokerName("all"), .fanout)
    for index in 0..<4 {
      try bed.declare("q\(index)")
      try bed.broker.router.bind(Binding(BrokerName("all"), to: .queue(BrokerName("q\(index)"))))
    }
    for round in 0..<3 {
      let envelope = Envelope(to: exchange, key: "x")
      var draft = try bed.publisher.claim(65_536, envelope)
      let written = unsafe UInt(bitPattern: draft.payload.baseAddress)
      draft.withBytes { bytes in for at in bytes.indices { bytes[at] = UInt8(truncatingIfNeeded: at &* 7 &+ round) } }
      guard case .accepted(let receipt) = bed.publisher.publish(draft) else { throw Unexpected() }
      #expect(receipt.queues == 4)
      for index in 0..<4 {
        var receiver = try bed.broker.makeReceiver(BrokerName("q\(index)"))
        let count = try receiver.receive { message in
          #expect(unsafe UInt(bitPattern: message.payload.baseAddress) == written)
          let isWhole = message.withBytes { bytes in
            isPattern(bytes, round)
          }
          #expect(isWhole && message.key == "x")
          return .acknowledge
        }
        #expect(count == 1)
      }
    }
  }

  @Test("a message that no queue wants is its publisher's still, and can be published elsewhere")
  func unroutable() throws {
    let bed = try BrokerBed()
    let exchange = try bed.broker.router.declare(BrokerName("orders"), .topic)
    try bed.declare("tasks")
    var draft = try bed.publisher.claim(3, Envelope(to: exchange, key: "order.created"))
    draft.withBytes { $0[0] = 0x41 }
    guard case .refused(var back, .unroutable) = bed.publisher.publish(draft) else { throw Unexpected() }
    #expect(back.withBytes { $0[0] } == 0x41)
    try bed.broker.router.bind(Binding(BrokerName("orders"), to: .queue(BrokerName("tasks")), key: "order.#"))
    guard case .accepted(let receipt) = bed.publisher.publish(back) else { throw Unexpected() }
    #expect(receipt.queues == 1)
    #expect(bed.broker.router.counts.unroutable == 1)
  }

  @Test("a full queue that refuses gives the message back, to all of its queues or to none, and takes it when there is room")
  func full() throws {
    let bed = try BrokerBed()
    let exchange = try bed.broker.router.declare(BrokerName("all"), .fanout)
    try bed.declare("small") {
      $0.maxSize = 2
      $0.overflow = .rejectPublish
    }
    try bed.declare("large")
    for name in ["small", "large"] { try bed.broker.router.bind(Binding(BrokerName("all"), to: .queue(BrokerName(name)))) }
    let envelope = Envelope(to: exchange)
    for text in ["a", "b"] { try bed.publisher.publish(Array(text.utf8).span, envelope) }
    var batch = bed.publisher.batch(envelope)
    for byte in [0x63, 0x64, 0x65] as [UInt8] { try bed.publisher.add(1, to: &batch) { $0[0] = byte } }
    var result = bed.publisher.publish(&batch)
    #expect(result == BatchPublication(accepted: 0, queues: 2, refusal: .full(queue: try BrokerName("small"))))
    #expect(batch.count == 3)
    #expect(throws: PublishRefusal.full(queue: try BrokerName("small"))) {
      _ = try bed.publisher.publish(Array("z".utf8).span, envelope)
    }
    let before = try bed.publisher.waitForRoom(in: BrokerName("small"), nanoseconds: 0)
    #expect(!before)
    #expect(try bed.drain("small") == ["a", "b"])
    let after = try bed.publisher.waitForRoom(in: BrokerName("small"), nanoseconds: 0)
    #expect(after)
    result = bed.publisher.publish(&batch)
    #expect(result == BatchPublication(accepted: 2, queues: 2, refusal: .full(queue: try BrokerName("small"))))
    #expect(batch.count == 1)
    #expect(try bed.drain("small") == ["c", "d"])
    result = bed.publisher.publish(&batch)
    #expect(result == BatchPublication(accepted: 1, queues: 2))
    #expect(batch.count == 0)
    #expect(try bed.drain("large") == ["a", "b", "c", "d", "e"])
  }

  @Test("bad publications are refused with what is wrong, and the broker goes on")
  func refusals() throws {
    var configuration = BrokerConfiguration()
    configuration.largestMessage = 1_000
    configuration.messageBytes = 8 << 20
    let bed = try BrokerBed(configuration)
    try bed.declare("tasks")
    func claim(_ bytes: Int, _ change: (inout Envelope) -> Void) -> PublishRefusal? {
      do throws(PublishRefusal) {
        var envelope = Envelope(to: (try? BrokerName("tasks"))!)
        change(&envelope)
        _ = try bed.publisher.claim(bytes, envelope)
        return nil
      } catch { return error }
    }
    #expect(claim(1_001) { _ in } == .tooLarge(bytes: 1_001, most: 1_000))
    #expect(claim(-1) { _ in } == .tooLarge(bytes: -1, most: 1_000))
    #expect(claim(0) { _ in } == nil)
    if case .properties = claim(1, { $0.type = String(repeating: "x", count: 70_000) }) {} else { throw Unexpected() }
    for (key, wanted) in [
      ("nowhere", PublishRefusal.unroutable), (String(repeating: "k", count: 256), .route(.keyTooLong(bytes: 256))),
      (String(repeating: "a.", count: 10_000), .route(.keyTooLong(bytes: 20_000))),
    ] {
      #expect(throws: wanted) { _ = try bed.publisher.publish([1].span, Envelope(to: .default, key: key)) }
    }
    #expect(throws: BrokerError.noQueue(try BrokerName("nowhere"))) { _ = try bed.broker.makeReceiver(BrokerName("nowhere")) }
    #expect(throws: BrokerError.noScheduler) { _ = try bed.broker.consume(BrokerName("tasks")) { _, _ in .acknowledge } }
    #expect(throws: BrokerError.different(try BrokerName("tasks"), attribute: "maxSize", is: "\(Int.max)", asked: "5")) {
      var other = QueueConfiguration()
      other.maxSize = 5
      try bed.broker.declare(queue: BrokerName("tasks"), other)
    }
    // All memory in use.
    var drafts: [PublishRefusal] = []
    var count = 0
    var batch = try bed.publisher.batch(Envelope(to: BrokerName("tasks")), capacity: 65_536)
    while drafts.isEmpty {
      do throws(PublishRefusal) {
        try bed.publisher.add(1_000, to: &batch) { _ in }
        count += 1
      } catch { drafts.append(error) }
    }
    #expect(drafts == [.memory(capacity: 8 << 20)] && count > 400)
    #expect(bed.publisher.publish(&batch).accepted == count)
    #expect(try bed.drain("tasks").count == count)
    try bed.publish("again", to: "tasks")
    #expect(try bed.drain("tasks") == ["again"])
  }

  @Test("what was on its way to a deleted queue does not come into the next one of its name")
  func otherEpoch() throws {
    let bed = try BrokerBed()
    try bed.declare("tasks")
    let place = try bed.broker.place(of: BrokerName("tasks"))
    let before = try #require(place.look(version: .max)).epoch
    try bed.broker.delete(queue: BrokerName("tasks"))
    try bed.declare("tasks")
    let now = try #require(place.look(version: .max)).epoch
    #expect(before != now)
    var work = Workspace(bed.broker.pool)
    for (epoch, byte) in [(before, 0x61), (now, 0x62)] as [(UInt32, UInt8)] {
      let claimed = work.cache.claim(1)
      let block = try #require(claimed)
      unsafe block.payload.storeBytes(of: byte, as: UInt8.self)
      let made = unsafe withUnsafePointer(to: block.number) { number in
        unsafe work.cache.makeRun(MessageList(number, count: 1), epoch: epoch, now: 1_000, due: 0)
      }
      let run = try #require(made)
      #expect(!place.push(run))
    }
    #expect(try bed.drain("tasks") == ["b"])
  }

  @Test("room that one queue gave for what another one has none for is given back")
  func roomBack() throws {
    let bed = try BrokerBed()
    let exchange = try bed.broker.declare(exchange: BrokerName("all"), .fanout)
    for (name, size) in [("first", 50), ("second", 2)] {
      try bed.declare(name) {
        $0.maxSize = size
        $0.overflow = .rejectPublish
      }
      try bed.broker.bind(Binding(BrokerName("all"), to: .queue(BrokerName(name))))
    }
    var batch = bed.publisher.batch(Envelope(to: exchange))
    for byte in [1, 2, 3] as [UInt8] { try bed.publisher.add(1, to: &batch) { $0[0] = byte } }
    let result = bed.publisher.publish(&batch)
    #expect(result == BatchPublication(accepted: 2, queues: 2, refusal: .full(queue: try BrokerName("second"))))
    #expect(try bed.broker.place(of: BrokerName("first")).messageRoom.value == 48)
    #expect(try bed.broker.place(of: BrokerName("first")).byteRoom.value == QueueRoom.most - 2)
  }

  @Test("while a message of an id is being published another one is neither taken nor a duplicate")
  func underWay() throws {
    let window = DuplicateWindow(nanoseconds: 100, most: 10)
    #expect(window.enter("a", 0) == .new && window.enter("a", 1) == .underWay)
    window.withdraw("a")
    #expect(window.enter("a", 2) == .new)
    window.taken("a")
    #expect(window.enter("a", 3) == .duplicate && window.enter("a", 103) == .new)
    window.restore("b", until: 300)
    #expect(window.enter("b", 200) == .duplicate && window.enter("b", 301) == .new)
  }

  @Test("a second message of an id within the window is a duplicate, after it a message")
  func duplicates() throws {
    var configuration = BrokerConfiguration()
    configuration.duplicateWindow = 100
    let bed = try BrokerBed(configuration)
    try bed.declare("tasks") {
      $0.maxSize = 2
      $0.overflow = .rejectPublish
    }
    let first = try bed.publish("1", to: "tasks") { $0.messageID = "a" }
    let second = try bed.publish("2", to: "tasks") { $0.messageID = "a" }
    let other = try bed.publish("3", to: "tasks") { $0.messageID = "b" }
    #expect(first != nil && second == nil && other != nil)
    // What was not taken is no duplicate later.
    #expect(throws: PublishRefusal.self) { try bed.publish("4", to: "tasks") { $0.messageID = "c" } }
    #expect(try bed.drain("tasks") == ["1", "3"])
    let third = try bed.publish("4", to: "tasks") { $0.messageID = "c" }
    #expect(third != nil)
    bed.clock.move(by: 101)
    let late = try bed.publish("5", to: "tasks") { $0.messageID = "a" }
    #expect(late != nil)
    #expect(try bed.drain("tasks") == ["4", "5"])
  }
}

struct Unexpected: Error {}

/// The bytes that the test of addresses writes.
func isPattern(_ bytes: Span<UInt8>, _ round: Int) -> Bool {
  for at in bytes.indices where bytes[at] != UInt8(truncatingIfNeeded: at &* 7 &+ round) { return false }
  return true
}
