internal import Glibc

/// Results of one subject as a comparison uses them: units in the order of measurement, each with its rounds.
///
/// With one file the units are its rounds. With several the units are the files, as rounds of one process share what another process of the same
/// program would have otherwise: where its memory lies, which processor it began on.
struct BenchSeries {
  let results: [BenchResult]
  /// Rounds whose ping-pong was longer, in nanoseconds, are left out.
  var pingPongLimit: Double?

  init(_ results: [BenchResult]) { self.results = results.sorted { $0.date < $1.date } }

  var first: BenchResult { results[0] }
  var isOfFiles: Bool { results.count > 1 }
  var unitCount: Int { isOfFiles ? results.count : results[0].configuration.rounds }
  var unitName: String { isOfFiles ? "file" : "round" }

  /// Levels that every file has.
  var levels: [Int] {
    let all = results.map { Set($0.levels.map(\.level)) }
    return first.levels.map(\.level).filter { level in all.allSatisfy { $0.contains(level) } }
  }

  /// Why there is no figure of this level.
  func refusal(_ level: Int) -> String? {
    for result in results { if let refusal = self.level(level, in: result)?.refusal { return refusal } }
    return nil
  }

  var pingPongs: [Double] { results.flatMap(\.levels).flatMap(\.rounds).compactMap(\.pingPongNanoseconds) }

  /// Logarithms of a metric by unit; units without a figure are not there.
  func samples(_ level: Int, _ metric: BenchComparison.Metric) -> [Bootstrap.Sample] {
    let parts = results.map { result in self.level(level, in: result)?.rounds ?? [] }
    let units = isOfFiles ? parts : parts[0].map { [$0] }
    return units.enumerated().compactMap { unit, rounds in
      let values = rounds.filter(isQuiet).compactMap(metric.value).filter { $0 > 0 }.map { log($0) }
      return values.isEmpty ? nil : Bootstrap.Sample(unit: unit, value: values.reduce(0, +) / Double(values.count))
    }
  }

  /// Nanoseconds measured in all, every level: how long the machine was looked at.
  var measured: UInt64 { results.flatMap(\.levels).flatMap(\.rounds).reduce(0) { $0 &+ $1.nanoseconds } }

  /// Processors that the process used on average; nil: no rounds.
  func cpus(_ level: Int) -> Double? {
    let rounds = results.flatMap { self.level(level, in: $0)?.rounds ?? [] }
    let time = rounds.reduce(0.0) { $0 + Double($1.nanoseconds) }
    return time > 0 ? rounds.reduce(0.0) { $0 + Double($1.cpuNanoseconds) } / time : nil
  }

  /// Rounds of a level that are left out, of how many.
  func disturbed(_ level: Int) -> (count: Int, of: Int) {
    let rounds = results.flatMap { self.level(level, in: $0)?.rounds ?? [] }
    return (rounds.count { !isQuiet($0) }, rounds.count)
  }

  private func isQuiet(_ round: BenchRound) -> Bool {
    guard let pingPongLimit, let pingPong = round.pingPongNanoseconds else { return true }
    return pingPong <= pingPongLimit
  }

  private func level(_ level: Int, in result: BenchResult) -> BenchLevel? { result.levels.first { $0.level == level } }

  /// As many files on both sides, measured in turns: every two that follow each other are one of each. The k-th of both then share the machine's
  /// state, and are compared with each other.
  static func alternate(_ first: BenchSeries, _ second: BenchSeries) -> Bool {
    guard first.isOfFiles, first.results.count == second.results.count else { return false }
    let turns = (first.results.map { ($0.date, 0) } + second.results.map { ($0.date, 1) }).sorted { $0 < $1 }
    return stride(from: 0, to: turns.count, by: 2).allSatisfy { turns[$0].1 != turns[$0 + 1].1 }
  }
}

extension BenchComparison.Metric {
  /// Of one round; nil: too few samples.
  fileprivate func value(_ round: BenchRound) -> Double? {
    switch self {
    case .throughput: round.throughput
    case .p50: round.response.value(at: 0.5).map { Double($0) }
    case .p99: round.response.value(at: 0.99).map { Double($0) }
    }
  }
}
