internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Looks at the process while it has nothing to do: what its threads cost then.
///
/// Counted by the kernel, thread by thread: the machine's speed and other programs do not show, and a thread that is not scheduled counts nothing.
enum IdleWatch {
  /// What the last round has left behind: workers that still look for work, the loop's last alarm.
  private static let settling: UInt64 = 50_000_000
  static let span: UInt64 = 200_000_000

  /// All threads but the calling one, which sleeps meanwhile. nil: the kernel does not tell.
  static func measure(settling: UInt64 = settling, span: UInt64 = span) -> BenchIdle? {
    millrace_sleep_until(Clock.monotonic.now + settling)
    let begin = Clock.monotonic.now
    guard let before = threads() else { return nil }
    millrace_sleep_until(begin + span)
    guard let after = threads() else { return nil }
    var idle = BenchIdle(nanoseconds: Clock.monotonic.now - begin, wakeUps: 0, cpuNanoseconds: 0)
    for (id, end) in after {
      // A thread that began meanwhile was scheduled for it; one that ended is not seen.
      let start = before[id] ?? Counts()
      idle.wakeUps += end.switches - min(start.switches, end.switches)
      idle.cpuNanoseconds += end.nanoseconds - min(start.nanoseconds, end.nanoseconds)
    }
    return idle
  }

  private struct Counts {
    var nanoseconds: UInt64 = 0
    /// How often it left a processor.
    var switches: UInt64 = 0
  }

  private static func threads() -> [Int32: Counts]? {
    var found: [Int32: Counts] = [:]
    let own = millrace_thread_id()
    for id in Processors.threads where id != own {
      let time = millrace_time_of_thread(id)
      // A thread that has ended meanwhile has neither.
      guard time >= 0, let text = SmallFile.text("/proc/self/task/\(id)/status") else { continue }
      let lines = text.split(separator: "\n").filter { $0.contains("ctxt_switches:") }
      guard lines.count == 2 else { return nil }
      found[id] = Counts(nanoseconds: UInt64(time), switches: lines.reduce(0) { $0 + (UInt64($1.drop { !$0.isNumber }) ?? 0) })
    }
    return found.isEmpty ? nil : found
  }
}
