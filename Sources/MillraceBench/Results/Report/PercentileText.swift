internal import Glibc

/// A histogram in the text form of HdrHistogram (`.hgrm`), which its plotters read: Value, Percentile, TotalCount, 1/(1-Percentile), then a
/// footer. Values are microseconds with three decimals, so that nanoseconds are exact.
///
/// # Source
/// `AbstractHistogram.outputPercentileDistribution` of HdrHistogram, with 5 steps for each half of the distance to 100 %.
public enum PercentileText {
  private static let stepsPerHalf = 5.0
  private static let unit = 1_000.0
  /// Buckets of three significant digits have so many parts.
  private static let parts: UInt64 = 2_048

  /// A file for each level that was not refused: the end of its name, and its text. Of both latencies when open, else of the one there is.
  public static func files(_ result: BenchResult) -> [(suffix: String, text: String)] {
    result.levels.map(BenchLevelSummary.init).filter { $0.refusal == nil }.flatMap { level in
      let response = ("-\(level.level).hgrm", text(level.response))
      return result.configuration.mode == .closed ? [response] : [response, ("-\(level.level)-service.hgrm", text(level.service))]
    }
  }

  /// Complexity: O(buckets + steps).
  public static func text(_ histogram: BenchHistogram) -> String {
    var lines = [
      right("Value", 12) + " " + right("Percentile", 14) + " " + right("TotalCount", 10) + " " + right("1/(1-Percentile)", 14), "",
    ]
    lines += points(histogram).map(line)
    lines.append(
      "#[Mean    = \(right(fixed((histogram.mean ?? 0) / unit, 3), 12)), StdDeviation   = \(right(fixed((histogram.standardDeviation ?? 0) / unit, 3), 12))]"
    )
    lines.append(
      "#[Max     = \(right(fixed(Double(histogram.maximum) / unit, 3), 12)), Total count    = \(right("\(histogram.count)", 12))]")
    lines.append("#[Buckets = \(right("\(buckets(histogram.maximum))", 12)), SubBuckets     = \(right("\(parts)", 12))]")
    return lines.joined(separator: "\n") + "\n"
  }

  /// A point of the distribution: `total` values, the share `quantile` of all, are not above `value`.
  struct Point: Equatable {
    var value: UInt64
    /// 0 ... 1.
    var quantile: Double
    var total: UInt64
  }

  /// Steps that halve their distance to 100 % every `stepsPerHalf`; the last is the maximum at 1. Empty for an empty histogram.
  static func points(_ histogram: BenchHistogram) -> [Point] {
    guard histogram.count > 0 else { return [] }
    var points: [Point] = []
    var total: UInt64 = 0
    var percent = 0.0
    for (index, bucket) in histogram.buckets.enumerated() {
      total += bucket[1]
      let value = min(bucket[0], histogram.maximum)
      let reached = 100 * Double(total) / Double(histogram.count)
      if index == histogram.buckets.count - 1 {
        // One more step, and the same value at 100 %.
        points.append(Point(value: value, quantile: percent / 100, total: total))
        points.append(Point(value: value, quantile: 1, total: total))
        break
      }
      while reached >= percent {
        points.append(Point(value: value, quantile: percent / 100, total: total))
        percent += step(percent)
      }
    }
    return points
  }

  private static func step(_ percent: Double) -> Double {
    let halvings = log2(100 / (100 - percent)).rounded(.down) + 1
    return 100 / (stepsPerHalf * exp2(halvings))
  }

  private static func line(_ point: Point) -> String {
    let text =
      right(fixed(Double(point.value) / unit, 3), 12) + " " + right(fixed(point.quantile, 12), 14) + " " + right("\(point.total)", 10)
    return point.quantile < 1 ? text + " " + right(fixed(1 / (1 - point.quantile), 2), 14) : text
  }

  /// Doublings of the first 2,048 values that the largest needs.
  private static func buckets(_ maximum: UInt64) -> Int {
    maximum < parts ? 1 : UInt64.bitWidth - maximum.leadingZeroBitCount - (UInt64.bitWidth - 1 - parts.leadingZeroBitCount) + 1
  }

  /// As C prints `%.*f`: to the last digit, which a product with a power of ten would not give.
  private static func fixed(_ value: Double, _ decimals: Int) -> String {
    // The longest double has 309 digits before the point.
    var text = [CChar](repeating: 0, count: 340)
    let bytes = unsafe withVaList([Int32(decimals), value]) { unsafe vsnprintf(&text, text.count, "%.*f", $0) }
    return String(decoding: text.prefix(Int(max(0, bytes))).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.utf8.count)) + text
  }
}
