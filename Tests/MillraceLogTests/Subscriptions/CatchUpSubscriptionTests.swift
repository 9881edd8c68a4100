import MillraceCore
import MillraceSimulation
import MillraceTesting
import Testing

@testable import MillraceLog

@Suite struct CatchUpSubscriptionTests {
  private func subscription(
    _ world: SubscriptionWorld, _ scope: ReadRequest.Scope, from checkpoint: UInt64 = 0, tenant: String? = nil, store: FaultyStore? = nil,
    limit: Int = 3, backoff: StoreBackoff = StoreBackoff()
  ) throws -> CatchUpSubscription {
    try CatchUpSubscription(
      SubscriptionSource(scope, tenant: tenant), from: checkpoint, store: store ?? world.process(), host: world.host, limit: limit,
      backoff: backoff)
  }

  private func fill(_ world: SubscriptionWorld) throws {
    for index in 0..<8 {
      try world.append("order-\(index % 2)", "o\(index)", tenant: index < 4 ? "a" : "b")
      try world.append("bill-1", "b\(index)")
    }
  }

  @Test("a stream, a category and all streams are given from their checkpoints, history first and then what happens")
  func scopes() throws {
    let world = try SubscriptionWorld()
    try fill(world)
    let stream = Follower(try subscription(world, .stream(StreamName("order-1"))))
    let category = Follower(try subscription(world, .category("order")))
    let all = Follower(try subscription(world, .all))
    let tail = Follower(try subscription(world, .stream(StreamName("order-1")), from: 3))
    let late = Follower(try subscription(world, .category("bill"), from: 14))
    let tenant = Follower(try subscription(world, .category("order"), tenant: "b"))
    world.settle()
    #expect(stream.texts == ["o1", "o3", "o5", "o7"])
    #expect(category.texts == (0..<8).map { "o\($0)" })
    #expect(all.texts == (0..<8).flatMap { ["o\($0)", "b\($0)"] })
    #expect(tail.texts == ["o7"])
    #expect(late.texts == ["b7"])
    #expect(tenant.texts == ["o4", "o5", "o6", "o7"])
    for follower in [stream, category, all, tail, late, tenant] {
      #expect(follower.subscription.status.isLive && follower.subscription.status.lag == 0)
    }
    try world.append("order-1", "new", tenant: "b")
    world.settle()
    for follower in [stream, category, all, tail, tenant] { #expect(follower.texts.last == "new") }
    #expect(late.texts == ["b7"])
    #expect(stream.subscription.status.checkpoint == 5)
    #expect(late.subscription.status.checkpoint == 17, "what lies between is of other streams")
  }

  @Test("a checkpoint beyond the end waits for its event; streams that do not exist yet are waited for")
  func beyond() throws {
    let world = try SubscriptionWorld()
    let stream = Follower(try subscription(world, .stream(StreamName("s-1")), from: 2))
    let all = Follower(try subscription(world, .all, from: 2))
    world.settle()
    #expect(stream.deliveries == [.caughtUp(checkpoint: 2)] && all.deliveries == [.caughtUp(checkpoint: 2)])
    for text in ["0", "1", "2"] {
      try world.append("s-1", text)
      world.settle()
    }
    #expect(stream.texts == ["2"] && all.texts == ["2"])
  }

  @Test("of all streams those of the stores and groups themselves are left out, unless they are named")
  func system() throws {
    let world = try SubscriptionWorld()
    try world.append("$group-g", "hidden")
    try world.append("order-1", "seen")
    let all = Follower(try subscription(world, .all))
    let named = Follower(try subscription(world, .stream(StreamName("$group-g"))))
    world.settle()
    #expect(all.texts == ["seen"] && named.texts == ["hidden"])
    try world.append("$group-g", "hidden")
    world.settle()
    #expect(all.texts == ["seen"] && all.subscription.status.checkpoint == 3)
  }

  @Test("nothing is read but the page that was asked for, and one ahead")
  func backPressure() throws {
    let world = try SubscriptionWorld()
    for index in 0..<100 { try world.append("s-1", "\(index)") }
    let store = world.process()
    let follower = Follower(try subscription(world, .all, store: store, limit: 10), isEager: false)
    world.settle()
    #expect(store.counts[.read] == nil, "nothing is asked before the first next")
    follower.ask()
    world.settle()
    #expect(follower.texts.count == 10 && store.counts[.read] == 2)
    for round in 2...5 {
      follower.ask()
      world.settle()
      #expect(follower.texts.count == 10 * round && store.counts[.read] == round + 1)
    }
    #expect(follower.subscription.status.lag == 50 && !follower.subscription.status.isLive)
  }

  @Test("who lags behind is told, and told again when it has caught up")
  func lag() throws {
    let world = try SubscriptionWorld()
    try world.append("s-1", "0")
    let follower = Follower(try subscription(world, .all), isEager: false)
    for _ in 0..<2 {
      follower.ask()
      world.settle()
    }
    #expect(follower.deliveries.last == .caughtUp(checkpoint: 1))
    for index in 1...8 { try world.append("s-1", "\(index)") }
    world.settle()
    var kinds: [String] = []
    for _ in 0..<6 {
      follower.ask()
      world.settle()
      switch follower.deliveries.last {
      case .events(let events, _): kinds.append("\(events.count)")
      case .caughtUp: kinds.append("live")
      case .fellBehind: kinds.append("behind")
      case nil: break
      }
    }
    // The first event was read while it was the last one.
    #expect(kinds == ["behind", "3", "3", "2", "live", "live"] || kinds == ["1", "behind", "3", "3", "1", "live"], "\(kinds)")
    #expect(follower.texts == (0...8).map(String.init))
  }

  @Test("a busy store is asked again after longer and longer waits, and any number of times if there is no limit")
  func busy() throws {
    let world = try SubscriptionWorld()
    try world.append("s-1", "0")
    let store = world.process()
    let times = Told<UInt64>()
    store.fault = { operation, number in
      guard operation == .read else { return nil }
      times.tell(world.clock.now)
      return number < 12 ? .fail(number % 2 == 0 ? .busy : .unavailable("gone")) : nil
    }
    let follower = Follower(
      try subscription(world, .all, store: store, backoff: StoreBackoff(initial: second, cap: 60 * second, attempts: nil)))
    world.settle()
    #expect(follower.subscription.status.lastError == .busy)
    world.pass(1_000 * second)
    #expect(follower.texts == ["0"] && follower.subscription.status.lastError == nil)
    let waits = zip(times.all.dropFirst(), times.all).map { $0 - $1 }.prefix(12)
    for (index, wait) in waits.enumerated() {
      let longest = min(60, UInt64(1) << UInt64(index)) * second
      #expect(wait <= longest && wait >= longest / 2, "wait \(index): \(wait)")
    }
  }

  @Test("a store that is busy too often, or fails for good, ends the subscription with the reason, and every next after it")
  func ends() throws {
    for (error, attempts, tries) in [(EventStoreError.busy, 3, 3), (.damaged(position: 4, "bad"), 9, 1), (.closed, 9, 1)] {
      let world = try SubscriptionWorld()
      let store = world.process()
      store.fault = { operation, _ in operation == .end ? .fail(error) : nil }
      let follower = Follower(try subscription(world, .all, store: store, backoff: StoreBackoff(attempts: attempts)))
      world.pass(100 * second)
      #expect(follower.end == .store(error) && store.counts[.end] == tries)
      #expect(follower.subscription.status.end == .store(error))
      follower.ask()
      world.settle()
      #expect(follower.deliveries.isEmpty && follower.end == .store(error))
    }
  }

  @Test("events that come again or out of order end the subscription: they are not given", arguments: [[0, 0], [1, 0], [5, 3]])
  func disorder(places: [UInt64]) throws {
    var machine = CatchUpMachine(SubscriptionSource(.all), from: 0, limit: 10, bytes: 1 << 20, backoff: StoreBackoff(), seed: 0)
    let events = places.map { place in
      RecordedEvent(
        position: place, stream: try! StreamName("s"), version: place, tenant: nil, id: EventID(high: 0, low: place), type: "t",
        typeVersion: 1,
        contentType: "c", payload: [], correlation: nil, causation: nil, trace: nil, time: 0)
    }
    _ = machine.apply(.demand, now: 0)
    _ = machine.apply(.answer(1, .end(.success(10))), now: 0)
    let page = EventPage(events: events, next: 10, isLast: true, lastVersion: nil)
    guard case .refuse(.disorder)? = machine.apply(.answer(3, .page(.success(page))), now: 0).last else {
      Issue.record("\(places) were taken")
      return
    }
  }

  @Test("stopped at any moment, it gives nothing more and answers the next that waits; a late answer of the store changes nothing")
  func stop() throws {
    for moment in 0..<40 {
      let world = try SubscriptionWorld(seed: UInt64(moment))
      for index in 0..<12 { try world.append("s-1", "\(index)") }
      let store = world.process()
      store.isSlow = true
      let follower = Follower(try subscription(world, .all, store: store))
      for _ in 0..<moment { _ = world.step() }
      let given = Told<Int>()
      follower.subscription.stop { given.tell(follower.deliveries.count) }
      follower.subscription.stop { given.tell(follower.deliveries.count) }
      while given.all.count < 2 { _ = world.step() }
      try world.append("s-1", "late")
      world.settle()
      #expect(given.all == [follower.deliveries.count, follower.deliveries.count])
      #expect(follower.end == .stopped && !follower.isAsking)
      #expect(world.host.nextDue == nil, "nothing is left to be done")
    }
  }

  @Test("stop completes though the store never answers")
  func lost() throws {
    for operation in [FaultyStore.Operation.end, .read, .await] {
      let world = try SubscriptionWorld()
      let store = world.process()
      store.fault = { kind, _ in kind == operation ? .loseAnswer : nil }
      let follower = Follower(try subscription(world, .all, store: store))
      world.pass(second)
      let isStopped = Told<Bool>()
      follower.subscription.stop { isStopped.tell(true) }
      world.settle()
      #expect(isStopped.all.count == 1 && follower.end == .stopped)
    }
  }

  @Test(
    "each event comes once and in order, whatever the schedule, the pages, the faults and the pauses of the consumer", arguments: 0..<150)
  func schedules(seed: Int) throws {
    let world = try SubscriptionWorld(seed: UInt64(seed))
    let store = world.process()
    store.isSlow = seed % 3 != 0
    store.actsLate = { _ in world.number(below: 2) == 0 }
    store.fault = { operation, _ in
      guard operation != .append else { return nil }
      switch world.number(below: 12) {
      case 0: return .fail(.busy)
      case 1: return .fail(.unavailable("gone"))
      case 2: return .answerTwice
      default: return nil
      }
    }
    let names = ["a-1", "a-2", "b-1", "$own-1"]
    let scopes: [ReadRequest.Scope] = [.all, .category("a"), .stream(try StreamName("a-1"))]
    let scope = scopes[seed % scopes.count]
    for _ in 0..<world.number(below: 30) { try world.append(names[world.number(below: 4)]) }
    let from = UInt64(world.number(below: 6))
    let follower = Follower(
      try subscription(world, scope, from: from, store: store, limit: 1 + world.number(below: 5)), isEager: seed % 2 == 0)
    for _ in 0..<400 {
      _ = world.step()
      if world.number(below: 6) == 0 { try world.append(names[world.number(below: 4)]) }
      if !follower.isEager, !follower.isAsking, world.number(below: 3) == 0 { follower.ask() }
    }
    store.fault = { _, _ in nil }
    store.isSlow = false
    if !follower.isEager, !follower.isAsking { follower.ask() }
    follower.isEager = true
    world.pass(100 * second)
    let wanted = world.memory.all.filter { event in
      switch scope {
      case .all: event.position >= from && !event.stream.description.hasPrefix("$")
      case .category(let category): event.position >= from && event.stream.category == category
      case .stream(let name): event.stream == name && event.version >= from
      }
    }
    #expect(follower.events == wanted)
    #expect(follower.subscription.status.isLive && follower.subscription.status.lag == 0)
  }
}
