import MillraceCore
import Testing

@testable import MillraceBroker

/// Messages that become jobs.
@Suite struct JobConsumerTests {
  @Test("each message becomes a job, settled as its consumer says, and dead ones go on")
  func settled() throws {
    let bed = try JobBed()
    try bed.declare("dead")
    try bed.declare("tasks") { $0.deadLetters = .queue((try? BrokerName("dead"))!) }
    let notes = Notes()
    let consumer = try bed.broker.consume(BrokerName("tasks")) { message, _ in
      let text = String(decoding: message.copy(), as: UTF8.self)
      notes.add("\(text) \(message.acquiredCount) \(message.failedCount)")
      switch text {
      case "twice" where message.failedCount == 0: return .retry(after: 1_000)
      case "dead": return .reject
      case "handed" where message.acquiredCount == 0: return .release(after: 0)
      default: return .acknowledge
      }
    }
    var publisher = try bed.broker.makePublisher()
    for text in ["once", "twice", "dead", "handed"] {
      _ = try publisher.publish(Array(text.utf8).span, Envelope(to: BrokerName("tasks")))
    }
    #expect(notes.wait(for: 6).sorted() == ["dead 0 0", "handed 0 0", "handed 1 0", "once 0 0", "twice 0 0", "twice 1 1"])
    var receiver = try bed.broker.makeReceiver(BrokerName("dead"))
    try receiver.receive(wait: .sleep(nanoseconds: 60_000_000_000)) { message in
      #expect(message.deaths.last?.reason == .rejected && message.deaths.last?.queue == "tasks")
      return .acknowledge
    }
    consumer.close()
  }

  @Test(
    "what is published in batches while consumers are busy is served, all of it, without anybody else asking", arguments: [1, 3, 64, 500])
  func batches(size: Int) throws {
    let bed = try JobBed()
    try bed.declare("tasks")
    let notes = Notes()
    let total = 20_000 / size * size
    let count = try Count()
    var options = ConsumerOptions()
    options.prefetch = 100
    try bed.broker.consume(BrokerName("tasks"), options) { _, _ in
      if count.add() == total { notes.add("done") }
      return .acknowledge
    }
    var publisher = try bed.broker.makePublisher()
    var batch = try publisher.batch(Envelope(to: BrokerName("tasks")), capacity: size)
    for _ in 0..<(total / size) {
      while batch.count < size { try publisher.add(8, to: &batch) { $0[0] = 1 } }
      let published = publisher.publish(&batch)
      #expect(published.accepted == size && published.refusal == nil)
    }
    #expect(notes.wait(for: 1) == ["done"] && count.value == total)
  }

  @Test(
    "a scheduler with room for less than is prefetched gets what it has room for, in order; what it has none for was not delivered",
    arguments: [2, 16], [1, 100, 1_000])
  func narrow(capacity: Int, prefetch: Int) throws {
    let bed = try JobBed { ($0.scheduler.capacity, $0.scheduler.slots) = (capacity, 1) }
    try bed.declare("tasks")
    var publisher = try bed.broker.makePublisher()
    var batch = try publisher.batch(Envelope(to: BrokerName("tasks")), capacity: 1_000)
    for _ in 0..<2 {
      while batch.count < 1_000 { try publisher.add(8, to: &batch) { $0[0] = 1 } }
      #expect(publisher.publish(&batch).accepted == 1_000)
    }
    let (notes, count, again) = (Notes(), try Count(), try Count())
    var options = ConsumerOptions()
    options.prefetch = prefetch
    try bed.broker.consume(BrokerName("tasks"), options) { message, _ in
      if message.acquiredCount > 0 { _ = again.add() }
      if count.add() == 2_000 { notes.add("done") }
      return .acknowledge
    }
    #expect(notes.wait(for: 1) == ["done"] && count.value == 2_000 && again.value == 0)
    let statistics = try bed.broker.statistics(of: BrokerName("tasks"))
    #expect(statistics.delivered == 2_000 && statistics.redelivered == 0)
  }

  @Test("a consumer holds as many messages as it may, and others wait in the queue")
  func prefetch() throws {
    let bed = try JobBed { $0.scheduler.slots = 8 }
    try bed.declare("tasks")
    let (started, gate) = (Notes(), Notes())
    var options = ConsumerOptions()
    options.prefetch = 2
    options.isBlocking = true
    let consumer = try bed.broker.consume(BrokerName("tasks"), options) { message, _ in
      started.add(String(decoding: message.copy(), as: UTF8.self))
      _ = gate.wait(for: 1)
      return .acknowledge
    }
    var publisher = try bed.broker.makePublisher()
    for text in ["a", "b", "c", "d"] { _ = try publisher.publish(Array(text.utf8).span, Envelope(to: BrokerName("tasks"))) }
    #expect(Set(started.wait(for: 2)) == ["a", "b"])
    // Whoever asks gets the next one: it is not on its way to the consumer.
    var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
    try receiver.receive(upTo: 1) { message in
      #expect(message.copy() == Array("c".utf8))
      return .acknowledge
    }
    gate.add("open")
    #expect(started.wait(for: 3).last == "d")
    consumer.close()
  }

  @Test("a consumer that is closed gets no more, what it runs is settled, and the next one gets the rest")
  func closed() throws {
    let bed = try JobBed()
    try bed.declare("tasks") { $0.isSingleActive = true }
    let (first, second, gate) = (Notes(), Notes(), Notes())
    var options = ConsumerOptions()
    options.prefetch = 1
    options.isBlocking = true
    let one = try bed.broker.consume(BrokerName("tasks"), options) { message, _ in
      first.add(String(decoding: message.copy(), as: UTF8.self))
      _ = gate.wait(for: 1)
      return .acknowledge
    }
    try bed.broker.consume(BrokerName("tasks"), options) { message, _ in
      second.add(String(decoding: message.copy(), as: UTF8.self))
      return .acknowledge
    }
    var publisher = try bed.broker.makePublisher()
    for text in ["a", "b", "c"] { _ = try publisher.publish(Array(text.utf8).span, Envelope(to: BrokerName("tasks"))) }
    #expect(first.wait(for: 1) == ["a"])
    one.close()
    #expect(second.texts == [])
    gate.add("open")
    #expect(second.wait(for: 2) == ["b", "c"])
    #expect(first.texts == ["a"])
  }

  @Test("200,000 consumers come and go, each gets what is there while it is, and the last one is called as the first was")
  func many() throws {
    let bed = try JobBed()
    try bed.declare("tasks")
    let notes = Notes()
    var publisher = try bed.broker.makePublisher()
    var expected: Set<String> = []
    for number in 0..<200_000 {
      var options = ConsumerOptions()
      options.concurrency = number % 3
      let consumer = try bed.broker.consume(BrokerName("tasks"), options) { message, _ in
        notes.add("\(number) \(String(decoding: message.copy(), as: UTF8.self))")
        return .acknowledge
      }
      if number % 1_000 == 999 {
        expected.insert("\(number) m\(number)")
        _ = try publisher.publish(Array("m\(number)".utf8).span, Envelope(to: BrokerName("tasks")))
        _ = notes.wait(for: expected.count)
      }
      consumer.close()
      // Once more: its number in the queue is the next one's.
      if number % 1_000 == 0 { consumer.close() }
    }
    #expect(Set(notes.texts) == expected && notes.texts.count == expected.count)
    // The last one's message may still be on its way to being settled: until then it is there.
    #expect(try bed.eventually { try bed.broker.statistics(of: BrokerName("tasks")).consumers == 0 })
  }

  @Test("whoever only looks at a queue keeps none of its messages from its consumers", arguments: ["room", "name"])
  func lookers(how: String) throws {
    let bed = try JobBed()
    try bed.declare("tasks")
    let name = try BrokerName("tasks")
    let handled = try Count()
    let over = try Count()
    try bed.broker.consume(name) { _, _ in
      _ = handled.add()
      return .acknowledge
    }
    let place = try bed.broker.place(of: name)
    let since = place.since.loadAcquiring()
    let broker = bed.broker
    let ended = Notes()
    let isThere = OwnThread.run {
      do {
        var own = try broker.makePublisher()
        while over.value == 0 {
          if how == "room" { _ = try own.waitForRoom(in: name, nanoseconds: 0) } else { _ = place.name(since: since) }
        }
      } catch { Issue.record(error) }
      ended.add("ended")
    }
    #expect(isThere)
    var publisher = try bed.broker.makePublisher()
    var batch = publisher.batch(Envelope(to: name), capacity: 8)
    var stuck = 0
    for round in 1...2_000 where stuck == 0 {
      for _ in 0..<8 { try publisher.add(1, to: &batch) { $0[0] = 1 } }
      #expect(publisher.publish(&batch).accepted == 8)
      let end = bed.runtime.scheduler.clock.now + 5_000_000_000
      while handled.value < round * 8 {
        if bed.runtime.scheduler.clock.now > end {
          stuck = round
          break
        }
      }
    }
    _ = over.add()
    _ = ended.wait(for: 1)
    #expect(stuck == 0, "nobody was told of the messages of this round")
  }

  @Test("a closed consumer that is closed again closes nobody else")
  func closedTwice() throws {
    let bed = try JobBed()
    try bed.declare("tasks")
    let notes = Notes()
    let first = try bed.broker.consume(BrokerName("tasks")) { _, _ in .acknowledge }
    first.close()
    let second = try bed.broker.consume(BrokerName("tasks")) { message, _ in
      notes.add(String(decoding: message.copy(), as: UTF8.self))
      return .acknowledge
    }
    first.close()
    var publisher = try bed.broker.makePublisher()
    _ = try publisher.publish([65].span, Envelope(to: BrokerName("tasks")))
    #expect(notes.wait(for: 1) == ["A"])
    second.close()
  }

  @Test("a message whose job takes too long has failed, and others get it; what the slow one reads stays as it is")
  func timeout() throws {
    let bed = try JobBed { $0.scheduler.slots = 4 }
    try bed.declare("tasks")
    let (seen, gate, late) = (Notes(), Notes(), Notes())
    var options = ConsumerOptions()
    options.timeout = 2_000_000
    options.isBlocking = true
    try bed.broker.consume(BrokerName("tasks"), options) { message, _ in
      seen.add("\(message.failedCount)")
      if message.failedCount == 0 {
        _ = gate.wait(for: 1)
        late.add(String(decoding: message.copy(), as: UTF8.self))
      }
      return .acknowledge
    }
    var publisher = try bed.broker.makePublisher()
    _ = try publisher.publish(Array("slow".utf8).span, Envelope(to: BrokerName("tasks")))
    // On a busy machine the second one may take too long as well.
    #expect(seen.wait(for: 2).prefix(2) == ["0", "1"])
    // Blocks that are free are used again.
    for _ in 0..<1_000 { _ = try publisher.claim(4, Envelope(to: BrokerName("tasks"))) }
    gate.add("open")
    #expect(late.wait(for: 1) == ["slow"])
  }

  @Test("messages become due, and dead when their time is over, by the runtime's timers alone")
  func timers() throws {
    let bed = try JobBed()
    try bed.declare("dead")
    try bed.declare("tasks") { $0.deadLetters = .queue((try? BrokerName("dead"))!) }
    try bed.declare("short") {
      $0.deadLetters = .queue((try? BrokerName("dead"))!)
      $0.timeToLive = 1_000_000
    }
    let notes = Notes()
    for name in ["dead", "tasks"] {
      try bed.broker.consume(BrokerName(name)) { message, _ in
        notes.add("\(name) \(String(decoding: message.copy(), as: UTF8.self)) \(message.deaths.last?.reason == .expired)")
        return .acknowledge
      }
    }
    var publisher = try bed.broker.makePublisher()
    var late = try Envelope(to: BrokerName("tasks"))
    late.delay = 3_000_000
    _ = try publisher.publish(Array("late".utf8).span, late)
    // In a batch, which nobody has taken when its time is over.
    var batch = try publisher.batch(Envelope(to: BrokerName("short")))
    for _ in 0..<20 { try publisher.add(1, to: &batch) { $0[0] = 0x78 } }
    #expect(publisher.publish(&batch).accepted == 20)
    let all = notes.wait(for: 21)
    #expect(all.filter { $0 == "dead x true" }.count == 20 && all.contains("tasks late false"))
  }
}

/// A count that threads raise.
final class Count: @unchecked Sendable {
  private let region: Region
  private var word: SharedWord { unsafe SharedWord(region.base) }

  init() throws { region = try Region(bytes: 64) }
  deinit { region.free() }

  /// The value after.
  func add() -> Int { Int(word.add(1)) + 1 }
  var value: Int { Int(word.loadAcquiring()) }
}
