import CMillrace
import Glibc
import MillraceBroker
import MillraceCore

/// Messages that expire, are delayed, acknowledged, tried again, rejected, handed back, taken back by their leases, and held by consumers that fail: each must end once, with its consumer or
/// with that of the dead letters.
final class Conservation: @unchecked Sendable {
  private let broker: Broker
  private let work: BrokerName
  private let dead: BrokerName
  private let total: Int
  /// How often each message has ended.
  private let ends: Region
  private let finished: Region

  init(_ total: Int) throws {
    var configuration = BrokerConfiguration()
    configuration.messageBytes = 4 << 30
    broker = try Broker(configuration, host: BrokerHost(wall: { millrace_wall() }))
    (work, dead) = (try BrokerName("work"), try BrokerName("dead"))
    self.total = total / Self.publishers * Self.publishers
    ends = try Region(bytes: total + 8)
    finished = try Region(bytes: 2 * 128)
    try broker.declare(queue: dead)
    var queue = QueueConfiguration()
    queue.deadLetters = .queue(dead)
    queue.deliveryLimit = 3
    queue.lease = 200_000
    queue.maxSize = 20_000
    try broker.declare(queue: work, queue)
  }

  deinit {
    ends.free()
    finished.free()
  }

  private static let publishers = 2
  private static let receivers = 2

  private var ended: SharedWord { unsafe SharedWord(finished.base) }
  private var published: SharedWord { unsafe SharedWord(finished.base + 128) }

  /// One line. Throws `Messages.Wrong` if a message has not ended once.
  func run() throws -> String {
    let start = millrace_monotonic()
    let bed = try Bed(count: Self.publishers + Self.receivers + 1)
    for index in 0..<Self.publishers { bed.run(index) { [self] _ in try publish(index) } }
    for index in 0..<Self.receivers { bed.run(Self.publishers + index) { [self] _ in try receive(UInt64(index)) } }
    bed.run(Self.publishers + Self.receivers) { [self] _ in try bury() }
    _ = bed.end()
    for index in 0..<total {
      let count = unsafe ends.base.load(fromByteOffset: index, as: UInt8.self)
      if count != 1 { throw Messages.Wrong("message \(index) of \(total) has ended \(count) times") }
    }
    let statistics = try broker.statistics(of: work)
    let rest = try broker.statistics(of: dead)
    guard statistics.ready + statistics.delayed + statistics.unacknowledged + rest.ready + rest.unacknowledged == 0 else {
      throw Messages.Wrong("messages are left: \(statistics), \(rest)")
    }
    let left = QueueExit.allCases.map { "\"\($0)\": \(statistics.left[$0] ?? 0)" }.joined(separator: ", ")
    return """
      {"work": "conservation", "messages": \(total), "seconds": \(Double(millrace_monotonic() - start) / 1e9), \
      "deliveries": \(statistics.delivered), "redeliveries": \(statistics.redelivered), \(left)}
      """
  }

  private func publish(_ index: Int) throws -> (Int, UInt64) {
    var numbers = Numbers(state: UInt64(index) + 1)
    var publisher = try broker.makePublisher()
    let envelopes = try [0, 50_000, 5_000_000].flatMap { timeToLive in
      try [0, 100_000].map { delay in
        var envelope = Envelope(to: try BrokerName("work"))
        if timeToLive > 0 { envelope.timeToLive = UInt64(timeToLive) }
        envelope.delay = UInt64(delay)
        envelope.priority = UInt8(timeToLive % 4)
        return envelope
      }
    }
    var next = index
    var rounds = 0
    while next < total {
      rounds += 1
      // Mostly no more than the consumers can have; now and then as much as there is.
      if rounds % 64 == 0, numbers.below(10) > 0 {
        while try broker.statistics(of: work).ready > 5_000, !isOver { usleep(200) }
      }
      let envelope = envelopes[numbers.below(10) < 6 ? 0 : numbers.below(envelopes.count)]
      if numbers.below(3) == 0 {
        var draft = try publisher.claim(16, envelope)
        draft.withBytes { Self.write(&$0, next) }
        guard case .accepted = publisher.publish(draft) else { throw Messages.Wrong("a message was refused") }
        next += Self.publishers
      } else {
        var batch = publisher.batch(envelope, capacity: 1 + numbers.below(100))
        while batch.count < batch.capacity, next < total {
          try publisher.add(16, to: &batch) { Self.write(&$0, next) }
          next += Self.publishers
        }
        guard publisher.publish(&batch).refusal == nil else { throw Messages.Wrong("a batch was refused") }
      }
    }
    _ = published.add(1)
    return (0, 0)
  }

  private static func write(_ payload: inout MutableSpan<UInt8>, _ number: Int) {
    for at in 0..<8 { payload[at] = UInt8(truncatingIfNeeded: number >> (8 * at)) }
    for at in 8..<16 { payload[at] = UInt8(truncatingIfNeeded: number &* 31 &+ at) }
  }

  /// Its number. Throws if it is not what was written.
  private func number(_ message: borrowing Message) throws -> Int {
    let number = message.withBytes { bytes in
      var number = 0
      for at in 0..<8 { number |= Int(bytes[at]) << (8 * at) }
      for at in 8..<16 where bytes[at] != UInt8(truncatingIfNeeded: number &* 31 &+ at) { return -1 }
      return number
    }
    guard 0..<total ~= number else { throw Messages.Wrong("a message is not what was published") }
    return number
  }

  private func end(_ number: Int) {
    // unsafe: a byte for each message; one that two threads end at a time is wrong in any case.
    let byte = unsafe SharedByte((ends.base + number).assumingMemoryBound(to: UInt8.self))
    byte.store(byte.load() &+ 1)
    _ = ended.add(1)
  }

  private var isOver: Bool { ended.loadAcquiring() >= UInt64(total) }

  private func receive(_ seed: UInt64) throws -> (Int, UInt64) {
    var numbers = Numbers(state: seed + 100)
    while !isOver {
      var receiver = try broker.makeReceiver(work)
      // A consumer's life: it ends with what it holds, sometimes as a failure.
      for _ in 0..<(100 + numbers.below(1_000)) {
        if isOver { break }
        guard let delivery = try receiver.next(wait: .sleep(nanoseconds: 1_000_000)) else { continue }
        try settle(delivery, &numbers)
      }
      let lost = try receiver.next()
      receiver.close(isFailure: numbers.below(2) == 0)
      if let lost { try settle(lost, &numbers) }
    }
    return (0, 0)
  }

  private func settle(_ delivery: consuming Delivery, _ numbers: inout Numbers) throws {
    let number = try number(delivery.message)
    let settlement: Settlement? =
      switch numbers.below(100) {
      case 0..<70: .acknowledge
      case 70..<80: .retry(after: numbers.below(2) == 0 ? nil : 50_000)
      case 80..<85: .reject
      case 85..<95: .release(after: 0)
      default: nil
      }
    guard let settlement else {
      // Until its lease is over, or dropped.
      if numbers.below(2) == 0 {
        let until = millrace_monotonic() + 250_000
        while millrace_monotonic() < until { millrace_pause() }
      }
      return
    }
    do throws(SettleError) {
      try delivery.settle(settlement)
      if settlement == .acknowledge { end(number) }
    } catch {
      guard error == .takenBack else { throw Messages.Wrong("a delivery could not be settled: \(error)") }
    }
  }

  private func bury() throws -> (Int, UInt64) {
    var receiver = try broker.makeReceiver(dead)
    while !isOver {
      // Delayed and expired ones move when their queue is looked at.
      broker.advance()
      var failure: (any Error)?
      try receiver.receive(upTo: 1_000, wait: .sleep(nanoseconds: 1_000_000)) { message in
        do {
          guard message.deaths.last != nil else { throw Messages.Wrong("a dead letter does not say why") }
          end(try number(message))
        } catch { failure = error }
        return .acknowledge
      }
      if let failure { throw failure }
    }
    return (0, 0)
  }
}
