internal import Histogram

/// Latencies to three significant digits, and what a histogram alone would not keep: the exact extremes and sum.
///
/// `record` costs about 2 ns and allocates nothing.
struct Latencies {
  /// An hour: what is longer is counted as an hour, with the maximum as it was.
  static let longest: UInt64 = 3_600_000_000_000

  private var histogram = Histogram<UInt64>(highestTrackableValue: Latencies.longest, numberOfSignificantValueDigits: .three)
  private(set) var count: UInt64 = 0
  private(set) var minimum = UInt64.max
  private(set) var maximum: UInt64 = 0
  /// 2^64 nanoseconds are 584 years of latency.
  private var sum: UInt64 = 0

  @inline(__always) mutating func record(_ nanoseconds: UInt64) {
    histogram.record(min(nanoseconds, Latencies.longest))
    count &+= 1
    minimum = min(minimum, nanoseconds)
    maximum = max(maximum, nanoseconds)
    sum &+= nanoseconds
  }

  mutating func add(_ other: Latencies) {
    histogram.add(other.histogram)
    count &+= other.count
    minimum = min(minimum, other.minimum)
    maximum = max(maximum, other.maximum)
    sum &+= other.sum
  }

  mutating func reset() {
    if count == 0 { return }
    histogram.reset()
    (count, minimum, maximum, sum) = (0, .max, 0, 0)
  }

  /// As a result file has it. Complexity: O(buckets).
  var result: BenchHistogram {
    BenchHistogram(
      buckets: histogram.recordedValues().map { [histogram.highestEquivalentForValue($0.value), $0.count] }, count: count,
      minimum: count == 0 ? 0 : minimum, maximum: maximum, sum: Double(sum))
  }
}
