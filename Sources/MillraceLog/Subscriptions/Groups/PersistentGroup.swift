internal import MillraceCore

/// Competing consumers of a stream, a category or all streams: each message is given to one of them, at least once, again until it is
/// acknowledged, and put aside when it was given too often. Order is best effort.
///
/// The group's state lies in the stream `$group-NAME` of the store, and survives restarts; parked messages are named in `$parked-NAME`.
/// Whoever starts a group owns it, and takes it from an older owner: that one's next append is refused, and it ends with `lostOwnership`.
/// Until it learns that, both give messages.
///
/// # Threads
/// Any thread calls. Completions and notices come on a thread of the host, one at a time.
public final class PersistentGroup: @unchecked Sendable {
  /// Told once how many messages it was, or why nothing was done.
  public typealias Completion = @Sendable (Result<Int, GroupRequestError>) -> Void

  /// Consumers at once.
  public static let consumerLimit = 1_024

  /// As it was given: the settings in force are those of `status`.
  public let definition: GroupDefinition
  private let store: any EventStore
  private let seat: Seat
  private let backoff: StoreBackoff
  private let ended: @Sendable (GroupEnd) -> Void
  private let monitor = Monitor()
  // The monitor's.
  private var published: GroupStatus
  private var numbers: UInt64 = 0
  // The seat's own.
  private var machine: GroupMachine
  private var source: CatchUpSubscription?
  private var receivers: [UInt64: @Sendable (GroupNotice) -> Void] = [:]
  private var requests: [UInt64: Completion] = [:]
  private var starting: (@Sendable (Result<Void, GroupEnd>) -> Void)?
  private var stops: [@Sendable () -> Void] = []
  private var wake: UInt64?

  /// - Parameters:
  ///   - definition: what the group is; of one that exists, its name and source.
  ///   - store: stays open until the group has ended.
  ///   - host: gives it time and threads.
  ///   - owner: names this instance, and no other one ever.
  ///   - backoff: how a store is asked again that is busy.
  ///   - ended: told once why the group has ended, after all consumers.
  /// - Throws: `GroupEnd.invalid` if the definition is not as it may be, `SubscriptionHostFull`.
  public init(
    _ definition: GroupDefinition, store: any EventStore, host: SubscriptionHost, owner: EventID = .random(),
    backoff: StoreBackoff = StoreBackoff(), ended: @escaping @Sendable (GroupEnd) -> Void = { _ in }
  ) throws {
    if let fault = definition.fault { throw GroupEnd.invalid(fault) }
    self.definition = definition
    self.store = store
    self.backoff = backoff
    self.ended = ended
    let seat = try host.seat()
    do {
      machine = try GroupMachine(definition, owner: owner, backoff: backoff, seed: seat.seed)
    } catch {
      seat.leave()
      throw error
    }
    self.seat = seat
    published = machine.status
  }

  deinit {
    seat.leave()
    monitor.deallocate()
  }

  /// Reads the group's state, or makes it, and takes the group over. Once.
  public func start(_ completion: @escaping @Sendable (Result<Void, GroupEnd>) -> Void) {
    seat.post { [self] in
      if let end = machine.status.end { return completion(.failure(end)) }
      precondition(starting == nil, "a group starts once")
      starting = completion
      apply(.start)
    }
  }

  /// A consumer comes; if there are `consumerLimit` already, its first notice is `ended`.
  ///
  /// - Parameters:
  ///   - name: decides which streams it gets when messages are pinned. Need not be unique.
  ///   - credit: messages that it may have at once, 1 or more.
  ///   - receive: is told of messages, on a thread of the host: it hands on.
  public func connect(_ name: String, credit: Int = 10, _ receive: @escaping @Sendable (GroupNotice) -> Void) -> GroupConsumer {
    precondition(credit > 0, "a consumer has room for 1 message at least")
    let id = number()
    seat.post { [self] in
      receivers[id] = receive
      apply(.connect(id, name: name, credit: credit))
    }
    return GroupConsumer(self, id: id)
  }

  /// Changes the settings: written first, then all consumers begin anew (`GroupNotice.reconnected`). `readBatch` counts for the source from the next
  /// start on.
  public func update(_ settings: GroupSettings, _ completion: @escaping @Sendable (Result<Void, GroupRequestError>) -> Void) {
    request(told: { completion($0.map { _ in }) }, { .update(settings, request: $0) })
  }

  /// Gives parked messages to consumers again, the oldest first, as if they were new. Completes with how many when they are no longer
  /// parked: they are outstanding messages of the group then. `limit`: not more than so many.
  public func replayParked(limit: Int = .max, _ completion: @escaping Completion) {
    request(told: completion, { .replay(limit: limit, request: $0) })
  }

  /// Parked messages, the oldest first. `version`: of the first one. `limit`: 1 to `EventLimits.eventsInPage`.
  public func parked(
    from version: UInt64 = 0, limit: Int = 100, _ completion: @escaping @Sendable (Result<[ParkedMessage], GroupRequestError>) -> Void
  ) {
    seat.post { [self] in
      // Only what was read tells from where on messages are parked.
      guard machine.version != nil else { return completion(.failure(.notRunning(machine.status.end))) }
      let first = max(version, machine.record.parkedFrom)
      store.read(ReadRequest(.stream(machine.parkedStream), from: .at(first), limit: limit)) { result in
        self.seat.post { completion(Self.parked(result)) }
      }
    }
  }

  private static func parked(_ result: Result<EventPage, EventStoreError>) -> Result<[ParkedMessage], GroupRequestError> {
    do {
      var messages: [ParkedMessage] = []
      for event in try result.get().events {
        guard let record = ParkedRecord(event) else {
          return .failure(.damaged(version: event.version, "it is not what a group writes there"))
        }
        messages.append(record.message)
      }
      return .success(messages)
    } catch { return .failure(.store(error)) }
  }

  /// Ends the group: nothing is given any more from here on, what is done is written, and what consumers still have is given again by the
  /// next owner. When this has completed, nobody is told of anything any more.
  public func stop(_ completion: @escaping @Sendable () -> Void = {}) {
    seat.post { [self] in
      if machine.status.end != nil { return completion() }
      stops.append(completion)
      apply(.stop)
    }
  }

  /// As of the last thing that has happened.
  public var status: GroupStatus { monitor.locked { published } }

  fileprivate func acknowledge(_ message: GroupMessage, by id: UInt64) {
    seat.post { [self] in apply(.acknowledge(message, by: id)) }
  }

  fileprivate func refuse(_ message: GroupMessage, by id: UInt64, _ refusal: GroupRefusal) {
    seat.post { [self] in apply(.refuse(message, by: id, refusal)) }
  }

  fileprivate func disconnect(_ id: UInt64, _ completion: @escaping @Sendable () -> Void) {
    seat.post { [self] in
      receivers[id] = nil
      apply(.disconnect(id))
      completion()
    }
  }

  private func number() -> UInt64 {
    monitor.locked {
      numbers += 1
      return numbers
    }
  }

  private func request(told completion: @escaping Completion, _ input: @escaping @Sendable (UInt64) -> GroupMachine.Input) {
    let id = number()
    seat.post { [self] in
      requests[id] = completion
      apply(input(id))
    }
  }

  // All below: the seat's.

  private func apply(_ input: GroupMachine.Input) {
    let actions = machine.apply(input, now: seat.now)
    let status = machine.status
    monitor.locked { published = status }
    let wake = machine.nextWake
    if wake != self.wake {
      self.wake = wake
      seat.setAlarm(at: wake) { [self] in
        self.wake = nil
        apply(.alarm)
      }
    }
    for action in actions { perform(action) }
  }

  private func perform(_ action: GroupMachine.Action) {
    switch action {
    case .read(let lane, let number, let request):
      store.read(request) { result in self.seat.post { self.apply(.answer(lane, number, .page(result))) } }
    case .append(let number, let appends):
      store.append(appends) { result in self.seat.post { self.apply(.answer(.state, number, .receipt(result))) } }
    case .follow(let checkpoint): follow(checkpoint)
    case .demand: source?.next { result in self.seat.post { self.apply(.source(result)) } }
    case .tell(let consumer, let notice):
      let receiver = receivers[consumer]
      if case .ended = notice { receivers[consumer] = nil }
      receiver?(notice)
    case .answer(let request, let result): requests.removeValue(forKey: request)?(result)
    case .forget(let stream, let version):
      // It gives room back, and nothing depends on it: the next time it is asked for more.
      store.setLimits(StreamLimits(firstVersion: version), of: stream) { _ in }
    case .started:
      starting?(.success(()))
      starting = nil
    case .finish(let end): finish(end)
    }
  }

  private func follow(_ checkpoint: UInt64) {
    do throws(SubscriptionHostFull) {
      source = try CatchUpSubscription(
        definition.source, from: checkpoint, store: store, host: seat.host, limit: machine.record.settings.readBatch, backoff: backoff)
    } catch {
      // As the answer to the demand that comes after this.
      seat.post { [self] in apply(.source(.failure(.store(.invalid("\(error)"))))) }
    }
  }

  private func finish(_ end: GroupEnd) {
    source?.stop()
    source = nil
    starting?(.failure(end))
    starting = nil
    let stops = self.stops
    self.stops = []
    seat.leave()
    ended(end)
    for stop in stops { stop() }
  }
}

/// A consumer of a group.
///
/// # Threads
/// Any.
public final class GroupConsumer: Sendable {
  private let group: PersistentGroup
  private let id: UInt64

  init(_ group: PersistentGroup, id: UInt64) {
    self.group = group
    self.id = id
  }

  /// The message is done. If it is no longer this consumer's, nothing happens but that it is counted (`GroupStatus.late`).
  public func acknowledge(_ message: GroupMessage) { group.acknowledge(message, by: id) }

  /// The message is not done. As `acknowledge`.
  public func refuse(_ message: GroupMessage, _ refusal: GroupRefusal) { group.refuse(message, by: id, refusal) }

  /// The consumer goes: what it has is given to others. When this has completed, it is told of nothing any more.
  public func disconnect(_ completion: @escaping @Sendable () -> Void = {}) { group.disconnect(id, completion) }
}

extension EventID {
  /// Of the system's generator.
  public static func random() -> EventID {
    var generator = SystemRandomNumberGenerator()
    return EventID(high: generator.next(), low: generator.next())
  }
}
