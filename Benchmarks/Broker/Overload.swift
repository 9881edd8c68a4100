import CMillrace
import Glibc
import MillraceBroker
import MillraceCore

/// Two publishers that offer three times what the consumer takes, to a queue that may hold `maxSize` messages and `maxBytes` bytes. Small messages, by which the first bound is reached, and large ones,
/// by which the second is, take turns. Whatever the queue does with what is too much: the process does not grow beyond what the bounds come to, every message is accounted for, and a publisher that is
/// refused is told at once and has its message as it was.
final class Overload: @unchecked Sendable {
  /// What a queue does with what is too much, in the words of its users.
  static let ways: [String: QueueConfiguration.Overflow] = [
    "reject-publish": .rejectPublish, "drop-head": .dropHead, "dead-letter": .rejectPublishDeadLetter,
  ]

  static let maxSize = 200_000
  static let maxBytes = 128 << 20
  /// Of payloads. With 32 bytes of header, and 5 for the empty key, they fit blocks of 96 bytes and 4 KiB.
  private static let sizes = [56, 4_056]
  /// Messages of one size that are offered before those of the other.
  private static let phase = 3 * maxSize
  private static let publishers = 2
  /// Of the bound for the work's queue: what dead letters may take beside.
  private static let deadPart = 10

  /// What a queue takes that is full by both of its bounds: 160 bytes a message, and the bytes of payloads.
  static func cap(_ overflow: QueueConfiguration.Overflow) -> Int {
    let work = maxSize * 160 + maxBytes
    // Dead letters have a block for their story as well.
    return overflow == .rejectPublishDeadLetter ? work + maxSize / deadPart * (160 + 256) + maxBytes / deadPart : work
  }

  private let overflow: QueueConfiguration.Overflow
  private let broker: Broker
  private let work: BrokerName
  private let dead: BrokerName
  private let exchange: ExchangeID
  private let words: Region
  /// Messages that were offered; nanoseconds that refusals took; 1: it is over.
  private var offered: SharedWord { unsafe SharedWord(words.base) }
  private var waited: SharedWord { unsafe SharedWord(words.base + padding) }
  private var over: SharedWord { unsafe SharedWord(words.base + 2 * padding) }

  init(_ overflow: QueueConfiguration.Overflow) throws {
    self.overflow = overflow
    var configuration = BrokerConfiguration()
    // The queues' bounds are what is reached.
    configuration.messageBytes = 4 * Overload.cap(overflow)
    broker = try Broker(configuration, host: BrokerHost(wall: { millrace_wall() }))
    (work, dead) = (try BrokerName("work"), try BrokerName("dead"))
    var queue = QueueConfiguration()
    (queue.maxSize, queue.maxBytes) = (Overload.maxSize / Overload.deadPart, Overload.maxBytes / Overload.deadPart)
    try broker.declare(queue: dead, queue)
    (queue.maxSize, queue.maxBytes) = (Overload.maxSize, Overload.maxBytes)
    queue.overflow = overflow
    if overflow == .rejectPublishDeadLetter { queue.deadLetters = .queue(dead) }
    try broker.declare(queue: work, queue)
    exchange = try broker.router.declare(BrokerName("all"), .fanout)
    try broker.bind(Binding(BrokerName("all"), to: .queue(work)))
    words = try Region(bytes: 3 * padding)
  }

  deinit { words.free() }

  /// One line. Throws `Messages.Wrong` where a message is not accounted for, was changed, or a bound was passed.
  func run(seconds: Double) throws -> String {
    let start = millrace_monotonic()
    let end = start + UInt64(seconds * 1e9)
    let before = try residentBytes()
    let bed = try Bed(count: Overload.publishers + 1)
    for index in 0..<Overload.publishers { bed.run(index) { [self] _ in try publish(index) } }
    bed.run(Overload.publishers) { [self] _ in try consume() }
    var (least, most, messages, bytes) = (Int.max, 0, 0, 0)
    // Both sizes have had their turn at least once, however slow the machine is.
    while millrace_monotonic() < end || offered.loadRelaxed() < UInt64(2 * Overload.phase) {
      usleep(2_000)
      let resident = try residentBytes() - before
      (least, most) = (min(least, resident), max(most, resident))
      let statistics = try broker.statistics(of: work)
      messages = max(messages, statistics.ready)
      bytes = max(bytes, statistics.bytes)
    }
    over.storeReleasing(1)
    let counts = bed.end()
    let (accepted, refusals) = counts.prefix(Overload.publishers).reduce((0, 0 as UInt64)) { ($0.0 + $1.0, $0.1 + $1.1) }
    let statistics = try broker.statistics(of: work)
    let dropped = Int(statistics.left[.maxLength] ?? 0)
    let cap = Overload.cap(overflow)
    guard messages <= Overload.maxSize, bytes <= Overload.maxBytes else {
      throw Messages.Wrong("the queue held \(messages) messages and \(bytes) bytes")
    }
    guard accepted == counts[Overload.publishers].0 + dropped + statistics.ready, statistics.unacknowledged == 0 else {
      throw Messages.Wrong(
        "\(accepted) messages were accepted: \(counts[Overload.publishers].0) taken, \(dropped) dropped, \(statistics.ready) left")
    }
    guard overflow == .dropHead ? refusals == 0 && dropped > 0 : refusals > 0 && dropped == 0 else {
      throw Messages.Wrong("\(refusals) messages were refused and \(dropped) dropped")
    }
    let letters = try broker.statistics(of: dead)
    guard letters.published == (overflow == .rejectPublishDeadLetter ? refusals : 0), broker.lostDeadLetters.lost == 0 else {
      throw Messages.Wrong("\(letters.published) dead letters of \(refusals) refused messages")
    }
    if most > cap + cap / 10 { throw Messages.Wrong("the process grew by \(most) bytes, with a cap of \(cap)") }
    return """
      {"work": "overload", "overflow": "\(overflow)", "seconds": \(Double(millrace_monotonic() - start) / 1e9), "cap_bytes": \(cap), \
      "least_bytes": \(least), "most_bytes": \(most), "most_messages": \(messages), "most_payload_bytes": \(bytes), \
      "offered": \(accepted + Int(refusals)), "accepted": \(accepted), "refused": \(refusals), "taken": \(counts[Overload.publishers].0), \
      "dropped": \(dropped), "left": \(statistics.ready), "dead_letters": \(letters.published), \
      "refusal_ns": \(refusals == 0 ? 0 : waited.loadRelaxed() / refusals)}
      """
  }

  /// How many were accepted, and refused.
  private func publish(_ index: Int) throws -> (Int, UInt64) {
    var publisher = try broker.makePublisher()
    var envelope = Envelope(to: exchange)
    envelope.isPersistent = false
    var (accepted, refusals) = (0, 0 as UInt64)
    while over.loadAcquiring() == 0 {
      let number = offered.add(1)
      let size = Overload.sizes[Int(number) / Overload.phase % 2]
      var draft = try publisher.claim(size, envelope)
      draft.withBytes { Overload.write(number, &$0) }
      let start = millrace_monotonic()
      switch publisher.publish(draft) {
      case .accepted: accepted += 1
      case .duplicate: throw Messages.Wrong("a message without an id is a duplicate")
      case .refused(var draft, .full):
        _ = waited.add(millrace_monotonic() - start)
        refusals += 1
        let isWhole = draft.withBytes { Overload.read($0.span) == number && $0.count == size }
        if !isWhole { throw Messages.Wrong("a message that was refused is not what it was") }
      case .refused(_, let why): throw why
      }
    }
    return (accepted, refusals)
  }

  /// A number in the first and the last bytes.
  private static func write(_ number: UInt64, _ bytes: inout MutableSpan<UInt8>) {
    for at in 0..<8 {
      let byte = UInt8(truncatingIfNeeded: number >> (8 * UInt64(at)))
      bytes[at] = byte
      bytes[bytes.count - 8 + at] = byte
    }
  }

  /// nil: it is not the same at both ends.
  private static func read(_ bytes: Span<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    for at in 0..<8 {
      if bytes[at] != bytes[bytes.count - 8 + at] { return nil }
      number |= UInt64(bytes[at]) << (8 * UInt64(at))
    }
    return number
  }

  /// One message for three that are offered. How many.
  private func consume() throws -> (Int, UInt64) {
    var receiver = try broker.makeReceiver(work)
    var taken = 0
    var isWrong = false
    while over.loadAcquiring() == 0 {
      let most = Int(offered.loadRelaxed() / 3) - taken
      if most == 0 {
        millrace_pause()
        continue
      }
      taken += try receiver.receive(upTo: min(most, 64)) { message in
        if !message.withBytes({ Overload.sizes.contains($0.count) && Overload.read($0) != nil }) { isWrong = true }
        return .acknowledge
      }
      if isWrong { throw Messages.Wrong("a message is not what was published") }
    }
    return (taken, 0)
  }
}
