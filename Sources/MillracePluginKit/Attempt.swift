import CMillrace

/// The host's functions for one attempt.
@safe struct AttemptAccess: Sendable {
  // The host's, valid as long as the attempt is; `Call` and `Completion` keep it no longer.
  nonisolated(unsafe) let table: UnsafePointer<millrace_host>
  nonisolated(unsafe) let attempt: OpaquePointer

  init(host: UnsafePointer<millrace_host>, attempt: OpaquePointer) {
    unsafe table = host
    unsafe self.attempt = attempt
  }

  var host: Host { unsafe Host(pointer: table) }
  var isCancelled: Bool { unsafe table.pointee.cancelled(attempt) != 0 }
  var inputCount: Int { Int(unsafe table.pointee.input_count(attempt)) }

  func heartbeat(_ progress: Int) { unsafe table.pointee.heartbeat(attempt, UInt32(min(max(progress, 0), 1000))) }

  func input(_ index: Int) throws(HandlerError) -> millrace_input {
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    guard let wanted = UInt32(exactly: index), unsafe table.pointee.input(attempt, wanted, &input) == 0 else {
      throw .failed("bad-input", "there is no input \(index): the task has \(inputCount)")
    }
    return unsafe input
  }

  func claim(_ count: Int, _ type: ContentType) throws(HandlerError) -> Claim {
    var payload = millrace_payload()
    guard count >= 0, let bytes = unsafe table.pointee.claim(attempt, UInt64(count), type.code, &payload) else {
      throw .failed("too-large", "the host gave no \(count) bytes for an output, the limit is \(MILLRACE_INLINE_BYTES)")
    }
    return unsafe Claim(UnsafeMutableRawBufferPointer(start: bytes, count: count), payload)
  }

  /// The value of a variable of the task's `env`, copied; nil: it has none of that name.
  func variable(_ name: String) -> String? {
    guard let found = unsafe table.pointee.extension?(table, MILLRACE_ENVIRONMENT) else { return nil }
    // The id names this struct; it is the host's until the plugin has stopped.
    let environment = unsafe found.assumingMemoryBound(to: millrace_environment.self)
    return unsafe environment.pointee.get(attempt, name).map { unsafe String(cString: $0) }
  }

  func completion() -> Completion { Completion(self, token: unsafe table.pointee.token(attempt)) }

  /// Writes a result.
  ///
  /// - Returns: the status.
  /// - Throws: `too-large`.
  func write(_ output: Output, to outcome: UnsafeMutablePointer<millrace_outcome>) throws(HandlerError) -> UInt32 {
    // The host's outcome, for the call.
    if case .pending = output.content {
      unsafe outcome.pointee.status = UInt32(MILLRACE_PENDING)
    } else {
      unsafe outcome.pointee.output = try payload(of: output)
      unsafe outcome.pointee.status = UInt32(MILLRACE_DONE)
    }
    return unsafe outcome.pointee.status
  }

  /// Writes an error. Details that the host has no room for are left out, and the message says so.
  ///
  /// - Returns: the status.
  func write(_ error: HandlerError, to outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    var message = error.message
    // The host's outcome, for the call.
    unsafe outcome.pointee.output = millrace_payload()
    if let details = error.details {
      do throws(HandlerError) {
        unsafe outcome.pointee.details = try payload(of: details)
      } catch {
        message += " (without its details: \(error.message))"
      }
    }
    switch error.kind {
    case .failed: unsafe outcome.pointee.status = UInt32(MILLRACE_FAILED)
    case .cancelled: unsafe outcome.pointee.status = UInt32(MILLRACE_CANCELLED)
    case .retry(let after):
      unsafe outcome.pointee.status = UInt32(MILLRACE_RETRY)
      unsafe outcome.pointee.retry_after = after?.nanoseconds ?? 0
    }
    unsafe withUnsafeMutableBytes(of: &outcome.pointee.error_type) { _ = unsafe copyText(error.type, to: $0) }
    if let start = unsafe outcome.pointee.message {
      let room = unsafe UnsafeMutableRawBufferPointer(start: start, count: Int(outcome.pointee.message_capacity))
      unsafe outcome.pointee.message_length = UInt32(copyText(message, to: room))
    }
    return unsafe outcome.pointee.status
  }

  private func payload(of output: Output) throws(HandlerError) -> millrace_payload {
    switch output.content {
    case .empty, .pending: return millrace_payload()
    case .claimed(let payload): return payload
    case .bytes(let bytes, let type): return try copy(bytes.span, type)
    case .text(let text, let type): return try copy(text.utf8Span.span, type)
    }
  }

  private func copy(_ bytes: Span<UInt8>, _ type: ContentType) throws(HandlerError) -> millrace_payload {
    var payload = millrace_payload()
    guard let target = unsafe table.pointee.claim(attempt, UInt64(bytes.count), type.code, &payload) else {
      throw .failed("too-large", "the output has \(bytes.count) bytes, the limit is \(MILLRACE_INLINE_BYTES)")
    }
    // `claim` gave `bytes.count` bytes.
    unsafe bytes.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(start: target, count: $0.count).copyMemory(from: $0) }
    return payload
  }
}

/// Ends an attempt that goes on after its handler returned, from any thread, once. Dropping it unused fails the attempt.
@safe public struct Completion: ~Copyable, Sendable {
  private let access: AttemptAccess
  private let token: millrace_token

  init(_ access: AttemptAccess, token: millrace_token) {
    self.access = access
    self.token = token
  }

  deinit {
    _ = Self.end(access, token, .failure(.failed("abandoned", "the handler dropped its completion")), after: nil)
  }

  public var host: Host { access.host }
  /// Whether the attempt should stop.
  public var isCancelled: Bool { access.isCancelled }
  public func heartbeat(perMille progress: Int) { access.heartbeat(progress) }

  /// Ends the attempt, at once or by the host's timers after a delay; no thread is held.
  ///
  /// - Returns: whether it was in time; false if the attempt was already completed, timed out or cancelled.
  @discardableResult
  public consuming func finish(_ output: Output, after delay: Duration? = nil) -> Bool { end(.success(output), after: delay) }

  /// Ends the attempt with an error; as ``finish(_:after:)``.
  @discardableResult
  public consuming func fail(_ error: HandlerError, after delay: Duration? = nil) -> Bool { end(.failure(error), after: delay) }

  private consuming func end(_ result: Result<Output, HandlerError>, after delay: Duration?) -> Bool {
    let taken = Self.end(access, token, result, after: delay)
    discard self
    return taken
  }

  private static func end(
    _ access: AttemptAccess, _ token: millrace_token, _ result: Result<Output, HandlerError>, after delay: Duration?
  ) -> Bool {
    // The buffer and the outcome live until the host has read them, during the call.
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MILLRACE_MESSAGE_BYTES)) { message in
      var outcome = unsafe millrace_outcome()
      unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
      unsafe outcome.message = message.baseAddress
      unsafe outcome.message_capacity = UInt32(message.count)
      do throws(HandlerError) {
        _ = try unsafe access.write(result.get(), to: &outcome)
      } catch {
        _ = unsafe access.write(error, to: &outcome)
      }
      let host = unsafe access.table
      guard let delay else { return unsafe host.pointee.complete(host, token, &outcome) == 0 }
      return unsafe host.pointee.complete_after(host, token, delay.nanoseconds, &outcome) == 0
    }
  }
}
