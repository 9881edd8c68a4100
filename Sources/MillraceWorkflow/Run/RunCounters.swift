internal import MillraceCore

/// How many tasks of a run are where: counted without a shared word by the workers, with one by all others.
///
/// # Threads
/// `count`: the lane's own thread, or any for the shared lane. `sum`: any; a moment's view.
@safe struct RunCounters {
  enum Kind: Int {
    case started, ended, completed, failed, skipped, cancelled, attempts
  }

  struct Sum {
    var started = 0
    var ended = 0
    var completed = 0
    var failed = 0
    var skipped = 0
    var cancelled = 0
    var attempts = 0
  }

  private let memory: UnsafeMutableRawPointer
  private let workers: Int

  init(workers: Int) {
    self.workers = workers
    // unsafe: freed by `deallocate`.
    unsafe memory = .allocate(byteCount: (workers + 1) * padding, alignment: padding)
    unsafe memory.initializeMemory(as: UInt64.self, repeating: 0, count: (workers + 1) * padding / 8)
  }

  func deallocate() { unsafe memory.deallocate() }

  @inline(__always) func count(_ kind: Kind, lane: Int, by count: Int = 1) {
    let own = lane >= 0 && lane < workers
    // unsafe: workers + 1 lines of seven words, and two more on the last.
    let word = unsafe SharedWord(memory + (own ? lane : workers) * padding + kind.rawValue * 8)
    // A worker's line has one writer.
    let amount = UInt64(bitPattern: Int64(count))
    if own { word.storeRelaxed(word.loadRelaxed() &+ amount) } else { _ = word.add(amount) }
  }

  /// 1: somebody waits for the next change. On the line of all others.
  var watched: SharedWord { unsafe SharedWord(memory + workers * padding + 7 * 8) }

  /// Why nothing new starts: `WorkflowRun.stopReason`. On the same line.
  var stopReason: SharedWord { unsafe SharedWord(memory + workers * padding + 8 * 8) }

  /// 1: the store of a durable run has failed. On the same line.
  var lost: SharedWord { unsafe SharedWord(memory + workers * padding + 9 * 8) }

  func sum() -> Sum {
    func total(_ kind: Kind) -> Int {
      var total: UInt64 = 0
      for lane in 0...workers { total &+= unsafe SharedWord(memory + lane * padding + kind.rawValue * 8).loadAcquiring() }
      return Int(total)
    }
    // Ends before starts, so that nothing seems to run that has not begun.
    let ended = total(.ended)
    return Sum(
      started: total(.started), ended: ended, completed: total(.completed), failed: total(.failed), skipped: total(.skipped),
      cancelled: total(.cancelled), attempts: total(.attempts))
  }
}
