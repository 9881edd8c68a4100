public import MillraceBroker
internal import MillraceCore

/// What a breaker shows: `Engine.breakers`.
public struct BreakerState: Sendable, Hashable {
  /// What fails or works as one.
  public let destination: String
  /// What it does with attempts.
  public let state: BreakerMachine.State
  /// While it is open, how long until canaries are let through, nanoseconds; 0: it is not open.
  public let opensAgainIn: UInt64
  /// Times that it has opened since it was last closed.
  public let openings: Int
  /// Tasks that it has parked.
  public let parked: Int
}

/// A circuit breaker, and a retry budget, for all who call one destination. A task meets it with a slot, as the last thing before its attempt: while the destination fails the task is parked without
/// slot, permits, thread or attempt, higher priorities first, then those that came first, and is *called* when it may ask again. Messages go back to their queue instead.
///
/// # Threads
/// Any, behind a lock of its own; no run is called with it held.
@safe package final class Breaker: @unchecked Sendable {
  package let destination: String
  /// Compiled workflows and consumers that name it. Under the lock of the `KeyTable`.
  var users = 0
  private let timers: RateTimers
  private let monitor = Monitor()

  // Guarded by the monitor.
  private var machine: BreakerMachine
  private var budget: RetryBudget?
  private var lines: [PacedLine] = Array(repeating: PacedLine(), count: Priority.allCases.count)
  private var parkedCount = 0
  /// Called, and neither asked again nor gone.
  private var calledCount = 0
  private var timer = TimerHandle.none

  init(_ policy: BreakerPolicy, _ timers: RateTimers) {
    destination = policy.destination
    self.timers = timers
    machine = BreakerMachine(policy.breaker)
    budget = policy.retryBudget.map { RetryBudget(ratio: $0.ratio, least: $0.least, window: $0.per) }
  }

  deinit { monitor.deallocate() }

  var shown: BreakerState {
    monitor.locked {
      let isOpen = machine.state == .open
      return BreakerState(
        destination: destination, state: machine.state, opensAgainIn: isOpen ? machine.opensUntil - min(machine.opensUntil, timers.now) : 0,
        openings: machine.openings, parked: parkedCount)
    }
  }

  /// Nothing is lost if a new one takes its place.
  var isForgettable: Bool { monitor.locked { machine.state == .closed && parkedCount == 0 && calledCount == 0 } }

  // MARK: Attempts

  /// An attempt would be made: `task` if it was called. nil: it must wait, and is to `join`.
  func ask(called task: PacedTask?) -> BreakerMachine.Ticket? {
    monitor.locked {
      let isCalled = task?.place == .called
      if isCalled {
        calledCount -= 1
        task?.place = .none
      }
      // Nobody passes those that wait.
      if !isCalled, machine.state != .closed, parkedCount + calledCount > 0 { return nil }
      guard case .go(let ticket) = machine.ask(timers.now) else { return nil }
      if isCalled { task?.place = .gone }
      return ticket
    }
  }

  /// An attempt that was let through has ended. nil: it was broken off, and says nothing.
  func tell(_ ticket: BreakerMachine.Ticket, isFailure: Bool?) {
    change {
      if let isFailure { machine.tell(ticket, isFailure: isFailure, timers.now) } else { machine.withdraw(ticket) }
    }
  }

  /// For who cannot stand in line: how long to wait before asking again, nanoseconds.
  var patience: UInt64 {
    monitor.locked {
      if machine.state == .open, machine.opensUntil > timers.now { return machine.opensUntil - timers.now }
      return min(max(machine.configuration.openFor / 16, 1_000_000), 1_000_000_000)
    }
  }

  /// A first attempt is made.
  func countAttempt() { monitor.locked { budget?.attempt(timers.now) } }

  /// Whether one more retry may be made; if so it counts.
  package func mayRetry() -> Bool { monitor.locked { budget?.mayRetry(timers.now) ?? true } }

  /// Nanoseconds after which a retry may be had again that there is no budget for.
  package var budgetWindow: UInt64 { monitor.locked { budget?.window ?? 0 } }

  // MARK: The line

  /// Stands in line: in front if it had been called.
  func join(_ task: PacedTask, wasCalled: Bool) {
    change {
      // It has ended meanwhile.
      if task.place == .gone { return }
      lines[Int(task.priority)].insert(task, atFront: wasCalled)
      task.place = .line
      parkedCount += 1
    }
  }

  /// It does not wait any more, nor is it called. Any number of times.
  func leave(_ task: PacedTask) {
    change {
      switch task.place {
      case .line:
        lines[Int(task.priority)].remove(task)
        parkedCount -= 1
      case .called: calledCount -= 1
      case .none, .gone: break
      }
      task.place = .gone
    }
  }

  /// Does something under the monitor, then calls those that may ask again, without it.
  private func change(_ body: () -> Void) {
    monitor.locked(body)
    while true {
      let (task, failure): (PacedTask?, String?) = monitor.locked { next() }
      guard let task else { return }
      if let failure {
        task.run.failParked(task, failure)
      } else if !task.run.callParked(task) {
        // It has ended meanwhile.
        monitor.locked {
          if task.place == .called { calledCount -= 1 }
          task.place = .gone
        }
      }
    }
  }

  /// The first of the line, if it may ask; or why there is nothing to wait with. With the monitor held.
  private func next() -> (PacedTask?, String?) {
    guard let line = lines.lastIndex(where: { $0.first != nil }), let first = lines[line].first else {
      if timer != .none, timers.cancel(timer) { unsafe Unmanaged.passUnretained(self).release() }
      timer = .none
      return (nil, nil)
    }
    var failure: String?
    if machine.room(timers.now) <= calledCount {
      // Canaries come back by themselves; what is open is looked at again by a timer.
      guard machine.state == .open, machine.opensUntil > timers.now, timer == .none else { return (nil, nil) }
      do {
        // unsafe: retained for the timer, which gives it back when it fires, or is cancelled.
        timer = try timers.arm(
          at: machine.opensUntil, value: unsafe UInt64(UInt(bitPattern: Unmanaged.passRetained(self).toOpaque())), kind: TimerKind.breaker)
        return (nil, nil)
      } catch {
        unsafe Unmanaged.passUnretained(self).release()
        failure = "\(error)"
      }
    }
    lines[line].remove(first)
    parkedCount -= 1
    if failure == nil { calledCount += 1 }
    first.place = failure == nil ? .called : .gone
    return (first, failure)
  }

  /// unsafe: `value` is that of a timer of `next`, which has fired.
  @unsafe static func fire(value: UInt64) {
    let breaker = unsafe Unmanaged<Breaker>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(value))!).takeRetainedValue()
    breaker.change { breaker.timer = .none }
  }
}
