internal import CMillrace
internal import MillraceCore
internal import MillracePlugins
public import MillraceWorkflow

/// A run that was started: watch it, wait for it, cancel it, read what it made. Any thread.
public final class WorkflowHandle: Sendable {
  let run: WorkflowRun
  private let engine: Engine
  private let source: DefinitionSource
  private let plugins: [LoadedPlugin]?

  /// `plugins`: those that its tasks are done by; nil: the engine's.
  init(_ run: WorkflowRun, of source: DefinitionSource, engine: Engine, plugins: [LoadedPlugin]? = nil) {
    self.run = run
    self.source = source
    self.engine = engine
    self.plugins = plugins
  }

  /// UUIDv7: by time of start, unique everywhere.
  public var id: String { run.id.description }
  /// RUNNING, or how it ended. One lock.
  public var status: WorkflowStatus { run.status }
  /// What runs, with its parameters in place.
  public var definition: Definition { run.definition }
  /// Whose work it is.
  public var tenant: String { run.tenant.name }

  /// What a run that is CREATED waits for, where its workflow says how many go on at once; nil: it does not wait. Complexity: O(runs with its key).
  public var waitsFor: RunWait? { run.waitsFor }

  /// Why the run was cancelled, or did not begin, if that was not its caller's wish: another run took its place, or has its key. nil: there is nothing to say.
  public var reason: String? { run.reason }

  /// Counters of this moment, and an estimate of what is left.
  public func progress() -> Progress { run.progress() }

  /// Everything that is known of the run. Complexity: O(tasks + attempts).
  public func record() -> RunRecord {
    var record = run.record(slots: engine.slots, threads: engine.threads)
    record.add(source, plugins ?? engine.plugins)
    record.nameCaller()
    return record
  }

  /// Ids of up to 8 tasks that run now.
  public var runningTasks: [String] { run.runningTasks() }

  /// Up to 8 tasks that run now, and how far they are.
  public var running: [RunningTask] { run.running() }

  /// Asks the run to stop: nothing new starts, waits end, handlers are asked to stop. Any number of times.
  public func cancel() { run.cancel() }

  /// As `cancel`; of a durable run who asked for it, and why, is recorded.
  public func cancel(by who: String?, because reason: String? = nil) { run.cancel(by: who, because: reason) }

  var hasEnded: Bool { run.hasEnded }

  /// Blocks the calling thread until the run has ended. Not from a handler, whose worker the run may need, nor from a Swift task: use `finished`.
  public func wait() -> WorkflowStatus { run.wait() ?? run.status }

  /// As `wait`, for at most so long; nil: it goes on.
  public func wait(nanoseconds: UInt64) -> WorkflowStatus? { run.wait(until: deadline(after: nanoseconds)) }

  private func deadline(after nanoseconds: UInt64) -> UInt64 {
    let (deadline, overflow) = millrace_monotonic().addingReportingOverflow(nanoseconds)
    return overflow ? .max : deadline
  }

  /// The status of the run when it has ended. Cancelling the Swift task that waits does not end the wait: `cancel` the run.
  public func finished() async -> WorkflowStatus {
    if !run.hasEnded { await withCheckedContinuation { continuation in run.whenEnded { continuation.resume() } } }
    return run.status
  }

  /// Calls `action` once when the run has ended: on the worker that ended it, or at once if it has. It must not block. For callers to whom the way
  /// through a Swift task, a microsecond or more, is too long.
  public func whenFinished(_ action: @escaping @Sendable (WorkflowStatus) -> Void) {
    run.whenEnded { [run] in action(run.status) }
  }

  /// Progress as it changes: at most one value in 100 ms, the last one when the run has ended. A slow reader misses values, never the last.
  public var updates: ProgressUpdates { updates(every: .milliseconds(100)) }

  /// As `updates`, at most one value in `interval`.
  public func updates(every interval: Duration) -> ProgressUpdates { ProgressUpdates(run: run, interval: interval) }

  /// The output of a completed task, copied; nil: no such task, or it is not completed.
  public func output(of task: String) -> [UInt8]? { unsafe run.output(of: task).map { unsafe Array($0.bytes) } }

  /// The output of the definition's `result` task; nil if it is not completed or no JSON text: `output(of:)` gives its bytes as they are.
  public var result: JSON? {
    guard let task = run.definition.result, let bytes = output(of: task) else { return nil }
    return try? JSON(parsing: bytes)
  }
}

extension RunRecord {
  /// The core counts the place of awaiting threads behind the worker threads, and those of the blocking pool behind that.
  fileprivate mutating func nameCaller() {
    for task in tasks.indices {
      for attempt in tasks[task].attempts.indices where tasks[task].attempts[attempt].lane >= threads {
        let lane = tasks[task].attempts[attempt].lane
        tasks[task].attempts[attempt].lane = lane == threads ? AttemptRecord.callerLane : lane - 1
      }
    }
  }
}
