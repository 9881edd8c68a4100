/// Why an event store refuses.
public enum EventStoreError: Error, Sendable, Equatable {
  /// The stream is not as expected. `actual`: the version of its last event, nil if it never had one. Nothing was appended.
  case wrongExpectedVersion(stream: StreamName, expected: ExpectedVersion, actual: UInt64?)
  /// Some of the ids stand in the stream already, but not all of them in this order: this is no repetition of an append. Nothing was appended.
  case idsPartlyKnown(stream: StreamName, known: EventID)
  /// The request breaks a rule: which one, and what to do.
  case invalid(String)
  /// As much is under way as the store takes. Nothing was appended: again in a moment.
  case busy
  /// The disk is full. Nothing was appended; reading goes on.
  case noSpace(String)
  /// The snapshot is of a version that the stream has not reached.
  case snapshotAhead(stream: StreamName, version: UInt64, actual: UInt64?)
  /// What is stored is damaged at this position. It is not served.
  case damaged(position: UInt64, String)
  /// The storage has failed while the append was under way: it may be there or not. Append again with the same ids: it will not be doubled.
  case outcomeUnknown(String)
  /// The store cannot be reached, or has not what it needs just now. Nothing was appended: again in a moment.
  case unavailable(String)
  /// The store has failed, and writes nothing more until it is opened again. Nothing was appended; what is there is read.
  case failed(String)
  /// A wait was given up.
  case cancelled
  /// The store is closed, or about to be.
  case closed
}

extension EventStoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .wrongExpectedVersion(let stream, let expected, let actual):
      "stream \(stream) \(actual.map { "ends with version \($0)" } ?? "has no events"), not as expected (\(expected.words)): read it again, then decide"
    case .idsPartlyKnown(let stream, let known):
      "stream \(stream) has event \(known) already, but not the whole append: give new events new ids, or repeat the append as it was"
    case .invalid(let text): text
    case .busy: "too many appends are under way: try again in a moment"
    case .noSpace(let text): "no space: \(text)"
    case .snapshotAhead(let stream, let version, let actual):
      "the snapshot is of version \(version), but stream \(stream) \(actual.map { "ends with \($0)" } ?? "has no events")"
    case .damaged(let position, let text): "damaged at position \(position): \(text)"
    case .outcomeUnknown(let text): "it is not known whether the append took place: \(text). Append again with the same event ids"
    case .unavailable(let text): "the event store does not work just now: \(text)"
    case .failed(let text): "the event store has failed: \(text). Mend what is named and open it again"
    case .cancelled: "given up"
    case .closed: "the event store is closed"
    }
  }
}
