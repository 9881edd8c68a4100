import Testing

@testable import MillraceBench

@Suite struct RateSearchTests {
  /// Runs the machine against a subject that bears rates up to `capacity`; confirmations up to `confirmable`.
  private func find(_ capacity: Double, confirmable: Double = .infinity, first: Double = 1_000) -> (
    step: RateSearch.Step, tried: [RateSearch.Attempt]
  ) {
    var search = RateSearch(first: first)
    var tried: [RateSearch.Attempt] = []
    while case .attempt(let attempt) = search.next, tried.count < 200 {
      tried.append(attempt)
      search.apply(passed: attempt.rate <= (attempt.phase == .confirm ? min(capacity, confirmable) : capacity))
    }
    return (search.next, tried)
  }

  @Test("the rate is found from below and from above, within a hundredth", arguments: [0.3, 47, 1_000, 9_500, 3.2e6], [0.1, 1_000, 1e8])
  func finds(capacity: Double, first: Double) throws {
    let (step, tried) = find(capacity, first: first)
    guard case .found(let rate) = step else {
      Issue.record("\(step)")
      return
    }
    #expect(rate <= capacity)
    #expect(rate >= capacity / (1 + RateSearch.tolerance))
    #expect(tried.last == RateSearch.Attempt(phase: .confirm, rate: rate))
    #expect(tried.count { $0.phase == .confirm } == 1)
    #expect(tried.count < 60)
  }

  @Test("a rate that does not hold in the longer run is lowered until one does")
  func lowers() {
    let (step, tried) = find(1_000, confirmable: 960)
    guard case .found(let rate) = step else {
      Issue.record("\(step)")
      return
    }
    #expect(rate <= 960 && rate > 920)
    #expect(tried.count { $0.phase == .confirm } > 2)
  }

  @Test("where no rate holds in the longer runs, none is found")
  func neverConfirmed() {
    let (step, tried) = find(1_000, confirmable: 0)
    #expect(step == .failed("no rate held in the longer runs that confirm one"))
    #expect(tried.count { $0.phase == .confirm } == RateSearch.confirmationLimit)
  }

  @Test("where not even the lowest rate keeps the objective, none is found")
  func none() {
    let (step, _) = find(0.05)
    guard case .failed(let reason) = step else {
      Issue.record("\(step)")
      return
    }
    #expect(reason.contains("0.1"))
  }

  @Test("a subject that bears everything is found to bear the highest rate that is tried")
  func all() {
    #expect(find(.infinity).step == .found(RateSearch.highest))
  }

  @Test("a trial lasts until its percentile can be named, and an objective that would take too long is refused")
  func lengths() throws {
    var driver = VirtualDriver(station: VirtualStation(service: 100_000_000))
    let make = { (objective: String, first: Double) throws in
      SustainableRate(
        objective: try Objective(objective), connections: 1, arrivals: .uniform, warmUp: 0, duration: 1_000_000, seed: 1, first: first)
    }
    let outcome = try make("p90<150ms", 1).find(&driver) { _ in }
    #expect(outcome.search.trials.allSatisfy { $0.hasPassed ? $0.value != nil : true })
    let rate = try #require(outcome.search.rate)
    #expect(rate > 9 && rate <= 10.2)
    let slow = try make("p99.9<1s", 1).find(&driver) { _ in }
    #expect(slow.search.rate == nil)
    #expect(slow.search.refusal?.contains("too long") == true)
  }

  @Test("trials whose generator was the bottleneck are run again, and end the search as a bound that is not the subject's")
  func generator() throws {
    /// Bears 5,000 a second; beyond 2,000 the generator cannot send.
    struct Weak: LoadDriver {
      let station = VirtualStation(service: 1_000)
      func run(_ load: Load) throws(BenchError) -> RoundFigures? {
        var figures = station.round(load)
        if case .open(let rate, _, _) = load.kind, rate > 2_000 { figures.tally.sentInTime /= 2 }
        return figures
      }
    }
    var driver = Weak()
    let search = SustainableRate(
      objective: try Objective("p50<1ms"), connections: 1, arrivals: .poisson, warmUp: 0, duration: 200_000_000, seed: 1, first: 1_500)
    let outcome = try search.find(&driver) { _ in }
    #expect(outcome.search.isLimitedByGenerator)
    let rate = try #require(outcome.search.rate)
    #expect(rate > 1_980 && rate <= 2_000)
    let refused = outcome.search.trials.filter { !$0.hasPassed }
    #expect(refused.count.isMultiple(of: SustainableRate.repetitions + 1))
    #expect(refused.allSatisfy { $0.reason?.contains("generator") == true })
  }
}
