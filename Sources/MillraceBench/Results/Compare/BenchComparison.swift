internal import Glibc
internal import Millrace

/// Whether B is faster than A, from result files of both. docs/bench-compare.md says how it is calibrated.
public struct BenchComparison: Sendable {
  public enum Verdict: String, Sendable {
    case faster, slower
    case cannotTell = "cannot tell"
  }

  public enum Metric: String, Sendable, CaseIterable {
    case throughput, p50, p99

    /// Requests a second: more is better; latencies: less is.
    var isLargerBetter: Bool { self == .throughput }
  }

  public struct Options: Sendable {
    /// The chance that no interval misses, 0.5 ..< 1.
    public var confidence = 0.95
    /// Differences up to this share are never told apart: two builds of the same source differ by as much. 0 ... 0.5.
    public var margin = 0.01
    public var resamples = 2_000
    /// Uses rounds in which the machine was slow as well.
    public var usesAllRounds = false

    public init() {}
  }

  /// One metric at one level.
  public struct Row: Sendable {
    public var level: Int
    public var metric: Metric
    /// Typical rounds of A and B: requests a second, or nanoseconds. nil: no figure.
    public var first: Double?
    public var second: Double?
    /// B to A, and its interval.
    public var ratio: Double?
    public var low: Double?
    public var high: Double?
    /// Rounds, or files where there are several, that were used.
    public var firstUnits: Int
    public var secondUnits: Int
    public var verdict: Verdict
    /// Why there is no ratio.
    public var reason: String?
    /// Rounds of each side with which a difference of 5 % would be found in 9 of 10 comparisons.
    public var unitsForFivePercent: Int?
  }

  public let suite: String
  public let options: Options
  /// Files of A and B were measured in turns, and are compared pair by pair.
  public let isPaired: Bool
  /// `round`, or `file` where there are several on both sides; `unit` where only one side has several.
  public let unit: String
  /// Rounds or files of A and B.
  public let units: (first: Int, second: Int)
  public let rows: [Row]
  /// What differs between the two beside what is compared, and what makes the figures doubtful.
  public let warnings: [String]

  /// `slower` if any row is, else `faster` if any row is.
  public var verdict: Verdict {
    if rows.contains(where: { $0.verdict == .slower }) { return .slower }
    return rows.contains { $0.verdict == .faster } ? .faster : .cannotTell
  }

  /// Compares results of one suite.
  ///
  /// - Parameters:
  ///   - first: A, one result or several of the same subject; not empty.
  ///   - second: B.
  /// - Throws: if suites differ, or no level is in both.
  /// - Complexity: O(resamples x levels x rounds).
  public init(_ first: [BenchResult], _ second: [BenchResult], options: Options = Options()) throws(BenchComparisonError) {
    precondition(!first.isEmpty && !second.isEmpty, "a comparison needs results on both sides")
    let suites = Set((first + second).map(\.suite)).sorted()
    guard suites.count == 1 else {
      throw BenchComparisonError(message: "the suites differ: \(suites.joined(separator: ", ")); compare results of one suite")
    }
    var (first, second) = (BenchSeries(first), BenchSeries(second))
    let levels = first.levels.filter(Set(second.levels).contains)
    guard !levels.isEmpty else {
      throw BenchComparisonError(message: "no level is in both: measure both with the same --levels")
    }
    if !options.usesAllRounds { Self.limitPingPongs(&first, &second) }
    self.suite = suites[0]
    self.options = options
    isPaired = BenchSeries.alternate(first, second)
    unit = first.unitName == second.unitName ? first.unitName : "unit"
    units = (first.unitCount, second.unitCount)
    rows = Self.rows(first, second, levels, isPaired: isPaired, options)
    warnings = BenchDifferences.warnings(first, second)
  }

  /// Nanoseconds that a single file must have been measured for: the states of a machine last for seconds, and a file that saw only one of them
  /// says nothing of another that saw only another.
  static let fewestNanoseconds: UInt64 = 5_000_000_000

  /// Nanoseconds that a state of the machine lasts: what a file of so many seconds found may be that of one state, and another file finds another.
  /// By files of 5 and of 15 s of one program on a virtual machine: docs/bench-compare.md.
  private static let stateNanoseconds = 3e9

  /// How many times the shortest ping-pongs of both a round may have: the slow state of a virtual machine has five times as much.
  private static let pingPongFactor = 2.0

  /// Which rounds the machine was slow in is told by the machine alone, never by what the subject reached.
  private static func limitPingPongs(_ first: inout BenchSeries, _ second: inout BenchSeries) {
    let isOneMachine = first.first.host.cpuModel == second.first.host.cpuModel
    let shortest = { (pings: [Double]) -> Double? in
      pings.isEmpty ? nil : pings.sorted()[pings.count / 10] * pingPongFactor
    }
    first.pingPongLimit = shortest(first.pingPongs + (isOneMachine ? second.pingPongs : []))
    second.pingPongLimit = isOneMachine ? first.pingPongLimit : shortest(second.pingPongs)
  }

  private static func rows(
    _ first: BenchSeries, _ second: BenchSeries, _ levels: [Int], isPaired: Bool, _ options: Options
  ) -> [Row] {
    var rows: [Row] = []
    var compared: [Int] = []
    var contrasts: [Bootstrap.Contrast] = []
    for level in levels {
      for metric in Metric.allCases {
        var contrast = Bootstrap.Contrast(
          metric: metric.isLargerBetter ? 0 : metric == .p50 ? 1 : 2, first: first.samples(level, metric),
          second: second.samples(level, metric))
        var row = Row(
          level: level, metric: metric, first: Bootstrap.location(contrast.first).map { exp($0) },
          second: Bootstrap.location(contrast.second).map { exp($0) }, firstUnits: contrast.first.count,
          secondUnits: contrast.second.count, verdict: .cannotTell)
        if isPaired {
          contrast = paired(contrast)
          (row.firstUnits, row.secondUnits) = (contrast.first.count, contrast.first.count)
        } else {
          contrast.seen = (seen(first), seen(second))
        }
        row.reason = reason(row, first, second)
        if row.reason == nil {
          compared.append(rows.count)
          contrasts.append(contrast)
        }
        rows.append(row)
      }
    }
    let bootstrap = Bootstrap(confidence: options.confidence, resamples: options.resamples)
    let intervals = bootstrap.intervals(contrasts, firstUnits: first.unitCount, secondUnits: isPaired ? 0 : second.unitCount)
    for (index, interval) in zip(compared, intervals) {
      rows[index].judge(interval, options, units: max(first.unitCount, second.unitCount))
    }
    return rows
  }

  private static func seen(_ series: BenchSeries) -> Bootstrap.Seen {
    Bootstrap.Seen(states: Double(series.measured) / stateNanoseconds, processes: series.results.count)
  }

  /// Differences of the units that have a figure on both sides.
  private static func paired(_ contrast: Bootstrap.Contrast) -> Bootstrap.Contrast {
    let second = Dictionary(uniqueKeysWithValues: contrast.second.map { ($0.unit, $0.value) })
    let differences = contrast.first.compactMap { sample in
      second[sample.unit].map { Bootstrap.Sample(unit: sample.unit, value: $0 - sample.value) }
    }
    return Bootstrap.Contrast(metric: contrast.metric, first: differences, second: [])
  }

  /// Why there can be no ratio; nil: there can.
  private static func reason(_ row: Row, _ first: BenchSeries, _ second: BenchSeries) -> String? {
    if let refusal = first.refusal(row.level) { return "refused in A: \(refusal)" }
    if let refusal = second.refusal(row.level) { return "refused in B: \(refusal)" }
    for (name, series) in [("A", first), ("B", second)] where !series.isOfFiles && series.measured < fewestNanoseconds {
      let time = Quantity.nanoseconds(series.measured)
      return "\(name) was measured for \(time) in all, \(Quantity.nanoseconds(fewestNanoseconds)) are needed: measure longer, or in turns"
    }
    for (name, series, units) in [("A", first, row.firstUnits), ("B", second, row.secondUnits)] where units < Bootstrap.fewestSamples {
      let disturbed = series.disturbed(row.level)
      let needed = "\(Bootstrap.fewestSamples) are needed"
      if series.unitCount < Bootstrap.fewestSamples { return "\(name) has \(series.unitCount) \(series.unitName)s, \(needed)" }
      if disturbed.of - disturbed.count < Bootstrap.fewestSamples {
        return "the machine was slow in \(disturbed.count) of \(disturbed.of) rounds of \(name): measure again, or use --all-rounds"
      }
      return "too few samples in the rounds of \(name): measure longer rounds"
    }
    return nil
  }
}

/// Why two results cannot be compared.
public struct BenchComparisonError: Error, Sendable, CustomStringConvertible {
  public var message: String
  public var description: String { message }
}

extension BenchComparison.Row {
  /// The difference whose cost in rounds is told, and how many standard deviations lie between the mean and the worst of 9 in 10.
  private static let difference = 0.05
  private static let power = 1.2816

  fileprivate mutating func judge(_ interval: Bootstrap.Interval, _ options: BenchComparison.Options, units: Int) {
    let (low, high) = (interval.estimate - interval.halfWidth, interval.estimate + interval.halfWidth)
    (ratio, self.low, self.high) = (exp(interval.estimate), exp(low), exp(high))
    let margin = log(1 + options.margin)
    if high < -margin { verdict = metric.isLargerBetter ? .slower : .faster }
    if low > margin { verdict = metric.isLargerBetter ? .faster : .slower }
    let room = log(1 + Self.difference) - margin
    guard room > 0, interval.critical > 0 else { return }
    let factor = interval.halfWidth * (1 + Self.power / interval.critical) / room
    // Twice the rounds halve the variance.
    unitsForFivePercent = max(Bootstrap.fewestSamples, Int(min(1e6, Double(units) * factor * factor).rounded(.up)))
  }
}
