import CMillrace
import Foundation
import Synchronization

/// A complete host for tests: inputs from arrays, claims by `malloc`, tokens in a table, a clock that stands still.
///
/// It lives until it is freed with `end()`, after every plugin that was given `table` is unloaded.
@safe final class TestHost: Sendable {
  @safe struct State: @unchecked Sendable {
    var settings: [String: String] = [:]
    var lines: [String] = []
    var pending: [millrace_token: TestAttempt] = [:]
    var ended: [millrace_token: TestOutcome] = [:]
    var lastToken: millrace_token = 0
    // C strings handed out by `setting`; freed in `end`.
    var texts: [String: UnsafeMutablePointer<CChar>] = unsafe [:]
  }

  static let clock: UInt64 = 1_234_567_890

  let state = Mutex(State())
  nonisolated(unsafe) let table: UnsafeMutablePointer<millrace_host>

  /// Bytes by which the host's structs have grown since the header of the plugin: what lies there is not a field that the plugin knows.
  let growth: Int

  /// Takes messages; nil: the host has no broker, and no randomness.
  let post: TestPost?

  /// `growth`: a multiple of 8.
  init(settings: [String: String] = [:], growth: Int = 0, post: TestPost? = nil) {
    self.growth = growth
    self.post = post
    unsafe table = TestHost.grown(growth)
    unsafe table.initialize(
      to: millrace_host(
        size: UInt32(MemoryLayout<millrace_host>.size + growth), abi_version: MILLRACE_ABI_VERSION,
        name: strdup("tests"), version: strdup("0.1.0"), context: nil,
        now: { _ in TestHost.clock },
        setting: { host, key in unsafe TestHost.of(host).setting(String(cString: key!)) },
        log: { host, level, line in unsafe TestHost.of(host).log(level, String(cString: line!)) },
        input_count: { unsafe UInt32(TestAttempt.of($0).inputs.count) },
        input: { attempt, index, input in unsafe TestAttempt.of(attempt).input(index, input!) },
        claim: { attempt, length, type, payload in unsafe TestAttempt.of(attempt).claim(length, type, payload!) },
        cancelled: { unsafe TestAttempt.of($0).isCancelled ? 1 : 0 },
        heartbeat: { attempt, progress in unsafe TestAttempt.of(attempt).heartbeat(progress) },
        token: { attempt in
          let attempt = unsafe TestAttempt.of(attempt)
          return attempt.host.token(attempt)
        },
        complete: { host, token, outcome in unsafe TestHost.of(host).complete(token, outcome!, delay: nil) },
        complete_after: { host, token, delay, outcome in unsafe TestHost.of(host).complete(token, outcome!, delay: delay) },
        extension: { host, id in unsafe TestHost.of(host).offer(String(cString: id!)) }))
    unsafe table.pointee.context = Unmanaged.passRetained(self).toOpaque()
    state.withLock { $0.settings = settings }
  }

  /// Room for a struct and its growth, whose bytes are no pointers and no sizes.
  private static func grown<Value>(_ growth: Int) -> UnsafeMutablePointer<Value> {
    let bytes = MemoryLayout<Value>.size + growth
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xA5, count: bytes)
    return unsafe memory.assumingMemoryBound(to: Value.self)
  }

  private func isUntouched<Value>(_ pointer: UnsafeMutablePointer<Value>) -> Bool {
    let tail = unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(pointer) + MemoryLayout<Value>.size, count: growth)
    return unsafe tail.allSatisfy { $0 == 0xA5 }
  }

  func end() {
    precondition(unsafe isUntouched(table), "no plugin writes into the host's table")
    unsafe free(UnsafeMutablePointer(mutating: table.pointee.name))
    unsafe free(UnsafeMutablePointer(mutating: table.pointee.version))
    state.withLock { while let text = unsafe $0.texts.popFirst() { unsafe free(text.value) } }
    unsafe table.deallocate()
    unsafe Unmanaged.passUnretained(self).release()
  }

  var lines: [String] { state.withLock { $0.lines } }

  /// What a pending attempt ended with.
  func ended(_ token: millrace_token) -> TestOutcome? { state.withLock { $0.ended[token] } }

  private static func of(_ host: UnsafePointer<millrace_host>?) -> TestHost {
    unsafe Unmanaged<TestHost>.fromOpaque(host!.pointee.context).takeUnretainedValue()
  }

  private func setting(_ key: String) -> UnsafePointer<CChar>? {
    nonisolated(unsafe) var found: UnsafePointer<CChar>?
    state.withLock { state in
      guard let value = state.settings[key] else { return }
      let text = unsafe state.texts[key] ?? strdup(value)!
      unsafe state.texts[key] = text
      unsafe found = unsafe UnsafePointer(text)
    }
    return unsafe found
  }

  /// The extensions, where a test has set them.
  private func offer(_ id: String) -> UnsafeRawPointer? {
    switch id {
    case MILLRACE_BROKER where post != nil: unsafe UnsafeRawPointer(TestPost.table)
    case MILLRACE_RANDOM where post != nil: unsafe UnsafeRawPointer(TestPost.random)
    default: nil
    }
  }

  static func post(_ host: UnsafePointer<millrace_host>?) -> TestPost { unsafe of(host).post! }

  private func log(_ level: UInt32, _ line: String) { state.withLock { $0.lines.append("\(level) \(line)") } }

  private func token(_ attempt: TestAttempt) -> millrace_token {
    state.withLock { state in
      state.lastToken += 1
      state.pending[state.lastToken] = attempt
      return state.lastToken
    }
  }

  private func complete(_ token: millrace_token, _ outcome: UnsafePointer<millrace_outcome>, delay: UInt64?) -> Int32 {
    guard let attempt = state.withLock({ $0.pending.removeValue(forKey: token) }) else { return -1 }
    var ended = unsafe TestOutcome(outcome.pointee, status: outcome.pointee.status, attempt)
    ended.delay = delay
    state.withLock { [ended] in $0.ended[token] = ended }
    return 0
  }

  /// Runs one attempt of a handler.
  func run(_ handler: UnsafePointer<millrace_handler>, _ attempt: TestAttempt) -> TestOutcome {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MILLRACE_MESSAGE_BYTES)) { message in
      unsafe message.initialize(repeating: 0)
      let outcome: UnsafeMutablePointer<millrace_outcome> = unsafe TestHost.grown(growth)
      defer { unsafe outcome.deallocate() }
      unsafe outcome.initialize(to: millrace_outcome())
      unsafe outcome.pointee.size = UInt32(MemoryLayout<millrace_outcome>.size + growth)
      unsafe outcome.pointee.message = message.baseAddress
      unsafe outcome.pointee.message_capacity = UInt32(message.count)
      return unsafe "run-1/a".withCString { key in
        unsafe "a".withCString { id in
          let call: UnsafeMutablePointer<millrace_call> = unsafe TestHost.grown(growth)
          defer { unsafe call.deallocate() }
          unsafe call.initialize(
            to: millrace_call(
              size: UInt32(MemoryLayout<millrace_call>.size + growth), attempt_number: 1, attempt: attempt.pointer, host: table,
              task_key: key,
              task_id: id, deadline: 0, reserved: 0))
          let status = unsafe handler.pointee.run(handler.pointee.context, call, outcome)
          precondition(unsafe isUntouched(call) && isUntouched(outcome), "no plugin writes beyond the fields that it knows")
          return unsafe TestOutcome(outcome.pointee, status: status, attempt)
        }
      }
    }
  }
}

/// One attempt: its inputs, and what the handler claimed, freed with it.
@safe final class TestAttempt: Sendable {
  struct Input: Sendable {
    let name: String
    let bytes: [UInt8]
    var type = UInt32(MILLRACE_JSON)
  }

  @safe struct State: @unchecked Sendable {
    // Input bytes and names handed out, and claims; freed in `deinit`. Index = arena - 1 for claims.
    var memory: [UnsafeMutableRawPointer] = unsafe []
    var claims: [(start: UnsafeMutableRawPointer, bytes: Int)] = unsafe []
    var progress: [UInt32] = []
    var cancellationChecks = 0
    var cancelAfterChecks: Int?
  }

  let host: TestHost
  let inputs: [Input]
  let state = Mutex(State())

  init(_ host: TestHost, _ inputs: [Input] = []) {
    self.host = host
    self.inputs = inputs
  }

  /// Input 0 as JSON, then the outputs of dependencies.
  convenience init(_ host: TestHost, json: String, dependencies: [String] = []) {
    let others = dependencies.enumerated().map { Input(name: "task-\($0.offset)", bytes: Array($0.element.utf8)) }
    self.init(host, [Input(name: "input", bytes: Array(json.utf8))] + others)
  }

  deinit {
    state.withLock { while let memory = unsafe $0.memory.popLast() { unsafe free(memory) } }
  }

  var pointer: OpaquePointer { unsafe OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }
  var progress: [UInt32] { state.withLock { $0.progress } }

  /// The attempt is cancelled once the handler has looked `checks` times.
  func cancel(afterChecks checks: Int) { state.withLock { $0.cancelAfterChecks = checks } }

  static func of(_ attempt: OpaquePointer?) -> TestAttempt {
    unsafe Unmanaged<TestAttempt>.fromOpaque(UnsafeRawPointer(attempt!)).takeUnretainedValue()
  }

  var isCancelled: Bool {
    state.withLock { state in
      state.cancellationChecks += 1
      return state.cancelAfterChecks.map { state.cancellationChecks > $0 } ?? false
    }
  }

  func heartbeat(_ progress: UInt32) { state.withLock { $0.progress.append(progress) } }

  func input(_ index: UInt32, _ input: UnsafeMutablePointer<millrace_input>) -> Int32 {
    guard Int(index) < inputs.count, unsafe input.pointee.size == UInt32(MemoryLayout<millrace_input>.size) else { return -1 }
    let given = inputs[Int(index)]
    let bytes = unsafe malloc(max(1, given.bytes.count))!
    unsafe given.bytes.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(start: bytes, count: $0.count).copyMemory(from: $0) }
    let name = unsafe strdup(given.name)!
    unsafe input.pointee.payload = millrace_payload(offset: 0, length: UInt64(given.bytes.count), arena: 0, content_type: given.type)
    unsafe input.pointee.bytes = UnsafeRawPointer(bytes)
    unsafe input.pointee.name = UnsafePointer(name)
    nonisolated(unsafe) let kept = unsafe [bytes, UnsafeMutableRawPointer(name)]
    state.withLock { unsafe $0.memory += kept }
    return 0
  }

  func claim(_ length: UInt64, _ type: UInt32, _ payload: UnsafeMutablePointer<millrace_payload>) -> UnsafeMutableRawPointer? {
    guard length <= MILLRACE_INLINE_BYTES else { return nil }
    nonisolated(unsafe) let start = unsafe malloc(max(1, Int(length)))!
    let arena = state.withLock { state in
      unsafe state.memory.append(start)
      unsafe state.claims.append((start, Int(length)))
      return unsafe UInt32(state.claims.count)
    }
    unsafe payload.pointee = millrace_payload(offset: 0, length: length, arena: arena, content_type: type)
    return unsafe start
  }

  /// The bytes of a payload that the handler claimed.
  func bytes(_ payload: millrace_payload) -> [UInt8] {
    guard payload.arena > 0 else { return [] }
    return state.withLock { state in
      let claim = unsafe state.claims[Int(payload.arena) - 1]
      precondition(payload.offset == 0 && payload.length <= (unsafe claim.bytes), "an output is no longer than its claim")
      return unsafe Array(UnsafeRawBufferPointer(start: claim.start, count: Int(payload.length)))
    }
  }
}

/// An outcome, copied.
struct TestOutcome: Sendable {
  let status: UInt32
  let type: String
  let message: String
  let output: [UInt8]
  let outputType: UInt32
  let details: [UInt8]
  let retryAfter: UInt64
  var delay: UInt64?

  init(_ outcome: millrace_outcome, status: UInt32, _ attempt: TestAttempt) {
    self.status = status
    type = unsafe withUnsafeBytes(of: outcome.error_type) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    message = unsafe String(
      decoding: UnsafeRawBufferPointer(start: outcome.message, count: Int(outcome.message_length)), as: UTF8.self)
    output = unsafe attempt.bytes(outcome.output)
    outputType = unsafe outcome.output.content_type
    details = unsafe attempt.bytes(outcome.details)
    retryAfter = unsafe outcome.retry_after
  }

  var text: String { String(decoding: output, as: UTF8.self) }
}
