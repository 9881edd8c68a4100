internal import CMillrace
internal import CUV
internal import Glibc

/// The loop's libuv handles and what their callbacks need, in one block that lives until libuv has closed the last of them.
///
/// # Threads
/// The loop's thread only, but for `uv_async_send` and the descriptor, which `EventLoop` guards by its gate.
@safe
struct LoopHandles {
  typealias Block = UnsafeMutablePointer<LoopHandles>

  var ownLoop = unsafe uv_loop_t()
  var async = unsafe uv_async_t()
  var poll = unsafe uv_poll_t()
  var signals: UnsafeMutablePointer<uv_signal_t>
  var signalCount = 0
  /// Handles that libuv still knows.
  var open = 0
  /// On the host's loop the last closed handle frees the block; with a thread of our own the loop itself is in it, and `EventLoop` frees it.
  let isHosted: Bool
  var descriptor: Int32 = -1
  let words: LoopWords
  let callbacks: LoopCallbacks

  static func allocate(words: LoopWords, callbacks: LoopCallbacks, signals: Int, isHosted: Bool) -> Block {
    let block = Block.allocate(capacity: 1)
    let memory = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: max(1, signals))
    unsafe block.initialize(to: LoopHandles(signals: memory, isHosted: isHosted, words: words, callbacks: callbacks))
    return unsafe block
  }

  static func deallocate(_ block: Block) {
    unsafe block.pointee.signals.deallocate()
    unsafe block.deinitialize(count: 1)
    unsafe block.deallocate()
  }

  /// Opens all handles on `loop`. What was opened before a failure is left open; `close` ends it.
  ///
  /// They do not keep a host's loop running; a loop of our own runs until they are closed.
  static func open(_ block: Block, on loop: UnsafeMutablePointer<uv_loop_t>, signals: [Int32]) throws(LoopError) {
    let descriptor = millrace_timerfd()
    guard descriptor >= 0 else { throw LoopError("timerfd_create", -errno) }
    unsafe block.pointee.descriptor = descriptor
    try check(
      "uv_async_init",
      unsafe uv_async_init(loop, &block.pointee.async) { handle in
        guard let handle = unsafe handle else { return }
        unsafe LoopHandles.woken(LoopHandles.block(handle.pointee.data))
      })
    unsafe opened(block, &block.pointee.async, keepsAlive: !block.pointee.isHosted)
    try check("uv_poll_init", unsafe uv_poll_init(loop, &block.pointee.poll, descriptor))
    unsafe opened(block, &block.pointee.poll, keepsAlive: false)
    try check(
      "uv_poll_start",
      unsafe uv_poll_start(&block.pointee.poll, Int32(UV_READABLE.rawValue)) { handle, _, _ in
        guard let handle = unsafe handle else { return }
        unsafe LoopHandles.alarmed(LoopHandles.block(handle.pointee.data))
      })
    for number in signals {
      let signal = unsafe block.pointee.signals + block.pointee.signalCount
      try check("uv_signal_init", unsafe uv_signal_init(loop, signal))
      unsafe block.pointee.signalCount += 1
      unsafe opened(block, signal, keepsAlive: false)
      try check(
        "uv_signal_start",
        unsafe uv_signal_start(
          signal,
          { handle, number in
            guard let handle = unsafe handle else { return }
            unsafe LoopHandles.signalled(LoopHandles.block(handle.pointee.data), number)
          }, number))
    }
  }

  /// Closes all handles, which libuv completes in its next turn. Frees a hosted block then.
  static func close(_ block: Block) {
    // A block without handles has no later turn to wait for.
    guard unsafe block.pointee.open > 0 else {
      unsafe closeDescriptor(block)
      if unsafe block.pointee.isHosted { unsafe deallocate(block) }
      return
    }
    for index in 0..<(unsafe block.pointee.signalCount) { unsafe close(block.pointee.signals + index) }
    // Handles are opened in this order, so two are open exactly if the second is.
    if unsafe block.pointee.open - block.pointee.signalCount > 1 { unsafe close(&block.pointee.poll) }
    unsafe close(&block.pointee.async)
    // libuv stops watching at once, so the descriptor may go.
    unsafe closeDescriptor(block)
  }

  private static func closeDescriptor(_ block: Block) {
    if unsafe block.pointee.descriptor >= 0 { unsafe _ = Glibc.close(block.pointee.descriptor) }
    unsafe block.pointee.descriptor = -1
  }

  private static func close(_ handle: UnsafeMutableRawPointer) {
    // Safe: every handle of libuv begins as a uv_handle_t.
    unsafe uv_close(handle.assumingMemoryBound(to: uv_handle_t.self)) { handle in
      guard let handle = unsafe handle else { return }
      let block = unsafe LoopHandles.block(handle.pointee.data)
      unsafe block.pointee.open -= 1
      if unsafe block.pointee.open == 0 && block.pointee.isHosted { unsafe LoopHandles.deallocate(block) }
    }
  }

  private static func opened(_ block: Block, _ handle: UnsafeMutableRawPointer, keepsAlive: Bool) {
    // Safe: every handle of libuv begins as a uv_handle_t.
    let handle = unsafe handle.assumingMemoryBound(to: uv_handle_t.self)
    unsafe handle.pointee.data = UnsafeMutableRawPointer(block)
    unsafe block.pointee.open += 1
    if !keepsAlive { unsafe uv_unref(handle) }
  }

  private static func block(_ data: UnsafeMutableRawPointer?) -> Block {
    guard let data = unsafe data else { preconditionFailure("a loop handle lost its block") }
    return unsafe data.assumingMemoryBound(to: LoopHandles.self)
  }

  private static func check(_ function: String, _ code: Int32) throws(LoopError) {
    if code < 0 { throw LoopError(function, code) }
  }

  // What the callbacks do. The thread is the loop's.

  private static func woken(_ block: Block) {
    let words = unsafe block.pointee.words
    words.countTurn()
    if words.takeWake() { unsafe block.pointee.callbacks.wake(block.pointee.callbacks.context) }
    if words.isStopping {
      // Whoever sends a wake-up right now, `stop` first of all, has to be done with the handle.
      words.gate.close()
      unsafe close(block)
    }
  }

  private static func alarmed(_ block: Block) {
    let words = unsafe block.pointee.words
    words.countTurn()
    _ = unsafe millrace_timerfd_take(block.pointee.descriptor)
    // Taken before what is due is looked up: who arms in between sets the alarm again.
    words.takeAlarm()
    let next = unsafe block.pointee.callbacks.alarm(block.pointee.callbacks.context)
    unsafe setAlarm(at: next, words, block.pointee.descriptor)
  }

  private static func signalled(_ block: Block, _ number: Int32) {
    unsafe block.pointee.words.countTurn()
    unsafe block.pointee.callbacks.signal(block.pointee.callbacks.context, number)
  }

  /// Lowers the alarm to `at`. Any thread.
  static func setAlarm(at: UInt64, _ words: LoopWords, _ descriptor: @autoclosure () -> Int32) {
    guard words.lowerAlarm(to: at), words.gate.enter() else { return }
    setDescriptor(at: at, words, descriptor())
    words.gate.leave()
  }

  /// Sets the descriptor, again and again while someone else wants it earlier: of two who set it, the later may be the one that wants less.
  static func setDescriptor(at: UInt64, _ words: LoopWords, _ descriptor: Int32) {
    var at = at
    while true {
      let code = millrace_timerfd_set(descriptor, at)
      precondition(code == 0, "timerfd_settime refused \(at) ns: errno \(code)")
      let wanted = words.alarmAt
      if wanted >= at { return }
      at = wanted
    }
  }
}
