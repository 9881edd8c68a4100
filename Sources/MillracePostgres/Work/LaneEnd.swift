#if Postgres
  internal import MillraceCore
  internal import MillraceLog

  /// As `EventStore.Completion`.
  typealias StoreCompletion<Value> = @Sendable (Result<Value, EventStoreError>) -> Void

  /// Told when both lanes have ended.
  ///
  /// # Threads
  /// Any.
  final class LaneEnd: @unchecked Sendable {
    private let monitor = Monitor()
    private var running = 2
    private var isAsked = false
    private var completion: StoreCompletion<Void>?

    deinit { monitor.deallocate() }

    /// False: somebody else has asked before.
    func tell(_ completion: @escaping StoreCompletion<Void>) -> Bool {
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
