internal import Millrace

extension BenchResult {
  /// The figures for a terminal: a line for each level, and what the dashes and words mean where there are some.
  public func table() -> String {
    let isOpen = configuration.mode == .open
    var rows = [isOpen ? LoadTable.openColumns : LoadTable.closedColumns]
    var lacks = false
    for level in levels {
      let cells = LoadTable.cells(level, isOpen: isOpen, lacks: &lacks)
      rows.append(level.refusal == nil ? cells : [cells[0], "refused"])
    }
    var text = LoadTable.heading(self) + "\n" + LoadTable.lines(rows).joined(separator: "\n") + "\n"
    if isOpen { text += "p50, p99, p99.9, max: response time, from the moment that a request should have been sent\n" }
    if lacks { text += "-: fewer samples than 10 / (1 - p), too few to name the percentile\n" }
    if let search { text += LoadTable.sentence(search) }
    return text
  }
}

/// The table of a result, cell by cell.
enum LoadTable {
  static let closedColumns = ["in flight", "a second", "least", "most", "cpus", "p50", "p90", "p99", "p99.9", "max"]
  static let openColumns = [
    "connections", "a second", "cpus", "generator", "p50", "p99", "p99.9", "max", "service p99", "lag p99", "queue",
  ]

  static func cells(_ measured: BenchLevel, isOpen: Bool, lacks: inout Bool) -> [String] {
    let level = BenchLevelSummary(measured)
    let nanoseconds = measured.rounds.reduce(0.0) { $0 + Double($1.nanoseconds) }
    let generator = measured.rounds.reduce(0.0) { $0 + Double($1.generatorNanoseconds ?? 0) }
    func percentile(_ histogram: BenchHistogram, _ quantile: Double) -> String {
      guard let value = histogram.value(at: quantile) else {
        lacks = lacks || level.refusal == nil
        return "-"
      }
      return Quantity.nanoseconds(value)
    }
    func rate(_ value: Double?) -> String { value.map(perSecond) ?? "-" }
    func cpus(_ value: Double?) -> String { value.map { Quantity.fixed($0, decimals: 2) } ?? "-" }
    let response = level.response
    let greatest = response.count == 0 ? "-" : Quantity.nanoseconds(response.maximum)
    if !isOpen {
      return [
        "\(level.level)", rate(level.throughput?.median), rate(level.throughput?.least), rate(level.throughput?.most), cpus(level.cpus),
      ]
        + [0.5, 0.9, 0.99, 0.999].map { percentile(response, $0) } + [greatest]
    }
    return ["\(level.level)", rate(level.throughput?.median), cpus(level.cpus), cpus(nanoseconds > 0 ? generator / nanoseconds : nil)]
      + [0.5, 0.99, 0.999].map { percentile(response, $0) }
      + [greatest, percentile(level.service, 0.99), level.lag.map { percentile($0, 0.99) } ?? "-", signed(level.backlogGrowth)]
  }

  static func heading(_ result: BenchResult) -> String {
    let configuration = result.configuration
    var load = "closed"
    if configuration.mode == .open {
      load = "open, " + (configuration.rate.map { perSecond($0) + " a second" } ?? "no rate")
      if let arrivals = configuration.arrivals { load += ", " + arrivals }
    }
    let rounds = Quantity.count(configuration.rounds, "round")
    let length = Quantity.nanoseconds(configuration.durationNanoseconds)
    let threads = Quantity.count(configuration.threads, "thread")
    return
      "\(result.suite): \(load); \(rounds) of \(length); \(threads), \(Quantity.count(configuration.slots, "slot")), \(configuration.wait)"
      + (configuration.isPinned ? ", pinned" : "")
  }

  static func sentence(_ search: BenchSearch) -> String {
    guard let rate = search.rate else { return "no rate kept \(search.objective)\n" }
    let trials = Quantity.count(search.trials.count, "trial")
    let atLeast = search.isLimitedByGenerator ? "at least " : ""
    return
      "highest rate that keeps \(search.objective): \(atLeast)\(perSecond(rate)) a second (\(trials))\n"
  }

  /// Columns of equal width, all to the right; a short row ends early.
  static func lines(_ rows: [[String]]) -> [String] {
    let widths = (rows.first ?? []).indices.map { column in
      rows.compactMap { $0.count > column ? TerminalText.width($0[column]) : nil }.max() ?? 0
    }
    return rows.map { row in
      row.enumerated().map { TerminalText.padded($1, to: widths[$0], right: true) }.joined(separator: "  ")
    }
  }

  private static func perSecond(_ rate: Double) -> String { Quantity.fixed(rate, decimals: rate < 100 ? 1 : 0) }

  private static func signed(_ value: Int64) -> String { (value > 0 ? "+" : "") + Quantity.integer(value) }
}
