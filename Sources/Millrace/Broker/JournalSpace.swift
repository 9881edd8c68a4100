internal import MillraceBroker
internal import MillraceCore
internal import MillraceLog

/// When what is dead goes, and how far that is: segment by segment, the oldest first. The monitor's.
struct JournalSpace {
  /// What is alive in one segment is being written again behind the rest.
  struct Pass {
    /// The first version behind the segment.
    let floor: UInt64
    /// What stands before is done.
    var next: UInt64
    var hasDefinitions = false
    /// Bytes of the segment's events, up to a version.
    var bytes = 0
    var counted: UInt64 = 0
    /// Bytes of ids that were written again.
    var carried = 0
  }

  /// Bytes below which nothing is done.
  let least: Int
  /// What stands before this version may go.
  private(set) var floor: UInt64
  var pass: Pass?
  /// Passes that have ended.
  private(set) var passes = 0
  /// Bytes of events before `floor`.
  private var gone = 0
  /// Bytes of ids that were written again since all of them were last, and in the round before; and the version at which a round is over.
  private var carried = (now: 0, before: 0)
  private var roundEnd: UInt64 = 0
  /// A pass that had no room goes on when so much was written.
  private var retryAt = 0
  /// Why no pass can be made.
  var problem: String?
  var isInSink = false
  var isWoken = false
  var isStopped = false
  var isRunning = false

  /// - Parameter floor: the first version that is there.
  init(least: Int, floor: UInt64) {
    self.least = least
    self.floor = floor
  }

  /// There is a pass to begin or to go on with.
  func wantsPass(_ state: borrowing JournalState) -> Bool {
    if problem != nil { return false }
    if pass != nil { return state.written >= retryAt }
    let held = state.written - gone
    return held > least && held > 2 * (state.live.bytes + state.definitions.bytes + max(carried.now, carried.before))
  }

  /// It is tried again when some more was written.
  mutating func hasNoRoom(_ state: borrowing JournalState) { retryAt = state.written + least / 8 }

  mutating func ended(_ pass: Pass, _ state: borrowing JournalState) {
    floor = pass.floor
    gone += pass.bytes
    passes += 1
    retryAt = 0
    self.pass = nil
    carried.now += pass.carried
    if floor < roundEnd { return }
    carried = (0, carried.now)
    roundEnd = state.nextVersion
  }
}
