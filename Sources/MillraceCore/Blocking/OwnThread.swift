internal import Glibc

/// Work that may block for long, on a thread of its own.
package final class OwnThread {
  private let body: @Sendable () -> Void

  private init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  /// False: there is no thread to be had, and nothing has happened.
  package static func run(_ body: @escaping @Sendable () -> Void) -> Bool { start(body) == 0 }

  /// As `run`: 0, or an errno value.
  package static func start(_ body: @escaping @Sendable () -> Void) -> Int32 {
    // unsafe: retained for the thread, which gives it back.
    let own = unsafe Unmanaged.passRetained(OwnThread(body))
    var thread = pthread_t()
    let code = unsafe pthread_create(&thread, nil, OwnThread.main, own.toOpaque())
    if code == 0 {
      pthread_detach(thread)
    } else {
      // unsafe: no thread took it.
      unsafe own.release()
    }
    return code
  }

  private static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { own in
    // unsafe: the retain of `start`.
    unsafe Unmanaged<OwnThread>.fromOpaque(own!).takeRetainedValue().body()
    return nil
  }
}
