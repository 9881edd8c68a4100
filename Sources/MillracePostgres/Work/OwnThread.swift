#if Postgres
  internal import Glibc
  internal import MillraceCore

  /// Nanoseconds of the monotonic clock: for time limits of the network only.
  enum Monotonic {
    static var now: UInt64 { Clock.monotonic.now }
  }

  /// A thread of its own for a connection.
  final class OwnThread {
    private let body: @Sendable () -> Void

    private init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    /// 0, or an errno value: then nothing has happened.
    static func run(_ body: @escaping @Sendable () -> Void) -> Int32 {
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
      guard let own = unsafe own else { return nil }
      // unsafe: the retain of `run`.
      unsafe Unmanaged<OwnThread>.fromOpaque(own).takeRetainedValue().body()
      return nil
    }
  }

  /// Wakes a thread that polls: a pipe. Any thread.
  final class WakeUp: Sendable {
    /// What to poll.
    let descriptor: Int32
    private let source: Int32

    /// nil: the process has too many files open.
    init?() {
      var ends: [Int32] = [-1, -1]
      guard unsafe pipe(&ends) == 0 else { return nil }
      for end in ends {
        _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
      }
      descriptor = ends[0]
      source = ends[1]
    }

    deinit {
      close(descriptor)
      close(source)
    }

    func signal() {
      var byte: UInt8 = 1
      // A full pipe wakes as well.
      unsafe _ = write(source, &byte, 1)
    }

    func drain() {
      var bytes = [UInt8](repeating: 0, count: 4096)
      while unsafe read(descriptor, &bytes, bytes.count) == bytes.count {}
    }
  }
#endif
