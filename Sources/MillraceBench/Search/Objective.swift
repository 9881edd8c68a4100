/// What a rate must keep: a percentile of the response time below a limit, as `p99<1ms`.
public struct Objective: Sendable, Equatable, CustomStringConvertible {
  /// Percentiles that may be asked for, and their quantiles.
  static let percentiles: [(name: String, quantile: Double)] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]
  private static let units: [(name: String, nanoseconds: Double)] = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]
  /// An hour, nanoseconds.
  static let longest: UInt64 = 3_600_000_000_000

  public let quantile: Double
  /// Nanoseconds, not reached.
  public let limit: UInt64
  /// As `p99`.
  let name: String
  private let text: String

  public var description: String { text }

  /// - Throws: `wrongUse` with what to write.
  public init(_ text: String) throws(BenchError) {
    let compact = text.filter { $0 != " " }
    let parts = compact.split(separator: "<", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else { throw Objective.refusal(text, "it has no single '<'") }
    guard let percentile = Objective.percentiles.first(where: { $0.name == parts[0] }) else {
      throw Objective.refusal(text, "'\(parts[0])' is none of \(Objective.percentiles.map(\.name).joined(separator: ", "))")
    }
    let number = parts[1].prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let unit = Objective.units.first(where: { $0.name == parts[1].dropFirst(number.count) }) else {
      throw Objective.refusal(text, "the limit's unit must be ns, us, ms or s")
    }
    guard let value = Double(number), value.isFinite else { throw Objective.refusal(text, "'\(number)' is no number") }
    let nanoseconds = (value * unit.nanoseconds).rounded()
    guard nanoseconds >= 1, nanoseconds <= Double(Objective.longest) else {
      throw Objective.refusal(text, "the limit must be from 1 ns to an hour")
    }
    quantile = percentile.quantile
    limit = UInt64(nanoseconds)
    name = percentile.name
    self.text = compact
  }

  /// Samples below which a histogram does not name the percentile.
  var fewestSamples: Double { 10 / (1 - quantile) }

  private static func refusal(_ text: String, _ why: String) -> BenchError {
    .wrongUse("'\(text)' is no objective: \(why); write p99<1ms or p99.9<250us")
  }
}
