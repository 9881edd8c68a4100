internal import MillraceCore

/// Archives segments, each on a thread of its own: it may take any time, and nothing waits for it but `finish`.
///
/// # Threads
/// `begin` by the thread of the segments' supply, `finish` by the log's owner when that thread has ended.
final class Archiving: @unchecked Sendable {
  private let monitor = Monitor()
  private var underWay = 0

  deinit { monitor.deallocate() }

  /// `body` archives a segment. Throws, and does nothing, if there is no thread to be had.
  func begin(_ body: @escaping @Sendable () -> Void) throws(StorageError) {
    monitor.locked { underWay += 1 }
    let code = OwnThread.start { [self] in
      body()
      end()
    }
    if code == 0 { return }
    end()
    throw .of("pthread_create", "", code)
  }

  private func end() {
    monitor.locked {
      underWay -= 1
      monitor.broadcast(.ended)
    }
  }

  /// Waits for what is under way.
  func finish() { monitor.locked { while underWay > 0 { monitor.wait(.ended) } } }
}
