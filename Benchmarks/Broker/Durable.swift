import CMillrace
import Foundation
import Glibc
import Millrace
import MillraceBroker
import MillraceCore
import MillraceLog

/// Messages of 256 bytes for a durable queue, one publisher, so many of them on their way to the disk at a time: published a second, each confirmed when it is on stable storage. Nobody consumes them
/// meanwhile; at the end they are received, and their number and sum compared. In the directory DIRECTORY, or the current one.
struct Durable {
  let inFlight: Int

  func measure(_ work: String, seconds: Double) throws -> String {
    let parent = unsafe getenv("DIRECTORY").map { unsafe String(cString: $0) } ?? "."
    let directory = "\(parent)/millrace-durable-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var configuration = LogQueueJournal.Configuration()
    configuration.log.capacity = 4_096
    let journal = try LogQueueJournal(DirectoryStorage(directory), configuration)
    var limits = BrokerConfiguration()
    limits.messageBytes = 8 << 30
    let broker = try Broker(limits, host: BrokerHost(wall: { millrace_wall() }), journal: journal)
    defer { broker.close() }
    let queue = try BrokerName("queue")
    var options = QueueConfiguration()
    options.isDurable = true
    try broker.declare(queue: queue, options)
    var publisher = try broker.makePublisher()
    let told = publisher.confirms
    guard let confirms = told else { throw Messages.Wrong("a durable broker without confirms") }
    var batch = publisher.batch(Envelope(to: queue), capacity: min(64, inFlight))
    var (count, sum) = (0, 0 as UInt64)
    let start = millrace_monotonic()
    let end = start + UInt64(seconds * 1e9)
    while millrace_monotonic() < end {
      while batch.count < batch.capacity {
        let first = UInt64(count + batch.count)
        try publisher.add(256, to: &batch) { bytes in
          // unsafe: the payload has 256 bytes.
          unsafe bytes.withUnsafeMutableBytes { bytes in
            for word in 0..<32 { unsafe bytes.storeBytes(of: first &+ UInt64(word), toByteOffset: word * 8, as: UInt64.self) }
          }
        }
        sum &+= first
      }
      while batch.count > 0 {
        let published = publisher.publish(&batch)
        count += published.accepted
        if let refusal = published.refusal, refusal != .busy { throw refusal }
      }
      let limit = UInt64(max(0, count - inFlight + batch.capacity))
      guard confirms.wait(for: limit, nanoseconds: 60_000_000_000) else { throw Messages.Wrong("nothing is confirmed any more") }
    }
    guard confirms.wait(for: UInt64(count), nanoseconds: 60_000_000_000), confirms.failed.isEmpty else {
      throw Messages.Wrong("not all was confirmed: \(confirms.failed)")
    }
    let took = Double(millrace_monotonic() - start) / 1e9
    try check(broker, queue, count, sum)
    return """
      {"work": "\(work)", "messages": \(count), "seconds": \(took), "bytes": 256, "in_flight": \(inFlight)}
      """
  }

  private func check(_ broker: Broker, _ queue: BrokerName, _ count: Int, _ sum: UInt64) throws {
    var receiver = try broker.makeReceiver(queue)
    var found = (0, 0 as UInt64)
    while try receiver.receive({ message in
      found.0 += 1
      found.1 &+= message.withBytes { bytes in unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) } }
      return .acknowledge
    }) > 0 {}
    guard found == (count, sum) else { throw Messages.Wrong("\(found.0) of \(count) messages came") }
  }
}
