internal import Glibc
internal import MillraceCore

/// Has things done on the thread of the host's loop, in their order.
///
/// # Threads
/// `post` any, `run` that of the loop, which is the one that made this.
@safe final class LoopRelay: @unchecked Sendable {
  private let thread = pthread_self()
  private let monitor = Monitor()
  // The monitor's.
  private var actions: [@Sendable () -> Void] = []
  /// Has `run` called on the loop's thread. Set once, before there are runs.
  var callBack: @Sendable () -> Void = {}

  deinit { monitor.deallocate() }

  var isHere: Bool { pthread_equal(thread, pthread_self()) != 0 }

  func post(_ action: @escaping @Sendable () -> Void) {
    monitor.locked { actions.append(action) }
    callBack()
  }

  /// What is posted meanwhile has its own turn.
  func run() {
    let due = monitor.locked {
      defer { actions = [] }
      return actions
    }
    for action in due { action() }
  }
}
