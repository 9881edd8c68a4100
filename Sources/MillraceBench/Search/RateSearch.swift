/// Looks for the highest rate that keeps an objective: brackets it, bisects, and confirms by longer runs with other arrivals.
///
/// A state machine: `next` says what to try, `apply` takes what came of it. It runs nothing by itself.
struct RateSearch {
  /// Rates that are tried, requests a second.
  static let lowest = 0.1
  static let highest = 1e8
  /// Bisection ends when the highest passing and the lowest failing rate differ by less.
  static let tolerance = 0.01
  /// Confirmations last so many times as long as other trials.
  static let confirmation = 3
  /// Confirmations that may fail, each followed by one at a rate lower by another hundredth.
  static let confirmationLimit = 8

  struct Attempt: Equatable {
    var phase: BenchTrial.Phase
    var rate: Double
  }

  enum Step: Equatable {
    case attempt(Attempt)
    case found(Double)
    case failed(String)
  }

  private var passing: Double?
  private var failing: Double?
  private var rate: Double
  private var confirming = false
  private var confirmed = false
  private var failedConfirmations = 0

  /// - Parameter first: the rate to begin with.
  init(first: Double) { rate = min(max(first, RateSearch.lowest), RateSearch.highest) }

  var next: Step {
    if confirmed { return .found(rate) }
    if confirming {
      return failedConfirmations < RateSearch.confirmationLimit && rate >= RateSearch.lowest
        ? .attempt(Attempt(phase: .confirm, rate: rate)) : .failed("no rate held in the longer runs that confirm one")
    }
    if passing == nil, let failing, failing <= RateSearch.lowest {
      return .failed("not even \(RateSearch.lowest) requests a second keep the objective")
    }
    return .attempt(Attempt(phase: passing == nil || failing == nil ? .bracket : .bisect, rate: rate))
  }

  /// What came of the attempt that `next` asked for.
  mutating func apply(passed: Bool) {
    if confirming {
      if passed {
        confirmed = true
      } else {
        failedConfirmations += 1
        rate *= 1 - RateSearch.tolerance * Double(failedConfirmations)
      }
      return
    }
    if passed { passing = rate } else { failing = rate }
    switch (passing, failing) {
    case (let passing?, let failing?):
      if failing <= passing * (1 + RateSearch.tolerance) { confirm(passing) } else { rate = (passing * failing).squareRoot() }
    case (let passing?, nil):
      if passing >= RateSearch.highest { confirm(passing) } else { rate = min(passing * 2, RateSearch.highest) }
    case (nil, _): rate = max(rate / 4, RateSearch.lowest)
    }
  }

  private mutating func confirm(_ candidate: Double) {
    rate = candidate
    confirming = true
  }
}
