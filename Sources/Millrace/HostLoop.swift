internal import MillraceCore

/// A `uv_loop_t` of the program that an engine calls back on. Its thread makes the engine and shuts it down.
@safe package struct HostLoop: Sendable {
  // unsafe: the host's; it outlives the engine, and one turn more.
  nonisolated(unsafe) let pointer: UnsafeMutableRawPointer
  let wake: @Sendable () -> Void

  /// `wake`: called on the loop's thread after `Engine.callBack`, once or more.
  ///
  /// unsafe: the pointer is a loop of the libuv that this program has, and outlives the engine by one turn.
  @unsafe package init(_ pointer: UnsafeMutableRawPointer, wake: @escaping @Sendable () -> Void) {
    unsafe self.pointer = pointer
    self.wake = wake
  }
}

extension Engine {
  /// Has `HostLoop.wake` called on the loop's thread. Many at once become one. Any thread.
  package func callBack() { runtime.callBack() }
}
