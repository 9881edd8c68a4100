internal import MillraceCore

/// Exchanges, queues by number, and bindings; and what routes messages by them.
///
/// ```swift
/// let router = try Router()
/// let events = try router.declare(BrokerName("events"), .topic)
/// try router.add(queue: BrokerName("audit"), number: 7)
/// try router.bind(Binding(BrokerName("events"), to: .queue(BrokerName("audit")), key: "order.#"))
/// var lane = try router.makeLane()
/// let outcome = try lane.route(events, key: key.span, headers: headers.encoded.span, into: &numbers)  // .queues(1): 7
/// ```
///
/// Each change makes a new version of the table. It is what messages are routed by from the moment on when the change returns, whatever they see before.
///
/// # Threads
/// Any. Changes wait for each other. Messages are routed by lanes, one for each thread.
/// # Fields
/// `current`: the version that lanes take. A lane's first word: the version that it may be reading, 0 = none; then its counts. The records of the last versions follow.
/// # Progress
/// Routing is wait-free: a lane does one locked instruction for a route it does not remember, none for one it does. A change is blocking: what only versions before it have is
/// kept for lanes that may read it, up to `retiredBytes` and `records` versions; beyond, the change waits for those lanes, which read for microseconds.
/// # Source
/// Reclamation by epochs: K. Fraser, "Practical lock-freedom" (2004).
public final class Router: @unchecked Sendable {
  /// Versions that are kept apart at a time.
  private static let records = 1_024
  /// Nodes that wait for lanes, before the lanes are looked at.
  private static let retiredBlocks = 256
  /// Bytes that may wait for lanes.
  private static let retiredBytes = 64 << 20

  /// Words of a lane in its line.
  enum Word {
    static let reading = 0
    static let routed = 8
    static let unroutable = 16
  }

  /// What it was made for.
  public let limits: RoutingLimits
  private let monitor = Monitor()
  let hash: KeyHash
  private let region: Region
  // Under the monitor.
  private var table: RoutingTable
  private var freeLanes: [Int]
  private var past = (routed: 0 as UInt64, unroutable: 0 as UInt64)

  /// `limits`: of what it holds; `seed`: of the hashes, which nobody who chooses keys should know. Throws `RoutingError.memory`.
  public convenience init(_ limits: RoutingLimits = RoutingLimits(), seed: UInt64 = .random(in: .min ... .max)) throws(RoutingError) {
    try self.init(limits, hash: KeyHash(seed: seed))
  }

  init(_ limits: RoutingLimits, hash: KeyHash) throws(RoutingError) {
    self.limits = limits
    self.hash = hash
    table = RoutingTable(limits, hash: hash)
    freeLanes = Array((0..<limits.lanes).reversed())
    let bytes = (1 + limits.lanes) * padding + Router.records * MemoryLayout<TableRoots>.stride
    do { region = try Region(bytes: bytes) } catch { throw .memory(bytes: error.bytes) }
    publish()
  }

  deinit {
    region.free()
    monitor.deallocate()
  }

  // unsafe: words and records in the region, whose length is their sum.
  var current: SharedWord { unsafe SharedWord(region.base) }
  func line(_ lane: Int) -> UnsafeMutableRawPointer { unsafe region.base + (1 + lane) * padding }
  var records: UnsafeMutablePointer<TableRoots> { unsafe line(limits.lanes).assumingMemoryBound(to: TableRoots.self) }
  @inline(__always) static func place(_ version: UInt64) -> Int { Int(version % UInt64(records)) }

  // MARK: Changes

  /// The exchange of this name; declared before in the same way, it is the one that is there. Throws `RoutingError.different` or `.full`. Complexity: O(exchanges that name it as alternate).
  @discardableResult
  public func declare(_ name: BrokerName, _ kind: ExchangeKind, _ options: ExchangeOptions = ExchangeOptions()) throws(RoutingError)
    -> ExchangeID
  {
    try change { (table) throws(RoutingError) in try table.declare(name, kind, options) }
  }

  /// Deletes an exchange and the bindings to and from it; those that auto-delete go when they have no more bindings. False: there is none. Throws `RoutingError.inUse` if it has
  /// bindings of its own and `ifUnused` is set.
  @discardableResult
  public func delete(exchange name: BrokerName, ifUnused: Bool = false) throws(RoutingError) -> Bool {
    try change { (table) throws(RoutingError) in try table.delete(name, ifUnused: ifUnused) }
  }

  /// From now on the default exchange leads to it by its name, and it can be bound. Throws `RoutingError.queueExists` or `.queueNumber`.
  public func add(queue name: BrokerName, number: UInt32) throws(RoutingError) { _ = try addQueue(name, number: number) }

  /// As `add`. The first version that leads to it: what was routed by an earlier one and has this number was meant for a queue before it.
  func addQueue(_ name: BrokerName, number: UInt32) throws(RoutingError) -> UInt64 {
    try change { (table) throws(RoutingError) in
      try table.add(queue: name, number: number)
      return table.memory.version
    }
  }

  /// Takes its bindings with it; exchanges that auto-delete go when they have no more. False: there is none.
  ///
  /// A lane that began before this returned may still give its number.
  @discardableResult
  public func remove(queue name: BrokerName) -> Bool { change { (table) throws(Never) in table.remove(queue: name) } }

  /// False: the same binding is there. Throws `RoutingError.noExchange`, `.noQueue`, `.key`, `.header` or `.full`.
  @discardableResult
  public func bind(_ binding: Binding) throws(RoutingError) -> Bool {
    try change { (table) throws(RoutingError) in try table.bind(binding) }
  }

  /// False: there is none with exactly this key and these arguments. Throws `RoutingError.noExchange` or `.noQueue`.
  @discardableResult
  public func unbind(_ binding: Binding) throws(RoutingError) -> Bool {
    try change { (table) throws(RoutingError) in try table.unbind(binding) }
  }

  private func change<Value, Failure: Error>(_ body: (inout RoutingTable) throws(Failure) -> Value) throws(Failure) -> Value {
    try monitor.locked { () throws(Failure) in
      let before = (table.exchangeRoots, table.queueRoots)
      let value = try body(&table)
      if before != (table.exchangeRoots, table.queueRoots) { publish() }
      return value
    }
  }

  // MARK: What is there

  /// nil: there is none. Complexity: O(1), as the next ones, but for `bindings`.
  public func exchange(named name: BrokerName) -> ExchangeID? { monitor.locked { table.exchange(named: name) } }

  /// Its name; nil: it was deleted.
  /// Names of all exchanges but the default one, ascending. Complexity: O(n log n).
  package var exchangeNames: [BrokerName] {
    monitor.locked { table.exchanges.values.map(\.name).sorted { $0.description < $1.description } }
  }
  func name(of exchange: ExchangeID) -> BrokerName? { monitor.locked { table.name(of: exchange) } }

  /// The number of the queue of this name.
  public func queue(named name: BrokerName) -> UInt32? { monitor.locked { table.queueNumbers[name] } }

  /// Where bindings of this exchange lead, in no order. Throws `RoutingError.noExchange`.
  public func bindings(from name: BrokerName) throws(RoutingError) -> [Binding] {
    try monitor.locked { () throws(RoutingError) in try table.bindings(from: name) }
  }

  /// Of all exchanges.
  public var bindingCount: Int { monitor.locked { table.bindingCount } }

  /// Messages that reached a queue, and those that reached none, so far.
  public var counts: (routed: UInt64, unroutable: UInt64) {
    monitor.locked {
      (0..<limits.lanes).reduce(past) { sum, lane in
        // unsafe: words of the lane's line.
        let words = unsafe (SharedWord(line(lane) + Word.routed), SharedWord(line(lane) + Word.unroutable))
        return (sum.routed + words.0.loadRelaxed(), sum.unroutable + words.1.loadRelaxed())
      }
    }
  }

  /// Bytes of the table's nodes, with those that wait for lanes.
  package var tableBytes: Int { monitor.locked { table.memory.bytes } }
  package var retiredBytes: Int { monitor.locked { table.memory.retiredBytes } }

  // MARK: Lanes

  /// A way to route for one thread. Throws `RoutingError.full` or `.memory`.
  public func makeLane() throws(RoutingError) -> RoutingLane {
    let number = try monitor.locked { () throws(RoutingError) in
      guard let number = freeLanes.popLast() else { throw .full("lanes", limit: limits.lanes) }
      return number
    }
    do { return try RoutingLane(self, number) } catch {
      leave(number)
      throw .memory(bytes: error.bytes)
    }
  }

  /// The lane routes no more.
  func leave(_ lane: Int) {
    monitor.locked {
      // unsafe: words of the lane's line.
      past.routed += unsafe SharedWord(line(lane) + Word.routed).exchange(0)
      past.unroutable += unsafe SharedWord(line(lane) + Word.unroutable).exchange(0)
      freeLanes.append(lane)
    }
  }

  // MARK: Versions

  /// With the monitor, or before anybody else is there.
  private func publish() {
    let roots = table.roots
    reclaim(before: roots.version)
    // unsafe: no lane reads the version that had this place.
    unsafe records[Router.place(roots.version)] = roots
    // Order: sequentially consistent. Pairs with the lane's loads: what it sees of this version has been written. And with its exchange of `reading`: either that is seen by a later look
    // at the lanes, or the lane sees this version.
    _ = current.exchange(roots.version)
    table.memory.finish()
  }

  /// Frees what no lane can read any more. Waits for lanes that hold up too much.
  private func reclaim(before version: UInt64) {
    let memory = table.memory
    let records = UInt64(Router.records)
    var backoff = Backoff()
    while memory.retiredBlocks >= Router.retiredBlocks || version % (records / 2) == 0 {
      let oldest = oldestReading(before: version)
      memory.free(from: oldest)
      if memory.retiredBytes <= Router.retiredBytes, version < oldest + records / 2 { return }
      backoff.pause()
    }
  }

  /// The oldest version that a lane may be reading, or the current one.
  private func oldestReading(before version: UInt64) -> UInt64 {
    (0..<limits.lanes).reduce(version - 1) { oldest, lane in
      // Order: sequentially consistent. Pairs with the lane's exchange, as `publish` says, and with its releasing store: what it has read is freed later.
      let reading = unsafe SharedWord(line(lane) + Word.reading).loadSequential()
      return reading == 0 ? oldest : min(oldest, reading)
    }
  }
}
