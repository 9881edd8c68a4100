extension BenchHistogram {
  static let empty = BenchHistogram(buckets: [], count: 0, minimum: 0, maximum: 0, sum: 0)

  /// The counts of all together. Complexity: O(n log n) in buckets.
  static func merged(_ histograms: [BenchHistogram]) -> BenchHistogram {
    let filled = histograms.filter { $0.count > 0 }
    guard filled.count > 1 else { return filled.first ?? .empty }
    var buckets: [[UInt64]] = []
    for bucket in filled.flatMap(\.buckets).sorted(by: { $0[0] < $1[0] }) {
      if let last = buckets.last, last[0] == bucket[0] {
        buckets[buckets.count - 1][1] += bucket[1]
      } else {
        buckets.append(bucket)
      }
    }
    return BenchHistogram(
      buckets: buckets, count: filled.reduce(0) { $0 + $1.count }, minimum: filled.map(\.minimum).min() ?? 0,
      maximum: filled.map(\.maximum).max() ?? 0, sum: filled.reduce(0) { $0 + $1.sum })
  }

  /// Nanoseconds; nil: no samples.
  var mean: Double? { count > 0 ? sum / Double(count) : nil }

  /// From the ends of the buckets: right to their three digits. Complexity: O(buckets).
  var standardDeviation: Double? {
    guard let mean else { return nil }
    let squares = buckets.reduce(0.0) { sum, bucket in
      let distance = Double(min(bucket[0], maximum)) - mean
      return sum + distance * distance * Double(bucket[1])
    }
    return (squares / Double(count)).squareRoot()
  }
}
