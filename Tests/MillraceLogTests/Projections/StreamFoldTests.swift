import MillraceCore
import MillraceSimulation
import MillraceTesting
import Testing

@testable import MillraceLog

/// The texts of all events, joined: a state that shows what was folded, and in which order.
struct Joined: Reducer {
  struct Wrong: Error {}
  var name = "joined"
  var version: UInt32 = 1
  var initial: String { "" }
  func fold(_ state: inout String, _ event: RecordedEvent) throws {
    if event.text == "bad" { throw Wrong() }
    state += event.text + ","
  }
  func encode(_ state: String) throws -> [UInt8] {
    if state.contains("unwritable") { throw Wrong() }
    return Array(state.utf8)
  }
  func decode(_ bytes: [UInt8]) throws -> String {
    guard let state = String(validating: bytes, as: UTF8.self), !state.contains("unreadable") else { throw Wrong() }
    return state
  }
}

@Suite struct StreamFoldTests {
  private let stream = try! StreamName("s-1")

  private func load(
    _ world: SubscriptionWorld, _ fold: StreamFold<Joined>
  ) throws -> Folded<String> {
    let told = Told<Result<Folded<String>, FoldError>>()
    fold.load(stream) { told.tell($0) }
    world.settle()
    return try #require(told.last).get()
  }

  private func snapshot(_ world: SubscriptionWorld) throws -> Snapshot? {
    let told = Told<Result<Snapshot?, EventStoreError>>()
    world.memory.snapshot(of: stream, reducer: "joined") { told.tell($0) }
    return try #require(told.last).get()
  }

  @Test("fold(all) == fold(snapshot, tail), for random histories, policies and losses", arguments: 0..<60)
  func property(seed: Int) throws {
    let world = try SubscriptionWorld(seed: UInt64(seed))
    let fold = try StreamFold(
      Joined(), store: world.process(), host: world.host, policy: SnapshotPolicy(events: world.number(below: 40), time: .max))
    var uses = 0
    for _ in 0..<30 {
      for _ in 0..<world.number(below: 30) {
        try world.append("s-1", "\(world.number(below: 1_000))")
        try world.append("s-2", "other")
      }
      if world.number(below: 8) == 0 { world.memory.loseSnapshots() }
      let events = world.memory.all.filter { $0.stream == stream }
      let folded = try load(world, fold)
      #expect(folded.state == events.map { $0.text + "," }.joined() && folded.version == events.last?.version)
      if case .used(let version) = folded.snapshot {
        uses += 1
        #expect(folded.events == events.count - Int(version) - 1)
      } else {
        #expect(folded.events == events.count)
      }
    }
    #expect(uses > 0)
  }

  @Test("a snapshot is made when more events than allowed were folded, or more time was taken; the state was given before")
  func policy() throws {
    let world = try SubscriptionWorld()
    let store = world.process()
    let saved = Told<UInt64>()
    let fold = try StreamFold(Joined(), store: store, host: world.host, policy: SnapshotPolicy(events: 10, time: second)) { _, result in
      if case .success(let version) = result { saved.tell(version) }
    }
    for index in 0..<10 { try world.append("s-1", "\(index)") }
    _ = try load(world, fold)
    #expect(saved.all.isEmpty)
    try world.append("s-1", "10")
    _ = try load(world, fold)
    #expect(saved.all == [10])
    #expect(try load(world, fold).events == 0 && saved.all == [10])
    try world.append("s-1", "11")
    store.isSlow = true
    let told = Told<UInt64>()
    fold.load(stream) { _ in told.tell(world.clock.now) }
    world.host.runUntilIdle()
    store.release(0)
    world.host.runUntilIdle()
    world.clock.move(by: 2 * second)
    store.release(0)
    world.host.runUntilIdle()
    #expect(told.all.count == 1 && saved.all == [10], "the state is given while the snapshot is still on its way")
    world.settle()
    #expect(saved.all == [10, 11])
  }

  @Test(
    "one that is damaged, at whatever bit, of another version, or cannot be read, means that all is folded",
    arguments: ["bit", "version", "store", "reducer"])
  func unusable(how: String) throws {
    let world = try SubscriptionWorld()
    let store = world.process()
    for index in 0..<5 { try world.append("s-1", "\(index)") }
    let fold = try StreamFold(Joined(), store: store, host: world.host, policy: SnapshotPolicy(events: 0))
    _ = try load(world, fold)
    let good = try #require(try snapshot(world))
    #expect(try load(world, fold).snapshot == .used(version: 4))
    switch how {
    case "bit":
      for bit in 0..<good.state.count * 8 {
        var bad = good
        bad.state[bit / 8] ^= 1 << UInt8(bit % 8)
        world.memory.save(bad) { _ in }
        let folded = try load(world, fold)
        #expect(folded.snapshot == .damaged && folded.state == "0,1,2,3,4,")
      }
      var short = good
      short.state.removeLast(good.state.count - 3)
      world.memory.save(short) { _ in }
      #expect(try load(world, fold).snapshot == .damaged)
      // A snapshot of an earlier version under a later one's number.
      var moved = good
      moved.version = 3
      world.memory.loseSnapshots()
      world.memory.save(moved) { _ in }
      #expect(try load(world, fold).snapshot == .damaged)
    case "version":
      let newer = try StreamFold(Joined(version: 2), store: store, host: world.host, policy: SnapshotPolicy(events: 0))
      let folded = try load(world, newer)
      #expect(folded.snapshot == .otherReducer(1) && folded.state == "0,1,2,3,4,")
      #expect(try load(world, newer).snapshot == .used(version: 4))
    case "reducer":
      try world.append("s-1", "unreadable")
      _ = try load(world, fold)
      let folded = try load(world, fold)
      #expect(folded.snapshot == .undecodable("Wrong()") && folded.state == "0,1,2,3,4,unreadable,")
    default:
      store.fault = { operation, _ in operation == .snapshot ? .fail(.damaged(position: 3, "x")) : nil }
      let folded = try load(world, fold)
      #expect(folded.snapshot == .unreadable(.damaged(position: 3, "x")) && folded.state == "0,1,2,3,4,")
    }
  }

  @Test("a snapshot that is ahead of its stream is an error, and so are events that no snapshot holds any more")
  func errors() throws {
    let world = try SubscriptionWorld()
    for index in 0..<5 { try world.append("s-1", "\(index)") }
    let store = world.process()
    let fold = try StreamFold(Joined(), store: store, host: world.host, policy: SnapshotPolicy(events: 0))
    _ = try load(world, fold)
    // The same snapshot, in a store that was set back.
    let older = try SubscriptionWorld()
    for index in 0..<3 { try older.append("s-1", "\(index)") }
    let ahead = try #require(try snapshot(world))
    let back = SetBackStore(older.process(), ahead)
    let told = Told<Result<Folded<String>, FoldError>>()
    let broken = try StreamFold(Joined(), store: back, host: older.host)
    broken.load(stream) { told.tell($0) }
    older.settle()
    #expect(throws: FoldError.snapshotAhead(version: 4, actual: 2)) { try told.last?.get() }

    world.memory.setLimits(StreamLimits(firstVersion: 4), of: stream) { _ in }
    try world.append("s-1", "5")
    #expect(try load(world, fold).state == "0,1,2,3,4,5,", "the snapshot holds what is gone")
    world.memory.loseSnapshots()
    #expect(throws: FoldError.missing(version: 0)) { try load(world, fold) }
    world.memory.setLimits(StreamLimits(firstVersion: 99), of: stream) { _ in }
    #expect(throws: FoldError.missing(version: 0)) { try load(world, fold) }
    world.memory.setLimits(StreamLimits(), of: stream) { _ in }
    try world.append("s-1", "bad")
    #expect(throws: FoldError.reducer(version: 6, "Wrong()")) { try load(world, fold) }
    store.fault = { operation, _ in operation == .read ? .fail(.unavailable("x")) : nil }
    #expect(throws: FoldError.store(.unavailable("x"))) { try load(world, fold) }
  }

  @Test("a snapshot that cannot be kept is told, and the read does not fail; there is one on its way at a time")
  func unkept() throws {
    let world = try SubscriptionWorld()
    let store = world.process()
    let failures = Told<String>()
    let fold = try StreamFold(Joined(), store: store, host: world.host, policy: SnapshotPolicy(events: 0)) { _, result in
      if case .failure(let error) = result { failures.tell("\(error)") }
    }
    try world.append("s-1", "0")
    store.fault = { operation, _ in operation == .save ? .fail(.noSpace("full")) : nil }
    #expect(try load(world, fold).state == "0,")
    #expect(failures.all == ["no space: full"])
    try world.append("s-1", "unwritable")
    #expect(try load(world, fold).state == "0,unwritable,")
    #expect(failures.all == ["no space: full", "Wrong()"])
    let other = try SubscriptionWorld()
    let slow = other.process()
    try other.append("s-1", "0")
    let two = try StreamFold(Joined(), store: slow, host: other.host, policy: SnapshotPolicy(events: 0))
    slow.fault = { operation, _ in operation == .save ? .loseAnswer : nil }
    for _ in 0..<3 { two.load(stream) { _ in } }
    other.settle()
    #expect(slow.counts[.save] == 1)
  }

  @Test("a history of many pages is folded in bounded pages, without a deep stack")
  func long() throws {
    let world = try SubscriptionWorld()
    let drafts = (0..<4_000).map { EventDraft(id: EventID(high: 1, low: UInt64($0)), type: "t", payload: [UInt8(ascii: "x")]) }
    for part in 0..<25 {
      let events = drafts.map { EventDraft(id: EventID(high: UInt64(part) + 2, low: $0.id.low), type: "t", payload: $0.payload) }
      world.memory.append([StreamAppend(stream: stream, events: events)]) { _ in }
    }
    let store = world.process()
    let fold = try StreamFold(Joined(), store: store, host: world.host)
    #expect(try load(world, fold).events == 100_000 && store.counts[.read] == 98)
  }
}

/// A store that gives a snapshot of a later time.
private final class SetBackStore: EventStore, @unchecked Sendable {
  let inner: FaultyStore
  let ahead: Snapshot

  init(_ inner: FaultyStore, _ ahead: Snapshot) {
    self.inner = inner
    self.ahead = ahead
  }

  var hasDensePositions: Bool { inner.hasDensePositions }
  func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>) { inner.append(appends, completion: completion) }
  func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>) { inner.read(request, completion: completion) }
  func end(completion: @escaping Completion<UInt64>) { inner.end(completion: completion) }
  func position(since time: Int64, completion: @escaping Completion<UInt64>) { inner.position(since: time, completion: completion) }
  func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait {
    inner.await(position, completion: completion)
  }
  func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>) {
    inner.setLimits(limits, of: stream, completion: completion)
  }
  func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>) { inner.save(snapshot, completion: completion) }
  func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>) { completion(.success(ahead)) }
  func close(completion: @escaping Completion<Void>) { inner.close(completion: completion) }
}
