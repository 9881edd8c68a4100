/// What a subscription gives its consumer.
public enum SubscriptionDelivery: Sendable, Equatable {
  /// Events in their order, none of which was given before. `checkpoint`: where to go on when all of them are taken.
  case events([RecordedEvent], checkpoint: UInt64)
  /// Everything that had happened was given: from here on events are given as they happen. After the start, and after each `fellBehind`.
  case caughtUp(checkpoint: UInt64)
  /// More has happened than one page holds: it is read as history until the next `caughtUp`.
  case fellBehind
}

/// Why a subscription has ended.
public enum SubscriptionEnd: Error, Sendable, Equatable, CustomStringConvertible {
  /// By its consumer.
  case stopped
  /// The store's reason: no temporary one, or given up (`StoreBackoff.attempts`).
  case store(EventStoreError)
  /// The store has given an event out of order, or no way to go on: `at` this version or position.
  case disorder(at: UInt64)

  public var description: String {
    switch self {
    case .stopped: "stopped"
    case .store(let error): "\(error)"
    case .disorder(let place): "the store has given events out of order at \(place): this is a fault of the store"
    }
  }
}

/// Which events a subscription gives.
public struct SubscriptionSource: Sendable, Hashable {
  /// A stream, a category or all streams.
  public var scope: ReadRequest.Scope
  /// Only events of this tenant.
  public var tenant: String?

  /// `tenant`: nil for the events of all.
  public init(_ scope: ReadRequest.Scope, tenant: String? = nil) {
    self.scope = scope
    self.tenant = tenant
  }

  /// Checkpoints are versions of a stream, not positions.
  var countsVersions: Bool {
    if case .stream = scope { return true }
    return false
  }

  /// Of `all`, streams whose names begin with `$` are left out: they are the stores' and groups' own.
  func includes(_ event: RecordedEvent) -> Bool { scope != .all || !event.stream.isSystem }

  /// What orders the events: the version of a stream's, the position of others.
  public func place(of event: RecordedEvent) -> UInt64 { countsVersions ? event.version : event.position }

  /// Where to go on when `event` is the last one that was taken.
  public func checkpoint(after event: RecordedEvent) -> UInt64 { place(of: event) + 1 }
}

extension StreamName {
  var isSystem: Bool { description.utf8.first == UInt8(ascii: "$") }
}

/// How far a subscription is.
public struct SubscriptionStatus: Sendable, Equatable {
  /// Where to go on: all before it was given.
  public var checkpoint: UInt64
  /// Events are given as they happen.
  public var isLive = false
  /// Versions of the stream, or positions, that are known to lie between the checkpoint and the end; nil: not known yet.
  public var lag: UInt64?
  /// Why the store is asked again just now.
  public var lastError: EventStoreError?
  /// Why it has ended; nil: it has not.
  public var end: SubscriptionEnd?
}
