import MillraceLog
import Synchronization

/// Calls a store and waits for the completion.
enum Calls {
  static func of<Value: Sendable>(_ call: (@escaping EventCompletion<Value>) -> Void) async throws(EventStoreError) -> Value {
    let result = await withCheckedContinuation { continuation in call { continuation.resume(returning: $0) } }
    return try result.get()
  }
}

extension EventStore {
  func append(_ appends: [StreamAppend]) async throws(EventStoreError) -> AppendReceipt {
    try await Calls.of { append(appends, completion: $0) }
  }
  func append(
    _ stream: String, _ expected: ExpectedVersion = .any, _ ids: [UInt64], payload: [UInt8] = [1, 2, 3]
  ) async throws(EventStoreError) -> AppendReceipt {
    let events = ids.map { EventDraft(id: EventID(high: 0, low: $0), type: "counted", payload: payload) }
    return try await append([StreamAppend(stream: try StreamName(stream), expected: expected, events: events)])
  }
  func read(_ request: ReadRequest) async throws(EventStoreError) -> EventPage { try await Calls.of { read(request, completion: $0) } }
  func end() async throws(EventStoreError) -> UInt64 { try await Calls.of { end(completion: $0) } }
}
