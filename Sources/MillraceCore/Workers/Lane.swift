/// What a place where handlers run (a worker, or a thread of the blocking pool) shows to the others: the job it runs, and when that job is overdue.
///
/// # Fields
/// `job`, `deadline`: written by the lane, read by the scans for overdue and for stalled jobs. `job` is 0 when the lane rests; between two jobs a worker
/// leaves the last one there, which no scan can mistake for a call that lasts: no two jobs have one id.
@safe struct Lane {
  static let bytes = padding

  private let memory: UnsafeMutableRawPointer

  /// unsafe: `memory` is zeroed, `bytes` long and outlives the lane.
  @unsafe @inline(__always) init(_ memory: UnsafeMutableRawPointer) { unsafe self.memory = memory }

  @inline(__always) var job: SharedWord { unsafe SharedWord(memory) }
  @inline(__always) var deadline: SharedWord { unsafe SharedWord(memory + 8) }
}
