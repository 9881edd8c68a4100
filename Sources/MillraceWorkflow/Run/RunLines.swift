internal import MillraceCore

/// A run was not taken: too many wait for their turn.
public struct RunLineFull: Error, Hashable, CustomStringConvertible {
  /// Of the run that was not taken: `RunConcurrency.key` with its values, or the workflow's name.
  public let key: String
  /// Runs that may wait, of all keys together.
  public let limit: Int

  public var description: String {
    "\(limit) runs wait for their turn, the most an engine keeps: start this one, of key '\(key)', when some have ended, or let it say 'when_full: cancel_newer'"
  }
}

/// What a run that has not begun waits for.
public struct RunWait: Sendable, Hashable, CustomStringConvertible {
  /// `RunConcurrency.key` with its values, or the workflow's name.
  public let key: String
  /// Id of the run that has held the key for longest; nil: it is about to begin.
  public let holder: String?
  /// Runs that are before it in line.
  public let ahead: Int

  /// `holder` and `ahead` as they are at one moment: both change while the run waits.
  public init(key: String, holder: String?, ahead: Int) {
    self.key = key
    self.holder = holder
    self.ahead = ahead
  }

  public var description: String {
    "waits for key '\(key)'" + (holder.map { ", held by run \($0)" } ?? "") + (ahead > 0 ? ", \(ahead) before it" : "")
  }
}

/// Which runs of an engine go on, and which wait, where workflows say how many with one key may (`concurrency`).
///
/// A run that waits has its memory and nothing of the core's. It begins when the one before it in line has begun, and fewer than its own limit go on.
///
/// # Threads
/// Any, behind a lock of its own; no run is called with it held.
@safe final class RunLines: @unchecked Sendable {
  /// Runs that wait, of all keys together. Set before there are any.
  var maximumWaiting = 10_000
  /// A core that is full is asked again after so long, nanoseconds.
  static let retryWait: UInt64 = 100_000_000

  private struct Line {
    /// Runs that have been let in and have not ended, in that order.
    var holders: [WorkflowRun] = []
    /// In the order in which they came.
    var waiting: [WorkflowRun] = []

    /// Runs of another version of its workflow go on, and it is to begin when they have ended.
    func drains(before run: WorkflowRun) -> Bool {
      let definition = run.definition
      guard definition.versionPolicy == .drain else { return false }
      return holders.contains { $0.definition.name == definition.name && $0.definition.version != definition.version }
    }
  }

  private let monitor = Monitor()
  private var lines: [String: Line] = [:]
  private var waiting = 0
  /// Keys whose first run is asked again when a timer with this number fires.
  private var retries: [UInt64: String] = [:]
  private var lastRetry: UInt64 = 0

  deinit { monitor.deallocate() }

  var waitingCount: Int { monitor.locked { waiting } }

  /// What came of a run that was started.
  private enum Entry {
    case begins
    case waits
    /// Id of the run that has the key.
    case refused(String)
  }

  /// Begins a run, now or when its turn comes, or cancels it. Throws `RunLineFull`, or as `WorkflowRun.begin`; then nothing has happened.
  func start(_ run: WorkflowRun, _ concurrency: RunConcurrency) throws {
    let capacity = run.host.scheduler.configuration.capacity
    // It would wait for ever.
    if run.compiled.plan.count > capacity { throw SubmitError.full(limit: capacity) }
    guard let key = run.lineKey else { return }
    run.host.began(run)
    var older: [WorkflowRun] = []
    let entry: Entry
    do {
      entry = try monitor.locked { () throws(RunLineFull) in try enter(run, key, concurrency, &older) }
    } catch {
      _ = run.host.ended(run)
      throw error
    }
    for other in older { other.cancelSoon(because: "run \(run.id), which has the same key '\(key)', took its place") }
    switch entry {
    case .waits: break
    case .begins:
      do { try run.begin() } catch {
        _ = run.host.ended(run)
        leave(run)
        throw error
      }
    case .refused(let holder):
      run.endUnbegun(.cancelled, because: "run \(holder) has the key '\(key)', and the workflow says 'when_full: cancel_newer'")
    }
  }

  /// With the monitor held.
  private func enter(
    _ run: WorkflowRun, _ key: String, _ concurrency: RunConcurrency, _ older: inout [WorkflowRun]
  ) throws(RunLineFull) -> Entry {
    var line = lines[key] ?? Line()
    if line.waiting.isEmpty, line.holders.count < concurrency.limit, !line.drains(before: run) {
      line.holders.append(run)
      lines[key] = line
      return .begins
    }
    if concurrency.whenFull == .cancelNewer { return .refused((line.holders.first ?? line.waiting[0]).id.description) }
    if waiting >= maximumWaiting { throw RunLineFull(key: key, limit: maximumWaiting) }
    line.waiting.append(run)
    waiting += 1
    lines[key] = line
    if concurrency.whenFull == .cancelOlder {
      let live = (line.holders + line.waiting).filter { !$0.shouldStop }
      older = Array(live.prefix(max(0, live.count - concurrency.limit)))
    }
    return .waits
  }

  /// A run has ended: those whose turn it is begin.
  func leave(_ run: WorkflowRun) {
    guard let key = run.lineKey else { return }
    monitor.locked { lines[key]?.holders.removeAll { $0 === run } }
    advance(key)
  }

  /// Takes a run out of the line. True: it was in it, and will not begin.
  func remove(_ run: WorkflowRun) -> Bool {
    guard let key = run.lineKey else { return false }
    let wasWaiting = monitor.locked {
      guard let place = lines[key]?.waiting.firstIndex(where: { $0 === run }) else { return false }
      lines[key]?.waiting.remove(at: place)
      waiting -= 1
      return true
    }
    if wasWaiting { advance(key) }
    return wasWaiting
  }

  /// What a run waits for; nil: it does not. Complexity: O(runs with its key).
  func wait(of run: WorkflowRun) -> RunWait? {
    guard let key = run.lineKey else { return nil }
    return monitor.locked {
      guard let line = lines[key], let place = line.waiting.firstIndex(where: { $0 === run }) else { return nil }
      return RunWait(key: key, holder: line.holders.first?.id.description, ahead: place)
    }
  }

  /// A timer of `TimerKind.line` fired.
  func fire(_ number: UInt64) {
    if let key = monitor.locked({ retries.removeValue(forKey: number) }) { advance(key) }
  }

  // MARK: Turns

  /// Begins the runs whose turn it is.
  private func advance(_ key: String) {
    while let run = monitor.locked({ takeNext(key) }) {
      do {
        try run.begin()
        run.tellWatcher()
      } catch SubmitError.full {
        guard putBack(run, key) else { continue }
        // Whoever cancelled it meanwhile found it neither in line nor begun.
        if run.shouldStop, remove(run) { run.endUnbegun(.cancelled) }
        return
      } catch {
        monitor.locked { lines[key]?.holders.removeAll { $0 === run } }
        let isStopped = if case SubmitError.stopped = error { true } else { false }
        run.endUnbegun(isStopped ? .cancelled : .failed, because: "it could not begin: \(error)")
      }
    }
  }

  /// The first of the line, if it may begin; it holds the key then. With the monitor held.
  private func takeNext(_ key: String) -> WorkflowRun? {
    guard let line = lines[key] else { return nil }
    guard let first = line.waiting.first else {
      if line.holders.isEmpty { lines[key] = nil }
      return nil
    }
    guard line.holders.count < first.definition.concurrency?.limit ?? .max, !line.drains(before: first) else { return nil }
    lines[key]?.waiting.removeFirst()
    lines[key]?.holders.append(first)
    waiting -= 1
    return first
  }

  /// There is no room in the core: the run is the first of the line again, and is tried later. False: it has ended, for there is no timer either.
  private func putBack(_ run: WorkflowRun, _ key: String) -> Bool {
    let number = monitor.locked {
      lines[key]?.holders.removeAll { $0 === run }
      lines[key]?.waiting.insert(run, at: 0)
      waiting += 1
      lastRetry += 1
      retries[lastRetry] = key
      return lastRetry
    }
    let host = run.host
    do {
      _ = try host.timers.arm(
        shard: host.sharedShard, due: host.scheduler.clock.now &+ RunLines.retryWait, value: number, kind: TimerKind.line)
      return true
    } catch {
      let isMine = monitor.locked {
        retries[number] = nil
        guard let place = lines[key]?.waiting.firstIndex(where: { $0 === run }) else { return false }
        lines[key]?.waiting.remove(at: place)
        waiting -= 1
        return true
      }
      if isMine { run.endUnbegun(.failed, because: "it could not begin: the engine is full, and has no timer to try again: \(error)") }
      return false
    }
  }
}
