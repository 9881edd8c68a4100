/// What must hold between the parts of a result for its figures to mean anything.
enum BenchResultCheck {
  static func check(_ result: BenchResult) throws(ResultFault) {
    guard !result.levels.isEmpty else { throw ResultFault(at: "levels", "is empty: nothing was measured") }
    // A search may have found none.
    if result.configuration.mode == .open, result.configuration.rate == nil, result.search == nil {
      throw ResultFault(at: "configuration.rate", "is missing, though the mode is open")
    }
    for (index, level) in result.levels.enumerated() {
      let path = "levels[\(index)]"
      if index > 0, level.level <= result.levels[index - 1].level { throw ResultFault(at: path, "levels must ascend, each once") }
      // A refused level may have been given up early.
      if level.refusal == nil, level.rounds.count != result.configuration.rounds {
        throw ResultFault(
          at: path + ".rounds", "has \(level.rounds.count) rounds, but configuration.rounds is \(result.configuration.rounds)")
      }
      for (number, round) in level.rounds.enumerated() { try check(round, result.configuration.mode, "\(path).rounds[\(number)]") }
    }
  }

  private static func check(_ round: BenchRound, _ mode: BenchConfiguration.Mode, _ path: String) throws(ResultFault) {
    guard round.nanoseconds > 0 else { throw ResultFault(at: path + ".nanoseconds", "is 0: a round takes time") }
    let (ended, isTooMany) = round.completed.addingReportingOverflow(round.failed)
    guard !isTooMany else { throw ResultFault(at: path, "completed and failed do not fit 64 bits together") }
    try check(round.service, path + ".service")
    try check(round.response, path + ".response")
    if let lag = round.lag { try check(lag, path + ".lag") }
    // When open, latencies are those of all requests that were due in the round: with a growing queue more than ended in it.
    if mode == .closed, round.service.count > ended {
      throw ResultFault(at: path, "service counts \(round.service.count) latencies of \(ended) requests that ended")
    }
    if let lag = round.lag, lag.count != round.response.count {
      throw ResultFault(at: path, "lag counts \(lag.count) requests, response \(round.response.count)")
    }
    guard round.service.count == round.response.count else {
      throw ResultFault(at: path, "service counts \(round.service.count) latencies, response \(round.response.count)")
    }
  }

  private static func check(_ histogram: BenchHistogram, _ path: String) throws(ResultFault) {
    var total: UInt64 = 0
    var last: UInt64?
    for (index, bucket) in histogram.buckets.enumerated() {
      if let last, bucket[0] <= last { throw ResultFault(at: "\(path).buckets[\(index)]", "the ends of buckets must ascend") }
      guard bucket[1] > 0 else { throw ResultFault(at: "\(path).buckets[\(index)]", "counts nothing") }
      let (sum, overflows) = total.addingReportingOverflow(bucket[1])
      guard !overflows else { throw ResultFault(at: path, "the counts do not fit 64 bits") }
      (total, last) = (sum, bucket[0])
    }
    guard total == histogram.count else {
      throw ResultFault(at: path, "its buckets count \(total) together, but count is \(histogram.count): the file was altered or damaged")
    }
    guard let last else { return }
    guard histogram.minimum <= histogram.maximum, histogram.minimum <= histogram.buckets[0][0], histogram.maximum <= last else {
      throw ResultFault(at: path, "minimum \(histogram.minimum) and maximum \(histogram.maximum) lie outside its buckets")
    }
  }
}
