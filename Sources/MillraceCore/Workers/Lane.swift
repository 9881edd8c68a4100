/// What a place where handlers run (a worker, or a thread of the blocking pool) shows to the others: the job it runs, if that job can be overdue, and when.
///
/// # Fields
/// `job`, `deadline`: written by the lane, read by the scan. `calls`: handler calls begun, for the stall detector. `inside`: nonzero while a handler runs.
@safe struct Lane {
  static let bytes = padding

  let job: SharedWord
  let deadline: SharedWord
  let calls: SharedWord
  let inside: SharedWord

  /// unsafe: `memory` is zeroed, `bytes` long and outlives the lane.
  @unsafe init(_ memory: UnsafeMutableRawPointer) {
    unsafe job = SharedWord(memory)
    unsafe deadline = SharedWord(memory + 8)
    unsafe calls = SharedWord(memory + 16)
    unsafe inside = SharedWord(memory + 24)
  }
}
