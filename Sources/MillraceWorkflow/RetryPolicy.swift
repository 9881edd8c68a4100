/// When a failed attempt is repeated, and after what wait. Present means 3 attempts; absent means one.
///
/// The wait before retry k (k = 1, 2, ...) is drawn from U(0, min(cap, initial x factor^(k-1))): full jitter.
public struct RetryPolicy: Sendable, Hashable {
  /// Smallest and largest `attempts`.
  public static let attemptsRange = 1...1_000_000
  /// `attempts` without an end, for steps of sagas and their compensations: `attempts: unlimited` in a file.
  public static let unlimited = Int.max
  /// Smallest and largest `factor`; at 1 the longest wait does not grow.
  public static let factorRange = 1.0...1_000.0
  /// Most error types of `nonRetryable`.
  public static let maximumNonRetryable = 64
  /// Longest error type of `nonRetryable`, bytes; the shortest has 1.
  public static let maximumErrorTypeBytes = 64

  /// Attempts in all, the first included, 1 ... 1,000,000; in sagas also `unlimited`.
  public var attempts: Int
  /// Nanoseconds.
  public var initial: UInt64
  /// 1 ... 1,000.
  public var factor: Double
  /// Nanoseconds.
  public var cap: UInt64
  /// Error types that are never retried.
  public var nonRetryable: [String]

  /// By default 3 attempts, 1 s, doubled each time, at most 100 s. Ranges are not checked here: `DefinitionChecker.check` does that.
  public init(
    attempts: Int = 3, initial: UInt64 = 1_000_000_000, factor: Double = 2, cap: UInt64 = 100_000_000_000, nonRetryable: [String] = []
  ) {
    self.attempts = attempts
    self.initial = initial
    self.factor = factor
    self.cap = cap
    self.nonRetryable = nonRetryable
  }
}
