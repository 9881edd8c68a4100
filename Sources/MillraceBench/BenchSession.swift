internal import CMillrace
internal import Glibc
internal import Millrace
internal import MillraceCore

/// One measurement: the suite is made ready, its levels are measured in interleaved rounds, and the result is summed up.
///
///     let session = try BenchSession(settings)
///     let outcome = try session.run(tell: { print($0) }, isInterrupted: { false })
///     session.close()
public final class BenchSession {
  public struct Outcome {
    /// nil: interrupted before anything was complete.
    public var result: BenchResult?
    public var wasInterrupted = false
    /// Why it ended before all rounds were complete: requests that did not end; nil: they did.
    public var hang: String?
    /// What must be said beside the result, a line each.
    public var remarks: [String] = []
  }

  private let settings: BenchSettings
  private let suite: PreparedSuite
  private let meter: Meter
  private let pinning: Pinning?
  private let generators: Int
  private let pacer: Pacer

  /// Starts the threads of the subject.
  ///
  /// - Throws: `BenchError`; then nothing runs.
  public init(_ settings: BenchSettings) throws(BenchError) {
    try settings.check()
    let machine = Machine.read()
    var settings = settings
    // What is refused is told by the runtime.
    settings.subject.wait = settings.subject.wait.resolved(threads: settings.subject.threads, on: machine) ?? settings.subject.wait
    self.settings = settings
    let threads = settings.subject.threads
    let generators = settings.generators(granted: machine.cpusGranted)
    pacer = machine.maySpin(threads: generators) ? .real : .sleeping
    // Beside the workers, the loop's thread tells of ends.
    let meter = Meter(clock: .monotonic, reserved: 1 + generators, others: threads + 2)
    meter.adopt(lane: 0)
    (self.generators, self.meter) = (generators, meter)
    if settings.isPinned {
      let pinning = try Pinning(threads: threads, generators: generators)
      suite = try pinning.start { () throws(BenchError) in try PreparedSuite(settings.suite, settings.subject, meter) }
      self.pinning = pinning
    } else {
      pinning = nil
      suite = try PreparedSuite(settings.suite, settings.subject, meter)
    }
  }

  /// Stops the subject. Once.
  public func close() {
    if meter.underWay == 0 {
      suite.owner.stop()
    } else {
      // Who waited for threads that hang would hang, too. They still use all this: it is left to them until the process ends.
      _ = unsafe Unmanaged.passRetained(self)
    }
  }

  /// Measures.
  ///
  /// - Parameters:
  ///   - tell: a line of progress.
  ///   - isInterrupted: asked every 20 ms; once true, the measurement ends, and what was complete is kept.
  public func run(tell: (String) -> Void, isInterrupted: @escaping () -> Bool) throws(BenchError) -> Outcome {
    var driver = ThreadDriver(
      subject: suite.owner.subject, meter: meter, generators: generators, pinning: pinning, pacer: pacer, isInterrupted: isInterrupted)
    var outcome = try run(&driver, tell: tell)
    if outcome.hang == nil, !outcome.wasInterrupted { outcome.result?.idle = IdleWatch.measure() }
    return outcome
  }

  func run(_ driver: inout some LoadDriver, tell: (String) -> Void) throws(BenchError) -> Outcome {
    let host = BenchHost.read()
    let date = BenchSession.date()
    var outcome =
      if let objective = settings.objective {
        try search(objective, &driver, host, date, tell)
      } else {
        try measure(&driver, host, date, tell)
      }
    outcome.result?.host.closeMeasurement()
    return outcome
  }

  // MARK: Levels

  private func measure(_ driver: inout some LoadDriver, _ host: BenchHost, _ date: String, _ tell: (String) -> Void) throws(BenchError)
    -> Outcome
  {
    var outcome = Outcome()
    var figures = [[RoundFigures]](repeating: [], count: settings.levels.count)
    var complete = 0
    rounds: for round in 0..<settings.rounds {
      tell("round \(round + 1) of \(settings.rounds)")
      for (index, level) in settings.levels.enumerated() {
        // The same moments in every run, others in every round and level.
        let seed = settings.seed &+ UInt64(round * BenchSettings.levelCount + index) &* 0xA24B_AED4_963E_E407
        do throws(BenchError) {
          guard let one = try driver.run(load(level, seed)) else {
            outcome.wasInterrupted = true
            break rounds
          }
          figures[index].append(one)
        } catch {
          // Rounds before it are not to be lost; without one there is nothing to keep.
          guard case .hung(let reason) = error, complete > 0 else { throw error }
          outcome.hang = "level \(level), round \(round + 1): \(reason)"
          break rounds
        }
      }
      complete += 1
    }
    if complete == 0 { return outcome }
    let levels = zip(settings.levels, figures).map { level, figures in
      let kept = Array(figures.prefix(complete))
      return BenchLevel(level: level, refusal: Soundness.refusal(kept), rounds: kept.map(\.round))
    }.sorted { $0.level < $1.level }
    outcome.result = result(host, date, levels, rounds: complete)
    outcome.remarks = BenchSession.remarks(levels)
    return outcome
  }

  private func load(_ level: Int, _ seed: UInt64) -> Load {
    let kind: Load.Kind =
      if settings.mode == .open, let rate = settings.rate {
        .open(rate: rate, connections: level, arrivals: settings.arrivals)
      } else {
        .closed(inFlight: level)
      }
    return Load(kind: kind, warmUp: settings.warmUp, duration: settings.duration, seed: seed)
  }

  /// What the figures alone do not say.
  static func remarks(_ levels: [BenchLevel]) -> [String] {
    var remarks: [String] = []
    for level in levels {
      if let refusal = level.refusal { remarks.append("level \(level.level) is refused: \(refusal)") }
      let failed = level.rounds.reduce(0) { $0 + $1.failed }
      if failed > 0, level.refusal == nil {
        remarks.append("level \(level.level): \(Quantity.count(Int(clamping: failed), "request")) failed")
      }
      if level.refusal == nil, level.rounds.contains(where: { $0.lag != nil && Soundness.isQueueGrowing($0) }) {
        remarks.append(
          "level \(level.level): requests came faster than they ended; the queue grew, and with it, for as long as it lasted, the response time"
        )
      }
    }
    return remarks
  }

  // MARK: The search

  private func search(
    _ objective: Objective, _ driver: inout some LoadDriver, _ host: BenchHost, _ date: String, _ tell: (String) -> Void
  ) throws(BenchError) -> Outcome {
    var first = settings.rate
    if first == nil { first = try firstRate(&driver) }
    guard let first else { return Outcome(result: nil, wasInterrupted: true) }
    let search = SustainableRate(
      objective: objective, connections: settings.levels[0], arrivals: settings.arrivals, warmUp: settings.warmUp,
      duration: settings.duration, seed: settings.seed, first: first)
    let found = try search.find(&driver, tell: tell)
    if found.wasInterrupted, found.search.trials.isEmpty { return Outcome(result: nil, wasInterrupted: true) }
    let level = BenchLevel(
      level: settings.levels[0], refusal: found.search.refusal ?? (found.wasInterrupted ? "interrupted" : nil),
      rounds: found.confirmation.map { [$0.round] } ?? [])
    var result = result(host, date, [level], rounds: 1)
    result.search = found.search
    result.configuration.rate = found.search.rate
    if let confirmation = found.confirmation { result.configuration.durationNanoseconds = confirmation.round.nanoseconds }
    var outcome = Outcome(result: result, wasInterrupted: found.wasInterrupted, hang: found.hang)
    if let refusal = found.search.refusal { outcome.remarks.append("no rate was found: \(refusal)") }
    if found.search.isLimitedByGenerator {
      outcome.remarks.append("beyond this rate the generator was the bottleneck: the subject may bear more")
    }
    return outcome
  }

  /// Half of what one request in flight reaches: near enough, and no queue that takes long to drain. nil: interrupted.
  private func firstRate(_ driver: inout some LoadDriver) throws(BenchError) -> Double? {
    let load = Load(kind: .closed(inFlight: 1), warmUp: settings.warmUp, duration: settings.duration, seed: 0)
    guard let round = try driver.run(load)?.round else { return nil }
    return max(Double(round.completed), 0.1) / Double(round.nanoseconds) * 1e9 / 2
  }

  // MARK: The result

  private func result(_ host: BenchHost, _ date: String, _ levels: [BenchLevel], rounds: Int) -> BenchResult {
    let isOpen = settings.mode == .open
    return BenchResult(
      schema: BenchResult.currentSchema, suite: suite.name, date: date, host: host,
      configuration: BenchConfiguration(
        mode: settings.mode, rate: isOpen ? settings.rate : nil, arrivals: isOpen ? settings.arrivals.rawValue : nil,
        seed: isOpen ? settings.seed : nil, durationNanoseconds: settings.duration, warmUpNanoseconds: settings.warmUp, rounds: rounds,
        threads: settings.subject.threads, slots: settings.subject.slots, wait: settings.subject.wait.rawValue,
        isPinned: settings.isPinned, subject: suite.subject, subjectHash: suite.hash),
      levels: levels)
  }

  /// Now in UTC, as `2026-11-25T20:51:35Z`.
  private static func date() -> String {
    var seconds = time_t(millrace_wall() / 1_000_000_000)
    var parts = unsafe tm()
    // Filled in during the call.
    guard unsafe gmtime_r(&seconds, &parts) != nil else { return "unknown" }
    let fields = unsafe [parts.tm_year + 1_900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec]
    let texts = fields.map { $0 < 10 ? "0\($0)" : "\($0)" }
    return texts[..<3].joined(separator: "-") + "T" + texts[3...].joined(separator: ":") + "Z"
  }
}
