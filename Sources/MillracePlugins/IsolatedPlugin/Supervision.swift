/// What is done about a child that ended: started again later and later, and no more when it ends too often.
///
/// A value: the clock is the caller's.
struct Supervision {
  enum Verdict: Equatable {
    /// On the caller's clock.
    case restart(at: UInt64)
    case park
  }

  let firstWait: UInt64
  let longestWait: UInt64
  /// So many within `window` park it.
  let most: Int
  let window: UInt64
  /// All that there were.
  private(set) var crashes: UInt64 = 0
  private(set) var lastReason = ""
  private(set) var isParked = false
  /// Times of the last `most`, oldest first.
  private var recent: [UInt64] = []

  init(_ bounds: IsolationBounds) {
    firstWait = bounds.firstWait
    longestWait = max(bounds.firstWait, bounds.longestWait)
    most = bounds.crashes
    window = bounds.window
  }

  mutating func ended(because reason: String, at now: UInt64) -> Verdict {
    crashes += 1
    lastReason = reason
    recent.removeAll { now >= $0 && now - $0 >= window }
    recent.append(now)
    if recent.count >= most {
      isParked = true
      return .park
    }
    // One that went well for a whole window begins anew, for its crashes are forgotten.
    var wait = firstWait
    for _ in 1..<recent.count where wait < longestWait { wait = min(longestWait, wait * 2) }
    return .restart(at: now.addingReportingOverflow(wait).partialValue)
  }

  /// For attempts that cannot be had.
  var parkedWords: String {
    "it ended \(most) times within \(Supervision.seconds(window)), the last time because \(lastReason): it is started no more; mend it and start the engine again"
  }

  static func seconds(_ nanoseconds: UInt64) -> String {
    nanoseconds % 1_000_000_000 == 0 ? "\(nanoseconds / 1_000_000_000) s" : "\(nanoseconds / 1_000_000) ms"
  }
}
