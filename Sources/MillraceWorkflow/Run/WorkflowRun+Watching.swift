internal import CMillrace
internal import MillraceCore

/// How far a run is: to look at, to wait for, to be told.
extension WorkflowRun {
  /// As of this moment. Complexity: O(1). Any thread.
  public var status: WorkflowStatus { monitor.locked { finalStatus ?? (core == nil ? .created : .running) } }

  /// When it began, on the clock of the host; 0: it has not.
  var beganAt: UInt64 { monitor.locked { started } }

  /// Wall time at which it began, nanoseconds since 1970 UTC; when it was started, if it has not begun.
  var beganWall: Int64 {
    let began = beganAt
    return began == 0 ? startedWall : startedWall &+ Int64(clamping: began &- entered)
  }

  /// Nanoseconds since it began.
  public var elapsed: UInt64 {
    let (began, end) = monitor.locked { (started, finalStatus == nil ? nil : endTime) }
    return began == 0 ? 0 : (end ?? host.scheduler.clock.now) &- began
  }

  /// Blocks the calling thread until the run has ended; nil: not by `deadline` of the system's monotonic clock.
  public func wait(until deadline: UInt64 = .max) -> WorkflowStatus? {
    monitor.locked {
      while finalStatus == nil {
        if deadline == .max {
          monitor.wait(.ended)
        } else if !monitor.wait(.ended, until: deadline), finalStatus == nil {
          return nil
        }
      }
      return finalStatus
    }
  }

  /// One lock.
  package var hasEnded: Bool { monitor.locked { finalStatus != nil } }

  /// Calls `action` once when the run has ended: on the worker that ended it, or at once if it has. It must not block.
  package func whenEnded(_ action: @escaping @Sendable () -> Void) {
    let hasEnded = monitor.locked {
      if finalStatus != nil { return true }
      waiters.append(action)
      return false
    }
    if hasEnded { action() }
  }

  /// Calls `action` once when the counters of `progress` change next, or the run ends: on the thread that changes them, which it must not block.
  /// A change that `progress`, called after this, does not show is told.
  package func watch(_ action: @escaping @Sendable () -> Void) {
    let hasEnded = monitor.locked {
      if finalStatus != nil { return true }
      watchers.append(action)
      // Order: sequentially consistent. Pairs with the load in `tellWatcher`, which comes after a count and an exchange: either the change is told,
      // or it can be read from here on.
      _ = counters.watched.exchange(1)
      return false
    }
    if hasEnded { action() }
  }

  /// After a count, and the exchange of a task's status that follows it.
  @inline(__always) func tellWatcher() {
    if items == nil {
      if counters.watched.loadSequential() != 0 { tellWatchers() }
    } else {
      items?.owner.tellOwner()
    }
  }

  /// An item has changed.
  private func tellOwner() { anchor.tellWatcher() }

  @inline(never) private func tellWatchers() {
    let actions = monitor.locked {
      _ = counters.watched.exchange(0)
      defer { watchers = [] }
      return watchers
    }
    for action in actions { action() }
  }
}
