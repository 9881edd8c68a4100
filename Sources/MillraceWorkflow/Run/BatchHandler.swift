package import CMillrace
package import MillraceCore

/// A handler of a plugin that runs several attempts in one call: the extension `MILLRACE_BATCH`.
///
/// A worker begins the handler's attempts that are ready one after the other, and leaves each pending; when the row ends, the plugin is called once for all of them, and the
/// token of each is completed with what it said. So an attempt of a batch is ended by timeouts, cancellation and its token like any that goes on after its handler.
///
/// # Threads
/// Constant.
@safe package final class BatchHandler: Sendable {
  // unsafe: the plugin's, valid until it is unloaded, which is when no run and no attempt pins it.
  nonisolated(unsafe) let pointer: UnsafePointer<millrace_handler>
  nonisolated(unsafe) let batch: UnsafePointer<millrace_batch_handler>
  let host: TaskHost
  let most: Int
  let isBlocking: Bool
  /// Pinned while a call is inside: the plugin may end all of its attempts before it returns.
  let build: HandlerBuild

  /// unsafe: both pointers are valid until the plugin has been unloaded; `batch` names `pointer`'s handler, `build` is the plugin's.
  @unsafe package init(
    _ pointer: UnsafePointer<millrace_handler>, _ batch: UnsafePointer<millrace_batch_handler>, _ host: TaskHost, _ build: HandlerBuild
  ) {
    unsafe self.pointer = pointer
    unsafe self.batch = batch
    self.host = host
    self.build = build
    most = unsafe Int(min(batch.pointee.most, MILLRACE_BATCH_ATTEMPTS))
    isBlocking = unsafe pointer.pointee.flags & UInt32(MILLRACE_BLOCKING) != 0
  }

  /// The core's handler. unsafe: this object outlives the handler's registration.
  @unsafe package var handler: Handler {
    unsafe Handler(
      run: { handler, context in
        let context = unsafe context.assumingMemoryBound(to: JobContext.self)
        // unsafe: node jobs lead to their run, which lives until its last node is settled.
        let run = unsafe WorkflowRun.from(Run.context(first: context.pointee.first))
        return unsafe Unmanaged<BatchHandler>.fromOpaque(handler!)._withUnsafeGuaranteedRef { unsafe run.gather(for: $0, context) }
      }, context: Unmanaged.passUnretained(self).toOpaque(), gathers: most, limit: Int(pointer.pointee.concurrency))
  }
}

/// An attempt that was begun and waits for its call.
@safe struct GatheredAttempt {
  let attempt: AttemptPointer
  /// Its token. Kept apart: the attempt is nobody's to read once that has been completed.
  let job: JobID
}

/// One call of a plugin for several attempts: first a worker's row, then on its way to the plugin.
///
/// # Threads
/// One at a time.
@safe final class BatchCall {
  /// Held until the last attempt has been ended: its build may go with that.
  let handler: BatchHandler
  private var attempts: [GatheredAttempt] = []

  init(_ handler: BatchHandler) { self.handler = handler }

  func add(_ attempt: GatheredAttempt) { attempts.append(attempt) }

  /// `status` of an outcome of which nothing was said.
  private static let unsaid = UInt32.max

  /// On a worker, or on a thread that may wait.
  func run() {
    // Those that were ended meanwhile, and whose tokens nobody else has, are over with this.
    attempts.removeAll { one in
      guard unsafe one.attempt.life.loadAcquiring() != AttemptLife.counts else { return false }
      handler.host.tooLate(one.job)
      return true
    }
    if attempts.isEmpty { return }
    // Each attempt that is here keeps the build until its token is completed.
    let isPinned = handler.build.pin()
    invariant(isPinned, "a build stays as long as one of its attempts")
    defer { handler.build.unpin() }
    var memory = BatchMemory(attempts.count)
    for index in attempts.indices {
      let attempt = unsafe attempts[index].attempt
      // unsafe: pending, or abandoned with its token out, the attempt stays until the token is completed below.
      unsafe memory.prepare(index, WorkflowRun.call(of: attempt), status: BatchCall.unsaid)
      unsafe attempt.pointee.asked = memory.asked + index
    }
    // unsafe: the plugin's, which is loaded as long as one of the attempts is there.
    let batch = unsafe handler.batch
    unsafe batch.pointee.run(batch.pointee.context, memory.callPlaces, memory.outcomePlaces, UInt32(attempts.count))
    for index in attempts.indices { unsafe end(attempts[index], memory.outcomes + index, isAsked: memory.asked[index]) }
    memory.free()
  }

  private func end(_ one: GatheredAttempt, _ outcome: UnsafePointer<millrace_outcome>, isAsked: Bool) {
    let host = handler.host
    // Asked for, the token may have been completed, and the attempt is nobody's to touch: nor does it lead here any more.
    if !isAsked { unsafe one.attempt.pointee.asked = nil }
    switch unsafe outcome.pointee.status {
    case UInt32(MILLRACE_PENDING) where isAsked: return
    case UInt32(MILLRACE_PENDING):
      HostFunctions.fail(
        host, one.job, EngineErrorType.badOutcome,
        "the batch left the attempt pending and did not ask for its token: nobody could complete it")
    case BatchCall.unsaid:
      HostFunctions.fail(
        host, one.job, EngineErrorType.badOutcome, "the batch said nothing of this attempt: the status of its outcome was not set")
    default: _ = unsafe HostFunctions.complete(host, one.job, outcome)
    }
  }
}

/// What one call for several attempts is handed.
@safe private struct BatchMemory {
  private let memory: UnsafeMutableRawPointer
  let outcomes: UnsafeMutablePointer<millrace_outcome>
  private let calls: UnsafeMutablePointer<millrace_call>
  let callPlaces: UnsafeMutablePointer<UnsafePointer<millrace_call>?>
  let outcomePlaces: UnsafeMutablePointer<UnsafeMutablePointer<millrace_outcome>?>
  /// Whether the token of each was asked for.
  let asked: UnsafeMutablePointer<Bool>
  /// Written only where something goes wrong.
  private let messages: UnsafeMutablePointer<CChar>

  /// For `count` attempts: some 4.3 KiB each, of which the messages are not touched.
  init(_ count: Int) {
    // unsafe: one block, whose parts follow each other as they are aligned; freed by `free`.
    let fixed =
      unsafe MemoryLayout<millrace_outcome>.stride + MemoryLayout<millrace_call>.stride + 2 * MemoryLayout<UnsafeRawPointer>.stride + 1
    unsafe memory = .allocate(byteCount: count * (fixed + Int(MILLRACE_MESSAGE_BYTES)), alignment: 16)
    unsafe outcomes = memory.assumingMemoryBound(to: millrace_outcome.self)
    unsafe calls = UnsafeMutableRawPointer(outcomes + count).assumingMemoryBound(to: millrace_call.self)
    unsafe callPlaces = UnsafeMutableRawPointer(calls + count).assumingMemoryBound(to: UnsafePointer<millrace_call>?.self)
    unsafe outcomePlaces = UnsafeMutableRawPointer(callPlaces + count).assumingMemoryBound(to: UnsafeMutablePointer<millrace_outcome>?.self)
    unsafe asked = UnsafeMutableRawPointer(outcomePlaces + count).assumingMemoryBound(to: Bool.self)
    unsafe messages = UnsafeMutableRawPointer(asked + count).assumingMemoryBound(to: CChar.self)
  }

  mutating func prepare(_ index: Int, _ call: millrace_call, status: UInt32) {
    unsafe (calls + index).initialize(to: call)
    unsafe (callPlaces + index).initialize(to: UnsafePointer(calls + index))
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    unsafe outcome.status = status
    unsafe outcome.message = messages + index * Int(MILLRACE_MESSAGE_BYTES)
    unsafe outcome.message_capacity = UInt32(MILLRACE_MESSAGE_BYTES)
    unsafe (outcomes + index).initialize(to: outcome)
    unsafe (outcomePlaces + index).initialize(to: outcomes + index)
    unsafe (asked + index).initialize(to: false)
  }

  func free() { unsafe memory.deallocate() }
}
