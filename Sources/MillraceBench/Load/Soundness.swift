internal import Millrace

/// When a level is refused: what the generator, and not the subject, made of the figures.
enum Soundness {
  /// The lag's p99 may be at most this part of the response time's: beyond, most of the tail is the generator's own.
  static let lagShare = 0.5
  /// Of the requests that the schedule has in the measured stretch, at least so many must have been sent in it.
  static let sentShare = 0.99
  /// A queue grows if what it gained is more than this part of the requests of the stretch, and `queueSlack`.
  static let queueShare = 0.01
  static let queueSlack: Int64 = 10

  /// Whether requests came faster than they ended: beyond what a queue in balance may gain by chance.
  static func isQueueGrowing(_ round: BenchRound) -> Bool {
    round.backlogGrowth > queueSlack + Int64(queueShare * Double(round.completed + round.failed))
  }

  /// Why a level has no figure; nil: it is sound.
  ///
  /// - Parameter rounds: all of the level's, of the same length.
  static func refusal(_ rounds: [RoundFigures]) -> String? {
    if rounds.contains(where: { $0.strays > 0 }) { return "requests ended on more threads than were foreseen, and were not recorded" }
    let completed = rounds.reduce(0) { $0 + $1.round.completed }
    let failed = rounds.reduce(0) { $0 + $1.round.failed }
    if completed == 0 {
      return failed == 0 ? "no request ended in the measured time: give a longer --duration" : "all \(failed) requests failed"
    }
    return generatorRefusal(rounds)
  }

  /// Whether the generator was the bottleneck; nil when closed.
  static func generatorRefusal(_ rounds: [RoundFigures]) -> String? {
    let lags = rounds.compactMap(\.round.lag)
    guard !lags.isEmpty else { return nil }
    let tally = rounds.reduce(GeneratorTally()) { $0 + $1.tally }
    // Who cannot send because the subject takes nothing more is not the bottleneck.
    let keptUp = !rounds.contains { isQueueGrowing($0.round) }
    if keptUp, Double(tally.sentInTime) < sentShare * Double(tally.asked) {
      let sent = Quantity.integer(Int64(clamping: tally.sentInTime))
      return "the generator was the bottleneck: it sent \(sent) of \(Quantity.count(Int(clamping: tally.asked), "request")) in time"
    }
    let lag = BenchHistogram.merged(lags)
    let response = BenchHistogram.merged(rounds.map(\.round.response))
    guard response.count > 0 else { return nil }
    // With too few samples for a p99 the means must do.
    if let late = lag.value(at: 0.99), let whole = response.value(at: 0.99) {
      guard Double(late) > lagShare * Double(whole) else { return nil }
      return
        "the generator was the bottleneck: its lag p99 is \(Quantity.nanoseconds(late)), the response time's \(Quantity.nanoseconds(whole))"
    }
    guard lag.sum > lagShare * response.sum else { return nil }
    let mean = { (histogram: BenchHistogram) in Quantity.seconds(histogram.sum / Double(histogram.count) / 1e9) }
    return "the generator was the bottleneck: its mean lag is \(mean(lag)), the mean response time \(mean(response))"
  }
}
