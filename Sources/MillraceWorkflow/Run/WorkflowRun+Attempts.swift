public import CMillrace
public import MillraceCore

/// The way through a handler: the attempt is made, the handler called, what it said is kept.
extension WorkflowRun {
  /// The core's handler for a plugin's: calls it with an attempt, in the shape of `millrace/plugin.h`.
  ///
  /// unsafe: `pointer` is valid until the engine has shut down.
  @unsafe public static func handler(for pointer: UnsafePointer<millrace_handler>) -> Handler {
    let flags = unsafe pointer.pointee.flags
    return unsafe Handler(
      run: { handler, context in
        let context = unsafe context.assumingMemoryBound(to: JobContext.self)
        // unsafe: node jobs lead to their run, which lives until its last node is settled.
        let run = unsafe WorkflowRun.from(Run.context(first: context.pointee.first))
        return unsafe run.attempt(handler!.assumingMemoryBound(to: millrace_handler.self), context)
      }, context: UnsafeMutableRawPointer(mutating: pointer), blocking: flags & UInt32(MILLRACE_BLOCKING) != 0,
      limit: Int(pointer.pointee.concurrency))
  }

  @safe enum Opening {
    /// The handler is to be called. `isWatched`: others may end the attempt from here on.
    case begun(AttemptPointer, AttemptObservation?, isWatched: Bool)
    /// It is not: what the core is told.
    case over(UInt8)
  }

  /// Begins an attempt, up to the call of its handler.
  func open(_ context: UnsafeMutablePointer<JobContext>) -> Opening {
    let node = unsafe UInt32(truncatingIfNeeded: context.pointee.second)
    let job = unsafe context.pointee.job
    let isWatched = compiled.isWatched(node)
    if isWatched {
      // Timeouts may end the attempt from here on, even before it has begun: what is written of it is written under a claim.
      unsafe context.pointee.tokenIssued = true
      guard host.claim(job) else { return .over(Outcome.pending.rawValue) }
    }
    let preparation = unsafe prepare(node, context, isWatched: isWatched)
    // After the claim a timeout may take it.
    let made = unsafe observation == nil ? nil : records.attempt(node)
    let observed = unsafe made?.ownObservation
    if isWatched { host.scheduler.unclaim(job) }
    // One that a timeout has ended meanwhile: what we return is dropped.
    if let made = unsafe made, let observed, unsafe !observeBegin(observed, made) { return .over(Outcome.pending.rawValue) }
    switch preparation {
    case .begun(let attempt): return unsafe .begun(attempt, observed, isWatched: isWatched)
    case .ended(let outcome): return .over(outcome)
    }
  }

  /// What a handler is told of an attempt.
  @inline(__always) static func call(of attempt: AttemptPointer) -> millrace_call {
    unsafe attempt.pointee.run._withUnsafeGuaranteedRef { run in
      var call = unsafe millrace_call()
      unsafe call.size = UInt32(MemoryLayout<millrace_call>.size)
      unsafe call.attempt_number = attempt.pointee.number
      unsafe call.attempt = OpaquePointer(attempt)
      unsafe call.host = UnsafePointer(run.host.table)
      unsafe call.task_key = UnsafePointer(attempt.key)
      unsafe call.task_id = run.items == nil ? run.texts.id(Int(attempt.pointee.node)) : UnsafePointer(attempt.key + RunTexts.idOffset)
      unsafe call.deadline = attempt.pointee.deadline
      return unsafe call
    }
  }

  /// Runs one attempt. On a worker or in the blocking pool.
  private func attempt(_ handler: UnsafePointer<millrace_handler>, _ context: UnsafeMutablePointer<JobContext>) -> UInt8 {
    let attempt: AttemptPointer
    let observed: AttemptObservation?
    let isWatched: Bool
    switch unsafe open(context) {
    case .begun(let begun, let observation, let watched): unsafe (attempt, observed, isWatched) = (begun, observation, watched)
    case .over(let outcome): return outcome
    }
    let job = unsafe attempt.pointee.job

    var call = unsafe WorkflowRun.call(of: attempt)
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.message = host.lane(attempt.pointee.lane).pointee.message
    unsafe outcome.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    let status: UInt32
    let before = unsafe host.checksThreads ? ThreadChecks.begin(attempt) : nil
    if let observed {
      status = observed.around { unsafe handler.pointee.run(handler.pointee.context, &call, &outcome) }
    } else {
      status = unsafe handler.pointee.run(handler.pointee.context, &call, &outcome)
    }
    if host.checksThreads { unsafe ThreadChecks.end(before) }

    if status == UInt32(MILLRACE_PENDING), unsafe attempt.pointee.hasToken { return unsafe goesOn(attempt) }
    // Others may end the attempt as well, by its token or a timeout: it is ours to write only if we are the first to claim it. If not, the core
    // drops what we return.
    if unsafe isWatched || attempt.pointee.hasToken {
      guard host.claim(job) else { return Outcome.pending.rawValue }
      unsafe keep(&outcome, status: status, in: attempt)
      let result = unsafe coreOutcome(attempt)
      host.scheduler.endClaimed(job, result)
      return result
    }
    unsafe keep(&outcome, status: status, in: attempt)
    return unsafe coreOutcome(attempt)
  }

  @safe private enum Preparation {
    case begun(AttemptPointer)
    /// The handler is not to be called.
    case ended(UInt8)
  }

  /// Writes down that the task runs, and makes its attempt. Of a watched task: under a claim.
  private func prepare(_ node: UInt32, _ context: UnsafeMutablePointer<JobContext>, isWatched: Bool) -> Preparation {
    let lane = unsafe context.pointee.lane
    var now = host.scheduler.clock.now
    records.setStart(node, now)
    records.setLane(node, lane)
    unsafe records.setJob(node, context.pointee.job)
    counters.count(.started, lane: lane)
    records.setStatus(node, .running)
    tellWatcher()
    // The other half of `stop`: either it sees us running, or we see that we should not be.
    if stopReason.loadSequential() != 0 { return .ended(Outcome.cancelled.rawValue) }
    if let saga, saga.isStopAsked(node), mayWithdraw(node) { return .ended(Outcome.cancelled.rawValue) }
    let rate = compiled.hasRates ? compiled.rate(node) : nil
    let breaker = compiled.hasBreakers ? compiled.breaker(node) : nil
    if isWatched, isTooLate(node, mayWait: rate != nil || breaker != nil) { return .ended(Outcome.timedOut.rawValue) }
    var refusal: String?
    if compiled.hasExpressions {
      switch begin(node, lane: lane) {
      case .goes: break
      // Done without an attempt: skipped.
      case .skipped: return .ended(Outcome.done.rawValue)
      case .failed(let reason): refusal = reason
      }
    }

    if let rate, refusal == nil {
      guard mayStart(node, rate) else { return .ended(WorkflowRun.paced) }
      now = host.scheduler.clock.now
      records.setStart(node, now)
      if breaker == nil, isWatched, isTooLate(node) { return .ended(Outcome.timedOut.rawValue) }
    }
    if let breaker, refusal == nil {
      guard mayCall(node, breaker) else { return .ended(WorkflowRun.parked) }
      now = host.scheduler.clock.now
      records.setStart(node, now)
      if isWatched, isTooLate(node) { return .ended(Outcome.timedOut.rawValue) }
    }

    counters.count(.attempts, lane: lane)
    let timeout = unsafe context.pointee.timeout
    let (end, overflow) = now.addingReportingOverflow(timeout)
    let deadline = timeout == 0 ? 0 : overflow ? .max : end
    let attempt = unsafe host.takeAttempt(lane)
    unsafe attempt.initialize(
      to: Attempt(
        run: Unmanaged.passUnretained(self), host: Unmanaged.passUnretained(host), node: node,
        number: UInt32(truncatingIfNeeded: records.countAttempt(node)), job: context.pointee.job, arenaLane: min(lane, host.workers),
        lane: lane, start: now, deadline: deadline, context: context))
    if observation != nil { unsafe observe(attempt) }
    unsafe attempt.life.storeRelaxed(AttemptLife.counts)
    unsafe attempt.beat.storeRelaxed(now)
    unsafe attempt.link.storeRelaxed(0)
    unsafe attempt.said.storeRelaxed(0)
    unsafe texts.key(task(node), into: attempt.key)
    if let items { unsafe name(attempt, after: items) }
    unsafe records.setAttempt(node, attempt)
    if journal != nil { unsafe noteStart(node, Int(attempt.pointee.number), lane: lane) }
    if let refusal {
      unsafe fail(attempt, EngineErrorType.expression, refusal)
      return .ended(Outcome.failed.rawValue)
    }
    if isWatched, let reason = unsafe watch(attempt) {
      unsafe fail(attempt, EngineErrorType.noTimer, reason)
      return .ended(Outcome.failed.rawValue)
    }
    return unsafe .begun(attempt)
  }

  /// The handler returned and the attempt waits for its token: it leaves the lane.
  func goesOn(_ attempt: AttemptPointer) -> UInt8 {
    unsafe attempt.pointee.isPending = true
    let job = unsafe attempt.pointee.job
    // Whoever completes it needs the attempt to itself: what is written here is written under a claim.
    guard host.claim(job) else { return Outcome.pending.rawValue }
    unsafe attempt.pointee.context = nil
    unsafe records.setLane(attempt.pointee.node, -1)
    if unsafe attempt.pointee.deadline != 0 {
      do {
        unsafe attempt.pointee.closing = try host.timers.arm(
          shard: host.sharedShard, due: attempt.pointee.deadline, value: job.rawValue, kind: TimerKind.startToClose)
      } catch {
        unsafe fail(attempt, EngineErrorType.noTimer, "start-to-close could not be kept: \(error)")
        host.scheduler.endClaimed(job, Outcome.failed.rawValue)
        return Outcome.pending.rawValue
      }
    }
    host.scheduler.unclaim(job)
    return Outcome.pending.rawValue
  }

  /// Copies what a handler, or the holder of its token, said into the attempt. The caller has the attempt to itself.
  func keep(_ outcome: UnsafePointer<millrace_outcome>, status: UInt32, in attempt: AttemptPointer) {
    if compiled.hasExpressions, let error = unsafe unreadableInput(attempt.pointee.node) {
      unsafe fail(attempt, error.type, error.message)
      return
    }
    if status == UInt32(MILLRACE_DONE), items != nil, let copy = unsafe copyInput(outcome.pointee.output, attempt) {
      unsafe attempt.pointee.status = status
      unsafe attempt.pointee.output = copy
      return
    }
    if let fault = unsafe fault(of: outcome, status: status, attempt) {
      unsafe fail(attempt, EngineErrorType.badOutcome, fault)
      return
    }
    unsafe attempt.pointee.status = status
    unsafe attempt.pointee.retryAfter = outcome.pointee.retry_after
    if status == UInt32(MILLRACE_DONE) {
      unsafe attempt.pointee.output = outcome.pointee.output
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
    if payload.length > 0, let bytes = unsafe arena.bytes(of: payload) {
      details = unsafe Array(UnsafeRawBufferPointer(start: bytes, count: Int(payload.length)))
    }
    let redactor = host.redactor
    let isCancelled = status == UInt32(MILLRACE_CANCELLED)
    if isCancelled, message.isEmpty { message = "the handler said that it was cancelled" }
    unsafe setError(
      attempt,
      AttemptError(
        type: type.isEmpty ? (isCancelled ? EngineErrorType.cancelled : "error") : redactor.redact(type), message: redactor.redact(message),
        details: redactor.redact(details)))
  }

  /// How an outcome breaks the rules of the interface; nil: it does not.
  private func fault(of outcome: UnsafePointer<millrace_outcome>, status: UInt32, _ attempt: AttemptPointer) -> String? {
    if unsafe outcome.pointee.size < UInt32(MemoryLayout<millrace_outcome>.size) {
      return unsafe "the outcome says that it has \(outcome.pointee.size) bytes: set `size` to sizeof(millrace_outcome)"
    }
    switch status {
    case UInt32(MILLRACE_PENDING) where unsafe attempt.pointee.hasToken: return "the token was completed with MILLRACE_PENDING"
    case UInt32(MILLRACE_PENDING): return "the handler returned MILLRACE_PENDING without asking for a token: nobody could complete it"
    case UInt32(MILLRACE_DONE):
      return unsafe isOwn(outcome.pointee.output) ? nil : "the handler's output is not memory that it claimed"
    case ...UInt32(MILLRACE_CANCELLED):
      return unsafe isOwn(outcome.pointee.details) ? nil : "the error's details are not memory that the handler claimed"
    default: return "the handler ended with status \(status), which is none of the interface's"
    }
  }

  /// True if the payload is empty, or lies in the run's memory.
  private func isOwn(_ payload: millrace_payload) -> Bool {
    unsafe payload.length == 0 || (payload.length <= UInt64(MILLRACE_INLINE_BYTES) && arena.bytes(of: payload) != nil)
  }

  func fail(_ attempt: AttemptPointer, _ type: String, _ message: String) {
    unsafe attempt.pointee.status = UInt32(MILLRACE_FAILED)
    unsafe setError(attempt, AttemptError(type: type, message: message))
  }

  private func setError(_ attempt: AttemptPointer, _ error: AttemptError) {
    unsafe attempt.pointee.error?.release()
    unsafe attempt.pointee.error = Unmanaged.passRetained(error)
  }

  func coreOutcome(_ attempt: AttemptPointer) -> UInt8 { unsafe UInt8(truncatingIfNeeded: attempt.pointee.status) }

  /// Id of the task whose job runs, if it is one of this run's. Complexity: O(tasks).
  func task(running job: JobID) -> String? {
    for node in 0..<UInt32(records.count) where records.status(node) == .running && records.job(node) == job {
      return name(node)
    }
    for run in itemRuns { if let item = run.task(running: job) { return item } }
    return cleanup?.task(running: job)
  }
}
