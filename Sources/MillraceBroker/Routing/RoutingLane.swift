internal import MillraceCore

/// Where a message goes.
public enum RouteOutcome: Sendable, Hashable {
  /// To so many queues: one or more.
  case queues(Int)
  /// To none, its alternate exchanges included.
  case unroutable
}

/// Routes the messages of one thread.
///
/// # Threads
/// One at a time.
/// # Memory
/// A bit for each queue and exchange, 4 bytes for each queue a message goes to at most, the cache (`RoutingLimits.cachedBytes`, and 16 bytes a route). Nothing is allocated for a message, but when it goes
/// further than any before.
@safe public struct RoutingLane: ~Copyable, @unchecked Sendable {
  private let router: Router
  private let number: Int
  private let current: SharedWord
  private let line: UnsafeMutableRawPointer
  private let records: UnsafeMutablePointer<TableRoots>
  private let hash: KeyHash
  private var walk: RouteWalk
  private var cache: RouteCache
  /// The version of the table that the last message was routed by.
  private(set) var version: UInt64 = 0
  /// Messages whose route was not remembered.
  package private(set) var walks = 0

  init(_ router: Router, _ number: Int) throws(MemoryError) {
    self.router = router
    self.number = number
    current = router.current
    // unsafe: the router's, which this value keeps.
    unsafe line = router.line(number)
    unsafe records = router.records
    hash = router.hash
    walk = RouteWalk(router.limits)
    cache = try RouteCache(routes: router.limits.cachedRoutes, bytes: router.limits.cachedBytes)
  }

  deinit { router.leave(number) }

  /// The queues that a message with this key and these headers goes to: their numbers, each once, ascending, at the beginning of `queues`.
  ///
  /// Throws `RouteRefusal`; after `.buffer(needed:)` the message was neither counted nor lost: route it again.
  ///
  /// Complexity: O(key + queues) for a route that is remembered. Otherwise see `RouteWalk`: bindings that do not match cost nothing, but for those of headers exchanges.
  public mutating func route(
    _ exchange: ExchangeID, key: Span<UInt8>, headers: Span<UInt8>, into queues: inout MutableSpan<UInt32>
  ) throws(RouteRefusal) -> RouteOutcome {
    // unsafe: the spans are there for as long as they are used.
    let key = unsafe key.withUnsafeBufferPointer { unsafe $0 }
    let headers = unsafe headers.withUnsafeBytes { unsafe $0 }
    let into = unsafe queues.withUnsafeMutableBufferPointer { unsafe $0 }
    return try unsafe route(exchange, key: key, headers: headers, into: into)
  }

  /// As above. unsafe: the buffers are there until this returns.
  @unsafe package mutating func route(
    _ exchange: ExchangeID, key: UnsafeBufferPointer<UInt8>, headers: UnsafeRawBufferPointer,
    into queues: UnsafeMutableBufferPointer<UInt32>
  ) throws(RouteRefusal) -> RouteOutcome {
    guard key.count <= RoutingKey.maxBytes else { throw .keyTooLong(bytes: key.count) }
    // Order: acquiring. Pairs with the exchange in `Router.publish`: a change that has returned is seen.
    version = current.loadAcquiring()
    let place = unsafe hash.of(key.baseAddress ?? KeyHash.none, key.count) ^ (exchange.bits &* 0x9E37_79B9_7F4A_7C15)
    if cache.isEnabled, let route = unsafe cache.find(place, version, exchange, key) {
      return try unsafe give(route.queues, route.count, queues)
    }
    return try unsafe find(exchange, place, key, headers, queues)
  }

  @inline(never) private mutating func find(
    _ exchange: ExchangeID, _ place: UInt64, _ key: UnsafeBufferPointer<UInt8>, _ headers: UnsafeRawBufferPointer,
    _ queues: UnsafeMutableBufferPointer<UInt32>
  ) throws(RouteRefusal) -> RouteOutcome {
    walks &+= 1
    // unsafe: a word of the lane's line.
    let reading = unsafe SharedWord(line + Router.Word.reading)
    // Order: sequentially consistent, both. Pairs with `Router.publish` and its look at the lanes: whoever frees sees that this lane reads, or this lane sees a version that does not have what is freed.
    _ = reading.exchange(current.loadAcquiring())
    version = current.loadSequential()
    // Order: releasing. Pairs with the writer's look at the lanes.
    defer { reading.storeReleasing(0) }
    // unsafe: the record stays while the lane reads this version or an older one.
    let table = unsafe records + Router.place(version)
    if exchange != .default {
      guard let node = unsafe RouteWalk.find(exchange, in: table.pointee) else { throw .noExchange }
      if unsafe node.pointee.isInternal != 0 { throw .isInternal }
      if unsafe node.pointee.kind == ExchangeKind.mqtt.rawValue, let byte = unsafe Topic.fault(key) { throw .topic(byte: byte) }
    }
    unsafe walk.route(exchange.number, table.pointee, key, headers)
    if walk.isByKey { unsafe cache.insert(place, version, exchange, key, walk.queues.base, walk.queues.count) }
    return try unsafe give(walk.queues.base, walk.queues.count, queues)
  }

  @inline(__always) private func give(
    _ found: UnsafePointer<UInt32>, _ count: Int, _ queues: UnsafeMutableBufferPointer<UInt32>
  ) throws(RouteRefusal) -> RouteOutcome {
    // unsafe: as many as there is room for.
    if count > 0 { unsafe queues.baseAddress?.update(from: found, count: min(count, queues.count)) }
    if count > queues.count { throw .buffer(needed: count) }
    // unsafe: a word of the lane's line, which only this lane writes.
    let word = unsafe SharedWord(line + (count == 0 ? Router.Word.unroutable : Router.Word.routed))
    word.storeRelaxed(word.loadRelaxed() &+ 1)
    return count == 0 ? .unroutable : .queues(count)
  }
}
