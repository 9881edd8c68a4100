internal import Glibc
internal import MillraceWorkflow

/// How the moments of an open load are spread.
public enum Arrivals: String, Sendable, CaseIterable {
  /// Each moment is independent of the others, as with many callers that know nothing of each other.
  case poisson
  /// Each connection sends at equal intervals; where in the interval is drawn for each.
  case uniform
}

/// When to send: an absolute schedule, fixed before the first request by rate and seed. It never asks how the requests fare.
///
/// The moments of all connections of one generator, merged: those of n Poisson connections are a Poisson process again, of n times the rate.
///
/// # Source
/// Poisson arrivals: exponential gaps by inversion of the distribution.
struct Schedule: Sendable {
  private let start: UInt64
  /// Nanoseconds between two requests of all connections together, on average.
  private let gap: Double
  /// Uniform: where in the interval each connection sends, ascending.
  private let phases: [Double]
  private var random: SeededRandom
  /// Nanoseconds since `start` of the next request: in 53 bits, so that years of it do not drift.
  private var offset: Double
  private var index = 0
  private var interval = 0

  /// - Parameters:
  ///   - rate: requests a second of all connections together, above 0.
  ///   - start: nanoseconds; no request is earlier.
  init(_ arrivals: Arrivals, rate: Double, connections: Int, start: UInt64, seed: UInt64) {
    precondition(rate > 0 && connections > 0, "a schedule needs a rate and connections")
    self.start = start
    let gap = 1e9 / rate
    self.gap = gap
    var random = SeededRandom(seed: seed)
    switch arrivals {
    case .poisson:
      phases = []
      offset = Schedule.exponential(&random) * gap
    case .uniform:
      let length = gap * Double(connections)
      phases = (0..<connections).map { _ in Schedule.fraction(&random) * length }.sorted()
      offset = phases[0]
    }
    self.random = random
  }

  /// The next moment to send at.
  var next: UInt64 { start &+ UInt64(offset) }

  /// Goes on to the one after it.
  mutating func advance() {
    if phases.isEmpty {
      offset += Schedule.exponential(&random) * gap
      return
    }
    index += 1
    if index == phases.count {
      index = 0
      interval += 1
    }
    offset = phases[index] + Double(interval) * Double(phases.count) * gap
  }

  /// In (0, 1].
  private static func fraction(_ random: inout SeededRandom) -> Double { (Double(random.next() >> 11) + 1) * 0x1p-53 }

  private static func exponential(_ random: inout SeededRandom) -> Double { -log(fraction(&random)) }
}
