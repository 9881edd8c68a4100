import Glibc
import MillraceCore
import Testing

@testable import MillraceBroker

/// A broker on a runtime of its own.
final class JobBed {
  let runtime: Runtime
  let broker: Broker
  private let hooks = Hooks()

  /// The runtime's timers lead to the broker.
  private final class Hooks: @unchecked Sendable {
    weak var broker: Broker?
  }

  init(_ change: (inout RuntimeConfiguration) -> Void = { _ in }, broker configure: (inout BrokerConfiguration) -> Void = { _ in }) throws {
    var configuration = RuntimeConfiguration(slots: 2, threads: 2, capacity: 10_000, wait: .park)
    change(&configuration)
    runtime = unsafe try Runtime(
      configuration,
      hooks: RuntimeHooks(
        context: Unmanaged.passUnretained(hooks).toOpaque(),
        timer: { context, value, kind, _ in
          // unsafe: the bed keeps the hooks for as long as the runtime.
          if kind == Broker.timerKind { unsafe Unmanaged<Hooks>.fromOpaque(context!).takeUnretainedValue().broker?.timerFired(value) }
        }))
    var brokerConfiguration = BrokerConfiguration()
    brokerConfiguration.messageBytes = 64 << 20
    configure(&brokerConfiguration)
    broker = try Broker(
      brokerConfiguration,
      host: BrokerHost(
        clock: runtime.scheduler.clock, wall: { 0 }, scheduler: runtime.scheduler, timers: runtime.timers,
        timerShard: runtime.sharedTimerShard))
    hooks.broker = broker
    try runtime.start()
  }

  deinit { runtime.stop() }

  func declare(_ name: String, _ change: (inout QueueConfiguration) -> Void = { _ in }) throws {
    var configuration = QueueConfiguration()
    change(&configuration)
    try broker.declare(queue: BrokerName(name), configuration)
  }

  /// Whether it becomes true; a minute is waited at most.
  func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let end = Clock.monotonic.now + 60_000_000_000
    while try !condition() {
      guard Clock.monotonic.now < end else { return false }
      sched_yield()
    }
    return true
  }
}

/// What threads tell each other: counts that can be waited for, and texts.
final class Notes: @unchecked Sendable {
  private let monitor = Monitor()
  private var all: [String] = []

  deinit { monitor.deallocate() }

  func add(_ text: String) {
    monitor.locked {
      all.append(text)
      monitor.broadcast(.ended)
    }
  }

  var texts: [String] { monitor.locked { all } }

  /// Sleeps until there are so many; a minute at most. All of them.
  func wait(for count: Int) -> [String] {
    let end = Clock.monotonic.now + 60_000_000_000
    return monitor.locked {
      while all.count < count, monitor.wait(.ended, until: end) {}
      return all
    }
  }
}
