internal import MillraceCore

/// Finds the queues of messages and puts them in.
///
/// # Threads
/// One at a time.
@safe struct PublishCore: ~Copyable {
  var lane: RoutingLane
  // unsafe: `capacity` numbers, freed in `deinit`.
  private(set) var numbers: UnsafeMutablePointer<UInt32>
  private var capacity = 64
  /// Places of the queues that messages go to now, with their epochs.
  private var places: [(place: QueuePlace, epoch: UInt32, mayRefuse: Bool)] = []
  /// Numbers of the durable ones, and memory for what the journal is given.
  private var durable: [UInt32] = []
  private var scratch = JournalScratch()
  /// What goes to each of the queues; freed in `deinit`.
  private let template: QueueRun
  /// Who is told when the journal has written; nil: nobody.
  let confirms: Confirms?
  /// What leaves durable queues with the next message that goes to the journal.
  var settlements: [JournalSettlement] = []
  /// What a queue refuses that dead-letters what it refuses is its publisher's alone: it is there already.
  var keepsRefused = false

  /// The messages that were put in last went to the journal.
  private(set) var isJournaled = false

  init(_ router: Router, _ confirms: Confirms? = nil) throws(RoutingError) {
    lane = try router.makeLane()
    self.confirms = confirms
    unsafe numbers = .allocate(capacity: capacity)
    template = unsafe QueueRun(.allocate(byteCount: QueueRun.size(QueuePlace.batch), alignment: 8))
  }

  deinit {
    unsafe numbers.deallocate()
    unsafe template.base.deallocate()
  }

  /// A run of the messages for any queue; nil: they are few.
  @inline(__always) private func makeTemplate(_ messages: MessageList, due: UInt64, _ now: UInt64) -> QueueRun? {
    if messages.count < Broker.few { return nil }
    template.fill(messages, epoch: 0, now: now, due: due)
    return template
  }

  /// As above, of those that it is of already, or of the first of them.
  @inline(__always) private func makeTemplate(_ before: QueueRun?, _ messages: MessageList, due: UInt64, _ now: UInt64) -> QueueRun? {
    before?.count == messages.count ? before : makeTemplate(messages, due: due, now)
  }

  /// How many queues these lead to; their numbers are then in `numbers`, ascending. Throws `RouteRefusal`. unsafe: the buffers are there meanwhile.
  @unsafe @inline(__always) mutating func route(
    _ exchange: ExchangeID, _ key: UnsafeBufferPointer<UInt8>, _ headers: UnsafeRawBufferPointer
  ) throws(RouteRefusal) -> Int {
    do throws(RouteRefusal) {
      return try unsafe routeOnce(exchange, key, headers)
    } catch {
      guard case .buffer(let needed) = error else { throw error }
      unsafe numbers.deallocate()
      capacity = needed
      unsafe numbers = .allocate(capacity: needed)
      return try unsafe routeOnce(exchange, key, headers)
    }
  }

  @unsafe @inline(__always) private mutating func routeOnce(
    _ exchange: ExchangeID, _ key: UnsafeBufferPointer<UInt8>, _ headers: UnsafeRawBufferPointer
  ) throws(RouteRefusal) -> Int {
    let into = unsafe UnsafeMutableBufferPointer(start: numbers, count: capacity)
    return switch try unsafe lane.route(exchange, key: key, headers: headers, into: into) {
    case .queues(let count): count
    case .unroutable: 0
    }
  }

  /// Keeps of the numbers that were found those that `isWanted` wants. How many.
  mutating func filter(_ count: Int, _ isWanted: (UInt32) -> Bool) -> Int {
    var kept = 0
    for index in 0..<count where unsafe isWanted(numbers[index]) {
      unsafe numbers[kept] = numbers[index]
      kept += 1
    }
    return kept
  }

  /// Puts messages into the `count` queues that were found: each goes to all of them or to none. How many were taken, from the first on, and why not all.
  ///
  /// The caller has a reference of each, which goes with those that were taken.
  mutating func insert(
    _ count: Int, _ messages: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    var taken = 0
    isJournaled = false
    while taken < messages.count {
      let part = messages.part(taken, min(messages.count, taken + QueuePlace.batch))
      let step = insertPart(count, part, due: due, now, broker, &work)
      taken += step.taken
      if step.taken == 0 { return (taken, step.refusal) }
    }
    return (taken, nil)
  }

  @inline(__always) private mutating func insertPart(
    _ count: Int, _ messages: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    if count > 1 { return insertIntoMany(count, messages, due: due, now, broker, &work) }
    guard let place = unsafe broker.place(numbers[0]), let queue = place.look(version: lane.version) else { return (0, .unroutable) }
    var part = messages
    let whole = makeTemplate(messages, due: due, now)
    if queue.mayRefuse {
      var fit = place.reserve(messages, total: whole.flatMap(\.total), epoch: queue.epoch)
      if fit == 0 {
        let (isThere, refusal) = makeRoom(place, queue.epoch, messages, now, broker, &work)
        fit = isThere
        if fit == 0 { return (0, refusal) }
      }
      part = messages.part(0, fit)
    }
    if queue.journal != 0, part[0].flags.contains(.hasNumber) {
      durable.removeAll(keepingCapacity: true)
      durable.append(queue.journal)
      let (taken, refusal) = journal(part, due: due, now, broker)
      if queue.mayRefuse, taken < part.count { broker.giveBack(part.part(taken, part.count), to: place, epoch: queue.epoch, &work) }
      if taken == 0 { return (0, refusal) }
      part = part.part(0, taken)
    }
    broker.put(part, makeTemplate(whole, part, due: due, now), into: place, epoch: queue.epoch, due: due, now, &work)
    return (part.count, nil)
  }

  /// Messages go to the journal before they go to durable queues: how many of them, and why not all.
  private mutating func journal(_ messages: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker) -> (
    taken: Int, refusal: PublishRefusal?
  ) {
    var count = 0
    var bytes = 0
    while count < messages.count {
      let own = messages[count].bytes + messages[count].propertyBytes + 1_024 + 8 * durable.count
      if count > 0, bytes + own > JournalLimits.batchBytes { break }
      bytes += own
      count += 1
    }
    if let refusal = broker.journal(messages.part(0, count), for: durable, due: due, now, confirms, &settlements, &scratch) {
      return (0, refusal)
    }
    isJournaled = true
    return (count, nil)
  }

  /// A queue is full. What is due in it leaves, its consumers get what they have credit for; if there is still no room, it says so. Room for how many messages was reserved.
  @inline(never) private func makeRoom(
    _ place: QueuePlace, _ epoch: UInt32, _ messages: MessageList, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (fit: Int, refusal: PublishRefusal?) {
    guard let locked = place.locked(epoch: epoch) else { return (0, .unroutable) }
    let arrived = locked.state.drain(place, &work)
    locked.state.machine.advance(now, &work.gone)
    let (name, since, journal) = (locked.state.name, locked.state.since, locked.state.journal)
    let isDead = locked.state.machine.configuration.overflow == .rejectPublishDeadLetter
    broker.endTurn(place, locked, arrived: arrived, now, &work)
    let fit = place.reserve(messages, epoch: epoch)
    if fit > 0 { return (fit, nil) }
    // The publisher may write into its message again: the dead letter is another one.
    if isDead, !keepsRefused, let copy = work.cache.copy(messages[0]) {
      work.dead.append(
        Grave(departure: QueueDeparture(message: copy.number, exit: .maxLength, failed: 0), place: place, since: since, journal: journal))
    }
    return (0, .full(queue: name))
  }

  @inline(never) private mutating func insertIntoMany(
    _ count: Int, _ messages: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    places.removeAll(keepingCapacity: true)
    durable.removeAll(keepingCapacity: true)
    var fit = messages.count
    let whole = makeTemplate(messages, due: due, now)
    for index in 0..<count {
      guard let place = unsafe broker.place(numbers[index]), let queue = place.look(version: lane.version) else { continue }
      if queue.mayRefuse {
        var own = place.reserve(messages.part(0, fit), total: fit == messages.count ? whole?.total : nil, epoch: queue.epoch)
        var refusal: PublishRefusal?
        if own == 0 { (own, refusal) = makeRoom(place, queue.epoch, messages.part(0, fit), now, broker, &work) }
        if own < fit {
          // None gets more than all of them have room for.
          for other in places where other.mayRefuse { broker.giveBack(messages.part(own, fit), to: other.place, epoch: other.epoch, &work) }
          fit = own
        }
        if fit == 0 { return (0, refusal ?? .unroutable) }
      }
      places.append((place, queue.epoch, queue.mayRefuse))
      if queue.journal != 0 { durable.append(queue.journal) }
    }
    if places.isEmpty { return (0, .unroutable) }
    if !durable.isEmpty, messages[0].flags.contains(.hasNumber) {
      let (taken, refusal) = journal(messages.part(0, fit), due: due, now, broker)
      for other in places where other.mayRefuse { broker.giveBack(messages.part(taken, fit), to: other.place, epoch: other.epoch, &work) }
      if taken == 0 { return (0, refusal) }
      fit = taken
    }
    let part = messages.part(0, fit)
    // A reference for each queue, before anybody can have the first.
    for index in 0..<part.count { part[index].retainEarly(places.count - 1) }
    let template = makeTemplate(whole, part, due: due, now)
    for (place, epoch, _) in places { broker.put(part, template, into: place, epoch: epoch, due: due, now, &work) }
    return (part.count, nil)
  }
}
