import CMillrace

/// What the bytes of a payload are.
public struct ContentType: Sendable, Hashable {
  let code: UInt32

  init(_ code: UInt32) { self.code = code }

  public static let bytes = ContentType(UInt32(MILLRACE_BYTES))
  public static let json = ContentType(UInt32(MILLRACE_JSON))
  public static let text = ContentType(UInt32(MILLRACE_TEXT))
}

/// The result of an attempt.
public struct Output: Sendable {
  enum Content: Sendable {
    case empty
    case text(String, ContentType)
    case bytes([UInt8], ContentType)
    case claimed(millrace_payload)
    case pending
  }
  let content: Content

  init(_ content: Content) { self.content = content }

  /// No bytes.
  public static let empty = Output(.empty)
  /// JSON that is text already.
  public static func json(_ text: String) -> Output { Output(.text(text, .json)) }
  public static func json(_ writer: consuming JSONWriter) -> Output { Output(.bytes(writer.bytes, .json)) }
  public static func text(_ text: String) -> Output { Output(.text(text, .text)) }
  public static func bytes(_ bytes: [UInt8]) -> Output { Output(.bytes(bytes, .bytes)) }
}

/// Why an attempt has no result.
public struct HandlerError: Error, Sendable {
  enum Kind: Sendable {
    case failed
    case retry(after: Duration?)
    case cancelled
  }
  let kind: Kind
  /// A short word, as `not-found`; retry policies match it. At most 63 bytes arrive.
  public let type: String
  /// For people. At most 4,095 bytes arrive.
  public let message: String
  let details: Output?

  /// No attempt can cure it.
  public static func failed(_ type: String, _ message: String, details: Output? = nil) -> HandlerError {
    HandlerError(kind: .failed, type: type, message: message, details: details)
  }

  /// Another attempt may cure it: the task's retry policy decides, and waits `after` if that is given.
  public static func retry(_ type: String, _ message: String, after: Duration? = nil, details: Output? = nil) -> HandlerError {
    HandlerError(kind: .retry(after: after), type: type, message: message, details: details)
  }

  /// It stopped because the attempt was cancelled.
  public static let cancelled = HandlerError(kind: .cancelled, type: "cancelled", message: "the attempt was cancelled", details: nil)
}

extension Duration {
  /// Whole nanoseconds, rounded up so that nothing fires early; 0 for negative durations, the largest value for those beyond 584 years.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let rest = (UInt64(attoseconds) + 999_999_999) / 1_000_000_000
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = whole.addingReportingOverflow(rest)
    return overflow || carry ? .max : sum
  }
}
