internal import CMillrace
internal import MillraceCore
internal import MillraceWorkflow

/// How an engine ends.
extension Engine {
  /// Stops gracefully: follows no schedule and takes no more runs (`start` throws `EngineError.stopped`), lets those that go on end, and the
  /// asynchronous handlers with them, for at most `timeout`; then shuts down. True: all had ended by then. Not from a handler, which it would wait
  /// for.
  ///
  /// Cancelling the Swift task that waits ends the timeout: the engine is shut down at once.
  @discardableResult
  public func drain(timeout: Duration) async -> Bool {
    await withTaskCancellationHandler {
      await drainApart(timeout)
    } onCancel: {
      host.stopWaiting()
    }
  }

  /// Takes no more runs (`start` throws `EngineError.stopped`), follows no schedule and consumes no messages; runs that go on, and handlers of
  /// messages, end as usual. Any number of times. `drain` and
  /// `shutdown` begin with it.
  public func close() {
    state.close()
    book.stop()
    desk.close()
  }

  /// As `drain`, on the calling thread, which is none of the engine's: without shutting down. True: all had ended by then. `nanoseconds`: `UInt64.max` is no bound.
  package func drainHere(nanoseconds: UInt64) -> Bool {
    close()
    let (deadline, overflow) = millrace_monotonic().addingReportingOverflow(nanoseconds)
    return host.waitUntilIdle(until: overflow ? .max : deadline)
  }

  /// On a thread of the engine, that of a handler or a callback: nothing may be waited for there.
  package var isOwnThread: Bool { runtime.isOwnThread || host.runsBatchHere }

  private func drainApart(_ timeout: Duration) async -> Bool {
    close()
    return await withCheckedContinuation { continuation in
      let isApart = OwnThread.run { [self] in
        let (deadline, overflow) = millrace_monotonic().addingReportingOverflow(UInt64(clamping: timeout))
        let isIdle = host.waitUntilIdle(until: overflow ? .max : deadline)
        shutdown()
        continuation.resume(returning: isIdle)
      }
      if !isApart {
        host.report("the engine could not be drained: no thread to be had; it is shut down at once")
        shutdown()
        continuation.resume(returning: false)
      }
    }
  }

  /// Stops: takes no more work, cancels the runs that go on, waits for their cleanup tasks and for handlers that run, ends the threads and
  /// unloads the plugins. Unfinished runs are CANCELLED then; durable ones stay RUNNING, for `resume` to go on with. Any number of times; later calls
  /// return at once. Letting go of the engine does the
  /// same.
  ///
  /// On a thread of the engine, as in a handler, it returns at once, and the rest happens on a thread of its own when the handler has returned.
  public func shutdown() {
    guard state.stop() else { return }
    book.stop()
    desk.close()
    desk.stop()
    let ending = Ending(runtime: runtime, host: host, state: state, hooks: hooks, durable: durable, desk: desk)
    if !isOwnThread { return ending.run() }
    if !ending.runApart() { hooks.host.report("the engine could not be shut down from its own thread: no thread to be had") }
  }

  /// What is to be stopped, apart from the engine, which may be gone by then.
  private final class Ending: Sendable {
    private let runtime: Runtime
    private let host: TaskHost
    private let state: EngineState
    /// Called back until the runtime has stopped.
    private let hooks: HooksBox
    private let durable: DurableRuns?
    /// Its consumers' jobs are called until the runtime has stopped.
    private let desk: BrokerDesk

    init(runtime: Runtime, host: TaskHost, state: EngineState, hooks: HooksBox, durable: DurableRuns?, desk: BrokerDesk) {
      self.runtime = runtime
      self.host = host
      self.state = state
      self.hooks = hooks
      self.durable = durable
      self.desk = desk
    }

    func run() {
      // Those that wait for their turn first, or they would begin when the others end; children after their parents, whose tasks would fail by it.
      let runs = host.activeRuns.sorted { $0.depth < $1.depth }
      let reason = "the engine was shut down: the run goes on when it is resumed"
      for run in runs where run.status == .created { run.suspend(because: run.journal == nil ? nil : reason) }
      for run in runs { run.suspend(because: run.journal == nil ? nil : reason) }
      for run in host.activeRuns where run.hasCleanup || run.hasChildren || run.isUndoing { _ = run.wait() }
      runtime.stop()
      host.endBatches()
      desk.end()
      // What tasks gave to the last moment is recorded; then that they are left to the next process.
      durable?.runs.drain()
      host.endRuns()
      durable?.close()
      state.unload()
      desk.plugins.end()
      host.close()
    }

    /// False: there is no thread, and everything stays as it is.
    func runApart() -> Bool { OwnThread.run { self.run() } }
  }
}
