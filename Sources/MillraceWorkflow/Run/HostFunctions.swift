internal import CMillrace
internal import MillraceCore

/// The functions of the host table. Each is `millrace/plugin.h`'s, which says what it promises.
enum HostFunctions {
  static func fill(_ table: UnsafeMutablePointer<millrace_host>) {
    unsafe table.pointee.now = { unsafe TaskHost.from($0).scheduler.clock.now }
    unsafe table.pointee.setting = { host, key in
      guard let key = unsafe key else { return nil }
      return unsafe TaskHost.from(host).setting(String(cString: key))
    }
    unsafe table.pointee.log = { host, level, line in
      guard let line = unsafe line else { return }
      unsafe TaskHost.from(host).write(level, String(cString: line))
    }
    unsafe table.pointee.input_count = { attempt in
      let attempt = unsafe HostFunctions.attempt(attempt)
      return unsafe UInt32(attempt.pointee.run._withUnsafeGuaranteedRef { unsafe $0.inputCount(attempt.pointee.node) })
    }
    unsafe table.pointee.input = { attempt, index, input in
      guard let input = unsafe input else { return -1 }
      let attempt = unsafe HostFunctions.attempt(attempt)
      return unsafe attempt.pointee.run._withUnsafeGuaranteedRef { run in
        let turn = run.items == nil ? nil : unsafe attempt.turn
        guard let found = unsafe run.input(attempt.pointee.node, Int(index), turn) else { return -1 }
        return unsafe HostFunctions.write(found, to: input, least: HostFunctions.firstInputBytes)
      }
    }
    unsafe table.pointee.claim = { attempt, length, type, payload in
      guard let payload = unsafe payload, length <= UInt64(MILLRACE_INLINE_BYTES) else { return nil }
      let attempt = unsafe HostFunctions.attempt(attempt)
      if unsafe attempt.life.loadAcquiring() == AttemptLife.abandoned { return nil }
      return unsafe attempt.pointee.run._withUnsafeGuaranteedRef { run in
        guard let claimed = unsafe run.arena.claim(lane: attempt.pointee.arenaLane, length: Int(length)) else { return nil }
        unsafe payload.pointee = claimed.payload
        unsafe payload.pointee.content_type = type
        return unsafe claimed.bytes
      }
    }
    unsafe table.pointee.cancelled = { attempt in
      let attempt = unsafe HostFunctions.attempt(attempt)
      if unsafe attempt.life.loadRelaxed() != AttemptLife.counts { return 1 }
      // Stopping a run marks the jobs of all its running tasks.
      return unsafe attempt.pointee.host._withUnsafeGuaranteedRef { unsafe $0.scheduler.isCancelled(attempt.pointee.job) ? 1 : 0 }
    }
    unsafe table.pointee.heartbeat = { attempt, progress in
      let attempt = unsafe HostFunctions.attempt(attempt)
      let now = unsafe attempt.pointee.host._withUnsafeGuaranteedRef { $0.scheduler.clock.now }
      unsafe attempt.beat.storeRelaxed(now)
      unsafe attempt.pointee.run._withUnsafeGuaranteedRef { unsafe $0.say(progress, of: attempt) }
    }
    unsafe table.pointee.token = { attempt in
      let attempt = unsafe HostFunctions.attempt(attempt)
      if let asked = unsafe attempt.pointee.asked {
        // Once is enough: a call that comes after its batch finds nothing of that.
        if unsafe asked != HostFunctions.askedBefore {
          unsafe asked.pointee = true
          unsafe attempt.pointee.asked = HostFunctions.askedBefore
        }
        return unsafe attempt.pointee.job.rawValue
      }
      guard let context = unsafe attempt.pointee.context else { return 0 }
      unsafe HostFunctions.issueToken(attempt, context)
      return unsafe attempt.pointee.job.rawValue
    }
    unsafe table.pointee.complete = { host, token, outcome in
      guard let outcome = unsafe outcome else { return -1 }
      return unsafe HostFunctions.complete(TaskHost.from(host), JobID(rawValue: token), outcome) ? 0 : -1
    }
    unsafe table.pointee.complete_after = { host, token, delay, outcome in
      guard let outcome = unsafe outcome else { return -1 }
      return unsafe HostFunctions.complete(TaskHost.from(host), JobID(rawValue: token), after: delay, outcome) ? 0 : -1
    }
    unsafe table.pointee.extension = { host, id in
      guard let id = unsafe id else { return nil }
      switch unsafe String(cString: id) {
      case MILLRACE_ENVIRONMENT: return unsafe UnsafeRawPointer(TaskHost.from(host).environmentTable)
      case MILLRACE_ITEMS: return unsafe UnsafeRawPointer(TaskHost.from(host).itemsTable)
      case MILLRACE_DELIVERY: return unsafe UnsafeRawPointer(TaskHost.from(host).deliveryTable)
      case MILLRACE_TRACE: return unsafe UnsafeRawPointer(TaskHost.from(host).traceTable)
      case MILLRACE_RANDOM: return unsafe UnsafeRawPointer(TaskHost.from(host).randomTable)
      case MILLRACE_BROKER: return unsafe TaskHost.from(host).broker == nil ? nil : UnsafeRawPointer(TaskHost.from(host).brokerTable)
      default: return nil
      }
    }
  }

  /// What `Attempt.asked` is once it has been asked: an address, never written.
  // unsafe: made once, lives for ever.
  nonisolated(unsafe) private static let askedBefore = UnsafeMutablePointer<Bool>.allocate(capacity: 1)

  /// Others may end the attempt from here on. On the thread that runs it.
  static func issueToken(_ attempt: AttemptPointer, _ context: UnsafeMutablePointer<JobContext>) {
    unsafe context.pointee.tokenIssued = true
    unsafe attempt.pointee.hasToken = true
    // Whoever gets the token may claim memory while the handler still runs here.
    unsafe attempt.pointee.arenaLane = attempt.pointee.host._withUnsafeGuaranteedRef { $0.workers }
  }

  /// Bytes of `millrace_input` in version 1: every plugin has room for them.
  private static let firstInputBytes: UInt32 = 48

  /// Fills a struct, but for its size, as far as its plugin knows it. 0, or -1 if that is less than `least` bytes, which its first version has.
  static func write<Struct: BitwiseCopyable>(_ found: Struct, to target: UnsafeMutablePointer<Struct>, least: UInt32) -> Int32 {
    // unsafe: the plugin's struct has as many bytes as its first member says.
    let bytes = UnsafeMutableRawPointer(target)
    let size = unsafe bytes.load(as: UInt32.self)
    guard size >= least else { return -1 }
    unsafe withUnsafeBytes(of: found) { found in unsafe bytes.copyMemory(from: found.baseAddress!, byteCount: min(found.count, Int(size))) }
    unsafe bytes.storeBytes(of: size, as: UInt32.self)
    return 0
  }

  /// The extension `MILLRACE_ITEMS`.
  static var items: millrace_items {
    unsafe millrace_items(
      size: UInt32(MemoryLayout<millrace_items>.size), reserved: 0,
      count: { attempt, index in
        let attempt = unsafe HostFunctions.attempt(attempt)
        return unsafe attempt.pointee.run._withUnsafeGuaranteedRef { run in
          Int64(unsafe run.items(attempt.pointee.node, input: Int(index))?.count ?? -1)
        }
      },
      item: { attempt, index, item, output in
        guard let output = unsafe output else { return -1 }
        let attempt = unsafe HostFunctions.attempt(attempt)
        return unsafe attempt.pointee.run._withUnsafeGuaranteedRef { run in
          guard let found = unsafe run.input(attempt.pointee.node, Int(index), item: Int(item)) else { return -1 }
          return unsafe HostFunctions.write(found, to: output, least: HostFunctions.firstInputBytes)
        }
      })
  }

  /// The extension `MILLRACE_TRACE`.
  static var trace: millrace_trace {
    unsafe millrace_trace(
      size: UInt32(MemoryLayout<millrace_trace>.size), reserved: 0,
      traceparent: { opaque, text in
        guard let text = unsafe text, let trace = unsafe HostFunctions.attempt(opaque).trace else { return -1 }
        // unsafe: the caller has room for the text and a NUL.
        for (i, byte) in trace.utf8.enumerated() { unsafe text[i] = CChar(bitPattern: byte) }
        unsafe text[TraceContext.textBytes] = 0
        return 0
      })
  }

  /// The extension `MILLRACE_ENVIRONMENT`.
  static var environment: millrace_environment {
    unsafe millrace_environment(
      size: UInt32(MemoryLayout<millrace_environment>.size), reserved: 0,
      count: { attempt in unsafe UInt32(HostFunctions.variables(attempt)?.count ?? 0) },
      at: { attempt, index, name, value in
        guard let found = unsafe HostFunctions.variables(attempt)?.variable(Int(index)) else { return -1 }
        unsafe name?.pointee = found.name
        unsafe value?.pointee = found.value
        return 0
      },
      get: { attempt, name in
        guard let name = unsafe name else { return nil }
        return unsafe HostFunctions.variables(attempt)?.value(String(cString: name))
      },
      redact: { host, bytes, length in
        guard let bytes = unsafe bytes, length > 0 else { return length }
        let host = unsafe TaskHost.from(host)
        if host.redactor.isEmpty { return length }
        // unsafe: `length` bytes of the caller's; what stands for a secret is shorter than it.
        let text = unsafe Array(UnsafeRawBufferPointer(start: bytes, count: length))
        let redacted = host.redactor.redact(text)
        unsafe UnsafeMutableRawPointer(bytes).copyMemory(from: redacted, byteCount: redacted.count)
        return redacted.count
      })
  }

  private static func variables(_ opaque: OpaquePointer?) -> TaskEnvironment? {
    let attempt = unsafe attempt(opaque)
    return unsafe attempt.pointee.run._withUnsafeGuaranteedRef { run in
      run.items == nil ? unsafe run.environment(attempt.pointee.node) : unsafe attempt.turn?.environment
    }
  }

  static func attempt(_ opaque: OpaquePointer?) -> AttemptPointer {
    // unsafe: the plugin hands back what the host gave it; valid by the rules of the interface.
    unsafe UnsafeMutablePointer(opaque!)
  }

  /// The run and node of a claimed job, and the node's attempt; nil: it has none yet.
  static func claimed(_ host: TaskHost, _ id: JobID) -> (run: WorkflowRun, node: UInt32, attempt: AttemptPointer?) {
    let (first, second) = host.scheduler.words(ofClaimed: id)
    // unsafe: claimed, the node is unfinished, so that its run is alive.
    let run = unsafe WorkflowRun.from(Run.context(first: first))
    let node = UInt32(truncatingIfNeeded: second)
    return unsafe (run, node, run.records.attempt(node))
  }

  /// Claims an attempt for the holder of its token. nil: it has ended, or its end has been settled before.
  private static func settle(_ host: TaskHost, _ id: JobID, _ outcome: UnsafePointer<millrace_outcome>) -> (WorkflowRun, AttemptPointer)? {
    guard host.claim(id) else {
      host.tooLate(id)
      return nil
    }
    let (run, _, attempt) = unsafe claimed(host, id)
    guard let attempt = unsafe attempt, unsafe !attempt.pointee.isSettled else {
      host.scheduler.unclaim(id)
      return nil
    }
    unsafe attempt.pointee.isSettled = true
    unsafe run.keep(outcome, status: outcome.pointee.status, in: attempt)
    return unsafe (run, attempt)
  }

  /// Ends a pending attempt with an error of the engine's. Any thread.
  static func fail(_ host: TaskHost, _ id: JobID, _ type: String, _ message: String) {
    guard host.claim(id) else { return host.tooLate(id) }
    let (run, _, attempt) = unsafe claimed(host, id)
    guard let attempt = unsafe attempt, unsafe !attempt.pointee.isSettled else { return host.scheduler.unclaim(id) }
    unsafe attempt.pointee.isSettled = true
    unsafe run.fail(attempt, type, message)
    unsafe host.scheduler.endClaimed(id, run.coreOutcome(attempt))
  }

  /// Ends a pending attempt as the holder of its token says. False: it has ended.
  static func complete(_ host: TaskHost, _ id: JobID, _ outcome: UnsafePointer<millrace_outcome>) -> Bool {
    guard let (run, attempt) = unsafe settle(host, id, outcome) else { return false }
    unsafe host.scheduler.endClaimed(id, run.coreOutcome(attempt))
    return true
  }

  private static func complete(_ host: TaskHost, _ id: JobID, after delay: UInt64, _ outcome: UnsafePointer<millrace_outcome>) -> Bool {
    guard let (run, attempt) = unsafe settle(host, id, outcome) else { return false }
    let now = host.scheduler.clock.now
    let (due, overflow) = now.addingReportingOverflow(delay)
    do {
      let lane = unsafe attempt.pointee.lane
      unsafe attempt.pointee.completing = try host.timers.arm(
        shard: lane < host.workers ? lane : host.sharedShard, due: overflow ? .max : due, value: id.rawValue, kind: TimerKind.complete,
        now: now)
      host.scheduler.unclaim(id)
    } catch {
      // No room for another timer: the attempt must not wait for ever.
      unsafe run.fail(attempt, EngineErrorType.noTimer, "complete_after could not be kept: \(error)")
      unsafe host.scheduler.endClaimed(id, run.coreOutcome(attempt))
    }
    return true
  }
}

/// What a timer of a workflow is about.
enum TimerKind {
  /// Value: a job. It is completed with what `complete_after` left in its attempt.
  static let complete: UInt16 = 1
  /// Value: a job. Start-to-close of a pending attempt.
  static let startToClose: UInt16 = 2
  /// Value: a job.
  static let heartbeat: UInt16 = 3
  /// Value: a `Waiter`.
  static let scheduleToStart: UInt16 = 4
  static let scheduleToClose: UInt16 = 5
  static let retry: UInt16 = 6
  /// Value: a `Rate`, retained.
  static let rate: UInt16 = 7
  /// Value: a number of `RunLines`.
  static let line: UInt16 = 8
  /// Value: a `Waiter`. Start-to-close of a held task.
  static let heldClose: UInt16 = 9
  /// Value: a `TimeWait`.
  static let wait: UInt16 = 10
  /// Value: a `Breaker`, retained.
  static let breaker: UInt16 = 11
}
