/// An effect that a projection asks for: what is to be done because an event has happened.
///
/// It is asked for at least once for each event; done at most once if whoever does it keeps to `key`.
public struct EffectCall<State: Sendable>: Sendable {
  /// What has happened.
  public var event: RecordedEvent
  /// With the event folded in.
  public var state: State
  /// From 1, counted since the projection was started.
  public var attempt: Int
  /// The projection's name.
  public var projection: String

  /// The idempotency key: the event's id. It is unique within the event's stream; who writes the same id to several streams adds the stream.
  public var key: EventID { event.id }
  /// The conversation that what is caused is part of: the event's, or else one that begins with the event.
  public var correlation: EventID { event.correlation ?? event.id }
  /// The cause of what is caused.
  public var causation: EventID { event.id }
  /// Of the event: what is caused belongs to the same trace.
  public var trace: EventTrace? { event.trace }

  /// An event that this one causes, with its correlation, causation and trace. Its id is always the same for the same projection, event and
  /// `number`, so that an append that is repeated is recognised.
  public func draft(
    _ type: String, number: UInt64 = 0, typeVersion: UInt16 = 1, contentType: String = EventDraft.json, payload: [UInt8]
  ) -> EventDraft {
    let maker = StableHash.bytes(event.stream.description.utf8, after: StableHash.bytes(projection.utf8 + [0]))
    let id = EventID(
      high: StableHash.mix(event.id.high ^ maker), low: StableHash.mix(event.id.low ^ StableHash.mix(maker ^ StableHash.mix(number))))
    return EventDraft(
      id: id, type: type, typeVersion: typeVersion, contentType: contentType, payload: payload, correlation: correlation,
      causation: causation,
      trace: trace)
  }
}

/// What became of an effect.
public enum EffectOutcome: Sendable, Equatable {
  /// It is done: the next event is folded.
  case done
  /// It is asked for again after a while: why.
  case retry(String)
  /// The projection ends, and asks for it again when it is started again: why.
  case failed(String)
}

/// Which events of the past a projection that is made now has effects for.
public enum FirstEffects: Sendable, Hashable {
  /// None: only for events that are appended from now on.
  case ofNewEvents
  /// All: the projection asks for the effects of everything that ever happened.
  case ofAllEvents
}

/// When a projection keeps its checkpoint and state.
public struct ProjectionPolicy: Sendable, Hashable {
  /// After so many events.
  public var events = 1_000
  /// Nanoseconds after a first event.
  public var time: UInt64 = 2_000_000_000

  /// The defaults: 1,000 events, 2 s.
  public init() {}
}

/// Why a projection has ended, or could not begin.
public enum ProjectionEnd: Error, Sendable, Equatable, CustomStringConvertible {
  /// By `Projection.stop`.
  case stopped
  /// Another instance of it was started.
  case lostOwnership
  /// A projection of this name exists, and follows this source.
  case hasOtherSource(SubscriptionSource)
  /// The request breaks a rule: which one.
  case invalid(String)
  /// What the projection has kept cannot be read: the version in its stream, and what is wrong.
  case damagedState(version: UInt64, String)
  /// Its snapshot is of a version of its stream that does not exist.
  case snapshotAhead(version: UInt64, actual: UInt64)
  /// The reducer does not understand an event: its version or position, and why.
  case reducer(at: UInt64, String)
  /// An effect has failed, or was tried often enough.
  case effect(at: UInt64, String)
  /// Why its events came to an end.
  case source(SubscriptionEnd)
  /// The store's reason when the checkpoint was read or written.
  case store(EventStoreError)

  public var description: String {
    switch self {
    case .stopped: "stopped"
    case .lostOwnership: "another instance of the projection was started"
    case .hasOtherSource(let source): "the projection exists, with another source: \(source.scope)"
    case .invalid(let text): text
    case .damagedState(let version, let text): "version \(version) of the projection's stream cannot be read: \(text)"
    case .snapshotAhead(let version, let actual): "the projection's snapshot is of version \(version), but its stream ends with \(actual)"
    case .reducer(let place, let text): "the event at \(place) is not understood: \(text)"
    case .effect(let place, let text): "the effect of the event at \(place) has failed: \(text)"
    case .source(let end): "\(end)"
    case .store(let error): "\(error)"
    }
  }
}

/// How far a projection is.
public struct ProjectionStatus: Sendable, Equatable {
  /// It has started, and not ended.
  public var isRunning = false
  /// All before it is folded, and its effects are done.
  public var checkpoint: UInt64 = 0
  /// Effects are muted for events before this.
  public var effectsFrom: UInt64 = 0
  /// It folds what it had folded before, without effects.
  public var isRebuilding: Bool { checkpoint < effectsFrom }
  /// Events are folded as they happen.
  public var isLive = false
  /// As of the last checkpoint that was written.
  public var storedCheckpoint: UInt64 = 0
  /// Why the last snapshot of the state was not kept, or could not be read: the state is made from the events then.
  public var snapshotError: String?
  /// Why the effect that is under way is asked for again.
  public var effectError: String?
  /// Why it has ended; nil: it has not.
  public var end: ProjectionEnd?
}
