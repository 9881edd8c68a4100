public import CMillrace
public import MillraceCore

extension WorkflowRun {
  /// The core's handler for a plugin's: calls it with an attempt, in the shape of `millrace/plugin.h`.
  ///
  /// unsafe: `pointer` is valid until the engine has shut down.
  @unsafe public static func handler(for pointer: UnsafePointer<millrace_handler>) -> Handler {
    let flags = unsafe pointer.pointee.flags
    return unsafe Handler(
      run: { handler, context in
        let context = unsafe context.assumingMemoryBound(to: JobContext.self)
        // unsafe: node jobs carry their run's address; the run lives until its last node is settled.
        let run = unsafe Unmanaged<Run>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(context.pointee.first))!)
          ._withUnsafeGuaranteedRef { unsafe WorkflowRun.from($0.hooks.context) }
        return unsafe run.attempt(handler!.assumingMemoryBound(to: millrace_handler.self), context)
      }, context: UnsafeMutableRawPointer(mutating: pointer), blocking: flags & UInt32(MILLRACE_BLOCKING) != 0,
      limit: Int(pointer.pointee.concurrency))
  }

  /// Runs one attempt. On a worker or in the blocking pool.
  private func attempt(_ handler: UnsafePointer<millrace_handler>, _ context: UnsafeMutablePointer<JobContext>) -> UInt8 {
    let node = unsafe UInt32(truncatingIfNeeded: context.pointee.second)
    let lane = unsafe context.pointee.lane
    let attempt = unsafe host.takeAttempt(lane)
    let now = host.scheduler.clock.now
    unsafe attempt.initialize(
      to: Attempt(
        run: Unmanaged.passUnretained(self), node: node, number: UInt32(truncatingIfNeeded: attemptNumber(node)), job: context.pointee.job,
        arenaLane: min(lane, host.workers), lane: lane, start: now, deadline: context.pointee.deadline, context: context,
        isAbandoned: false,
        status: 0, retryAfter: 0, output: .empty, error: nil, next: nil, beat: now, progress: 0, heartbeat: .none, closing: .none))
    let key = unsafe UnsafeMutableRawPointer(attempt + 1).assumingMemoryBound(to: CChar.self)
    unsafe texts.key(Int(node), into: key)

    records.setStart(node, now)
    records.setLane(node, lane)
    unsafe records.setJob(node, context.pointee.job)
    unsafe records.setAttempt(node, attempt)
    records.setStatus(node, .running)
    counters.count(.started, lane: lane)
    counters.count(.attempts, lane: lane)
    // The other half of `stop`: either it sees us running, or we see that we should not be.
    if stopReason.loadSequential() != 0 {
      unsafe fail(attempt, EngineErrorType.cancelled, "the run was cancelled before the handler began")
      unsafe attempt.pointee.status = UInt32(MILLRACE_CANCELLED)
      return Outcome.cancelled.rawValue
    }
    if compiled.policies.count > 1 || compiled.policies[0].hasTimers { unsafe began(attempt) }

    let hostLane = unsafe host.lane(lane)
    unsafe hostLane.pointee.current = attempt
    var call = unsafe millrace_call()
    unsafe call.size = UInt32(MemoryLayout<millrace_call>.size)
    unsafe call.attempt_number = attempt.pointee.number
    unsafe call.attempt = OpaquePointer(attempt)
    unsafe call.host = UnsafePointer(host.table)
    unsafe call.task_key = UnsafePointer(key)
    unsafe call.task_id = texts.id(Int(node))
    unsafe call.deadline = context.pointee.deadline
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.message = hostLane.pointee.message
    unsafe outcome.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    let status = unsafe handler.pointee.run(handler.pointee.context, &call, &outcome)

    if status == UInt32(MILLRACE_PENDING) {
      guard unsafe context.pointee.tokenIssued else {
        unsafe fail(
          attempt, EngineErrorType.badOutcome, "the handler returned MILLRACE_PENDING without asking for a token: nobody could complete it")
        return Outcome.failed.rawValue
      }
      return unsafe goesOn(attempt)
    }
    // Others may end the attempt as well, by its token or a timeout: it is ours to write only if we are the first to claim it. If not, the core
    // drops what we return.
    if unsafe context.pointee.tokenIssued || attempt.pointee.deadline != 0 {
      guard unsafe claim(attempt.pointee.job) else { return Outcome.pending.rawValue }
      unsafe keep(&outcome, status: status, in: attempt)
      let result = unsafe coreOutcome(attempt)
      unsafe host.scheduler.endClaimed(attempt.pointee.job, result)
      return result
    }
    unsafe keep(&outcome, status: status, in: attempt)
    return unsafe coreOutcome(attempt)
  }

  /// The handler returned and the attempt waits for its token: it leaves the lane.
  private func goesOn(_ attempt: UnsafeMutablePointer<Attempt>) -> UInt8 {
    // Whoever completes it needs the attempt to itself: what is written here is written under a claim.
    guard unsafe claim(attempt.pointee.job) else { return Outcome.pending.rawValue }
    unsafe attempt.pointee.context = nil
    unsafe attempt.pointee.arenaLane = host.workers
    unsafe records.setLane(attempt.pointee.node, -1)
    if unsafe attempt.pointee.deadline != 0 {
      do {
        _ = unsafe try host.timers.arm(
          shard: host.sharedShard, due: attempt.pointee.deadline, value: attempt.pointee.job.rawValue, kind: TimerKind.startToClose)
      } catch {
        unsafe fail(attempt, EngineErrorType.badOutcome, "no timer could be armed for start-to-close: \(error)")
        unsafe host.scheduler.endClaimed(attempt.pointee.job, Outcome.failed.rawValue)
        return Outcome.pending.rawValue
      }
    }
    unsafe host.scheduler.unclaim(attempt.pointee.job)
    return Outcome.pending.rawValue
  }

  /// A claim that somebody has for a moment, to look at a heartbeat, is waited for. False: the attempt has been ended.
  private func claim(_ job: JobID) -> Bool {
    while true {
      switch host.scheduler.claim(job) {
      case .taken: return true
      case .gone: return false
      case .busy: millrace_yield()
      }
    }
  }

  /// Copies what a handler, or the holder of its token, said into the attempt. The caller has the attempt to itself.
  func keep(_ outcome: UnsafePointer<millrace_outcome>, status: UInt32, in attempt: UnsafeMutablePointer<Attempt>) {
    unsafe attempt.pointee.status = status
    unsafe attempt.pointee.retryAfter = outcome.pointee.retry_after
    if status == UInt32(MILLRACE_DONE) {
      let output = unsafe outcome.pointee.output
      if unsafe output.length > UInt64(MILLRACE_INLINE_BYTES) || (output.length > 0 && arena.bytes(of: output) == nil) {
        unsafe fail(attempt, EngineErrorType.badOutcome, "the handler's output is not memory that it claimed")
        unsafe attempt.pointee.status = UInt32(MILLRACE_FAILED)
        return
      }
      unsafe attempt.pointee.output = output
      return
    }
    let type = unsafe withUnsafeBytes(of: outcome.pointee.error_type) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    let length = unsafe min(outcome.pointee.message_length, UInt32(MILLRACE_MESSAGE_BYTES) - 1)
    var message = ""
    if let text = unsafe outcome.pointee.message, length > 0 {
      message = unsafe String(decoding: UnsafeRawBufferPointer(start: text, count: Int(length)), as: UTF8.self)
    }
    var details: [UInt8] = []
    let payload = unsafe outcome.pointee.details
    if payload.length > 0, payload.length <= UInt64(MILLRACE_INLINE_BYTES), let bytes = unsafe arena.bytes(of: payload) {
      details = unsafe Array(UnsafeRawBufferPointer(start: bytes, count: Int(payload.length)))
    }
    if status > UInt32(MILLRACE_CANCELLED) || status == UInt32(MILLRACE_PENDING) {
      unsafe fail(attempt, EngineErrorType.badOutcome, "the handler ended with status \(status), which is none of the interface's")
      unsafe attempt.pointee.status = UInt32(MILLRACE_FAILED)
      return
    }
    unsafe setError(attempt, AttemptError(type: type.isEmpty ? "error" : type, message: message, details: details))
  }

  func fail(_ attempt: UnsafeMutablePointer<Attempt>, _ type: String, _ message: String) {
    unsafe attempt.pointee.status = UInt32(MILLRACE_FAILED)
    unsafe setError(attempt, AttemptError(type: type, message: message))
  }

  private func setError(_ attempt: UnsafeMutablePointer<Attempt>, _ error: AttemptError) {
    unsafe attempt.pointee.error?.release()
    unsafe attempt.pointee.error = Unmanaged.passRetained(error)
  }

  func coreOutcome(_ attempt: UnsafeMutablePointer<Attempt>) -> UInt8 { unsafe UInt8(truncatingIfNeeded: attempt.pointee.status) }

  /// The attempt that has the node now; nil: none is in progress.
  func attempt(_ node: UInt32) -> UnsafeMutablePointer<Attempt>? { unsafe records.attempt(node) }

  /// Number of the attempt that begins now, from 1.
  private func attemptNumber(_ node: UInt32) -> Int {
    records.countAttempt(node)
    let counted = records.attempts(node)
    if counted < 0xFFFF { return counted }
    return monitor.locked { 1 + log.reduce(0) { $0 + ($1.node == node ? 1 : 0) } }
  }

  /// The attempt is alive. Any thread.
  func beat(_ attempt: UnsafeMutablePointer<Attempt>, _ progress: UInt32) {
    // unsafe: two words of the attempt that only this and the heartbeat's timer touch; any of two beats may win.
    unsafe withUnsafeMutablePointer(to: &attempt.pointee.beat) { unsafe SharedWord($0).storeRelaxed(host.scheduler.clock.now) }
    unsafe withUnsafeMutablePointer(to: &attempt.pointee.progress) { unsafe SharedWord($0).storeRelaxed(UInt64(min(progress, 1000))) }
  }

  /// `run/task` of a job that runs or is pending, for reports; nil: it has ended, or is about to. Any thread.
  public static func taskKey(ofRunning job: JobID, _ host: TaskHost) -> String? {
    guard host.scheduler.claim(job) == .taken else { return nil }
    defer { host.scheduler.unclaim(job) }
    guard let (run, attempt) = unsafe HostFunctions.claimed(host, job) else { return nil }
    return unsafe "\(run.id)/\(run.definition.tasks[Int(attempt.pointee.node)].id)"
  }
}
