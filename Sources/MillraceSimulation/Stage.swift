internal import CMillrace
internal import MillraceCore
internal import MillraceWorkflow

/// An engine without threads: what a virtual run is played on.
@safe final class Stage {
  private let definition: Definition
  private let configuration: VirtualRun.Configuration
  private let clock = VirtualClock()
  private let scheduler: Scheduler
  private let host: TaskHost
  private let script: Script
  private var timers: Timers!
  private var random: Seed
  private var hasEnded = false
  /// Tasks of the jobs that wait for their time.
  private var waiting: [UInt64: Int] = [:]
  private var events: [VirtualRun.Event] = []

  init(_ definition: Definition, _ configuration: VirtualRun.Configuration) throws {
    self.definition = definition
    self.configuration = configuration
    random = Seed(configuration.seed)
    host = TaskHost(version: "simulation")
    script = Script(definition, timeScale: configuration.timeScale)
    // Nobody answers a thief on one thread: it need not wait.
    scheduler = try Scheduler(
      SchedulerConfiguration(
        slots: configuration.slots, workers: configuration.workers, capacity: definition.tasks.count, tenants: 1,
        ordered: configuration.order != .fifo, stealPatience: 0), clock: clock.clock)
    // unsafe: the timers are this stage's, advanced by `play` only.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    timers = unsafe try Timers(
      shards: configuration.workers + 1, capacity: definition.tasks.count, context: context,
      sink: { context, value, kind, _ in
        // unsafe: the stage that owns the timers.
        unsafe Unmanaged<Stage>.fromOpaque(context!).takeUnretainedValue().fire(value, kind)
      })
    host.connect(scheduler, timers: timers, sharedShard: configuration.workers)
  }

  func play() throws -> (moments: [VirtualRun.Moment], status: WorkflowStatus) {
    let run = try makeRun()
    let count = configuration.workers
    // Noncopyable workers in fixed places.
    let workers = UnsafeMutablePointer<Worker>.allocate(capacity: count)
    for i in 0..<count { unsafe (workers + i).initialize(to: scheduler.makeWorker(i)) }
    defer {
      for i in 0..<count { unsafe workers[i].retire() }
      unsafe workers.deinitialize(count: count)
      unsafe workers.deallocate()
    }
    try run.start()
    var moments: [VirtualRun.Moment] = []
    while true {
      unsafe stepUntilIdle(workers)
      moments.append(VirtualRun.Moment(time: clock.now, events: events, freeSlots: scheduler.freeSlots))
      events = []
      if run.status != .running { return (moments, run.status) }
      let due = timers.nextDue
      precondition(due != Timers.never, "the run neither ends nor waits for a time: the scheduler has lost a job")
      clock.move(to: due)
      timers.advance(to: due)
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
    var limits: [String: UInt32] = [:]
    return try WorkflowRun(
      definition, handlers: handlers, order: configuration.order, id: RunID(wall: 0, random: &random), wall: 0, seed: configuration.seed,
      host: host,
      limit: { [scheduler] key, count in
        if limits[key] == nil { limits[key] = scheduler.makeLimit(count) }
        return limits[key]
      }, ended: { _ in })
  }

  /// No worker finds anything to do at this time any more.
  private func stepUntilIdle(_ workers: UnsafeMutablePointer<Worker>) {
    var order = Array(0..<configuration.workers)
    var found = true
    while found {
      found = false
      order.shuffle(using: &random)
      for i in order {
        guard let begun = unsafe workers[i].begin() else {
          unsafe workers[i].settleCounts()
          continue
        }
        found = true
        let task = Int(begun.second)
        events.append(VirtualRun.Event(kind: .start, task: task))
        let outcome = unsafe workers[i].run(begun)
        if outcome == Outcome.pending.rawValue {
          waiting[begun.job.rawValue] = task
        } else {
          events.append(VirtualRun.Event(kind: .end, task: task))
        }
        unsafe workers[i].finish(begun, outcome)
      }
    }
  }

  private func fire(_ value: UInt64, _ kind: UInt16) {
    if let task = waiting.removeValue(forKey: value) { events.append(VirtualRun.Event(kind: .end, task: task)) }
    WorkflowRun.fire(host, value: value, kind: kind)
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

/// A small generator with a seed. (Steele, Lea and Flood, "SplitMix", 2014.)
struct Seed: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
