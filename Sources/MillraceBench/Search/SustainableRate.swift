internal import Millrace

/// The highest rate of an open load that keeps an objective: `RateSearch` over a driver of loads, real or virtual.
struct SustainableRate {
  /// Samples of a trial, in multiples of the fewest from which a percentile is named: its tail is to be more than luck.
  static let samples = 3.0
  /// The longest trial, nanoseconds; a confirmation may last three times as long.
  static let longestTrial: UInt64 = 600_000_000_000
  /// A trial whose generator was the bottleneck says nothing about the subject: it is run again so often.
  static let repetitions = 2

  let objective: Objective
  let connections: Int
  let arrivals: Arrivals
  /// Nanoseconds.
  let warmUp: UInt64
  /// Nanoseconds of a trial, at least.
  let duration: UInt64
  let seed: UInt64
  /// The rate to begin with, requests a second.
  let first: Double

  struct Outcome {
    var search: BenchSearch
    /// What confirmed the rate.
    var confirmation: RoundFigures?
    var wasInterrupted = false
    /// Requests did not end: the search could not go on.
    var hang: String?
  }

  /// - Parameter tell: one line for each trial.
  func find(_ driver: inout some LoadDriver, tell: (String) -> Void) throws(BenchError) -> Outcome {
    var machine = RateSearch(first: first)
    var search = BenchSearch(
      objective: objective.description, level: connections, rate: nil, isLimitedByGenerator: false, refusal: nil, trials: [])
    // The lowest failing rate and whether it was the generator's fault: what the found rate ends at.
    var last: RoundFigures?
    var repeated = 0
    var ceiling = (rate: Double.infinity, isGenerator: false)
    while true {
      switch machine.next {
      case .found(let rate):
        search.rate = rate
        search.isLimitedByGenerator = ceiling.isGenerator
        return Outcome(search: search, confirmation: last)
      case .failed(let reason):
        search.refusal = reason
        return Outcome(search: search)
      case .attempt(let attempt):
        guard let length = length(attempt) else {
          search.refusal = "at \(rateText(attempt.rate)) a trial would last too long to name the percentile of \(objective)"
          return Outcome(search: search)
        }
        let load = Load(
          kind: .open(rate: attempt.rate, connections: connections, arrivals: arrivals), warmUp: warmUp, duration: length,
          seed: seed &+ UInt64(search.trials.count) &* 0xA24B_AED4_963E_E407)
        let ran: RoundFigures?
        do throws(BenchError) {
          ran = try driver.run(load)
        } catch {
          guard case .hung(let reason) = error else { throw error }
          search.refusal = "at \(rateText(attempt.rate)) \(reason)"
          return Outcome(search: search, hang: search.refusal)
        }
        guard let figures = ran else { return Outcome(search: search, wasInterrupted: true) }
        let verdict = Verdict(figures, objective)
        search.trials.append(
          BenchTrial(
            phase: attempt.phase, rate: attempt.rate, durationNanoseconds: length,
            value: figures.round.response.value(at: objective.quantile),
            backlogGrowth: figures.round.backlogGrowth, hasPassed: verdict.reason == nil, reason: verdict.reason))
        tell(line(search.trials[search.trials.count - 1]))
        if verdict.isGenerator, repeated < SustainableRate.repetitions {
          repeated += 1
          continue
        }
        repeated = 0
        if verdict.reason != nil, attempt.rate < ceiling.rate { ceiling = (attempt.rate, verdict.isGenerator) }
        machine.apply(passed: verdict.reason == nil)
        last = figures
      }
    }
  }

  /// Nanoseconds; nil: too few samples even in the longest trial.
  private func length(_ attempt: RateSearch.Attempt) -> UInt64? {
    let wanted = Double(duration)
    let needed = objective.fewestSamples * SustainableRate.samples / attempt.rate * 1e9
    let longest = Double(max(duration, SustainableRate.longestTrial))
    guard objective.fewestSamples / attempt.rate * 1e9 * 1.2 <= longest else { return nil }
    let length = min(max(wanted, needed), longest)
    return UInt64(attempt.phase == .confirm ? length * Double(RateSearch.confirmation) : length)
  }

  private func line(_ trial: BenchTrial) -> String {
    let value = trial.value.map(Quantity.nanoseconds) ?? "-"
    let seconds = Quantity.seconds(Double(trial.durationNanoseconds) / 1e9)
    return "\(trial.phase.rawValue): \(rateText(trial.rate)) for \(seconds): \(objective.name) \(value): \(trial.reason ?? "passed")"
  }

  private func rateText(_ rate: Double) -> String { Quantity.fixed(rate, decimals: rate < 100 ? 1 : 0) + " a second" }
}

/// Whether a trial kept the objective.
struct Verdict {
  /// nil: it did.
  var reason: String?
  /// It is not the subject's fault.
  var isGenerator = false

  init(_ figures: RoundFigures, _ objective: Objective) {
    let round = figures.round
    if figures.strays > 0 {
      reason = "requests ended on more threads than were foreseen"
    } else if round.failed > 0 {
      reason = "\(Quantity.count(Int(clamping: round.failed), "request")) failed"
    } else if Soundness.isQueueGrowing(round) {
      // Before the percentile: a queue that grows slowly keeps it for a while.
      reason = "the queue grew by \(Quantity.count(Int(round.backlogGrowth), "request"))"
    } else if let refusal = Soundness.generatorRefusal([figures]) {
      reason = refusal
      isGenerator = true
    } else if let value = round.response.value(at: objective.quantile) {
      if value >= objective.limit { reason = "not below \(Quantity.nanoseconds(objective.limit))" }
    } else {
      reason = "too few samples: \(round.response.count)"
    }
  }
}
