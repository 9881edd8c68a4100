import Histogram
import MillraceWorkflow
import Testing

@testable import MillraceBench

@Suite struct ResultsPercentileTests {
  /// What HdrHistogram holds, in our form.
  private func bench(_ histogram: Histogram<UInt64>) -> BenchHistogram {
    var buckets: [[UInt64]] = []
    var sum = 0.0
    for value in histogram.recordedValues() {
      buckets.append([value.value, UInt64(value.count)])
      sum += Double(histogram.medianEquivalentForValue(value.value)) * Double(value.count)
    }
    return BenchHistogram(
      buckets: buckets, count: histogram.totalCount, minimum: buckets.first?[0] ?? 0, maximum: buckets.last?[0] ?? 0, sum: sum)
  }

  @Test("the text is that of HdrHistogram: the same steps and counts, values within its precision", arguments: [1, 10, 1_000, 100_000])
  func text(samples: Int) throws {
    var random = SeededRandom(seed: UInt64(samples))
    var histogram = Histogram<UInt64>(highestTrackableValue: 10_000_000_000, numberOfSignificantValueDigits: .three)
    for _ in 0..<samples { histogram.record(UInt64.random(in: 1...UInt64.random(in: 1_000...100_000_000, using: &random), using: &random)) }
    var theirs = ""
    histogram.outputPercentileDistribution(to: &theirs, outputValueUnitScalingRatio: 1_000)
    let lines = PercentileText.text(bench(histogram)).split(separator: "\n", omittingEmptySubsequences: false)
    let expected = theirs.split(separator: "\n", omittingEmptySubsequences: false)
    try #require(lines.count == expected.count)
    #expect(lines[0] == expected[0])
    #expect(lines[1] == "")
    for (line, other) in zip(lines.dropFirst(2).dropLast(4), expected.dropFirst(2).dropLast(4)) {
      #expect(line == other)
    }
    for (line, other) in zip(lines.suffix(4), expected.suffix(4)) {
      #expect(line.split(separator: "=").first == other.split(separator: "=").first)
      let (mine, yours) = (numbers(line), numbers(other))
      // The number of buckets depends on how large a value a histogram was made for.
      if line.hasPrefix("#[Buckets") { continue }
      // Deviations are sums of values that are known to three digits.
      for (one, two) in zip(mine, yours) { #expect(abs(one - two) <= 0.002 * yours[0], "\(line) | \(other)") }
    }
  }

  private func numbers(_ line: Substring) -> [Double] {
    line.split { !($0.isNumber || $0 == ".") }.compactMap { Double($0) }
  }

  @Test("an empty histogram has a head and a foot")
  func empty() {
    let lines = PercentileText.text(.empty).split(separator: "\n")
    #expect(lines.count == 4)
    #expect(lines[3] == "#[Buckets =            1, SubBuckets     =         2048]")
  }

  @Test("a percentile needs 10 / (1 - p) samples")
  func tooFew() {
    let histogram = BenchHistogram(buckets: [[5, 998], [9, 1]], count: 999, minimum: 5, maximum: 9, sum: 4_999)
    #expect(histogram.value(at: 0.5) == 5)
    #expect(histogram.value(at: 0.99) == nil)
    let more = BenchHistogram.merged([histogram, histogram])
    #expect(more.count == 1_998)
    #expect(more.buckets == [[5, 1_996], [9, 2]])
    #expect(more.value(at: 0.99) == 5)
    #expect(BenchHistogram.empty.value(at: 0.5) == nil)
  }

  @Test("merging keeps counts, ends and sums, and orders buckets")
  func merged() {
    let one = BenchHistogram(buckets: [[5, 1], [9, 1]], count: 2, minimum: 4, maximum: 9, sum: 13)
    let two = BenchHistogram(buckets: [[7, 2]], count: 2, minimum: 6, maximum: 7, sum: 13)
    let both = BenchHistogram.merged([one, .empty, two])
    #expect(both.buckets == [[5, 1], [7, 2], [9, 1]])
    #expect((both.minimum, both.maximum, both.count) == (4, 9, 4))
    #expect(both.sum == 26)
    #expect(both.mean == 6.5)
    #expect(BenchHistogram.merged([]).count == 0)
  }
}
