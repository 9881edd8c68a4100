/// Which trace a run belongs to, and which of its spans caused it: the `traceparent` of W3C Trace Context, level 1.
///
///     let trace = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
///     let run = try engine.start(workflow, trace: trace)
///
/// A value of four words; the engine carries it and makes none up.
public struct TraceContext: Sendable, Hashable, LosslessStringConvertible {
  /// Bytes of `description`: 55, as version 00 has them.
  public static let textBytes = 55
  /// Longest text that is read, bytes: later versions may append fields.
  public static let maximumBytes = 512

  /// The 16 bytes of the trace's id, the first 8 as a number and the last 8.
  public let traceID: (high: UInt64, low: UInt64)
  /// The 8 bytes of the span's id as a number.
  public let spanID: UInt64
  /// Bit 0: the caller records the trace.
  public let flags: UInt8

  /// nil: an id is 0, which stands for none.
  public init?(traceID: (high: UInt64, low: UInt64), spanID: UInt64, flags: UInt8 = 0) {
    if (traceID.high | traceID.low) == 0 || spanID == 0 { return nil }
    (self.traceID, self.spanID, self.flags) = (traceID, spanID, flags)
  }

  /// Reads a `traceparent`. nil: it is none, as the standard says: wrong length, digits other than 0-9 and a-f, version ff, an id of zeros.
  ///
  /// Of a later version the four fields are read that version 00 has, and the rest is passed over. Complexity: O(1).
  public init?(_ text: String) {
    let bytes = Array(text.utf8.prefix(TraceContext.maximumBytes + 1))
    guard bytes.count >= TraceContext.textBytes, bytes.count <= TraceContext.maximumBytes else { return nil }
    guard bytes[2] == dash, bytes[35] == dash, bytes[52] == dash else { return nil }
    guard let version = TraceContext.number(bytes[0..<2]), version != 0xff else { return nil }
    // Version 00 ends here; what a later one appends begins with a dash.
    if bytes.count > TraceContext.textBytes, version == 0 || bytes[TraceContext.textBytes] != dash { return nil }
    guard let high = TraceContext.number(bytes[3..<19]), let low = TraceContext.number(bytes[19..<35]),
      let span = TraceContext.number(bytes[36..<52]), let flags = TraceContext.number(bytes[53..<55])
    else { return nil }
    self.init(traceID: (high, low), spanID: span, flags: UInt8(flags))
  }

  /// The caller records the trace, and asks others to.
  public var isSampled: Bool { flags & 1 != 0 }

  /// The `traceparent`, of version 00.
  public var description: String { String(decoding: utf8, as: UTF8.self) }

  /// The 32 digits of the trace's id.
  public var traceIDText: String { String(decoding: utf8[3..<35], as: UTF8.self) }
  /// The 16 digits of the span's id.
  public var spanIDText: String { String(decoding: utf8[36..<52], as: UTF8.self) }

  /// The bytes of `description`.
  var utf8: [UInt8] {
    var text: [UInt8] = [UInt8(ascii: "0"), UInt8(ascii: "0"), dash]
    text.reserveCapacity(TraceContext.textBytes)
    func append(_ number: UInt64, digits: Int) {
      for place in (0..<digits).reversed() {
        let digit = UInt8(truncatingIfNeeded: number >> UInt64(4 * place)) & 15
        text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      }
    }
    append(traceID.high, digits: 16)
    append(traceID.low, digits: 16)
    text.append(dash)
    append(spanID, digits: 16)
    text.append(dash)
    append(UInt64(flags), digits: 2)
    return text
  }

  /// nil: a digit is none of 0-9 and a-f.
  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    for digit in digits {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(digit - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
      default: return nil
      }
    }
    return number
  }

  /// Equal if all four fields are.
  public static func == (one: TraceContext, other: TraceContext) -> Bool {
    one.traceID == other.traceID && one.spanID == other.spanID && one.flags == other.flags
  }

  /// Feeds all four fields.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(traceID.high)
    hasher.combine(traceID.low)
    hasher.combine(spanID)
    hasher.combine(flags)
  }
}

private let dash = UInt8(ascii: "-")
