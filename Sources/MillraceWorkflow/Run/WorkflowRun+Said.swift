internal import MillraceCore

/// How far running attempts are, by what their handlers say.
extension WorkflowRun {
  /// All of it, as heartbeats count: per mille.
  static let whole = 1000

  /// The attempt's handler says how far it is; 0 says nothing of it. Any thread that may give a heartbeat. One load where it says nothing new, else one lock.
  func say(_ progress: UInt32, of attempt: AttemptPointer) {
    let share = UInt64(min(progress, UInt32(WorkflowRun.whole)))
    if share == 0 { return }
    if unsafe attempt.said.loadRelaxed() == share { return }
    // Order: sequentially consistent. Pairs with the exchange in `forgetSaid`: either that finds what is said here, or here the attempt is found to be over.
    _ = unsafe attempt.said.exchange(share)
    let node = unsafe attempt.pointee.node
    // Read again with the lock: of two who say different things at once, the later word stays. 0 is the word of `forgetSaid`.
    monitor.locked {
      let last = unsafe attempt.said.loadRelaxed()
      if last != 0, unsafe records.attempt(node) == attempt { said[node] = UInt16(last) }
    }
    tellWatcher()
  }

  /// The attempt is its node's no longer. `isSilent`: nobody can give a heartbeat for it any more, as its handler has returned and no other thread knows it.
  func forgetSaid(_ attempt: AttemptPointer, isSilent: Bool = false) {
    let share = unsafe isSilent ? attempt.said.loadRelaxed() : attempt.said.exchange(0)
    if share == 0 { return }
    let node = unsafe attempt.pointee.node
    monitor.locked { _ = said.removeValue(forKey: node) }
  }

  /// What all running attempts have done, thousandths of a task. Complexity: O(attempts that said something).
  var saidOfAll: Int {
    let own = monitor.locked { said.values.reduce(0) { $0 + Int($1) } }
    return itemRuns.reduce(own) { $0 + $1.saidOfAll }
  }
}
