import CMillrace
import Glibc
import MillraceBroker
import MillraceCore

/// What messages of 64 bytes take that wait in a queue, all included: by how much the process grows.
struct Footprint {
  let count: Int
  /// Nanoseconds.
  let timeToLive: UInt64?
  /// Messages that are published together.
  let batch: Int

  /// One line. Once in a process: what was used before and given back to the allocator would be used again.
  func measure() throws -> String {
    var configuration = BrokerConfiguration()
    configuration.messageBytes = 1 << 40
    let broker = try Broker(configuration, host: BrokerHost(wall: { millrace_wall() }))
    let queue = try BrokerName("queue")
    try broker.declare(queue: queue)
    var envelope = Envelope(to: queue)
    envelope.timeToLive = timeToLive
    envelope.isPersistent = false
    var publisher = try broker.makePublisher()
    var batch = publisher.batch(envelope, capacity: batch)
    // What is there once, whatever the number.
    try Footprint.publish(batch.capacity, &batch, &publisher)
    let before = try residentBytes()
    try Footprint.publish(count, &batch, &publisher)
    // In the queue, not before it.
    let ready = try broker.statistics(of: queue).ready
    guard ready >= count else { throw Messages.Wrong("\(ready) of \(count) messages wait") }
    let grown = try residentBytes() - before
    // To a hundredth.
    let bytes = Double(grown * 100 / count) / 100
    return """
      {"work": "footprint", "messages": \(count), "batch": \(self.batch), "time_to_live": \(timeToLive != nil), "bytes_a_message": \(bytes)}
      """
  }

  private static func publish(_ count: Int, _ batch: inout MessageBatch, _ publisher: inout Publisher) throws {
    var published = 0
    while published < count {
      while batch.count < min(batch.capacity, count - published) {
        try publisher.add(64, to: &batch) { bytes in for at in 0..<64 { bytes[at] = UInt8(truncatingIfNeeded: at) } }
      }
      let result = publisher.publish(&batch)
      if let refusal = result.refusal { throw refusal }
      published += result.accepted
    }
  }
}

/// Of this process.
func residentBytes() throws -> Int {
  guard let fields = SmallFile.text("/proc/self/statm")?.split(separator: " "), fields.count > 1, let pages = Int(fields[1]) else {
    throw Messages.Wrong("/proc/self/statm cannot be read")
  }
  return pages * sysconf(Int32(_SC_PAGESIZE))
}
