public import MillraceLog

/// The contract for `async` code: tests are written in it.
extension EventStore {
  public func append(_ appends: [StreamAppend]) async throws -> AppendReceipt {
    try await withCheckedThrowingContinuation { continuation in append(appends) { continuation.resume(with: $0) } }
  }

  /// One stream, and its part of the receipt.
  @discardableResult
  public func append(_ stream: StreamName, _ expected: ExpectedVersion, tenant: String? = nil, _ events: [EventDraft]) async throws
    -> AppendReceipt.Stream
  {
    try await append([StreamAppend(stream: stream, expected: expected, tenant: tenant, events: events)]).streams[0]
  }

  /// As above, with any version.
  @discardableResult
  public func append(_ stream: StreamName, tenant: String? = nil, _ events: [EventDraft]) async throws -> AppendReceipt.Stream {
    try await append(stream, .any, tenant: tenant, events)
  }

  public func read(_ request: ReadRequest) async throws -> EventPage {
    try await withCheckedThrowingContinuation { continuation in read(request) { continuation.resume(with: $0) } }
  }

  public func end() async throws -> UInt64 {
    try await withCheckedThrowingContinuation { continuation in end { continuation.resume(with: $0) } }
  }

  public func position(since time: Int64) async throws -> UInt64 {
    try await withCheckedThrowingContinuation { continuation in position(since: time) { continuation.resume(with: $0) } }
  }

  /// The end, when there is an event at `position` or later.
  public func wait(for position: UInt64) async throws -> UInt64 {
    try await withCheckedThrowingContinuation { continuation in self.await(position) { continuation.resume(with: $0) } }
  }

  public func setLimits(_ limits: StreamLimits, of stream: StreamName) async throws {
    try await withCheckedThrowingContinuation { continuation in setLimits(limits, of: stream) { continuation.resume(with: $0) } }
  }

  public func save(_ snapshot: Snapshot) async throws {
    try await withCheckedThrowingContinuation { continuation in save(snapshot) { continuation.resume(with: $0) } }
  }

  public func snapshot(of stream: StreamName, reducer: String) async throws -> Snapshot? {
    try await withCheckedThrowingContinuation { continuation in snapshot(of: stream, reducer: reducer) { continuation.resume(with: $0) } }
  }

  public func close() async throws {
    try await withCheckedThrowingContinuation { continuation in close { continuation.resume(with: $0) } }
  }

  /// All events of a scope, page by page.
  public func readAll(
    _ scope: ReadRequest.Scope, _ direction: ReadRequest.Direction = .forward, limit: Int = 512, tenant: String? = nil
  ) async throws -> [RecordedEvent] {
    var events: [RecordedEvent] = []
    var request = ReadRequest(scope, direction, limit: limit, tenant: tenant)
    while true {
      let page = try await read(request)
      events += page.events
      guard !page.isLast, let next = page.next else { return events }
      request.start = .at(next)
    }
  }
}

/// The error of `body`; nil if it has none.
public func storeError<Value>(_ body: () async throws -> Value) async throws -> EventStoreError? {
  do {
    _ = try await body()
    return nil
  } catch let error as EventStoreError {
    return error
  }
}
