/// What the log keeps for itself, as payloads of system entries.

/// A name, and the number by which entries of the same segment call it.
///
/// | Offset | Bytes | |
/// |---|---|---|
/// | 0 | 1 | 1 stream, 2 tenant, 3 type, 4 content type |
/// | 1 | 3 | zero |
/// | 4 | 4 | number |
/// | 8 | 8 | of a stream: the version of its next event |
/// | 16 | | the name, to the end |
struct NameEntry: Equatable {
  static let fixed = 16
  /// Of a whole entry of this kind with a name of the greatest length; a stream's may be followed by its limits.
  static let mostBytes = Entry.fixed + fixed + EventLimits.name
  static let mostStreamBytes = Entry.fixed + fixed + EventLimits.streamName + Entry.fixed + 24

  var kind: Entry.NameKind
  var number: UInt32
  var next: UInt64
  var name: String

  init(kind: Entry.NameKind, number: UInt32, next: UInt64, name: String) {
    self.kind = kind
    self.number = number
    self.next = next
    self.name = name
  }

  var payload: [UInt8] {
    [kind.rawValue, 0, 0, 0] + littleEndian(number) + littleEndian(next) + Array(name.utf8)
  }

  /// nil: it is none.
  init?(_ bytes: Bytes) {
    guard bytes.count > Self.fixed, let kind = Entry.NameKind(rawValue: bytes.load(0)) else { return nil }
    let name = bytes.slice(Self.fixed, bytes.count - Self.fixed)
    guard let text = unsafe String(validating: name.raw, as: UTF8.self) else { return nil }
    self.init(kind: kind, number: bytes.load(4), next: bytes.load(8), name: text)
  }
}

extension OwnEntry {
  private static let limitsBytes = 24
  private static let snapshotFixed = 16

  var type: UInt16 {
    switch self {
    case .limits: Entry.SystemType.limits
    case .snapshot: Entry.SystemType.snapshot
    case .retire: preconditionFailure("invariant broken: a retirement is no entry")
    }
  }

  /// A reader that does not know it may go on.
  var isOptional: Bool { if case .snapshot = self { true } else { false } }

  var payload: [UInt8] {
    switch self {
    case .limits(let limits, _): littleEndian(limits.count ?? .max) + littleEndian(limits.age ?? .max) + littleEndian(limits.firstVersion)
    case .snapshot(let snapshot, _):
      littleEndian(snapshot.version) + littleEndian(snapshot.reducerVersion) + littleEndian(UInt16(snapshot.reducer.utf8.count)) + [0, 0]
        + Array(snapshot.reducer.utf8) + snapshot.state
    case .retire: preconditionFailure("invariant broken: a retirement is no entry")
    }
  }

  /// nil: it is none of this type. `name` is the stream's.
  init?(_ type: UInt16, _ bytes: Bytes, _ stream: UInt32, _ name: StreamName) {
    switch type {
    case Entry.SystemType.limits:
      guard bytes.count == Self.limitsBytes else { return nil }
      let count: UInt64 = bytes.load(0)
      let age: UInt64 = bytes.load(8)
      self = .limits(
        StreamLimits(count: count == .max ? nil : count, age: age == .max ? nil : age, firstVersion: bytes.load(16)),
        of: StreamNumber(value: stream))
    case Entry.SystemType.snapshot:
      guard bytes.count >= Self.snapshotFixed else { return nil }
      let length = Int(bytes.load(12, as: UInt16.self))
      let state = Self.snapshotFixed + length
      guard state <= bytes.count, let reducer = unsafe String(validating: bytes.slice(Self.snapshotFixed, length).raw, as: UTF8.self) else {
        return nil
      }
      self = unsafe .snapshot(
        Snapshot(
          stream: name, reducer: reducer, reducerVersion: bytes.load(8), version: bytes.load(0),
          state: Array(bytes.slice(state, bytes.count - state).raw)),
        of: StreamNumber(value: stream))
    default: return nil
    }
  }
}

private func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
