import CMillrace
import MillraceBroker

/// Bindings made one by one, each published before the next, then taken away.
struct Binds {
  private let bindings: [Binding]

  init(_ count: Int) throws {
    let topic = try BrokerName("topic")
    let queue = try BindingTarget.queue(BrokerName("queue"))
    var numbers = Numbers(state: 42)
    var seen: Set<String> = []
    while seen.count < count { seen.insert((0..<4).map { Topics.word($0, &numbers) }.joined(separator: ".")) }
    bindings = seen.sorted().map { Binding(topic, to: queue, key: $0) }
  }

  func measure() throws -> String {
    let router = try Router(seed: 1)
    try router.declare(BrokerName("topic"), .topic)
    try router.add(queue: BrokerName("queue"), number: 0)
    let begin = millrace_monotonic()
    for binding in bindings { try router.bind(binding) }
    let middle = millrace_monotonic()
    let bytes = router.tableBytes / bindings.count
    for binding in bindings { try router.unbind(binding) }
    let end = millrace_monotonic()
    func perSecond(_ nanoseconds: UInt64) -> Int { Int(Double(bindings.count) / Double(nanoseconds) * 1e9) }
    return
      "{\"program\":\"millrace\",\"work\":\"bind-\(bindings.count)\",\"per_second\":\(perSecond(middle - begin)),\"unbound_per_second\":\(perSecond(end - middle)),\"table_bytes_of_a_binding\":\(bytes)}"
  }
}
