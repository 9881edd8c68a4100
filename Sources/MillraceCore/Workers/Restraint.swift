/// Whether a worker that searches leaves what others have alone for a moment.
///
/// A job that runs for a few nanoseconds takes longer to come across to another processor than to run there, and each that is taken costs its owner as
/// much. A worker that came, ran a few of them and has nothing left looks on for a moment before it comes again; if that was as little worth, for twice
/// as long, at most about as long as a worker needs that was asleep. It goes on searching meanwhile, begins nothing less urgent either, comes at once for
/// what is more urgent or was handed over directly, and before it sleeps it looks without restraint.
struct Restraint {
  /// A job's time, nanoseconds, its way across included, below which it was not worth coming for.
  static let worthwhile: UInt64 = 100
  /// More jobs than one worker's cache and share of a queue: work grows where the worker is.
  static let few = 128
  /// Nanoseconds.
  static let shortest: UInt64 = 2_000
  static let longest: UInt64 = 32_000

  /// Bits above those of the levels that were in use when the worker came.
  private var urgent: UInt64 = 0
  private var since: UInt64 = 0
  private var until: UInt64 = 0
  private var length: UInt64 = 0

  /// There is something to ask `holds` about.
  var isOn: Bool { until != 0 }

  /// The searching worker has found something, and run its first job, while `levels` had jobs.
  mutating func came(_ levels: UInt64, now: UInt64) {
    urgent = .max << UInt64(64 - levels.leadingZeroBitCount)
    since = now
    until = 0
  }

  /// It has run `jobs` more since it came, and has nothing left.
  mutating func wentDry(after jobs: Int, now: UInt64) {
    let tiny = 1..<Restraint.few ~= jobs && now &- since < UInt64(jobs) &* Restraint.worthwhile
    length = tiny ? min(max(length &* 2, Restraint.shortest), Restraint.longest) : 0
    until = tiny ? now &+ length : 0
  }

  /// False: it may begin what there is in `levels` now.
  mutating func holds(_ levels: UInt64, handed: Bool, now: UInt64) -> Bool {
    if until != 0, levels & urgent == 0, !handed, now < until { return true }
    until = 0
    return false
  }
}
