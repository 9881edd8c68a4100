import CMillrace
import Glibc
import Millrace
import MillraceBroker
import MillraceCore
import MillraceLog

/// `BrokerVictim DIRECTORY LIFE`. Ends only when it is killed, after 30 s by itself, or with 1 if the broker fails. Its marks, one a line:
///
/// | Mark | |
/// |---|---|
/// | `confirmed FIRST LAST` | the messages with these numbers are on stable storage |
/// | `asks NUMBER` | its acknowledgement begins |
/// | `rejects NUMBER` | its way to the dead letters begins |
nonisolated func victim(_ words: [String]) -> Int32 {
  guard words.count == 2, let life = UInt64(words[1]) else {
    tell("usage: BrokerVictim DIRECTORY LIFE")
    return 64
  }
  alarm(30)
  do {
    try BrokerLoad(words[0], life).run()
    return 0
  } catch {
    tell("\(error)")
    return 1
  }
}

/// A line on standard error.
nonisolated func tell(_ text: String) {
  let line = "BrokerVictim: \(text)\n"
  _ = unsafe write(2, line, line.utf8.count)
}

/// Publishes from two threads, one by one and in batches; consumes from two, what a life before has left too.
final class BrokerLoad: @unchecked Sendable {
  private let broker: Broker
  private let life: UInt64
  private let monitor = Monitor()

  init(_ directory: String, _ life: UInt64) throws {
    var configuration = LogQueueJournal.Configuration()
    configuration.log.segmentBytes = 256 << 10
    configuration.log.firstSegmentBytes = 256 << 10
    configuration.spaceBytes = 256 << 10
    configuration.copyBytes = 64 << 10
    let journal = try LogQueueJournal(DirectoryStorage(directory), configuration)
    var limits = BrokerConfiguration()
    limits.messageBytes = 256 << 20
    broker = try Broker(limits, host: BrokerHost(wall: { millrace_wall() }), journal: journal)
    self.life = life
  }

  func run() throws {
    let (work, dead) = (try BrokerName("work"), try BrokerName("dead"))
    var queue = QueueConfiguration()
    queue.isDurable = true
    try broker.declare(queue: dead, queue)
    queue.deadLetters = .queue(dead)
    queue.deliveryLimit = nil
    queue.maxSize = 50_000
    queue.overflow = .rejectPublish
    try broker.declare(queue: work, queue)
    for thread in 0..<2 { start { try self.publish(UInt64(thread), work) } }
    start { try self.consume(dead, rejects: false) }
    try consume(work, rejects: true)
  }

  private func start(_ body: @escaping @Sendable () throws -> Void) {
    let isThere = OwnThread.run {
      do { try body() } catch {
        tell("\(error)")
        exit(1)
      }
    }
    precondition(isThere, "a thread does not start")
  }

  private func mark(_ text: String) {
    let line = text + "\n"
    monitor.locked { _ = unsafe write(1, line, line.utf8.count) }
  }

  /// Numbers of this life and thread, one after the other.
  private func publish(_ thread: UInt64, _ queue: BrokerName) throws {
    var publisher = try broker.makePublisher()
    guard let confirms = publisher.confirms else { throw Unfit() }
    let size = thread == 0 ? 1 : 50
    var batch = publisher.batch(Envelope(to: queue), capacity: size)
    let base = life << 40 | thread << 32
    var next: UInt64 = 0
    while true {
      let first = next
      while batch.count < size {
        let number = base | next
        try publisher.add(64, to: &batch) { bytes in
          for at in bytes.indices { bytes[at] = at < 8 ? UInt8(truncatingIfNeeded: number >> UInt64(8 * at)) : 0x5a }
        }
        next += 1
      }
      while batch.count > 0 {
        switch publisher.publish(&batch).refusal {
        case nil, .busy: break
        case .full(let name): _ = try publisher.waitForRoom(in: name, nanoseconds: 1_000_000_000)
        case .some(let refusal): throw refusal
        }
      }
      guard confirms.wait(for: confirms.published, nanoseconds: 20_000_000_000), confirms.failed.isEmpty else { throw Unfit() }
      mark("confirmed \(base | first) \(base | (next - 1))")
    }
  }

  private struct Unfit: Error {}

  private func consume(_ queue: BrokerName, rejects: Bool) throws {
    var receiver = try broker.makeReceiver(queue)
    var count = 0
    while true {
      _ = try receiver.receive(upTo: 20, wait: .sleep(nanoseconds: 1_000_000_000)) { message in
        let number = message.withBytes { bytes in (0..<8).reduce(0 as UInt64) { $0 | UInt64(bytes[$1]) << UInt64(8 * $1) } }
        count += 1
        switch count % 5 {
        case 0 where rejects:
          mark("rejects \(number)")
          return .reject
        case 1 where rejects: return .retry(after: nil)
        default:
          mark("asks \(number)")
          return .acknowledge
        }
      }
    }
  }
}
