import EventStoreConformance
import MillraceLog
import MillraceTesting
import Synchronization
import Testing

/// Each promise has a directory of its own.
private final class LogWorld: EventStoreWorld {
  let operations = 100_000
  private let folders = Mutex<[Folder]>([])

  func makeStore(_ clock: TestWallClock) async throws -> any EventStore {
    let folder = Folder()
    folders.withLock { $0.append(folder) }
    var configuration = EventLog.Configuration()
    configuration.wallClock = { clock.now }
    // Small, so that a promise goes over several segments.
    configuration.firstSegmentBytes = 256 << 10
    return try EventLog(DirectoryStorage(folder.path), configuration)
  }
}

@Suite("a log keeps the promises of event stores", .serialized) struct LogConformanceTests {
  @Test(arguments: EventStorePromise.all)
  func promise(_ promise: EventStorePromise) async throws { try await promise.check(LogWorld()) }
}

private struct MemoryWorld: EventStoreWorld {
  let operations = 20_000
  func makeStore(_ clock: TestWallClock) async throws -> any EventStore { MemoryEventStore(wall: { clock.now }) }
}

@Suite("a store in memory keeps the promises of event stores", .serialized) struct MemoryConformanceTests {
  @Test(arguments: EventStorePromise.all)
  func promise(_ promise: EventStorePromise) async throws { try await promise.check(MemoryWorld()) }
}
