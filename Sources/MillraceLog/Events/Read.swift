/// Which events to read.
public struct ReadRequest: Sendable {
  /// Of what the events are.
  public enum Scope: Sendable, Hashable {
    /// One stream.
    case stream(StreamName)
    /// All streams whose category it is.
    case category(String)
    /// Everything.
    case all
  }

  /// In which order.
  public enum Direction: Sendable {
    /// The oldest first.
    case forward
    /// The newest first.
    case backward
  }

  /// Where to begin.
  public enum Start: Sendable, Hashable {
    /// The first event in this direction: the oldest forward, the newest backward.
    case edge
    /// The event of this version, of a stream, or of this position, otherwise; if it is not there, the next one in the direction.
    case at(UInt64)
  }

  /// Of what the events are.
  public var scope: Scope
  /// In which order.
  public var direction: Direction
  /// Where to begin.
  public var start: Start
  /// Events, 1 to `EventLimits.eventsInPage`. A page ends earlier when its payloads reach `bytes`, 1 or more, after one event at least; the event that exceeds
  /// them is the last of the page or the first of the next one.
  public var limit: Int
  /// Payload bytes after which a page ends.
  public var bytes: Int
  /// Only events of this tenant.
  public var tenant: String?

  /// Checked when it is read.
  public init(
    _ scope: Scope, _ direction: Direction = .forward, from start: Start = .edge, limit: Int = 512, bytes: Int = 4 << 20,
    tenant: String? = nil
  ) {
    self.scope = scope
    self.direction = direction
    self.start = start
    self.limit = limit
    self.bytes = bytes
    self.tenant = tenant
  }
}

/// Events in the order asked for.
public struct EventPage: Sendable, Equatable {
  /// In the order asked for.
  public var events: [RecordedEvent]
  /// Where the next page starts: a version of the stream, or a position. Forward it is there even at the end: events to come follow from here. nil: there is nothing
  /// more backward.
  public var next: UInt64?
  /// There was nothing more in this direction when the page was read. False, it may be so nevertheless where events are passed over: of other tenants, or fallen
  /// out.
  public var isLast: Bool
  /// The version of the stream's last event; nil if it never had one, and for other scopes.
  public var lastVersion: UInt64?

  /// For stores.
  public init(events: [RecordedEvent], next: UInt64?, isLast: Bool, lastVersion: UInt64?) {
    self.events = events
    self.next = next
    self.isLast = isLast
    self.lastVersion = lastVersion
  }
}
