internal import MillraceWorkflow

/// Durable runs of which nothing goes on.
extension Explainer {
  /// That is the reason, whatever else the task waits for.
  func standing(_ index: Int, _ standstill: RunMoment.Standstill) -> Explanation {
    var without = moment
    without?.standstill = nil
    without?.isFromRecord = false
    let own = Explainer(record, without).explain(index)
    var evidence = ["apart from that: \(own.reason == .starting ? "it is ready" : own.summary)"] + own.evidence.prefix(9)
    if moment?.isStopping == true { evidence.append("the run was asked to stop: it is cancelled when it goes on") }
    switch standstill {
    case .noProcess(let since):
      return Explanation(
        task: own.task, status: own.status, reason: .noProcess, summary: "does not go on, for no process has the run",
        evidence: [
          "the last record of the run was made at \(Quantity.nanoseconds(since)), "
            + "\(Quantity.nanoseconds(record.elapsed > since ? record.elapsed - since : 0)) ago"
        ] + evidence,
        remedy: "`millrace run resume \(record.run)`", blockedBy: own.blockedBy)
    case .quarantine(let suspects):
      return Explanation(
        task: own.task, status: own.status, reason: .quarantine, summary: "does not go on, for the run is in quarantine",
        evidence: [
          "its processes ended again and again before any of its tasks did; what ran then: "
            + (suspects.isEmpty ? "nothing that is known" : suspects.prefix(Self.listed).joined(separator: ", "))
        ] + evidence,
        remedy: "look at what these tasks do, then `millrace run retry \(record.run)`", blockedBy: own.blockedBy)
    }
  }
}
