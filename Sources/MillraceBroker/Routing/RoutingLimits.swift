/// How much a router holds. All is refused beyond, never dropped.
public struct RoutingLimits: Sendable, Hashable {
  /// Exchanges, the default one included.
  public var exchanges = 4_096
  /// Queue numbers are below it. A routing thread reserves 4 bytes and a bit for each, of which it touches what it uses.
  public var queues = 65_536
  /// Of all exchanges together.
  public var bindings = 1_000_000
  /// Bytes of one binding's arguments, as `Headers` holds them.
  public var argumentBytes = 4_096
  /// Threads that route at a time.
  public var lanes = 64
  /// Routes that each of them remembers; 0: none.
  public var cachedRoutes = 8_192
  /// And in how many bytes.
  public var cachedBytes = 1 << 20

  /// As the fields say.
  public init() {}

  func check() {
    precondition(2...(1 << 20) ~= exchanges, "2 to 2^20 exchanges")
    precondition(1...(1 << 24) ~= queues, "1 to 2^24 queues")
    precondition(1...(1 << 26) ~= bindings, "1 to 2^26 bindings")
    precondition(0...(1 << 16) ~= argumentBytes, "arguments of 0 to 65,536 bytes")
    precondition(1...1_024 ~= lanes, "1 to 1,024 lanes")
    precondition(0...(1 << 24) ~= cachedRoutes, "0 to 2^24 routes in the cache")
    precondition(0...(1 << 30) ~= cachedBytes, "0 to 2^30 bytes of cache")
  }
}
