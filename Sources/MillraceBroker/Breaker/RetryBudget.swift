/// How many retries a destination may have: a share of its first attempts, so that what is broken is not buried under attempts. As a value: no clock, no threads.
///
/// First attempts of the last two half windows count, and retries as well; what is older is forgotten half a window at a time.
public struct RetryBudget: Sendable, Hashable {
  /// Retries for each first attempt.
  public let ratio: Double
  /// Retries that are allowed in a window, however few first attempts there are.
  public let least: Int
  /// Nanoseconds.
  public let window: UInt64

  private var half: UInt64 = 0
  private var attempts = Halves()
  private var retries = Halves()

  /// What was counted in this half window, and in the one before.
  private struct Halves: Hashable {
    var now = 0
    var before = 0
  }

  /// `ratio`: 0 or more; `window`: 2 ns at least.
  public init(ratio: Double = 0.2, least: Int = 3, window: UInt64 = 10_000_000_000) {
    precondition(ratio >= 0 && least >= 0 && window >= 2, "a retry budget is not negative, and its window has two halves")
    (self.ratio, self.least, self.window) = (ratio, least, window)
  }

  /// A first attempt is made. Complexity: O(1).
  public mutating func attempt(_ now: UInt64) {
    move(to: now)
    attempts.now += 1
  }

  /// Whether one more retry may be made now; if so it counts. Complexity: O(1).
  public mutating func mayRetry(_ now: UInt64) -> Bool {
    move(to: now)
    let allowed = max(Double(least), ratio * Double(attempts.now + attempts.before))
    guard Double(retries.now + retries.before + 1) <= allowed else { return false }
    retries.now += 1
    return true
  }

  private mutating func move(to now: UInt64) {
    let current = now / (window / 2)
    if current <= half { return }
    let isNext = current == half + 1
    attempts = Halves(before: isNext ? attempts.now : 0)
    retries = Halves(before: isNext ? retries.now : 0)
    half = current
  }
}
