/// How the highest sustainable rate was looked for, and what it is.
public struct BenchSearch: Sendable {
  /// As `p99<1ms`.
  public var objective: String
  /// Connections of the generator.
  public var level: Int
  /// Requests a second: the highest that was confirmed; nil: none was.
  public var rate: Double?
  /// Beyond `rate` the generator could send no faster: the subject may bear more.
  public var isLimitedByGenerator: Bool
  /// Why there is no rate; nil: there is one.
  public var refusal: String?
  /// In the order in which they were run.
  public var trials: [BenchTrial]
}

/// One rate that was tried.
public struct BenchTrial: Sendable {
  public enum Phase: String, Sendable { case bracket, bisect, confirm }

  public var phase: Phase
  /// Requests a second.
  public var rate: Double
  public var durationNanoseconds: UInt64
  /// The percentile of the objective, nanoseconds; nil: too few samples.
  public var value: UInt64?
  public var backlogGrowth: Int64
  public var hasPassed: Bool
  /// Why it failed, as `the queue grew by 1,204 requests`; nil: it passed.
  public var reason: String?
}
