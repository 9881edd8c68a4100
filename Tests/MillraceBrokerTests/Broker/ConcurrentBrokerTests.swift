import MillraceCore
import Testing

@testable import MillraceBroker

/// Threads that publish and receive at the same time. Every message says who wrote it and what its number is, and its checksum.
@Suite struct ConcurrentBrokerTests {
  @Test("what many threads publish one by one and in batches comes whole, once, in each publisher's order", arguments: [1, 5, 64])
  func order(size: Int) throws {
    let bed = try ThreadBed()
    try bed.declare("tasks")
    let (publishers, each) = (3, 6_000)
    for publisher in 0..<publishers { bed.run { try $0.publish(publisher, each, size, to: "tasks", pauses: false) } }
    let seen = Notes()
    bed.run { bed in
      var next = Array(repeating: 0, count: publishers)
      var receiver = try bed.broker.makeReceiver(BrokerName("tasks"))
      var count = 0
      while count < publishers * each {
        count += try receiver.receive(upTo: 100, wait: .sleep(nanoseconds: 10_000_000_000)) { message in
          let (publisher, number) = ThreadBed.read(message)
          if publisher >= publishers || number != next[publisher] { seen.add("\(publisher) \(number), not \(next)") }
          if publisher < publishers { next[publisher] = number + 1 }
          return .acknowledge
        }
      }
      seen.add("\(count)")
    }
    bed.end()
    #expect(seen.texts == ["\(publishers * each)"] && bed.faults == [])
  }

  @Test("receivers that sleep are woken for every message, though publishers take no lock", arguments: [1, 20])
  func wakes(size: Int) throws {
    let bed = try ThreadBed()
    try bed.declare("there")
    try bed.declare("back")
    let rounds = 1_500
    // Each batch is answered before the next one comes: both sleep all the time.
    bed.run { bed in
      var receiver = try bed.broker.makeReceiver(BrokerName("there"))
      var publisher = try bed.broker.makePublisher()
      var batch = try publisher.batch(Envelope(to: BrokerName("back")), capacity: size)
      for _ in 0..<rounds {
        var left = size
        while left > 0 { left -= try receiver.receive(upTo: left, wait: .sleep(nanoseconds: 20_000_000_000)) { _ in .acknowledge } }
        while batch.count < size { try publisher.add(8, to: &batch) { $0[0] = 1 } }
        _ = publisher.publish(&batch)
      }
    }
    let longest = Notes()
    bed.run { bed in
      var receiver = try bed.broker.makeReceiver(BrokerName("back"))
      var publisher = try bed.broker.makePublisher()
      var batch = try publisher.batch(Envelope(to: BrokerName("there")), capacity: size)
      for round in 0..<rounds {
        while batch.count < size { try publisher.add(8, to: &batch) { $0[0] = 1 } }
        _ = publisher.publish(&batch)
        var left = size
        while left > 0 {
          let count = try receiver.receive(upTo: left, wait: .sleep(nanoseconds: 20_000_000_000)) { _ in .acknowledge }
          if count == 0 { longest.add("round \(round): nobody was woken") }
          left -= count
        }
      }
    }
    bed.end()
    #expect(longest.texts == [] && bed.faults == [])
  }

  @Test("a message goes to all of its queues or to none, however full they are")
  func allOrNone() throws {
    let bed = try ThreadBed()
    let names = ["a", "b", "c"]
    for (index, name) in names.enumerated() {
      try bed.declare(name) {
        $0.maxSize = 50 << index
        $0.overflow = index == 2 ? .dropHead : .rejectPublish
        if index == 2 { $0.maxSize = .max }
      }
      try bed.broker.router.bind(Binding(bed.all, to: .queue(BrokerName(name))))
    }
    let (publishers, each) = (2, 3_000)
    for publisher in 0..<publishers { bed.run { try $0.publish(publisher, each, 7, to: nil, pauses: true) } }
    let sums = names.map { _ in Notes() }
    for (name, sum) in zip(names, sums) {
      bed.run { bed in
        var receiver = try bed.broker.makeReceiver(BrokerName(name))
        var numbers: [Int] = []
        while numbers.count < publishers * each {
          try receiver.receive(upTo: 30, wait: .sleep(nanoseconds: 10_000_000_000)) { message in
            let (publisher, number) = ThreadBed.read(message)
            numbers.append(publisher * each + number)
            return .acknowledge
          }
        }
        sum.add("\(numbers.sorted() == Array(0..<(publishers * each)))")
      }
    }
    bed.end()
    #expect(sums.allSatisfy { $0.texts == ["true"] } && bed.faults == [])
    for name in names { #expect(try bed.broker.statistics(of: BrokerName(name)).ready == 0) }
    // All room is back.
    let place = try bed.broker.place(of: BrokerName("a"))
    #expect(place.messageRoom.value == 50)
  }

  @Test("queues come and go while others publish to them: what was taken is received or gone with its queue, and nothing else is")
  func comeAndGo() throws {
    // So little memory that what is left over of each queue would be missed: 1,000 messages of 96 bytes in each of 300 rounds.
    let bed = try ThreadBed(bytes: 16 << 20)
    let over = try Count()
    for publisher in 0..<2 {
      bed.run { bed in
        var own = try bed.broker.makePublisher()
        var batch = try own.batch(Envelope(to: BrokerName("brief")), capacity: 20)
        while over.value == 0 {
          while batch.count < 20 { try own.add(16, to: &batch) { ThreadBed.write(&$0, publisher, 7) } }
          _ = own.publish(&batch)
        }
      }
    }
    bed.run { bed in
      let name = try BrokerName("brief")
      for round in 0..<300 {
        try bed.declare("brief") { $0.maxSize = 1_000 }
        var receiver = try bed.broker.makeReceiver(name)
        // Something comes, whatever the publishers saw last.
        let count = try receiver.receive(upTo: 1, wait: .sleep(nanoseconds: 10_000_000_000)) { message in
          if ThreadBed.read(message).number != 7 { bed.fail("round \(round): not what was written") }
          return .acknowledge
        }
        if count == 0 { bed.fail("round \(round): nothing came") }
        _ = try bed.broker.delete(queue: name)
      }
      _ = over.add()
    }
    bed.end()
    #expect(bed.faults == [])
  }
}

/// A broker with threads.
final class ThreadBed: @unchecked Sendable {
  let broker: Broker
  let all: BrokerName
  private let exchange: ExchangeID
  private let monitor = Monitor()
  private var running = 0
  private var told: [String] = []

  init(bytes: Int = 256 << 20) throws {
    var configuration = BrokerConfiguration()
    configuration.messageBytes = bytes
    broker = try Broker(configuration, host: BrokerHost(wall: { 0 }))
    all = try BrokerName("all")
    exchange = try broker.router.declare(all, .fanout)
  }

  deinit { monitor.deallocate() }

  var faults: [String] { monitor.locked { told } }
  func fail(_ text: String) { monitor.locked { told.append(text) } }

  func declare(_ name: String, _ change: (inout QueueConfiguration) -> Void = { _ in }) throws {
    var configuration = QueueConfiguration()
    change(&configuration)
    try broker.declare(queue: BrokerName(name), configuration)
  }

  func run(_ body: @escaping @Sendable (ThreadBed) throws -> Void) {
    monitor.locked { running += 1 }
    let isThere = OwnThread.run { [self] in
      do { try body(self) } catch { fail("\(error)") }
      monitor.locked {
        running -= 1
        monitor.broadcast(.ended)
      }
    }
    #expect(isThere)
  }

  /// Waits for all threads.
  func end() { monitor.locked { while running > 0 { monitor.wait(.ended) } } }

  /// So many messages in batches, or one by one, to a queue or to all. `pauses`: waits for room where it is told so.
  func publish(_ publisher: Int, _ count: Int, _ size: Int, to queue: String?, pauses: Bool) throws {
    var own = try broker.makePublisher()
    let envelope = try queue.map { Envelope(to: try BrokerName($0)) } ?? Envelope(to: exchange)
    var batch = own.batch(envelope, capacity: size)
    var number = 0
    while number < count || batch.count > 0 {
      while batch.count < size, number < count {
        try own.add(16, to: &batch) { ThreadBed.write(&$0, publisher, number) }
        number += 1
      }
      switch own.publish(&batch).refusal {
      case nil: break
      case .full(let name) where pauses: _ = try own.waitForRoom(in: name, messages: 5, nanoseconds: 10_000_000_000)
      case .some(let refusal): throw refusal
      }
    }
  }

  static func write(_ payload: inout MutableSpan<UInt8>, _ publisher: Int, _ number: Int) {
    payload[0] = UInt8(publisher)
    for at in 0..<4 { payload[1 + at] = UInt8(truncatingIfNeeded: number >> (8 * at)) }
    for at in 5..<16 { payload[at] = UInt8(truncatingIfNeeded: number &* 31 &+ publisher &* 7 &+ at) }
  }

  /// Who wrote it and its number; the publisher 255 if it is not whole.
  static func read(_ message: borrowing Message) -> (publisher: Int, number: Int) {
    message.withBytes { bytes in
      let publisher = Int(bytes[0])
      var number = 0
      for at in 0..<4 { number |= Int(bytes[1 + at]) << (8 * at) }
      for at in 5..<16 where bytes[at] != UInt8(truncatingIfNeeded: number &* 31 &+ publisher &* 7 &+ at) { return (255, number) }
      return (publisher, number)
    }
  }
}
