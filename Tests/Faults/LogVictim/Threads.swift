import Dispatch
import Glibc
import Synchronization

/// Calls `body` on so many threads at once, with their numbers, and waits for all.
nonisolated func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let threads = (0..<count).map { number in
    var thread = pthread_t()
    // unsafe: retained for the thread, which gives it back.
    let code = unsafe pthread_create(&thread, nil, OneThread.main, Unmanaged.passRetained(OneThread { body(number) }).toOpaque())
    precondition(code == 0, "a thread can be made")
    return thread
  }
  for thread in threads { pthread_join(thread, nil) }
}

/// Waits for what a call completes with.
nonisolated func waitFor<Value: Sendable>(_ call: (@escaping @Sendable (Value) -> Void) -> Void) -> Value {
  let ended = DispatchSemaphore(value: 0)
  let value = Mutex<Value?>(nil)
  call { result in
    value.withLock { $0 = result }
    ended.signal()
  }
  ended.wait()
  guard let value = value.withLock({ $0 }) else { preconditionFailure("it was told before the signal") }
  return value
}

private final class OneThread: Sendable {
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { thread in
    // unsafe: the retain of `onThreads`.
    unsafe Unmanaged<OneThread>.fromOpaque(thread!).takeRetainedValue().body()
    return nil
  }
}
