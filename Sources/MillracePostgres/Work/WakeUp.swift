#if Postgres
  internal import Glibc
  internal import MillraceCore

  /// Nanoseconds of the monotonic clock: for time limits of the network only.
  enum Monotonic {
    static var now: UInt64 { Clock.monotonic.now }
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
