package import CMillrace
internal import MillraceCore

/// What a Swift handler says of its attempt: an outcome of `millrace/plugin.h` as a value.
package enum AttemptEnding: Sendable {
  case output([UInt8], contentType: UInt32)
  case failed(type: String, message: String, isRetryable: Bool, retryAfter: UInt64)
  case cancelled

  /// Writes it into the outcome of a handler's call: the status. unsafe: both are the call's.
  @unsafe package func fill(_ outcome: UnsafeMutablePointer<millrace_outcome>, _ call: UnsafePointer<millrace_call>) -> UInt32 {
    let status = unsafe write(outcome) { length, type, payload in
      unsafe call.pointee.host.pointee.claim(call.pointee.attempt, length, type, &payload)
    }
    unsafe outcome.pointee.status = status
    return status
  }

  /// Calls `body` with an outcome that says this, its output in `arena`.
  func withOutcome(in arena: Arena, lane: Int, _ body: (UnsafePointer<millrace_outcome>) -> Void) {
    var outcome = unsafe millrace_outcome()
    unsafe outcome.size = UInt32(MemoryLayout<millrace_outcome>.size)
    // An output may be refused: then there is a message as well.
    var message = [CChar](repeating: 0, count: needsMessage ? Int(MILLRACE_MESSAGE_BYTES) : 0)
    // unsafe: the message's bytes live through the call.
    unsafe message.withUnsafeMutableBufferPointer { bytes in
      unsafe outcome.message = bytes.baseAddress
      unsafe outcome.message_capacity = UInt32(bytes.count)
      unsafe outcome.status = unsafe write(&outcome) { length, type, payload in
        guard length <= UInt64(MILLRACE_INLINE_BYTES), let claimed = unsafe arena.claim(lane: lane, length: Int(length)) else { return nil }
        payload = unsafe claimed.payload
        payload.content_type = type
        return unsafe claimed.bytes
      }
      unsafe body(&outcome)
    }
  }

  private var needsMessage: Bool {
    switch self {
    case .output(let bytes, _): !bytes.isEmpty
    case .failed: true
    case .cancelled: false
    }
  }

  private typealias Claim = (UInt64, UInt32, inout millrace_payload) -> UnsafeMutableRawPointer?

  private func write(_ outcome: UnsafeMutablePointer<millrace_outcome>, _ claim: Claim) -> UInt32 {
    switch self {
    case .cancelled: return UInt32(MILLRACE_CANCELLED)
    case .output(let bytes, let type):
      if bytes.isEmpty {
        unsafe outcome.pointee.output.content_type = type
        return UInt32(MILLRACE_DONE)
      }
      var payload = millrace_payload()
      guard let target = unsafe claim(UInt64(bytes.count), type, &payload) else { return unsafe refuse(bytes.count, outcome, claim) }
      unsafe bytes.withUnsafeBytes { unsafe target.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      unsafe outcome.pointee.output = payload
      return UInt32(MILLRACE_DONE)
    case .failed(let type, let message, let isRetryable, let retryAfter):
      unsafe outcome.pointee.retry_after = retryAfter
      unsafe withUnsafeMutableBytes(of: &outcome.pointee.error_type) { target in
        for (i, byte) in type.utf8.prefix(target.count - 1).enumerated() { unsafe target[i] = byte }
      }
      unsafe write(message, outcome)
      return UInt32(isRetryable ? MILLRACE_RETRY : MILLRACE_FAILED)
    }
  }

  private func refuse(_ count: Int, _ outcome: UnsafeMutablePointer<millrace_outcome>, _ claim: Claim) -> UInt32 {
    let isTooLarge = count > Int(MILLRACE_INLINE_BYTES)
    let message =
      isTooLarge ? "an output of \(count) bytes: at most \(MILLRACE_INLINE_BYTES) fit" : "no memory for an output of \(count) bytes"
    let type = isTooLarge ? "too-large" : "no-memory"
    return unsafe AttemptEnding.failed(type: type, message: message, isRetryable: !isTooLarge, retryAfter: 0).write(outcome, claim)
  }

  /// As much of a message as there is room for, in whole characters.
  private func write(_ message: String, _ outcome: UnsafeMutablePointer<millrace_outcome>) {
    let room = unsafe Int(outcome.pointee.message_capacity) - 1
    var length = 0
    for scalar in message.unicodeScalars {
      let bytes = UTF8.encode(scalar)!
      if length + bytes.count > room { break }
      for byte in bytes {
        unsafe outcome.pointee.message[length] = CChar(bitPattern: byte)
        length += 1
      }
    }
    unsafe outcome.pointee.message_length = UInt32(max(length, 0))
  }
}
