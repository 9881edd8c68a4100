import MillraceBroker
import Testing

@Suite struct TopicTests {
  /// Pattern, keys that it matches, keys that it does not.
  static let vectors: [(String, [String], [String])] = [
    ("", [""], ["a", ".", "#"]),
    ("#", ["", "a", "a.b", ".", "..", "a..b", "#", "*"], []),
    ("#.#", ["", "a", "a.b.c", "..."], []),
    ("#.#.#", ["", "a", "a.b"], []),
    ("*", ["a", "abc", "*", "#"], ["", "a.b", "."]),
    ("*.#", ["a", "a.b", "a.b.c", ".", "a."], [""]),
    ("#.*", ["a", "a.b", "a.b.c", "."], [""]),
    ("#.*.#", ["a", "a.b", "."], [""]),
    ("*.#.#", ["a", "a.b.c"], [""]),
    ("*.*", ["a.b", ".", "a.", ".b"], ["", "a", "a.b.c", ".."]),
    ("a", ["a"], ["", "b", "aa", "a.", ".a", "a.a"]),
    ("a.#", ["a", "a.b", "a.b.c", "a."], ["", "b", "ab", "b.a"]),
    ("#.a", ["a", "b.a", ".a", "c.b.a"], ["", "a.b", "a."]),
    ("#.b.#", ["b", "a.b", "b.a", "a.b.c", "x.y.b.z", "b.b"], ["", "a", "bb", "a.bb"]),
    ("a.#.b", ["a.b", "a.b.b", "a.x.y.b", "a..b"], ["a", "b", "a.b.c", "x.a.b"]),
    ("a.*.b", ["a..b", "a.x.b", "a.*.b"], ["a.b", "a.x.y.b", "a...b"]),
    ("a..b", ["a..b"], ["a.b", "a.x.b"]),
    (".", ["."], ["", "a", ".."]),
    ("#.a.#.a.#", ["a.a", "a.b.a", "x.a.y.a.z"], ["a", "a.b"]),
    ("*.a.#.*", ["x.a.y", "x.a.a.y"], ["x.a", "a.x.y", "a"]),
    ("a*", ["a*"], ["ab", "a"]),
    ("#a", ["#a"], ["a", "ba"]),
    ("**", ["**"], ["*", "a"]),
    ("lazy.#", ["lazy", "lazy.brown.fox"], ["lazyness", "quick.lazy"]),
    ("*.orange.*", ["quick.orange.rabbit"], ["orange", "quick.orange.male.rabbit"]),
  ]

  @Test("each pattern matches what it should, alone and beside all the others") func patterns() throws {
    for isAlone in [true, false] {
      var broker = try RoutingBed(queues: UInt32(Self.vectors.count))
      let exchange = try broker.router.declare(name("t"), .topic)
      if !isAlone { try broker.bind("t", Self.vectors.map(\.0)) }
      for (number, (pattern, yes, no)) in Self.vectors.enumerated() {
        let binding = Binding("t", .queue(name("q\(number)")), pattern)
        if isAlone { #expect(try broker.router.bind(binding)) }
        for key in yes { #expect(try broker.lane.route(exchange, key).contains(UInt32(number)), "'\(pattern)' matches '\(key)'") }
        for key in no { #expect(try !broker.lane.route(exchange, key).contains(UInt32(number)), "'\(pattern)' does not match '\(key)'") }
        if isAlone {
          #expect(try broker.router.unbind(binding))
          for key in yes { #expect(try broker.lane.route(exchange, key) == []) }
        }
      }
    }
  }

  @Test("a queue that several patterns lead to gets one copy; queues come in the order of their numbers") func once() throws {
    var broker = try RoutingBed(queues: 100)
    let exchange = try broker.router.declare(name("t"), .topic)
    for number in (0..<100 as Range<UInt32>).reversed() {
      for pattern in ["#", "*.#", "a.*", "a.b", "#.b"] { try broker.router.bind(Binding("t", .queue(name("q\(number)")), pattern)) }
    }
    #expect(try broker.lane.route(exchange, "a.b") == Array(0..<100))
    for number in 3..<100 { broker.router.remove(queue: name("q\(number)")) }
    #expect(try broker.lane.route(exchange, "a.b") == [0, 1, 2])
  }

  @Test("a pattern of nothing but wildcards, and one of as many words as there can be, cost no more than their words") func long() throws {
    var broker = try RoutingBed()
    let exchange = try broker.router.declare(name("t"), .topic)
    let wild = Array(repeating: "#", count: 128).joined(separator: ".")
    let stars = Array(repeating: "#.*", count: 64).joined(separator: ".")
    let letters = Array(repeating: "#.a", count: 64).joined(separator: ".")
    try broker.bind("t", [wild, stars, letters, String(repeating: ".", count: 255)])
    let key = Array(repeating: "a", count: 128).joined(separator: ".")
    #expect(try broker.lane.route(exchange, key) == [0, 1, 2])
    #expect(try broker.lane.route(exchange, String(repeating: ".", count: 255)) == [0, 1, 3])
    #expect(try broker.lane.route(exchange, "") == [0])
    #expect(try broker.lane.route(exchange, Array(repeating: "a", count: 63).joined(separator: ".")) == [0])
  }

  @Test("many patterns that all begin with any number of words: each node is looked at once for a word") func wide() throws {
    var broker = try RoutingBed(queues: 1)
    let exchange = try broker.router.declare(name("t"), .topic)
    var patterns = [""]
    for letter in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] { patterns += patterns.map { $0 + "#.\(letter)." } }
    for pattern in patterns { try broker.router.bind(Binding("t", .queue(name("q0")), pattern + "#.z")) }
    let key = Array(repeating: "a.b.c.d.e.f.g.h.i.j", count: 12).joined(separator: ".")
    #expect(try broker.lane.route(exchange, key + ".y") == [])
    #expect(try broker.lane.route(exchange, key + ".z") == [0])
  }

  @Test("keys and patterns above 255 bytes are refused, and say so") func bounds() throws {
    var broker = try RoutingBed()
    let exchange = try broker.router.declare(name("t"), .topic)
    let most = String(repeating: "x", count: 255)
    try broker.bind("t", [most])
    #expect(try broker.lane.route(exchange, most) == [0])
    #expect(throws: RouteRefusal.keyTooLong(bytes: 256)) { try broker.lane.route(exchange, most + "x") }
    let refused = #expect(throws: RoutingError.self) { try broker.router.bind(Binding("t", .queue(name("q1")), most + "x")) }
    #expect(refused?.description == "binding key '\(most)', byte 256: a key has 255 bytes at most, this one 256")
    #expect(broker.router.bindingCount == 1)
  }
}
