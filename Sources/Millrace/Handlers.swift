package import CMillrace
internal import Glibc
public import MillraceWorkflow

/// Bytes that a task takes or gives, and what they are.
public struct Payload: Sendable, Hashable {
  /// What bytes are; handlers that read them need not ask.
  public enum ContentType: UInt32, Sendable, Hashable {
    /// Anything.
    case bytes
    /// A JSON text.
    case json
    /// UTF-8.
    case text
  }

  /// The bytes themselves, at most 16 MiB as the output of a task.
  public var bytes: [UInt8]
  /// What the bytes are said to be. It is not checked.
  public var contentType: ContentType

  /// Takes bytes as they are.
  public init(_ bytes: [UInt8], _ contentType: ContentType = .bytes) {
    self.bytes = bytes
    self.contentType = contentType
  }

  /// A text, as UTF-8. Complexity: O(bytes).
  public static func text(_ text: String) -> Payload { Payload(Array(text.utf8), .text) }
  /// A JSON value, as text without blanks. Complexity: O(bytes).
  public static func json(_ value: JSON) -> Payload { Payload(value.utf8(), .json) }
  /// No bytes: what a task without an output gives.
  public static let empty = Payload([])

  /// The value; nil if the bytes are no JSON text. Where the fault's place matters, use `JSON(parsing:)`.
  public var json: JSON? { try? JSON(parsing: bytes) }
  /// The bytes as UTF-8; what is none becomes U+FFFD. Complexity: O(bytes).
  public var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Thrown by a handler to say how its attempt failed.
public struct TaskFailure: Error, Sendable, Hashable {
  /// Short word for the kind of error, at most 63 bytes; retry policies match it.
  public var type: String
  /// For people, at most 4,095 bytes; the rest is cut off.
  public var message: String
  /// False: no attempt can cure it.
  public var isRetryable: Bool
  /// Wait before the next attempt, nanoseconds, instead of the policy's; 0: as the policy says.
  public var retryAfter: UInt64

  /// A failure of the kind `type`. `retryAfter`: nanoseconds, 0: as the policy says.
  public init(_ type: String, _ message: String, isRetryable: Bool = true, retryAfter: UInt64 = 0) {
    self.type = type
    self.message = message
    self.isRetryable = isRetryable
    self.retryAfter = retryAfter
  }

  /// As above, with the wait as a duration; a negative one is none.
  public init(_ type: String, _ message: String, retryAfter: Duration) {
    self.init(type, message, retryAfter: UInt64(clamping: retryAfter))
  }
}

/// An error of a program's own that says how the retry policy is to take it. All three have a default.
public protocol RetryableError: Error {
  /// Short word for the kind of error, at most 63 bytes; retry policies match it. By default the name of the type.
  var errorType: String { get }
  /// False: no attempt can cure it. By default true.
  var isRetryable: Bool { get }
  /// Wait before the next attempt, instead of the policy's; nil, the default: as the policy says.
  var retryAfter: Duration? { get }
}

extension RetryableError {
  public var errorType: String { "\(Self.self)" }
  public var isRetryable: Bool { true }
  public var retryAfter: Duration? { nil }
}

/// One attempt, as a registered function sees it. Valid for the call.
@safe public struct TaskCall: ~Copyable {
  private let call: UnsafePointer<millrace_call>

  /// unsafe: valid for the handler's call.
  @unsafe init(_ call: UnsafePointer<millrace_call>) { unsafe self.call = call }

  /// From 1.
  public var attempt: Int { unsafe Int(call.pointee.attempt_number) }
  /// The definition's id of the task.
  public var taskID: String { unsafe String(cString: call.pointee.task_id) }
  /// `run/task`: the same for every attempt: the idempotency key.
  public var key: String { unsafe String(cString: call.pointee.task_key) }
  /// True once the attempt should stop. One load; may be asked often.
  public var isCancelled: Bool { unsafe call.pointee.host.pointee.cancelled(call.pointee.attempt) != 0 }
  /// Input 0: the definition's `input`, with the values of its expressions in place; `null` if there is none. Throws `TaskFailure` of type `bad-input`,
  /// which is not retried, if an output that an expression put there makes it no JSON: a name twice in an object, or too deep for `JSON.maximumDepth`.
  public var input: JSON {
    get throws(TaskFailure) {
      do { return try JSON(parsing: inputBytes(0)) } catch {
        throw TaskFailure("bad-input", "input: \(JSON.describe(error))", isRetryable: false)
      }
    }
  }
  /// Outputs of the dependencies, in the order of the definition.
  public var inputs: [Payload] { (1..<inputCount).map { Payload(inputBytes($0), contentType($0)) } }
  /// The definition's own input, and one for each dependency.
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

  /// The attempt as typed handlers see it: may be kept, and handed to other threads. Costs some 100 ns at the first call.
  public var context: TaskContext { unsafe TaskContext(AttemptLink.link(of: call)) }

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

/// A Swift function behind the plugin interface: the same way in as for a shared object. Made by `register`.
@safe public final class RegisteredHandler: @unchecked Sendable {
  /// How the function wants to be called.
  enum Body {
    case call(@Sendable (borrowing TaskCall) throws -> Payload)
    case context(@Sendable (TaskContext) throws -> Payload)
    case asynchronous(@Sendable (TaskContext) async throws -> Payload)
    /// What it gives counts so many nanoseconds later: no slot is given back meanwhile, and no thread is held.
    case delayed(Delayed)
    /// A function of C, which the core calls as it is.
    case foreign
    /// Another handler, but for the tasks for which there is a function.
    case masked(@Sendable (_ task: String) -> Delayed?, RegisteredHandler)
  }

  package typealias Delayed = @Sendable (TaskContext) -> (Result<Payload, any Error>, UInt64)

  /// What tasks name.
  public let name: String
  /// What its input may be; nil: its program does not say.
  let inputSchema: InputSchema?
  private let body: Body
  private let cName: UnsafeMutablePointer<CChar>
  let pointer: UnsafeMutablePointer<millrace_handler>

  init(name: String, blocking: Bool = false, exclusive: Bool = false, concurrency: Int = 0, inputSchema: InputSchema? = nil, _ body: Body) {
    self.name = name
    self.inputSchema = inputSchema
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

  /// A handler of C. The struct is copied; what its `run` and `context` point to is the program's, for as long as the engine.
  ///
  /// unsafe: `handler` is whole, and its `run` and `context` keep the promises of millrace/plugin.h.
  @unsafe package convenience init(name: String, _ handler: millrace_handler, inputSchema: InputSchema? = nil) {
    self.init(name: name, inputSchema: inputSchema, .foreign)
    unsafe pointer.pointee.flags = handler.flags
    unsafe pointer.pointee.concurrency = handler.concurrency
    unsafe pointer.pointee.context = handler.context
    unsafe pointer.pointee.run = handler.run
  }

  /// For `MillraceTesting`.
  package convenience init(name: String, delayed body: @escaping Delayed) { self.init(name: name, .delayed(body)) }

  /// For `MillraceTesting`: `other`, but for the tasks for which `mask` gives a function. Items of a task have ids of their own.
  package convenience init(_ other: RegisteredHandler, mask: @escaping @Sendable (_ task: String) -> Delayed?) {
    let flags = unsafe other.pointer.pointee.flags
    unsafe self.init(
      name: other.name, blocking: flags & UInt32(MILLRACE_BLOCKING) != 0, exclusive: flags & UInt32(MILLRACE_EXCLUSIVE) != 0,
      concurrency: Int(other.pointer.pointee.concurrency), .masked(mask, other))
  }

  deinit {
    unsafe pointer.deallocate()
    unsafe free(cName)
  }

  /// unsafe: valid as long as this object.
  @unsafe package var handler: UnsafePointer<millrace_handler> { unsafe UnsafePointer(pointer) }

  /// `name` or `plugin/name`, each of a-z, 0-9 and -.
  package var hasGoodName: Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count)
      && parts.allSatisfy { part in
        (1..<Int(MILLRACE_NAME_BYTES)).contains(part.utf8.count)
          && part.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
      }
  }

  private func run(_ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>) -> UInt32 {
    switch body {
    case .call(let body):
      do {
        if unsafe !AttemptLink.bindsContext(call) { return unsafe AttemptEnding(try body(unsafe TaskCall(call))).fill(outcome, call) }
        let output = try TaskContext.$current.withValue(unsafe TaskContext(AttemptLink(call))) { try body(unsafe TaskCall(call)) }
        return unsafe AttemptEnding(output).fill(outcome, call)
      } catch {
        return unsafe AttemptEnding(error).fill(outcome, call)
      }
    case .context(let body):
      do {
        let context = TaskContext(unsafe AttemptLink(call))
        return unsafe AttemptEnding(try context.bound { try body(context) }).fill(outcome, call)
      } catch {
        return unsafe AttemptEnding(error).fill(outcome, call)
      }
    case .asynchronous(let body): return unsafe run(call, outcome, body)
    case .delayed(let body): return unsafe run(call, outcome, body)
    case .foreign: return unsafe pointer.pointee.run(pointer.pointee.context, call, outcome)
    case .masked(let mask, let other):
      guard let body = unsafe mask(String(cString: call.pointee.task_id)) else { return unsafe other.run(call, outcome) }
      return unsafe run(call, outcome, body)
    }
  }

  /// The task begins here, on the worker, and goes on among Swift's threads when it has waited for the first time.
  private func run(
    _ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>,
    _ body: @escaping @Sendable (TaskContext) async throws -> Payload
  ) -> UInt32 {
    let link = unsafe AttemptLink(call)
    link.begin()
    let work: @Sendable () async -> Void = {
      link.taskBegins()
      do {
        link.taskEnds(AttemptEnding(try await body(TaskContext(link))))
      } catch {
        link.taskEnds(AttemptEnding(error))
      }
    }
    let executor = link.executor
    // Not detached, it takes over what is bound here, and what an observer has bound around.
    switch (link.bindsContext, executor) {
    case (true, let executor?):
      TaskContext.$current.withValue(TaskContext(link)) { _ = _Concurrency.Task(executorPreference: executor, operation: work) }
    case (true, nil): TaskContext.$current.withValue(TaskContext(link)) { _ = _Concurrency.Task.immediate(operation: work) }
    case (false, let executor?): _Concurrency.Task.detached(executorPreference: executor, operation: work)
    case (false, nil): _Concurrency.Task.immediateDetached(operation: work)
    }
    return unsafe link.returns(call, outcome)
  }

  private func run(
    _ call: UnsafePointer<millrace_call>, _ outcome: UnsafeMutablePointer<millrace_outcome>,
    _ body: Delayed
  ) -> UInt32 {
    let context = TaskContext(unsafe AttemptLink(call))
    let (result, delay) = context.bound { body(context) }
    let ending: AttemptEnding =
      switch result {
      case .success(let output): AttemptEnding(output)
      case .failure(let error): AttemptEnding(error)
      }
    if delay == 0 { return unsafe ending.fill(outcome, call) }
    let host = unsafe call.pointee.host!
    let token = unsafe host.pointee.token(call.pointee.attempt)
    _ = unsafe ending.fill(outcome, call)
    // -1: the attempt has been ended meanwhile, and what is returned here is dropped.
    _ = unsafe host.pointee.complete_after(host, token, delay, outcome)
    return UInt32(MILLRACE_PENDING)
  }
}

extension AttemptEnding {
  init(_ output: Payload) { self = .output(output.bytes, contentType: output.contentType.rawValue) }

  /// What a handler threw.
  init(_ error: any Error) {
    switch error {
    case let failure as TaskFailure:
      self = .failed(type: failure.type, message: failure.message, isRetryable: failure.isRetryable, retryAfter: failure.retryAfter)
    case is CancellationError: self = .cancelled
    case let error as any RetryableError:
      self = .failed(
        type: error.errorType, message: "\(error)", isRetryable: error.isRetryable,
        retryAfter: error.retryAfter.map { UInt64(clamping: $0) } ?? 0)
    default: self = .failed(type: "error", message: "\(error)", isRetryable: true, retryAfter: 0)
    }
  }
}

extension UInt64 {
  /// Nanoseconds; 0 for a negative duration, at most what fits.
  package init(clamping duration: Duration) {
    let (seconds, attoseconds) = duration.components
    if seconds < 0 || attoseconds < 0 {
      self = 0
      return
    }
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
    self = overflow || carry ? .max : sum
  }
}
