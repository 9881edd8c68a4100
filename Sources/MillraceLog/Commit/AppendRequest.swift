/// An event that is handed to a log where it lies. All that is pointed to stays as it is until the append has ended.
@safe public struct RawEvent {
  /// By this an append that is repeated is recognised.
  public var id: EventID
  /// Where the payload lies; nil if it has no bytes.
  public var payload: UnsafeRawPointer?
  /// Of the payload.
  public var bytes: UInt32
  /// What has happened.
  public var type: EventTypeNumber
  /// The shape of the payload, for its readers.
  public var typeVersion: UInt16
  /// What kind of bytes the payload is.
  public var contentType: ContentTypeNumber
  /// nil: without correlation, causation and trace.
  public var context: UnsafePointer<EventContext>?
  /// Of the payload, if it is sealed.
  var key: UInt32?

  /// unsafe: there are `bytes` bytes at `payload`, and `context` is valid, until the append has ended.
  @unsafe public init(
    id: EventID, type: EventTypeNumber, typeVersion: UInt16 = 1, contentType: ContentTypeNumber = .json, payload: UnsafeRawPointer?,
    bytes: Int,
    context: UnsafePointer<EventContext>? = nil
  ) {
    precondition(0...EventLimits.payload ~= bytes, "a payload has at most \(EventLimits.payload) bytes")
    self.id = id
    unsafe self.payload = payload
    self.bytes = UInt32(bytes)
    self.type = type
    self.typeVersion = typeVersion
    self.contentType = contentType
    unsafe self.context = context
  }
}

/// What an event is part of.
public struct EventContext: Sendable {
  /// The conversation that the event is part of.
  public var correlation: EventID?
  /// The event or command that caused it.
  public var causation: EventID?
  /// Where it belongs in a distributed trace.
  public var trace: EventTrace?

  /// Each may be left out.
  public init(correlation: EventID? = nil, causation: EventID? = nil, trace: EventTrace? = nil) {
    self.correlation = correlation
    self.causation = causation
    self.trace = trace
  }
}

/// The number by which one log knows a stream, for as long as the log is open.
public struct StreamNumber: Hashable, Sendable { let value: UInt32 }
/// As `StreamNumber`, of a tenant; `none` is nobody.
public struct TenantNumber: Hashable, Sendable {
  let value: UInt32
  /// Nobody.
  public static let none = TenantNumber(value: 0)
}
/// As `StreamNumber`, of a type of events.
public struct EventTypeNumber: Hashable, Sendable { let value: UInt16 }
/// As `StreamNumber`, of a content type.
public struct ContentTypeNumber: Hashable, Sendable {
  let value: UInt16
  /// `application/json`.
  public static let json = ContentTypeNumber(value: 0)
}

/// Events for one stream, in an append.
@safe public struct RawStreamAppend {
  /// Where the events go.
  public var stream: StreamNumber
  /// Whom they belong to.
  public var tenant: TenantNumber
  /// What must be true of the stream.
  public var expected: ExpectedVersion
  /// The events, in their order.
  public var events: UnsafePointer<RawEvent>
  /// How many there are, 1 to `EventLimits.eventsInAppend`.
  public var count: Int
  /// Where its first event stands, once appended. After a refusal: the version where it would stand if this is a repetition, .max for nowhere.
  public internal(set) var firstVersion: UInt64 = 0
  /// The position of its first event, once appended.
  public internal(set) var firstPosition: UInt64 = 0

  /// unsafe: `events` are `count` events, 1 at least, until the append has ended.
  @unsafe public init(
    stream: StreamNumber, tenant: TenantNumber = .none, expected: ExpectedVersion = .any, events: UnsafePointer<RawEvent>, count: Int
  ) {
    precondition(1...EventLimits.eventsInAppend ~= count, "1 to \(EventLimits.eventsInAppend) events")
    self.stream = stream
    self.tenant = tenant
    self.expected = expected
    unsafe self.events = events
    self.count = count
  }
}

/// One append: to a stream, or atomically to several. In memory of whoever appends, who leaves it alone until its sink is told.
@safe public struct AppendRequest {
  /// What has become of it.
  public enum Outcome: Sendable, Equatable {
    /// Nothing yet.
    case underWay
    /// On stable storage.
    case appended
    /// Stream `part` is not as expected. `actual`: the version of its last event.
    case wrongExpectedVersion(part: Int, actual: UInt64?)
    /// Events of stream `part` are among the last of the log already, number `event` of the append one of them: `isWhole` all of them, one after the other.
    case known(part: Int, event: Int, isWhole: Bool)
    /// It does not fit into a segment of this log.
    case tooLarge
    /// The next segment cannot be made: the disk is full. Nothing was written.
    case noSpace
    /// The log does not work any more. Nothing was written.
    case unavailable
    /// The log's storage failed under it.
    case outcomeUnknown
  }

  /// Each stream once.
  public var parts: UnsafeMutablePointer<RawStreamAppend>
  /// How many parts there are, 1 to `EventLimits.streamsInAppend`.
  public var count: Int
  /// Lives until it was called for this request.
  public var sink: UnsafePointer<AppendSink>
  /// For the sink.
  public var context: UnsafeMutableRawPointer?
  /// Final when the sink is told.
  public internal(set) var outcome = Outcome.underWay
  /// Not nil: no events are appended, but this; `parts` are not looked at.
  var own: OwnEntry?

  /// unsafe: `parts` are `count` parts, 1 at least, and they and the sink live until the sink was called.
  @unsafe public init(
    _ parts: UnsafeMutablePointer<RawStreamAppend>, count: Int = 1, sink: UnsafePointer<AppendSink>, context: UnsafeMutableRawPointer? = nil
  ) {
    precondition(1...EventLimits.streamsInAppend ~= count, "1 to \(EventLimits.streamsInAppend) streams")
    unsafe self.parts = parts
    self.count = count
    unsafe self.sink = sink
    unsafe self.context = context
  }
}

/// Who is told of ended appends: of all that one commit has ended, in their order, by one call, as far as they follow each other.
///
/// Called by the thread that committed, which commits nothing meanwhile: it hands on. It may append.
@safe public struct AppendSink: Sendable {
  /// (context, pointers to requests, count). The array is the log's; the requests are the caller's again.
  public typealias Told = @convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer, Int) -> Void

  nonisolated(unsafe) let context: UnsafeMutableRawPointer?
  let told: Told

  /// unsafe: `context` is valid while appends with this sink are under way.
  @unsafe public init(context: UnsafeMutableRawPointer?, told: @escaping Told) {
    unsafe self.context = context
    unsafe self.told = told
  }

  /// The requests of a call to a sink.
  ///
  /// unsafe: for the arguments of such a call only, and as long as it lasts.
  @unsafe public static func requests(_ array: UnsafeRawPointer, _ count: Int) -> UnsafeBufferPointer<UnsafeMutablePointer<AppendRequest>> {
    unsafe UnsafeBufferPointer(start: array.assumingMemoryBound(to: UnsafeMutablePointer<AppendRequest>.self), count: count)
  }
}

/// What a request may write besides events. Indirect, so that it takes one word of the requests that have none.
indirect enum OwnEntry: Sendable {
  case limits(StreamLimits, of: StreamNumber)
  case snapshot(Snapshot, of: StreamNumber)
  /// Nothing is written: the oldest segment, which has this number, is taken out of the index.
  case retire(UInt64)

  var stream: StreamNumber {
    switch self {
    case .limits(_, let stream), .snapshot(_, let stream): stream
    case .retire: preconditionFailure("invariant broken: a retirement is of no stream")
    }
  }
}
