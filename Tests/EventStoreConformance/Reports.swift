internal import Synchronization

/// What closures of other threads tell a test, and a way to wait for it.
public final class Reports<Value: Sendable>: Sendable {
  private struct State {
    var values: [Value] = []
    var waits: [(count: Int, go: CheckedContinuation<Void, Never>)] = []
    var isFinished = false
  }
  private let state = Mutex(State())

  public init() {}

  public var all: [Value] { state.withLock { $0.values } }

  public func tell(_ value: Value) {
    let ready = state.withLock { state in
      state.values.append(value)
      let ready = state.waits.filter { $0.count <= state.values.count }
      state.waits.removeAll { $0.count <= state.values.count }
      return ready
    }
    for wait in ready { wait.go.resume() }
  }

  /// Nothing comes any more: nobody waits in vain.
  public func finish() {
    let ready = state.withLock { state in
      state.isFinished = true
      defer { state.waits = [] }
      return state.waits
    }
    for wait in ready { wait.go.resume() }
  }

  /// Waits until so many were told, or no more will be.
  public func wait(for count: Int) async {
    await withCheckedContinuation { go in
      let isThere = state.withLock { state in
        if state.values.count >= count || state.isFinished { return true }
        state.waits.append((count, go))
        return false
      }
      if isThere { go.resume() }
    }
  }
}
