/// Which consumer gets the next message.
public enum GroupStrategy: String, Sendable, Hashable, CaseIterable {
  /// One after the other, of those that have room.
  case roundRobin = "round-robin"
  /// One until it has no room, then the next.
  case dispatchToSingle = "dispatch-to-single"
  /// Always the same one for a stream, as long as it stays: by a hash of the stream's name. When consumers come or go, as few streams as
  /// possible move. No guarantee: a stream that moves may be at two consumers for a while.
  case pinned
}

/// How a persistent group works. Times are nanoseconds.
public struct GroupSettings: Sendable, Hashable {
  /// How long a consumer may take for a message before it is given to another.
  public var messageTimeout: UInt64 = 30_000_000_000
  /// Times that a message is given again before it is parked: it is given once more than that.
  public var maxRetries = 10
  /// Messages that are held, besides those at consumers, while events are given as they happen.
  public var liveBuffer = 500
  /// As `liveBuffer`, while history is read.
  public var historyBuffer = 500
  /// Events of a page.
  public var readBatch = 20
  /// How long settled messages wait for a checkpoint...
  public var checkpointAfter: UInt64 = 2_000_000_000
  /// ... if they are so many at least.
  public var minCheckpoint = 10
  /// So many settled messages are worth a checkpoint at once.
  public var maxCheckpoint = 1_000
  /// Which consumer gets the next message.
  public var strategy = GroupStrategy.roundRobin

  /// The defaults.
  public init() {}

  /// What is wrong with them, and what to do; nil: nothing.
  var fault: String? {
    func outside(_ name: String, _ value: Int, _ range: ClosedRange<Int>) -> String? {
      range.contains(value) ? nil : "\(name) is \(range.lowerBound) to \(range.upperBound), not \(value)"
    }
    if messageTimeout == 0 { return "messageTimeout is 1 ns at least" }
    if checkpointAfter == 0 { return "checkpointAfter is 1 ns at least" }
    return outside("maxRetries", maxRetries, 0...1_000_000) ?? outside("liveBuffer", liveBuffer, 1...100_000)
      ?? outside("historyBuffer", historyBuffer, 1...100_000) ?? outside("readBatch", readBatch, 1...EventLimits.eventsInPage)
      ?? outside("minCheckpoint", minCheckpoint, 1...1_000_000) ?? outside("maxCheckpoint", maxCheckpoint, minCheckpoint...1_000_000)
  }
}

/// What a group is: its name, which events it gives, and from where on.
public struct GroupDefinition: Sendable, Hashable {
  /// 1 to 128 bytes of `[A-Za-z0-9._-]`.
  public var name: String
  /// Which events its messages are.
  public var source: SubscriptionSource
  /// For a group that is made now: the first version or position.
  public var start: UInt64
  /// For a group that is made now. One that exists keeps its own: `PersistentGroup.update` changes them.
  public var settings: GroupSettings

  /// `start`, `settings`: for a group that is made now.
  public init(_ name: String, _ source: SubscriptionSource, from start: UInt64 = 0, settings: GroupSettings = GroupSettings()) {
    self.name = name
    self.source = source
    self.start = start
    self.settings = settings
  }

  var fault: String? { Self.fault(name: name, of: "group") ?? settings.fault }

  /// What is wrong with a name; nil: nothing.
  static func fault(name: String, of kind: String) -> String? {
    let isNamed =
      1...128 ~= name.utf8.count
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
      }
    return isNamed ? nil : "the name of a \(kind) has 1 to 128 letters, digits, '.', '_' or '-': not '\(name.prefix(128))'"
  }
}

/// Why a group has ended, or could not begin.
public enum GroupEnd: Error, Sendable, Equatable, CustomStringConvertible {
  /// By `PersistentGroup.stop`.
  case stopped
  /// A consumer has said so: `GroupRefusal.stop`.
  case stoppedByConsumer(String)
  /// Another instance owns the group from now on.
  case lostOwnership
  /// The group exists, with another source.
  case hasOtherSource(SubscriptionSource)
  /// The request breaks a rule: which one.
  case invalid(String)
  /// What the group has stored cannot be read: the version in its stream, and what is wrong.
  case damagedState(version: UInt64, String)
  /// Why its events came to an end.
  case source(SubscriptionEnd)
  /// The store's reason when the group's state was read or written, or messages were read again.
  case store(EventStoreError)

  public var description: String {
    switch self {
    case .stopped: "stopped"
    case .stoppedByConsumer(let text): "stopped by a consumer: \(text)"
    case .lostOwnership: "another instance owns the group now"
    case .hasOtherSource(let source): "the group exists, with another source: \(source.scope)"
    case .invalid(let text): text
    case .damagedState(let version, let text): "version \(version) of the group's stream cannot be read: \(text)"
    case .source(let end): "\(end)"
    case .store(let error): "\(error)"
    }
  }
}

/// What a consumer does with a message that it does not acknowledge.
public enum GroupRefusal: Sendable, Equatable {
  /// It is given again, to this consumer or another, after so many nanoseconds; parked instead when it was given often enough.
  case retry(after: UInt64 = 0)
  /// It is put aside, with this reason, until parked messages are replayed.
  case park(String)
  /// As if it were acknowledged.
  case skip
  /// It goes back, and the group ends with this reason.
  case stop(String)
}

/// A message at a consumer.
public struct GroupMessage: Sendable, Equatable {
  /// What the message is about.
  public var event: RecordedEvent
  /// How often it was given, this time included, as far as the group has it stored: from 1.
  public var attempt: Int
  /// What orders the events of the group.
  let place: UInt64
  /// Number of this giving.
  let delivery: UInt64
}

/// What a consumer is told.
public enum GroupNotice: Sendable, Equatable {
  /// To be acknowledged or refused within `messageTimeout`.
  case message(GroupMessage)
  /// The settings have changed: all that the consumer had was taken back, and is given again. It stays connected.
  case reconnected(GroupSettings)
  /// Nothing more comes.
  case ended(GroupEnd)
}

/// A message that was put aside.
public struct ParkedMessage: Sendable, Equatable {
  /// Its version in the group's stream of parked messages.
  public var version: UInt64
  /// The event's stream.
  public var stream: StreamName
  /// The event's version in its stream, and its position.
  public var eventVersion: UInt64
  /// The event's place among all.
  public var position: UInt64
  /// The event's id.
  public var id: EventID
  /// How often it was given.
  public var attempts: Int
  /// Why it was parked.
  public var reason: String
}

/// Why a request to a group was not done.
public enum GroupRequestError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The request breaks a rule: which one.
  case invalid(String)
  /// Parked messages are being replayed.
  case isReplaying
  /// The stream of parked messages cannot be read at this version: what is wrong.
  case damaged(version: UInt64, String)
  /// The store's reason.
  case store(EventStoreError)
  /// The group has not started, or has ended: why.
  case notRunning(GroupEnd?)

  public var description: String {
    switch self {
    case .invalid(let text): text
    case .isReplaying: "parked messages are being replayed: wait until that has ended"
    case .damaged(let version, let text): "version \(version) of the stream of parked messages cannot be read: \(text)"
    case .store(let error): "\(error)"
    case .notRunning(let end): "the group does not run" + (end.map { ": \($0)" } ?? "")
    }
  }
}

/// How far a group is.
public struct GroupStatus: Sendable, Equatable {
  /// It has started, and not ended.
  public var isRunning = false
  /// All before it was given at least once, or is kept one by one.
  public var checkpoint: UInt64 = 0
  /// As of the last checkpoint that was written.
  public var storedCheckpoint: UInt64 = 0
  /// Events are given as they happen.
  public var isLive = false
  /// As they are stored.
  public var settings = GroupSettings()
  /// Those that are connected.
  public var consumers = 0
  /// Messages at consumers.
  public var delivered = 0
  /// Messages that wait for a consumer, for their time, or to be read again.
  public var held = 0
  /// Messages that were parked since the start.
  public var parked = 0
  /// Messages that were acknowledged or skipped since the start.
  public var settled = 0
  /// Acknowledgements and refusals that came when the message was no longer the consumer's.
  public var late = 0
  /// Messages that could not be read again: their streams' limits have let go of them.
  public var gone = 0
  /// Why it has ended; nil: it has not.
  public var end: GroupEnd?
}
