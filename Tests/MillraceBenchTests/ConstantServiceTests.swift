import Testing

@testable import MillraceBench

@Suite("A queue with a known answer") struct ConstantServiceTests {
  private static let service: UInt64 = 100_000

  @Test("the closed form agrees with itself: its mean is the integral of its distribution", arguments: [0.3, 0.6, 0.8])
  func closedForm(load: Double) {
    let queue = ConstantServiceQueue(rate: load / 1e-4, service: 1e-4)
    #expect(abs(queue.chance(ofWaitingAtMost: 0) - (1 - load)) < 1e-12)
    let step = 1e-6
    let mean = stride(from: step / 2, to: 3e-3, by: step).reduce(0.0) { $0 + (1 - queue.chance(ofWaitingAtMost: $1)) * step }
    #expect(abs(mean / queue.meanWait - 1) < 0.005)
  }

  @Test("mean and percentiles of the measured response time are those of M/D/1 within 3 %", arguments: [0.5, 0.7, 0.8])
  func waiting(load: Double) throws {
    let queue = ConstantServiceQueue(rate: load / 1e-4, service: 1e-4)
    let station = VirtualStation(service: Self.service)
    let rounds = (1...6).map { seed in
      station.round(.open(rate: queue.rate, connections: 4, warmUp: 1_000_000_000, duration: 15_000_000_000, seed: seed))
    }
    let response = BenchHistogram.merged(rounds.map(\.round.response))
    let mean = response.sum / Double(response.count) / 1e9
    #expect(abs((mean - 1e-4) / queue.meanWait - 1) < 0.03, "waited \(mean - 1e-4), expected \(queue.meanWait)")
    for quantile in [0.9, 0.99] {
      let measured = Double(try #require(response.value(at: quantile))) / 1e9
      let expected = 1e-4 + queue.wait(atQuantile: quantile)
      #expect(abs(measured / expected - 1) < 0.03, "\(quantile): \(measured), expected \(expected)")
    }
    // Nothing is lost: what was asked for is there.
    let tally = rounds.reduce(GeneratorTally()) { $0 + $1.tally }
    #expect(tally == GeneratorTally(asked: response.count, sentInTime: response.count))
    #expect(rounds.allSatisfy { !Soundness.isQueueGrowing($0.round) })
    #expect(Soundness.refusal(rounds) == nil)
  }

  @Test(
    "the search finds the rate that the closed form gives, within 3 %",
    arguments: [("p50<200us", 0.5, 200e-6), ("p90<400us", 0.9, 400e-6), ("p99<1ms", 0.99, 1e-3)])
  func sustainableRate(objective: String, quantile: Double, limit: Double) throws {
    let expected = ConstantServiceQueue.rate(service: 1e-4, quantile: quantile, limit: limit)
    var driver = VirtualDriver(station: VirtualStation(service: Self.service))
    let search = SustainableRate(
      objective: try Objective(objective), connections: 1, arrivals: .poisson, warmUp: 500_000_000, duration: 12_000_000_000, seed: 7,
      first: 1_000)
    var lines: [String] = []
    let outcome = try search.find(&driver) { lines.append($0) }
    let rate = try #require(outcome.search.rate)
    #expect(abs(rate / expected - 1) < 0.03, "found \(rate), expected \(expected):\n\(lines.joined(separator: "\n"))")
    #expect(outcome.search.trials.count == lines.count)
    #expect(outcome.search.trials.last?.phase == .confirm)
    #expect(outcome.search.trials.last?.hasPassed == true)
    #expect(!outcome.search.isLimitedByGenerator)
    let confirmation = try #require(outcome.confirmation)
    #expect(confirmation.round.nanoseconds == 3 * 12_000_000_000)
  }

  @Test("a queue that grows fails a trial though the percentile holds")
  func growing() throws {
    // 2 % more than the server bears: after 2 s the queue is 400 long, and waits 40 ms.
    let station = VirtualStation(service: Self.service)
    let figures = station.round(.open(rate: 10_200, arrivals: .uniform, duration: 2_000_000_000))
    let objective = try Objective("p99<1s")
    #expect(try #require(figures.round.response.value(at: 0.99)) < objective.limit)
    let verdict = Verdict(figures, objective)
    #expect(verdict.reason?.contains("the queue grew by") == true)
    #expect(!verdict.isGenerator)
  }

  @Test("what the server ends in the window is counted, not what it was asked for")
  func overload() {
    let station = VirtualStation(service: Self.service)
    let figures = station.round(.open(rate: 20_000, warmUp: 100_000_000, duration: 1_000_000_000))
    #expect(figures.round.completed == 10_000)
    // Its response times are all there, those of requests that ended long after.
    #expect(figures.round.response.count == figures.tally.asked)
    #expect(figures.round.response.maximum > 1_000_000_000)
    #expect(abs(figures.round.backlogGrowth - (Int64(figures.tally.asked) - 10_000)) <= 1)
  }
}
