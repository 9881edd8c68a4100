#if Postgres
  import EventStoreConformance
  import MillraceLog
  import MillracePostgres
  import Testing

  /// Each promise has a schema of its own in one server.
  private struct PostgresWorld: EventStoreWorld {
    let operations = 20_000

    func makeStore(_ clock: TestWallClock) async throws -> any EventStore {
      var configuration = try PostgresServer.shared.get().configuration()
      configuration.wallClock = { clock.now }
      // Small, so that histories cross them.
      configuration.partitionEvents = 1_000
      return try PostgresEventStore(configuration)
    }
  }

  @Suite("PostgreSQL keeps the promises of event stores", .needsPostgres, .serialized) struct PostgresConformanceTests {
    @Test(arguments: EventStorePromise.all)
    func promise(_ promise: EventStorePromise) async throws { try await promise.check(PostgresWorld()) }
  }
#endif
