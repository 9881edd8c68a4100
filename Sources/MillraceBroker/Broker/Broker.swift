internal import MillraceCore

/// Exchanges, queues and messages in memory: what is published is written once, in place, and read there by every consumer.
///
/// ```swift
/// let broker = try Broker(BrokerConfiguration(), host: host)
/// let tasks = try BrokerName("tasks")
/// try broker.declare(queue: tasks)
/// var publisher = try broker.makePublisher()
/// var draft = try publisher.claim(64, Envelope(to: tasks))
/// draft.withBytes { bytes in ... }
/// switch publisher.publish(draft) { case .accepted(let receipt): ...; case .duplicate: ...; case .refused(let draft, let why): ... }
/// ```
///
/// # Threads
/// Any. Publishers and receivers are for one thread each.
/// # Progress
/// Publishing and settling: blocking for as long as another thread works on the same queue, `QueuePlace.batch` messages at most. Declaring and deleting wait for each other.
@safe public final class Broker: @unchecked Sendable {
  /// Timers of this kind are for `timerFired`.
  public static let timerKind: UInt16 = 0x4D51

  /// What it was made with.
  public let configuration: BrokerConfiguration
  /// Exchanges and bindings. Queues are declared by the broker.
  public let router: Router
  let host: BrokerHost
  let pool: MessagePool
  let duplicates: DuplicateWindow?
  /// nil: nothing outlives the process.
  let journal: (any QueueJournal)?
  let spaces: Workspaces
  /// A word for each number of a queue: its place, or 0.
  private let places: Region
  let monitor = Monitor()
  // The monitor's.
  var numbers: [BrokerName: UInt32] = [:]
  private var freeNumbers: [UInt32] = []
  private var nextNumber: UInt32 = 0
  private var epochs: UInt32 = 0
  private var memories: [Region] = []
  /// Queues that were deleted while consumers had messages of theirs, by when they were made.
  private var deleted: [UInt64: DeletedQueue] = [:]
  /// Whoever changes what the journal keeps, one after the other: what it is told and what is there are the same.
  let definitions = Monitor()
  // Under `definitions`.
  /// The number that the journal knows the next durable queue by.
  var nextJournal: UInt32 = 1
  var durableExchanges: Set<BrokerName> = []
  /// Under `monitor`.
  private var isClosed = false
  var allConfirms: [Confirms] = []
  var freeConfirms: [Confirms] = []
  /// What the scheduler calls for consumers that are jobs, until it has stopped.
  let seats = HandlerSeats()
  let roomWaits = QueueWaits()
  let messageWaits = QueueWaits()
  private let deskMemory: UnsafeMutablePointer<DeadLetterDesk>
  private let deskMonitor = Monitor()

  /// In memory alone. Throws `BrokerError.configuration`, `.memory` or `.routing`.
  public convenience init(_ configuration: BrokerConfiguration = BrokerConfiguration(), host: BrokerHost) throws(BrokerError) {
    try self.init(configuration, host: host, journal: nil)
  }

  /// With a journal, which nobody else uses: all durable queues are there again, with their messages. `close` ends it. Throws `BrokerError`; the journal is then closed.
  package init(_ configuration: BrokerConfiguration, host: BrokerHost, journal: (any QueueJournal)?) throws(BrokerError) {
    // Before the object is whole nothing else closes the journal.
    func refused(_ error: BrokerError) -> BrokerError {
      journal?.close()
      return error
    }
    if let fault = configuration.fault { throw refused(.configuration(fault)) }
    self.configuration = configuration
    self.host = host
    self.journal = journal
    do { router = try Router(configuration.routing) } catch { throw refused(.routing(error)) }
    let bytes = configuration.messageBytes ?? Machine.read().room(forEach: 1, most: 1 << 46)
    do throws(MemoryError) {
      pool = try MessagePool(capacity: bytes)
      places = try Region(bytes: 8 * configuration.routing.queues)
      spaces = try Workspaces(pool)
    } catch { throw refused(.memory(bytes: error.bytes)) }
    duplicates =
      configuration.duplicateWindow == 0
      ? nil : DuplicateWindow(nanoseconds: configuration.duplicateWindow, most: configuration.duplicateIDs)
    let core: PublishCore
    do { core = try PublishCore(router) } catch { throw refused(.routing(error)) }
    unsafe deskMemory = .allocate(capacity: 1)
    unsafe deskMemory.initialize(to: DeadLetterDesk(core, pool))
    do throws(BrokerError) { try recover() } catch {
      // What was recovered in part is not what consumers hold: nothing is told.
      if beginClosing() { journal?.close() }
      throw error
    }
  }

  /// True: it was not closed before.
  func beginClosing() -> Bool {
    monitor.locked {
      defer { isClosed = true }
      return !isClosed
    }
  }

  deinit {
    close()
    // Nobody else is there: publishers, receivers and deliveries keep the broker.
    for number in 0..<nextNumber {
      guard let place = place(number) else { continue }
      spaces.with { work in place.clear(&work) }
    }
    for queue in deleted.values { queue.free() }
    unsafe deskMemory.deinitialize(count: 1)
    unsafe deskMemory.deallocate()
    for memory in memories { memory.free() }
    places.free()
    monitor.deallocate()
    definitions.deallocate()
    deskMonitor.deallocate()
  }

  // MARK: Places

  // unsafe: a word for each number below the limit.
  private func word(_ number: UInt32) -> SharedWord { unsafe SharedWord(places.base + 8 * Int(number)) }

  /// nil: no queue has ever had this number. Complexity: O(1).
  @inline(__always) func place(_ number: UInt32) -> QueuePlace? {
    // Order: acquiring. Pairs with the releasing store in `makePlace`.
    let address = word(number).loadAcquiring()
    // unsafe: a place stays as long as the broker.
    return unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)).map { unsafe QueuePlace($0) }
  }

  /// With the monitor.
  private func makePlace(_ number: UInt32) throws(BrokerError) -> QueuePlace {
    if let place = place(number) { return place }
    let memory: Region
    do { memory = try Region(bytes: QueuePlace.bytes) } catch { throw .memory(bytes: error.bytes) }
    memories.append(memory)
    let place = unsafe QueuePlace(memory.base)
    place.number = number
    place.set(nil)
    // Order: releasing. Pairs with the acquiring load in `place`.
    unsafe word(number).storeReleasing(UInt64(UInt(bitPattern: memory.base)))
    return place
  }

  /// The place of a queue that is there. Throws `BrokerError.noQueue`.
  func place(of queue: BrokerName) throws(BrokerError) -> QueuePlace {
    guard let number = monitor.locked({ numbers[queue] }), let place = place(number) else { throw .noQueue(queue) }
    return place
  }

  // MARK: Queues

  /// Names of all queues, ascending.
  public var queues: [BrokerName] { monitor.locked { numbers.keys.sorted { $0.description < $1.description } } }

  /// A queue, to which the default exchange leads by its name from now on. False: there is one that is the same. Throws `BrokerError.different` where there is one that is otherwise,
  /// `.configuration`, `.routing`, `.memory` or, for a durable one, `.noJournal` and `.journal`. Complexity: O(log queues); a durable queue waits for the disk.
  @discardableResult
  public func declare(queue name: BrokerName, _ configuration: QueueConfiguration = QueueConfiguration()) throws(BrokerError) -> Bool {
    if let fault = configuration.fault { throw .configuration("queue '\(name)': \(fault)") }
    if try compare(name, configuration) { return false }
    guard configuration.isDurable else { return try declare(queue: name, configuration, journal: 0) }
    guard journal != nil else { throw .noJournal(name) }
    return try definitions.locked { () throws(BrokerError) in
      // Another one may have been first.
      if try compare(name, configuration) { return false }
      let number = nextJournal
      nextJournal += 1
      // On the disk before anybody can publish to it.
      try record([.declare(.queue(DurableQueue(name, number: number, configuration)))])
      return try declare(queue: name, configuration, journal: number)
    }
  }

  /// True: there is such a queue. Throws `BrokerError.different`.
  private func compare(_ name: BrokerName, _ configuration: QueueConfiguration) throws(BrokerError) -> Bool {
    guard let place = monitor.locked({ numbers[name].flatMap { place($0) } }) else { return false }
    try compare(name, place, configuration)
    return true
  }

  /// `journal`: what the journal knows it by; 0: it does not.
  @discardableResult
  func declare(queue name: BrokerName, _ configuration: QueueConfiguration, journal: UInt32) throws(BrokerError) -> Bool {
    try monitor.locked { () throws(BrokerError) in
      if let number = numbers[name], let place = place(number) {
        try compare(name, place, configuration)
        return false
      }
      let number = freeNumbers.last ?? nextNumber
      if number >= UInt32(self.configuration.routing.queues) {
        throw .routing(.full("queues", limit: self.configuration.routing.queues))
      }
      let place = try makePlace(number)
      let since: UInt64
      do throws(RoutingError) { since = try router.addQueue(name, number: number) } catch { throw .routing(error) }
      if freeNumbers.popLast() == nil { nextNumber += 1 }
      numbers[name] = number
      epochs += 1
      place.lock.lockToLook()
      place.set(LockedQueue(QueueState(name, number: number, since: since, epoch: epochs, journal: journal, configuration)))
      place.lock.unlock()
      return true
    }
  }

  private func compare(_ name: BrokerName, _ place: QueuePlace, _ asked: QueueConfiguration) throws(BrokerError) {
    place.lock.lockToLook()
    let actual = place.state?.state.machine.configuration
    place.lock.unlock()
    guard let actual, actual != asked else { return }
    if let (attribute, one, other) = actual.difference(from: asked) { throw .different(name, attribute: attribute, is: one, asked: other) }
  }

  /// Deletes a queue with its messages. False: there is none. `ifUnused`, `ifEmpty`: only if it has no consumers, or no messages; throws `BrokerError.inUse` then.
  ///
  /// Consumers learn it when they settle what they hold, or ask for more. Complexity: O(its bindings + messages).
  @discardableResult
  public func delete(queue name: BrokerName, ifUnused: Bool = false, ifEmpty: Bool = false) throws(BrokerError) -> Bool {
    guard journal != nil else { return try remove(name, ifUnused: ifUnused, ifEmpty: ifEmpty) != nil }
    return try definitions.locked { () throws(BrokerError) in
      guard let wasDurable = try remove(name, ifUnused: ifUnused, ifEmpty: ifEmpty) else { return false }
      // Exchanges that deleted themselves with their last binding go with it.
      try record((wasDurable ? [.delete(.queue(name))] : []) + forgetExchangesThatWent())
      return true
    }
  }

  /// Whether the journal knew it; nil: there is none.
  private func remove(_ name: BrokerName, ifUnused: Bool, ifEmpty: Bool) throws(BrokerError) -> Bool? {
    return try monitor.locked { () throws(BrokerError) -> Bool? in
      guard let number = numbers[name], let place = place(number) else { return nil }
      place.lock.lockToLook()
      guard let locked = place.state else { preconditionFailure("invariant broken: a queue without state has a name") }
      let (messages, consumers) = (locked.state.machine.count, locked.state.machine.consumers.count)
      if ifUnused && consumers > 0 || ifEmpty && messages > 0 {
        place.lock.unlock()
        throw .inUse(name, messages: messages, consumers: consumers)
      }
      // Publishers that were routed before find it gone.
      place.set(nil)
      spaces.with { work in place.dropIntake(&work) }
      place.setJobs(false)
      place.setAskers(false)
      place.tellRoom()
      place.lock.unlock()
      place.wakeReceivers(.max)
      place.wakePublishers(.max)
      _ = router.remove(queue: name)
      numbers[name] = nil
      freeNumbers.append(number)
      let (wasDurable, since) = (locked.state.journal != 0, locked.state.since)
      empty(locked)
      tellRoom(place, since)
      tellMessages(place, since)
      return wasDurable
    }
  }

  /// A deleted queue's messages go; what consumers hold stays theirs until they settle it.
  private func empty(_ locked: LockedQueue) {
    var gone: [QueueDeparture] = []
    _ = locked.state.machine.purge(host.clock.now, &gone)
    for consumer in locked.state.jobs { consumer?.close() }
    spaces.with { work in
      for departure in gone { work.cache.release(unsafe MessageBlock(departure.message)) }
      locked.state.freeRuns(&work)
    }
    let queue = DeletedQueue(locked)
    if queue.isDone { queue.free() } else { deleted[locked.state.since] = queue }
  }

  /// Takes all messages out that nobody holds. How many. Throws `BrokerError.noQueue`. Complexity: O(n), with the lock given back in between.
  @discardableResult public func purge(queue name: BrokerName) throws(BrokerError) -> Int {
    let place = try place(of: name)
    var from: UInt32 = 0
    var count = 0
    while true {
      let (purged, isDone) = spaces.with { work in
        guard let locked = place.locked() else { return (0, true) }
        _ = locked.state.drain(place, &work)
        let purged = locked.state.machine.purge(from: &from, most: QueuePlace.batch * 16, host.clock.now, &work.gone)
        let isDone = from >= locked.state.machine.entries.touchedCount
        end(place, locked, arrived: 0, host.clock.now, &work)
        return (purged, isDone)
      }
      count += purged
      if isDone { return count }
    }
  }

  // MARK: After the lock

  /// Ends a turn, and sees to dead letters.
  @inline(__always) func end(
    _ place: QueuePlace, _ locked: LockedQueue, arrived: Int, _ now: UInt64, _ work: inout Workspace
  ) {
    endTurn(place, locked, arrived: arrived, now, &work)
    bury(&work)
  }

  /// Ends a turn: what is to be told under the lock, the lock given back, then everything that must not be done under it.
  @inline(__always) func endTurn(
    _ place: QueuePlace, _ locked: LockedQueue, arrived: Int, _ now: UInt64, _ work: inout Workspace
  ) {
    if endTurnOnce(place, locked, arrived: arrived, now, &work) { serve(place, &work) }
  }

  /// As `endTurn`. True: somebody may have published meanwhile who relies on us to serve consumers that are jobs.
  @inline(__always) func endTurnOnce(
    _ place: QueuePlace, _ locked: LockedQueue, arrived: Int, _ now: UInt64, _ work: inout Workspace
  ) -> Bool {
    let follow = locked.state.endTurn(place, arrived: arrived, now, &work)
    let since = locked.state.since
    place.unlock(sees: follow.hasJobs)
    self.follow(place, since, follow, &work)
    return follow.hasJobs
  }

  /// What was put off until no lock is held, but for dead letters, which are left in `work.dead`.
  @inline(__always) func follow(_ place: QueuePlace, _ since: UInt64, _ follow: FollowUp, _ work: inout Workspace) {
    if follow.arrived > 0 { wakeReceivers(place, follow.arrived) }
    if follow.publishers > 0 { tellPublishers(place, since, follow.publishers) }
    if follow.alarm != 0 { arm(place, follow.alarm) }
    if !work.gone.isEmpty { leave(place, since, follow.journal, &work) }
    settleJournal(&work)
    if !work.requests.isEmpty { submit(place, since, follow.hasMore, &work) }
  }

  /// What has left a queue: freed, or among the dead letters. `journal`: what the journal knows the queue by; 0: it does not.
  func leave(_ place: QueuePlace, _ since: UInt64, _ journal: UInt32, _ work: inout Workspace) {
    for index in work.gone.indices {
      let departure = work.gone[index]
      let block = unsafe MessageBlock(departure.message)
      if departure.exit.isDeadLetter {
        work.dead.append(Grave(departure: departure, place: place, since: since, journal: journal))
        continue
      }
      if journal != 0, block.journalNumber != 0 {
        work.settlements.append(JournalSettlement(block.journalNumber, in: journal, JournalSettlement.How(departure.exit)))
      }
      work.cache.release(block)
    }
    work.gone.removeAll(keepingCapacity: work.gone.capacity <= Workspace.longList)
  }

  /// The queue's timer is due then at the latest.
  @inline(never) func arm(_ place: QueuePlace, _ due: UInt64) {
    guard let timers = host.timers else { return }
    while true {
      let armed = place.armed.loadSequential()
      if armed <= due { return }
      // Order: sequentially consistent. Pairs with the exchange in `advance`.
      if place.armed.replace(armed, by: due) { break }
    }
    do {
      _ = try timers.arm(shard: host.timerShard, due: due, value: UInt64(place.number), kind: Broker.timerKind)
    } catch {
      // No timer to be had: what is due moves when the queue is used next, whose turn tries again.
      _ = place.armed.exchange(.max)
    }
  }

  /// Gives jobs to the scheduler, one for each delivery, in their order. What it does not take goes back to the queue.
  @inline(never) private func submit(_ place: QueuePlace, _ since: UInt64, _ hasMore: Bool, _ work: inout Workspace) {
    guard let scheduler = host.scheduler else { preconditionFailure("invariant broken: jobs without a scheduler") }
    var hasMore = hasMore
    while !work.requests.isEmpty {
      let (taken, refusal) = offer(work.requests, scheduler)
      if let refusal {
        // None of the others is a job: neither the message nor the consumer has it.
        for index in taken..<work.requests.count { seats.consumer(of: work.requests[index].handler)?.drop(2) }
        work.requests.removeAll(keepingCapacity: true)
        work.deliveries.removeFirst(taken)
        return takeBack(place, since, refusal, &work)
      }
      work.requests.removeAll(keepingCapacity: true)
      work.deliveries.removeAll(keepingCapacity: true)
      guard hasMore, let locked = place.locked(exactly: since) else { return }
      let arrived = locked.state.drain(place, &work)
      let follow = locked.state.endTurn(place, arrived: arrived, host.clock.now, &work)
      // The turn that this belongs to looks at the intake at its end.
      place.unlock(sees: true)
      if follow.arrived > 0 { wakeReceivers(place, follow.arrived) }
      if follow.publishers > 0 { tellPublishers(place, since, follow.publishers) }
      hasMore = follow.hasMore
      if follow.alarm != 0 { arm(place, follow.alarm) }
      if !work.gone.isEmpty { leave(place, since, follow.journal, &work) }
      settleJournal(&work)
    }
  }

  /// All of them at once, or as many as there is room for, the first ones first: together they may be more than the scheduler ever holds.
  private func offer(_ requests: [JobRequest], _ scheduler: Scheduler) -> (taken: Int, refusal: SubmitError?) {
    var (taken, lot) = (0, requests.count)
    while taken < requests.count {
      lot = min(lot, requests.count - taken)
      do throws(SubmitError) {
        try scheduler.submit(requests.span.extracting(taken..<taken + lot))
        taken += lot
      } catch {
        guard case .full = error, lot > 1 else { return (taken, error) }
        lot /= 2
      }
    }
    return (taken, nil)
  }

  /// Deliveries that no job was to be had for. Full: in a moment again. Stopped: nobody will run jobs any more, others may have the messages.
  private func takeBack(_ place: QueuePlace, _ since: UInt64, _ refusal: SubmitError, _ work: inout Workspace) {
    let deliveries = work.deliveries
    work.deliveries.removeAll(keepingCapacity: true)
    for delivery in deliveries { work.cache.release(unsafe MessageBlock(delivery.message)) }
    let isFull = if case .full = refusal { true } else { false }
    let now = host.clock.now
    guard let locked = place.locked(exactly: since) else { return }
    // Else those behind them would be next, and theirs is the same fate.
    if isFull { locked.state.fullUntil = now &+ Broker.fullWait }
    for delivery in deliveries {
      if !isFull { locked.state.machine.setPrefetch(of: delivery.consumer, 0) }
      locked.state.withdraw(delivery, now, &work)
    }
    endTurn(place, locked, arrived: deliveries.count, now, &work)
  }

  /// Nanoseconds until deliveries are tried again that the scheduler had no room for.
  private static let fullWait: UInt64 = 1_000_000

  // MARK: Dead letters and time

  /// Dead letters go on their way. No lock is held.
  @inline(__always) func bury(_ work: inout Workspace) {
    if !work.dead.isEmpty { buryNow(&work) }
  }

  @inline(never) private func buryNow(_ work: inout Workspace) {
    deskMonitor.locked {
      // unsafe: the monitor's.
      unsafe deskMemory.pointee.pending += work.dead
      work.dead.removeAll(keepingCapacity: work.dead.capacity <= Workspace.longList)
      unsafe deskMemory.pointee.drain(self)
    }
  }

  /// Dead letters that no queue took: their target was not there, or was full; and those that went in circles.
  public var lostDeadLetters: (lost: UInt64, cycles: UInt64) {
    // unsafe: the monitor's.
    deskMonitor.locked { unsafe (deskMemory.pointee.lost, deskMemory.pointee.cycles) }
  }

  /// A timer of `timerKind` fired: what is due in a queue moves.
  public func timerFired(_ value: UInt64) {
    guard let place = place(UInt32(truncatingIfNeeded: value)) else { return }
    advance(place)
  }

  /// What is due by now moves, in all queues. For brokers without timers. Complexity: O(queues).
  public func advance() {
    for place in monitor.locked({ numbers.values.compactMap { place($0) } }) { advance(place) }
  }

  private func advance(_ place: QueuePlace) {
    spaces.with { work in
      guard let locked = place.locked() else { return }
      let now = host.clock.now
      // Order: sequentially consistent. Pairs with who arms: the timer that fired is armed no more, and who saw that it was has pushed before.
      _ = place.armed.exchange(.max)
      let before = locked.state.machine.ready
      _ = locked.state.drain(place, &work)
      locked.state.machine.advance(now, &work.gone)
      locked.state.machine.earliest = locked.state.machine.nextDeadline()
      let arrived = max(1, locked.state.machine.ready - before)
      end(place, locked, arrived: arrived, now, &work)
    }
  }

  // MARK: Deleted queues

  /// A delivery of a queue that was deleted is settled. False: it is unknown there.
  func settleDeleted(_ since: UInt64, _ tag: QueueTag, of consumer: UInt32) -> Bool {
    monitor.locked {
      guard let queue = deleted[since] else { return false }
      return spaces.with { work in
        guard queue.settle(tag, of: consumer, &work) else { return false }
        if queue.isDone {
          deleted[since] = nil
          queue.free()
        }
        return true
      }
    }
  }

  /// As `unfold`, of a queue that was deleted. Throws as `QueueMachine.unfold`.
  func unfoldDeleted(
    _ since: UInt64, _ tag: QueueTag, of consumer: UInt32, _ deliveries: inout [QueueDelivery]
  ) throws(QueueRefusal) {
    try monitor.locked { () throws(QueueRefusal) in
      guard let queue = deleted[since] else { throw .unknownDelivery }
      try queue.unfold(tag, of: consumer, &deliveries)
    }
  }

  /// Messages that somebody was moving when their queue was deleted.
  func takeAwayDeleted(_ since: UInt64, _ entries: [UInt32]) {
    monitor.locked {
      guard let queue = deleted[since] else { preconditionFailure("invariant broken: a queue was forgotten while its messages were moved") }
      for entry in entries { spaces.release(queue.takeAway(entry)) }
      if !queue.isDone { return }
      deleted[since] = nil
      queue.free()
    }
  }

  /// The name of a queue by its number; nil: there is none.
  func name(of number: UInt32) -> BrokerName? {
    guard let place = place(number), let locked = place.locked() else { return nil }
    defer { place.lock.unlock() }
    return locked.state.name
  }
}
