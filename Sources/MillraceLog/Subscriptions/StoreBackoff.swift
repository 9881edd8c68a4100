/// How a store is asked again that was busy or could not be reached: the wait before the n-th time is drawn from the upper half of
/// min(`cap`, `initial` x 2^(n-1)).
public struct StoreBackoff: Sendable, Hashable {
  /// Nanoseconds.
  public var initial: UInt64
  /// Nanoseconds.
  public var cap: UInt64
  /// Times one after the other that the store may refuse before it is given up; nil: any number.
  public var attempts: Int?

  /// `initial`, `cap`: nanoseconds.
  public init(initial: UInt64 = 50_000_000, cap: UInt64 = 10_000_000_000, attempts: Int? = nil) {
    self.initial = initial
    self.cap = cap
    self.attempts = attempts
  }
}

extension EventStoreError {
  /// It may be over in a moment: nothing was done.
  var isTemporary: Bool {
    switch self {
    case .busy, .unavailable: true
    default: false
    }
  }
}

extension UInt64 {
  /// .max, which is never, where the sum is larger.
  func saturating(adding other: UInt64) -> UInt64 {
    let (sum, isTooLarge) = addingReportingOverflow(other)
    return isTooLarge ? .max : sum
  }
}

/// Counts refusals of a store, and says how long to wait. The same seed gives the same waits.
struct Patience {
  let backoff: StoreBackoff
  private var random: UInt64
  private var failures = 0

  init(_ backoff: StoreBackoff, seed: UInt64) {
    self.backoff = backoff
    random = seed
  }

  mutating func succeeded() { failures = 0 }

  /// How long to wait before the next time; nil: it was enough.
  mutating func failed() -> UInt64? {
    failures += 1
    if let attempts = backoff.attempts, failures >= attempts { return nil }
    let doublings = UInt64(min(failures - 1, 62))
    let longest = backoff.initial > backoff.cap >> doublings ? backoff.cap : backoff.initial << doublings
    let half = longest / 2
    return longest - next().multipliedFullWidth(by: half + 1).high
  }

  private mutating func next() -> UInt64 {
    random &+= 1
    return StableHash.mix(random &* 0x9E37_79B9_7F4A_7C15)
  }
}
