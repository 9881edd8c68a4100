import MillraceLog
import MillraceSimulation
import MillraceTesting
import Testing

/// Subscriptions, groups, folds and projections over real stores, with threads.
@Suite struct OverStoresTests {
  /// Gives what it gets to `each`, and asks again.
  private func follow(_ subscription: CatchUpSubscription, _ each: @escaping @Sendable (RecordedEvent) -> Void) {
    subscription.next { result in
      guard case .success(let delivery) = result else { return }
      if case .events(let events, _) = delivery { for event in events { each(event) } }
      follow(subscription, each)
    }
  }

  /// Several writers at once, each with its stream.
  private func write(_ store: any EventStore, writers: Int, each: Int) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<writers {
        group.addTask {
          for number in 0..<each {
            _ = try await store.append("\(writer % 2 == 0 ? "even" : "odd")-\(writer)", .any, [UInt64(writer << 32 | number)])
          }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test("while writers append, each subscription gets its events once and in order", arguments: StoreKind.allCases)
  func catchUp(kind: StoreKind) async throws {
    try await kind.with { store in
      let host = try SubscriptionHost(threads: 2)
      let scopes: [ReadRequest.Scope] = [.all, .category("odd"), .stream(try StreamName("even-2"))]
      let reports = scopes.map { _ in Reports<RecordedEvent>() }
      let subscriptions = try scopes.map { try CatchUpSubscription(SubscriptionSource($0), store: store, host: host, limit: 7) }
      for (subscription, reports) in zip(subscriptions, reports) { follow(subscription) { reports.tell($0) } }
      try await write(store, writers: 4, each: 150)
      for (reports, count) in zip(reports, [600, 300, 150]) {
        await reports.wait(for: count)
      }
      for subscription in subscriptions { await stop(subscription.stop) }
      _ = try await store.append("even-2", .any, [1 << 60])
      #expect(reports.map(\.all.count) == [600, 300, 150])
      for reports in reports {
        #expect(zip(reports.all, reports.all.dropFirst()).allSatisfy { $0.position < $1.position })
      }
      host.stop()
    }
  }

  private func stop(_ call: (@escaping @Sendable () -> Void) -> Void) async {
    await withCheckedContinuation { continuation in call { continuation.resume() } }
  }

  @Test("owners of a group follow one another while writers append: every message is acknowledged or parked", arguments: StoreKind.allCases)
  func group(kind: StoreKind) async throws {
    try await kind.with { store in
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
          let link = Reports<GroupConsumer>()
          let consumer = group.connect(name, credit: 8) { notice in
            guard case .message(let message) = notice, let consumer = link.all.first else { return }
            if message.event.id.low % 10 == 3 { return consumer.refuse(message, .retry()) }
            consumer.acknowledge(message)
            done.tell(message.event.position)
            seen.tell(message.event.position)
          }
          link.tell(consumer)
        }
        // Not before: messages that come without a consumer's link would wait for their timeout.
        try await Calls.of { completion in group.start { completion($0.mapError { .invalid("\($0)") }) } }
        try await write(store, writers: 2, each: 100 * owner)
        await seen.wait(for: owner == 3 ? 100 : 30)
        if owner == 3 { await reaches(store, group, definition, done) }
        await stop(group.stop)
      }
      host.stop()
    }
  }

  /// Waits until everything is acknowledged or parked.
  private func reaches(_ store: any EventStore, _ group: PersistentGroup, _ definition: GroupDefinition, _ done: Reports<UInt64>) async {
    while true {
      let page = try? await store.read(ReadRequest(.all, limit: 4_096))
      let wanted = Set((page?.events ?? []).filter { !$0.stream.description.hasPrefix("$") }.map(\.position))
      let parked = try? await Calls.of { completion in
        group.parked(limit: 4_096) { completion($0.mapError { .invalid("\($0)") }) }
      }
      let settled = Set(done.all).union((parked ?? []).map(\.position))
      if wanted.isSubset(of: settled) { return }
      await Task.yield()
    }
  }

  @Test("the state of a stream is that of all its events, with and without a snapshot, while it grows", arguments: StoreKind.allCases)
  func fold(kind: StoreKind) async throws {
    try await kind.with { store in
      let host = try SubscriptionHost()
      let saved = Reports<UInt64>()
      let fold = try StreamFold(Counting(), store: store, host: host, policy: SnapshotPolicy(events: 20)) { _, result in
        if case .success(let version) = result { saved.tell(version) }
      }
      let name = try StreamName("s-1")
      var last = 0
      for round in 1...20 {
        _ = try await store.append("s-1", .any, (0..<15).map { UInt64(round * 100 + $0) })
        let folded = try await Calls.of { completion in fold.load(name) { completion($0.mapError { .invalid("\($0)") }) } }
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

  @Test(
    "a projection that is stopped and started causes one event for each event, as its ids are the same each time",
    arguments: StoreKind.allCases)
  func projection(kind: StoreKind) async throws {
    try await kind.with { store in
      let host = try SubscriptionHost(threads: 2)
      let caused = try StreamName("caused")
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
        _ = try await store.append("even-1", .any, (0..<25).map { UInt64(round * 100 + $0) })
        await effects.wait(for: 20)
        await stop(projection.stop)
        #expect(projection.status.end == .stopped && projection.status.snapshotError == nil)
      }
      let last = try Projection("p", Counting(), of: SubscriptionSource(.category("even")), store: store, host: host)
      try await Calls.of { completion in last.start { completion($0.mapError { .invalid("\($0)") }) } }
      await stop(last.stop)
      let page = try await store.read(ReadRequest(.stream(caused), limit: 4_096))
      let states = page.events.compactMap { Int(String(decoding: $0.payload, as: UTF8.self)) }
      #expect(
        states == Array(1...max(states.count, 80)) && page.events.allSatisfy { $0.causation != nil && $0.correlation == $0.causation })
      host.stop()
    }
  }
}

/// Counts events.
struct Counting: Reducer {
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
