import Glibc
import MillraceWorkflow
import Testing

@testable import MillraceBench

@Suite struct ResultsCompareTests {
  private func compare(_ first: BenchResult, _ second: BenchResult, _ change: (inout BenchComparison.Options) -> Void = { _ in }) throws
    -> BenchComparison
  {
    var options = BenchComparison.Options()
    options.resamples = 500
    change(&options)
    return try BenchComparison([first], [second], options: options)
  }

  /// Two results of one machine, the second of a subject that takes `cost` times as long.
  private func pair(seed: UInt64, cost: Double, rounds: Int = 20) -> (BenchResult, BenchResult) {
    var machine = SampleMachine(seed: seed, hasPhases: false)
    let first = machine.measure(rounds: rounds)
    return (first, machine.measure(cost: cost, rounds: rounds))
  }

  @Test("twice as slow is slower in every metric at every level, and the other way round faster")
  func verdicts() throws {
    let (first, second) = pair(seed: 1, cost: 2)
    let slower = try compare(first, second)
    #expect(slower.verdict == .slower)
    #expect(slower.rows.count == 9)
    #expect(slower.rows.allSatisfy { $0.verdict == .slower })
    #expect(slower.rows.allSatisfy { $0.metric != .p50 || (80_000...120_000).contains($0.first ?? 0) }, "about 100 us")
    for row in slower.rows {
      let ratio = try #require(row.ratio)
      #expect(abs(row.metric == .throughput ? ratio - 0.5 : ratio / 2 - 1) < 0.1, "\(row)")
      #expect(try #require(row.low) < ratio)
      #expect(try #require(row.high) > ratio)
    }
    let faster = try compare(second, first)
    #expect(faster.verdict == .faster)
    #expect(faster.rows.allSatisfy { $0.verdict == .faster })
  }

  @Test("processors that one side had and the other had not are told, by the level that differs most; a tenth is left alone")
  func processors() throws {
    let (first, same) = pair(seed: 9, cost: 1)
    var second = same
    #expect(try !compare(first, second).warnings.contains { $0.contains("processors in A") })
    for round in second.levels[1].rounds.indices { second.levels[1].rounds[round].cpuNanoseconds /= 2 }
    for round in second.levels[2].rounds.indices { second.levels[2].rounds[round].cpuNanoseconds -= 50_000_000 }
    let told = try compare(first, second).warnings.filter { $0.contains("processors in A") }
    #expect(told.count == 1)
    #expect(told.first?.hasPrefix("level 2 used 1.00 processors in A, 0.50 in B") == true)
  }

  @Test("the same files give the same answer")
  func deterministic() throws {
    let (first, second) = pair(seed: 2, cost: 1.03)
    #expect(try compare(first, second).json == compare(first, second).json)
  }

  @Test("a result is no faster than itself, and between equal figures stands what two processes differ by")
  func itself() throws {
    let (first, _) = pair(seed: 3, cost: 1)
    let comparison = try compare(first, first)
    #expect(comparison.verdict == .cannotTell)
    #expect(comparison.rows.allSatisfy { $0.ratio == 1 })
    var still = first
    for level in still.levels.indices {
      for round in still.levels[level].rounds.indices { still.levels[level].rounds[round] = first.levels[level].rounds[0] }
    }
    let equal = try compare(still, still)
    for row in equal.rows {
      #expect(row.verdict == .cannotTell)
      #expect((row.low ?? 1) < 1 - Bootstrap.Seen.processDeviation && (row.high ?? 1) > 1 + Bootstrap.Seen.processDeviation)
    }
  }

  @Test("a difference within the margin is not told, however certain")
  func margin() throws {
    var (first, second) = pair(seed: 4, cost: 1)
    for level in first.levels.indices {
      for round in first.levels[level].rounds.indices {
        first.levels[level].rounds[round] = first.levels[level].rounds[0]
        second.levels[level].rounds[round] = first.levels[level].rounds[0]
        second.levels[level].rounds[round].completed = first.levels[level].rounds[0].completed * 960 / 1_000
      }
    }
    let narrow = try compare(first, second)
    #expect(narrow.rows.filter { $0.metric == .throughput }.allSatisfy { $0.verdict == .slower })
    #expect(try compare(first, second) { $0.margin = 0.05 }.verdict == .cannotTell)
  }

  @Test("too few rounds cannot tell, and say how many are needed")
  func tooFew() throws {
    let (first, second) = pair(seed: 5, cost: 2, rounds: 5)
    let comparison = try compare(first, second)
    #expect(comparison.verdict == .cannotTell)
    #expect(comparison.rows.allSatisfy { $0.reason == "A has 5 rounds, 6 are needed" })
    let (third, fourth) = pair(seed: 6, cost: 1, rounds: 7)
    let few = try compare(third, fourth)
    let hint = try #require(few.hint)
    #expect(hint.contains("7 rounds are too few to find a difference of 5 %"))
    #expect(try #require(few.unitsForFivePercent) > 7)
    let (fifth, sixth) = pair(seed: 7, cost: 1, rounds: 60)
    #expect(try compare(fifth, sixth).hint == "a difference of 5 % would have been found in 9 of 10 such comparisons")
  }

  @Test("a file that looked at the machine for less than 5 s tells nothing")
  func tooShort() throws {
    var (first, second) = pair(seed: 12, cost: 2)
    for level in second.levels.indices {
      for round in second.levels[level].rounds.indices { second.levels[level].rounds[round].nanoseconds = 10_000_000 }
    }
    let comparison = try compare(first, second)
    #expect(comparison.verdict == .cannotTell)
    #expect(comparison.reasons.first == "level 1: B was measured for 600 ms in all, 5.00 s are needed: measure longer, or in turns")
    first.levels.removeAll { $0.level != 8 }
    second.levels = first.levels
    #expect(try compare(first, second).reasons.isEmpty, "20 s")
  }

  @Test("a level that was refused, or has too few samples, has no ratio and a reason")
  func gaps() throws {
    var (first, second) = pair(seed: 8, cost: 1)
    second.levels[1].refusal = "the generator was the bottleneck"
    for round in first.levels[2].rounds.indices {
      let few = Sample.histogram([(1_000, 0.3, 1)], count: 100)
      (first.levels[2].rounds[round].service, first.levels[2].rounds[round].response) = (few, few)
    }
    let comparison = try compare(first, second)
    let refused = comparison.rows.filter { $0.level == 2 }
    #expect(refused.allSatisfy { $0.reason == "refused in B: the generator was the bottleneck" && $0.ratio == nil })
    let rows = comparison.rows.filter { $0.level == 8 }
    #expect(rows.map { $0.reason == nil } == [true, true, false])
    #expect(rows[2].reason?.contains("too few samples in the rounds of A") == true)
    #expect(
      comparison.text.contains("level 2: refused in B: the generator was the bottleneck\nlevel 8, p99: too few samples in the rounds of A"))
  }

  @Test("rounds in which the machine was slow are left out; if most were, it is told")
  func disturbed() throws {
    var (first, second) = pair(seed: 9, cost: 1)
    for index in 0..<16 { second.levels[0].rounds[index].pingPongNanoseconds = 320 }
    for index in 0..<4 { second.levels[1].rounds[index].pingPongNanoseconds = 320 }
    let comparison = try compare(first, second)
    #expect(comparison.rows.map(\.secondUnits) == [4, 4, 4, 16, 16, 16, 20, 20, 20])
    #expect(comparison.rows[0].reason?.contains("the machine was slow in 16 of 20 rounds of B") == true)
    #expect(try compare(first, second) { $0.usesAllRounds = true }.rows.map(\.secondUnits) == [Int](repeating: 20, count: 9))
    // Of another machine nothing is known: each has its own measure.
    for index in first.levels.indices {
      for round in first.levels[index].rounds.indices { first.levels[index].rounds[round].pingPongNanoseconds = 10 }
    }
    first.host.cpuModel = "another"
    #expect(try compare(first, second).rows.map(\.firstUnits) == [Int](repeating: 20, count: 9))
  }

  @Test("other suites are refused, other machines and configurations are told")
  func differences() throws {
    var (first, second) = pair(seed: 10, cost: 1)
    second.host.cpuModel = "Other 1"
    second.configuration.threads = 1
    second.host.loadAverage = [5, 1, 1]
    second.host.cgroup.throttledPeriods = 7
    second.levels.removeLast()
    let warnings = try compare(first, second).warnings
    for words in [
      "CPU differs: Sample 3000 in A, Other 1 in B", "threads differs: 2 in A, 1 in B", "busy before B: load 5.00 on 2 processors",
      "held B back in 7 periods", "not in B: level 8", "one after the other",
    ] { #expect(warnings.contains { $0.contains(words) }, "\(words)") }
    second.suite = "dag"
    #expect(throws: BenchComparisonError.self) { try compare(first, second) }
    second.suite = first.suite
    second.levels = [BenchLevel(level: 64, rounds: [])]
    #expect(throws: BenchComparisonError.self) { try compare(first, second) }
  }

  @Test("files in turns are compared pair by pair, else as two groups; a file is then one unit")
  func turns() throws {
    var machine = SampleMachine(seed: 11, hasPhases: false)
    var (first, second): ([BenchResult], [BenchResult]) = ([], [])
    for turn in 0..<8 {
      if turn % 2 == 0 { first.append(machine.measure(rounds: 2)) }
      second.append(machine.measure(cost: 2, rounds: 2))
      if turn % 2 == 1 { first.append(machine.measure(rounds: 2)) }
    }
    let paired = try BenchComparison(first, second)
    #expect(paired.isPaired)
    #expect(paired.unit == "file")
    #expect(paired.verdict == .slower)
    #expect(!paired.warnings.contains { $0.contains("one after the other") })
    let apart = try BenchComparison(first.dropLast(2), Array(second.dropFirst(2)))
    #expect(!apart.isPaired)
    #expect(apart.units == (6, 6))
  }
}
