import Foundation
import Testing

@testable import MillraceBench

/// What docs/bench-compare.md promises: of 200 comparisons of a subject with itself at most 5 % give a verdict, and a slowdown of 5 % is found in at
/// least 90 %. On a made-up machine that has what real ones have: see `SampleMachine`. One seed each: the counts are always the same.
@Suite struct ResultsCalibrationTests {
  private static let comparisons = 200

  enum Form: String, CaseIterable {
    /// Two files, one measured after the other.
    case files
    /// As many files in turns, of one round each.
    case turns
  }

  /// How many comparisons of `comparisons` give a verdict: `slower`, `faster`.
  private func count(
    cost: Double, _ form: Form, rounds: Int, hasPhases: Bool, hasPingPong: Bool = true
  ) throws -> (slower: Int, faster: Int) {
    var options = BenchComparison.Options()
    // With 99 draws the largest but four is the bound of 95 %, as exact as with more, only a little wider or narrower from one to the next.
    options.resamples = 99
    var counts = (slower: 0, faster: 0)
    for seed in 0..<UInt64(Self.comparisons) {
      var machine = SampleMachine(seed: seed &* 7_919 + 13, hasPhases: hasPhases, hasPingPong: hasPingPong)
      let comparison: BenchComparison
      switch form {
      case .files:
        let first = machine.measure(rounds: rounds)
        machine.wait(seconds: 20)
        comparison = try BenchComparison([first], [machine.measure(cost: cost, rounds: rounds)], options: options)
      case .turns:
        var (first, second): ([BenchResult], [BenchResult]) = ([], [])
        for turn in 0..<rounds {
          if turn % 2 == 0 { first.append(machine.measure(rounds: 1)) }
          second.append(machine.measure(cost: cost, rounds: 1))
          if turn % 2 == 1 { first.append(machine.measure(rounds: 1)) }
        }
        comparison = try BenchComparison(first, second, options: options)
        #expect(comparison.isPaired)
      }
      if comparison.rows.contains(where: { $0.verdict == .slower }) { counts.slower += 1 }
      if comparison.rows.contains(where: { $0.verdict == .faster }) { counts.faster += 1 }
    }
    // The table of docs/bench-compare.md.
    print(
      "\(form), \(rounds) rounds, phases \(hasPhases), ping-pong \(hasPingPong), cost \(cost): slower \(counts.slower), faster \(counts.faster)"
    )
    return counts
  }

  @Test(
    "a subject is told from itself in at most 5 % of comparisons, with or without phases of speed", arguments: Form.allCases, [false, true])
  func same(form: Form, hasPhases: Bool) throws {
    let counts = try count(cost: 1, form, rounds: 20, hasPhases: hasPhases)
    #expect(counts.slower + counts.faster <= Self.comparisons / 20)
  }

  @Test("nor where nobody measured the phases, or the rounds are few")
  func sameUnknown() throws {
    let unknown = try count(cost: 1, .files, rounds: 20, hasPhases: true, hasPingPong: false)
    #expect(unknown.slower + unknown.faster <= Self.comparisons / 20)
    let few = try count(cost: 1, .files, rounds: 8, hasPhases: false)
    #expect(few.slower + few.faster <= Self.comparisons / 20)
  }

  @Test(
    "a slowdown of 5 % is found in at least 90 % with 20 rounds on a steady machine, and with 30 on one with phases",
    arguments: Form.allCases)
  func slower(form: Form) throws {
    for (rounds, hasPhases) in [(20, false), (30, true)] {
      let counts = try count(cost: 1.05, form, rounds: rounds, hasPhases: hasPhases)
      #expect(counts.slower >= Self.comparisons * 9 / 10, "\(rounds) rounds")
      #expect(counts.faster <= Self.comparisons / 50, "\(rounds) rounds")
    }
  }

  /// One long measurement, cut into pieces of 40 rounds that follow each other: the first 20 of each are A, the others B.
  @Test(
    "on real rounds, where BENCH_RESULT names a result file with at least 800 of them, it holds as well",
    .enabled(if: ProcessInfo.processInfo.environment["BENCH_RESULT"] != nil))
  func real() throws {
    let whole = try BenchResultFile.read(try #require(ProcessInfo.processInfo.environment["BENCH_RESULT"]))
    let pieces = whole.configuration.rounds / 40
    try #require(pieces >= 20)
    var (verdicts, found) = (0, 0)
    for piece in 0..<pieces {
      let first = cut(whole, from: piece * 40, cost: 1)
      if try BenchComparison([first], [cut(whole, from: piece * 40 + 20, cost: 1)]).verdict != .cannotTell { verdicts += 1 }
      if try BenchComparison([first], [cut(whole, from: piece * 40 + 20, cost: 1.05)]).verdict == .slower { found += 1 }
    }
    print("\(pieces) comparisons of real rounds: \(verdicts) false verdicts, 5 % found in \(found)")
    #expect(verdicts * 20 <= pieces)
    #expect(found * 10 >= pieces * 9)
  }

  /// 20 rounds, as if each request had taken `cost` times as long.
  private func cut(_ whole: BenchResult, from: Int, cost: Double) -> BenchResult {
    var result = whole
    result.configuration.rounds = 20
    for level in result.levels.indices {
      result.levels[level].rounds = whole.levels[level].rounds[from..<from + 20].map { round in
        var round = round
        round.completed = UInt64(Double(round.completed) / cost)
        for index in round.response.buckets.indices {
          round.response.buckets[index][0] = UInt64(Double(round.response.buckets[index][0]) * cost)
        }
        round.response.maximum = UInt64(Double(round.response.maximum) * cost)
        return round
      }
    }
    return result
  }
}
