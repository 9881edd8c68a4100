import Foundation
import MillraceCore
import MillraceLog
import MillraceTesting
import MillraceWorkflow
import Testing

@testable import Millrace

/// What handlers of durable runs have done, by idempotency key: the effects that a crash must neither lose nor double.
final class Effects: @unchecked Sendable {
  private let monitor = Monitor()
  private var calls: [String: Int] = [:]

  deinit { monitor.deallocate() }

  func note(_ key: String) { monitor.locked { calls[key, default: 0] += 1 } }
  func count(_ key: String) -> Int { monitor.locked { calls[key] ?? 0 } }
  var all: [String: Int] { monitor.locked { calls } }
}

/// An engine over a store in memory, whose events can be cut off anywhere as a crash would.
struct DurableWorld {
  let effects = Effects()

  /// `more`: registers handlers and deploys workflows.
  func engine(over store: any EventStore, _ more: (Engine) throws -> Void) throws -> Engine {
    var configuration = Engine.Configuration()
    configuration.slots = 2
    configuration.threads = 2
    // Many engines at once: each keeps room for its tasks.
    configuration.capacity = 10_000
    configuration.store = store
    configuration.seed = 7
    let engine = try Engine(configuration)
    try more(engine)
    return engine
  }

  /// A store with these events of another, as new. `wall`: as that of `MemoryEventStore`.
  func store(_ events: some Sequence<RecordedEvent>, wall: (@Sendable () -> Int64)? = nil) -> MemoryEventStore {
    let store = MemoryEventStore(wall: wall)
    for event in events {
      let draft = EventDraft(
        id: event.id, type: event.type, typeVersion: event.typeVersion, contentType: event.contentType, payload: event.payload,
        correlation: event.correlation)
      store.append([StreamAppend(stream: event.stream, tenant: event.tenant, events: [draft])]) { result in
        if case .failure(let error) = result { Issue.record("event \(event.position) was not copied: \(error)") }
      }
    }
    return store
  }
}

extension RecordedEvent {
  var text: String { String(decoding: payload, as: UTF8.self) }
}

/// A directory that goes with this object.
final class Folder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "durable-\(UInt64.random(in: .min ... .max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  deinit {
    do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record("\(path) is not removed: \(error)") }
  }
}
