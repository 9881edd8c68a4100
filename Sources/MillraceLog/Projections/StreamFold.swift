/// When the state of a stream is worth a snapshot: when more events than that, or more nanoseconds, were needed to make it.
public struct SnapshotPolicy: Sendable, Hashable {
  /// More than so many are worth a snapshot.
  public var events: Int
  /// Nanoseconds of reading and folding.
  public var time: UInt64

  /// `time`: nanoseconds.
  public init(events: Int = 500, time: UInt64 = 50_000_000) {
    self.events = events
    self.time = time
  }

  func isWorth(events count: Int, time taken: UInt64) -> Bool { count > 0 && (count > events || taken > time) }
}

/// Makes the states of streams: from the latest snapshot and the events after it, or from all events where there is no good one.
///
/// A snapshot is made when making the state was too expensive, after the state was given: if that fails, nothing else does. It is a cache:
/// one that is lost, damaged or of another reducer's version means that all events are folded.
///
/// # Threads
/// Any thread calls. Completions come on a thread of the host, one at a time; so does the reducer's code.
public final class StreamFold<R: Reducer>: @unchecked Sendable {
  /// Told once of the state, or why it could not be made.
  public typealias Completion = @Sendable (Result<Folded<R.State>, FoldError>) -> Void
  /// Told what became of a snapshot: the version that it holds, or why it was not kept.
  public typealias Saved = @Sendable (StreamName, Result<UInt64, any Error>) -> Void

  /// Makes the states.
  public let reducer: R
  /// When a state is worth a snapshot.
  public let policy: SnapshotPolicy
  private let store: any EventStore
  private let seat: Seat
  private let saved: Saved
  // The seat's own.
  private var saving: Set<StreamName> = []

  /// Throws `SubscriptionHostFull`.
  public init(
    _ reducer: R, store: any EventStore, host: SubscriptionHost, policy: SnapshotPolicy = SnapshotPolicy(),
    saved: @escaping Saved = { _, _ in }
  ) throws(SubscriptionHostFull) {
    self.reducer = reducer
    self.store = store
    self.policy = policy
    self.saved = saved
    seat = try host.seat()
  }

  deinit { seat.leave() }

  /// Makes the state of a stream. Complexity: O(events after the snapshot).
  public func load(_ stream: StreamName, _ completion: @escaping Completion) {
    let load = Load(FoldMachine(reducer, stream), completion)
    seat.post { [self] in perform(load.machine.first, load) }
  }

  private final class Load: @unchecked Sendable {
    // The seat's.
    var machine: FoldMachine<R>
    let completion: Completion

    init(_ machine: FoldMachine<R>, _ completion: @escaping Completion) {
      self.machine = machine
      self.completion = completion
    }
  }

  // All below: the seat's.

  private func apply(_ input: FoldMachine<R>.Input, _ load: Load) {
    perform(load.machine.apply(input, now: seat.now), load)
  }

  private func perform(_ action: FoldMachine<R>.Action, _ load: Load) {
    let stream = load.machine.stream
    switch action {
    case .readSnapshot:
      store.snapshot(of: stream, reducer: reducer.name) { result in self.seat.post { self.apply(.snapshot(result), load) } }
    case .read(let request):
      store.read(request) { result in self.seat.post { self.apply(.page(result), load) } }
    case .finish(let result):
      load.completion(result)
      if case .success(let folded) = result, policy.isWorth(events: folded.events, time: folded.time) { save(folded, stream) }
    }
  }

  private func save(_ folded: Folded<R.State>, _ stream: StreamName) {
    guard let version = folded.version, saving.insert(stream).inserted else { return }
    do {
      let state = SnapshotFrame.wrap(try reducer.encode(folded.state), reducerVersion: reducer.version, version: version)
      let snapshot = Snapshot(stream: stream, reducer: reducer.name, reducerVersion: reducer.version, version: version, state: state)
      store.save(snapshot) { result in
        self.seat.post {
          self.saving.remove(stream)
          self.saved(stream, result.map { version }.mapError { $0 })
        }
      }
    } catch {
      saving.remove(stream)
      saved(stream, .failure(error))
    }
  }
}
