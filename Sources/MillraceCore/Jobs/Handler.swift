/// Index of a registered handler.
public struct HandlerIndex: Sendable, Hashable, RawRepresentable {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// What a handler is given: valid for the call.
@safe public struct JobContext {
  public internal(set) var job: JobID
  public internal(set) var first: UInt64
  public internal(set) var second: UInt64
  /// Where it runs: workers 0 ..< threads, then threads of the blocking pool.
  public let lane: Int
  /// When start-to-close ends at the earliest, engine clock; 0: no timeout. Exact where a read of the clock is free, else earlier than the end by no more
  /// than passes between two looks of the loop: `timeout / 64`, 1 ms at least.
  public internal(set) var deadline: UInt64
  /// Start-to-close, nanoseconds; 0: none.
  public internal(set) var timeout: UInt64 = 0
  /// Set by whoever hands out the job's id as a completion token, before the handler returns.
  public var tokenIssued = false {
    didSet { if tokenIssued { open() } }
  }
  /// nil in the blocking pool.
  let worker: WorkerBody?
  unowned(unsafe) let scheduler: Scheduler

  /// From here on others may end the job.
  private func open() {
    // Others may end this attempt while its handler runs on: what waits for it must not wait for the handler.
    if let worker { worker.flushArrivals() }
    let state = unsafe Job(scheduler.jobs, job.index).state
    // Not open yet, the state is this thread's alone.
    if state.loadRelaxed() == Job.word(job.generation, Job.State.running) {
      state.storeReleasing(Job.word(job.generation, Job.State.open))
    }
  }

  /// True once the job should stop. One load.
  public var isCancelled: Bool { unsafe Job(scheduler.jobs, job.index).cancelled.loadRelaxed() == job.generation }

  /// Submits a job from inside a handler: it stays with this worker while there is room, and costs no locked instruction then.
  ///
  /// Complexity: O(1). Throws `SubmitError`.
  @discardableResult public func spawn(_ request: JobRequest) throws(SubmitError) -> JobID {
    guard let worker else { return try unsafe scheduler.submit(request) }
    return try worker.spawn(request)
  }

  /// Submits all of the jobs from inside a handler, or none. Cheaper than one by one.
  ///
  /// Complexity: O(count). Throws `SubmitError`; then nothing has happened.
  public func spawn(_ requests: Span<JobRequest>) throws(SubmitError) {
    guard let worker else { return try unsafe scheduler.submit(requests) }
    try worker.spawn(requests)
  }
}

/// A handler: a function of C and its context. Swift closures enter through a trampoline at registration.
@safe public struct Handler: Sendable {
  /// Runs a job, on a worker or, if `blocking`, in the blocking pool. The second argument is an `UnsafeMutablePointer<JobContext>`; returns an `Outcome`.
  public typealias Run = @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer) -> UInt8
  /// Told how a job ended that belongs to no run, always on a worker.
  public typealias Finished =
    @convention(c) (UnsafeMutableRawPointer?, _ job: UInt64, _ first: UInt64, _ second: UInt64, _ outcome: UInt8) -> Void

  public var run: Run
  public var finished: Finished?
  // unsafe: the registrant's; must stay valid until the scheduler has stopped, and may be used by many threads.
  public nonisolated(unsafe) var context: UnsafeMutableRawPointer?
  /// Runs in the blocking pool, holding a slot but no worker.
  public var blocking: Bool
  /// Jobs that it leaves pending are run together: a worker begins so many at most that are next one after the other, and says so when such a row ends
  /// (`Scheduler.tellRowEnds`). 2 to 256; 0: it has no rows, as one that blocks.
  public var gathers: Int
  /// Jobs of this handler at once; 0: no limit of its own.
  public var limit: Int

  @unsafe public init(
    run: @escaping Run, finished: Finished? = nil, context: UnsafeMutableRawPointer? = nil, blocking: Bool = false, gathers: Int = 0,
    limit: Int = 0
  ) {
    precondition(gathers == 0 || !blocking && 2...256 ~= gathers, "rows of 2 to 256 jobs, of a handler that does not block")
    unsafe self.run = run
    unsafe self.finished = finished
    unsafe self.context = context
    self.blocking = blocking
    self.gathers = gathers
    self.limit = limit
  }
}

/// A registered handler, as workers read it: 32 bytes.
@safe struct HandlerEntry {
  // unsafe: the registrant's, valid until the scheduler has stopped.
  let run: Handler.Run
  let context: UnsafeMutableRawPointer?
  let finished: Handler.Finished?
  let blocking: Bool
  let isLimited: Bool
  /// None of the three: it blocks, is limited, gathers.
  let isPlain: Bool
  /// Jobs of a row at most, less one; 0: it has no rows.
  let gathersMore: UInt8
  let limit: UInt32
}
