import CMillrace
import Glibc
import MillraceBroker
import MillraceCore

/// Messages from one publishing thread to one or four receiving ones: 64 bytes in batches of 64, or 64 KiB by reference. Acknowledged, with a priority and a time to live; queues hold
/// 1,024 and refuse more. The payload is written and read in full, and its sum compared.
struct Messages {
  let receivers: Int
  let bytes: Int
  private let broker: Broker
  private let exchange: ExchangeID
  /// Bytes of each payload that are written and read: all, or 64, where the memory goes from hand to hand as it is.
  private let touched: Int

  init(receivers: Int, bytes: Int, isByReference: Bool = false) throws {
    (self.receivers, self.bytes, touched) = (receivers, bytes, isByReference ? 64 : bytes)
    var configuration = BrokerConfiguration()
    configuration.messageBytes = 1 << 30
    broker = try Broker(configuration, host: BrokerHost(wall: { millrace_wall() }))
    exchange = try broker.router.declare(BrokerName("all"), .fanout)
    var queue = QueueConfiguration()
    queue.maxSize = 1_024
    queue.overflow = .rejectPublish
    for number in 0..<receivers {
      try broker.declare(queue: Self.queue(number), queue)
      try broker.router.bind(Binding(BrokerName("all"), to: .queue(Self.queue(number))))
    }
  }

  private static func queue(_ number: Int) throws -> BrokerName { try BrokerName("queue-\(number)") }

  /// One line.
  func measure(_ work: String, seconds: Double) throws -> String {
    let bed = try Bed(count: receivers)
    for number in 0..<receivers {
      let name = try Self.queue(number)
      let (broker, touched) = (broker, touched)
      bed.run(number) { isOver in
        var receiver = try broker.makeReceiver(name)
        var sum: UInt64 = 0
        var count = 0
        while true {
          let received = try receiver.receive(upTo: 256, wait: .sleep(nanoseconds: 100_000_000)) { message in
            sum &+= Self.read(message, touched)
            return .acknowledge
          }
          count += received
          if received == 0, isOver() { return (count, sum) }
        }
      }
    }
    let published = try publish(seconds)
    let ended = bed.end()
    for (count, sum) in ended where count != published.count || sum != published.sum {
      throw Wrong("\(count) of \(published.count) messages came, with the sum \(sum) of \(published.sum)")
    }
    return """
      {"work": "\(work)", "messages": \(published.count), "seconds": \(published.seconds), "receivers": \(receivers), "bytes": \(bytes), \
      "cores": \(bed.processorSeconds / published.seconds)}
      """
  }

  /// So many messages and more, a batch after the other, published and received on this thread. Their number, and the nanoseconds for one.
  func alternate(_ count: Int) throws -> String {
    var publisher = try broker.makePublisher()
    var receiver = try broker.makeReceiver(Self.queue(0))
    let envelope = try envelope()
    var batch = publisher.batch(envelope)
    var (done, sum) = (0, 0 as UInt64)
    let start = millrace_monotonic()
    while done < count {
      while batch.count < batch.capacity {
        try publisher.add(bytes, to: &batch) { Self.fill(&$0, touched, 1) }
      }
      let published = publisher.publish(&batch)
      if let refusal = published.refusal { throw refusal }
      done += try receiver.receive(upTo: 64) { message in
        sum &+= Self.read(message, touched)
        return .acknowledge
      }
    }
    return "\(done) messages, \(Double(millrace_monotonic() - start) / Double(done)) ns, sum \(sum)"
  }

  private func envelope() throws -> Envelope {
    var envelope = receivers == 1 ? try Envelope(to: Self.queue(0)) : Envelope(to: exchange)
    envelope.timeToLive = 60_000_000_000
    envelope.priority = 2
    envelope.isPersistent = false
    return envelope
  }

  struct Wrong: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }

  @inline(__always) private static func read(_ message: borrowing Message, _ count: Int) -> UInt64 {
    message.withBytes { bytes in
      // unsafe: the payload's words, all there, on a boundary of their own.
      unsafe bytes.withUnsafeBytes { bytes in
        let words = unsafe bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt64.self)
        var sum: UInt64 = 0
        for word in 0..<(count / 8) { unsafe sum &+= words[word] }
        return sum
      }
    }
  }

  /// Words that count on from the first.
  @inline(__always) private static func fill(_ payload: inout MutableSpan<UInt8>, _ count: Int, _ first: UInt64) {
    // unsafe: the payload's words, all there, on a boundary of their own.
    unsafe payload.withUnsafeMutableBytes { bytes in
      let words = unsafe bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt64.self)
      for word in 0..<(count / 8) { unsafe words[word] = first &+ UInt64(word) }
    }
  }

  private func publish(_ seconds: Double) throws -> (count: Int, sum: UInt64, seconds: Double) {
    var publisher = try broker.makePublisher()
    var batch = try publisher.batch(envelope())
    var (count, sum) = (0, 0 as UInt64)
    let words = touched / 8
    let start = millrace_monotonic()
    let end = start + UInt64(seconds * 1e9)
    while millrace_monotonic() < end {
      while batch.count < batch.capacity {
        let first = UInt64(count + batch.count)
        try publisher.add(bytes, to: &batch) { Self.fill(&$0, touched, first) }
        sum &+= first &* UInt64(words) &+ UInt64(words * (words - 1) / 2)
      }
      while batch.count > 0 {
        let published = publisher.publish(&batch)
        count += published.accepted
        guard let refusal = published.refusal else { continue }
        guard case .full(let queue) = refusal else { throw refusal }
        _ = try publisher.waitForRoom(in: queue, messages: 512, nanoseconds: 1_000_000_000)
      }
    }
    return (count, sum, Double(millrace_monotonic() - start) / 1e9)
  }
}

/// One message at a time, 10,000 a second from one thread to another: nanoseconds from the moment at which it was to be published to the one at which it is read.
struct Latency {
  private static let period: UInt64 = 100_000

  let isSpinning: Bool

  func measure(_ work: String, seconds: Double) throws -> String {
    let broker = try Broker(host: BrokerHost(wall: { millrace_wall() }))
    let queue = try BrokerName("queue")
    try broker.declare(queue: queue)
    let wait = isSpinning ? ReceiveWait.spin(nanoseconds: 100_000_000) : .sleep(nanoseconds: 100_000_000)
    let total = Int(seconds * 1e9) / Int(Self.period)
    let latencies = Latencies(count: total)
    let bed = try Bed(count: 1)
    bed.run(0) { isOver in
      var receiver = try broker.makeReceiver(queue)
      var count = 0
      while true {
        let received = try receiver.receive(upTo: 1, wait: wait) { message in
          let intended = message.withBytes { bytes in unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) } }
          latencies.add(millrace_monotonic() - intended)
          return .acknowledge
        }
        count += received
        if received == 0, isOver() { return (count, 0) }
      }
    }
    var publisher = try broker.makePublisher()
    var envelope = Envelope(to: queue)
    envelope.isPersistent = false
    var batch = publisher.batch(envelope, capacity: 1)
    var intended = millrace_monotonic() + 10 * Self.period
    for _ in 0..<total {
      while millrace_monotonic() < intended { millrace_pause() }
      try publisher.add(64, to: &batch) { bytes in
        // unsafe: the payload has 64 bytes.
        unsafe bytes.withUnsafeMutableBytes { unsafe $0.storeBytes(of: intended, as: UInt64.self) }
      }
      let published = publisher.publish(&batch)
      if let refusal = published.refusal { throw refusal }
      intended += Self.period
    }
    let received = bed.end()[0].0
    guard received == total else { throw Messages.Wrong("\(received) of \(total) messages came") }
    let sorted = latencies.all.sorted()
    return """
      {"work": "\(work)", "messages": \(total), "seconds": \(seconds), "p50_ns": \(sorted[total / 2]), "p99_ns": \(sorted[total * 99 / 100])}
      """
  }

  /// The receiving thread's, until that has ended.
  private final class Latencies: @unchecked Sendable {
    private(set) var all: [UInt64] = []
    init(count: Int) { all.reserveCapacity(count) }
    func add(_ nanoseconds: UInt64) { all.append(nanoseconds) }
  }
}

/// Threads that receive.
final class Bed: @unchecked Sendable {
  private let region: Region
  private var threads: [Thread] = []
  private var results: [(Int, UInt64)]
  private let began = millrace_process_time()
  private var word: SharedWord { unsafe SharedWord(region.base) }

  init(count: Int) throws {
    region = try Region(bytes: 64)
    results = Array(repeating: (0, 0), count: count)
  }

  deinit { region.free() }

  /// Of all processors, so far.
  var processorSeconds: Double { Double(millrace_process_time() - began) / 1e9 }

  func run(_ index: Int, _ body: @escaping @Sendable (() -> Bool) throws -> (Int, UInt64)) {
    threads.append(
      Thread { [self] in
        do {
          let result = try body { self.word.loadAcquiring() != 0 }
          results[index] = result
        } catch { BrokerBenchmark.fail("\(error)", 1) }
      })
  }

  func end() -> [(Int, UInt64)] {
    word.storeReleasing(1)
    for thread in threads { thread.join() }
    return results
  }
}

/// A thread that can be waited for.
final class Thread {
  private var thread = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    // unsafe: the box is retained for the thread, which releases it.
    let code = unsafe pthread_create(
      &thread, nil,
      { argument in
        unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, Unmanaged.passRetained(Box(body)).toOpaque())
    precondition(code == 0, "a thread does not start: errno \(code)")
  }

  func join() { pthread_join(thread, nil) }
}
