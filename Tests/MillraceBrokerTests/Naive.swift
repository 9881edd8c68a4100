import MillraceBroker
import Testing

/// What routing means, written again and as plainly as can be: patterns by recursion over words, exchanges by a list of bindings.
struct Naive {
  struct Exchange {
    var kind: ExchangeKind
    var options = ExchangeOptions()
  }

  var exchanges: [BrokerName: Exchange] = [:]
  var queues: [BrokerName: UInt32] = [:]
  var bindings: Set<Binding> = []

  mutating func remove(queue name: BrokerName) {
    queues[name] = nil
    drop { $0.target == .queue(name) }
  }

  mutating func remove(exchange name: BrokerName) {
    if exchanges.removeValue(forKey: name) == nil { return }
    drop { $0.source == name || $0.target == .exchange(name) }
  }

  mutating func unbind(_ binding: Binding) { drop { $0 == binding } }

  private mutating func drop(_ isGone: (Binding) -> Bool) {
    let gone = bindings.filter(isGone)
    bindings.subtract(gone)
    for source in Set(gone.map(\.source)) where exchanges[source]?.options.autoDeletes == true {
      if !bindings.contains(where: { $0.source == source }) { remove(exchange: source) }
    }
  }

  /// Queues that a message goes to.
  func route(_ exchange: BrokerName, _ key: [UInt8], _ headers: [String: HeaderValue] = [:]) -> Set<UInt32> {
    var seen: Set<BrokerName> = []
    var left = [exchange]
    var found: Set<UInt32> = []
    while let name = left.popLast() {
      guard seen.insert(name).inserted, let exchange = exchanges[name] else { continue }
      let matching = bindings.filter { $0.source == name && Naive.matches(exchange.kind, $0, key, headers) }
      for binding in matching {
        switch binding.target {
        case .queue(let queue): found.insert(queues[queue]!)
        case .exchange(let next): left.append(next)
        }
      }
      if matching.isEmpty, let alternate = exchange.options.alternate { left.append(alternate) }
    }
    return found
  }

  static func matches(_ kind: ExchangeKind, _ binding: Binding, _ key: [UInt8], _ headers: [String: HeaderValue]) -> Bool {
    switch kind {
    case .direct: return binding.key == key
    case .fanout: return true
    case .topic: return matches(words(binding.key, "."), words(key, "."), one: "*")
    case .mqtt:
      let text = String(decoding: key, as: UTF8.self)
      let filter = words(binding.key, "/")
      if key.isEmpty || text.contains("+") || text.contains("#") || text.contains("\0") { return false }
      if text.hasPrefix("$"), filter[0] == "+" || filter[0] == "#" { return false }
      return matches(filter, words(key, "/"), one: "+")
    case .headers: return matches(binding.arguments, headers)
    }
  }

  private static func words(_ key: [UInt8], _ separator: Character) -> [String] {
    key.isEmpty ? [] : String(decoding: key, as: UTF8.self).split(separator: separator, omittingEmptySubsequences: false).map(String.init)
  }

  static func matches(_ pattern: [String], _ words: [String], one: String) -> Bool {
    guard let first = pattern.first else { return words.isEmpty }
    let rest = Array(pattern.dropFirst())
    if first == "#" { return (0...words.count).contains { matches(rest, Array(words.dropFirst($0)), one: one) } }
    guard let word = words.first else { return false }
    return (first == one || first == word) && matches(rest, Array(words.dropFirst()), one: one)
  }

  /// Arguments by name, as the tests make them: see `Arguments`.
  private static func matches(_ arguments: Headers, _ headers: [String: HeaderValue]) -> Bool {
    let wanted = Arguments.known(arguments)
    var mode = "all"
    if case .text(let text)? = wanted["x-match"] { mode = text }
    let compared = wanted.filter { $0.key != "x-match" && (mode.hasSuffix("-with-x") || !$0.key.hasPrefix("x-")) }
    let equal = compared.filter { name, value in headers[name].map { value == .void || equals(value, $0) } ?? false }
    return mode.hasPrefix("any") ? !equal.isEmpty : equal.count == compared.count
  }

  private static func equals(_ a: HeaderValue, _ b: HeaderValue) -> Bool {
    switch (a, b) {
    case (.nested, _), (_, .nested): false
    case (.integer(let a), .real(let b)), (.real(let b), .integer(let a)): Double(exactly: a) == b
    case (.integer(let a), .unsigned(let b)), (.unsigned(let b), .integer(let a)): UInt64(exactly: a) == b
    case (.unsigned(let a), .real(let b)), (.real(let b), .unsigned(let a)): Double(exactly: a) == b
    case (.text(let a), .bytes(let b)), (.bytes(let b), .text(let a)): Array(a.utf8) == b
    default: a == b
    }
  }
}

/// Arguments, and what they were made from.
enum Arguments {
  private static let all: [[String: HeaderValue]] = {
    let values: [HeaderValue] = [
      .void, .integer(1), .real(1), .real(1.5), .boolean(true), .text("a"), .bytes([97]), .unsigned(1), .decimal(scale: 1, value: 10),
    ]
    var numbers = SeededNumbers(7)
    return (0..<400).map { number in
      var fields: [String: HeaderValue] = [:]
      for name in ["color", "size", "x-kind", "weight", "colo"] where Int.random(in: 0..<2, using: &numbers) == 0 {
        fields[name] = values.randomElement(using: &numbers)
      }
      switch number % 5 {
      case 0: break
      case 1: fields["x-match"] = .text("all")
      case 2: fields["x-match"] = .text("any")
      case 3: fields["x-match"] = .text("all-with-x")
      default: fields["x-match"] = .text("any-with-x")
      }
      return fields
    }
  }()
  private static let encoded: [Headers] = all.map { fields in try! Headers(fields.map { ($0.key, $0.value) }) }
  private static let fields = Dictionary(zip(encoded, all), uniquingKeysWith: { first, _ in first })

  static func random(_ numbers: inout SeededNumbers) -> Headers { encoded.randomElement(using: &numbers)! }
  static func known(_ arguments: Headers) -> [String: HeaderValue] { fields[arguments] ?? [:] }
  static func message(_ numbers: inout SeededNumbers) -> (fields: [String: HeaderValue], headers: Headers) {
    let index = all.indices.randomElement(using: &numbers)!
    let fields = all[index].filter { $0.value != .void || index % 2 == 0 }
    return (fields, try! Headers(fields.map { ($0.key, $0.value) }))
  }
}

/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

extension RoutingLane {
  /// As tests like it: all queues in a list.
  mutating func route(_ exchange: ExchangeID, _ key: [UInt8], _ headers: Headers = Headers()) throws(RouteRefusal) -> [UInt32] {
    var numbers = [UInt32](repeating: .max, count: 4_096)
    switch try outcome(exchange, key, headers.encoded, &numbers) {
    case .queues(let count): return Array(numbers.prefix(count))
    case .unroutable: return []
    }
  }

  mutating func outcome(
    _ exchange: ExchangeID, _ key: [UInt8], _ headers: [UInt8], _ queues: inout [UInt32]
  ) throws(RouteRefusal) -> RouteOutcome {
    var span = queues.mutableSpan
    return try route(exchange, key: key.span, headers: headers.span, into: &span)
  }

  mutating func route(_ exchange: ExchangeID, _ key: String, _ headers: Headers = Headers()) throws(RouteRefusal) -> [UInt32] {
    try route(exchange, Array(key.utf8), headers)
  }
}

func name(_ text: String) -> BrokerName { try! BrokerName(text) }

extension Binding {
  init(_ source: String, _ target: BindingTarget, _ key: String = "", _ arguments: Headers = Headers()) {
    self.init(name(source), to: target, key: key, arguments: arguments)
  }
}

/// A router with queues q0, q1, ... whose numbers those are.
struct RoutingBed: ~Copyable {
  let router: Router
  var lane: RoutingLane

  init(queues: UInt32 = 8, _ limits: RoutingLimits = RoutingLimits()) throws {
    let router = try Router(limits, seed: 1)
    for number in 0..<queues { try router.add(queue: name("q\(number)"), number: number) }
    lane = try router.makeLane()
    self.router = router
  }

  /// Binds one queue after the other, from q0 on, by these keys.
  func bind(_ source: String, _ keys: [String]) throws {
    for (number, key) in keys.enumerated() { #expect(try router.bind(Binding(source, .queue(name("q\(number)")), key))) }
  }
}
