internal import CMillrace
internal import MillraceCore
public import MillraceWorkflow

/// A workflow whose schedule an engine follows. Any thread.
///
/// A timer of the engine's waits for the next fire, and for a minute at most: the wall clock is read again then, so that a clock that was set, or a machine
/// that slept, is noticed. Nothing wakes up when no schedule is followed. A fire is a job of its own that starts the run on a worker.
@safe public final class ScheduledWorkflow: @unchecked Sendable {
  /// What became of a fire.
  public enum Event: Sendable {
    /// A run was started for this fire.
    case started(UTCTime, WorkflowHandle)
    /// No run could be started for this fire, and none will be.
    case refused(UTCTime, any Error)
  }

  /// Longest time between two looks at the clock, nanoseconds.
  static let longestWait: Int64 = 60_000_000_000
  /// An engine that was full is asked again after this, nanoseconds.
  static let retryWait: Int64 = 100_000_000

  /// What is started at each fire.
  public let definition: Definition
  private let schedule: Schedule
  private let parameters: [String: JSON]
  private let tenant: String?
  private let clock: @Sendable () -> Int64
  private let runner: any ScheduleRunner
  private let observe: (@Sendable (Event) -> Void)?
  let number: UInt64
  private let monitor = Monitor()

  // Guarded by the monitor.
  private var progress: ScheduleState
  private var queue: ScheduleQueue
  private var runs: [WorkflowHandle] = []
  private var timer = TimerHandle.none
  private var isPaused = false
  private var isStopped = false
  private var missed = 0
  private var endedRuns = 0
  /// Fires to come whose runs another process has started.
  private var started: Set<UTCTime>
  /// Runs that are made, and that the engine had no room for.
  private var made: [UTCTime: [WorkflowHandle]] = [:]

  init(
    _ definition: Definition, _ schedule: Schedule, parameters: [String: JSON], tenant: String?, state: ScheduleState?, number: UInt64,
    runner: any ScheduleRunner,
    clock: @escaping @Sendable () -> Int64, adopting runs: [WorkflowHandle] = [], started: Set<UTCTime> = [],
    observe: (@Sendable (Event) -> Void)?
  ) {
    (self.definition, self.schedule, self.parameters, self.number) = (definition, schedule, parameters, number)
    (self.tenant, self.runner, self.clock, self.observe) = (tenant, runner, clock, observe)
    progress = state ?? ScheduleState(handled: UTCTime(seconds: clock() / 1_000_000_000))
    queue = ScheduleQueue(overlap: schedule.overlap)
    queue.adopt(runs.count)
    self.runs = runs
    self.started = started
  }

  /// Runs of another process that go on: whoever follows the schedule hears of their ends.
  func followAdopted() {
    for run in monitor.locked({ runs }) { run.whenFinished { [self] _ in ended() } }
  }

  deinit { monitor.deallocate() }

  // MARK: Looking

  /// How far the schedule has been followed: store it, and give it to `Engine.schedule` to go on from there.
  public var state: ScheduleState { monitor.locked { progress } }

  /// The next fire; nil: there is none any more, or it was stopped.
  public var nextFire: UTCTime? { monitor.locked { isStopped ? nil : schedule.next(after: progress.handled) } }

  /// Runs that it started and that go on.
  public var activeRuns: [WorkflowHandle] { monitor.locked { runs.filter { !$0.isOver } } }

  /// Fires that wait for a run to end.
  public var waitingFires: Int { monitor.locked { queue.waitingCount } }

  /// Fires for which no run was started, because they were missed or a run went on.
  public var passedOver: Int { monitor.locked { missed + queue.passedOver } }

  // MARK: Steering

  /// Nothing starts any more until `resume`. What was missed then is treated as `missed` says.
  public func pause() {
    monitor.locked {
      isPaused = true
      disarm()
    }
  }

  /// Goes on after `pause`; any number of times.
  public func resume() {
    monitor.locked { isPaused = false }
    checkClock()
  }

  /// Follows the schedule no longer; runs that were started go on. Any number of times.
  public func stop() {
    monitor.locked {
      isStopped = true
      queue.clear()
      disarm()
    }
    runner.forget(number)
  }

  /// Looks at the clock now, as is done once a minute: for hosts that are told when it was set.
  public func checkClock() { runner.request(number) }

  /// Starts a run for each fire of that time, oldest first, one after the other (at once if `overlap` is `allow`), beside what the schedule starts.
  ///
  /// - Returns: how many fires there are.
  /// - Throws: `ScheduleError` if there are more than `Schedule.maximumWaiting`, and then none is started.
  @discardableResult
  public func backfill(_ range: Range<UTCTime>) throws(ScheduleError) -> Int {
    let most = Schedule.maximumWaiting
    let fires = Array(schedule.fires(in: range).prefix(most + 1))
    guard fires.count <= most else {
      throw ScheduleError(
        "more than \(most) fires from \(range.lowerBound) to \(range.upperBound)", fix: "fill in a shorter time, one after the other")
    }
    let actions = monitor.locked { isStopped ? [] : fires.flatMap { queue.makeUp($0, isFilled: true) } }
    carryOut(actions)
    return fires.count
  }

  // MARK: Working, on a worker of the engine

  /// Looks at the clock, starts what is due, and waits for the next fire.
  func work() {
    let actions: [ScheduleQueue.Action] = monitor.locked {
      // What has ended is looked at when it goes on.
      if isStopped || isPaused { return [] }
      let now = clock()
      let look = progress.look(schedule, name: definition.name, now: now)
      missed += look.passedOver
      var actions = takeEnded() + queue.pump()
      for fire in look.madeUp where started.remove(fire) == nil { actions += queue.makeUp(fire) }
      for fire in look.fires where started.remove(fire) == nil { actions += queue.offer(fire) }
      arm(look.wake.map { max(0, min($0 - now, Self.longestWait)) })
      return actions
    }
    carryOut(actions)
  }

  /// Lets go of runs that have ended. With the monitor held.
  private func settle() {
    let before = runs.count
    runs.removeAll { $0.isOver }
    endedRuns += before - runs.count
  }

  /// With the monitor held. Runs are asked, too: one whose end has not been told yet holds up no fire.
  private func takeEnded() -> [ScheduleQueue.Action] {
    settle()
    defer { endedRuns = 0 }
    return (0..<endedRuns).flatMap { _ in queue.ended() }
  }

  private func carryOut(_ actions: [ScheduleQueue.Action]) {
    var rest = actions[...]
    while let action = rest.popFirst() {
      switch action {
      case .cancelRuns: for run in activeRuns { run.cancel() }
      case .start(let fire): rest += start(fire)
      }
    }
  }

  private func start(_ fire: UTCTime) -> [ScheduleQueue.Action] {
    do {
      let run = try run(of: fire)
      do { try run.run.start() } catch  where ScheduledWorkflow.isFull(error) {
        monitor.locked { made[fire, default: []].append(run) }
        throw error
      }
      monitor.locked { runs.append(run) }
      observe?(.started(fire, run))
      run.whenFinished { [self] _ in ended() }
      return []
    } catch let error where ScheduledWorkflow.isFull(error) {
      monitor.locked {
        queue.putBack(fire)
        arm(Self.retryWait)
      }
      return []
    } catch {
      observe?(.refused(fire, error))
      return monitor.locked {
        queue.settle(fire)
        return queue.ended()
      }
    }
  }

  /// One for each fire, though it may have to be started more than once.
  private func run(of fire: UTCTime) throws -> WorkflowHandle {
    if let run = monitor.locked({ made[fire]?.popLast() }) { return run }
    let (followed, isFilled) = monitor.locked { (queue.followed(with: fire, handled: progress.handled), !queue.owes(fire)) }
    let run = try runner.makeRun(
      definition, parameters: schedule.parameters(of: fire).merging(parameters) { _, given in given }, tenant: tenant,
      fire: ScheduledFire(fire, followed: followed, isFilled: isFilled))
    monitor.locked { queue.settle(fire) }
    return run
  }

  /// The engine takes the run later.
  static func isFull(_ error: any Error) -> Bool {
    if case SubmitError.full = error { return true }
    return error is RunLineFull
  }

  private func ended() {
    monitor.locked { settle() }
    runner.request(number)
  }

  // MARK: The timer

  /// With the monitor held. nil: nothing fires any more.
  private func arm(_ wait: Int64?) {
    disarm()
    guard let wait, !isStopped, !isPaused else { return }
    timer = runner.arm(number, after: UInt64(wait))
  }

  /// With the monitor held.
  private func disarm() {
    if timer != .none { runner.cancel(timer) }
    timer = .none
  }
}

extension WorkflowHandle {
  fileprivate var isOver: Bool {
    switch status {
    case .created, .running: false
    case .completed, .failed, .cancelled: true
    }
  }
}

/// What a followed schedule needs of its engine.
protocol ScheduleRunner: Sendable {
  /// Also recorded, if it is durable: if it is not started here, then by the next process.
  func makeRun(_ definition: Definition, parameters: [String: JSON], tenant: String?, fire: ScheduledFire) throws -> WorkflowHandle
  /// Has `work` called on a worker soon.
  func request(_ number: UInt64)
  /// Has `work` called after so many nanoseconds.
  func arm(_ number: UInt64, after nanoseconds: UInt64) -> TimerHandle
  func cancel(_ timer: TimerHandle)
  func forget(_ number: UInt64)
}
