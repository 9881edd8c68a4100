#if Postgres
  import EventStoreConformance
  import MillraceLog
  import MillracePostgres
  import Testing

  /// Writers and subscribers of a server that is stopped and killed again and again.
  @Suite(.needsPostgres, .serialized) struct SubscribersRestartTests {
    private static let writers = 8 as UInt64
    private static let each = 120 as UInt64
    private static let total = Int(writers * each)

    /// Which stream a writer has: of two categories.
    private static func stream(_ writer: UInt64) throws -> StreamName { try StreamName("\(writer % 2 == 0 ? "even" : "odd")-\(writer)") }

    /// - Parameter patience: of the subscribers' store. With little, they themselves are told that the server is away, and ask again.
    @Test(
      "PostgreSQL stopped and restarted in the middle: nothing lost, nothing doubled, nothing skipped by a subscriber",
      arguments: [Duration.milliseconds(20), .seconds(30)])
    func restarts(patience: Duration) async throws {
      let server = try PostgresServer()
      var configuration = try server.configuration()
      let writing = try PostgresEventStore(configuration)
      configuration.patience = patience
      let reading = try PostgresEventStore(configuration)
      let host = try SubscriptionHost(threads: 2)
      let sources = [SubscriptionSource(.all), SubscriptionSource(.category("odd")), SubscriptionSource(.stream(try Self.stream(2)))]
      let followers = try sources.map { try EventFollower($0, store: reading, host: host, limit: 7) }
      let done = Reports<UInt64>()
      let ends = Reports<GroupEnd>()
      let group = try group(reading, host, done, ends)
      try await group.start()

      let acknowledged = Reports<(id: UInt64, position: UInt64)>()
      async let late = lives(sources[0], reading, host)
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        for writer in 0..<Self.writers { tasks.addTask { try await write(writing, writer, acknowledged) } }
        tasks.addTask {
          for (round, way) in ["fast", "kill", "immediate", "kill", "fast", "kill"].enumerated() {
            await acknowledged.wait(for: Self.total * (round + 1) / 8)
            try server.stop(way)
            try server.start()
          }
        }
        try await tasks.waitForAll()
      }

      let all = try await writing.readAll(.all, limit: 4096).filter { !$0.stream.description.hasPrefix("$") }
      #expect(all.count == Self.total && Set(all.numbers).count == Self.total && isGrowing(all.positions))
      #expect(acknowledged.all.count == Self.total)
      let positions = Dictionary(uniqueKeysWithValues: all.map { ($0.id.low, $0.position) })
      for (id, position) in acknowledged.all { #expect(positions[id] == position) }
      for (follower, source) in zip(followers, sources) {
        let wanted = try await writing.readAll(source.scope, limit: 4096).filter { !$0.stream.description.hasPrefix("$") }
        await follower.events.wait(for: wanted.count)
        await follower.stop()
        #expect(follower.events.all == wanted, "\(source.scope)")
      }
      #expect(try await late == all)

      while Set(done.all).count < Self.total, ends.all.isEmpty { await done.wait(for: done.all.count + 1) }
      #expect(ends.all.isEmpty && Set(done.all) == Set(all.positions))
      await group.stop()
      #expect(group.status.parked == 0)
      try await nothingLeft(writing, host)
      host.stop()
      try await writing.close()
      try await reading.close()
    }

    /// One writer, whose streams' versions are the numbers of its appends.
    private func write(_ store: any EventStore, _ writer: UInt64, _ acknowledged: Reports<(id: UInt64, position: UInt64)>) async throws {
      for number in 0..<Self.each {
        let id = writer << 32 + number
        let receipt = try await store.append(try Self.stream(writer), number == 0 ? .noStream : .exact(number - 1), [.numbered(id)])
        #expect(receipt.firstVersion == number)
        acknowledged.tell((id, receipt.firstPosition))
      }
    }

    /// A consumer that goes and comes again, and goes on at its checkpoint.
    private func lives(_ source: SubscriptionSource, _ store: any EventStore, _ host: SubscriptionHost) async throws -> [RecordedEvent] {
      var events: [RecordedEvent] = []
      var checkpoint: UInt64 = 0
      while events.count < Self.total {
        let life = try EventFollower(source, from: checkpoint, store: store, host: host, limit: 11)
        await life.events.wait(for: min(100, Self.total - events.count))
        await life.stop()
        guard !life.events.all.isEmpty else { return events }
        events += life.events.all
        checkpoint = life.checkpoint
      }
      return events
    }

    private func definition() -> GroupDefinition {
      var settings = GroupSettings()
      settings.minCheckpoint = 1
      settings.maxCheckpoint = 20
      return GroupDefinition("g", SubscriptionSource(.all), settings: settings)
    }

    private func group(
      _ store: any EventStore, _ host: SubscriptionHost, _ done: Reports<UInt64>, _ ends: Reports<GroupEnd>
    ) throws -> PersistentGroup {
      let group = try PersistentGroup(definition(), store: store, host: host) { end in
        if end != .stopped {
          ends.tell(end)
          done.finish()
        }
      }
      for name in ["a", "b"] {
        group.work(name) { consumer, message in
          consumer.acknowledge(message)
          done.tell(message.event.position)
        }
      }
      return group
    }

    /// The next owner of the group has nothing to give: what was acknowledged is kept.
    private func nothingLeft(_ store: any EventStore, _ host: SubscriptionHost) async throws {
      let done = Reports<UInt64>()
      let group = try group(store, host, done, Reports())
      try await group.start()
      while !group.status.isLive, group.status.end == nil { await Task.yield() }
      await group.stop()
      #expect(group.status.end == .stopped && done.all.isEmpty)
    }
  }
#endif
