/// What makes a state of events, one after the other. A pure function: the same events give the same state.
public protocol Reducer: Sendable {
  /// What the events come to.
  associatedtype State: Sendable

  /// Names its snapshots: 1 to `EventLimits.name` bytes.
  var name: String { get }
  /// Raised when `fold`, or the form of the state, changes: snapshots of another version are not used.
  var version: UInt32 { get }
  /// Before the first event.
  var initial: State { get }

  /// Throws if the event cannot be understood: the fold fails, with the event's version.
  func fold(_ state: inout State, _ event: RecordedEvent) throws
  /// At most `EventLimits.snapshot` - 16 bytes. Throws if the state cannot be written: there is no snapshot then.
  func encode(_ state: State) throws -> [UInt8]
  /// Of what `encode` of the same version has made. Throws if it is something else: the snapshot is not used then.
  func decode(_ bytes: [UInt8]) throws -> State
}

/// What a snapshot's state looks like in the store: a hash over it, its version and its reducer's, then the state. So a snapshot that was damaged or
/// mixed up is found out, and not used.
enum SnapshotFrame {
  static func wrap(_ state: [UInt8], reducerVersion: UInt32, version: UInt64) -> [UInt8] {
    words(hash(state[...], reducerVersion, version)) + state
  }

  /// nil: it is damaged.
  static func unwrap(_ snapshot: Snapshot) -> [UInt8]? {
    guard snapshot.state.count >= 8 else { return nil }
    let state = snapshot.state[8...]
    guard snapshot.state.prefix(8).elementsEqual(words(hash(state, snapshot.reducerVersion, snapshot.version))) else { return nil }
    return Array(state)
  }

  static func words(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }

  static func word(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

  private static func hash(_ state: ArraySlice<UInt8>, _ reducerVersion: UInt32, _ version: UInt64) -> UInt64 {
    StableHash.bytes(state, after: StableHash.bytes(words(version), after: StableHash.bytes(words(UInt64(reducerVersion)))))
  }
}
