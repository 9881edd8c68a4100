public import MillraceLog
public import Testing

/// One promise of the contract of event stores, and how it is seen whether a store keeps it.
///
///     @Test("a store keeps its promises", arguments: EventStorePromise.all)
///     func promises(promise: EventStorePromise) async throws { try await promise.check(MyWorld()) }
public struct EventStorePromise: Sendable, CustomTestStringConvertible {
  public let name: String
  public let check: @Sendable (any EventStoreWorld) async throws -> Void

  init(_ name: String, _ check: @escaping @Sendable (any EventStoreWorld) async throws -> Void) {
    self.name = name
    self.check = check
  }

  public var testDescription: String { name }

  public static let all: [EventStorePromise] = [
    fields, expectedVersions, repetitions, atomicity, bounds, paging, histories, order, linearizability, waits, snapshots, limits, closing,
    subscriptions,
  ].flatMap { $0 }
}

/// Where stores of one kind come from.
public protocol EventStoreWorld: Sendable {
  /// A new, empty store that takes its time from `clock`. Its promise closes it.
  func makeStore(_ clock: TestWallClock) async throws -> any EventStore

  /// Operations of the longest histories.
  var operations: Int { get }
}

extension EventStoreWorld {
  /// A store for as long as `body` takes.
  func withStore(_ body: (any EventStore) async throws -> Void) async throws {
    try await withStore(TestWallClock()) { store in try await body(store) }
  }

  func withStore(_ clock: TestWallClock, _ body: (any EventStore) async throws -> Void) async throws {
    let store = try await makeStore(clock)
    do {
      try await body(store)
    } catch {
      try await store.close()
      throw error
    }
    try await store.close()
  }
}
