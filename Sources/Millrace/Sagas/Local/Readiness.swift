internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Waits for descriptors on a thread of its own, so that it holds up none of Swift's.
enum Readiness {
  /// Which of the descriptors can be read, in their order; all false: `deadline` of the monotonic clock has come. nil: without an end. Throws `CancellationError`, or
  /// `TaskFailure` if there is no thread or no descriptor to be had.
  static func wait(for descriptors: [Int32], until deadline: UInt64?) async throws -> [Bool] {
    let alarm = millrace_alarm()
    if alarm < 0 { throw TaskFailure.file("eventfd", -alarm) }
    defer { close(alarm) }
    let ready = try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<[Bool], any Error>) in
        let code = OwnThread.start { continuation.resume(with: poll(descriptors + [alarm], deadline)) }
        if code != 0 { continuation.resume(throwing: TaskFailure.file("pthread_create", code)) }
      }
    } onCancel: {
      let code = millrace_ring(alarm)
      precondition(code == 0, "invariant broken: an alarm that nobody has rung takes a ring, errno \(code)")
    }
    try _Concurrency.Task.checkCancellation()
    return Array(ready.dropLast())
  }

  private static func poll(_ descriptors: [Int32], _ deadline: UInt64?) -> Result<[Bool], any Error> {
    var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
      let now = millrace_monotonic()
      // Rounded up, so that it does not spin before the end.
      let milliseconds = deadline.map { Int32(clamping: ($0 - min(now, $0) + 999_999) / 1_000_000) } ?? -1
      let count = unsafe Glibc.poll(&entries, nfds_t(entries.count), milliseconds)
      if count > 0 { return .success(entries.map { $0.revents != 0 }) }
      if count < 0, errno != EINTR { return .failure(TaskFailure.file("poll")) }
      if count == 0, let deadline, millrace_monotonic() >= deadline { return .success(entries.map { _ in false }) }
    }
  }
}
