import CMillrace
import Glibc
import MillraceCore
import Synchronization

/// Counts what a loop calls, and lets a test wait for the next call on a futex: events pace the test, never the clock.
@safe
final class LoopProbe: @unchecked Sendable {
  private let word: UnsafeMutablePointer<Atomic<UInt32>>
  let wakes = Atomic<Int>(0)
  let alarms = Atomic<Int>(0)
  let signals = Atomic<Int>(0)
  let signalNumber = Atomic<Int32>(0)
  let thread = Atomic<Int32>(0)
  /// What the alarm callback does; returns what comes next. Set before the loop starts.
  nonisolated(unsafe) var onAlarm: () -> UInt64 = { Timers.never }
  nonisolated(unsafe) var onWake: () -> Void = {}

  init() {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: Atomic(0))
  }

  deinit { unsafe word.deallocate() }

  var callbacks: LoopCallbacks {
    unsafe LoopCallbacks(
      context: Unmanaged.passUnretained(self).toOpaque(),
      wake: { context in unsafe LoopProbe.of(context).called(.wakes) { unsafe $0.onWake() } },
      alarm: { context in
        var next = Timers.never
        unsafe LoopProbe.of(context).called(.alarms) { next = unsafe $0.onAlarm() }
        return next
      },
      signal: { context, number in
        unsafe LoopProbe.of(context).called(.signals) { $0.signalNumber.store(number, ordering: .releasing) }
      })
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> LoopProbe {
    guard let context = unsafe context else { preconditionFailure("no context") }
    return unsafe Unmanaged<LoopProbe>.fromOpaque(context).takeUnretainedValue()
  }

  private enum Counter { case wakes, alarms, signals }

  private func called(_ counter: Counter, _ body: (LoopProbe) -> Void) {
    thread.store(millrace_thread_id(), ordering: .releasing)
    body(self)
    switch counter {
    case .wakes: wakes.add(1, ordering: .releasing)
    case .alarms: alarms.add(1, ordering: .releasing)
    case .signals: signals.add(1, ordering: .releasing)
    }
    unsafe word.pointee.add(1, ordering: .releasing)
    _ = unsafe millrace_futex_wake(word, .max)
  }

  /// Sleeps until `isSo`, which a callback of the loop makes true.
  func wait(until isSo: () -> Bool) {
    while true {
      let seen = unsafe word.pointee.load(ordering: .acquiring)
      if isSo() { return }
      _ = unsafe millrace_futex_wait(word, seen, -1)
    }
  }
}
