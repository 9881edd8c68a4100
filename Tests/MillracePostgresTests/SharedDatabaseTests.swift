#if Postgres
  import EventStoreConformance
  import MillraceLog
  import MillracePostgres
  import Testing

  /// Several stores on one schema, and what is in it.
  @Suite(.needsPostgres, .serialized) struct SharedDatabaseTests {
    @Test("stores that are opened at once make one schema, and keep one order")
    func openedAtOnce() async throws {
      let server = try PostgresServer.shared.get()
      let configuration = try server.configuration()
      let stores = try await withThrowingTaskGroup(of: PostgresEventStore.self) { group in
        for _ in 0..<4 { group.addTask { try PostgresEventStore(configuration) } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(try server.sql("select count(*) from \(configuration.schema).migrations") == "3")
      await withTaskGroup(of: Void.self) { group in
        for (index, store) in stores.enumerated() {
          group.addTask {
            // One that fails ends the readers' waits as well: they would wait for its events for ever.
            do { try await fill(store, UInt64(index)) } catch {
              Issue.record("\(error)")
              for store in stores { store.close { _ in } }
            }
          }
          group.addTask {
            do { #expect(try await follow(store, 200) == Array(0..<200)) } catch { Issue.record("\(error)") }
          }
        }
      }
      for store in stores { try? await store.close() }
    }

    private func fill(_ store: PostgresEventStore, _ index: UInt64) async throws {
      for number in 0..<50 as Range<UInt64> {
        try await store.append(try StreamName("shared-\(number % 3)"), [.numbered(index * 1000 + number)])
      }
    }

    /// The positions that a reader sees while they are being filled.
    private func follow(_ store: PostgresEventStore, _ count: Int) async throws -> [UInt64] {
      var seen: [UInt64] = []
      var next: UInt64 = 0
      while seen.count < count {
        _ = try await store.wait(for: next)
        let page = try await store.read(ReadRequest(.all, from: .at(next)))
        seen += page.events.positions
        next = try #require(page.next)
      }
      return seen
    }

    @Test("schemas in one database are stores of their own")
    func schemas() async throws {
      let server = try PostgresServer.shared.get()
      let one = try PostgresEventStore(try server.configuration())
      let two = try PostgresEventStore(try server.configuration())
      try await one.append(try StreamName("a"), .noStream, [.numbered(1)])
      #expect(try await two.end() == 0)
      try await two.append(try StreamName("a"), .noStream, [.numbered(1)])
      #expect(try await two.end() == 1)
      try await one.close()
      try await two.close()
    }

    @Test("events lie in partitions by position; a stream is read across them")
    func partitions() async throws {
      let server = try PostgresServer.shared.get()
      var configuration = try server.configuration()
      configuration.partitionEvents = 1000
      let store = try PostgresEventStore(configuration)
      for number in stride(from: 0, to: 3500, by: 700) as StrideTo<UInt64> {
        try await store.append(try StreamName("long"), EventDraft.numbered(number...number + 699))
      }
      let schema = configuration.schema
      #expect(
        try server.sql(
          "select string_agg(inhrelid::regclass::text, ' ' order by inhrelid) from pg_inherits where inhparent = '\(schema).events'::regclass"
        )
          == (0..<4).map { "\(schema).events_\($0 * 1000)" }.joined(separator: " "))
      #expect(try server.sql("select count(*) from \(schema).events_3000") == "500")
      #expect(try await store.readAll(.stream(try StreamName("long")), limit: 333).versions == Array(0..<3500))
      #expect(try await store.readAll(.stream(try StreamName("long")), .backward, limit: 333).versions == (0..<3500).reversed())
      try await store.close()
    }

    @Test("what has fallen out of a stream is deleted, but not while its ids are looked for")
    func sweeping() async throws {
      let server = try PostgresServer.shared.get()
      var configuration = try server.configuration()
      configuration.partitionEvents = 50_000
      configuration.sweepInterval = .milliseconds(20)
      let store = try PostgresEventStore(configuration)
      let stream = try StreamName("swept")
      let aged = try StreamName("aged")
      try await store.append(stream, EventDraft.numbered(0...99))
      try await store.append(aged, EventDraft.numbered(0...9))
      try await store.setLimits(StreamLimits(count: 10), of: stream)
      try await store.setLimits(StreamLimits(age: 1), of: aged)
      var number: UInt64 = 1000
      func rows() throws -> String { try server.sql("select count(*) from \(configuration.schema).events where position < 110") }
      #expect(try rows() == "110")
      while number < 1000 + UInt64(EventLimits.idWindow) {
        try await store.append(try StreamName("filler"), EventDraft.numbered(number...number + 4095))
        number += 4096
      }
      // 90 by count, 10 by age.
      while try rows() != "10" { await Task.yield() }
      #expect(try await store.readAll(.stream(stream)).numbers == Array(90...99))
      let page = try await store.read(ReadRequest(.stream(aged)))
      #expect(page.events.isEmpty && page.lastVersion == 9)
      try await store.append(aged, .exact(9), [.numbered(50)])
      try await store.append(stream, .exact(99), EventDraft.numbered(100...104))
      #expect(try await store.readAll(.stream(stream)).numbers == Array(95...104))
      try await store.close()
    }
  }
#endif
