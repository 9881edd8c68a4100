import MillraceBroker
import Testing

@Suite struct CacheTests {
  @Test("a key that comes again is not looked for again, until a binding changes") func warm() throws {
    var broker = try RoutingBed()
    let topic = try broker.router.declare(name("t"), .topic)
    try broker.bind("t", ["a.#", "*.b", "#"])
    for _ in 0..<10 { #expect(try broker.lane.route(topic, "a.b") == [0, 1, 2]) }
    for _ in 0..<10 { #expect(try broker.lane.route(topic, "") == [2]) }
    for _ in 0..<10 { #expect(try broker.lane.route(.default, "nobody") == []) }
    #expect(broker.lane.walks == 3)
    #expect(broker.router.counts.routed == 20 && broker.router.counts.unroutable == 10)
    try broker.router.unbind(Binding("t", .queue(name("q1")), "*.b"))
    #expect(try broker.lane.route(topic, "a.b") == [0, 2])
    #expect(broker.lane.walks == 4)
    // The same key of another exchange.
    let other = try broker.router.declare(name("o"), .topic)
    #expect(try broker.lane.route(other, "a.b") == [])
    #expect(try broker.lane.route(topic, "a.b") == [0, 2])
  }

  @Test("a deleted exchange is refused at once, though its routes were remembered") func deleted() throws {
    var broker = try RoutingBed()
    let topic = try broker.router.declare(name("t"), .topic)
    try broker.bind("t", ["a"])
    #expect(try broker.lane.route(topic, "a") == [0])
    try broker.router.delete(exchange: name("t"))
    #expect(throws: RouteRefusal.noExchange) { try broker.lane.route(topic, "a") }
    let again = try broker.router.declare(name("t"), .topic)
    #expect(try broker.lane.route(again, "a") == [])
    #expect(throws: RouteRefusal.noExchange) { try broker.lane.route(topic, "a") }
  }

  @Test("routes that depend on headers are not remembered by their key") func headers() throws {
    var broker = try RoutingBed()
    let all = try broker.router.declare(name("f"), .fanout)
    try broker.router.declare(name("h"), .headers)
    try broker.router.bind(Binding("f", .exchange(name("h"))))
    for number in 0..<2 { try broker.router.bind(Binding("h", .queue(name("q\(number)")), "", Headers([("n", .integer(Int64(number)))]))) }
    for number in [0, 1, 0] { #expect(try broker.lane.route(all, "k", Headers([("n", .integer(Int64(number)))])) == [UInt32(number)]) }
    #expect(try broker.lane.route(all, "k") == [])
  }

  @Test(
    "with room for few routes, for few bytes or for none, each answer is right",
    arguments: [(0, 1 << 20), (4, 1 << 20), (64, 2_048), (1_000, 512), (8_192, 0)])
  func small(routes: Int, bytes: Int) throws {
    var limits = RoutingLimits()
    limits.cachedRoutes = routes
    limits.cachedBytes = bytes
    var broker = try RoutingBed(queues: 64, limits)
    let topic = try broker.router.declare(name("t"), .topic)
    for number in 0..<64 { try broker.router.bind(Binding("t", .queue(name("q\(number)")), "k\(number % 16).#")) }
    var numbers = SeededNumbers(5)
    for round in 0..<20_000 {
      let first = Int.random(in: 0..<20, using: &numbers)
      let key = "k\(first)" + (round % 3 == 0 ? ".\(round)" : ".x\(Int.random(in: 0..<30, using: &numbers))")
      let expected = first < 16 ? (0..<4).map { UInt32(first + 16 * $0) } : []
      #expect(try broker.lane.route(topic, key) == expected)
    }
    if routes == 0 || bytes == 0 { #expect(broker.lane.walks == 20_000) } else { #expect(broker.lane.walks < 20_000) }
  }
}
