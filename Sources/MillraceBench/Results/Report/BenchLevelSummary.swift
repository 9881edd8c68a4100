/// One level over all its rounds: what tables and pages show.
struct BenchLevelSummary {
  var level: Int
  var refusal: String?
  /// Requests a second: median, least and most of the rounds; nil: no rounds.
  var throughput: (median: Double, least: Double, most: Double)?
  /// Processors busy on average.
  var cpus: Double?
  /// Of these what the generator's own threads kept busy; nil: closed.
  var generatorCPUs: Double?
  var failed: UInt64
  /// Of all rounds together.
  var service: BenchHistogram
  var response: BenchHistogram
  var lag: BenchHistogram?
  /// The most that the queue grew by in a round.
  var backlogGrowth: Int64
  /// Cache line there and back: least and most of the rounds, nanoseconds.
  var pingPong: (least: Double, most: Double)?

  init(_ level: BenchLevel) {
    self.level = level.level
    refusal = level.refusal
    let rounds = level.rounds
    let rates = rounds.map(\.throughput).sorted()
    throughput = rates.isEmpty ? nil : (Self.median(rates), rates[0], rates[rates.count - 1])
    let time = rounds.reduce(0.0) { $0 + Double($1.nanoseconds) }
    cpus = time > 0 ? rounds.reduce(0.0) { $0 + Double($1.cpuNanoseconds) } / time : nil
    let generators = rounds.compactMap(\.generatorNanoseconds)
    generatorCPUs = time > 0 && !generators.isEmpty ? generators.reduce(0.0) { $0 + Double($1) } / time : nil
    failed = rounds.reduce(0) { $0 &+ $1.failed }
    service = .merged(rounds.map(\.service))
    response = .merged(rounds.map(\.response))
    let lags = rounds.compactMap(\.lag)
    lag = lags.isEmpty ? nil : .merged(lags)
    backlogGrowth = rounds.map(\.backlogGrowth).max() ?? 0
    let pings = rounds.compactMap(\.pingPongNanoseconds)
    pingPong = if let least = pings.min(), let most = pings.max() { (least, most) } else { nil }
  }

  /// Of sorted values.
  static func median(_ sorted: [Double]) -> Double {
    let middle = sorted.count / 2
    return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
  }
}

extension BenchRound {
  /// Requests completed a second.
  var throughput: Double { Double(completed) / Double(nanoseconds) * 1e9 }
}
