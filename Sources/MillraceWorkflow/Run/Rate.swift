internal import MillraceCore

/// How many attempts of tasks with one key start in a time, and the line of those that must wait.
///
/// A task meets its rate with a slot, as the last thing before its attempt: what counts is when attempts start. One that may not start yet gives slot
/// and permits back and stands in line, higher priorities first, then those that came first. When the first may start it is *called*: it goes into the queue of the
/// core again, and the next is called when it has started, or has ended without. Nobody of its priority or a lower one starts before it.
///
/// # Threads
/// Any, behind a lock of its own; no run is called with it held.
@safe final class Rate: @unchecked Sendable {
  let key: String
  /// Compiled workflows that name it. Under the lock of the `KeyTable`.
  var users = 0
  private let timers: RateTimers
  private let monitor = Monitor()

  // Guarded by the monitor.
  private var clock: RateClock
  private var lines: [PacedLine] = Array(repeating: PacedLine(), count: Priority.allCases.count)
  private var called: PacedTask?
  private var timer = TimerHandle.none

  init(_ settings: RateLimit, _ timers: RateTimers) {
    key = settings.key
    self.timers = timers
    clock = RateClock(settings)
  }

  deinit { monitor.deallocate() }

  func set(_ settings: RateLimit) { monitor.locked { clock.set(settings) } }

  var isRecovered: Bool { monitor.locked { clock.isRecovered(at: timers.now) } }

  /// An attempt is about to start: `task` if it was called. False: it must wait, and is to `join`.
  func start(priority: UInt8, called task: PacedTask?) -> Bool {
    let (starts, step): (Bool, Step) = monitor.locked {
      let isCalled = task != nil && called === task
      if !isCalled, hasLine(from: priority) || called.map({ $0.priority >= priority }) ?? false { return (false, .none) }
      guard clock.start(at: timers.now) else { return (false, .none) }
      guard isCalled else { return (true, .none) }
      called = nil
      task?.place = .gone
      return (true, next())
    }
    take(step)
    return starts
  }

  /// Stands in line: in front if it had been called.
  func join(_ task: PacedTask) {
    let step: Step = monitor.locked {
      // It has ended meanwhile.
      if task.place == .gone { return .none }
      let wasCalled = called === task
      if wasCalled { called = nil }
      lines[Int(task.priority)].insert(task, atFront: wasCalled)
      task.place = .line
      return next()
    }
    take(step)
  }

  /// It does not wait any more, nor is it called. Any number of times.
  func leave(_ task: PacedTask) {
    let step: Step = monitor.locked {
      if task.place == .line { lines[Int(task.priority)].remove(task) }
      task.place = .gone
      if called === task { called = nil }
      return next()
    }
    take(step)
  }

  /// The timer fired.
  func fire() {
    let step: Step = monitor.locked {
      timer = .none
      return next()
    }
    take(step)
  }

  // MARK: The first of the line

  private enum Step {
    case none
    case call(PacedTask)
    /// There is no timer for it to wait with.
    case fail(PacedTask, String)
  }

  private func hasLine(from priority: UInt8) -> Bool { lines[Int(priority)...].contains { $0.first != nil } }

  /// Calls the first of the line, or sees to it that it will be. With the monitor held.
  private func next() -> Step {
    if called != nil { return .none }
    guard let first = lines.last(where: { $0.first != nil })?.first else {
      if timer != .none, timers.cancel(timer) { unsafe Unmanaged.passUnretained(self).release() }
      timer = .none
      return .none
    }
    let due = clock.due
    if due > timers.now {
      // One that was armed for an earlier moment looks again when it fires.
      if timer != .none { return .none }
      do {
        // unsafe: retained for the timer, which gives it back when it fires, or is cancelled.
        timer = try timers.arm(at: due, value: unsafe UInt64(UInt(bitPattern: Unmanaged.passRetained(self).toOpaque())))
        return .none
      } catch {
        unsafe Unmanaged.passUnretained(self).release()
        lines[Int(first.priority)].remove(first)
        first.place = .gone
        return .fail(first, "\(error)")
      }
    }
    lines[Int(first.priority)].remove(first)
    first.place = .called
    called = first
    return .call(first)
  }

  /// With no lock held.
  private func take(_ step: Step) {
    var step = step
    while true {
      switch step {
      case .none: return
      case .call(let task):
        if task.run.call(task) { return }
        // It has ended meanwhile.
        step = monitor.locked {
          task.place = .gone
          if called === task { called = nil }
          return next()
        }
      case .fail(let task, let reason):
        task.run.failPaced(task, reason)
        step = monitor.locked { next() }
      }
    }
  }

  /// unsafe: `value` is that of a timer of `arm`, which has fired.
  @unsafe static func fire(value: UInt64) {
    unsafe Unmanaged<Rate>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(value))!).takeRetainedValue().fire()
  }
}

/// A task that its rate or its breaker has made wait, until it starts or ends. `place`, `next` and `previous`: under their lock.
final class PacedTask: @unchecked Sendable {
  enum Place { case none, line, called, gone }

  let run: WorkflowRun
  let node: UInt32
  let priority: UInt8
  var place = Place.none
  fileprivate var next: PacedTask?
  fileprivate unowned(unsafe) var previous: PacedTask?

  init(_ run: WorkflowRun, _ node: UInt32, priority: UInt8) {
    self.run = run
    self.node = node
    self.priority = priority
  }
}

/// Those of one priority, in order.
@safe struct PacedLine {
  private(set) var first: PacedTask?
  private unowned(unsafe) var last: PacedTask?

  mutating func insert(_ task: PacedTask, atFront: Bool) {
    if atFront {
      task.next = first
      if let first { unsafe first.previous = task } else { unsafe last = task }
      first = task
    } else {
      unsafe task.previous = last
      if let last = unsafe last { last.next = task } else { first = task }
      unsafe last = task
    }
  }

  mutating func remove(_ task: PacedTask) {
    let next = task.next
    if let next { unsafe next.previous = task.previous } else { unsafe last = task.previous }
    if let previous = unsafe task.previous { previous.next = next } else { first = next }
    task.next = nil
    unsafe task.previous = nil
  }
}

/// What rates and breakers wait with: the engine's timers.
final class RateTimers: Sendable {
  private let clock: Clock
  private let timers: Timers
  private let shard: Int

  init(_ clock: Clock, _ timers: Timers, shard: Int) {
    self.clock = clock
    self.timers = timers
    self.shard = shard
  }

  var now: UInt64 { clock.now }

  func arm(at due: UInt64, value: UInt64, kind: UInt16 = TimerKind.rate) throws(TimerFull) -> TimerHandle {
    try timers.arm(shard: shard, due: due, value: value, kind: kind)
  }

  /// True: it will not fire any more.
  func cancel(_ timer: TimerHandle) -> Bool { timers.cancel(timer) }
}
