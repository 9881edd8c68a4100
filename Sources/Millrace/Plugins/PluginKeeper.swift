internal import CMillrace
internal import MillraceCore
internal import MillraceWorkflow

/// The thread that does what no worker may do for plugins: unloads builds that nobody pins any more, judges canaries, looks at files.
///
/// It is there from the first time that there is something to keep, until the engine ends.
///
/// # Threads
/// `start`, `wake`: any. `stop`: once, not from the thread itself.
final class PluginKeeper: @unchecked Sendable {
  private let host: TaskHost
  private let monitor = Monitor()
  // The monitor's.
  private var isStarted = false
  private var isRunning = false
  private var isStopped = false
  private var isWoken = false

  init(_ host: TaskHost) { self.host = host }

  deinit { monitor.deallocate() }

  /// Keeps the builds of `state` from here on. Any number of times.
  func start(_ state: EngineState) {
    let isFirst = monitor.locked {
      if isStarted || isStopped { return false }
      isStarted = true
      isRunning = true
      return true
    }
    guard isFirst else { return }
    if OwnThread.run({ [self] in keep(state) }) { return }
    monitor.locked {
      isStarted = false
      isRunning = false
    }
    host.report("no thread to be had for builds of plugins that nobody uses any more: they go at the next swap")
  }

  /// There is something to look at. Two calls of pthread.
  func wake() {
    monitor.locked {
      isWoken = true
      monitor.signal(.work)
    }
  }

  /// Returns when the thread has ended.
  func stop() {
    monitor.locked {
      isStopped = true
      monitor.signal(.work)
      while isRunning { monitor.wait(.ended) }
    }
  }

  private func keep(_ state: EngineState) {
    var due = UInt64.max
    while true {
      let goesOn = monitor.locked {
        while !isWoken, !isStopped {
          if due == .max {
            monitor.wait(.work)
          } else if !monitor.wait(.work, until: due) {
            break
          }
        }
        isWoken = false
        return !isStopped
      }
      if !goesOn { break }
      due = state.keep(now: millrace_monotonic())
    }
    monitor.locked {
      isRunning = false
      monitor.broadcast(.ended)
    }
  }
}
