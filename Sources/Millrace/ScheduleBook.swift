internal import MillraceCore
internal import MillraceWorkflow

/// The schedules that an engine follows, by number: timers and jobs carry numbers, so that none leads to a schedule that has gone.
@safe final class ScheduleBook: ScheduleRunner, @unchecked Sendable {
  /// Timers of this kind carry the number of a schedule.
  static let timerKind: UInt16 = 0x100
  static let capacity = 65_536

  private let monitor = Monitor()

  // Guarded by the monitor.
  private var entries: [UInt64: ScheduledWorkflow] = [:]
  private var last: UInt64 = 0
  private var adopted: [String: [WorkflowHandle]] = [:]
  private var handler: HandlerIndex?
  private var core: (scheduler: Scheduler, timers: Timers, shard: Int)?
  /// Weak: the engine is let go of when its owner does so, whatever it follows.
  private weak var engine: Engine?

  deinit { monitor.deallocate() }

  /// Before anything else.
  func connect(_ scheduler: Scheduler, _ timers: Timers, shard: Int) { monitor.locked { core = (scheduler, timers, shard) } }

  /// Once the engine is made.
  func serve(_ engine: Engine) { monitor.locked { self.engine = engine } }

  /// Enters a schedule. Throws `EngineError`; `make` gets its number.
  func add(_ make: (UInt64) -> ScheduledWorkflow) throws(EngineError) -> ScheduledWorkflow {
    try monitor.locked { () throws(EngineError) in
      guard entries.count < Self.capacity else { throw .tooManySchedules(limit: Self.capacity) }
      if handler == nil {
        // unsafe: the book is the engine's, and lives until the scheduler has stopped.
        let work = unsafe Handler(
          run: { book, context in
            let number = unsafe context.assumingMemoryBound(to: JobContext.self).pointee.first
            unsafe Unmanaged<ScheduleBook>.fromOpaque(book!).takeUnretainedValue().entry(number)?.work()
            return Outcome.done.rawValue
          }, context: Unmanaged.passUnretained(self).toOpaque())
        guard let index = core?.scheduler.register(work) else { throw .tooManyHandlers(limit: Scheduler.maxHandlers) }
        handler = index
      }
      last += 1
      let entry = make(last)
      entries[last] = entry
      return entry
    }
  }

  private func entry(_ number: UInt64) -> ScheduledWorkflow? { monitor.locked { entries[number] } }

  /// Ends all of them.
  func stop() {
    for entry in monitor.locked({ Array(entries.values) }) { entry.stop() }
  }

  // MARK: ScheduleRunner

  func makeRun(_ definition: Definition, parameters: [String: JSON], tenant: String?, fire: ScheduledFire) throws -> WorkflowHandle {
    guard let engine = monitor.locked({ engine }) else { throw EngineError.stopped }
    return try engine.makeRun(definition, parameters: parameters, tenant: tenant, fire: fire)
  }

  /// A run that another process had started for a schedule goes on: whoever follows the schedule from here on counts it.
  func adopt(_ run: WorkflowHandle, _ schedule: String) { monitor.locked { adopted[schedule, default: []].append(run) } }

  func takeAdopted(_ schedule: String) -> [WorkflowHandle] { monitor.locked { adopted.removeValue(forKey: schedule) ?? [] } }

  func request(_ number: UInt64) {
    guard let (handler, scheduler) = monitor.locked({ handler.flatMap { handler in core.map { (handler, $0.scheduler) } } }) else { return }
    do {
      // Above the work of the runs that it starts.
      try scheduler.submit(JobRequest(handler: handler, priority: 2, first: number))
    } catch {
      // A full engine is asked again later; one that stops has no use for it.
      if case .full = error { _ = arm(number, after: UInt64(ScheduledWorkflow.retryWait)) }
    }
  }

  func arm(_ number: UInt64, after nanoseconds: UInt64) -> TimerHandle {
    guard let core = monitor.locked({ core }) else { return .none }
    do {
      return try core.timers.arm(shard: core.shard, due: core.scheduler.clock.now &+ nanoseconds, value: number, kind: Self.timerKind)
    } catch {
      // Every timer is in use: the schedule is looked at when its next run ends, or at `checkClock`.
      return .none
    }
  }

  func cancel(_ timer: TimerHandle) { _ = monitor.locked({ core })?.timers.cancel(timer) }

  func forget(_ number: UInt64) { monitor.locked { entries[number] = nil } }
}

extension Engine {
  /// Follows the definition's schedule: starts a run at each fire, until it is stopped or the engine is shut down.
  ///
  /// The runs get the schedule's parameters; `parameters` go before them. `state`: as it was stored, to go on after a restart: what was missed meanwhile is
  /// treated as the schedule says. nil: fires from now on; of a durable workflow from where the engine's store says that it was left, and the runs of it that `resume`
  /// went on with count as its own. `observe` is called for each start, on a worker, and must not block.
  ///
  /// `tenant`: whose work the runs are.
  ///
  /// Throws `DefinitionError`, or `EngineError`: it has no schedule, the engine has been shut down, has no such tenant, or follows too many.
  public func schedule(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, state: ScheduleState? = nil,
    observe: (@Sendable (ScheduledWorkflow.Event) -> Void)? = nil
  ) throws -> ScheduledWorkflow {
    guard let schedule = definition.schedule else { throw EngineError.noSchedule(definition.name) }
    let handlers = try handlerTable()
    _ = try tenants.find(tenant)
    _ = try DefinitionChecker(handlers: Set(handlers.keys)).check(definition)
    // What each start would find wrong is told now.
    let first = schedule.next(after: UTCTime(seconds: -1)) ?? UTCTime(seconds: 0)
    _ = try definition.resolve(parameters: schedule.parameters(of: first).merging(parameters) { _, given in given })
    var state = state
    var runs: [WorkflowHandle] = []
    var started: Set<UTCTime> = []
    if definition.durability == .log {
      guard let durable else { throw EngineError.noStore(workflow: definition.name) }
      let recorded = try durable.runs.schedule(definition.name, from: UTCTime(seconds: wallClock() / 1_000_000_000))
      if state == nil { (state, started) = recorded }
      runs = book.takeAdopted(definition.name)
    }
    let scheduled = try book.add { number in
      ScheduledWorkflow(
        definition, schedule, parameters: parameters, tenant: tenant, state: state, number: number, runner: book, clock: wallClock,
        adopting: runs, started: started, observe: observe)
    }
    scheduled.followAdopted()
    scheduled.checkClock()
    return scheduled
  }
}
