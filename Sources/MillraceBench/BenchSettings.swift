internal import Millrace
internal import MillraceCore

/// What `millrace bench run` was asked to do. `check` refuses what cannot be.
public struct BenchSettings: Sendable {
  public static let levelRange = 1...4_096
  /// Levels of one run.
  public static let levelCount = 64
  public static let roundRange = 1...1_000
  /// Nanoseconds: a millisecond to an hour, for a round of a level.
  public static let durationRange: ClosedRange<UInt64> = 1_000_000...3_600_000_000_000
  /// Nanoseconds: at most ten minutes.
  public static let warmUpRange: ClosedRange<UInt64> = 0...600_000_000_000
  /// Requests a second.
  public static let rateRange = RateSearch.lowest...RateSearch.highest
  public static let serviceTimeRange: ClosedRange<UInt64> = 1_000...1_000_000_000
  public static let defaultLevels = [1, 2, 4, 8, 16, 32]
  /// The seed of the arrivals, unless another is given: two runs ask for the same moments.
  public static let defaultSeed: UInt64 = 1

  /// Result files hold whole numbers of 63 bits.
  static let seedLimit = UInt64(Int64.max)

  public var suite: Suite
  public var levels: [Int]
  public var mode: BenchConfiguration.Mode
  /// Requests a second over all connections; open only. With an objective: where the search begins.
  public var rate: Double?
  public var arrivals = Arrivals.poisson
  /// Nanoseconds of one level in one round.
  public var duration: UInt64
  /// Nanoseconds before each measured stretch.
  public var warmUp: UInt64
  public var rounds: Int
  public var seed = BenchSettings.defaultSeed
  /// Search for the highest rate that keeps it, instead of measuring levels.
  public var objective: Objective?
  public var isPinned = false
  public var subject: SuiteSettings

  public init(
    suite: Suite, levels: [Int], mode: BenchConfiguration.Mode, rate: Double?, duration: UInt64, warmUp: UInt64, rounds: Int,
    subject: SuiteSettings
  ) {
    self.suite = suite
    self.levels = levels
    self.mode = mode
    self.rate = rate
    self.duration = duration
    self.warmUp = warmUp
    self.rounds = rounds
    self.subject = subject
  }

  /// Numbers such as `1,2,4`, in this order.
  ///
  /// - Throws: `wrongUse`.
  public static func levels(_ text: String) throws(BenchError) -> [Int] {
    var levels: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let level = Int(part), levelRange ~= level else {
        throw .wrongUse(
          "--levels \(text): '\(part)' is no whole number from \(levelRange.lowerBound) to \(levelRange.upperBound); write 1,2,4,8")
      }
      guard !levels.contains(level) else { throw .wrongUse("--levels \(text): \(level) stands there twice") }
      levels.append(level)
    }
    guard levels.count <= levelCount else {
      throw .wrongUse("--levels has \(levels.count) levels, at most \(levelCount) are measured in one run")
    }
    return levels
  }

  /// - Throws: `wrongUse` with what was wrong and what to do.
  public func check() throws(BenchError) {
    try within("--duration", duration, BenchSettings.durationRange)
    try within("--warm-up", warmUp, BenchSettings.warmUpRange)
    try within("--service-time", subject.serviceTime, BenchSettings.serviceTimeRange)
    guard seed <= BenchSettings.seedLimit else {
      throw .wrongUse("--seed is \(seed): give 0 to \(BenchSettings.seedLimit), the largest whole number of a result file")
    }
    guard BenchSettings.roundRange ~= rounds else {
      throw .wrongUse("--rounds is \(rounds): give \(BenchSettings.roundRange.lowerBound) to \(BenchSettings.roundRange.upperBound)")
    }
    if let rate {
      guard BenchSettings.rateRange ~= rate else {
        throw .wrongUse("--rate is \(rate): give requests a second, from \(RateSearch.lowest) to \(Quantity.number(RateSearch.highest))")
      }
      guard mode == .open else { throw .wrongUse("--rate is for --mode open: when closed, each end sends the next request") }
    } else if mode == .open, objective == nil {
      throw .wrongUse("--mode open needs --rate, requests a second over all connections; or --slo, to look for the highest")
    }
    if objective != nil, mode != .open { throw .wrongUse("--slo searches with an open load: use --mode open, or leave --mode out") }
    if objective != nil, levels.count != 1 {
      throw .wrongUse("--slo searches with one number of connections: give one level, as --levels 1")
    }
    if suite != .handler, subject.plugin != nil || subject.handler != nil {
      throw .wrongUse("--plugin and --handler are for suite handler, not \(suite.rawValue)")
    }
    if suite != .workflow, subject.workflow != nil { throw .wrongUse("--workflow is for suite workflow, not \(suite.rawValue)") }
    if suite != .workflow, suite != .handler, !subject.parameters.isEmpty {
      throw .wrongUse("--param is for suites handler and workflow, not \(suite.rawValue)")
    }
  }

  private func within(_ option: String, _ value: UInt64, _ range: ClosedRange<UInt64>) throws(BenchError) {
    guard range ~= value else {
      throw .wrongUse(
        "\(option) is \(DurationText.text(value)): give \(DurationText.text(range.lowerBound)) to \(DurationText.text(range.upperBound))")
    }
  }

  /// Threads that send when open: those that the workers leave processors for, one at least, and no more than connections.
  func generators(granted: Int) -> Int {
    mode == .open ? min(max(1, granted - subject.threads), levels.max() ?? 1, 64) : 0
  }

  /// What is measured if nothing else was asked for: all processors granted when closed, one less for the generator when open.
  public static func defaultThreads(_ mode: BenchConfiguration.Mode) -> Int {
    let granted = min(Machine.read().cpusGranted, 56)
    return mode == .open ? max(1, granted - 1) : granted
  }
}
