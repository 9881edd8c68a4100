#if AMQP
  import MillraceBroker
  import Testing

  extension WireValue {
    /// What it is to a router.
    var header: HeaderValue {
      switch self {
      case .void: .void
      case .boolean(let value): .boolean(value)
      case .int8(let value): .integer(Int64(value))
      case .uint8(let value): .integer(Int64(value))
      case .int16(let value): .integer(Int64(value))
      case .uint16(let value): .integer(Int64(value))
      case .int32(let value): .integer(Int64(value))
      case .uint32(let value): .integer(Int64(value))
      case .int64(let value): .integer(value)
      case .float(let value): .real(Double(value))
      case .double(let value): .real(value)
      case .decimal(let scale, let value): .decimal(scale: scale, value: value)
      case .timestamp(let value): .unsigned(value)
      case .text(let value): .text(value)
      case .bytes(let value): .bytes(value)
      case .nested: .nested
      }
    }
  }

  /// The same exchanges, bindings and messages here and in a real RabbitMQ: each message must lie in the same queues, and come back from there if it lies in none here.
  @Suite(.needsRabbitMQ, .serialized) struct RabbitMQTests {
    /// A binding, in words of both.
    struct Bound: Hashable {
      let binding: Binding
      let arguments: Int
    }

    struct Pair {
      let router: Router
      let client: RabbitMQClient
      var kinds: [(name: String, kind: ExchangeKind)] = []
      var queues: [String] = []
      var bound: [Bound] = []
      var seen: Set<Binding> = []
      var arguments: [[(String, WireValue)]] = []
      var published = 0

      static let words = ["a", "b", "c", "d", "e", "f", "", "*", "*", "#"]

      mutating func key(_ kind: ExchangeKind, _ numbers: inout SeededNumbers, isPattern: Bool) -> String {
        let range = kind == .topic ? (isPattern ? 10 : 7) : 6
        let count = kind == .topic ? Int.random(in: 0..<6, using: &numbers) : Int.random(in: 1..<3, using: &numbers)
        var words = (0..<count).map { _ in Pair.words[Int.random(in: 0..<range, using: &numbers)] }
        if !isPattern, kind == .topic, Int.random(in: 0..<50, using: &numbers) == 0 {
          words.append(["*", "#"].randomElement(using: &numbers)!)
        }
        // A word that no pattern has.
        if !isPattern, Int.random(in: 0..<3, using: &numbers) == 0 { words.append("z") }
        return words.joined(separator: ".")
      }

      static func values(_ numbers: inout SeededNumbers, isFilter: Bool) -> WireValue {
        let one: [WireValue] = [
          .int8(1), .uint8(1), .int16(1), .uint16(1), .int32(1), .uint32(1), .int64(1), .float(1), .double(1), .timestamp(1),
        ]
        let others: [WireValue] = [
          .void, .boolean(true), .boolean(false), .int32(2), .int64(.min), .double(1.5), .float(1.5), .decimal(1, 10), .decimal(0, 1),
          .text("a"), .text("1"),
          .bytes([97]), .timestamp(2),
        ]
        if Int.random(in: 0..<3, using: &numbers) == 0 { return one.randomElement(using: &numbers)! }
        if !isFilter, Int.random(in: 0..<12, using: &numbers) == 0 { return .nested }
        return others.randomElement(using: &numbers)!
      }

      static func fields(_ numbers: inout SeededNumbers, isFilter: Bool) -> [(String, WireValue)] {
        var fields: [(String, WireValue)] = []
        for name in ["color", "size", "x-kind", "colo"] where Int.random(in: 0..<(isFilter ? 3 : 2), using: &numbers) == 0 {
          fields.append((name, values(&numbers, isFilter: isFilter)))
        }
        if isFilter, Int.random(in: 0..<5, using: &numbers) != 0 {
          fields.append(("x-match", .text(["all", "any", "all-with-x", "any-with-x"].randomElement(using: &numbers)!)))
        }
        return fields.shuffled(using: &numbers)
      }

      mutating func declare(_ numbers: inout SeededNumbers, exchanges: Int, queues count: UInt32) throws {
        for number in 0..<count {
          let queue = "q\(number)"
          queues.append(queue)
          try client.declare(queue: queue)
          try router.add(queue: name(queue), number: number)
        }
        let mix: [ExchangeKind] = [.topic, .topic, .topic, .headers, .headers, .direct, .fanout]
        for number in 0..<exchanges {
          let kind = mix[number % mix.count]
          let exchange = "e\(number)"
          kinds.append((exchange, kind))
          var options = ExchangeOptions()
          if Int.random(in: 0..<3, using: &numbers) == 0 {
            options.alternate = name("e\(Int.random(in: 0..<(exchanges + 5), using: &numbers))")
          }
          options.autoDeletes = Int.random(in: 0..<5, using: &numbers) == 0
          try router.declare(name(exchange), kind, options)
          try client.declare(exchange: exchange, "\(kind)", autoDelete: options.autoDeletes, alternate: options.alternate?.description)
        }
      }

      mutating func bind(_ numbers: inout SeededNumbers) throws {
        let (source, kind) = kinds.randomElement(using: &numbers)!
        // A fanout to everywhere would hide what the others do.
        if kind == .fanout, Int.random(in: 0..<8, using: &numbers) != 0 { return }
        let key = key(kind, &numbers, isPattern: true)
        let fields = kind == .headers || Int.random(in: 0..<20, using: &numbers) == 0 ? Pair.fields(&numbers, isFilter: true) : []
        let headers = try Headers(fields.map { ($0.0, $0.1.header) })
        let isQueue = Int.random(in: 0..<25, using: &numbers) != 0
        let target = isQueue ? queues.randomElement(using: &numbers)! : kinds.randomElement(using: &numbers)!.name
        let binding = Binding(name(source), to: isQueue ? .queue(name(target)) : .exchange(name(target)), key: key, arguments: headers)
        // RabbitMQ tells arguments of the same value but another type apart, which are one binding here.
        guard seen.insert(binding).inserted else { return }
        #expect(try router.bind(binding))
        if isQueue {
          try client.bind(queue: target, to: source, key, fields)
        } else {
          try client.bind(exchange: target, to: source, key, fields)
        }
        arguments.append(fields)
        bound.append(Bound(binding: binding, arguments: arguments.count - 1))
      }

      mutating func unbind(_ numbers: inout SeededNumbers) throws {
        bound.swapAt(Int.random(in: bound.indices, using: &numbers), bound.count - 1)
        let gone = bound.removeLast()
        guard router.exchange(named: gone.binding.source) != nil else { return }
        let source = gone.binding.source.description
        let key = String(decoding: gone.binding.key, as: UTF8.self)
        switch gone.binding.target {
        case .queue(let queue):
          try client.unbind(queue: queue.description, from: source, key, arguments[gone.arguments])
          try router.unbind(gone.binding)
        case .exchange(let exchange):
          guard router.exchange(named: exchange) != nil else { return }
          try client.unbind(exchange: exchange.description, from: source, key, arguments[gone.arguments])
          try router.unbind(gone.binding)
        }
        forgetDeleted()
      }

      /// Exchanges that have gone with their last binding.
      mutating func forgetDeleted() { kinds.removeAll { router.exchange(named: name($0.name)) == nil } }

      /// Publishes on both sides and compares. Returns how many messages went where.
      mutating func compare(_ count: Int, _ numbers: inout SeededNumbers) throws -> (copies: Int, unroutable: Int) {
        var lane = try router.makeLane()
        var here: [String: [Int]] = [:]
        var unroutable: Set<Int> = []
        let first = published
        for _ in 0..<count {
          var (exchange, kind) = kinds.randomElement(using: &numbers)!
          var key = key(kind, &numbers, isPattern: false)
          let fields = Int.random(in: 0..<4, using: &numbers) == 0 && kind != .headers ? [] : Pair.fields(&numbers, isFilter: false)
          if Int.random(in: 0..<50, using: &numbers) == 0 {
            exchange = ""
            key = "q\(Int.random(in: 0..<60, using: &numbers))"
            kind = .direct
          }
          let id = exchange.isEmpty ? ExchangeID.default : router.exchange(named: name(exchange))!
          let found = try lane.route(id, key, Headers(fields.map { ($0.0, $0.1.header) }))
          for queue in found { here["q\(queue)", default: []].append(published) }
          if found.isEmpty { unroutable.insert(published) }
          try client.publish(published, to: exchange, key, fields)
          published += 1
          if published % 500 == 0 { try client.confirm() }
        }
        try client.confirm()
        let there = try client.drain(queues)
        for queue in queues {
          let (ours, theirs) = (here[queue] ?? [], there[queue] ?? [])
          #expect(
            ours == theirs, "\(queue): messages only here \(Set(ours).subtracting(theirs)), only there \(Set(theirs).subtracting(ours))")
        }
        #expect(client.returned.filter { $0 >= first } == unroutable)
        return (here.values.reduce(0) { $0 + $1.count }, unroutable.count)
      }
    }

    @Test("10,000 random bindings and 10,000 messages reach the same queues as in RabbitMQ, while bindings, queues and exchanges go")
    func random() throws {
      var numbers = SeededNumbers(2026)
      var pair = Pair(router: try Router(seed: 5), client: try RabbitMQClient(port: RabbitMQServer.shared.get().port))
      try pair.declare(&numbers, exchanges: 140, queues: 40)
      while pair.bound.count < 10_000 { try pair.bind(&numbers) }
      var (copies, unroutable) = try pair.compare(4_000, &numbers)
      #expect(copies > 4_000 && unroutable > 200, "the comparison is worth something: \(copies) copies, \(unroutable) unroutable")
      for _ in 0..<1_500 { try pair.unbind(&numbers) }
      (copies, unroutable) = try pair.compare(3_000, &numbers)
      #expect(copies > 3_000 && unroutable > 150)
      for number in 20..<30 {
        try pair.client.delete(queue: "q\(number)")
        pair.router.remove(queue: name("q\(number)"))
      }
      pair.queues.removeAll { pair.router.queue(named: name($0)) == nil }
      pair.forgetDeleted()
      for (exchange, _) in pair.kinds.shuffled(using: &numbers).prefix(40) where pair.router.exchange(named: name(exchange)) != nil {
        try pair.client.delete(exchange: exchange)
        try pair.router.delete(exchange: name(exchange))
      }
      pair.forgetDeleted()
      (copies, unroutable) = try pair.compare(3_000, &numbers)
      #expect(copies > 1_000 && unroutable > 150)
    }

    @Test("exchanges that delete themselves go there when they go here") func autoDelete() throws {
      let client = try RabbitMQClient(port: RabbitMQServer.shared.get().port)
      let router = try Router(seed: 5)
      var options = ExchangeOptions()
      options.autoDeletes = true
      for exchange in ["a", "b", "c", "d"] {
        try client.declare(exchange: exchange, "fanout", autoDelete: true, alternate: nil)
        try router.declare(name(exchange), .fanout, options)
      }
      try client.declare(queue: "q")
      try router.add(queue: name("q"), number: 0)
      func compare() {
        for exchange in ["a", "b", "c", "d"] {
          #expect(client.exists(exchange: exchange) == (router.exchange(named: name(exchange)) != nil))
        }
      }
      for (source, target) in [("a", "b"), ("b", "c"), ("d", "d"), ("d", "b")] {
        try client.bind(exchange: target, to: source, "", [])
        try router.bind(Binding(source, .exchange(name(target))))
      }
      try client.bind(queue: "q", to: "c", "", [])
      try router.bind(Binding("c", .queue(name("q"))))
      compare()
      try client.unbind(exchange: "b", from: "d", "", [])
      try router.unbind(Binding("d", .exchange(name("b"))))
      compare()
      try client.delete(queue: "q")
      router.remove(queue: name("q"))
      compare()
      #expect(router.exchange(named: name("a")) == nil && router.exchange(named: name("d")) != nil)
    }
  }
#endif
