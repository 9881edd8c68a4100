internal import MillraceLog
internal import Testing

/// What is built on the contract alone works over each store, with threads.
extension EventStorePromise {
  public static let subscriptions = [catchUp, group, fold, projection]

  private static let catchUp = EventStorePromise("while writers append, each subscription gets its events once and in order") { world in
    try await world.withStore { store in
      let host = try SubscriptionHost(threads: 2)
      let scopes: [ReadRequest.Scope] = [.all, .category("odd"), .stream(.of("even-2"))]
      let followers = try scopes.map { try EventFollower(SubscriptionSource($0), store: store, host: host, limit: 7) }
      try await write(store, writers: 4, each: 150)
      for (follower, count) in zip(followers, [600, 300, 150]) { await follower.events.wait(for: count) }
      for follower in followers { await follower.stop() }
      try await store.append(.of("even-2"), [.numbered(1 << 60)])
      #expect(followers.map(\.events.all.count) == [600, 300, 150])
      for follower in followers { #expect(isGrowing(follower.events.all.positions)) }
      host.stop()
    }
  }

  /// Several writers at once, each with its stream.
  private static func write(_ store: any EventStore, writers: Int, each: Int) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<writers {
        group.addTask {
          let stream = StreamName.of("\(writer % 2 == 0 ? "even" : "odd")-\(writer)")
          for number in 0..<each { try await store.append(stream, [.numbered(UInt64(writer << 32 | number))]) }
        }
      }
      try await group.waitForAll()
    }
  }

  private static let group = EventStorePromise(
    "owners of a group follow one another while writers append: every message is acknowledged or parked"
  ) { world in
    try await world.withStore { store in
      let host = try SubscriptionHost(threads: 2)
      let done = Reports<UInt64>()
      var settings = GroupSettings()
      settings.maxRetries = 1
      settings.minCheckpoint = 1
      settings.maxCheckpoint = 50
      let definition = GroupDefinition("g", SubscriptionSource(.all), settings: settings)
      for owner in 1...3 {
        let group = try PersistentGroup(definition, store: store, host: host)
        let seen = Reports<UInt64>()
        for name in ["a", "b"] {
          group.work(name) { consumer, message in
            if message.event.id.low % 10 == 3 { return consumer.refuse(message, .retry()) }
            consumer.acknowledge(message)
            done.tell(message.event.position)
            seen.tell(message.event.position)
          }
        }
        try await group.start()
        try await write(store, writers: 2, each: 100 * owner)
        await seen.wait(for: owner == 3 ? 100 : 30)
        if owner == 3 {
          while try await !isSettled(store, group, done.all) { await Task.yield() }
        }
        await group.stop()
      }
      host.stop()
    }
  }

  /// Everything is acknowledged or parked.
  private static func isSettled(_ store: any EventStore, _ group: PersistentGroup, _ done: [UInt64]) async throws -> Bool {
    let events = try await store.readAll(.all, limit: 4_096).filter { !$0.stream.description.hasPrefix("$") }
    return Set(events.positions).isSubset(of: Set(done).union(try await group.parked(limit: 4_096).map(\.position)))
  }

  private static let fold = EventStorePromise(
    "the state of a stream is that of all its events, with and without a snapshot, while it grows"
  ) { world in
    try await world.withStore { store in
      let host = try SubscriptionHost()
      let saved = Reports<UInt64>()
      let fold = try StreamFold(Counting(), store: store, host: host, policy: SnapshotPolicy(events: 20)) { _, result in
        if case .success(let version) = result { saved.tell(version) }
      }
      let name = StreamName.of("s-1")
      var last = 0
      for round in 1...20 {
        try await store.append(name, EventDraft.numbered(UInt64(round * 100)...UInt64(round * 100 + 14)))
        let folded = try await withCheckedThrowingContinuation { continuation in fold.load(name) { continuation.resume(with: $0) } }
        #expect(folded.state == round * 15 && folded.version == UInt64(round * 15 - 1))
        if round % 2 == 0 {
          await saved.wait(for: round / 2)
          #expect(folded.events == 30 && folded.state - last == 30)
          last = folded.state
        }
      }
      host.stop()
    }
  }

  private static let projection = EventStorePromise(
    "a projection that is stopped and started causes one event for each event, as its ids are the same each time"
  ) { world in
    try await world.withStore { store in
      let host = try SubscriptionHost(threads: 2)
      let caused = StreamName.of("caused")
      for round in 1...4 {
        let effects = Reports<Int>()
        var options = Projection<Counting>.Options()
        options.first = .ofAllEvents
        options.policy.events = 10
        let projection = try Projection(
          "p", Counting(), of: SubscriptionSource(.category("even")), store: store, host: host, options: options,
          effect: { call, done in
            effects.tell(call.state)
            store.append([StreamAppend(stream: caused, events: [call.draft("seen", payload: Array("\(call.state)".utf8))])]) { result in
              if case .failure(let error) = result { done(.retry("\(error)")) } else { done(.done) }
            }
          })
        projection.start()
        try await store.append(.of("even-1"), EventDraft.numbered(UInt64(round * 100)...UInt64(round * 100 + 24)))
        await effects.wait(for: 20)
        await withCheckedContinuation { continuation in projection.stop { continuation.resume() } }
        #expect(projection.status.end == .stopped && projection.status.snapshotError == nil)
      }
      let last = try Projection("p", Counting(), of: SubscriptionSource(.category("even")), store: store, host: host)
      try await withCheckedThrowingContinuation { continuation in last.start { continuation.resume(with: $0) } }
      await withCheckedContinuation { continuation in last.stop { continuation.resume() } }
      let events = try await store.readAll(.stream(caused), limit: 4_096)
      let states = events.compactMap { Int(String(decoding: $0.payload, as: UTF8.self)) }
      // The last effect of a round is asked for again in the next one, and may have been under way at the last stop.
      #expect(states == Array(1...max(states.count, 4 * 19)), "\(states)")
      #expect(events.allSatisfy { $0.causation != nil && $0.correlation == $0.causation })
      host.stop()
    }
  }
}

/// Counts events.
private struct Counting: Reducer {
  struct Wrong: Error {}
  var name: String { "counting" }
  var version: UInt32 { 1 }
  var initial: Int { 0 }
  func fold(_ state: inout Int, _ event: RecordedEvent) { state += 1 }
  func encode(_ state: Int) -> [UInt8] { Array("\(state)".utf8) }
  func decode(_ bytes: [UInt8]) throws -> Int {
    guard let state = Int(String(decoding: bytes, as: UTF8.self)) else { throw Wrong() }
    return state
  }
}
