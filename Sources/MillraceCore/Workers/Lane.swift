/// What a place where handlers run (a worker, or a thread of the blocking pool) shows to the others: the job it runs, and how long that may take.
///
/// # Fields
/// All are written by the lane, and read by the scans for overdue and for stalled jobs. `job` is 0 when the lane rests; between two jobs a worker
/// leaves the last one there, which no scan can mistake for a call that lasts: no two jobs have one id.
@safe struct Lane {
  static let bytes = padding

  private let memory: UnsafeMutableRawPointer

  /// unsafe: `memory` is zeroed, `bytes` long and outlives the lane.
  @unsafe @inline(__always) init(_ memory: UnsafeMutableRawPointer) { unsafe self.memory = memory }

  @inline(__always) var job: SharedWord { unsafe SharedWord(memory) }
  /// Start-to-close of the job that runs, nanoseconds; 0: none.
  @inline(__always) var timeout: SharedWord { unsafe SharedWord(memory + 8) }
  /// When it started, where reading the clock costs nothing; else 0, and it counts from when a scan first sees it.
  @inline(__always) var start: SharedWord { unsafe SharedWord(memory + 16) }
  /// How many jobs with a timeout have started here.
  @inline(__always) var timed: SharedWord { unsafe SharedWord(memory + 24) }
}
