/// When the starts of a rate may be: the generic cell rate algorithm, exact to the nanosecond and beyond.
///
/// Counts in parts of a nanosecond, `limit` of them in one, so that `per / limit` is a whole number. # Source: ITU-T I.371 (GCRA, virtual scheduling).
struct RateClock {
  private var limit: UInt128
  private var per: UInt128
  /// How much of the future may have been taken.
  private var tolerance: UInt128
  /// When the next start would be if all were spread evenly.
  private var next: UInt128 = 0

  init(_ settings: RateLimit) {
    limit = UInt128(settings.limit)
    per = UInt128(settings.per)
    tolerance = UInt128(settings.burst - 1) * per
  }

  /// Goes on with other settings from where it is.
  mutating func set(_ settings: RateLimit) {
    let due = (next + limit - 1) / limit
    self = RateClock(settings)
    next = due * limit
  }

  /// The first nanosecond at which the next start may be.
  var due: UInt64 {
    if next <= tolerance { return 0 }
    return UInt64(clamping: (next - tolerance + limit - 1) / limit)
  }

  /// As if nothing had ever started.
  func isRecovered(at now: UInt64) -> Bool { UInt128(now) * limit >= next }

  /// A start at `now`, if it may be.
  mutating func start(at now: UInt64) -> Bool {
    let now = UInt128(now) * limit
    if now + tolerance < next { return false }
    // A start is late by a part of a nanosecond for want of a finer clock: that is made up for, or the rate would be missed.
    if now >= next + limit { next = now }
    next += per
    return true
  }
}
