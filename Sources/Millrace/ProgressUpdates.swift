internal import MillraceCore
public import MillraceWorkflow

/// The progress of a run as it changes: the first value at once, then one when something has changed, at most one in `interval`, and the last when the run has ended.
/// Workers say that something has changed; nothing looks at the run meanwhile. A slow reader misses values, never the last.
public struct ProgressUpdates: AsyncSequence, Sendable {
  public typealias Element = Progress
  let run: WorkflowRun
  let interval: Duration

  public func makeAsyncIterator() -> Iterator { Iterator(run: run, interval: interval) }

  /// Waits for each value. One reader at a time.
  public struct Iterator: AsyncIteratorProtocol {
    private let run: WorkflowRun
    private let interval: Duration
    private let wake = Wake()
    private var last: Progress?
    private var due = ContinuousClock.now
    private var isOver = false

    init(run: WorkflowRun, interval: Duration) {
      self.run = run
      self.interval = interval
      run.whenEnded { [wake] in wake.raise(.ended) }
    }

    /// nil: the run has ended, and its last progress been given; or the Swift task that waits was cancelled.
    public mutating func next() async -> Progress? {
      while !isOver, !_Concurrency.Task.isCancelled {
        wake.clear(.changed)
        run.watch { [wake] in wake.raise(.changed) }
        let now = run.progress()
        isOver = now.status != .running && now.status != .created
        if isOver || last == nil || now.status != last?.status || now.finished != last?.finished || now.running != last?.running
          || now.perMille != last?.perMille
        {
          last = now
          due = .now + interval
          return now
        }
        await wake.wait(for: [.changed, .ended])
        await pause()
      }
      return nil
    }

    /// What is left of the interval, unless the run ends before.
    private func pause() async {
      guard ContinuousClock.now < due else { return }
      wake.clear(.due)
      let pause = _Concurrency.Task { [wake, due] in
        // Throws only if it is cancelled: a pause that is cut short is over.
        try? await ContinuousClock().sleep(until: due)
        wake.raise(.due)
      }
      await wake.wait(for: [.due, .ended])
      pause.cancel()
    }
  }
}

/// What one Swift task waits for: some of the reasons below have come, or the task was cancelled.
private final class Wake: @unchecked Sendable {
  struct Reasons: OptionSet {
    let rawValue: UInt8
    static let changed = Reasons(rawValue: 1)
    static let due = Reasons(rawValue: 2)
    static let ended = Reasons(rawValue: 4)
    static let cancelled = Reasons(rawValue: 8)
  }

  private let monitor = Monitor()
  private var come: Reasons = []
  private var wanted: Reasons = []
  private var waiting: CheckedContinuation<Void, Never>?

  deinit { monitor.deallocate() }

  func clear(_ reasons: Reasons) { monitor.locked { come.subtract(reasons) } }

  func raise(_ reasons: Reasons) {
    let woken: CheckedContinuation<Void, Never>? = monitor.locked {
      come.formUnion(reasons)
      guard !come.isDisjoint(with: wanted) else { return nil }
      defer { waiting = nil }
      return waiting
    }
    woken?.resume()
  }

  func wait(for reasons: Reasons) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isHere = monitor.locked {
          wanted = reasons.union(.cancelled)
          if come.isDisjoint(with: wanted) { waiting = continuation }
          return !come.isDisjoint(with: wanted)
        }
        if isHere { continuation.resume() }
      }
    } onCancel: {
      raise(.cancelled)
    }
  }
}
