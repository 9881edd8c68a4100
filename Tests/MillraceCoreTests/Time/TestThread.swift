import Glibc

/// A thread of a test: runs its body at once, ends with `join()`.
struct TestThread {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private var thread = pthread_t()

  init(_ run: @escaping @Sendable () -> Void) {
    // Safe: the new thread takes over the retained body and releases it.
    let body = unsafe Unmanaged.passRetained(Body(run)).toOpaque()
    let code = unsafe pthread_create(&thread, nil, Self.main, body)
    precondition(code == 0, "no thread for a test: \(code)")
  }

  func join() { pthread_join(thread, nil) }

  // A constant outside of any actor: another thread calls it.
  nonisolated private static var main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    { body in
      guard let body = unsafe body else { return nil }
      unsafe Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run()
      return nil
    }
  }
}
