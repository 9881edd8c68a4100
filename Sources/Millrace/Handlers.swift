internal import CMillrace
internal import Glibc
public import MillraceWorkflow

/// Bytes that a task takes or gives, and what they are.
public struct Payload: Sendable, Hashable {
  public enum ContentType: UInt32, Sendable, Hashable { case bytes, json, text }

  public var bytes: [UInt8]
  public var contentType: ContentType

  public init(_ bytes: [UInt8], _ contentType: ContentType = .bytes) {
    self.bytes = bytes
    self.contentType = contentType
  }

  public static func text(_ text: String) -> Payload { Payload(Array(text.utf8), .text) }
  public static func json(_ value: JSON) -> Payload { Payload(value.utf8(), .json) }
  public static let empty = Payload([])

  /// The value; nil if the bytes are no JSON text. Where the fault's place matters, use `JSON(parsing:)`.
  public var json: JSON? { try? JSON(parsing: bytes) }
  public var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Thrown by a handler to say how its attempt failed.
public struct TaskFailure: Error, Sendable, Hashable {
  /// Short word for the kind of error, at most 63 bytes; retry policies match it.
  public var type: String
  public var message: String
  /// False: no attempt can cure it.
  public var isRetryable: Bool
  /// Wait before the next attempt, nanoseconds, instead of the policy's; 0: as the policy says.
  public var retryAfter: UInt64

  public init(_ type: String, _ message: String, isRetryable: Bool = true, retryAfter: UInt64 = 0) {
    self.type = type
    self.message = message
    self.isRetryable = isRetryable
    self.retryAfter = retryAfter
  }
}

/// One attempt, as a registered function sees it. Valid for the call.
@safe public struct TaskCall: ~Copyable {
  private let call: UnsafePointer<millrace_call>

  /// unsafe: valid for the handler's call.
  @unsafe init(_ call: UnsafePointer<millrace_call>) { unsafe self.call = call }

  /// From 1.
  public var attempt: Int { unsafe Int(call.pointee.attempt_number) }
  public var taskID: String { unsafe String(cString: call.pointee.task_id) }
  /// `run/task`: the same for every attempt: the idempotency key.
  public var key: String { unsafe String(cString: call.pointee.task_key) }
  /// True once the attempt should stop. One load; may be asked often.
  public var isCancelled: Bool { unsafe call.pointee.host.pointee.cancelled(call.pointee.attempt) != 0 }
  /// Input 0: the definition's `input`, which the engine has written as JSON; `null` if there is none.
  public var input: JSON {
    // The engine wrote these bytes itself, from a value: they are JSON.
    (try? JSON(parsing: inputBytes(0))) ?? .null
  }
  /// Outputs of the dependencies, in the order of the definition.
  public var inputs: [Payload] { (1..<inputCount).map { Payload(inputBytes($0), contentType($0)) } }
  public var inputCount: Int { unsafe Int(call.pointee.host.pointee.input_count(call.pointee.attempt)) }

  /// Calls `body` with the bytes of an input where they lie, without a copy. nil: there is no such input.
  public func withInput<Result>(_ index: Int, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result? {
    guard index >= 0, let input = unsafe find(index) else { return nil }
    return try unsafe body(UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)))
  }

  /// The value of a variable of the task's `env`, where its secrets are; nil: it has none of that name.
  public func environment(_ name: String) -> String? {
    guard let found = unsafe call.pointee.host.pointee.extension(call.pointee.host, MILLRACE_ENVIRONMENT) else { return nil }
    // unsafe: the id names this struct; the value is copied.
    let environment = unsafe found.assumingMemoryBound(to: millrace_environment.self)
    return unsafe environment.pointee.get(call.pointee.attempt, name).map { unsafe String(cString: $0) }
  }

  /// Says that the attempt is alive, with its progress from 0 to 1.
  public func heartbeat(progress: Double = 0) {
    unsafe call.pointee.host.pointee.heartbeat(call.pointee.attempt, progress > 0 ? UInt32(min(progress, 1) * 1000) : 0)
  }

  private func find(_ index: Int) -> millrace_input? {
    var input = unsafe millrace_input()
    unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
    guard unsafe call.pointee.host.pointee.input(call.pointee.attempt, UInt32(index), &input) == 0 else { return nil }
    return unsafe input
  }

  private func inputBytes(_ index: Int) -> [UInt8] { unsafe withInput(index) { unsafe Array($0) } ?? [] }

  private func contentType(_ index: Int) -> Payload.ContentType {
    guard let input = unsafe find(index) else { return .bytes }
    return unsafe Payload.ContentType(rawValue: input.payload.content_type) ?? .bytes
  }
}

/// A Swift function behind the plugin interface: the same way in as for a shared object.
@safe final class RegisteredHandler: @unchecked Sendable {
  let name: String
  private let body: @Sendable (borrowing TaskCall) throws -> Payload
  private let cName: UnsafeMutablePointer<CChar>
  let pointer: UnsafeMutablePointer<millrace_handler>

  init(name: String, blocking: Bool, exclusive: Bool, concurrency: Int, _ body: @escaping @Sendable (borrowing TaskCall) throws -> Payload)
  {
    self.name = name
    self.body = body
    // unsafe: freed in deinit; the engine keeps this object until its threads have stopped.
    unsafe cName = strdup(name)
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: millrace_handler())
    unsafe pointer.pointee.size = UInt32(MemoryLayout<millrace_handler>.size)
    unsafe pointer.pointee.flags = (blocking ? UInt32(MILLRACE_BLOCKING) : 0) | (exclusive ? UInt32(MILLRACE_EXCLUSIVE) : 0)
    unsafe pointer.pointee.name = UnsafePointer(cName)
    unsafe pointer.pointee.summary = UnsafePointer(cName)
    unsafe pointer.pointee.concurrency = UInt32(clamping: concurrency)
    unsafe pointer.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    unsafe pointer.pointee.run = { context, call, outcome in
      // unsafe: the context is this object; call and outcome are the host's, for the call.
      let handler = unsafe Unmanaged<RegisteredHandler>.fromOpaque(context!).takeUnretainedValue()
      return unsafe handler.run(call!, outcome!)
    }
  }

  deinit {
    unsafe pointer.deallocate()
    unsafe free(cName)
  }

  /// `name` or `plugin/name`, each of a-z, 0-9 and -.
  var hasGoodName: Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count)
      && parts.allSatisfy { part in
        (1..<Int(MILLRACE_NAME_BYTES)).contains(part.utf8.count)
          && part.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
      }
  }

  private func run(_ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    do {
      let output = try body(unsafe TaskCall(call))
      if output.bytes.isEmpty {
        unsafe outcome.pointee.output.content_type = output.contentType.rawValue
        return UInt32(MILLRACE_DONE)
      }
      var payload = millrace_payload()
      let host = unsafe call.pointee.host!
      guard
        let target = unsafe host.pointee.claim(
          call.pointee.attempt, UInt64(output.bytes.count), output.contentType.rawValue, &payload)
      else {
        let isTooLarge = output.bytes.count > Int(MILLRACE_INLINE_BYTES)
        let message =
          isTooLarge
          ? "an output of \(output.bytes.count) bytes: at most \(MILLRACE_INLINE_BYTES) fit"
          : "no memory for an output of \(output.bytes.count) bytes"
        return unsafe fail(TaskFailure(isTooLarge ? "too-large" : "no-memory", message, isRetryable: !isTooLarge), outcome)
      }
      unsafe output.bytes.withUnsafeBytes {
        unsafe target.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(target), byteCount: $0.count)
      }
      unsafe outcome.pointee.output = payload
      return UInt32(MILLRACE_DONE)
    } catch let failure as TaskFailure {
      return unsafe fail(failure, outcome)
    } catch is CancellationError {
      return UInt32(MILLRACE_CANCELLED)
    } catch {
      return unsafe fail(TaskFailure("error", "\(error)"), outcome)
    }
  }

  private func fail(_ failure: TaskFailure, _ outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    unsafe outcome.pointee.retry_after = failure.retryAfter
    unsafe withUnsafeMutableBytes(of: &outcome.pointee.error_type) { target in
      for (i, byte) in failure.type.utf8.prefix(target.count - 1).enumerated() { unsafe target[i] = byte }
    }
    let room = unsafe Int(outcome.pointee.message_capacity) - 1
    var length = 0
    for scalar in failure.message.unicodeScalars {
      let bytes = Array(UTF8.encode(scalar)!)
      if length + bytes.count > room { break }
      for byte in bytes {
        unsafe outcome.pointee.message[length] = CChar(bitPattern: byte)
        length += 1
      }
    }
    unsafe outcome.pointee.message_length = UInt32(length)
    return UInt32(failure.isRetryable ? MILLRACE_RETRY : MILLRACE_FAILED)
  }
}
