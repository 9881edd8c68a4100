/// What must be true of a stream for an append to take place.
///
/// An append is repeated if its event ids stand in the stream already: all of them, one after the other in the same order. It is then answered with the receipt
/// of the first time, and nothing is written. If only some stand there, or in another order, it is refused as `idsPartlyKnown`.
public enum ExpectedVersion: Hashable, Sendable {
  /// Nothing. A repetition is recognised among the last `EventLimits.idWindow` events at least.
  case any
  /// There are no events in the stream, and never were. A repetition is recognised always.
  case noStream
  /// There is at least one. A repetition is recognised as for `any`.
  case streamExists
  /// The last event has this version. A repetition is recognised always: where the stream is longer, by the events after this version.
  case exact(UInt64)
}

extension ExpectedVersion {
  /// As errors tell it.
  var words: String {
    switch self {
    case .any: "anything"
    case .noStream: "no events"
    case .streamExists: "at least one event"
    case .exact(let version): "version \(version)"
    }
  }
}

/// Events for one stream.
public struct StreamAppend: Sendable {
  /// Where the events go.
  public var stream: StreamName
  /// What must be true of the stream.
  public var expected: ExpectedVersion
  /// The tenant whom the events belong to: 1 to `EventLimits.name` bytes.
  public var tenant: String?
  /// One or more, with different ids.
  public var events: [EventDraft]

  /// Checked when it is appended.
  public init(stream: StreamName, expected: ExpectedVersion = .any, tenant: String? = nil, events: [EventDraft]) {
    self.stream = stream
    self.expected = expected
    self.tenant = tenant
    self.events = events
  }
}

/// Where events were appended.
public struct AppendReceipt: Sendable, Equatable {
  /// Where the events of one stream stand.
  public struct Stream: Sendable, Equatable {
    /// The version of the first.
    public var firstVersion: UInt64
    /// The version of the last.
    public var lastVersion: UInt64
    /// The position of the first.
    public var firstPosition: UInt64
    /// The position of the last.
    public var lastPosition: UInt64

    /// For stores.
    public init(firstVersion: UInt64, lastVersion: UInt64, firstPosition: UInt64, lastPosition: UInt64) {
      self.firstVersion = firstVersion
      self.lastVersion = lastVersion
      self.firstPosition = firstPosition
      self.lastPosition = lastPosition
    }
  }

  /// As many as there were appends, in their order.
  public var streams: [Stream]
  /// The append was a repetition: nothing was written now.
  public var wasKnown: Bool

  /// For stores.
  public init(streams: [Stream], wasKnown: Bool) {
    self.streams = streams
    self.wasKnown = wasKnown
  }
}

/// What a stream keeps: what is older or more is not read any more. Versions go on.
public struct StreamLimits: Sendable, Equatable {
  /// Events, the last ones.
  public var count: UInt64?
  /// Nanoseconds since the event's time.
  public var age: UInt64?
  /// Events of this version and later.
  public var firstVersion: UInt64

  /// What is left out has no bound.
  public init(count: UInt64? = nil, age: UInt64? = nil, firstVersion: UInt64 = 0) {
    self.count = count
    self.age = age
    self.firstVersion = firstVersion
  }
}
