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
  /// Places of queues that may refuse, locked.
  private var held: [QueuePlace] = []

  init(_ router: Router) throws(RoutingError) {
    lane = try router.makeLane()
    unsafe numbers = .allocate(capacity: capacity)
  }

  deinit { unsafe numbers.deallocate() }

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
    _ count: Int, _ blocks: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    var taken = 0
    while taken < blocks.count {
      let part = blocks.part(taken, min(blocks.count, taken + QueuePlace.batch))
      let step =
        unsafe count == 1
        ? insertIntoOne(numbers[0], part, due: due, now, broker, &work) : insertIntoMany(count, part, due: due, now, broker, &work)
      taken += step.taken
      if step.taken == 0 { return (taken, step.refusal) }
    }
    return (taken, nil)
  }

  @inline(__always) private func insertIntoOne(
    _ number: UInt32, _ blocks: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    guard let place = broker.place(number), let locked = place.locked(version: lane.version) else { return (0, .unroutable) }
    var part = blocks
    if locked.state.mayRefuse {
      locked.state.machine.advance(now, &work.gone)
      let room = locked.state.room(blocks)
      if room == 0 { return refuse(place, locked, blocks[0], now, broker, &work) }
      part = blocks.part(0, room)
    }
    locked.state.insert(part, due: due, now, &work)
    let follow = locked.state.endTurn(place, arrived: part.count, now, &work)
    let since = locked.state.since
    place.lock.unlock()
    broker.follow(place, since, follow, &work)
    return (part.count, nil)
  }

  /// A queue is full, and locked: it is unlocked then. Where it says so a copy is a dead letter.
  @inline(never) private func refuse(
    _ place: QueuePlace, _ locked: LockedQueue, _ block: MessageBlock, _ now: UInt64, _ broker: borrowing Broker,
    _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    let (name, since) = (locked.state.name, locked.state.since)
    locked.state.counts.refused += 1
    let isDead = locked.state.machine.configuration.overflow == .rejectPublishDeadLetter
    let follow = locked.state.endTurn(place, arrived: 0, now, &work)
    place.lock.unlock()
    broker.follow(place, since, follow, &work)
    // The publisher may write into its message again: the dead letter is another one.
    if isDead, let copy = work.cache.copy(block) {
      work.dead.append(Grave(departure: QueueDeparture(message: copy.number, exit: .maxLength, failed: 0), place: place, since: since))
    }
    return (0, .full(queue: name))
  }

  @inline(never) private mutating func insertIntoMany(
    _ count: Int, _ blocks: MessageList, due: UInt64, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (taken: Int, refusal: PublishRefusal?) {
    let asked = lockThoseThatMayRefuse(count, blocks, now, broker, &work)
    if let full = asked.full {
      for other in held { other.lock.unlock() }
      held.removeAll(keepingCapacity: true)
      guard let locked = full.state else { preconditionFailure("invariant broken: a locked queue has gone") }
      return refuse(full, locked, blocks[0], now, broker, &work)
    }
    let part = blocks.part(0, asked.fit)
    // A reference for each queue, before anybody can have the first.
    for index in 0..<part.count { part[index].retain(count - 1) }
    for place in held {
      guard let locked = place.state else { preconditionFailure("invariant broken: a locked queue has gone") }
      // There is room, and what was due has moved: nothing leaves it now.
      locked.state.insert(part, due: due, now, &work)
    }
    for place in held { place.lock.unlock() }
    var given = held.count
    for index in 0..<count {
      guard let place = unsafe broker.place(numbers[index]), let locked = place.locked(version: lane.version) else { continue }
      let since = locked.state.since
      if !held.contains(place) {
        locked.state.insert(part, due: due, now, &work)
        given += 1
      }
      let follow = locked.state.endTurn(place, arrived: part.count, now, &work)
      place.lock.unlock()
      broker.follow(place, since, follow, &work)
    }
    held.removeAll(keepingCapacity: true)
    // Queues that were deleted since it was routed have taken nothing.
    let over = given == 0 ? count - 1 : count - given
    for index in 0..<part.count { for _ in 0..<over { work.cache.release(part[index]) } }
    return given == 0 ? (0, .unroutable) : (part.count, nil)
  }

  /// Locks the queues that may refuse, the lowest number first, as everybody does: how many of the messages all of them have room for, and which has none.
  private mutating func lockThoseThatMayRefuse(
    _ count: Int, _ blocks: MessageList, _ now: UInt64, _ broker: borrowing Broker, _ work: inout Workspace
  ) -> (fit: Int, full: QueuePlace?) {
    var fit = blocks.count
    for index in 0..<count {
      guard let place = unsafe broker.place(numbers[index]), let locked = place.locked(version: lane.version) else { continue }
      guard locked.state.mayRefuse else {
        place.lock.unlock()
        continue
      }
      locked.state.machine.advance(now, &work.gone)
      locked.state.count(work.gone)
      broker.leave(place, locked.state.since, &work)
      fit = min(fit, locked.state.room(blocks))
      if fit == 0 { return (0, place) }
      held.append(place)
    }
    return (fit, nil)
  }
}
