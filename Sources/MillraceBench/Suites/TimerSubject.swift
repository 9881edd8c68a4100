internal import MillraceCore

/// A request is a timer. It should fire `delay` after it should have been armed: its latency is how late it does, and one that is early has failed.
@safe final class TimerSubject: SubjectOwner {
  /// Nanoseconds.
  static let delay: UInt64 = 1_000_000

  private var runtime: Runtime?
  private let meter: Meter

  init(_ settings: SuiteSettings, _ meter: Meter) throws(BenchError) {
    self.meter = meter
    // unsafe: this object outlives the runtime's threads, which `stop` ends.
    let hooks = unsafe RuntimeHooks(
      context: Unmanaged.passUnretained(self).toOpaque(),
      timer: { context, value, _, due in
        unsafe Unmanaged<TimerSubject>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.fired(value, due) }
      })
    var configuration = settings.core
    configuration.timers = SuiteSettings.capacity
    runtime = try .started(configuration, hooks)
  }

  private func fired(_ intended: UInt64, _ due: UInt64) {
    meter.end(Ticket(intended: intended, sent: due), isDone: meter.clock.now >= due)
  }

  var subject: Subject {
    // unsafe: as in `init`.
    unsafe Subject(context: Unmanaged.passUnretained(self).toOpaque()) { context, intended, sent in
      unsafe Unmanaged<TimerSubject>.fromOpaque(context)._withUnsafeGuaranteedRef { owner in
        guard let runtime = owner.runtime else { return false }
        do {
          _ = try runtime.timers.arm(
            shard: runtime.sharedTimerShard, due: sent &+ TimerSubject.delay, value: intended &+ TimerSubject.delay, kind: 0, now: sent)
          return true
        } catch {
          return false
        }
      }
    }
  }

  func stop() { runtime?.stop() }
}
