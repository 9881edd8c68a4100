internal import MillraceCore

/// One at a time for each name, in the order in which they came; nobody holds a thread while it waits.
///
/// # Threads
/// Any. Who is cancelled while it waits has its turn all the same, and finds out then.
final class Turns: @unchecked Sendable {
  private let monitor = Monitor()
  /// Who waits; a name that is not here is free.
  private var waiting: [String: [CheckedContinuation<Void, Never>]] = [:]

  deinit { monitor.deallocate() }

  func turn<Value>(of name: String, _ body: () async throws -> Value) async throws -> Value {
    await withCheckedContinuation { continuation in
      let isFree = monitor.locked {
        if waiting[name] == nil {
          waiting[name] = []
          return true
        }
        waiting[name]?.append(continuation)
        return false
      }
      if isFree { continuation.resume() }
    }
    defer { leave(name) }
    return try await body()
  }

  private func leave(_ name: String) {
    let next = monitor.locked { () -> CheckedContinuation<Void, Never>? in
      if waiting[name]?.isEmpty != false {
        waiting[name] = nil
        return nil
      }
      return waiting[name]?.removeFirst()
    }
    next?.resume()
  }
}
