internal import Millrace

/// A result as a terminal shows it.
public enum BenchTable {
  /// Stands where there are too few samples to say.
  static let gap = "–"
  static let quantiles = [0.5, 0.99, 0.999]

  /// What was measured, where, and a line for each level. Ends with a newline.
  ///
  /// - Parameter name: of the file; stands in the title.
  public static func text(_ result: BenchResult, name: String) -> String {
    let levels = result.levels.map(BenchLevelSummary.init)
    let head = heading(result)
    var text = ([name + ": " + head[0]] + head.dropFirst()).map { TerminalText.escaped($0) + "\n" }.joined()
    let isOpen = result.configuration.mode == .open
    var table = TextTable(
      ["level", "a second", "least", "most", "CPUs", "p50", "p99", "p99.9", "max"] + (isOpen ? ["service p50", "p99"] : []))
    for level in levels where level.refusal == nil { table.add(row(level, isOpen: isOpen)) }
    if levels.contains(where: { $0.refusal == nil }) { text += table.text }
    for level in levels {
      if let refusal = level.refusal { text += "level \(level.level) refused: \(TerminalText.escaped(refusal))\n" }
      if level.failed > 0 { text += "level \(level.level): \(Quantity.integer(Int64(clamping: level.failed))) requests failed\n" }
      if level.backlogGrowth > 0, isOpen {
        text += "level \(level.level): the queue grew by up to \(Quantity.integer(level.backlogGrowth)) requests in a round\n"
      }
    }
    if levels.contains(where: { level in level.refusal == nil && quantiles.contains { level.response.value(at: $0) == nil } }) {
      text += "\(gap) too few samples: a percentile p needs 10 / (1 - p)\n"
    }
    return text
  }

  /// Where, when and how it was measured, a line for each.
  static func heading(_ result: BenchResult) -> [String] {
    let host = result.host
    let load = host.loadAverage.map { Quantity.fixed($0, decimals: 2) }.joined(separator: " ")
    var lines = [
      "\(result.suite), \(configuration(result.configuration))",
      "\(host.cpuModel), \(host.cpusGranted) of \(Quantity.count(host.cpusOnline, "processor")), Linux \(host.kernel), clock \(host.clockSource), load \(load)",
      "millrace \(host.version), commit \(host.commit.prefix(12)), \(result.date), ping-pong \(pingPong(result))",
    ]
    if let periods = host.cgroup.throttledPeriods, periods > 0 {
      let time = Quantity.nanoseconds(host.cgroup.throttledNanoseconds ?? 0)
      lines.append("the control group was held back in \(Quantity.count(periods, "period")), \(time) in all")
    }
    return lines
  }

  /// In words, as `closed, 10 rounds of 1.00 s after 200 ms, 2 threads, 2 slots, adaptive`.
  static func configuration(_ configuration: BenchConfiguration) -> String {
    var words = [configuration.mode.rawValue]
    if let rate = configuration.rate { words.append("\(Quantity.number(rate)) a second") }
    words.append(
      "\(Quantity.count(configuration.rounds, "round")) of \(Quantity.nanoseconds(configuration.durationNanoseconds)) after \(Quantity.nanoseconds(configuration.warmUpNanoseconds))"
    )
    words += [Quantity.count(configuration.threads, "thread"), Quantity.count(configuration.slots, "slot"), configuration.wait]
    if configuration.isPinned { words.append("pinned") }
    if let subject = configuration.subject { words.append(subject) }
    return words.joined(separator: ", ")
  }

  /// Before all rounds, and where it is known the range of them.
  static func pingPong(_ result: BenchResult) -> String {
    let pings = result.levels.flatMap(\.rounds).compactMap(\.pingPongNanoseconds)
    if let least = pings.min(), let most = pings.max() { return "\(Quantity.seconds(least / 1e9)) to \(Quantity.seconds(most / 1e9))" }
    return result.host.pingPongNanoseconds.map { Quantity.seconds($0 / 1e9) } ?? "not measured"
  }

  private static func row(_ level: BenchLevelSummary, isOpen: Bool) -> [String] {
    let rates = level.throughput.map { [$0.median, $0.least, $0.most] } ?? []
    let time = { (value: UInt64?) in value.map(Quantity.nanoseconds) ?? gap }
    var cells = ["\(level.level)"] + (rates.isEmpty ? [gap, gap, gap] : rates.map(rate))
    cells.append(level.cpus.map { Quantity.fixed($0, decimals: 2) } ?? gap)
    cells += quantiles.map { time(level.response.value(at: $0)) }
    cells.append(level.response.count > 0 ? time(level.response.maximum) : gap)
    if isOpen { cells += [0.5, 0.99].map { time(level.service.value(at: $0)) } }
    return cells
  }

  /// Requests a second with three digits at least: `12.3`, `4,567`.
  static func rate(_ value: Double) -> String { Quantity.fixed(value, decimals: value < 9.995 ? 2 : value < 99.95 ? 1 : 0) }
}
