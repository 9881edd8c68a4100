import EventStoreConformance
import MillraceLog
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
    return try EventLog(DirectoryStorage(folder.path), configuration)
  }
}

@Suite("a log keeps the promises of event stores", .serialized) struct LogConformanceTests {
  @Test(arguments: EventStorePromise.all)
  func promise(_ promise: EventStorePromise) async throws { try await promise.check(LogWorld()) }
}
