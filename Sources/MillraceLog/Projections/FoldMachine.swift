/// Why a stream's state could not be made.
public enum FoldError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The store's reason when events were read.
  case store(EventStoreError)
  /// The snapshot is of a version that the stream has not reached: the store is an older one than the snapshot's.
  case snapshotAhead(version: UInt64, actual: UInt64?)
  /// This event is not in the stream any more, and no snapshot holds it.
  case missing(version: UInt64)
  /// The reducer does not understand this event: why.
  case reducer(version: UInt64, String)

  public var description: String {
    switch self {
    case .store(let error): "\(error)"
    case .snapshotAhead(let version, let actual):
      "the snapshot is of version \(version), but the stream \(actual.map { "ends with \($0)" } ?? "has no events")"
    case .missing(let version): "event \(version) is not in the stream any more, and no snapshot holds it"
    case .reducer(let version, let text): "event \(version) is not understood: \(text)"
    }
  }
}

/// What became of the snapshot that a fold could have begun with.
public enum SnapshotUse: Sendable, Equatable {
  /// The fold has begun after this version.
  case used(version: UInt64)
  /// There was none.
  case none
  /// It is of this version of the reducer.
  case otherReducer(UInt32)
  /// It is not what was written.
  case damaged
  /// The reducer cannot read what it wrote in this version: why.
  case undecodable(String)
  /// The store has not given it.
  case unreadable(EventStoreError)
}

/// A stream's state.
public struct Folded<State: Sendable>: Sendable {
  /// All events folded.
  public var state: State
  /// Of the last event in it; nil: the stream never had one.
  public var version: UInt64?
  /// Events that were folded now.
  public var events: Int
  /// Nanoseconds that reading and folding them took.
  public var time: UInt64
  /// What the fold has begun with.
  public var snapshot: SnapshotUse
}

/// A fold over a stream as a value: the snapshot first, then pages of what came after it.
struct FoldMachine<R: Reducer> {
  enum Input {
    case snapshot(Result<Snapshot?, EventStoreError>)
    case page(Result<EventPage, EventStoreError>)
  }

  enum Action {
    case readSnapshot
    case read(ReadRequest)
    case finish(Result<Folded<R.State>, FoldError>)
  }

  static var pageEvents: Int { 1_024 }

  let reducer: R
  let stream: StreamName
  private var folded: Folded<R.State>
  private var next: UInt64 = 0
  private var began: UInt64 = 0
  /// Of the snapshot, used or not.
  private var snapshotVersion: UInt64?

  init(_ reducer: R, _ stream: StreamName) {
    self.reducer = reducer
    self.stream = stream
    folded = Folded(state: reducer.initial, version: nil, events: 0, time: 0, snapshot: .none)
  }

  var first: Action { .readSnapshot }

  mutating func apply(_ input: Input, now: UInt64) -> Action {
    switch input {
    case .snapshot(let result):
      began = now
      begin(result)
      return read
    case .page(.failure(let error)): return .finish(.failure(.store(error)))
    case .page(.success(let page)):
      do throws(FoldError) {
        try fold(page)
      } catch { return .finish(.failure(error)) }
      guard page.isLast else { return read }
      folded.time = now - began
      return .finish(.success(folded))
    }
  }

  private var read: Action { .read(ReadRequest(.stream(stream), from: .at(next), limit: Self.pageEvents)) }

  private mutating func begin(_ result: Result<Snapshot?, EventStoreError>) {
    switch result {
    case .failure(let error): folded.snapshot = .unreadable(error)
    case .success(nil): break
    case .success(let snapshot?):
      snapshotVersion = snapshot.version
      guard snapshot.reducerVersion == reducer.version else {
        folded.snapshot = .otherReducer(snapshot.reducerVersion)
        return
      }
      guard let bytes = SnapshotFrame.unwrap(snapshot) else {
        folded.snapshot = .damaged
        return
      }
      do {
        folded.state = try reducer.decode(bytes)
      } catch {
        folded.snapshot = .undecodable("\(error)")
        return
      }
      folded.snapshot = .used(version: snapshot.version)
      folded.version = snapshot.version
      next = snapshot.version + 1
    }
  }

  private mutating func fold(_ page: EventPage) throws(FoldError) {
    if let snapshotVersion, page.lastVersion.map({ $0 < snapshotVersion }) ?? true {
      throw .snapshotAhead(version: snapshotVersion, actual: page.lastVersion)
    }
    for event in page.events {
      guard event.version == next else { throw .missing(version: next) }
      do { try reducer.fold(&folded.state, event) } catch { throw .reducer(version: event.version, "\(error)") }
      folded.version = event.version
      folded.events += 1
      next += 1
    }
    // The stream is longer than what is left of it to be read.
    if page.isLast, let last = page.lastVersion, last >= next { throw .missing(version: next) }
    if !page.isLast, page.events.isEmpty { throw .missing(version: next) }
  }
}
