/// Streams of events: what has happened, in the order in which it was committed.
///
/// Every implementation keeps the same promises, shown by one suite (`Tests/EventStoreConformance`):
/// - What a completion calls appended is on stable storage. Nothing appended is lost, altered or doubled.
/// - The order of all positions is the order of commits; nothing ever appears behind a reader. Positions grow; only some stores leave no gaps
///   (`hasDensePositions`).
/// - An append over several streams takes place wholly or not at all, and its events stand together.
/// - An append that is repeated with the same event ids is recognised (see `ExpectedVersion`).
///
/// # Threads
/// Any thread may call; completions come on any thread, sometimes before the call has returned, each exactly once. They must not wait: they hand on.
public protocol EventStore: AnyObject, Sendable {
  /// Told once of what has come out.
  typealias Completion<Value> = EventCompletion<Value>

  /// No position is left out: the next event's is the last one's and one.
  var hasDensePositions: Bool { get }

  /// Appends to one stream or atomically to several, each named once.
  ///
  /// - Parameters:
  ///   - appends: 1 to `EventLimits.streamsInAppend`, with `EventLimits.eventsInAppend` events and `EventLimits.bytesInAppend` bytes together at most.
  ///   - completion: the receipt, or why nothing was appended; `outcomeUnknown` is the only error that leaves this open.
  func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>)

  /// Reads up to `request.limit` events that are committed. Complexity: O(events given), beside one search for the start.
  func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>)

  /// The first position that no committed event has yet.
  func end(completion: @escaping Completion<UInt64>)

  /// The position of the first event recorded at or after `time`, nanoseconds since 1970, UTC; the end if there is none.
  func position(since time: Int64, completion: @escaping Completion<UInt64>)

  /// Tells once that an event with `position` or a later one is committed: with the end. At once if it is so already. For whoever reads on from there.
  @discardableResult func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait

  /// What a stream keeps. Takes the place of what was set before. What falls out is not read any more, and its room is given back later.
  func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>)

  /// Keeps a snapshot, in place of the one for the same stream and reducer if that is older.
  func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>)
  /// The latest snapshot of `stream` by `reducer`. A snapshot may be lost at any time: it is nil then.
  func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>)

  /// Refuses what comes from now on with `closed`, ends what was accepted, gives everything back. Once.
  func close(completion: @escaping Completion<Void>)
}

/// Told once of what has come out.
public typealias EventCompletion<Value> = @Sendable (Result<Value, EventStoreError>) -> Void

/// A wait that can be given up.
public protocol EventWait: AnyObject, Sendable {
  /// The completion comes with `cancelled`, unless it has come or is coming.
  func cancel()
}

/// What no request may exceed, in any store.
public enum EventLimits {
  /// Bytes of a stream's name.
  public static let streamName = 256
  /// Bytes of the name of a type, tenant, content type or reducer.
  public static let name = 128
  /// Bytes of an event's payload.
  public static let payload = 16 << 20
  /// Streams of one append.
  public static let streamsInAppend = 64
  /// Events of one append, over all its streams.
  public static let eventsInAppend = 4096
  /// Payload bytes of one append.
  public static let bytesInAppend = 16 << 20
  /// Events of one page.
  public static let eventsInPage = 4096
  /// Bytes of a snapshot's state.
  public static let snapshot = 16 << 20
  /// Ids of the last events over all streams by which `ExpectedVersion.any` recognises a repeated append, at least.
  public static let idWindow = 100_000
}
