/// A persistent group as a value: which message goes to which consumer, what is written when, and what is asked of the store next.
///
/// # What is written, and when
/// Each event of the group's stream is all of its state (`GroupRecord`), appended with the exact version that this instance knows. So an
/// instance that another has taken the group from learns it with its next append, and changes nothing. A message is parked by one append to
/// two streams, this state among them: after a crash it is either parked or still outstanding.
///
/// At most one append is under way; what comes meanwhile goes with the next one. Reading of messages again, of parked messages, and looking after the
/// ownership each have a lane of their own, with one question at a time.
struct GroupMachine {
  enum Lane: Int, CaseIterable {
    /// The group's state: read once, then appended.
    case state
    /// Messages that are given again after a start or a replay.
    case fetch
    case parked
    /// Whether another has taken the group.
    case look
  }

  enum Answer {
    case page(Result<EventPage, EventStoreError>)
    case receipt(Result<AppendReceipt, EventStoreError>)
  }

  enum Input {
    case start
    /// To the question of this number. An old number, or the same one again, changes nothing.
    case answer(Lane, UInt64, Answer)
    case source(Result<SubscriptionDelivery, SubscriptionEnd>)
    case connect(UInt64, name: String, credit: Int)
    case disconnect(UInt64)
    case acknowledge(GroupMessage, by: UInt64)
    case refuse(GroupMessage, by: UInt64, GroupRefusal)
    case update(GroupSettings, request: UInt64)
    case replay(limit: Int, request: UInt64)
    case alarm
    case stop
  }

  enum Action {
    case read(Lane, UInt64, ReadRequest)
    case append(UInt64, [StreamAppend])
    /// Begins to follow the source.
    case follow(from: UInt64)
    case demand
    case tell(UInt64, GroupNotice)
    case answer(UInt64, Result<Int, GroupRequestError>)
    /// Gives room back, sometime.
    case forget(StreamName, before: UInt64)
    case started
    case finish(GroupEnd)
  }

  enum Phase {
    case new, loading, taking, running, stopping
    case over(GroupEnd)
  }

  /// One question at a time, asked again after a rest if the store was busy.
  struct LaneState {
    var question: UInt64?
    var restsUntil: UInt64?
    var patience: Patience
    var isFree: Bool { question == nil && restsUntil == nil }
  }

  struct Entry {
    enum Place: Equatable {
      /// To be read again.
      case toFetch
      case ready
      case resting
      case delivered(to: UInt64, delivery: UInt64)
      /// Until the append that parks it.
      case parking(reason: String)
    }

    var event: RecordedEvent?
    var attempts: Int
    var place: Place
  }

  /// An append under way, and what it means when it has taken place.
  struct Write {
    var appends: [StreamAppend]
    var record: GroupRecord
    var parked: [UInt64] = []
    var replayed: [UInt64] = []
    var settingsRequest: UInt64?
    var settled: Int
  }

  struct Replay {
    var request: UInt64
    var left: Int
    /// Versions from here on were parked later.
    var end: UInt64?
    var next: UInt64
    var moved = 0
    /// Read, and not yet written as outstanding.
    var places: [UInt64] = []
  }

  /// Payload bytes that are held, but for one page.
  static let bufferBytes = 32 << 20
  /// Of the reason why a message was parked.
  static let reasonCharacters = 1_024
  /// Messages that one append parks.
  static let parkedInWrite = 256
  /// Versions of the group's stream after which its older ones are forgotten.
  static let forgetEvery: UInt64 = 64

  let definition: GroupDefinition
  let stream: StreamName
  let parkedStream: StreamName
  let owner: EventID
  var phase = Phase.new
  var record: GroupRecord
  /// Of the last event of the group's stream.
  var version: UInt64?
  var lanes: [LaneState]
  var question: UInt64 = 0
  var write: Write?
  var replay: Replay?
  var settingsToWrite: (settings: GroupSettings, request: UInt64)?
  var stopReason: GroupEnd?

  // Messages, by their places.
  var entries: [UInt64: Entry] = [:]
  var fresh = PlaceQueue()
  var retries = PlaceQueue()
  var toFetch = PlaceQueue()
  var toPark = PlaceQueue()
  var resting = TimeQueue()
  var deadlines = TimeQueue()
  var consumers = ConsumerTable()
  var deliveries: UInt64 = 0
  var deliveredCount = 0
  var heldBytes = 0
  /// The source gave all before this.
  var read: UInt64
  /// Fresh events before this were given to a consumer.
  var given: UInt64
  var isFollowing = false
  var isDemanded = false
  var isLive = false
  /// Messages settled since the last write; all that has changed since.
  var settled = 0
  var isChanged = false
  var nextLook: UInt64 = 0
  var isLookDue = false
  var isCheckpointDue = false
  var counts = GroupStatus()

  init(_ definition: GroupDefinition, owner: EventID, backoff: StoreBackoff, seed: UInt64) throws(EventStoreError) {
    self.definition = definition
    self.owner = owner
    stream = try StreamName("$group-" + definition.name)
    parkedStream = try StreamName("$parked-" + definition.name)
    record = GroupRecord(definition)
    read = definition.start
    given = definition.start
    lanes = Lane.allCases.map { LaneState(patience: Patience(backoff, seed: seed &+ UInt64($0.rawValue))) }
  }

  mutating func apply(_ input: Input, now: UInt64) -> [Action] {
    var actions: [Action] = []
    if case .over(let end) = phase {
      refuse(input, end, &actions)
      return actions
    }
    switch input {
    case .start: if case .new = phase { phase = .loading }
    case .answer(let lane, let number, let answer):
      guard lanes[lane.rawValue].question == number else { break }
      lanes[lane.rawValue].question = nil
      take(lane, answer, now, &actions)
    case .source(let result): take(result, now, &actions)
    case .connect(let id, let name, let credit):
      if consumers.all.count < PersistentGroup.consumerLimit {
        consumers.add(id, name: name, credit: credit)
      } else {
        actions.append(.tell(id, .ended(.invalid("a group has \(PersistentGroup.consumerLimit) consumers at most"))))
      }
    case .disconnect(let id): disconnect(id, now)
    case .acknowledge(let message, let id): if settle(message, by: id) { counts.settled += 1 }
    case .refuse(let message, let id, let refusal): refuse(message, by: id, refusal, now)
    case .update(let settings, let request): update(settings, request, &actions)
    case .replay(let limit, let request): startReplay(limit, request, &actions)
    case .alarm: look(at: now)
    case .stop: stop(.stopped)
    }
    pump(now, &actions)
    return actions
  }

  /// What comes after the end.
  private func refuse(_ input: Input, _ end: GroupEnd, _ actions: inout [Action]) {
    switch input {
    case .connect(let id, _, _): actions.append(.tell(id, .ended(end)))
    case .update(_, let request), .replay(_, let request): actions.append(.answer(request, .failure(.notRunning(end))))
    default: break
    }
  }

  mutating func stop(_ reason: GroupEnd) {
    switch phase {
    case .new, .loading, .taking: stopReason = stopReason ?? reason
    case .running:
      stopReason = reason
      phase = .stopping
    case .stopping, .over: break
    }
  }

  mutating func finish(_ end: GroupEnd, _ actions: inout [Action]) {
    if case .over = phase { return }
    phase = .over(end)
    counts.end = end
    for consumer in consumers.all { actions.append(.tell(consumer.id, .ended(end))) }
    let requests = [write?.settingsRequest, settingsToWrite?.request, replay?.request]
    for request in requests { if let request { actions.append(.answer(request, .failure(.notRunning(end)))) } }
    actions.append(.finish(end))
  }

  /// Does all that can be done now.
  private mutating func pump(_ now: UInt64, _ actions: inout [Action]) {
    switch phase {
    case .new:
      if let stopReason { finish(stopReason, &actions) }
    case .loading: load(&actions)
    case .taking: startWrite(now, &actions)
    case .running:
      deliverReady(now, &actions)
      startWrite(now, &actions)
      startFetch(&actions)
      readParked(&actions)
      lookForOwner(&actions)
      demand(&actions)
    case .stopping:
      if isChanged || write != nil || !toPark.isEmpty { startWrite(now, &actions) } else { finish(stopReason ?? .stopped, &actions) }
    case .over: break
    }
  }

  private mutating func demand(_ actions: inout [Action]) {
    guard !isDemanded, toFetch.isEmpty, held < capacity, heldBytes < Self.bufferBytes else { return }
    isDemanded = true
    if !isFollowing {
      isFollowing = true
      actions.append(.follow(from: read))
    }
    actions.append(.demand)
  }

  var capacity: Int { isLive ? record.settings.liveBuffer : record.settings.historyBuffer }
  /// Messages that are neither settled nor at a consumer.
  var held: Int { entries.count - deliveredCount }

  var status: GroupStatus {
    var status = counts
    if case .running = phase { status.isRunning = true }
    status.checkpoint = given
    status.storedCheckpoint = record.next
    status.isLive = isLive
    status.settings = record.settings
    status.consumers = consumers.all.count
    status.delivered = deliveredCount
    status.held = held
    return status
  }

  /// When `alarm` is to come.
  var nextWake: UInt64? {
    var wakes = lanes.compactMap(\.restsUntil)
    if case .running = phase { wakes += [nextLook] + [resting.first, deadlines.first].compactMap(\.self) }
    if case .over = phase { return nil }
    return wakes.min()
  }
}
