import CMillrace
import MillraceBroker

/// Messages through a topic exchange with 10,000 bindings, beside a scan of all of them.
///
/// A binding's pattern has four words, each out of words of its own (20, 50, 100, 200 of them), such as `eu-7.orders-31.event-90.id-155`; a tenth of the words are `*`, a tenth of the patterns end in `#` after two or
/// three words, and one in a hundred begins with it. A key has four words of the same.
@safe struct Topics: ~Copyable {
  enum Kind: String {
    /// Keys that come round when the cache has long forgotten them.
    case cold
    /// 256 keys that come again and again.
    case warm

    var keys: Int { self == .cold ? 65_536 : 256 }
    /// Of the scan.
    var goal: Int { self == .cold ? 100 : 1_000 }
  }

  static let bindings = 10_000
  private static let queues = 1_000 as UInt32

  private let kind: Kind
  private let exchange: ExchangeID
  private var lane: RoutingLane
  private let scan: Scan
  private let bytes: UnsafeBufferPointer<UInt8>
  private let keys: [Range<Int>]
  private var next = 0
  /// Queues of the last message.
  private var count = 0
  // unsafe: room for all queues.
  private let found = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: Int(queues))

  init(_ kind: Kind) throws {
    let router = try Router(seed: 1)
    let topic = try BrokerName("topic")
    let exchange = try router.declare(topic, .topic)
    for number in 0..<Topics.queues { try router.add(queue: BrokerName("queue-\(number)"), number: number) }
    var numbers = Numbers(state: 42)
    let scan = Scan(queues: Int(Topics.queues))
    while router.bindingCount < Topics.bindings {
      let pattern = Topics.pattern(&numbers)
      let queue = numbers.below(Int(Topics.queues))
      if try router.bind(Binding(topic, to: .queue(BrokerName("queue-\(queue)")), key: pattern)) { scan.add(pattern, UInt32(queue)) }
    }
    var bytes: [UInt8] = []
    var keys: [Range<Int>] = []
    var seen: Set<String> = []
    while keys.count < kind.keys {
      let key = (0..<4).map { Topics.word($0, &numbers) }.joined(separator: ".")
      if !seen.insert(key).inserted { continue }
      keys.append(bytes.count..<(bytes.count + key.utf8.count))
      bytes += key.utf8
    }
    lane = try router.makeLane()
    (self.kind, self.exchange, self.scan, self.keys) = (kind, exchange, scan, keys)
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    _ = unsafe copy.initialize(from: bytes)
    unsafe self.bytes = UnsafeBufferPointer(copy)
  }

  deinit {
    unsafe found.deallocate()
    unsafe bytes.deallocate()
  }

  static func word(_ place: Int, _ numbers: inout Numbers) -> String {
    let (name, count) = [("eu", 20), ("orders", 50), ("event", 100), ("id", 200)][place]
    return "\(name)-\(numbers.below(count))"
  }

  private static func pattern(_ numbers: inout Numbers) -> String {
    let words = (0..<4).map { numbers.below(10) == 0 ? "*" : word($0, &numbers) }
    if numbers.below(100) == 0 { return "#." + words[3] }
    if numbers.below(10) == 0 { return words.prefix(2 + numbers.below(2)).joined(separator: ".") + ".#" }
    return words.joined(separator: ".")
  }

  /// The sum of the queues' numbers over so many routes.
  mutating func route(_ count: Int) throws -> Int {
    var sum = 0
    for _ in 0..<count {
      sum &+= try routed(keys[next])
      advance()
    }
    return sum
  }

  private mutating func advance() { next = next + 1 == keys.count ? 0 : next + 1 }

  private mutating func routed(_ range: Range<Int>) throws -> Int {
    var span = unsafe MutableSpan(_unsafeElements: found)
    let key = unsafe Span(_unsafeElements: UnsafeBufferPointer(rebasing: bytes[range]))
    let outcome = try lane.route(exchange, key: key, headers: Span(), into: &span)
    count = 0
    guard case .queues(let count) = outcome else { return 0 }
    self.count = count
    var sum = 0
    for index in 0..<count { sum &+= unsafe Int(found[index]) }
    return sum
  }

  /// Both in turns, with the same keys; they must come to the same.
  mutating func measure(seconds: Double) throws -> String {
    let (many, few) = (20_000, 100)
    _ = try route(kind == .cold ? many : 4 * kind.keys)
    let end = millrace_monotonic() + UInt64(seconds * 1e9)
    var (routes, scans, routing, scanning) = (0, 0, 0 as UInt64, 0 as UInt64)
    let walked = lane.walks
    var copies = 0
    repeat {
      for _ in 0..<few {
        guard try unsafe routed(keys[next]) == scan.sum(bytes, keys[next]) else { BrokerBenchmark.fail("the scan finds other queues", 1) }
        copies += count
        advance()
      }
      let begin = millrace_monotonic()
      _ = try route(many)
      let middle = millrace_monotonic()
      for index in 0..<few { _ = unsafe scan.sum(bytes, keys[(next + index) % keys.count]) }
      scanning += millrace_monotonic() - middle
      routing += middle - begin
      routes += many
      scans += few
    } while millrace_monotonic() < end
    let isCold = lane.walks - walked == routes + routes / many * few
    guard isCold == (kind == .cold), isCold || lane.walks == walked else {
      BrokerBenchmark.fail("\(lane.walks - walked) of \(routes) routes were not \(kind)", 1)
    }
    let perSecond = Double(routes) / Double(routing) * 1e9
    let scanned = Double(scans) / Double(scanning) * 1e9
    let queues = Double(copies * 10 / scans) / 10
    let ratio = Int(perSecond / scanned)
    return
      "{\"program\":\"millrace\",\"work\":\"topic-\(kind)\",\"bindings\":\(Topics.bindings),\"queues_of_a_message\":\(queues),\"per_second\":\(Int(perSecond)),\"scan_per_second\":\(Int(scanned)),\"ratio\":\(ratio),\"goal\":\(kind.goal)}"
  }
}

/// Numbers from a seed. Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
struct Numbers {
  var state: UInt64

  mutating func below(_ bound: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((z ^ (z >> 31)) % UInt64(bound))
  }
}
