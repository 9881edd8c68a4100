import CMillrace

/// One attempt of a task, for the time of the handler's call. It cannot be kept.
@safe public struct Call: ~Copyable {
  // The host's, for the call.
  private let call: UnsafePointer<millrace_call>
  let access: AttemptAccess

  init(_ call: UnsafePointer<millrace_call>, _ access: AttemptAccess) {
    unsafe self.call = call
    self.access = access
  }

  /// From 1.
  public var attemptNumber: Int { Int(unsafe call.pointee.attempt_number) }
  /// `run/task`: the same for every attempt of the task. The key to make effects idempotent.
  public var taskKey: String { unsafe copiedText(call.pointee.task_key) }
  /// The definition's id of the task.
  public var taskID: String { unsafe copiedText(call.pointee.task_id) }
  /// When start-to-close ends, in nanoseconds of ``Host/now``; nil: never.
  public var deadline: UInt64? {
    let deadline = unsafe call.pointee.deadline
    return deadline == 0 ? nil : deadline
  }
  public var host: Host { access.host }

  /// Whether the attempt should stop: then throw `HandlerError.cancelled`. One load.
  public var isCancelled: Bool { access.isCancelled }

  /// - Throws: `HandlerError.cancelled` once the attempt should stop.
  public func checkCancellation() throws(HandlerError) {
    if isCancelled { throw .cancelled }
  }

  /// Says that the attempt is alive, with progress from 0 to 1000, and resets the heartbeat timeout.
  public func heartbeat(perMille progress: Int) { access.heartbeat(progress) }

  /// Input 0 is the definition's `input`; the outputs of the dependencies follow in the order of the definition.
  public var inputCount: Int { access.inputCount }

  /// The id of the task that made the input; "input" for input 0.
  ///
  /// - Throws: `bad-input` if there is no such input.
  public func inputName(_ index: Int) throws(HandlerError) -> String { unsafe copiedText(try access.input(index).name) }

  /// What the bytes of an input are.
  ///
  /// - Throws: `bad-input` if there is no such input.
  public func inputType(_ index: Int) throws(HandlerError) -> ContentType {
    ContentType(unsafe try access.input(index).payload.content_type)
  }

  /// The bytes of an input, in place.
  ///
  /// - Throws: what `body` throws; `bad-input` if there is no such input.
  public func withBytes<Result: ~Copyable>(
    ofInput index: Int, _ body: (Span<UInt8>) throws(HandlerError) -> Result
  ) throws(HandlerError) -> Result {
    let input = try unsafe access.input(index)
    let start = unsafe input.bytes?.assumingMemoryBound(to: UInt8.self)
    // The host's bytes, there until the attempt ends; the span cannot leave `body`.
    return try body(unsafe Span(_unsafeElements: UnsafeBufferPointer(start: start, count: Int(input.payload.length))))
  }

  /// An input as text, copied.
  ///
  /// - Throws: `bad-input` if there is no such input or it is not UTF-8.
  public func text(ofInput index: Int) throws(HandlerError) -> String {
    try withBytes(ofInput: index) { bytes throws(HandlerError) in
      // The bytes outlive the closure.
      guard let text = unsafe bytes.withUnsafeBytes({ unsafe String(validating: $0, as: UTF8.self) }) else {
        throw .failed("bad-input", "input \(index) is not UTF-8")
      }
      return text
    }
  }

  /// An input as JSON, copied. An empty input is null.
  ///
  /// - Throws: `bad-input` if there is no such input or it is not JSON, with the place.
  public func json(ofInput index: Int) throws(HandlerError) -> JSON {
    try withBytes(ofInput: index) { bytes throws(HandlerError) in
      guard !bytes.isEmpty else { return .null }
      do throws(JSONFault) {
        return try JSON(parsing: bytes)
      } catch {
        throw .failed("bad-input", "input \(index) is not JSON: \(error)")
      }
    }
  }

  /// The value of a variable of the task's `env`, where its secrets are; nil: it has none of that name. Put it into no output and no message.
  public func environment(_ name: String) -> String? { access.variable(name) }

  /// Memory of the host for an output, to write in place.
  ///
  /// - Throws: `too-large` if `count` exceeds 16 MiB or the host's memory is exhausted.
  public func claim(bytes count: Int, as type: ContentType) throws(HandlerError) -> Claim { try access.claim(count, type) }

  /// Ends the call but not the attempt: `body` hands the completion to whoever ends it, which may happen at once.
  ///
  /// ```swift
  /// return call.later { completion in queue.add(completion) }
  /// ```
  public func later(_ body: (consuming Completion) throws(HandlerError) -> Void) throws(HandlerError) -> Output {
    try body(access.completion())
    return Output(.pending)
  }
}

/// Writable bytes of the host, for one output.
@safe public struct Claim: ~Copyable {
  // The host's, until the run is freed.
  private let bytes: UnsafeMutableRawBufferPointer
  private var payload: millrace_payload

  init(_ bytes: UnsafeMutableRawBufferPointer, _ payload: millrace_payload) {
    unsafe self.bytes = bytes
    self.payload = payload
  }

  public var count: Int { unsafe bytes.count }

  /// Writes in place. The bytes are not zeroed.
  public mutating func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // The host gave `count` writable bytes; the span cannot leave `body`.
    var span = unsafe MutableSpan<UInt8>(_unsafeBytes: bytes)
    return try body(&span)
  }

  /// The first `length` bytes as the output.
  ///
  /// - Precondition: 0 <= `length` <= `count`.
  public consuming func output(length: Int) -> Output {
    precondition(length >= 0 && length <= (unsafe bytes.count), "an output is no longer than its claim")
    payload.length = UInt64(length)
    return Output(.claimed(payload))
  }
}
