internal import CMillrace
internal import CUV
internal import Glibc

/// What the loop calls, on its thread. None may block for long.
@safe
public struct LoopCallbacks: @unchecked Sendable {
  let context: UnsafeMutableRawPointer?
  let wake: @convention(c) (UnsafeMutableRawPointer?) -> Void
  let alarm: @convention(c) (UnsafeMutableRawPointer?) -> UInt64
  let signal: @convention(c) (UnsafeMutableRawPointer?, Int32) -> Void

  /// - Parameters:
  ///   - context: handed to all three; outlives the loop.
  ///   - wake: after one or more `wake()`; all that was published before them is visible.
  ///   - alarm: at the alarm or somewhat after. Fires what is due, returns when to be called next, `Timers.never` for not at all.
  ///   - signal: a watched signal arrived; its number.
  public init(
    context: UnsafeMutableRawPointer?, wake: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void = { _ in },
    alarm: @escaping @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = { _ in Timers.never },
    signal: @escaping @convention(c) (UnsafeMutableRawPointer?, Int32) -> Void = { _, _ in }
  ) {
    unsafe self.context = context
    unsafe self.wake = wake
    unsafe self.alarm = alarm
    unsafe self.signal = signal
  }
}

/// The event loop: time, signals and wake-ups by libuv, on a thread of its own or on the loop of the host.
///
/// An idle loop waits in one system call and makes none: no tick, no time limit.
///
/// # Threads
/// `wake`, `setAlarm` and `turns`: any, at any time; before `start` they are kept, after `stop` they do nothing. With the host's loop, `start`
/// and `stop` are called on its thread. With an own thread, `stop` is called by any other.
/// # Fields
/// `handles`: written by `start` before the gate opens and by `stop` after it has shut. `words`: atomics.
/// # Progress
/// `wake` and `setAlarm` are lock-free; at most one system call unless alarms race.
/// # Source
/// libuv's uv_async, uv_poll on a timerfd, and uv_signal. uv_timer counts whole milliseconds, and only on its own thread.
@safe
public final class EventLoop: @unchecked Sendable {
  private enum Phase { case new, running, stopped }

  private let words = LoopWords()
  private let callbacks: LoopCallbacks
  private let signals: [Int32]
  private let host: UnsafeMutablePointer<uv_loop_t>?
  private var handles: LoopHandles.Block?
  private var thread = pthread_t()
  private var phase = Phase.new

  /// A loop on a thread of its own.
  ///
  /// - Parameters:
  ///   - signals: numbers of signals to watch.
  ///   - callbacks: what to call.
  public init(signals: [Int32] = [], callbacks: LoopCallbacks) {
    self.callbacks = callbacks
    self.signals = signals
    unsafe host = nil
  }

  /// A part of the host's loop.
  ///
  /// - Parameters:
  ///   - host: a `uv_loop_t` that the host runs. It outlives the turn after `stop`.
  ///   - signals: numbers of signals to watch.
  ///   - callbacks: what to call.
  public init(host: UnsafeMutableRawPointer, signals: [Int32] = [], callbacks: LoopCallbacks) {
    self.callbacks = callbacks
    self.signals = signals
    // Safe: the caller says that it is a uv_loop_t.
    unsafe self.host = host.assumingMemoryBound(to: uv_loop_t.self)
  }

  /// Stops a loop of our own. The host's must have been stopped, as only its thread may.
  deinit {
    precondition(unsafe host == nil || phase != .running, "stop() the loop on the host's thread before letting it go")
    stop()
    words.deallocate()
  }

  /// Begins. Wake-ups and alarms asked for earlier come now. With the host's loop: on its thread, and its handles do not keep the loop running.
  ///
  /// - Throws: `LoopError`; nothing is left behind (on the host's loop: after its next turn).
  public func start() throws(LoopError) {
    precondition(phase == .new, "an event loop starts once")
    phase = .stopped
    let block = unsafe LoopHandles.allocate(words: words, callbacks: callbacks, signals: signals.count, isHosted: host != nil)
    if let host = unsafe host {
      do { unsafe try LoopHandles.open(block, on: host, signals: signals) } catch {
        unsafe LoopHandles.close(block)
        throw error
      }
    } else {
      unsafe try startThread(block)
    }
    unsafe handles = block
    phase = .running
    words.gate.open()
    // Asked for before the gate was open: see `Gate.enter`.
    if words.isWakeAsked { unsafe _ = uv_async_send(&block.pointee.async) }
    let at = words.alarmAt
    if at != Timers.never { unsafe LoopHandles.setDescriptor(at: at, words, block.pointee.descriptor) }
  }

  /// Ends. An own thread is joined; handles that others opened on its loop must be closed before. The host's loop needs one more turn to let go
  /// of ours, which its own `uv_run` or `uv_loop_close` code brings. Later calls do nothing.
  public func stop() {
    guard phase == .running, let block = unsafe handles else { return }
    phase = .stopped
    if unsafe host != nil {
      words.gate.close()
      unsafe LoopHandles.close(block)
    } else {
      precondition(pthread_equal(thread, pthread_self()) == 0, "stop() waits for the loop's thread, so it cannot be called there")
      // Inside the gate: the loop's thread shuts it before it closes the handle.
      let isInside = words.gate.enter()
      precondition(isInside, "a running loop's gate is open")
      words.stop()
      unsafe _ = uv_async_send(&block.pointee.async)
      words.gate.leave()
      pthread_join(thread, nil)
      unsafe LoopHandles.deallocate(block)
    }
    unsafe handles = nil
  }

  /// True on the thread of a running loop of our own.
  var isOwnThread: Bool { unsafe host == nil && phase == .running && pthread_equal(thread, pthread_self()) != 0 }

  /// Has `wake` called on the loop's thread. Many at once become one.
  ///
  /// - Complexity: one atomic exchange; a system call if no wake-up is under way.
  public func wake() {
    guard words.askWake(), words.gate.enter() else { return }
    // Safe: inside the gate the handles are open.
    if let block = unsafe handles { unsafe _ = uv_async_send(&block.pointee.async) }
    words.gate.leave()
  }

  /// Has `alarm` called at `at` nanoseconds of the monotonic clock, unless it will be called earlier anyway; it then says what comes next.
  ///
  /// - Complexity: one atomic minimum; a system call if `at` is earlier than the alarm set.
  public func setAlarm(at: UInt64) {
    LoopHandles.setAlarm(at: at, words, unsafe handles?.pointee.descriptor ?? -1)
  }

  /// `setAlarm` as `Timers` takes it; the context is `alarmContext`.
  public static let alarm: TimerAlarm = { context, at in
    guard let context = unsafe context else { preconditionFailure("an alarm without its loop") }
    // Safe: `alarmContext` is this object, which its owner keeps.
    unsafe Unmanaged<EventLoop>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.setAlarm(at: at) }
  }

  /// The context of `alarm`. The owner keeps the loop for as long as anyone may use it.
  public var alarmContext: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  /// How often the loop woke up for us. For reports.
  public var turns: UInt64 { words.turns }

  private func startThread(_ block: LoopHandles.Block) throws(LoopError) {
    let loop = unsafe UnsafeMutableRawPointer(block).assumingMemoryBound(to: uv_loop_t.self)
    let code = unsafe uv_loop_init(loop)
    guard code == 0 else {
      unsafe LoopHandles.deallocate(block)
      throw LoopError("uv_loop_init", code)
    }
    do throws(LoopError) {
      unsafe try LoopHandles.open(block, on: loop, signals: signals)
      let code = unsafe pthread_create(&thread, nil, Self.body, block)
      guard code == 0 else { throw LoopError("pthread_create", -code) }
    } catch {
      // No thread runs it, so this one does: once, to close what was opened.
      unsafe LoopHandles.close(block)
      unsafe Self.run(loop)
      unsafe LoopHandles.deallocate(block)
      throw error
    }
  }

  /// Runs a loop of our own until all its handles are closed.
  private static func run(_ loop: UnsafeMutablePointer<uv_loop_t>) {
    unsafe uv_run(loop, UV_RUN_DEFAULT)
    let code = unsafe uv_loop_close(loop)
    precondition(code == 0, "handles were left open on the event loop when it was stopped")
  }

  // A plain function: a closure of `start` could be taken for one of its caller's actor.
  private static let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { block in
    guard let block = unsafe block else { return nil }
    unsafe millrace_name_thread("millrace-loop")
    // Safe: the loop is the block's first field.
    unsafe run(block.assumingMemoryBound(to: uv_loop_t.self))
    return nil
  }
}
