import Testing

@testable import MillraceBroker

/// The table beside the naive one: random changes, then random messages.
@Suite struct RandomTests {
  static let words = ["a", "b", "c", "ab", "", "$s", "*", "#", "+", "a"]

  static func key(_ separator: String, _ numbers: inout SeededNumbers, isPattern: Bool) -> String {
    let count = Int.random(in: 0..<6, using: &numbers)
    return (0..<count).map { _ in words[Int.random(in: 0..<(isPattern ? 10 : 6), using: &numbers)] }.joined(separator: separator)
  }

  /// A world of a few exchanges of each kind, and how it changes.
  struct World {
    var naive = Naive()
    let router: Router
    var ids: [BrokerName: ExchangeID] = [:]
    var free: [UInt32] = Array(0..<40)
    /// All that were added, perhaps gone since.
    private var bound: [Binding] = []
    let kinds: [ExchangeKind] = [.direct, .fanout, .topic, .topic, .topic, .headers, .mqtt]

    init(seed: UInt64, mask: UInt64 = .max) throws { router = try Router(RoutingLimits(), hash: KeyHash(seed: seed, mask: mask)) }

    /// One random change, in both.
    mutating func change(_ numbers: inout SeededNumbers) throws {
      switch Int.random(in: 0..<40, using: &numbers) {
      case 0: try declare(&numbers)
      case 1 where naive.exchanges.count > 8:
        let name = naive.exchanges.keys.sorted { $0.description < $1.description }.randomElement(using: &numbers)!
        naive.remove(exchange: name)
        #expect(try router.delete(exchange: name))
      case 2 where naive.queues.count > 10:
        let (name, number) = naive.queues.sorted { $0.value < $1.value }.randomElement(using: &numbers)!
        naive.remove(queue: name)
        free.append(number)
        #expect(router.remove(queue: name))
      case 3...5 where !free.isEmpty:
        let number = free.removeLast()
        let name = name("queue-\(number)")
        naive.queues[name] = number
        try router.add(queue: name, number: number)
      case 6...14:
        guard let binding = takeBinding(&numbers) else { return }
        naive.unbind(binding)
        #expect(try router.unbind(binding))
      default: try bind(&numbers)
      }
    }

    /// One that is there.
    private mutating func takeBinding(_ numbers: inout SeededNumbers) -> Binding? {
      while let index = bound.indices.randomElement(using: &numbers) {
        bound.swapAt(index, bound.count - 1)
        let binding = bound.removeLast()
        if naive.bindings.contains(binding) { return binding }
      }
      return nil
    }

    private mutating func declare(_ numbers: inout SeededNumbers) throws {
      let name = name("exchange-\(Int.random(in: 0..<20, using: &numbers))")
      if naive.exchanges[name] != nil { return }
      var options = ExchangeOptions()
      options.autoDeletes = Int.random(in: 0..<4, using: &numbers) == 0
      if Bool.random(using: &numbers) {
        options.alternate = MillraceBrokerTests.name("exchange-\(Int.random(in: 0..<20, using: &numbers))")
      }
      let kind = kinds.randomElement(using: &numbers)!
      naive.exchanges[name] = Naive.Exchange(kind: kind, options: options)
      ids[name] = try router.declare(name, kind, options)
    }

    private mutating func bind(_ numbers: inout SeededNumbers) throws {
      let sources = naive.exchanges.keys.sorted { $0.description < $1.description }
      guard let source = sources.randomElement(using: &numbers) else { return try declare(&numbers) }
      let queues = naive.queues.keys.sorted { $0.description < $1.description }
      let isQueue = Int.random(in: 0..<6, using: &numbers) != 0
      guard
        let target: BindingTarget = isQueue
          ? queues.randomElement(using: &numbers).map({ .queue($0) }) : .exchange(sources.randomElement(using: &numbers)!)
      else { return }
      let kind = naive.exchanges[source]!.kind
      let key = RandomTests.key(kind == .mqtt ? "/" : ".", &numbers, isPattern: true)
      let hasArguments = kind == .headers || Int.random(in: 0..<8, using: &numbers) == 0
      let binding = Binding(source, to: target, key: key, arguments: hasArguments ? Arguments.random(&numbers) : Headers())
      do {
        let isNew = naive.bindings.insert(binding).inserted
        if isNew { bound.append(binding) }
        #expect(try router.bind(binding) == isNew)
      } catch {
        #expect(kind == .mqtt, "\(error)")
        naive.bindings.remove(binding)
      }
    }

    func check(_ lane: inout RoutingLane, _ numbers: inout SeededNumbers) throws {
      for (name, exchange) in naive.exchanges.sorted(by: { $0.key.description < $1.key.description }) {
        let key = RandomTests.key(exchange.kind == .mqtt ? "/" : ".", &numbers, isPattern: false)
        let message = Arguments.message(&numbers)
        let expected = naive.route(name, Array(key.utf8), message.fields).sorted()
        // Twice: found, then perhaps remembered.
        for _ in 0..<2 {
          do {
            let found = try lane.route(ids[name]!, key, message.headers)
            #expect(found == expected, "\(name), \(exchange), '\(key)', \(message.fields)")
          } catch { #expect(exchange.kind == .mqtt && (key.isEmpty || key.contains { "+#".contains($0) })) }
        }
      }
    }
  }

  @Test("after any changes each message goes where the naive table sends it; all memory comes back", arguments: [UInt64.max, 7, 0])
  func changes(mask: UInt64) throws {
    var numbers = SeededNumbers(mask &+ 11)
    var world = try World(seed: 3, mask: mask)
    var lane = try world.router.makeLane()
    for _ in 0..<100 {
      for _ in 0..<20 { try world.change(&numbers) }
      #expect(world.router.bindingCount == world.naive.bindings.count)
      try world.check(&lane, &numbers)
    }
    for name in world.naive.exchanges.keys { try world.router.delete(exchange: name) }
    for name in world.naive.queues.keys { world.router.remove(queue: name) }
    #expect(world.router.bindingCount == 0)
    #expect(world.router.tableBytes == world.router.retiredBytes, "what is not there takes no memory")
  }

  @Test("10,000 patterns beside the naive matcher, while they come and while they go") func topics() throws {
    var numbers = SeededNumbers(17)
    let router = try Router(seed: 9)
    let exchange = try router.declare(name("t"), .topic)
    let queues = 512 as UInt32
    for number in 0..<queues { try router.add(queue: name("q\(number)"), number: number) }
    var lane = try router.makeLane()
    var patterns: [(pattern: [String], queue: UInt32)] = []
    var seen: Set<String> = []
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "*", "*", "#"]
    while patterns.count < 10_000 {
      let words = (0..<Int.random(in: 1..<8, using: &numbers)).map { _ in letters.randomElement(using: &numbers)! }
      let queue = UInt32.random(in: 0..<queues, using: &numbers)
      guard seen.insert(words.joined(separator: ".") + " \(queue)").inserted else { continue }
      patterns.append((words, queue))
    }
    func check(_ count: Int, _ patterns: ArraySlice<(pattern: [String], queue: UInt32)>) throws {
      for _ in 0..<count {
        let key = (0..<Int.random(in: 0..<7, using: &numbers)).map { _ in letters[Int.random(in: 0..<8, using: &numbers)] }
        let expected = Set(patterns.lazy.filter { Naive.matches($0.pattern, key, one: "*") }.map(\.queue)).sorted()
        #expect(try lane.route(exchange, key.joined(separator: ".")) == expected)
      }
    }
    for (index, (pattern, queue)) in patterns.enumerated() {
      #expect(try router.bind(Binding("t", .queue(name("q\(queue)")), pattern.joined(separator: "."))))
      if index % 1_000 == 999 { try check(10, patterns[...index]) }
    }
    for index in patterns.indices.reversed() {
      let (pattern, queue) = patterns[index]
      #expect(try router.unbind(Binding("t", .queue(name("q\(queue)")), pattern.joined(separator: "."))))
      if index % 1_000 == 0 { try check(10, patterns[..<index]) }
    }
    #expect(router.bindingCount == 0)
  }
}
