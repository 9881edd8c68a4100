import Testing

@testable import MillraceBench

@Suite struct ObjectiveTests {
  @Test(
    "an objective is a percentile and a limit with its unit",
    arguments: [
      ("p99<1ms", 0.99, 1_000_000 as UInt64), ("p50 < 250us", 0.5, 250_000), ("p99.9<1.5s", 0.999, 1_500_000_000), ("p90<800ns", 0.9, 800),
    ])
  func reads(text: String, quantile: Double, limit: UInt64) throws {
    let objective = try Objective(text)
    #expect(objective.quantile == quantile)
    #expect(objective.limit == limit)
  }

  @Test(
    "what is no objective is refused with what to write",
    arguments: [
      "", "p99", "p99<", "p99<1", "p98<1ms", "p99<1m", "p99<-1ms", "p99<0ns", "p99<2000000s", "p99<<1ms", "p99>1ms", "p99<1.2.3ms",
    ])
  func refuses(text: String) {
    #expect {
      try Objective(text)
    } throws: {
      "\($0)".contains("write p99<1ms")
    }
  }
}
