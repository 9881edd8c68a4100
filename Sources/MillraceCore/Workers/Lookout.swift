internal import CMillrace

/// What the scans for overdue jobs know, and what they let workers know.
///
/// A start-to-close timeout counts from the first scan that sees its job on a lane: never early, and late by the time between two scans at most, which is
/// `interval`. Workers read no clock. While no such job runs there are no scans; the first one that starts then asks for the next.
///
/// # Threads
/// Workers and threads of the blocking pool: `covered`, `time`. The loop: all.
/// # Fields
/// `covered`: a scan is on its way that is soon enough for timeouts of so many nanoseconds and more; `.max`: none is. `time`: what the clock said at the last scan,
/// or when scans began. The rest is the loop's alone.
@safe struct Lookout {
  /// What the loop saw of a lane.
  struct Sight {
    var job: UInt64 = 0
    var since: UInt64 = 0
    var timed: UInt64 = 0
  }

  /// The loop's own.
  struct Own {
    /// When the last scan was, and when the first of the deadlines is that it saw.
    var last: UInt64 = 0
    var due = UInt64.max
    var scans: UInt64 = 0
    /// No job with a timeout ran at the last scan, or had run since the one before.
    var isQuiet = false
  }

  let covered: SharedWord
  let time: SharedWord
  // unsafe: made in init, freed by `deallocate`; touched only by the thread that scans.
  let own: UnsafeMutablePointer<Own>
  let sights: UnsafeMutablePointer<Sight>

  /// unsafe: `memory` is two zeroed words that outlive the value.
  @unsafe init(_ memory: UnsafeMutableRawPointer, lanes: Int) {
    unsafe covered = SharedWord(memory)
    unsafe time = SharedWord(memory + 8)
    unsafe own = .allocate(capacity: 1)
    unsafe own.initialize(to: Own())
    unsafe sights = .allocate(capacity: lanes)
    unsafe sights.initialize(repeating: Sight(), count: lanes)
    covered.storeRelaxed(.max)
  }

  func deallocate() {
    unsafe own.deallocate()
    unsafe sights.deallocate()
  }

  /// Shows that `lane` runs a job that must end within `timeout`, not 0. True: a scan is to be asked for.
  ///
  /// No timer is armed and no time is read; the loop looks at the lanes as long as such jobs run.
  @inline(__always) func show(_ lane: Lane, _ timeout: UInt64, of job: JobID, asymmetric: Bool) -> Bool {
    // Order: relaxed, both; the store of `job` releases them to the scan.
    lane.timeout.storeRelaxed(timeout)
    lane.timed.storeRelaxed(lane.timed.loadRelaxed() &+ 1)
    if asymmetric {
      // Order: releasing. Pairs with the acquiring load in `Scheduler.look`. Then program order: the scan's barrier comes between `covered` and its look
      // at the lanes.
      lane.job.storeReleasing(job.rawValue)
      millrace_compiler_barrier()
    } else {
      // Order: sequentially consistent. Pairs with the exchange of `covered` in `endOverdue`: either the scan sees the job, or we see that none is coming.
      _ = lane.job.exchange(job.rawValue)
    }
    // Order: acquiring. Pairs with the exchanges in `endOverdue` and `cover`: `time` is at least that of the last scan.
    return timeout < covered.loadAcquiring()
  }

  /// The end of time at most.
  @inline(__always) static func moment(_ timeout: UInt64, after start: UInt64) -> UInt64 {
    let (moment, overflow) = start.addingReportingOverflow(timeout)
    return overflow ? .max : moment
  }

  /// Between two scans, while the shortest timeout in use is `timeout`: what a timeout may be late by. Nanoseconds.
  static func interval(_ timeout: UInt64) -> UInt64 { max(1_000_000, timeout / 64) }

  /// True if no scan was soon enough for `timeout`, and one must be asked for.
  func cover(_ timeout: UInt64) -> Bool {
    while true {
      let seen = covered.loadSequential()
      if timeout >= seen { return false }
      if covered.replace(seen, by: timeout) { return true }
    }
  }
}
