internal import MillraceCore

/// Actions that a timer of the engine calls once: what waits in the broker's part of the engine ends by it, and no thread is held.
@safe final class AlarmBook: @unchecked Sendable {
  /// Timers of this kind carry the number of an action.
  static let timerKind: UInt16 = 0x101

  private let monitor = Monitor()
  // The monitor's.
  private var core: (scheduler: Scheduler, timers: Timers, shard: Int)?
  private var actions: [UInt64: (action: @Sendable () -> Void, timer: TimerHandle)] = [:]
  private var last: UInt64 = 0

  deinit { monitor.deallocate() }

  /// Before anything else.
  func connect(_ scheduler: Scheduler, _ timers: Timers, shard: Int) { monitor.locked { core = (scheduler, timers, shard) } }

  /// Calls `action` after so many nanoseconds, on a thread of the engine, which it must not block. nil: there is no timer to be had, and it is never
  /// called.
  func after(_ nanoseconds: UInt64, _ action: @escaping @Sendable () -> Void) -> UInt64? {
    monitor.locked {
      guard let core else { return nil }
      let (due, overflow) = core.scheduler.clock.now.addingReportingOverflow(nanoseconds)
      last += 1
      do throws(TimerFull) {
        let timer = try core.timers.arm(shard: core.shard, due: overflow ? .max : due, value: last, kind: Self.timerKind)
        actions[last] = (action, timer)
        return last
      } catch { return nil }
    }
  }

  func cancel(_ number: UInt64) {
    monitor.locked {
      guard let entry = actions.removeValue(forKey: number) else { return }
      _ = core?.timers.cancel(entry.timer)
    }
  }

  func fire(_ number: UInt64) { monitor.locked { actions.removeValue(forKey: number) }?.action() }

  /// The engine has stopped: nothing is called any more.
  func end() {
    monitor.locked {
      core = nil
      actions = [:]
    }
  }
}
