import Testing

@testable import MillraceBench

@Suite("Coordinated omission") struct CoordinatedOmissionTests {
  /// A request a millisecond for 10 s, each served in 1 us, and 100 ms in which nothing is.
  private static let second: UInt64 = 1_000_000_000
  private static let load = Load.open(rate: 1_000, arrivals: .uniform, duration: 10 * second)

  @Test("a subject that stands still for 100 ms shows in the percentiles of an open load as it must")
  func open() throws {
    let station = VirtualStation(service: 1_000)
    station.pause = 5 * Self.second..<5 * Self.second + 100_000_000
    let round = station.round(Self.load).round
    #expect(round.completed == 10_000)
    // The requests of the pause wait for what is left of it: 100 of 10,000, evenly from 0 to 100 ms. So above quantile q lie those that waited for
    // more than (1 - q) x 10 s less than the pause.
    for (quantile, expected) in [(0.995, 50e6), (0.998, 80e6), (0.999, 90e6)] {
      let value = Double(try #require(round.response.value(at: quantile)))
      // A request, the service of those before it, and a bucket.
      #expect(abs(value - expected) <= 1e6 + 0.1e6 + expected / 1_000, "\(quantile): \(value), expected \(expected)")
    }
    #expect(try #require(round.response.value(at: 0.98)) < 2_000)
    #expect(abs(Double(round.response.maximum) - 100e6) <= 1.1e6)
    #expect(abs(round.response.sum - 100 * 50e6) / (100 * 50e6) < 0.02)
  }

  @Test("the same pause is one slow request to a closed load")
  func closed() throws {
    let station = VirtualStation(service: 1_000_000)
    station.pause = 5 * Self.second..<5 * Self.second + 100_000_000
    let round = station.round(.closed(1, duration: 10 * Self.second)).round
    #expect((9_898...9_900).contains(round.completed))
    // Just under 10,000 samples: p99.8 is the last that may be named.
    #expect(try #require(round.service.value(at: 0.998)) < 1_002_000)
    #expect(round.service.maximum >= 100_000_000)
    #expect(round.response.value(at: 0.998) == round.service.value(at: 0.998))
    #expect(round.lag == nil)
  }

  @Test("a generator that stands still shows in the response time and the lag, not in the service time, and the level is refused")
  func stalledGenerator() throws {
    let station = VirtualStation(service: 1_000)
    station.stall = 5 * Self.second..<5 * Self.second + 200_000_000
    let figures = station.round(Self.load)
    let round = figures.round
    // All are sent, 200 of them late.
    #expect(figures.tally == GeneratorTally(asked: 10_000, sentInTime: 10_000))
    let lag = try #require(round.lag)
    for quantile in [0.985, 0.99, 0.995] {
      let late = Double(try #require(lag.value(at: quantile)))
      #expect(abs(late - (200e6 - (1 - quantile) * 10e9)) <= 1.3e6, "\(quantile): \(late)")
      #expect(try #require(round.response.value(at: quantile)) >= UInt64(late * 0.999))
    }
    #expect(round.service.maximum < 1_000_000)
    #expect(Soundness.refusal([figures])?.contains("the generator was the bottleneck: its lag p99 is") == true)
  }

  @Test("a generator that ends behind its schedule says what it did not send")
  func unsent() {
    let station = VirtualStation(service: 1_000)
    station.stall = 8 * Self.second..<20 * Self.second
    let figures = station.round(Self.load)
    #expect(figures.tally.asked == 10_000)
    #expect((7_998...8_001).contains(figures.tally.sentInTime))
    #expect(Soundness.refusal([figures])?.contains("in time") == true)
  }
}
