internal import CMillrace
internal import CPluginCheck
internal import Glibc

/// A host of `CPluginCheck`, as Swift has it. It is never freed: what a plugin does too late is to find it.
@safe struct CheckingHost {
  // unsafe: lives for ever.
  let pointer: OpaquePointer

  /// `isBare`: it has no extensions.
  init(_ settings: [String: String] = [:], isBare: Bool = false) {
    // unsafe: copied by the host.
    let words = settings.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] }
    var texts: [UnsafePointer<CChar>?] = unsafe []
    for word in words { unsafe texts.append(UnsafePointer(strdup(word))) }
    guard let made = unsafe check_host_make(isBare ? 1 : 0, texts, UInt32(texts.count)) else {
      preconditionFailure("no memory for a host that plugins are checked by")
    }
    unsafe pointer = made
    for index in unsafe 0..<texts.count { unsafe free(UnsafeMutablePointer(mutating: texts[index])) }
  }

  var table: UnsafePointer<millrace_host> { unsafe check_host_table(pointer) }

  /// `deinit` has returned.
  func close() { unsafe check_host_close(pointer) }

  func measure(_ flag: Bool) { unsafe check_host_measure(pointer, flag ? 1 : 0) }

  /// What was done wrong since the last call.
  func faults() -> [(code: FindingCode, what: String)] {
    var found: [(FindingCode, String)] = []
    var fault = unsafe check_fault()
    while unsafe check_next_fault(pointer, &fault) != 0 {
      let function = unsafe String(cString: fault.function)
      let of = unsafe fault.attempt == 0 ? "" : " of attempt \(fault.attempt)"
      // The numbers of the header.
      let (code, what): (FindingCode, String) =
        switch unsafe Int(fault.kind) {
        case CHECK_WRONG_THREAD:
          (.wrongThread, "`\(function)`\(of) was called by a thread that is not the attempt's worker, while no token was out")
        case CHECK_ATTEMPT_OVER: (.attemptAfterEnd, "`\(function)`\(of) was called after the attempt had ended")
        case CHECK_AFTER_DEINIT: (.hostAfterDeinit, "`\(function)` was called after deinit had returned")
        case CHECK_OTHER_HOST: (.otherHost, "`\(function)` was called in a call of this instance with the host of another one")
        case CHECK_TWICE: (.completedTwice, "`\(function)` was called a second time for the token\(of)")
        case CHECK_ENDED_BY_RETURN:
          (.completedAfterReturn, "`\(function)` was called for the token\(of), which its handler had ended by what it returned")
        case CHECK_NO_TOKEN: (.noToken, "`\(function)` was called with a token that was never given")
        case CHECK_NULL: (.nullArgument, "`\(function)` was called with NULL where that may not be")
        case CHECK_LATE_TOKEN: (.lateToken, "`token`\(of) was called after its handler had returned")
        case CHECK_NO_DRAFT: (.draftAfterEnd, "`\(function)` was called for a message that was published or dropped before")
        case CHECK_LEFT_DRAFTS: (.messagesLeft, "messages that were claimed were neither published nor dropped")
        case let kind: preconditionFailure("fault \(kind) of the checking host has no words")
        }
      found.append((code, what))
    }
    return found
  }
}

/// A thread of a checking host, for attempts of one handler.
@safe struct CheckWorker {
  /// As the pools of an engine have it: blocking handlers have less.
  static func stack(_ isBlocking: Bool) -> UInt64 { isBlocking ? 512 << 10 : 8 << 20 }

  private let pointer: OpaquePointer

  init(_ host: CheckingHost, isBlocking: Bool) {
    guard let made = unsafe check_worker_make(host.pointer, Self.stack(isBlocking)) else {
      preconditionFailure("no thread for a worker that plugins are checked by")
    }
    unsafe pointer = made
  }

  /// Waits for its thread, whose last attempt has returned.
  func end() { unsafe check_worker_end(pointer) }

  /// Begins an attempt; `inputs` are copied.
  func begin(_ handler: UnsafePointer<millrace_handler>, _ inputs: [CallInput], isCancelled: Bool = false) {
    unsafe CallInput.withBytes(inputs) { bytes in
      guard unsafe check_begin(pointer, handler, bytes.baseAddress, UInt32(bytes.count), isCancelled ? 1 : 0) != 0 else {
        preconditionFailure("no memory for an attempt that a plugin is checked by")
      }
    }
  }

  /// Waits for the end of the attempt: see `check_await`. Its output is copied.
  func await(_ patience: UInt64) -> CallResult {
    unsafe withUnsafeTemporaryAllocation(of: check_result.self, capacity: 1) { result in
      unsafe check_await(pointer, patience, result.baseAddress)
      return unsafe CallResult(result[0])
    }
  }

  func letGo() { unsafe check_let_go(pointer) }

  /// Attempts one after the other, on the worker's thread; `meter` there before and after. The attempts that ended.
  func `repeat`(
    _ handler: UnsafePointer<millrace_handler>, _ inputs: [CallInput], times: Int, patience: UInt64,
    walls: UnsafeMutablePointer<UInt64>? = nil,
    meter: Meter? = nil
  ) -> Int {
    // unsafe: the meter lives as long as this call.
    let context = unsafe meter.map { unsafe Unmanaged.passUnretained($0).toOpaque() }
    return withExtendedLifetime(meter) {
      unsafe CallInput.withBytes(inputs) { bytes in
        unsafe Int(
          check_repeat(
            pointer, handler, bytes.baseAddress, UInt32(bytes.count), UInt64(times), patience, walls,
            { context, isAfter in
              guard let context = unsafe context else { return }
              unsafe Unmanaged<Meter>.fromOpaque(context).takeUnretainedValue().read(isAfter: isAfter != 0)
            }, context))
      }
    }
  }

  /// What is read on the worker's thread, around its attempts.
  final class Meter {
    private let probe: AllocationProbe
    private(set) var before = AllocationProbe.Reading()
    private(set) var after = AllocationProbe.Reading()

    init(_ probe: AllocationProbe) { self.probe = probe }

    func read(isAfter: Bool) { if isAfter { after = probe.read() } else { before = probe.read() } }
  }
}

/// Counts the allocations of a process. The command has one of its allocator.
package struct AllocationProbe: Sendable {
  package struct Reading: Sendable {
    /// Bytes that are allocated.
    package var live: UInt64 = 0
    /// Allocations so far.
    package var requests: UInt64 = 0

    package init(live: UInt64 = 0, requests: UInt64 = 0) { (self.live, self.requests) = (live, requests) }
  }

  /// With what the calling thread had kept for itself. It allocates nothing.
  let read: @Sendable () -> Reading

  package init(_ read: @escaping @Sendable () -> Reading) { self.read = read }
}

struct CallInput {
  var bytes: [UInt8]
  var type = UInt32(MILLRACE_JSON)

  init(_ bytes: [UInt8], type: Int = MILLRACE_JSON) { (self.bytes, self.type) = (bytes, UInt32(type)) }

  /// For the time of the body.
  static func withBytes<Result>(_ inputs: [CallInput], _ body: (UnsafeBufferPointer<check_bytes>) -> Result) -> Result {
    let all = inputs.flatMap(\.bytes)
    return unsafe all.withUnsafeBytes { memory in
      var start = 0
      var parts: [check_bytes] = unsafe []
      for input in inputs {
        let base = unsafe memory.baseAddress.map { unsafe $0 + start }
        unsafe parts.append(check_bytes(bytes: base, length: UInt64(input.bytes.count), content_type: input.type, reserved: 0))
        start += input.bytes.count
      }
      return unsafe parts.withUnsafeBufferPointer { unsafe body($0) }
    }
  }
}

/// How an attempt went: `check_result`, copied.
struct CallResult {
  enum State { case ended, runs, unfinished }
  enum Payload { case empty, claimed, unclaimed, tooLong }

  let state: State
  let returned: UInt32
  let status: UInt32
  let wasPending: Bool
  let output: Payload
  let details: Payload
  let outputLength: UInt64
  let claimedLength: UInt64
  let isOverrun: Bool
  let isMessageLong: Bool
  let contentType: UInt32
  /// Of an output that was claimed.
  let bytes: [UInt8]
  let message: [UInt8]
  let errorType: [UInt8]
  let wall: UInt64
  let cpu: UInt64
  let waits: UInt64

  init(_ result: check_result) {
    // unsafe: the attempt has not been let go of.
    state = unsafe Int(result.state) == CHECK_ENDED ? .ended : Int(result.state) == CHECK_RUNS ? .runs : .unfinished
    unsafe (returned, status, wasPending) = (result.returned, result.status, result.was_pending != 0)
    output = unsafe Self.payload(result.output_state)
    details = unsafe Self.payload(result.details_state)
    unsafe (outputLength, claimedLength) = (result.output_length, result.claimed_length)
    isOverrun = unsafe Int(result.damage) & CHECK_CLAIM_OVERRUN != 0
    isMessageLong = unsafe Int(result.damage) & CHECK_MESSAGE_LONG != 0
    contentType = unsafe result.content_type
    let isThere = unsafe output == .claimed && result.output != nil
    bytes = unsafe isThere ? Array(UnsafeRawBufferPointer(start: result.output, count: Int(result.output_length))) : []
    let length = unsafe Int(result.message_length)
    message = unsafe withUnsafeBytes(of: result.message) { unsafe Array($0.prefix(length)) }
    errorType = unsafe withUnsafeBytes(of: result.error_type) { unsafe Array($0) }
    unsafe (wall, cpu, waits) = (result.wall, result.cpu, result.waits)
  }

  private static func payload(_ state: UInt32) -> Payload {
    switch Int(state) {
    case CHECK_EMPTY: .empty
    case CHECK_CLAIMED: .claimed
    case CHECK_TOO_LONG: .tooLong
    default: .unclaimed
    }
  }
}
