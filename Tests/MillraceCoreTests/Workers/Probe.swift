import CMillrace
import Glibc
import Synchronization

@testable import MillraceCore

/// A number that threads raise and a test waits for, on a futex.
@safe final class Tally: Sendable {
  // unsafe: one word, freed in deinit.
  private nonisolated(unsafe) let word: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: Atomic(0))
  }

  deinit { unsafe word.deallocate() }

  var count: UInt32 { unsafe word.pointee.load(ordering: .sequentiallyConsistent) }

  func raise(by count: UInt32 = 1) {
    unsafe word.pointee.add(count, ordering: .sequentiallyConsistent)
    _ = unsafe millrace_futex_wake(word, .max)
  }

  /// False: the number is still below `count` after a minute, far beyond what any machine needs.
  func wait(for count: UInt32) -> Bool {
    let deadline = millrace_monotonic() + 60_000_000_000
    while true {
      let seen = unsafe word.pointee.load(ordering: .sequentiallyConsistent)
      if seen >= count { return true }
      let now = millrace_monotonic()
      if now >= deadline { return false }
      _ = unsafe millrace_futex_wait(word, seen, Int64(deadline - now))
    }
  }
}

/// A handler that is a closure.
@safe final class ClosureHandler: Sendable {
  private let body: @Sendable (inout JobContext) -> Void

  init(_ body: @escaping @Sendable (inout JobContext) -> Void) { self.body = body }

  /// unsafe: this object must outlive the scheduler's threads.
  var handler: Handler {
    unsafe Handler(
      run: { context, call in
        let handler = unsafe Unmanaged<ClosureHandler>.fromOpaque(context!).takeUnretainedValue()
        unsafe handler.body(&call.assumingMemoryBound(to: JobContext.self).pointee)
        return Outcome.done.rawValue
      }, context: Unmanaged.passUnretained(self).toOpaque())
  }
}

/// What the system tells of the threads that have been seen.
struct ThreadWatch {
  private let threads: [Int32]

  init(_ threads: [Int32]) { self.threads = threads }

  /// How often the threads left a processor: because they waited, and because the system gave it to others.
  struct Switches {
    var voluntary = 0
    var involuntary = 0
    var total: Int { voluntary + involuntary }
  }

  var switches: Switches {
    var sum = Switches()
    for thread in threads {
      for line in (SmallFile.text("/proc/self/task/\(thread)/status") ?? "").split(separator: "\n") {
        if line.hasPrefix("voluntary_ctxt_switches:") { sum.voluntary += Int(line.drop { !$0.isNumber }) ?? 0 }
        if line.hasPrefix("nonvoluntary_ctxt_switches:") { sum.involuntary += Int(line.drop { !$0.isNumber }) ?? 0 }
      }
    }
    return sum
  }

  /// All of them sleep.
  var areAsleep: Bool {
    threads.allSatisfy { thread in
      // The state follows the name, which is in parentheses.
      let text = SmallFile.text("/proc/self/task/\(thread)/stat") ?? ""
      return text.drop { $0 != ")" }.dropFirst(2).first == "S"
    }
  }
}

/// Sleeps for so long: a timer of the kernel as the event that ends the wait.
func waitByTimer(nanoseconds: Int) {
  let timer = timerfd_create(CLOCK_MONOTONIC, 0)
  var due = itimerspec(
    it_interval: timespec(), it_value: timespec(tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000))
  var fired: UInt64 = 0
  // unsafe: the kernel reads and writes the two values during the calls.
  _ = unsafe timerfd_settime(timer, 0, &due, nil)
  _ = unsafe read(timer, &fired, 8)
  close(timer)
}
