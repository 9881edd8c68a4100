internal import MillraceCore

/// A value that one Swift task waits for, once, and holds no thread. The first one that is given counts.
@safe final class Awaited<Value: Sendable>: @unchecked Sendable {
  private let monitor = Monitor()
  // The monitor's.
  private var given: Value?
  private var continuation: CheckedContinuation<Value, Never>?

  deinit { monitor.deallocate() }

  /// Any thread.
  func give(_ value: Value) {
    let continuation: CheckedContinuation<Value, Never>? = monitor.locked {
      if given != nil { return nil }
      given = value
      defer { self.continuation = nil }
      return self.continuation
    }
    continuation?.resume(returning: value)
  }

  /// What was given; `cancelled`, if the Swift task is cancelled before.
  func value(whenCancelled cancelled: Value) async -> Value {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let value = monitor.locked { () -> Value? in
          if given == nil { self.continuation = continuation }
          return given
        }
        if let value { continuation.resume(returning: value) }
      }
    } onCancel: {
      give(cancelled)
    }
  }
}
