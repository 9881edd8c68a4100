import CMillrace
import MillraceBroker
import MillraceCore

/// One way of messages from their publisher to their end, on one thread, again and again: for who counts what that allocates. Every message has a priority and most have a time to live, of which there are
/// three, so that deadlines do not come in order; some hundred are in their queues meanwhile.
final class Steady {
  enum Way: String, CaseIterable {
    /// Claimed, published, received and acknowledged one by one.
    case single
    /// 64 at a time.
    case batch
    /// 64 at a time, to four queues.
    case fan
    /// Consumers are jobs of a scheduler, whose worker is stepped.
    case jobs
    /// Claimed, refused by a full queue, and let go of by their publisher.
    case refused
  }

  /// Messages that are in a queue before the first is taken out.
  private static let depth = 256

  private let way: Way
  private let broker: Broker
  private let scheduler: Scheduler
  private let queues: [BrokerName]
  private var sent = 0

  init(_ way: Way) throws {
    self.way = way
    var configuration = BrokerConfiguration()
    configuration.messageBytes = 16 << 20
    scheduler = try Scheduler(SchedulerConfiguration(slots: 1, workers: 1, capacity: 10_000))
    broker = try Broker(configuration, host: BrokerHost(wall: { millrace_wall() }, scheduler: scheduler))
    queues = try (0..<(way == .fan ? 4 : 1)).map { try BrokerName("queue-\($0)") }
    let all = try BrokerName("all")
    try broker.declare(exchange: all, .fanout)
    for queue in queues {
      var configuration = QueueConfiguration()
      if way == .refused { (configuration.maxSize, configuration.overflow) = (1, .rejectPublish) }
      try broker.declare(queue: queue, configuration)
      try broker.bind(Binding(all, to: .queue(queue)))
    }
  }

  /// So many messages and a batch more. One line: how many ended, and bytes of the pool. Throws `Messages.Wrong` if one has not.
  func run(_ count: Int) throws -> String {
    let exchange = broker.router.exchange(named: try BrokerName("all")) ?? .default
    let envelopes = (0..<12).map { index in
      var envelope = Envelope(to: exchange)
      envelope.priority = UInt8(index % 4)
      envelope.timeToLive = [nil, 60_000_000_000, 30_000_000_000][index % 3]
      envelope.isPersistent = false
      return envelope
    }
    let ended: Int
    switch way {
    case .single: ended = try singly(count, envelopes)
    case .batch, .fan: ended = try together(count, envelopes)
    case .jobs: ended = try asJobs(count, envelopes)
    case .refused: ended = try inVain(count, envelopes)
    }
    guard ended == sent * queues.count else { throw Messages.Wrong("\(ended) of \(sent * queues.count) messages ended") }
    return "\(ended) messages, \(broker.memory.used) bytes"
  }

  private func singly(_ count: Int, _ envelopes: [Envelope]) throws -> Int {
    var publisher = try broker.makePublisher()
    var receiver = try broker.makeReceiver(queues[0])
    var ended = 0
    while true {
      if sent < count { try publish(envelopes, &publisher) }
      if sent < min(count, Steady.depth) { continue }
      guard let delivery = try receiver.next() else { return ended }
      try delivery.acknowledge()
      ended += 1
    }
  }

  /// The first one stays in its queue.
  private func inVain(_ count: Int, _ envelopes: [Envelope]) throws -> Int {
    var publisher = try broker.makePublisher()
    try publish(envelopes, &publisher)
    while sent < count {
      let draft = try publisher.claim(64, envelopes[0])
      guard case .refused(_, .full) = publisher.publish(draft) else { throw Messages.Wrong("a full queue took a message") }
      sent += 1
    }
    return sent
  }

  private func publish(_ envelopes: [Envelope], _ publisher: inout Publisher) throws {
    var draft = try publisher.claim(64, envelopes[sent % envelopes.count])
    draft.withBytes { $0[0] = 1 }
    guard case .accepted = publisher.publish(draft) else { throw Messages.Wrong("a message was refused") }
    sent += 1
  }

  private func together(_ count: Int, _ envelopes: [Envelope]) throws -> Int {
    let sender = try Batches(broker, envelopes)
    let takers = try queues.map { try Taker(broker, $0) }
    while true {
      if sent < count { sent += try sender.publish() }
      if sent < min(count, Steady.depth) { continue }
      var received = 0
      for taker in takers { received += try taker.take() }
      if received == 0 { return takers.reduce(0) { $0 + $1.ended } }
    }
  }

  private func asJobs(_ count: Int, _ envelopes: [Envelope]) throws -> Int {
    let worker = scheduler.makeWorker(0)
    let sender = try Batches(broker, envelopes)
    let tally = Tally()
    let consumer = try broker.consume(queues[0]) { message, _ in
      tally.ended += message.withBytes { Int($0[0]) }
      return .acknowledge
    }
    while true {
      if sent < count { sent += try sender.publish() }
      if sent < min(count, Steady.depth) { continue }
      let before = tally.ended
      while case .limit = worker.work(upTo: 64).end {}
      worker.settleCounts()
      if tally.ended == before { break }
    }
    consumer.close()
    worker.retire()
    return tally.ended
  }
}

/// Batches of all envelopes in turn.
private final class Batches {
  private var publisher: Publisher
  // One after the other: an array holds no batches.
  private var boxes: [Box] = []
  private var next = 0

  private final class Box {
    var batch: MessageBatch
    init(_ batch: consuming MessageBatch) { self.batch = batch }
  }

  init(_ broker: Broker, _ envelopes: [Envelope]) throws {
    publisher = try broker.makePublisher()
    for envelope in envelopes { boxes.append(Box(publisher.batch(envelope))) }
  }

  /// How many.
  func publish() throws -> Int {
    let box = boxes[next]
    next = (next + 1) % boxes.count
    while box.batch.count < box.batch.capacity { try publisher.add(64, to: &box.batch) { $0[0] = 1 } }
    let published = publisher.publish(&box.batch)
    if let refusal = published.refusal { throw refusal }
    return published.accepted
  }
}

private final class Taker {
  private var receiver: Receiver
  private(set) var ended = 0

  init(_ broker: Broker, _ queue: BrokerName) throws { receiver = try broker.makeReceiver(queue) }

  /// How many.
  func take() throws -> Int {
    let count = try receiver.receive(upTo: 64) { _ in .acknowledge }
    ended += count
    return count
  }
}

/// The stepped worker's.
private final class Tally: @unchecked Sendable {
  var ended = 0
}
