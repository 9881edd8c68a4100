/// 128 bits that name an event, a cause or a conversation: a UUID, or whatever its maker keeps unique.
public struct EventID: Hashable, Sendable, CustomStringConvertible {
  /// The first 64 bits as a UUID is written.
  public var high: UInt64
  /// The last 64 bits.
  public var low: UInt64

  /// From two words.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// 32 hexadecimal digits, with or without the four dashes of a UUID; nil for anything else.
  public init?(_ text: String) {
    var digits = 0
    var high: UInt64 = 0
    var low: UInt64 = 0
    let utf8 = text.utf8
    guard utf8.count == 32 || utf8.count == 36 else { return nil }
    for (index, byte) in utf8.enumerated() {
      if utf8.count == 36, [8, 13, 18, 23].contains(index) {
        if byte != UInt8(ascii: "-") { return nil }
        continue
      }
      guard let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 128 else { return nil }
      if digits < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
      digits += 1
    }
    self.init(high: high, low: low)
  }

  /// As a UUID is written: lower case, with dashes.
  public var description: String {
    let digits = Self.hexadecimal(high) + Self.hexadecimal(low)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(index) { text.append("-") }
      text.append(digit)
    }
    return text
  }

  private static func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }
}

/// Where an event belongs in a distributed trace: the parts of a W3C `traceparent`.
public struct EventTrace: Hashable, Sendable {
  /// The id of the trace, 128 bits.
  public var trace: EventID
  /// The id of the span that the event came from.
  public var span: UInt64
  /// The flags: 1 sampled.
  public var flags: UInt8

  /// The parts as a `traceparent` has them.
  public init(trace: EventID, span: UInt64, flags: UInt8) {
    self.trace = trace
    self.span = span
    self.flags = flags
  }
}

/// An event that is to be appended.
public struct EventDraft: Sendable {
  /// By this an append that is repeated is recognised. Unique within its stream.
  public var id: EventID
  /// What has happened, such as `order-placed`: 1 to `EventLimits.name` bytes.
  public var type: String
  /// The shape of the payload, for its readers.
  public var typeVersion: UInt16
  /// What kind of bytes the payload is: 1 to `EventLimits.name` bytes.
  public var contentType: String
  /// At most `EventLimits.payload` bytes.
  public var payload: [UInt8]
  /// The conversation that it is part of.
  public var correlation: EventID?
  /// The event or command that caused it.
  public var causation: EventID?
  /// Where it belongs in a distributed trace.
  public var trace: EventTrace?

  /// Checked when it is appended.
  public init(
    id: EventID, type: String, typeVersion: UInt16 = 1, contentType: String = EventDraft.json, payload: [UInt8],
    correlation: EventID? = nil, causation: EventID? = nil, trace: EventTrace? = nil
  ) {
    self.id = id
    self.type = type
    self.typeVersion = typeVersion
    self.contentType = contentType
    self.payload = payload
    self.correlation = correlation
    self.causation = causation
    self.trace = trace
  }

  /// `application/json`, the content type unless another is given.
  public static let json = "application/json"
}

/// An event that has happened.
public struct RecordedEvent: Sendable, Equatable {
  /// Its place among all events of the store, from 0.
  public var position: UInt64
  /// The stream that it stands in.
  public var stream: StreamName
  /// Its place in the stream, from 0, without gaps.
  public var version: UInt64
  /// Whom it belongs to.
  public var tenant: String?
  /// Unique in its stream.
  public var id: EventID
  /// What has happened.
  public var type: String
  /// The shape of the payload.
  public var typeVersion: UInt16
  /// What kind of bytes the payload is.
  public var contentType: String
  /// As it was appended.
  public var payload: [UInt8]
  /// The conversation that it is part of.
  public var correlation: EventID?
  /// The event or command that caused it.
  public var causation: EventID?
  /// Where it belongs in a distributed trace.
  public var trace: EventTrace?
  /// Nanoseconds since 1970, UTC, by the clock of who appended it. Not the order: that is `position`.
  public var time: Int64

  /// For stores.
  public init(
    position: UInt64, stream: StreamName, version: UInt64, tenant: String?, id: EventID, type: String, typeVersion: UInt16,
    contentType: String, payload: [UInt8], correlation: EventID?, causation: EventID?, trace: EventTrace?, time: Int64
  ) {
    self.position = position
    self.stream = stream
    self.version = version
    self.tenant = tenant
    self.id = id
    self.type = type
    self.typeVersion = typeVersion
    self.contentType = contentType
    self.payload = payload
    self.correlation = correlation
    self.causation = causation
    self.trace = trace
    self.time = time
  }
}
