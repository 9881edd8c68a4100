internal import MillraceBroker
internal import MillraceCore
internal import MillraceLog

/// When what is dead goes, and how far that is. The monitor's.
struct JournalSpace {
  /// What is alive ahead of `floor` is being written again behind it.
  struct Pass {
    /// The version of the event behind which all stands in the end.
    let floor: UInt64
    /// What was written when it began.
    let mark: Int
    /// What stands before is done.
    var next: UInt64 = 0
    var hasDefinitions = false
    /// Bytes of definitions and ids that were written again.
    var carried = 0
  }

  /// Bytes below which nothing is done.
  let least: Int
  var pass: Pass?
  /// What had been written when the last pass that is over began.
  private var base = 0
  /// Bytes of definitions and ids that the last pass has written again, and the next one will.
  private var carried = 0
  /// A pass that had no room goes on when so much was written.
  private var retryAt = 0
  /// Why no pass can be made.
  var problem: String?
  var isInSink = false
  var isWoken = false
  var isStopped = false
  var isRunning = false

  init(least: Int) { self.least = least }

  /// There is a pass to begin or to go on with.
  func wantsPass(_ state: borrowing JournalState) -> Bool {
    if problem != nil { return false }
    if pass != nil { return state.written >= retryAt }
    let held = state.written - base
    return held > least && held > 2 * (state.live.bytes + state.definitions.bytes + carried)
  }

  /// It is tried again when some more was written.
  mutating func hasNoRoom(_ state: borrowing JournalState) { retryAt = state.written + least / 8 }

  mutating func ended(_ pass: Pass) {
    base = pass.mark
    carried = pass.carried
    retryAt = 0
    self.pass = nil
  }
}
