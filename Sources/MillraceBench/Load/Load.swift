/// What one round asks of a subject.
struct Load: Sendable {
  enum Kind: Sendable {
    /// So many requests in flight, each followed by the next.
    case closed(inFlight: Int)
    /// Requests a second over so many connections, whatever becomes of them.
    case open(rate: Double, connections: Int, arrivals: Arrivals)
  }

  var kind: Kind
  /// Nanoseconds, before the measured stretch; not counted.
  var warmUp: UInt64
  /// Nanoseconds of the measured stretch.
  var duration: UInt64
  /// The same seed, the same moments.
  var seed: UInt64

  var isOpen: Bool { if case .open = kind { true } else { false } }

  /// The part of an open load that generator `index` of `count` sends; its connections are those that leave the rest `index`.
  func schedule(_ index: Int, of count: Int, start: UInt64) -> Schedule? {
    guard case .open(let rate, let connections, let arrivals) = kind else { return nil }
    let own = connections / count + (index < connections % count ? 1 : 0)
    guard own > 0 else { return nil }
    return Schedule(
      arrivals, rate: rate * Double(own) / Double(connections), connections: own, start: start,
      seed: seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
  }
}

/// What one round of one level brought: what a result file keeps of it, and what decides whether it may be believed.
struct RoundFigures: Sendable {
  var round: BenchRound
  var tally = GeneratorTally()
  /// Requests that were not recorded, since they ended on threads that were not foreseen.
  var strays: UInt64 = 0
}

/// Who can put a load on a subject, for one round: real threads, or a virtual clock.
protocol LoadDriver {
  /// nil: interrupted.
  ///
  /// - Throws: `hung` if requests do not end; then it cannot be used again.
  mutating func run(_ load: Load) throws(BenchError) -> RoundFigures?
}
