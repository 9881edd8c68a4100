import CMillrace

@testable import MillraceCore
@testable import MillraceWorkflow

/// What a handler of a test is given: the call and the outcome of `millrace/plugin.h`.
@safe struct RawCall {
  let call: UnsafePointer<millrace_call>
  let outcome: UnsafeMutablePointer<millrace_outcome>

  var attempt: OpaquePointer { unsafe call.pointee.attempt! }
  var host: UnsafePointer<millrace_host> { unsafe call.pointee.host! }
  var number: Int { unsafe Int(call.pointee.attempt_number) }
  var key: String { unsafe String(cString: call.pointee.task_key) }
  var task: String { unsafe String(cString: call.pointee.task_id) }
  var isCancelled: Bool { unsafe host.pointee.cancelled(attempt) != 0 }

  func heartbeat(_ perMille: UInt32 = 500) { unsafe host.pointee.heartbeat(attempt, perMille) }
  func token() -> millrace_token { unsafe host.pointee.token(attempt) }
  func hold() -> HeldAttempt { unsafe HeldAttempt(token: token(), call: attempt, host: host) }

  var inputCount: Int { unsafe Int(host.pointee.input_count(attempt)) }
  /// The bytes of an input as text.
  func input(_ index: Int) -> String {
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    guard unsafe host.pointee.input(attempt, UInt32(index), &input) == 0 else { return "no input \(index)" }
    return unsafe String(decoding: UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)), as: UTF8.self)
  }

  /// Ends the attempt with a text as its output.
  func done(_ text: String, _ type: Int = MILLRACE_TEXT) -> UInt32 {
    let bytes = Array(text.utf8)
    if let target = unsafe host.pointee.claim(attempt, UInt64(bytes.count), UInt32(type), &outcome.pointee.output) {
      unsafe target.copyMemory(from: bytes, byteCount: bytes.count)
    }
    return end(MILLRACE_DONE)
  }

  func retry(_ type: String = "flaky", after: UInt64 = 0) -> UInt32 {
    unsafe outcome.pointee.retry_after = after
    return end(MILLRACE_RETRY, type)
  }

  func end(_ status: Int, _ type: String = "") -> UInt32 {
    unsafe withUnsafeMutableBytes(of: &outcome.pointee.error_type) { target in
      for (i, byte) in type.utf8.enumerated() { unsafe target[i] = byte }
    }
    unsafe outcome.pointee.status = UInt32(status)
    return UInt32(status)
  }
}

/// What the holder of a token keeps.
@safe struct HeldAttempt: @unchecked Sendable {
  let token: millrace_token
  let call: OpaquePointer
  let host: UnsafePointer<millrace_host>

  var isCancelled: Bool { unsafe host.pointee.cancelled(call) != 0 }
  func heartbeat(_ perMille: UInt32 = 1) { unsafe host.pointee.heartbeat(call, perMille) }
  /// The attempt's input as the host gives it now, by reading all its bytes.
  func input(_ index: UInt32) -> String? {
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    guard unsafe host.pointee.input(call, index, &input) == 0 else { return nil }
    return unsafe String(decoding: UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)), as: UTF8.self)
  }
  /// An outcome with a text that is claimed from here.
  func fill(_ outcome: inout millrace_outcome, _ text: String) {
    let bytes = Array(text.utf8)
    guard let target = unsafe host.pointee.claim(call, UInt64(bytes.count), UInt32(MILLRACE_TEXT), &outcome.output) else { return }
    unsafe target.copyMemory(from: bytes, byteCount: bytes.count)
  }
}

/// A handler of a test behind the plugin interface.
@safe final class RawHandler: @unchecked Sendable {
  let body: @Sendable (RawCall) -> UInt32
  let pointer: UnsafeMutablePointer<millrace_handler>

  init(flags: Int = 0, concurrency: Int = 0, _ body: @escaping @Sendable (RawCall) -> UInt32) {
    self.body = body
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: millrace_handler())
    unsafe pointer.pointee.size = UInt32(MemoryLayout<millrace_handler>.size)
    unsafe pointer.pointee.flags = UInt32(flags)
    unsafe pointer.pointee.concurrency = UInt32(concurrency)
    unsafe pointer.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    unsafe pointer.pointee.run = { context, call, outcome in
      let handler = unsafe Unmanaged<RawHandler>.fromOpaque(context!).takeUnretainedValue()
      return unsafe handler.body(RawCall(call: call!, outcome: outcome!))
    }
  }

  deinit { unsafe pointer.deallocate() }
}

/// The engine's parts driven by one thread on a virtual clock: what a test sees is what happened, in that order, at that nanosecond.
final class SteppedWorld: @unchecked Sendable {
  static let start: UInt64 = 1_000_000_000

  let clock = VirtualClock(start: SteppedWorld.start)
  let scheduler: Scheduler
  let host: TaskHost
  private(set) var timers: Timers!
  private let worker: Worker
  private var known: [String: TaskHandler] = [:]
  var handlers: [String: TaskHandler] { known }
  private var raw: [RawHandler] = []
  /// Jobs that wait for a thread of the blocking pool.
  private(set) var pool: [JobID] = []

  init(slots: Int = 64, capacity: Int = 1 << 16, timers capacityOfTimers: Int = 1 << 12) throws {
    scheduler = try Scheduler(
      SchedulerConfiguration(slots: slots, workers: 1, capacity: capacity), clock: clock.clock, blockingLanes: 4)
    let lines = Lines()
    host = TaskHost(version: "test") { _, line in lines.append(line) }
    self.lines = lines
    worker = scheduler.makeWorker(0)
    timers = unsafe try Timers(
      shards: 2, capacity: capacityOfTimers, context: Unmanaged.passUnretained(host).toOpaque(),
      sink: { context, value, kind, _ in
        unsafe WorkflowRun.fire(Unmanaged<TaskHost>.fromOpaque(context!).takeUnretainedValue(), value: value, kind: kind)
      })
    host.connect(scheduler, timers: timers, sharedShard: 1)
  }

  deinit {
    worker.retire()
    // As an engine does at its end: runs that go on, and attempts whose tokens are out, hold the host.
    host.endRuns()
    host.close()
  }

  private let lines: Lines
  /// What went to the log.
  var logged: [String] { lines.all }
  /// Nanoseconds since the world began.
  var now: UInt64 { clock.now - SteppedWorld.start }

  func handler(_ name: String, flags: Int = 0, concurrency: Int = 0, _ body: @escaping @Sendable (RawCall) -> UInt32) {
    let handler = RawHandler(flags: flags, concurrency: concurrency, body)
    raw.append(handler)
    let index = unsafe scheduler.register(WorkflowRun.handler(for: handler.pointer))!
    known[name] = unsafe TaskHandler(name: name, index: index, pointer: handler.pointer)
  }

  /// Work that the run does itself, under the name of a handler.
  func held(_ name: String, _ work: any HeldWork) { known[name] = TaskHandler(work: work, index: host.heldIndex) }

  /// Starts a run; nothing of it has begun then.
  func start(
    _ definition: Definition, seed: UInt64 = 1, secrets: [String: [UInt8]] = [:], tenant: RunTenant = .standard, trace: TraceContext? = nil
  ) throws -> WorkflowRun {
    var random = SeededRandom(seed: seed)
    let run = try WorkflowRun(
      definition, handlers: known, order: .fifo, id: RunID(wall: 0, random: &random), wall: 0, seed: seed, host: host, secrets: secrets,
      tenant: tenant, trace: trace, ended: { _ in })
    try run.start()
    return run
  }

  /// Starts the next job and runs its handler; one for the blocking pool is put aside. False: there was none.
  @discardableResult func step() -> Bool {
    guard let begun = worker.begin() else {
      worker.settleCounts()
      return false
    }
    if begun.blocking {
      worker.handOver(begun)
      pool.append(begun.job)
    } else {
      worker.finish(begun, worker.run(begun))
    }
    return true
  }

  /// Until there is nothing to do: an idle worker may end the run of a task's items, and that their task, its run, and what stands behind it.
  func drain() { while step() || step() || step() || step() {} }

  /// The first job of the pool's queue gets a thread. From inside its handler a test may drain the worker, and use another of the four threads.
  func runBlocking(thread: Int = 0) {
    scheduler.runElsewhere(pool.removeFirst(), lane: 1 + thread)
    drain()
  }

  /// What the loop does at this moment: timeouts and waits that are due end. Jobs that become ready wait for `drain`.
  func turn() {
    scheduler.endOverdue(now: clock.now)
    timers.advance(to: clock.now)
  }

  /// Time passes in one go.
  func pass(_ nanoseconds: UInt64) {
    clock.move(by: nanoseconds)
    turn()
    drain()
  }

  /// Time passes up to the next timer. The nanoseconds that passed; nil: there is none.
  @discardableResult func passToNextTimer() -> UInt64? {
    // `nextDue` may name a timer that was cancelled: then it is looked at again.
    while true {
      let due = timers.nextDue
      if due == Timers.never { return nil }
      let before = clock.now
      let armed = timers.count
      if due > before { clock.move(to: due) }
      turn()
      let fired = timers.count != armed || scheduler.ready.occupied() != 0
      let passed = clock.now - before
      drain()
      if fired { return passed }
    }
  }

  func complete(_ token: millrace_token, _ status: Int) -> Bool { unsafe complete(token, status) { _ in } }

  func complete(_ token: millrace_token, _ status: Int, _ change: (inout millrace_outcome) -> Void) -> Bool {
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.status = UInt32(status)
    unsafe change(&outcome)
    return unsafe host.table.pointee.complete(host.table, token, &outcome) == 0
  }

  func complete(_ token: millrace_token, after delay: UInt64, _ status: Int) -> Bool {
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.status = UInt32(status)
    return unsafe host.table.pointee.complete_after(host.table, token, delay, &outcome) == 0
  }
}

/// Lines and values that handlers leave for the test to look at.
final class Lines: @unchecked Sendable {
  private let monitor = Monitor()
  private var lines: [String] = []

  deinit { monitor.deallocate() }

  func append(_ line: String) {
    monitor.locked {
      lines.append(line)
      monitor.broadcast(.work)
    }
  }
  var all: [String] { monitor.locked { lines } }

  /// Waits until so many lines are there. False: not within a minute.
  func wait(for count: Int) -> Bool {
    let deadline = millrace_monotonic() + 60_000_000_000
    return monitor.locked {
      while lines.count < count {
        if !monitor.wait(.work, until: deadline), lines.count < count { return false }
      }
      return true
    }
  }
}

extension WorkflowRun {
  /// The accounts of the run: every task is in exactly one of the four.
  var accounts: [Int] {
    let progress = progress()
    return [progress.completed, progress.failed, progress.skipped, progress.cancelled]
  }
  func attempts(_ task: Int = 0) -> [AttemptRecord] { record(slots: 1, threads: 1).tasks[task].attempts }
  func text(_ task: String) -> String? { unsafe output(of: task).map { unsafe String(decoding: $0.bytes, as: UTF8.self) } }
}

/// What a handler leaves for a test that looks at it on the same thread, or after the run has ended.
final class Left<Value>: @unchecked Sendable {
  var value: Value
  init(_ value: Value) { self.value = value }
}
