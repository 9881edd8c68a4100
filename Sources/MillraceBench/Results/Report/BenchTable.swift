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
    var table = TextTable(isOpen ? openHeads : closedHeads)
    for level in levels where level.refusal == nil { table.add(row(level, isOpen: isOpen)) }
    let hasFigures = levels.contains { $0.refusal == nil }
    if hasFigures { text += table.text }
    for level in levels {
      if let refusal = level.refusal { text += "level \(level.level) refused: \(TerminalText.escaped(refusal))\n" }
      if level.failed > 0 { text += "level \(level.level): \(Quantity.integer(Int64(clamping: level.failed))) requests failed\n" }
      if level.backlogGrowth > 0, isOpen {
        text += "level \(level.level): the queue grew by up to \(Quantity.integer(level.backlogGrowth)) requests in a round\n"
      }
    }
    if isOpen, hasFigures { text += "p50, p99, p99.9, max: response time, from the moment that a request should have been sent\n" }
    if levels.contains(where: { level in level.refusal == nil && quantiles.contains { level.response.value(at: $0) == nil } }) {
      text += "\(gap) too few samples: a percentile p needs 10 / (1 - p)\n"
    }
    if let search = result.search { text += TerminalText.escaped(sentence(search)) + "\n" }
    return text
  }

  private static let closedHeads = ["in flight", "a second", "least", "most", "CPUs", "p50", "p99", "p99.9", "max"]
  private static let openHeads = [
    "connections", "a second", "CPUs", "generator", "p50", "p99", "p99.9", "max", "service p50", "service p99", "lag p99",
  ]

  /// What a search found.
  static func sentence(_ search: BenchSearch) -> String {
    guard let found = search.rate else { return "no rate kept \(search.objective): \(search.refusal ?? "interrupted")" }
    let atLeast = search.isLimitedByGenerator ? "at least " : ""
    return
      "highest rate that keeps \(search.objective): \(atLeast)\(rate(found)) a second (\(Quantity.count(search.trials.count, "trial")))"
  }

  /// Where, when and how it was measured, a line for each.
  static func heading(_ result: BenchResult) -> [String] {
    let host = result.host
    let load = host.loadAverage.map { Quantity.fixed($0, decimals: 2) }.joined(separator: " ")
    let lines = [
      "\(result.suite), \(configuration(result.configuration))",
      "\(host.cpuModel), \(host.cpusGranted) of \(Quantity.count(host.cpusOnline, "processor")), Linux \(host.kernel), clock \(host.clockSource), load \(load)",
      "millrace \(host.version), commit \(host.commit.prefix(12)), \(result.date), ping-pong \(pingPong(result))",
    ]
    return lines + [throttling(host.cgroup), idle(result.idle)].compactMap(\.self)
  }

  /// nil: the group was not held back.
  static func throttling(_ group: BenchCgroup) -> String? {
    guard let held = group.throttledPeriods, held > 0 else { return nil }
    let time = Quantity.nanoseconds(group.throttledNanoseconds ?? 0)
    let of = group.periods.map { "\(Quantity.integer(Int64(held))) of \(Quantity.count($0, "period"))" } ?? Quantity.count(held, "period")
    return "held back by the control group in \(of), \(time) in all: latencies include it"
  }

  /// nil: it was at rest, or nobody looked.
  static func idle(_ idle: BenchIdle?) -> String? {
    guard let idle, idle.wakeUps > 0 || idle.cpuNanoseconds > 0 else { return nil }
    let wakeUps = Quantity.count(Int(clamping: idle.wakeUps), "wake-up")
    let (cpu, span) = (Quantity.nanoseconds(idle.cpuNanoseconds), Quantity.nanoseconds(idle.nanoseconds))
    return "not at rest without work: \(wakeUps) and \(cpu) of CPU time in \(span)"
  }

  /// In words, as `closed, 10 rounds of 1.00 s after 200 ms, 2 threads, 2 slots, adaptive`.
  static func configuration(_ configuration: BenchConfiguration) -> String {
    var words = [configuration.mode.rawValue]
    if let rate = configuration.rate { words.append("\(Self.rate(rate)) a second") }
    if let arrivals = configuration.arrivals { words.append(arrivals) }
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
    let rates = level.throughput.map { isOpen ? [$0.median] : [$0.median, $0.least, $0.most] }
    let cells = ["\(level.level)"] + (rates?.map(rate) ?? [gap] + (isOpen ? [] : [gap, gap])) + [cpus(level.cpus)]
    if !isOpen { return cells + latencies(level) }
    return cells + [cpus(level.generatorCPUs)] + latencies(level) + waits(level)
  }

  static func cpus(_ value: Double?) -> String { value.map { Quantity.fixed($0, decimals: 2) } ?? gap }

  /// Percentiles of response, and the longest.
  static func latencies(_ level: BenchLevelSummary) -> [String] {
    quantiles.map { time(level.response.value(at: $0)) } + [time(level.response.count > 0 ? level.response.maximum : nil)]
  }

  /// What an open load tells beside them: service and lag.
  static func waits(_ level: BenchLevelSummary) -> [String] {
    [0.5, 0.99].map { time(level.service.value(at: $0)) } + [time(level.lag?.value(at: 0.99))]
  }

  private static func time(_ value: UInt64?) -> String { value.map(Quantity.nanoseconds) ?? gap }

  /// Requests a second with three digits at least: `12.3`, `4,567`.
  static func rate(_ value: Double) -> String { Quantity.fixed(value, decimals: value < 9.995 ? 2 : value < 99.95 ? 1 : 0) }
}
