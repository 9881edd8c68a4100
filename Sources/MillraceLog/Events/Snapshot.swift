/// What the events of a stream up to a version come to. Never the only copy of anything: it can always be made again from the events.
public struct Snapshot: Sendable, Equatable {
  /// Whose events they are.
  public var stream: StreamName
  /// Whose fold it is: 1 to `EventLimits.name` bytes.
  public var reducer: String
  /// The reducer's own version: a snapshot of another one is not used.
  public var reducerVersion: UInt32
  /// The version of the last event in it.
  public var version: UInt64
  /// At most `EventLimits.snapshot` bytes.
  public var state: [UInt8]

  /// Checked when it is saved.
  public init(stream: StreamName, reducer: String, reducerVersion: UInt32, version: UInt64, state: [UInt8]) {
    self.stream = stream
    self.reducer = reducer
    self.reducerVersion = reducerVersion
    self.version = version
    self.state = state
  }
}
