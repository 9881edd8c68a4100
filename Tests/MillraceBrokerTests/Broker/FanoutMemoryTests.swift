import Foundation
import MillraceCore
import Testing

@testable import MillraceBroker

/// What messages cost that lie in many queues.
@Suite(.serialized) struct FanoutMemoryTests {
  /// Bytes of this process that are resident.
  private func resident() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .ascii).split(separator: " ")
    return Int(fields[1])! * 4_096
  }

  @Test("1,000 messages of 64 KiB in 100 queues take the memory of 1,000, and each queue has them whole")
  func fanout() throws {
    var configuration = BrokerConfiguration()
    configuration.messageBytes = 1 << 30
    let bed = try BrokerBed(configuration)
    let (queues, messages, bytes) = (100, 1_000, 65_536)
    let exchange = try bed.broker.router.declare(name("all"), .fanout)
    for queue in 0..<queues {
      try bed.declare("q\(queue)")
      try bed.broker.router.bind(Binding("all", .queue(name("q\(queue)"))))
    }
    let before = try resident()
    for index in 0..<messages {
      var draft = try bed.publisher.claim(bytes, Envelope(to: exchange))
      draft.withBytes { span in
        span.update(repeating: UInt8(truncatingIfNeeded: index))
        span[0] = UInt8(index >> 8)
      }
      guard case .accepted(let receipt) = bed.publisher.publish(draft) else { throw Unexpected() }
      #expect(receipt.queues == queues)
    }
    for queue in 0..<queues { #expect(try bed.broker.statistics(of: name("q\(queue)")).bytes == messages * bytes) }
    let payload = messages * bytes
    // The entries of the queues, and whatever else runs in this process meanwhile, are far below one copy for each queue.
    let grown = try resident() - before
    #expect(grown < 6 * payload, "\(grown >> 20) MiB of resident memory for \(payload >> 20) MiB, \(queues * payload >> 20) MiB if copied")
    // A block for 64 KiB and what a message says of itself is of the next size, 96 KiB.
    #expect(payload..<payload * 7 / 4 ~= bed.broker.memory.used, "\(bed.broker.memory.used >> 20) MiB")
    for queue in 0..<queues {
      var receiver = try bed.broker.makeReceiver(name("q\(queue)"))
      var next = 0
      try receiver.receive(upTo: messages + 1) { message in
        let isWhole = message.withBytes { span in
          span.count == bytes && span[0] == UInt8(next >> 8) && span[1] == UInt8(truncatingIfNeeded: next)
            && span[bytes - 1] == UInt8(truncatingIfNeeded: next)
        }
        #expect(isWhole)
        next += 1
        return .acknowledge
      }
      #expect(next == messages)
    }
    // All blocks came back: as many messages again take no more.
    let used = bed.broker.memory.used
    for _ in 0..<messages { try bed.publisher.publish([UInt8](repeating: 7, count: bytes).span, Envelope(to: exchange)) }
    #expect(bed.broker.memory.used <= used + payload / 10)
  }
}
