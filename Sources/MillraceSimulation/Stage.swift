internal import CMillrace
internal import MillraceCore
internal import MillraceWorkflow

/// What a virtual run is played on.
@safe final class Stage {
  private let definition: Definition
  private let configuration: VirtualRun.Configuration
  private let engine: SteppedEngine
  private let script: Script
  private var scheduler: Scheduler { engine.scheduler }
  /// Tasks of the jobs that wait for their time.
  private var waiting: [UInt64: Int] = [:]
  private var events: [VirtualRun.Event] = []

  init(_ definition: Definition, _ configuration: VirtualRun.Configuration) throws {
    self.definition = definition
    self.configuration = configuration
    script = Script(definition, timeScale: configuration.timeScale)
    // Nobody answers a thief on one thread: it need not wait.
    engine = try SteppedEngine(
      SchedulerConfiguration(
        slots: configuration.slots, workers: configuration.workers, capacity: definition.tasks.count, tenants: 1,
        ordered: configuration.order != .fifo, stealPatience: 0), timers: definition.tasks.count, seed: configuration.seed)
  }

  func play() throws -> (moments: [VirtualRun.Moment], status: WorkflowStatus) {
    let run = try makeRun()
    engine.onTimer = { [unowned self] value, _ in
      if let task = waiting.removeValue(forKey: value) { events.append(VirtualRun.Event(kind: .end, task: task)) }
    }
    defer { engine.onTimer = { _, _ in } }
    try run.start()
    var moments: [VirtualRun.Moment] = []
    while true {
      stepUntilIdle()
      moments.append(VirtualRun.Moment(time: engine.now, events: events, freeSlots: scheduler.freeSlots))
      events = []
      if run.status != .running { return (moments, run.status) }
      guard let due = engine.nextDue else {
        preconditionFailure("the run neither ends nor waits for a time: the scheduler has lost a job")
      }
      engine.advance(to: due)
    }
  }

  private func makeRun() throws -> WorkflowRun {
    var handlers: [String: TaskHandler] = [:]
    for name in Set((definition.tasks + definition.cleanup).map(\.handler)) {
      // unsafe: the script outlives the run.
      guard let index = unsafe scheduler.register(WorkflowRun.handler(for: script.pointer)) else {
        throw SubmitError.unknownHandler(UInt32(handlers.count))
      }
      handlers[name] = unsafe TaskHandler(name: name, index: index, pointer: script.pointer)
    }
    return try WorkflowRun(
      definition, handlers: handlers, order: configuration.order, id: RunID(wall: 0, random: &engine.random), wall: 0,
      seed: configuration.seed, host: engine.host, ended: { _ in })
  }

  /// No worker finds anything to do at this time any more.
  private func stepUntilIdle() {
    engine.stepUntilIdle(
      began: { begun in events.append(VirtualRun.Event(kind: .start, task: Int(begun.second))) },
      ran: { begun, outcome in
        let task = Int(begun.second)
        if outcome == Outcome.pending.rawValue {
          waiting[begun.job.rawValue] = task
        } else {
          events.append(VirtualRun.Event(kind: .end, task: task))
        }
      })
  }
}

/// The one handler of a stage: each task waits for its recorded time, holding a slot and no worker.
@safe private final class Script {
  private let durations: [String: UInt64]
  // unsafe: freed in deinit; its context is this object.
  let pointer: UnsafeMutablePointer<millrace_handler>

  init(_ definition: Definition, timeScale: Double) {
    durations = Dictionary(definition.tasks.map { ($0.id, VirtualRun.duration(of: $0, timeScale: timeScale)) }) { first, _ in first }
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: millrace_handler())
    unsafe pointer.pointee.size = UInt32(MemoryLayout<millrace_handler>.size)
    // unsafe: the stage keeps the script for as long as its scheduler.
    unsafe pointer.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    unsafe pointer.pointee.run = { context, call, outcome in
      // unsafe: the interface gives all three for the call.
      let script = unsafe Unmanaged<Script>.fromOpaque(context!).takeUnretainedValue()
      return unsafe script.wait(call!, outcome!)
    }
  }

  deinit { unsafe pointer.deallocate() }

  private func wait(_ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    let duration = unsafe durations[String(cString: call.pointee.task_id)] ?? 0
    if duration == 0 { return UInt32(MILLRACE_DONE) }
    let host = unsafe call.pointee.host!
    let token = unsafe host.pointee.token(call.pointee.attempt)
    unsafe outcome.pointee.status = UInt32(MILLRACE_DONE)
    let isTaken = unsafe host.pointee.complete_after(host, token, duration, outcome) == 0
    return isTaken ? UInt32(MILLRACE_PENDING) : UInt32(MILLRACE_FAILED)
  }
}
