import Glibc
import MillraceWorkflow

@testable import MillraceBench

/// A made-up machine on which made-up subjects are measured, as NUMBERS of a real virtual machine have it: two speeds that change every few
/// seconds and show in the ping-pong, a slow drift, and logarithmically normal noise. One seed is one machine.
struct SampleMachine {
  static let seconds: UInt64 = 1_000_000_000

  /// A slow phase makes the machine slower.
  var hasPhases = true
  /// The ping-pong is measured around each round.
  var hasPingPong = true
  private var random: SeededRandom
  private var isSlow: Bool
  /// Seconds until the phase changes.
  private var rest = 0.0
  private var drift = 0.0
  /// Seconds since the machine was made.
  private(set) var now = 0

  /// Mean seconds that a phase lasts: slow for two sevenths of the time.
  private static let lasts = (fast: 10.0, slow: 4.0)
  /// Standard deviation, and seconds until a drift is forgotten by two thirds.
  private static let drift = (deviation: 0.01, memory: 30.0)

  init(seed: UInt64, hasPhases: Bool = true, hasPingPong: Bool = true) {
    random = SeededRandom(seed: seed)
    self.hasPhases = hasPhases
    self.hasPingPong = hasPingPong
    isSlow = false
    isSlow = Double.random(in: 0..<1, using: &random) < Self.lasts.slow / (Self.lasts.fast + Self.lasts.slow)
    rest = exponential(isSlow ? Self.lasts.slow : Self.lasts.fast)
    drift = normal() * Self.drift.deviation
  }

  /// Time passes, measured by nobody.
  mutating func wait(seconds: Int) {
    for _ in 0..<seconds { _ = second() }
  }

  /// A result of a suite that takes `cost` times as long as the first subject, by rounds of one second a level, levels in turns.
  mutating func measure(cost: Double = 1, rounds: Int = 20, levels: [Int] = [1, 2, 8]) -> BenchResult {
    let date = Self.date(now)
    var measured = levels.map { BenchLevel(level: $0, rounds: []) }
    for _ in 0..<rounds { for index in levels.indices { measured[index].rounds.append(round(levels[index], cost: cost)) } }
    var result = Sample.result(levels: measured, rounds: rounds)
    result.date = date
    return result
  }

  /// How much slower the slow phase is: more, the more the processors have to say to each other.
  private static func slowdown(_ level: Int) -> Double { level == 1 ? 1.1 : level == 2 ? 1.6 : 1.4 }

  private mutating func round(_ level: Int, cost: Double) -> BenchRound {
    let begin = pingPong()
    let slow = second()
    let pings = max(begin, pingPong())
    let slowdown = hasPhases ? Self.slowdown(level) : 1
    let base = 100_000.0 * cost * exp(drift)
    let typical = base * exp(normal() * 0.006)
    let spread = 0.3 * exp(normal() * 0.05)
    // Counted as HdrHistogram would: the shares of the fast and of the slow time.
    let service = Sample.histogram([(typical, spread, 1 - slow), (typical * slowdown, spread, slow)], count: 20_000)
    let rate = 100_000.0 * Double(level) / cost / exp(drift) * exp(normal() * 0.01) / (1 + (slowdown - 1) * slow)
    return BenchRound(
      nanoseconds: Self.seconds, completed: UInt64(rate), failed: 0, cpuNanoseconds: Self.seconds, service: service,
      response: service, lag: nil, backlogGrowth: 0, pingPongNanoseconds: hasPingPong ? pings : nil)
  }

  private mutating func pingPong() -> Double { (isSlow && hasPhases ? 320 : 55) * exp(normal() * 0.1) }

  /// The next second: which share of it was slow.
  private mutating func second() -> Double {
    now += 1
    let keeps = exp(-1 / Self.drift.memory)
    drift = drift * keeps + normal() * Self.drift.deviation * (1 - keeps * keeps).squareRoot()
    var left = 1.0
    var slow = 0.0
    while rest < left {
      if isSlow { slow += rest }
      left -= rest
      isSlow.toggle()
      rest = exponential(isSlow ? Self.lasts.slow : Self.lasts.fast)
    }
    rest -= left
    return isSlow ? slow + left : slow
  }

  private mutating func exponential(_ mean: Double) -> Double { -mean * log(1 - Double.random(in: 0..<1, using: &random)) }

  /// Box and Muller's transform.
  private mutating func normal() -> Double {
    let radius = (-2 * log(1 - Double.random(in: 0..<1, using: &random))).squareRoot()
    return radius * cos(2 * .pi * Double.random(in: 0..<1, using: &random))
  }

  /// So many seconds after midnight.
  private static func date(_ seconds: Int) -> String {
    let two = { (value: Int) in value < 10 ? "0\(value)" : "\(value)" }
    return "2026-11-\(two(1 + seconds / 86_400))T\(two(seconds / 3_600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))Z"
  }
}

enum Sample {
  /// Steps of a normal distribution, in standard deviations, and the share of it up to the middle of the next step.
  private static let steps: [(z: Double, share: Double)] = (-16...20).map { step in
    let z = Double(step) * 0.2
    return (z, (below(z + 0.1) - below(z - 0.1)))
  }
  /// The normal distribution's share below `z`.
  private static func below(_ z: Double) -> Double { 0.5 * (1 + erf(z / 2.0.squareRoot())) }
  private static let factors: [Double] = steps.map { exp(0.3 * $0.z) }

  /// Logarithmically normal latencies around medians, each with its share.
  static func histogram(_ parts: [(median: Double, spread: Double, share: Double)], count: UInt64) -> BenchHistogram {
    let present = parts.filter { $0.share > 0 }
    if present.count == 1 { return histogram(median: present[0].median, spread: present[0].spread, count: count) }
    var counts: [UInt64: UInt64] = [:]
    var rest = count
    for part in parts where part.share > 0 {
      for (index, step) in steps.enumerated() {
        let value = part.median * (part.spread == 0.3 ? factors[index] : exp(part.spread * step.z))
        let wanted = min(rest, UInt64(Double(count) * part.share * step.share))
        if wanted > 0 { counts[UInt64(value), default: 0] += wanted }
        rest -= wanted
      }
    }
    // What rounding left over is typical.
    if rest > 0 { counts[UInt64(parts.max { $0.share < $1.share }?.median ?? 1), default: 0] += rest }
    let buckets = counts.sorted { $0.key < $1.key }.map { [$0.key, $0.value] }
    return BenchHistogram(
      buckets: buckets, count: count, minimum: buckets.first?[0] ?? 0, maximum: buckets.last?[0] ?? 0,
      sum: buckets.reduce(0) { $0 + Double($1[0]) * Double($1[1]) })
  }

  /// The same of one part: most of those that are made up, and cheaper, since it is in order already.
  private static func histogram(median: Double, spread: Double, count: UInt64) -> BenchHistogram {
    var buckets: [[UInt64]] = []
    buckets.reserveCapacity(steps.count)
    var (rest, sum) = (count, 0.0)
    for (index, step) in steps.enumerated() {
      let value = UInt64(median * (spread == 0.3 ? factors[index] : exp(spread * step.z)))
      let wanted = min(rest, UInt64(Double(count) * step.share))
      if wanted == 0 { continue }
      if let last = buckets.last, last[0] == value {
        buckets[buckets.count - 1][1] += wanted
      } else {
        buckets.append([value, wanted])
      }
      rest -= wanted
      sum += Double(value) * Double(wanted)
    }
    if rest > 0 {
      // What rounding left over is typical.
      let typical = UInt64(median)
      let place = buckets.firstIndex { $0[0] >= typical } ?? buckets.count
      if place < buckets.count, buckets[place][0] == typical {
        buckets[place][1] += rest
      } else {
        buckets.insert([typical, rest], at: place)
      }
      sum += Double(typical) * Double(rest)
    }
    return BenchHistogram(
      buckets: buckets, count: count, minimum: buckets.first?[0] ?? 0, maximum: buckets.last?[0] ?? 0, sum: sum)
  }

  static let host = BenchHost(
    cpuModel: "Sample 3000", cpusOnline: 2, cpusGranted: 2, kernel: "6.1.0", clockSource: "tsc", loadAverage: [0.1, 0.2, 0.3],
    pingPongNanoseconds: 55.5, commit: "0123456789abcdef0123456789abcdef01234567", version: "0.1.0",
    cgroup: BenchCgroup(cpuMilli: 2_000, memoryBytes: 1 << 30, periods: 12, throttledPeriods: 0, throttledNanoseconds: 0))

  static func result(levels: [BenchLevel], rounds: Int, mode: BenchConfiguration.Mode = .closed) -> BenchResult {
    BenchResult(
      schema: BenchResult.currentSchema, suite: "scheduler", date: "2026-11-25T20:51:35Z", host: host,
      configuration: BenchConfiguration(
        mode: mode, rate: mode == .open ? 50_000 : nil, durationNanoseconds: 1_000_000_000, warmUpNanoseconds: 200_000_000, rounds: rounds,
        threads: 2, slots: 2, wait: "adaptive", isPinned: false, subject: nil, subjectHash: nil),
      levels: levels)
  }

  /// Two levels, the second refused; but for `search` every optional member has a value somewhere.
  static var open: BenchResult {
    let service = histogram([(20_000, 0.3, 1)], count: 5_000)
    let response = histogram([(30_000, 0.5, 1)], count: 5_000)
    let round = BenchRound(
      nanoseconds: 1_000_000_000, completed: 5_000, failed: 2, cpuNanoseconds: 700_000_000, generatorNanoseconds: 250_000_000,
      service: service, response: response,
      lag: histogram([(1_000, 0.3, 1)], count: 5_000), backlogGrowth: -3, pingPongNanoseconds: 54.25)
    var result = result(
      levels: [
        BenchLevel(level: 4, rounds: [round, round]),
        BenchLevel(level: 8, refusal: "the generator was the bottleneck: its lag p99 is 3.1 ms", rounds: [round]),
      ], rounds: 2, mode: .open)
    result.configuration.arrivals = "poisson"
    result.configuration.seed = 7
    result.configuration.subject = "replay/burn"
    result.configuration.subjectHash = "ab12"
    result.idle = BenchIdle(nanoseconds: 200_000_000, wakeUps: 0, cpuNanoseconds: 0)
    return result
  }

  /// A search of two trials that found a rate.
  static var searched: BenchResult {
    var result = open
    result.levels = [BenchLevel(level: 4, rounds: [open.levels[0].rounds[0]])]
    result.configuration.rounds = 1
    result.search = BenchSearch(
      objective: "p99<1ms", level: 4, rate: 50_000, isLimitedByGenerator: true, refusal: nil,
      trials: [
        BenchTrial(
          phase: .bracket, rate: 100_000, durationNanoseconds: 1_000_000_000, value: nil, backlogGrowth: 90, hasPassed: false,
          reason: "the queue grew by 90 requests"),
        BenchTrial(
          phase: .confirm, rate: 50_000, durationNanoseconds: 3_000_000_000, value: 700_000, backlogGrowth: -1, hasPassed: true, reason: nil
        ),
      ])
    return result
  }
}
