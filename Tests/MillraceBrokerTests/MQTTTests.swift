import MillraceBroker
import Testing

@Suite struct MQTTTests {
  static let vectors: [(String, [String], [String])] = [
    ("#", ["a", "a/b", "/", "/a", "a//b"], ["$SYS", "$SYS/up", "$"]),
    ("+", ["a", "a.b"], ["a/b", "/a", "$SYS"]),
    ("+/+", ["/a", "a/b", "a/", "/"], ["a", "a/b/c", "$SYS/up"]),
    ("/+", ["/a", "/"], ["a", "/a/b"]),
    ("sport/#", ["sport", "sport/", "sport/tennis", "sport/tennis/1"], ["sports", "a/sport"]),
    ("sport/+", ["sport/", "sport/tennis"], ["sport", "sport/tennis/1"]),
    ("sport/tennis/+", ["sport/tennis/1"], ["sport/tennis", "sport/tennis/1/ranking"]),
    ("+/tennis/#", ["sport/tennis", "sport/tennis/1", "/tennis"], ["tennis", "$share/tennis"]),
    ("+/#", ["a", "a/b"], ["$SYS", "$SYS/up"]),
    ("$SYS/#", ["$SYS", "$SYS/up"], ["a", "SYS"]),
    ("$SYS/+", ["$SYS/up"], ["$SYS", "$SYS/a/b"]),
    ("a/+/c", ["a/b/c", "a//c", "a/$b/c"], ["a/c", "a/b/d"]),
    ("a*", ["a*"], ["ab"]),
    ("a.b", ["a.b"], ["a/b"]),
  ]

  @Test("each filter matches what it should, alone and beside all the others") func filters() throws {
    for isAlone in [true, false] {
      var broker = try RoutingBed(queues: UInt32(Self.vectors.count))
      let exchange = try broker.router.declare(name("m"), .mqtt)
      if !isAlone { try broker.bind("m", Self.vectors.map(\.0)) }
      for (number, (filter, yes, no)) in Self.vectors.enumerated() {
        let binding = Binding("m", .queue(name("q\(number)")), filter)
        if isAlone { #expect(try broker.router.bind(binding)) }
        for topic in yes { #expect(try broker.lane.route(exchange, topic).contains(UInt32(number)), "'\(filter)' matches '\(topic)'") }
        for topic in no {
          #expect(try !broker.lane.route(exchange, topic).contains(UInt32(number)), "'\(filter)' does not match '\(topic)'")
        }
        if isAlone { #expect(try broker.router.unbind(binding)) }
      }
    }
  }

  @Test(
    "what is no filter is refused, with the byte and what to do",
    arguments: [
      ("", 1), ("a+", 2), ("+a", 1), ("a/b+/c", 4), ("a#", 2), ("#/a", 1), ("a/#/b", 3), ("a/##", 3), ("a\0", 2), ("a/+b", 3),
    ])
  func refused(filter: String, byte: Int) throws {
    let broker = try RoutingBed()
    try broker.router.declare(name("m"), .mqtt)
    let error = #expect(throws: RoutingError.self) { try broker.router.bind(Binding("m", .queue(name("q0")), filter)) }
    guard case .key(_, let found, let why)? = error else {
      Issue.record("\(error as Any)")
      return
    }
    #expect(found == byte && !why.isEmpty)
    #expect(broker.router.bindingCount == 0)
  }

  @Test("what is no topic is refused when it is published, and matches nothing when another exchange sends it on") func topics() throws {
    var broker = try RoutingBed()
    let exchange = try broker.router.declare(name("m"), .mqtt)
    let all = try broker.router.declare(name("f"), .fanout)
    try broker.bind("m", ["#", "+/a"])
    try broker.router.bind(Binding("f", .exchange(name("m"))))
    for (topic, byte) in [("", 1), ("a/+", 3), ("#", 1), ("a\0b", 2)] {
      #expect(throws: RouteRefusal.topic(byte: byte)) { try broker.lane.route(exchange, topic) }
      #expect(try broker.lane.route(all, topic) == [])
    }
    #expect(try broker.lane.route(all, "b/a") == [0, 1])
  }
}
