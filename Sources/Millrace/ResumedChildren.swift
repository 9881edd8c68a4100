internal import MillraceCore
internal import MillraceWorkflow

/// Runs that were taken over and whose parents will ask for them. Any thread.
final class ResumedChildren: @unchecked Sendable {
  /// From the end of a child to whoever waits for it, whichever comes first.
  final class Link: @unchecked Sendable {
    private let monitor = Monitor()
    private var ended: WorkflowRun?
    private var listener: WorkflowRun.Ended?
    /// Set before the run is started.
    var run: WorkflowRun?

    deinit { monitor.deallocate() }

    func ended(_ run: WorkflowRun) {
      let listener = monitor.locked {
        // The run keeps this link.
        self.run = nil
        if self.listener == nil { ended = run }
        defer { self.listener = nil }
        return self.listener
      }
      listener?(run)
    }

    /// Who has the run from here on. nil: it has ended, and `listener` has been told.
    func listen(_ listener: @escaping WorkflowRun.Ended) -> WorkflowRun? {
      let (run, ended) = monitor.locked {
        defer {
          self.run = nil
          self.ended = nil
        }
        if self.ended == nil { self.listener = listener }
        return (self.run ?? self.ended, self.ended)
      }
      if let ended { listener(ended) }
      return run
    }
  }

  private let monitor = Monitor()
  private var links: [RunID: Link] = [:]

  deinit { monitor.deallocate() }

  /// A child is about to be made.
  func expect(_ child: RunID) -> Link {
    monitor.locked {
      let link = Link()
      links[child] = link
      return link
    }
  }

  /// It does not begin.
  func forget(_ child: RunID) {
    let link = monitor.locked { links.removeValue(forKey: child) }
    link?.run = nil
  }

  /// It goes on, and its parent has not taken it yet.
  func has(_ child: RunID) -> Bool { monitor.locked { links[child] != nil } }

  /// The run, for its parent; once. nil: it does not go on.
  func take(_ child: RunID, _ ended: @escaping WorkflowRun.Ended) -> WorkflowRun? {
    monitor.locked { links.removeValue(forKey: child) }?.listen(ended)
  }
}
