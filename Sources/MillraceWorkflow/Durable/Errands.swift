internal import CMillrace
internal import MillraceCore

/// Work that is done soon, or after a time, by one thread of its own: for whoever must not wait, or call others, where he is.
///
/// # Threads
/// Any. The thread is there from the first errand to `stop`.
final class Errands: @unchecked Sendable {
  private let monitor = Monitor()
  private var soon: [@Sendable () -> Void] = []
  private var later: [(due: UInt64, work: @Sendable () -> Void)] = []
  private var isStopping = false
  private var isRunning = false
  private let spawn: (@escaping @Sendable () -> Void) -> Bool

  /// `spawn`: runs its argument on a new thread; false if there is none.
  init(spawn: @escaping (@escaping @Sendable () -> Void) -> Bool) { self.spawn = spawn }

  deinit { monitor.deallocate() }

  /// False: the errands have stopped, or there is no thread for them; it will not be done.
  @discardableResult func run(after nanoseconds: UInt64 = 0, _ work: @escaping @Sendable () -> Void) -> Bool {
    monitor.locked {
      if isStopping { return false }
      if !isRunning {
        isRunning = spawn { [self] in goThroughThem() }
        if !isRunning { return false }
      }
      if nanoseconds == 0 {
        soon.append(work)
      } else {
        later.append((millrace_monotonic() &+ nanoseconds, work))
      }
      monitor.broadcast(.work)
      return true
    }
  }

  /// Does what is to be done soon, drops what is to be done later, and takes nothing more. Waits for that; not from an errand.
  func stop() {
    monitor.locked {
      isStopping = true
      later = []
      monitor.broadcast(.work)
      while isRunning { monitor.wait(.ended) }
    }
  }

  private func goThroughThem() {
    while true {
      let work: [@Sendable () -> Void]? = monitor.locked {
        while true {
          let now = millrace_monotonic()
          let due = later.filter { $0.due <= now }.map(\.work)
          later.removeAll { $0.due <= now }
          if !soon.isEmpty || !due.isEmpty {
            defer { soon = [] }
            return soon + due
          }
          if isStopping {
            isRunning = false
            monitor.broadcast(.ended)
            return nil
          }
          if let next = later.map(\.due).min() { _ = monitor.wait(.work, until: next) } else { monitor.wait(.work) }
        }
      }
      guard let work else { return }
      for errand in work { errand() }
    }
  }
}
