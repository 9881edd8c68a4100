/// What one `millrace bench run` measured: the content of a result file. docs/bench-result.md documents every field.
///
/// Levels were measured in interleaved rounds; every level has as many rounds as the others, unless it was refused.
public struct BenchResult: Sendable {
  public static let currentSchema = "millrace.bench/1"

  /// `currentSchema`: a reader refuses what it does not know.
  public var schema: String
  /// Name of the suite, as `scheduler` or `handler replay/burn`.
  public var suite: String
  /// UTC, as `2026-11-25T20:51:35Z`.
  public var date: String
  public var host: BenchHost
  public var configuration: BenchConfiguration
  public var levels: [BenchLevel]
  /// With `--slo`: how the highest sustainable rate was looked for; `levels` then has the rounds that confirmed it.
  public var search: BenchSearch? = nil
  /// The subject with nothing to do, after the last round; nil: not measured.
  public var idle: BenchIdle? = nil
}

/// What the process did while it had nothing to do.
public struct BenchIdle: Sendable, Equatable {
  /// How long it was looked at.
  public var nanoseconds: UInt64
  /// How often its threads were scheduled, all but the one that looked.
  public var wakeUps: UInt64
  /// CPU time of the same threads.
  public var cpuNanoseconds: UInt64
}

/// Where it was measured.
public struct BenchHost: Sendable {
  public var cpuModel: String
  public var cpusOnline: Int
  public var cpusGranted: Int
  public var kernel: String
  public var clockSource: String
  /// Averages over 1, 5 and 15 minutes before the first round.
  public var loadAverage: [Double]
  /// A cache line to the other processor and back, nanoseconds, median; nil with one processor.
  public var pingPongNanoseconds: Double?
  /// Commit of the source tree, or `unknown`.
  public var commit: String
  public var version: String
  public var cgroup: BenchCgroup
}

public struct BenchCgroup: Sendable {
  /// Thousandths of a processor; nil: no limit.
  public var cpuMilli: Int?
  public var memoryBytes: Int?
  /// Periods of the measurement in which the group wanted to run; nil: not known.
  public var periods: Int? = nil
  /// Those in which it was throttled; nil: not known.
  public var throttledPeriods: Int?
  public var throttledNanoseconds: UInt64?
}

public struct BenchConfiguration: Sendable {
  public enum Mode: String, Sendable { case open, closed }

  public var mode: Mode
  /// Requests a second over all connections; open only.
  public var rate: Double?
  /// `poisson` or `uniform`; open only.
  public var arrivals: String? = nil
  /// What the arrivals were drawn from: the same seed, the same moments; open only.
  public var seed: UInt64? = nil
  /// Of one round.
  public var durationNanoseconds: UInt64
  public var warmUpNanoseconds: UInt64
  public var rounds: Int
  public var threads: Int
  public var slots: Int
  /// `spin`, `adaptive` or `park`.
  public var wait: String
  public var isPinned: Bool
  /// `plugin/handler` and SHA-256 of the plugin, or the workflow's file, when it is the user's own.
  public var subject: String?
  public var subjectHash: String?
}

/// One level of concurrency: requests in flight when closed, connections of the generator when open.
public struct BenchLevel: Sendable {
  public var level: Int
  /// Why there is no figure for this level, as `the generator was the bottleneck: its lag p99 is 3.1 ms`; nil: it is sound.
  public var refusal: String?
  public var rounds: [BenchRound]
}

public struct BenchRound: Sendable {
  public var nanoseconds: UInt64
  public var completed: UInt64
  public var failed: UInt64
  /// CPU time of the process, all threads.
  public var cpuNanoseconds: UInt64
  /// The part of it that the generator's own threads used, most of it waiting for the next moment to send; open only.
  public var generatorNanoseconds: UInt64? = nil
  /// From the moment that a request was sent to its end.
  public var service: BenchHistogram
  /// From the moment that it should have been sent to its end: the same as `service` when closed.
  public var response: BenchHistogram
  /// How much later than intended requests were sent; open only.
  public var lag: BenchHistogram?
  /// Requests sent and not finished when the round ended, less those at its begin: a queue that grows.
  public var backlogGrowth: Int64
  /// A cache line to the other processor and back, median: the longer of the readings just before and just after the round; nil: not measured.
  /// It tells a comparison in which rounds the machine, and not the subject, was slow.
  public var pingPongNanoseconds: Double? = nil
}

/// Counts of latencies, nanoseconds, in buckets of three significant digits.
public struct BenchHistogram: Sendable {
  /// Upper end of each bucket that has counts, ascending, and its count: `[[1023, 17], [1087, 4]]`.
  public var buckets: [[UInt64]]
  public var count: UInt64
  public var minimum: UInt64
  public var maximum: UInt64
  /// Sum of all values as recorded, exact.
  public var sum: Double

  /// The value at `quantile` (0 ... 1); nil with fewer than 10 / (1 - quantile) samples: too few to say. `minimum` and `maximum` need one.
  public func value(at quantile: Double) -> UInt64? {
    guard count > 0, Double(count) * (1 - quantile) >= 10 else { return nil }
    let rank = max(1, UInt64((quantile * Double(count)).rounded(.up)))
    var seen: UInt64 = 0
    for bucket in buckets {
      seen += bucket[1]
      if seen >= rank { return min(bucket[0], maximum) }
    }
    return maximum
  }
}
