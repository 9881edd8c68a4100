internal import CMillrace
internal import MillraceCore

/// How a thread looks for something before it sleeps: a sleep and a wake cost 10 to 50 us, and with more threads than processors most of what a thread waits for is done as soon as it gives its
/// processor away.
///
/// Giving it away to strangers who compute costs a time slice, where a sleeper would be woken at once: whoever sees that does so no more for a while.
///
/// # Threads
/// One at a time.
struct Patience {
  /// In which a thread looks again and again.
  static let nanoseconds: UInt64 = 25_000
  /// Between two looks at the clock.
  private static let pauses = 4
  /// A clock may stand still.
  private static let looks = 2_000
  /// Longer than anything that others do here before they wait themselves.
  private static let slice: UInt64 = 500_000

  static let refrains = 64
  /// Waits left in which the processor is not given away.
  private(set) var refrain = 0

  /// Looks until `isOver`, for a while. True: it is.
  @inline(__always) mutating func wait(_ clock: Clock, yields: Bool, until isOver: () -> Bool) -> Bool {
    let yields = yields && refrain == 0
    if refrain > 0 { refrain -= 1 }
    let start = clock.now
    var (now, looks) = (start, 0)
    while !isOver() {
      millrace_pause()
      looks += 1
      if looks == Patience.looks { return false }
      if looks % Patience.pauses != 0 { continue }
      if yields { millrace_yield() }
      let before = now
      now = clock.now
      if yields, now &- before > Patience.slice, !isOver() {
        refrain = Patience.refrains
        return false
      }
      if now &- start > Patience.nanoseconds { return isOver() }
    }
    return true
  }
}
