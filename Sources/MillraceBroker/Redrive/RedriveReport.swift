/// Why a dead letter stays where it is.
public enum RedriveRefusal: Sendable, Hashable, CustomStringConvertible {
  /// It has never died: it was published to the queue.
  case noStory
  /// It died in the queue where it is.
  case sameQueue
  /// The queue that it is to go to is not there.
  case noQueue(String)
  /// The exchange that it is to go to is not there.
  case noExchange(String)
  /// It was not taken, as the text says.
  case refused(String)

  public var description: String {
    switch self {
    case .noStory: "it has never died, so there is no queue that it came from: name a target"
    case .sameQueue: "it died in the queue that it is in: name a target"
    case .noQueue(let name): "there is no queue '\(name)': declare it, or name a target"
    case .noExchange(let name): "there is no exchange '\(name)': declare it, or name another target"
    case .refused(let why): why
    }
  }
}

/// A dead letter, as it tells of itself.
public struct DeadLetter: Sendable, Hashable {
  /// See `Envelope.messageID`.
  public var messageID: String?
  /// By which it was published before the death that counts.
  public var key: String
  /// Of the payload.
  public var bytes: Int
  /// 0 the lowest.
  public var priority: UInt8
  /// All that has become of it.
  public var deaths: Deaths
  /// The queue or exchange that it would go to; nil: it stays.
  public var target: String?
  /// Why it stays; nil: it would go, if there is room.
  public var refusal: RedriveRefusal?
}

/// What a redrive would do.
public struct RedrivePreview: Sendable, Hashable {
  /// Messages that were looked at.
  public var examined = 0
  /// Those of them that are meant, within the limit.
  public var matching = 0
  /// How many of those would go where.
  public var targets: [String: Int] = [:]
  /// Those that would stay, as they have nowhere to go.
  public var stay = 0
  /// The first of those that are meant.
  public var letters: [DeadLetter] = []
}

/// What a redrive has done so far.
public struct RedriveProgress: Sendable, Hashable {
  /// A message that stays, and why.
  public struct Stayed: Sendable, Hashable {
    /// Its id, or else its key.
    public var message: String
    /// What kept it where it is.
    public var why: RedriveRefusal
  }

  /// Messages told of in `stayed`, at most.
  public static let mostStayed = 100

  /// Messages that were there when it began.
  public var total = 0
  /// Those of them that it has come to.
  public var examined = 0
  /// Messages that are in their targets.
  public var moved = 0
  /// Those that the filter does not mean.
  public var passed = 0
  /// Those that somebody else had meanwhile: consumers, or who emptied the queue.
  public var missed = 0
  /// Those that stay, where they stood.
  public var stayedCount = 0
  /// The first of them.
  public var stayed: [Stayed] = []
}

/// How a redrive goes on.
public enum RedriveStep: Sendable, Hashable {
  /// Now.
  case now
  /// At this moment of the broker's clock: its rate is used up.
  case at(UInt64)
  /// Not: all that was there has been come to, or the limit.
  case done
}
