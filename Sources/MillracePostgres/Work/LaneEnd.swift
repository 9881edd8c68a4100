#if Postgres
  internal import MillraceCore
  internal import MillraceLog

  /// Told when both lanes have ended.
  ///
  /// # Threads
  /// Any.
  final class LaneEnd: @unchecked Sendable {
    private let monitor = Monitor()
    private var running = 2
    private var isAsked = false
    private var completion: EventCompletion<Void>?

    deinit { monitor.deallocate() }

    /// False: somebody else has asked before.
    func tell(_ completion: @escaping EventCompletion<Void>) -> Bool {
      monitor.locked {
        if isAsked { return false }
        isAsked = true
        self.completion = completion
        return true
      }
    }

    func ended() {
      let told = monitor.locked {
        running -= 1
        return running == 0 ? completion : nil
      }
      told?(.success(()))
    }
  }
#endif
