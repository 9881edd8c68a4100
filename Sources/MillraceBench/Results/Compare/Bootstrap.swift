internal import MillraceWorkflow

/// Intervals for several ratios at once, from rounds measured one after the other.
///
/// The location of a series is the mean of its middle half: a round that something disturbed does not move it. Rounds are drawn anew with
/// replacement, the same ones for every level and metric, so that what they share (the machine) stays shared. The interval of each ratio is its
/// estimate and as many of its standard deviations to both sides as the largest of all deviations needs in `confidence` of the draws: the chance
/// that *any* interval misses is 1 - confidence. Three corrections widen it: for few rounds, as Student's t does; for rounds that resemble
/// their neighbours, by their autocorrelation; and for sides that were not measured in turns, by how little of machine and processes each has seen.
///
/// # Source
/// Max-t bootstrap: Westfall and Young, Resampling-Based Multiple Testing, 1993. Expansion of t: Abramowitz and Stegun 26.7.5. Weights of the
/// autocorrelations: Newey and West, 1987.
struct Bootstrap {
  /// One measurement: which unit (round, or file) it comes from, and its logarithm.
  struct Sample {
    var unit: Int
    var value: Double
  }

  /// What is compared: `second` to `first`. In paired form `first` holds differences, second minus first, and `second` is empty.
  struct Contrast {
    /// Contrasts with the same number share their autocorrelation.
    var metric: Int
    var first: [Sample]
    var second: [Sample]
    /// What each side has seen of what the other has not; nil: both saw the same.
    var seen: (first: Seen, second: Seen)? = nil

    var fewestSamples: Int { second.isEmpty ? first.count : min(first.count, second.count) }
  }

  /// How much of what a machine and a program may do a side has seen.
  struct Seen {
    /// States of the machine.
    var states: Double
    var processes: Int

    /// What two processes of one program differ by from their common figure, whatever their rounds say: where their memory lies.
    static let processDeviation = 0.004
  }

  /// All in logarithms.
  struct Interval {
    var estimate: Double
    var halfWidth: Double
    /// Standard deviations in `halfWidth`.
    var critical: Double
  }

  /// Series with fewer samples say nothing.
  static let fewestSamples = 6
  private static let seed: UInt64 = 0x6D69_6C6C_7261_6365
  private static let lagLimit = 12

  var confidence: Double
  var resamples: Int

  /// Complexity: O(resamples x samples).
  ///
  /// - Parameters:
  ///   - contrasts: each with at least `fewestSamples` on both sides.
  ///   - firstUnits: units on the first side, or pairs.
  ///   - secondUnits: units on the second side; 0 when paired.
  func intervals(_ contrasts: [Contrast], firstUnits: Int, secondUnits: Int) -> [Interval] {
    let series = contrasts.map { (first: Sorted($0.first), second: Sorted($0.second)) }
    let once = [Int](repeating: 1, count: max(firstUnits, secondUnits))
    let estimates = series.map { Self.difference($0, once, once) ?? 0 }
    var generator = SeededRandom(seed: Self.seed)
    var deviations = [[Double]](repeating: [], count: contrasts.count)
    for _ in 0..<resamples {
      let first = generator.draw(firstUnits)
      let second = generator.draw(secondUnits)
      for index in series.indices {
        // No unit of a series drawn: nothing to learn from this draw.
        deviations[index].append(Self.difference(series[index], first, second).map { $0 - estimates[index] } ?? 0)
      }
    }
    let spreads = deviations.map { ($0.reduce(0) { $0 + $1 * $1 } / Double(max(1, resamples))).squareRoot() }
    let largest = (0..<resamples).map { draw in
      series.indices.reduce(0.0) { spreads[$1] > 0 ? max($0, abs(deviations[$1][draw]) / spreads[$1]) : $0 }
    }.sorted()
    let rank = Int((confidence * Double(resamples + 1)).rounded(.up))
    let critical = largest.isEmpty ? 0 : largest[min(largest.count, max(1, rank)) - 1]
    let inflations = Self.inflations(contrasts)
    return contrasts.indices.map { index in
      let contrast = contrasts[index]
      let wide = Self.studentised(critical, freedom: contrast.fewestSamples - 1)
      let variance = spreads[index] * spreads[index]
      let whole = max(variance * inflations[contrast.metric, default: 1], variance + Self.drift(contrast))
      return Interval(estimate: estimates[index], halfWidth: wide * whole.squareRoot(), critical: wide)
    }
  }

  /// What sides that saw different things differ by: the variance of the rounds over as many states of the machine as each has seen, and that of
  /// processes over as many as it has.
  private static func drift(_ contrast: Contrast) -> Double {
    guard let seen = contrast.seen else { return 0 }
    return drift(contrast.first, seen.first) + drift(contrast.second, seen.second)
  }

  private static func drift(_ samples: [Sample], _ seen: Seen) -> Double {
    spread(samples) / seen.states + Seen.processDeviation * Seen.processDeviation / Double(seen.processes)
  }

  /// A variance by the middle half, which a disturbed round does not move.
  private static func spread(_ samples: [Sample]) -> Double {
    let sorted = samples.map(\.value).sorted()
    let quarter = sorted.count / 4
    // The quartiles of the normal distribution lie 1.349 standard deviations apart.
    let deviation = (sorted[sorted.count - 1 - quarter] - sorted[quarter]) / 1.349
    return deviation * deviation
  }

  /// What a deviation of the normal distribution becomes with few degrees of freedom.
  private static func studentised(_ z: Double, freedom: Int) -> Double {
    let freedom = Double(max(1, freedom))
    let cube = z * z * z
    return z + (cube + z) / (4 * freedom) + (5 * cube * z * z + 16 * cube + 3 * z) / (96 * freedom * freedom)
  }

  // MARK: - Location

  /// Values in ascending order, with their units.
  private struct Sorted {
    let units: [Int]
    let values: [Double]

    init(_ samples: [Sample]) {
      let sorted = samples.sorted { $0.value < $1.value }
      units = sorted.map(\.unit)
      values = sorted.map(\.value)
    }

    /// The mean of the middle half, where unit u stands `counts[u]` times; nil: not one stands there.
    func location(_ counts: [Int]) -> Double? {
      var total = 0
      for unit in units { total += counts[unit] }
      guard total > 0 else { return nil }
      let low = Double(total) * 0.25
      let high = Double(total) * 0.75
      var sum = 0.0
      var seen = 0.0
      for index in units.indices {
        let next = seen + Double(counts[units[index]])
        let inside = min(next, high) - max(seen, low)
        if inside > 0 { sum += inside * values[index] }
        seen = next
        if seen >= high { break }
      }
      return sum / (high - low)
    }
  }

  private static func difference(_ series: (first: Sorted, second: Sorted), _ first: [Int], _ second: [Int]) -> Double? {
    guard let base = series.first.location(first) else { return nil }
    if series.second.values.isEmpty { return base }
    return series.second.location(second).map { $0 - base }
  }

  /// The location of a series as it was measured; nil: it is empty.
  static func location(_ samples: [Sample]) -> Double? {
    Sorted(samples.enumerated().map { Sample(unit: $0, value: $1.value) }).location([Int](repeating: 1, count: samples.count))
  }

  // MARK: - Autocorrelation

  /// By metric: how many times larger the variance of a mean is than that of independent rounds; 1 at least.
  ///
  /// Pooled over levels, since one series of 20 says little: what makes neighbours alike is the machine, which all levels share.
  private static func inflations(_ contrasts: [Contrast]) -> [Int: Double] {
    let fewest = contrasts.map(\.fewestSamples).min() ?? 0
    let lags = max(1, min(lagLimit, fewest * 2 / 5))
    var sums: [Int: [Double]] = [:]
    var counts: [Int: Double] = [:]
    for contrast in contrasts {
      for side in [contrast.first, contrast.second] where side.count >= fewestSamples {
        guard let found = autocorrelations(side, lags: lags) else { continue }
        sums[contrast.metric] = zip(sums[contrast.metric] ?? [Double](repeating: 0, count: lags), found).map(+)
        counts[contrast.metric, default: 0] += 1
      }
    }
    return sums.reduce(into: [:]) { inflations, sum in
      var inflation = 1.0
      for (index, total) in sum.value.enumerated() {
        let weight = 1 - Double(index + 1) / Double(lags + 1)
        inflation += 2 * weight * total / (counts[sum.key] ?? 1)
      }
      inflations[sum.key] = max(1, inflation)
    }
  }

  /// Of lags 1, 2, ..., in the order of measurement, the outer quarters drawn in to the middle half; nil: all values are the same.
  private static func autocorrelations(_ samples: [Sample], lags: Int) -> [Double]? {
    let values = samples.sorted { $0.unit < $1.unit }.map(\.value)
    let sorted = values.sorted()
    let quarter = values.count / 4
    let inner = values.map { min(max($0, sorted[quarter]), sorted[values.count - 1 - quarter]) }
    let mean = inner.reduce(0, +) / Double(inner.count)
    let errors = inner.map { $0 - mean }
    let variance = errors.reduce(0) { $0 + $1 * $1 }
    guard variance > 0 else { return nil }
    return (1...lags).map { lag in
      let products = zip(errors, errors.dropFirst(lag)).reduce(0) { $0 + $1.0 * $1.1 }
      // The mean was taken from the same values: it draws every estimate down by 1 / n.
      return products / variance + 1 / Double(values.count)
    }
  }
}

extension SeededRandom {
  /// How often each of `count` units is drawn in as many draws.
  fileprivate mutating func draw(_ count: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: count)
    for _ in 0..<count { counts[Int(next().multipliedFullWidth(by: UInt64(count)).high)] += 1 }
    return counts
  }
}
