internal import CMillrace
internal import MillraceBroker
internal import MillraceCore
internal import MillraceWorkflow

/// A message that a run was started for: read in place, settled by how the run ends.
@safe final class MessageSubject: RunSubject, @unchecked Sendable {
  let message: ReceivedMessage
  private let queue: String
  private let contentType: UInt32
  private let monitor = Monitor()
  /// The monitor's.
  private var failure: RunFailure?
  /// The monitor's. Made for the first handler of C that asks.
  private var texts: DeliveryTexts?

  /// `queue`: where it was taken from.
  init(_ message: ReceivedMessage, of queue: String) {
    self.message = message
    self.queue = queue
    contentType = message.payloadType
  }

  deinit { monitor.deallocate() }

  // unsafe: the message keeps its payload for as long as it lives, and this object keeps the message.
  @unsafe var input: (bytes: UnsafeRawBufferPointer, contentType: UInt32) { unsafe (message.payload, contentType) }

  // unsafe: this object keeps the texts.
  @unsafe var delivery: millrace_delivery { unsafe madeTexts().fields }

  // unsafe: as above.
  @unsafe func header(_ index: Int) -> (name: UnsafePointer<CChar>, value: UnsafePointer<CChar>?)? { unsafe madeTexts().header(index) }

  private func madeTexts() -> DeliveryTexts {
    monitor.locked {
      if let texts { return texts }
      let made = DeliveryTexts(message, queue)
      texts = made
      return made
    }
  }

  var isNew: Bool { message.failedCount == 0 }

  func attemptFailed(_ failure: RunFailure) { monitor.locked { if self.failure?.kind != .parked { self.failure = failure } } }

  /// What its handler said of it, if it failed.
  var lastFailure: RunFailure? { monitor.locked { failure } }
}

extension ReceivedMessage {
  /// MILLRACE_BYTES, _JSON or _TEXT, by what the message says of its payload.
  package var payloadType: UInt32 {
    guard let text = contentType else { return UInt32(MILLRACE_BYTES) }
    if text.hasPrefix("application/json") || text.hasSuffix("+json") { return UInt32(MILLRACE_JSON) }
    return UInt32(text.hasPrefix("text/") ? MILLRACE_TEXT : MILLRACE_BYTES)
  }
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
