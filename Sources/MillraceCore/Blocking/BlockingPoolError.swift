internal import Glibc

/// Why a blocking pool did not take a piece of work. The caller keeps the value.
public enum BlockingPoolError: Error, Equatable, CustomStringConvertible {
  /// As many values wait as may wait.
  case full(capacity: Int)
  /// The pool has been stopped.
  case stopped
  /// The pool has no thread and the system gives none: an errno value.
  case noThread(code: Int32)

  public var description: String {
    switch self {
    case .full(let capacity):
      "the blocking pool has \(capacity) values waiting, its capacity: raise it or its thread limit, or submit later"
    case .stopped: "the blocking pool has been stopped"
    // Safe: strerror returns a terminated string; it is copied at once.
    case .noThread(let code): "the blocking pool cannot start a thread: \(unsafe String(cString: strerror(code)))"
    }
  }
}
