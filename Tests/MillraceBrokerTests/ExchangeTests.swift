import MillraceBroker
import Testing

@Suite struct ExchangeTests {
  @Test("direct by equal keys, fanout always, the default exchange by the queue's name") func kinds() throws {
    var broker = try RoutingBed()
    let direct = try broker.router.declare(name("d"), .direct)
    let fanout = try broker.router.declare(name("f"), .fanout)
    try broker.bind("d", ["a", "b", ""])
    for number in [5, 2, 4] { try broker.router.bind(Binding("f", .queue(name("q\(number)")), "ignored")) }
    #expect(try broker.lane.route(direct, "a") == [0])
    #expect(try broker.lane.route(direct, "") == [2])
    #expect(try broker.lane.route(direct, "a.b") == [])
    #expect(try broker.lane.route(fanout, "whatever") == [2, 4, 5])
    #expect(try broker.lane.route(.default, "q7") == [7])
    #expect(try broker.lane.route(.default, "q8") == [])
    #expect(try broker.lane.route(.default, "") == [])
    broker.router.remove(queue: name("q7"))
    #expect(try broker.lane.route(.default, "q7") == [])
    #expect(broker.router.counts.routed == 4 && broker.router.counts.unroutable == 4)
  }

  @Test("a fanout tells bindings apart by key and arguments, and sends once until the last is gone") func repeated() throws {
    var broker = try RoutingBed()
    let fanout = try broker.router.declare(name("f"), .fanout)
    let bindings = try [
      Binding("f", .queue(name("q0")), "a"), Binding("f", .queue(name("q0")), "b"),
      Binding("f", .queue(name("q0")), "a", Headers([("n", .integer(1))])),
    ]
    for binding in bindings { #expect(try broker.router.bind(binding)) }
    #expect(broker.router.bindingCount == 3)
    #expect(try Set(broker.router.bindings(from: name("f"))) == Set(bindings))
    for binding in bindings {
      #expect(try broker.lane.route(fanout, "") == [0])
      #expect(try broker.router.unbind(binding))
    }
    #expect(try broker.lane.route(fanout, "") == [])
  }

  @Test("from exchange to exchange, in circles too: each queue once") func circles() throws {
    var broker = try RoutingBed()
    let a = try broker.router.declare(name("a"), .fanout)
    let b = try broker.router.declare(name("b"), .topic)
    try broker.router.declare(name("c"), .direct)
    for (source, target, key) in [("a", "b", ""), ("b", "c", "x.#"), ("c", "a", "x.y"), ("a", "a", ""), ("b", "a", "#")] {
      try broker.router.bind(Binding(source, .exchange(name(target)), key))
    }
    try broker.router.bind(Binding("a", .queue(name("q0"))))
    try broker.router.bind(Binding("b", .queue(name("q0")), "x.*"))
    try broker.router.bind(Binding("b", .queue(name("q1")), "x.*"))
    try broker.router.bind(Binding("c", .queue(name("q2")), "x.y"))
    #expect(try broker.lane.route(a, "x.y") == [0, 1, 2])
    #expect(try broker.lane.route(b, "x.z") == [0, 1])
    try broker.router.delete(exchange: name("b"))
    #expect(try broker.lane.route(a, "x.y") == [0])
    #expect(throws: RouteRefusal.noExchange) { try broker.lane.route(b, "x.y") }
  }

  @Test("an alternate exchange takes what none of the bindings matches, and has one of its own; circles end") func alternates() throws {
    var broker = try RoutingBed()
    var options = ExchangeOptions()
    options.alternate = name("second")
    let first = try broker.router.declare(name("first"), .direct, options)
    try broker.router.bind(Binding("first", .queue(name("q0")), "a"))
    #expect(try broker.lane.route(first, "b") == [], "the alternate exchange is not there yet")
    options.alternate = name("third")
    try broker.router.declare(name("second"), .direct, options)
    try broker.router.bind(Binding("second", .queue(name("q1")), "b"))
    options.alternate = name("first")
    try broker.router.declare(name("third"), .direct, options)
    try broker.router.bind(Binding("third", .queue(name("q2")), "c"))
    #expect(try broker.lane.route(first, "a") == [0])
    #expect(try broker.lane.route(first, "b") == [1])
    #expect(try broker.lane.route(first, "c") == [2])
    #expect(try broker.lane.route(first, "d") == [])
    // A match that leads nowhere is a match.
    try broker.router.declare(name("empty"), .fanout)
    try broker.router.bind(Binding("first", .exchange(name("empty")), "b"))
    #expect(try broker.lane.route(first, "b") == [])
    try broker.router.delete(exchange: name("empty"))
    #expect(try broker.lane.route(first, "b") == [1])
    try broker.router.delete(exchange: name("second"))
    #expect(try broker.lane.route(first, "b") == [])
    options.alternate = name("third")
    try broker.router.declare(name("second"), .direct, options)
    #expect(try broker.lane.route(first, "c") == [2], "it is found again by its name")
    options.alternate = name("self")
    let own = try broker.router.declare(name("self"), .direct, options)
    #expect(try broker.lane.route(own, "d") == [])
  }

  @Test("declared again in the same way it is the same; any difference is named") func declarations() throws {
    let broker = try RoutingBed()
    var options = ExchangeOptions()
    let id = try broker.router.declare(name("e"), .topic, options)
    #expect(try broker.router.declare(name("e"), .topic, options) == id)
    #expect(broker.router.exchange(named: name("e")) == id)
    let error = #expect(throws: RoutingError.self) { try broker.router.declare(name("e"), .direct, options) }
    #expect(error?.description == "exchange 'e' exists with kind topic, not direct: declare it as it is, or delete it first")
    for (attribute, change) in [
      ("isDurable", { $0.isDurable = true }), ("autoDeletes", { $0.autoDeletes = true }), ("isInternal", { $0.isInternal = true }),
      ("alternate", { $0.alternate = name("x") }),
    ] as [(String, (inout ExchangeOptions) -> Void)] {
      options = ExchangeOptions()
      change(&options)
      let error = #expect(throws: RoutingError.self) { try broker.router.declare(name("e"), .topic, options) }
      guard case .different(_, attribute, _, _)? = error else {
        Issue.record("\(error as Any)")
        continue
      }
    }
    #expect(try broker.router.delete(exchange: name("e")) && !broker.router.delete(exchange: name("e")))
    #expect(try broker.router.declare(name("e"), .direct) != id)
  }

  @Test("an exchange in use stays if it may only go unused; what it was bound to does not count") func unused() throws {
    let broker = try RoutingBed()
    for text in ["a", "b"] { try broker.router.declare(name(text), .fanout) }
    try broker.router.bind(Binding("a", .exchange(name("b"))))
    #expect(throws: RoutingError.inUse(name("a"))) { try broker.router.delete(exchange: name("a"), ifUnused: true) }
    #expect(try broker.router.delete(exchange: name("b"), ifUnused: true))
    #expect(broker.router.bindingCount == 0)
    #expect(try broker.router.delete(exchange: name("a"), ifUnused: true))
  }

  @Test("an exchange that deletes itself goes with its last binding, and takes others along") func autoDelete() throws {
    let broker = try RoutingBed()
    var options = ExchangeOptions()
    options.autoDeletes = true
    for text in ["a", "b", "c"] { try broker.router.declare(name(text), .fanout, options) }
    try broker.router.bind(Binding("a", .exchange(name("b"))))
    try broker.router.bind(Binding("b", .exchange(name("c"))))
    try broker.router.bind(Binding("c", .queue(name("q0"))))
    try broker.router.bind(Binding("c", .queue(name("q1"))))
    #expect(broker.router.remove(queue: name("q1")))
    #expect(broker.router.exchange(named: name("c")) != nil)
    #expect(try broker.router.unbind(Binding("c", .queue(name("q0")))))
    for text in ["a", "b", "c"] { #expect(broker.router.exchange(named: name(text)) == nil) }
    #expect(broker.router.bindingCount == 0)
    // In a circle, by a queue that goes.
    for text in ["a", "b"] { try broker.router.declare(name(text), .fanout, options) }
    try broker.router.bind(Binding("a", .exchange(name("b"))))
    try broker.router.bind(Binding("b", .exchange(name("b"))))
    try broker.router.bind(Binding("b", .queue(name("q0"))))
    broker.router.remove(queue: name("q0"))
    #expect(broker.router.exchange(named: name("b")) != nil)
    #expect(try broker.router.delete(exchange: name("b")))
    #expect(broker.router.exchange(named: name("a")) == nil)
  }

  @Test("an internal exchange takes messages from others only") func isInternal() throws {
    var broker = try RoutingBed()
    var options = ExchangeOptions()
    options.isInternal = true
    let inner = try broker.router.declare(name("inner"), .fanout, options)
    let outer = try broker.router.declare(name("outer"), .fanout)
    try broker.router.bind(Binding("outer", .exchange(name("inner"))))
    try broker.router.bind(Binding("inner", .queue(name("q3"))))
    #expect(throws: RouteRefusal.isInternal) { try broker.lane.route(inner, "") }
    #expect(try broker.lane.route(outer, "") == [3])
  }

  @Test("what is not there cannot be bound") func missing() throws {
    let broker = try RoutingBed()
    try broker.router.declare(name("e"), .direct)
    #expect(throws: RoutingError.noExchange(name("no"))) { try broker.router.bind(Binding("no", .queue(name("q0")))) }
    #expect(throws: RoutingError.noQueue(name("no"))) { try broker.router.bind(Binding("e", .queue(name("no")))) }
    #expect(throws: RoutingError.noExchange(name("no"))) { try broker.router.bind(Binding("e", .exchange(name("no")))) }
    #expect(throws: RoutingError.noExchange(name("no"))) { try broker.router.unbind(Binding("no", .queue(name("q0")))) }
    #expect(try !broker.router.unbind(Binding("e", .queue(name("q0")))))
    #expect(!broker.router.remove(queue: name("no")))
  }

  @Test("names: 1 to 128 of the allowed bytes, and not the system's") func names() throws {
    for text in ["a", "A.b_c-9", String(repeating: "n", count: 128), "millrace"] { #expect(try BrokerName(text).description == text) }
    for text in ["", "a b", "ä", "a/b", String(repeating: "n", count: 129), "millrace.x", "a\0"] {
      let error = #expect(throws: RoutingError.self) { try BrokerName(text) }
      #expect(error?.description.contains("cannot name an exchange or a queue: ") == true)
    }
    #expect(try BrokerName(system: "millrace.dead").description == "millrace.dead")
  }

  @Test("capacities are refusals that name them; what goes makes room") func capacities() throws {
    var limits = RoutingLimits()
    limits.exchanges = 3
    limits.queues = 2
    limits.bindings = 2
    limits.lanes = 1
    limits.argumentBytes = 20
    let broker = try RoutingBed(queues: 2, limits)
    let router = broker.router
    #expect(throws: RoutingError.full("lanes", limit: 1)) { _ = try router.makeLane() }
    for text in ["a", "b"] { try router.declare(name(text), .topic) }
    #expect(throws: RoutingError.full("exchanges", limit: 3)) { try router.declare(name("c"), .topic) }
    #expect(throws: RoutingError.queueNumber(2)) { try router.add(queue: name("q2"), number: 2) }
    #expect(throws: RoutingError.queueNumber(1)) { try router.add(queue: name("q2"), number: 1) }
    #expect(throws: RoutingError.queueExists(name("q1"))) { try router.add(queue: name("q1"), number: 0) }
    try broker.bind("a", ["x", "y"])
    #expect(throws: RoutingError.full("bindings", limit: 2)) { try router.bind(Binding("b", .queue(name("q0")), "z")) }
    #expect(try !router.bind(Binding("a", .queue(name("q0")), "x")))
    try router.unbind(Binding("a", .queue(name("q0")), "x"))
    let long = try Headers([("n", .text(String(repeating: "v", count: 20)))])
    #expect(throws: RoutingError.full("argumentBytes", limit: 20)) { try router.bind(Binding("b", .queue(name("q0")), "z", long)) }
    #expect(try router.bind(Binding("b", .queue(name("q0")), "z")))
    try router.delete(exchange: name("a"))
    #expect(router.bindingCount == 1)
    try router.declare(name("c"), .topic)
  }

  @Test("a buffer that is too small says how many queues there are; the message counts when it is routed") func buffer() throws {
    var broker = try RoutingBed()
    let fanout = try broker.router.declare(name("f"), .fanout)
    for number in 0..<3 { try broker.router.bind(Binding("f", .queue(name("q\(number)")))) }
    var queues: [UInt32] = [9, 9]
    // Twice: as it is found, and as it is remembered.
    for _ in 0..<2 {
      #expect(throws: RouteRefusal.buffer(needed: 3)) { try broker.lane.outcome(fanout, [], [], &queues) }
      #expect(queues == [0, 1])
    }
    #expect(broker.router.counts.routed == 0)
    #expect(try broker.lane.route(fanout, "") == [0, 1, 2])
    #expect(broker.router.counts.routed == 1)
  }
}
