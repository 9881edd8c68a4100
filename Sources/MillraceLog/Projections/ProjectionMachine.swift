/// What a projection keeps in its stream, `$projection-NAME`: each event holds all of it.
struct ProjectionRecord: Equatable {
  static let type = "projection-state"
  static let format: UInt64 = 1

  var source: SubscriptionSource
  var epoch: UInt64 = 0
  /// The effects of all events before this are done, or were never to be.
  var checkpoint: UInt64

  init(source: SubscriptionSource, checkpoint: UInt64) {
    self.source = source
    self.checkpoint = checkpoint
  }

  var bytes: [UInt8] {
    KeptJSON.object([
      "format": .number(Self.format), "source": source.kept, "epoch": .number(epoch), "checkpoint": .number(checkpoint),
    ]).bytes
  }

  init(_ bytes: [UInt8]) throws(KeptFault) {
    guard let members = KeptJSON(bytes)?.object else { throw KeptFault("it is no JSON object") }
    guard members["format"]?.number == Self.format else { throw KeptFault("its format is not \(Self.format)") }
    guard let source = members["source"]?.object.flatMap(SubscriptionSource.init(kept:)), let epoch = members["epoch"]?.number,
      let checkpoint = members["checkpoint"]?.number
    else { throw KeptFault("a member is missing or of the wrong kind") }
    self.source = source
    self.epoch = epoch
    self.checkpoint = checkpoint
  }
}

/// A projection as a value: which events are folded, with effects or without, and what is kept when.
///
/// # What is kept where
/// The checkpoint of the effects lies in the projection's stream, appended with the exact version that this instance knows: a second
/// instance is found out. The state lies in a snapshot beside it, which may be lost: then events are folded from an older snapshot or from
/// the start, their effects muted up to the checkpoint. So a lost snapshot costs time, and never an effect.
struct ProjectionMachine {
  enum Answer {
    case page(Result<EventPage, EventStoreError>)
    case end(Result<UInt64, EventStoreError>)
    case receipt(Result<AppendReceipt, EventStoreError>)
  }

  enum Input {
    case start
    case answer(UInt64, Answer)
    /// The state as of the snapshot's checkpoint; nil: there is none that can be used.
    case restored(UInt64?)
    case snapshotAhead(version: UInt64)
    case source(Result<SubscriptionDelivery, SubscriptionEnd>)
    case foldFailed(at: UInt64, String)
    case effect(UInt64, EffectOutcome)
    case alarm
    case stop
  }

  enum Action: Equatable {
    case read(UInt64, ReadRequest.Scope)
    case askEnd(UInt64)
    case append(UInt64, ProjectionRecord, expected: ExpectedVersion)
    /// Sets the state aside, as it is now: it is that of this checkpoint.
    case holdState(checkpoint: UInt64)
    /// Keeps what was set aside as a snapshot of this version.
    case keepState(version: UInt64)
    /// Reads the snapshot, which is of `version` at most.
    case restore(version: UInt64)
    case follow(from: UInt64)
    case demand
    case fold([RecordedEvent])
    case callEffect(UInt64, RecordedEvent, attempt: Int)
    case started
    case finish(ProjectionEnd)
  }

  private enum Phase {
    case new, loading, locating, taking, restoring, running, stopping
    case over(ProjectionEnd)
  }

  private struct Effect {
    var event: RecordedEvent
    var attempt = 0
    /// nil: it rests, or is to be called.
    var number: UInt64?
    var restsUntil: UInt64?
    var patience: Patience
  }

  let source: SubscriptionSource
  let stream: StreamName
  let first: FirstEffects
  let hasEffects: Bool
  let isRebuilt: Bool
  let policy: ProjectionPolicy
  private let backoff: StoreBackoff
  private let seed: UInt64
  private var phase = Phase.new
  private var record: ProjectionRecord
  private var version: UInt64?
  private var question: UInt64 = 0
  private var isAsking = false
  private var restsUntil: UInt64?
  private var patience: Patience
  /// An append under way.
  private var write: (record: ProjectionRecord, holdsState: Bool)?
  private var effect: Effect?
  private var effects: UInt64 = 0
  private var pending: ArraySlice<RecordedEvent> = []
  /// Where to go on when `pending` is done.
  private var pageCheckpoint: UInt64 = 0
  private var isDemanded = false
  /// Events since the last append, and when the first of them was.
  private var unsaved = 0
  private var saveAt: UInt64?
  private var stopReason: ProjectionEnd?
  private(set) var status = ProjectionStatus()

  init(
    _ name: String, _ source: SubscriptionSource, first: FirstEffects, hasEffects: Bool, isRebuilt: Bool, policy: ProjectionPolicy,
    backoff: StoreBackoff, seed: UInt64
  ) throws(EventStoreError) {
    stream = try StreamName("$projection-" + name)
    self.source = source
    self.first = first
    self.hasEffects = hasEffects
    self.isRebuilt = isRebuilt
    self.policy = policy
    self.backoff = backoff
    self.seed = seed
    record = ProjectionRecord(source: source, checkpoint: 0)
    patience = Patience(backoff, seed: seed)
  }

  mutating func apply(_ input: Input, now: UInt64) -> [Action] {
    if case .over = phase { return [] }
    var actions: [Action] = []
    switch input {
    case .start: if case .new = phase { phase = .loading }
    case .answer(let number, let answer):
      guard isAsking, number == question else { break }
      isAsking = false
      take(answer, now, &actions)
    case .restored(let checkpoint): restored(checkpoint, &actions)
    case .snapshotAhead(let ahead): finish(.snapshotAhead(version: ahead, actual: version ?? 0), &actions)
    case .source(let result): take(result)
    case .foldFailed(let place, let text):
      // The state may be half an event ahead: it is not kept.
      finish(.reducer(at: place, text), &actions)
    case .effect(let number, let outcome): take(number, outcome, now)
    case .alarm:
      if let until = restsUntil, until <= now { restsUntil = nil }
      if let until = effect?.restsUntil, until <= now { effect?.restsUntil = nil }
    case .stop: stop(.stopped)
    }
    pump(now, &actions)
    return actions
  }

  private mutating func stop(_ reason: ProjectionEnd) {
    if stopReason == nil { stopReason = reason }
    if case .running = phase { phase = .stopping }
  }

  private mutating func finish(_ end: ProjectionEnd, _ actions: inout [Action]) {
    if case .over = phase { return }
    phase = .over(end)
    status.isRunning = false
    status.isLive = false
    status.end = end
    actions.append(.finish(end))
  }

  private mutating func pump(_ now: UInt64, _ actions: inout [Action]) {
    switch phase {
    case .new, .loading, .locating, .restoring:
      if let stopReason { return finish(stopReason, &actions) }
      ask(&actions)
    case .taking: append(&actions)
    case .running:
      advance(now, &actions)
      save(now, &actions)
    case .stopping:
      if write == nil, status.checkpoint > record.checkpoint || (unsaved > 0 && effect == nil) { makeWrite(&actions) }
      if write == nil { finish(stopReason ?? .stopped, &actions) } else { append(&actions) }
    case .over: break
    }
  }

  private var canAsk: Bool { !isAsking && restsUntil == nil }

  private mutating func ask(_ actions: inout [Action]) {
    guard canAsk else { return }
    switch phase {
    case .loading: actions.append(.read(number(), .stream(stream)))
    case .locating: actions.append(source.countsVersions ? .read(number(), source.scope) : .askEnd(number()))
    default: break
    }
  }

  private mutating func number() -> UInt64 {
    question += 1
    isAsking = true
    return question
  }

  // MARK: The store

  private mutating func take(_ answer: Answer, _ now: UInt64, _ actions: inout [Action]) {
    let error: EventStoreError
    switch answer {
    case .page(.success(let page)):
      patience.succeeded()
      if case .locating = phase { return locate(page.lastVersion.map { $0 + 1 } ?? 0) }
      return loaded(page, &actions)
    case .end(.success(let end)):
      patience.succeeded()
      return locate(end)
    case .receipt(.success(let receipt)):
      patience.succeeded()
      return written(receipt, &actions)
    case .page(.failure(let reason)), .end(.failure(let reason)), .receipt(.failure(let reason)): error = reason
    }
    if case .wrongExpectedVersion = error { return finish(.lostOwnership, &actions) }
    // What could not be kept is done once more: that was promised.
    if case .stopping = phase { return finish(stopReason ?? .stopped, &actions) }
    // Nor does who is to stop wait for a store that refuses to let it take over.
    if case .taking = phase, let stopReason { return finish(stopReason, &actions) }
    var isAskedAgain = error.isTemporary
    if case .outcomeUnknown = error { isAskedAgain = true }
    guard isAskedAgain, let wait = patience.failed() else { return finish(.store(error), &actions) }
    restsUntil = now &+ wait
  }

  private mutating func loaded(_ page: EventPage, _ actions: inout [Action]) {
    version = page.lastVersion
    guard let last = version else {
      if first == .ofNewEvents { phase = .locating } else { locate(0) }
      return
    }
    guard let event = page.events.last, event.version == last else {
      return finish(.damagedState(version: last, "it is not there any more"), &actions)
    }
    do throws(KeptFault) {
      record = try ProjectionRecord(event.payload)
    } catch { return finish(.damagedState(version: last, error.text), &actions) }
    if record.source != source { return finish(.hasOtherSource(record.source), &actions) }
    takeOver()
  }

  private mutating func locate(_ end: UInt64) {
    record.checkpoint = end
    takeOver()
  }

  private mutating func takeOver() {
    record.epoch += 1
    write = (record, false)
    phase = .taking
  }

  private mutating func append(_ actions: inout [Action]) {
    guard canAsk, let write else { return }
    actions.append(.append(number(), write.record, expected: version.map { .exact($0) } ?? .noStream))
  }

  private mutating func written(_ receipt: AppendReceipt, _ actions: inout [Action]) {
    guard let write else { return }
    self.write = nil
    record = write.record
    let last = receipt.streams[0].lastVersion
    version = last
    status.storedCheckpoint = record.checkpoint
    if write.holdsState { actions.append(.keepState(version: last)) }
    guard case .taking = phase else { return }
    status.effectsFrom = record.checkpoint
    phase = .restoring
    if isRebuilt { restored(nil, &actions) } else { actions.append(.restore(version: last)) }
  }

  private mutating func restored(_ checkpoint: UInt64?, _ actions: inout [Action]) {
    guard case .restoring = phase else { return }
    status.checkpoint = checkpoint ?? 0
    status.isRunning = true
    phase = .running
    actions += [.follow(from: status.checkpoint), .started]
    if stopReason != nil { phase = .stopping }
  }

  // MARK: Events

  private mutating func take(_ result: Result<SubscriptionDelivery, SubscriptionEnd>) {
    isDemanded = false
    switch result {
    case .success(.events(let events, let checkpoint)):
      pending = events[...]
      pageCheckpoint = checkpoint
    case .success(.caughtUp(let checkpoint)):
      status.isLive = true
      status.checkpoint = max(status.checkpoint, checkpoint)
    case .success(.fellBehind): status.isLive = false
    case .failure(let end): stop(.source(end))
    }
  }

  private mutating func advance(_ now: UInt64, _ actions: inout [Action]) {
    if callEffect(&actions) { return }
    while let event = pending.first {
      // The state is kept before the next event is folded.
      if isSaveDue(now), write == nil { return }
      if saveAt == nil { saveAt = now.saturating(adding: policy.time) }
      guard hasEffects, source.place(of: event) >= status.effectsFrom else {
        foldMuted(&actions)
        continue
      }
      pending = pending.dropFirst()
      unsaved += 1
      actions.append(.fold([event]))
      effect = Effect(event: event, patience: Patience(backoff, seed: seed &+ event.position))
      _ = callEffect(&actions)
      return
    }
    guard !isDemanded else { return }
    isDemanded = true
    actions.append(.demand)
  }

  /// As many as have no effects, up to the next time that the state is kept.
  private mutating func foldMuted(_ actions: inout [Action]) {
    let room = max(policy.events - unsaved, 1)
    let events = pending.prefix(room).prefix { !hasEffects || source.place(of: $0) < status.effectsFrom }
    pending = pending.dropFirst(events.count)
    unsaved += events.count
    actions.append(.fold(Array(events)))
    passed(events.last)
  }

  private mutating func passed(_ event: RecordedEvent?) {
    if let event { status.checkpoint = source.checkpoint(after: event) }
    if pending.isEmpty { status.checkpoint = max(status.checkpoint, pageCheckpoint) }
  }

  // MARK: Effects

  /// True: one is under way.
  private mutating func callEffect(_ actions: inout [Action]) -> Bool {
    guard var effect else { return false }
    guard effect.number == nil, effect.restsUntil == nil else { return true }
    effects += 1
    effect.number = effects
    effect.attempt += 1
    self.effect = effect
    actions.append(.callEffect(effects, effect.event, attempt: effect.attempt))
    return true
  }

  private mutating func take(_ number: UInt64, _ outcome: EffectOutcome, _ now: UInt64) {
    guard case .running = phase, var effect, effect.number == number else { return }
    let place = source.place(of: effect.event)
    switch outcome {
    case .done:
      self.effect = nil
      status.effectError = nil
      passed(effect.event)
    case .retry(let text):
      status.effectError = text
      effect.number = nil
      guard let wait = effect.patience.failed() else { return stop(.effect(at: place, "\(effect.attempt) times: \(text)")) }
      effect.restsUntil = now &+ wait
      self.effect = effect
    case .failed(let text): stop(.effect(at: place, text))
    }
  }

  // MARK: Keeping

  private func isSaveDue(_ now: UInt64) -> Bool { unsaved >= policy.events || (saveAt.map { $0 <= now } ?? false && unsaved > 0) }

  /// Between events: the state is that of the checkpoint.
  private mutating func save(_ now: UInt64, _ actions: inout [Action]) {
    if write == nil, effect == nil, isSaveDue(now) {
      makeWrite(&actions)
      append(&actions)
      return advance(now, &actions)
    }
    append(&actions)
  }

  private mutating func makeWrite(_ actions: inout [Action]) {
    var next = record
    // A rebuild does not take back what has had its effects.
    next.checkpoint = max(record.checkpoint, status.checkpoint)
    write = (next, effect == nil)
    if effect == nil { actions.append(.holdState(checkpoint: status.checkpoint)) }
    unsaved = 0
    saveAt = nil
  }

  /// When `alarm` is to come.
  var nextWake: UInt64? {
    if case .over = phase { return nil }
    var wakes = [restsUntil, effect?.restsUntil].compactMap(\.self)
    if case .running = phase, write == nil, effect == nil, let saveAt { wakes.append(saveAt) }
    return wakes.min()
  }
}
