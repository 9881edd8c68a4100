internal import Millrace
internal import MillraceWorkflow

/// Results in the form that the page's script reads, safe inside `<script type="application/json">`.
enum BenchPageData {
  /// Colours of `PageStyle`; further results begin again.
  static let colours = 8
  /// The page says what a level is refused for in so many bytes.
  private static let refusalLimit = 300

  static func json(_ results: [(name: String, result: BenchResult)]) -> String {
    let values = JSON.array(
      results.map { name, result in
        .object([
          .init("name", .string(TerminalText.escaped(name))),
          .init("open", .bool(result.configuration.mode == .open)),
          .init("levels", .array(result.levels.map { level(BenchLevelSummary($0)) })),
        ])
      })
    // The only character that could end the element; it stands in strings alone.
    return values.text().split(separator: "<", omittingEmptySubsequences: false).joined(separator: "\\u003c")
  }

  private static func level(_ level: BenchLevelSummary) -> JSON {
    let refusal = level.refusal.map { JSON.string(TerminalText.escaped(String(decoding: $0.utf8.prefix(refusalLimit), as: UTF8.self))) }
    guard refusal == nil else { return .object([.init("level", .integer(Int64(level.level))), .init("refusal", refusal ?? .null)]) }
    return .object([
      .init("level", .integer(Int64(level.level))),
      .init("throughput", level.throughput.map { .array([.number($0.median), .number($0.least), .number($0.most)]) } ?? .null),
      .init("cpus", level.cpus.map(JSON.number) ?? .null),
      .init("response", latencies(level.response)),
      .init("service", latencies(level.service)),
    ])
  }

  /// `at`: p50, p99, p99.9, null where there are too few samples. `curve`: quantile, nanoseconds, quantile, nanoseconds, ...
  private static func latencies(_ histogram: BenchHistogram) -> JSON {
    let at = BenchTable.quantiles.map { histogram.value(at: $0).map(JSON.init(count:)) ?? .null }
    let sound = PercentileText.points(histogram).filter { Double(histogram.count) * (1 - $0.quantile) >= 10 }
    let curve = sound.flatMap { [JSON.number($0.quantile), JSON(count: $0.value)] }
    return .object([.init("at", .array(at)), .init("curve", .array(curve))])
  }
}
