internal import CMillrace
internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// A message that a run was started for: read in place, settled by how the run ends.
@safe final class MessageSubject: RunSubject, @unchecked Sendable {
  let message: ReceivedMessage
  private let contentType: UInt32
  private let monitor = Monitor()
  /// The monitor's.
  private var failure: RunFailure?

  init(_ message: ReceivedMessage) {
    self.message = message
    contentType = MessageSubject.contentType(of: message)
  }

  deinit { monitor.deallocate() }

  private static func contentType(of message: ReceivedMessage) -> UInt32 {
    guard let text = message.contentType else { return UInt32(MILLRACE_BYTES) }
    if text.hasPrefix("application/json") || text.hasSuffix("+json") { return UInt32(MILLRACE_JSON) }
    return UInt32(text.hasPrefix("text/") ? MILLRACE_TEXT : MILLRACE_BYTES)
  }

  // unsafe: the message keeps its payload for as long as it lives, and this object keeps the message.
  @unsafe var input: (bytes: UnsafeRawBufferPointer, contentType: UInt32) { unsafe (message.payload, contentType) }

  var isNew: Bool { message.failedCount == 0 }

  func attemptFailed(_ failure: RunFailure) { monitor.locked { if self.failure?.kind != .parked { self.failure = failure } } }

  /// What its handler said of it, if it failed.
  var lastFailure: RunFailure? { monitor.locked { failure } }
}

extension RunFailure {
  var settlement: Settlement {
    switch kind {
    case .retryable: .retry(after: retryAfter == 0 ? nil : retryAfter)
    case .final: .reject
    case .cancelled: .release(after: 0)
    case .parked: .release(after: retryAfter)
    }
  }
}
