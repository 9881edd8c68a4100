import MillraceCore
import MillraceLog
import MillraceTesting

/// The stores that subscriptions are tested on.
enum StoreKind: String, CaseIterable {
  case memory, log

  /// Runs `body` with a store that is empty, and closes it.
  func with(_ body: (any EventStore) async throws -> Void) async throws {
    let folder = Folder()
    let store: any EventStore =
      switch self {
      case .memory: MemoryEventStore()
      case .log: try Self.log(folder)
      }
    let result: Result<Void, any Error>
    do { result = .success(try await body(store)) } catch { result = .failure(error) }
    try await Calls.of { store.close(completion: $0) }
    try result.get()
  }

  private static func log(_ folder: Folder) throws -> EventLog {
    var configuration = EventLog.Configuration()
    configuration.segmentBytes = 1 << 20
    configuration.firstSegmentBytes = 256 << 10
    return try EventLog(DirectoryStorage(folder.path), configuration)
  }
}

/// What closures of other threads tell a test, and a way to wait for it.
final class Reports<Value: Sendable>: @unchecked Sendable {
  private let monitor = Monitor()
  private var values: [Value] = []
  private var waits: [(count: Int, go: CheckedContinuation<Void, Never>)] = []

  deinit { monitor.deallocate() }

  var all: [Value] { monitor.locked { values } }

  func tell(_ value: Value) {
    let ready = monitor.locked {
      values.append(value)
      defer { waits.removeAll { $0.count <= values.count } }
      return waits.filter { $0.count <= values.count }
    }
    for wait in ready { wait.go.resume() }
  }

  /// Waits until so many were told.
  func wait(for count: Int) async {
    await withCheckedContinuation { go in
      let isThere = monitor.locked {
        if values.count >= count { return true }
        waits.append((count, go))
        return false
      }
      if isThere { go.resume() }
    }
  }
}
