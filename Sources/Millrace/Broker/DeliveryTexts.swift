internal import CMillrace
internal import MillraceBroker

/// What a message says of itself, as C reads it: one piece of memory for all its texts.
@safe final class DeliveryTexts: @unchecked Sendable {
  // unsafe: made in `init`, freed in deinit, and written by nobody in between. What the others point into.
  private let memory: UnsafeMutablePointer<CChar>
  let fields: millrace_delivery
  private let headers: [(name: UnsafePointer<CChar>, value: UnsafePointer<CChar>?)]

  /// Complexity: O(bytes of the texts).
  init(_ message: ReceivedMessage, _ queue: String) {
    var bytes: [CChar] = []
    func place(_ text: String?) -> Int? {
      guard let text else { return nil }
      let start = bytes.count
      for byte in text.utf8 { bytes.append(CChar(bitPattern: byte)) }
      bytes.append(0)
      return start
    }
    let texts = [
      queue, message.exchange, message.key, message.messageID, message.contentType, message.correlationID, message.replyTo, message.type,
      message.tenant,
    ].map { place($0) }
    let values = message.headers
    let fields = values.names.map { name in (place(name), place(values[name].flatMap { $0.text })) }
    let memory = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    unsafe memory.initialize(from: bytes, count: bytes.count)
    func pointer(_ start: Int?) -> UnsafePointer<CChar>? { unsafe start.map { unsafe UnsafePointer(memory + $0) } }
    unsafe self.memory = memory
    unsafe headers = fields.map { unsafe (name: pointer($0.0)!, value: pointer($0.1)) }
    unsafe self.fields = millrace_delivery(
      size: UInt32(MemoryLayout<millrace_delivery>.size), priority: UInt32(message.priority), queue: pointer(texts[0]),
      exchange: pointer(texts[1]), key: pointer(texts[2]), id: pointer(texts[3]), content_type: pointer(texts[4]),
      correlation_id: pointer(texts[5]), reply_to: pointer(texts[6]), type: pointer(texts[7]), tenant: pointer(texts[8]),
      timestamp: message.timestamp ?? 0, acquired: UInt32(clamping: message.acquiredCount), failed: UInt32(clamping: message.failedCount),
      header_count: UInt32(fields.count), reserved: 0)
  }

  deinit { unsafe memory.deallocate() }

  /// nil: there is none of that number.
  @unsafe func header(_ index: Int) -> (name: UnsafePointer<CChar>, value: UnsafePointer<CChar>?)? {
    unsafe headers.indices.contains(index) ? headers[index] : nil
  }
}

extension HeaderValue {
  /// As text; nil: it is neither a text nor a number.
  fileprivate var text: String? {
    switch self {
    case .text(let text): text
    case .boolean(let value): value ? "true" : "false"
    case .integer(let value): "\(value)"
    case .unsigned(let value): "\(value)"
    case .real(let value): "\(value)"
    case .decimal(let scale, let value): DecimalText.text(value, scale: scale)
    case .void, .bytes, .nested: nil
    }
  }
}

/// A number with so many digits behind the point.
private enum DecimalText {
  static func text(_ value: UInt32, scale: UInt8) -> String {
    let digits = "\(value)"
    if scale == 0 { return digits }
    let padded = String(repeating: "0", count: max(0, Int(scale) + 1 - digits.count)) + digits
    return "\(padded.dropLast(Int(scale))).\(padded.suffix(Int(scale)))"
  }
}
