import MillraceBroker
import Testing

@Suite struct HeadersTests {
  typealias Fields = [(String, HeaderValue)]

  /// Arguments, headers, whether they match.
  static let vectors: [(Fields, Fields, Bool)] = [
    ([], [], true),
    ([], [("a", .integer(1))], true),
    ([("x-match", .text("any"))], [("a", .integer(1))], false),
    ([("x-match", .text("any-with-x"))], [("x-match", .text("any-with-x"))], false),
    ([("a", .integer(1))], [("a", .integer(1))], true),
    ([("a", .integer(1))], [("a", .integer(2))], false),
    ([("a", .integer(1))], [], false),
    ([("a", .integer(1)), ("b", .text("x"))], [("b", .text("x")), ("a", .integer(1)), ("c", .void)], true),
    ([("a", .integer(1)), ("b", .text("x"))], [("a", .integer(1))], false),
    ([("x-match", .text("any")), ("a", .integer(1)), ("b", .text("x"))], [("b", .text("x"))], true),
    ([("x-match", .text("any")), ("a", .integer(1)), ("b", .text("x"))], [("b", .text("y")), ("c", .integer(1))], false),
    // Values, not types.
    ([("a", .integer(1))], [("a", .real(1))], true),
    ([("a", .integer(1))], [("a", .unsigned(1))], true),
    ([("a", .unsigned(.max))], [("a", .unsigned(.max))], true),
    ([("a", .real(1.5))], [("a", .real(1.5))], true),
    ([("a", .real(-0.0))], [("a", .integer(0))], true),
    ([("a", .real(0x1p63))], [("a", .unsigned(1 << 63))], true),
    ([("a", .text("1"))], [("a", .integer(1))], false),
    ([("a", .boolean(true))], [("a", .integer(1))], false),
    ([("a", .text("x"))], [("a", .bytes([120]))], true),
    ([("a", .decimal(scale: 1, value: 10))], [("a", .decimal(scale: 1, value: 10))], true),
    ([("a", .decimal(scale: 1, value: 10))], [("a", .integer(1))], false),
    // Void asks for presence only.
    ([("a", .void)], [("a", .text("anything"))], true),
    ([("a", .void)], [("a", .nested)], true),
    ([("a", .void)], [("a", .void)], true),
    ([("a", .void)], [("b", .void)], false),
    ([("a", .integer(1))], [("a", .void)], false),
    ([("a", .real(.infinity))], [("a", .real(.nan))], false),
    // Names that begin with x-.
    ([("x-a", .integer(1))], [], true),
    ([("x-match", .text("any")), ("x-a", .integer(1))], [("x-a", .integer(1))], false),
    ([("x-match", .text("all-with-x")), ("x-a", .integer(1))], [], false),
    ([("x-match", .text("all-with-x")), ("x-a", .integer(1))], [("x-a", .integer(1))], true),
    ([("x-match", .text("any-with-x")), ("x-a", .integer(1)), ("b", .integer(2))], [("x-a", .integer(1))], true),
    ([("x", .integer(1))], [("x", .integer(1))], true),
    // One name begins with the other.
    ([("ab", .integer(1))], [("a", .integer(1))], false),
    ([("a", .integer(1))], [("ab", .integer(1))], false),
    ([("", .integer(1))], [("", .integer(1))], true),
  ]

  @Test("arguments match headers by values, by presence, all or any") func vectors() throws {
    for (number, (arguments, fields, isMatch)) in Self.vectors.enumerated() {
      var broker = try RoutingBed()
      let exchange = try broker.router.declare(name("h"), .headers)
      try broker.router.bind(Binding("h", .queue(name("q0")), "", Headers(arguments)))
      #expect(try broker.lane.route(exchange, "", Headers(fields)) == (isMatch ? [0] : []), "\(number): \(arguments) with \(fields)")
    }
  }

  @Test("an unknown x-match, values that equal nothing and names that come twice or are too long are refused") func refused() throws {
    let broker = try RoutingBed()
    try broker.router.declare(name("h"), .headers)
    let wrong: [Fields] = [[("x-match", .text("some"))], [("x-match", .integer(1))], [("a", .nested)], [("a", .real(.nan))]]
    for fields in wrong {
      let binding = try Binding("h", .queue(name("q0")), "", Headers(fields))
      let error = #expect(throws: RoutingError.self) { try broker.router.bind(binding) }
      #expect(error?.description.hasPrefix("header '\(fields[0].0)': ") == true)
    }
    #expect(throws: RoutingError.self) { try Headers([("a", .integer(1)), ("a", .integer(2))]) }
    #expect(throws: RoutingError.self) { try Headers([(String(repeating: "n", count: 256), .void)]) }
    #expect(broker.router.bindingCount == 0)
  }

  @Test("a binding is taken away by exactly its arguments, though another one asks the same") func exact() throws {
    var broker = try RoutingBed()
    let exchange = try broker.router.declare(name("h"), .headers)
    let plain = try Binding("h", .queue(name("q0")), "", Headers([("a", .integer(1))]))
    let marked = try Binding("h", .queue(name("q0")), "", Headers([("a", .integer(1)), ("x-note", .text("n"))]))
    #expect(try broker.router.bind(plain) && broker.router.bind(marked))
    #expect(try !broker.router.bind(marked))
    let headers = try Headers([("a", .integer(1))])
    #expect(try broker.router.unbind(plain) && !broker.router.unbind(plain))
    #expect(try broker.lane.route(exchange, "", headers) == [0])
    #expect(try broker.router.unbind(marked))
    #expect(try broker.lane.route(exchange, "", headers) == [])
  }

  @Test("bytes that are no headers match nothing that is asked, and nothing outside of them is read") func garbage() throws {
    var broker = try RoutingBed()
    let exchange = try broker.router.declare(name("h"), .headers)
    try broker.router.bind(Binding("h", .queue(name("q0")), "", Headers([("a", .integer(1))])))
    let good = try Headers([("a", .integer(1))]).encoded
    var queues = [UInt32](repeating: 0, count: 1)
    for cut in 0...good.count {
      let outcome = try broker.lane.outcome(exchange, [], Array(good[..<cut]), &queues)
      #expect(outcome == (cut == good.count ? .queues(1) : .unroutable))
    }
    var numbers = SeededNumbers(3)
    for _ in 0..<2_000 {
      let bytes = (0..<Int.random(in: 0..<40, using: &numbers)).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      #expect(try broker.lane.outcome(exchange, [], bytes, &queues) == .unroutable)
    }
  }
}
