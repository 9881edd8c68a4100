internal import MillraceCore

/// Follows events, folds them into a state, and asks for effects: at least once for each event, in order, one at a time.
///
/// Its checkpoint lies in the stream `$projection-NAME` of the store, its state in a snapshot beside it. When the snapshot cannot be used,
/// or a rebuild is wished, all events are folded from the start, without effects up to the checkpoint that the projection had reached. One
/// instance runs at a time: a second one takes over, and the first learns it with its next checkpoint.
///
/// Execution is at least once; the effect at most once for each `EffectCall.key`, if whoever does it keeps to that.
///
/// # Threads
/// Any thread calls. Completions, the reducer's code and effects come on a thread of the host, one at a time.
public final class Projection<R: Reducer>: @unchecked Sendable {
  /// Begins an effect; `done` is called once, by any thread. After that the next event is folded.
  public typealias Effect = @Sendable (EffectCall<R.State>, _ done: @escaping @Sendable (EffectOutcome) -> Void) -> Void

  /// How a projection is started, and works.
  public struct Options: Sendable {
    /// For a projection that is made now.
    public var first = FirstEffects.ofNewEvents
    /// Folds all events anew, whatever snapshot there is.
    public var rebuilds = false
    /// When the checkpoint and the state are kept.
    public var policy = ProjectionPolicy()
    /// For the store, and for effects that are to be asked for again.
    public var backoff = StoreBackoff()
    /// Events of a page.
    public var limit = 512

    /// The defaults.
    public init() {}
  }

  /// Names its stream, `$projection-NAME`.
  public let name: String
  /// Makes the state.
  public let reducer: R
  /// Which events it follows.
  public let source: SubscriptionSource
  private let store: any EventStore
  private let seat: Seat
  private let owner: EventID
  private let effect: Effect?
  private let ended: @Sendable (ProjectionEnd) -> Void
  private let options: Options
  private let monitor = Monitor()
  // The monitor's.
  private var published = ProjectionStatus()
  // The seat's own.
  private var machine: ProjectionMachine
  private var state: R.State
  private var subscription: CatchUpSubscription?
  private var starting: (@Sendable (Result<Void, ProjectionEnd>) -> Void)?
  private var stops: [@Sendable () -> Void] = []
  private var held: Result<[UInt8], any Error>?
  private var snapshotError: String?
  private var wake: UInt64?

  /// - Parameters:
  ///   - name: names its stream: 1 to 128 bytes of `[A-Za-z0-9._-]`.
  ///   - reducer: makes the state.
  ///   - source: which events it follows.
  ///   - store: stays open until the projection has ended.
  ///   - host: gives it time and threads.
  ///   - owner: names this instance, and no other one ever.
  ///   - options: how it is started, and works.
  ///   - effect: nil if it has none.
  ///   - ended: told once why the projection has ended.
  /// - Throws: `ProjectionEnd.invalid`, `SubscriptionHostFull`.
  public init(
    _ name: String, _ reducer: R, of source: SubscriptionSource, store: any EventStore, host: SubscriptionHost, owner: EventID = .random(),
    options: Options = Options(), effect: Effect? = nil, ended: @escaping @Sendable (ProjectionEnd) -> Void = { _ in }
  ) throws {
    if let fault = GroupDefinition.fault(name: name, of: "projection") { throw ProjectionEnd.invalid(fault) }
    self.name = name
    self.reducer = reducer
    self.source = source
    self.store = store
    self.owner = owner
    self.options = options
    self.effect = effect
    self.ended = ended
    let seat = try host.seat()
    do {
      machine = try ProjectionMachine(
        name, source, first: options.first, hasEffects: effect != nil, isRebuilt: options.rebuilds, policy: options.policy,
        backoff: options.backoff, seed: seat.seed)
    } catch {
      seat.leave()
      throw error
    }
    self.seat = seat
    state = reducer.initial
  }

  deinit {
    seat.leave()
    monitor.deallocate()
  }

  /// Reads the checkpoint and the state, or begins anew, and follows the events from there. Once.
  public func start(_ completion: @escaping @Sendable (Result<Void, ProjectionEnd>) -> Void = { _ in }) {
    seat.post { [self] in
      if let end = machine.status.end { return completion(.failure(end)) }
      precondition(starting == nil, "a projection starts once")
      starting = completion
      apply(.start)
    }
  }

  /// The state, and how far it is, between two events: that of the event whose effect is under way is folded in.
  public func read(_ completion: @escaping @Sendable (R.State, ProjectionStatus) -> Void) {
    seat.post { [self] in completion(state, status) }
  }

  /// Ends the projection: no effect is begun from here on; one that is under way is asked for again at the next start. When this has
  /// completed, what is done is kept, if the store took it.
  public func stop(_ completion: @escaping @Sendable () -> Void = {}) {
    seat.post { [self] in
      if machine.status.end != nil { return completion() }
      stops.append(completion)
      apply(.stop)
    }
  }

  /// As of the last thing that has happened.
  public var status: ProjectionStatus { monitor.locked { published } }

  // All below: the seat's.

  private func apply(_ input: ProjectionMachine.Input) {
    let actions = machine.apply(input, now: seat.now)
    publish()
    let wake = machine.nextWake
    if wake != self.wake {
      self.wake = wake
      seat.setAlarm(at: wake) { [self] in
        self.wake = nil
        apply(.alarm)
      }
    }
    for action in actions {
      if let failure = perform(action) { return apply(failure) }
    }
  }

  private func publish() {
    var status = machine.status
    status.snapshotError = snapshotError
    monitor.locked { published = status }
  }

  /// What has failed, after which nothing more of what was to be done is done.
  private func perform(_ action: ProjectionMachine.Action) -> ProjectionMachine.Input? {
    switch action {
    case .read(let number, let scope):
      store.read(ReadRequest(scope, .backward, limit: 1)) { self.answer(number, .page($0)) }
    case .askEnd(let number): store.end { self.answer(number, .end($0)) }
    case .append(let number, let record, let expected): append(number, record, expected)
    case .holdState(let checkpoint): hold(checkpoint)
    case .keepState(let version): keep(version)
    case .restore(let version): restore(version)
    case .follow(let checkpoint): return follow(checkpoint)
    case .demand: subscription?.next { result in self.seat.post { self.apply(.source(result)) } }
    case .fold(let events): return fold(events)
    case .callEffect(let number, let event, let attempt):
      let call = EffectCall(event: event, state: state, attempt: attempt, projection: name)
      effect?(call) { outcome in self.seat.post { self.apply(.effect(number, outcome)) } }
    case .started:
      starting?(.success(()))
      starting = nil
    case .finish(let end): finish(end)
    }
    return nil
  }

  private func answer(_ number: UInt64, _ answer: ProjectionMachine.Answer) { seat.post { self.apply(.answer(number, answer)) } }

  private func fold(_ events: [RecordedEvent]) -> ProjectionMachine.Input? {
    for event in events {
      do { try reducer.fold(&state, event) } catch { return .foldFailed(at: source.place(of: event), "\(error)") }
    }
    return nil
  }

  private func follow(_ checkpoint: UInt64) -> ProjectionMachine.Input? {
    do throws(SubscriptionHostFull) {
      subscription = try CatchUpSubscription(
        source, from: checkpoint, store: store, host: seat.host, limit: options.limit, backoff: options.backoff)
      return nil
    } catch { return .source(.failure(.store(.invalid("\(error)")))) }
  }

  private func finish(_ end: ProjectionEnd) {
    subscription?.stop()
    subscription = nil
    starting?(.failure(end))
    starting = nil
    let stops = self.stops
    self.stops = []
    seat.leave()
    ended(end)
    for stop in stops { stop() }
  }

  // MARK: What is kept

  private func append(_ number: UInt64, _ record: ProjectionRecord, _ expected: ExpectedVersion) {
    let version: UInt64 = if case .exact(let last) = expected { last + 1 } else { 0 }
    let event = EventDraft(id: EventID(high: owner.high, low: owner.low &+ version), type: ProjectionRecord.type, payload: record.bytes)
    store.append([StreamAppend(stream: machine.stream, expected: expected, events: [event])]) { self.answer(number, .receipt($0)) }
  }

  private func hold(_ checkpoint: UInt64) {
    held = Result { SnapshotFrame.words(checkpoint) + (try reducer.encode(state)) }
  }

  private func keep(_ version: UInt64) {
    // Older ones are of no use: only room is at stake.
    store.setLimits(StreamLimits(firstVersion: version), of: machine.stream) { _ in }
    guard let held else { return }
    self.held = nil
    switch held {
    case .failure(let error): snapshotKept(.failure(error))
    case .success(let bytes):
      let state = SnapshotFrame.wrap(bytes, reducerVersion: reducer.version, version: version)
      let snapshot = Snapshot(
        stream: machine.stream, reducer: reducer.name, reducerVersion: reducer.version, version: version, state: state)
      store.save(snapshot) { result in self.seat.post { self.snapshotKept(result.mapError { $0 }) } }
    }
  }

  private func snapshotKept(_ result: Result<Void, any Error>) {
    snapshotError = if case .failure(let error) = result { "\(error)" } else { nil }
    publish()
  }

  private func restore(_ version: UInt64) {
    store.snapshot(of: machine.stream, reducer: reducer.name) { result in
      self.seat.post { self.apply(self.restored(result, version)) }
    }
  }

  private func restored(_ result: Result<Snapshot?, EventStoreError>, _ version: UInt64) -> ProjectionMachine.Input {
    let snapshot: Snapshot?
    switch result {
    case .success(let found): snapshot = found
    case .failure(let error):
      // All events are folded instead.
      snapshotError = "\(error)"
      return .restored(nil)
    }
    guard let snapshot else { return .restored(nil) }
    if snapshot.version > version { return .snapshotAhead(version: snapshot.version) }
    guard snapshot.reducerVersion == reducer.version else { return .restored(nil) }
    guard let bytes = SnapshotFrame.unwrap(snapshot), bytes.count >= 8 else {
      snapshotError = "the snapshot of version \(snapshot.version) is damaged"
      return .restored(nil)
    }
    let state: R.State
    do { state = try reducer.decode(Array(bytes[8...])) } catch {
      snapshotError = "the reducer cannot read the snapshot of version \(snapshot.version): \(error)"
      return .restored(nil)
    }
    let checkpoint = SnapshotFrame.word(bytes[..<8])
    // A state that is ahead of the effects is none of this projection's past.
    guard checkpoint <= machine.status.effectsFrom else { return .restored(nil) }
    self.state = state
    return .restored(checkpoint)
  }
}
