internal import MillraceCore

/// What a queue is, under its place's lock.
///
/// # Threads
/// The lock holder's.
struct QueueState: ~Copyable {
  let name: BrokerName
  let number: UInt32
  /// The first version of the routing table that leads here.
  let since: UInt64
  /// Of its place: no other queue there has had it.
  let epoch: UInt32
  /// By which the broker's journal knows it; 0: it does not.
  let journal: UInt32
  var machine: QueueMachine
  /// Consumers that are jobs, by number; nil: one that asks.
  var jobs: [JobConsumer?] = []
  var jobCount = 0
  /// The scheduler had no room for jobs: until then it is not asked again.
  var fullUntil: UInt64 = 0
  /// Publishers that sleep until there is room, and for how many messages the one that wants least.
  var waiters = 0
  var wanted = Int.max
  /// What the place's room knows of.
  private var counted = (messages: 0, bytes: 0)
  /// Deliveries that were taken back from consumers, or settled with later ones, and may still be read: each has a reference of its own.
  var overdue: [QueueTag: QueueLoss] = [:]
  var counts = QueueCounts()

  init(_ name: BrokerName, number: UInt32, since: UInt64, epoch: UInt32, journal: UInt32, _ configuration: QueueConfiguration) {
    (self.name, self.number, self.since, self.epoch, self.journal) = (name, number, since, epoch, journal)
    machine = QueueMachine(configuration)
  }

  /// A message may find no room, and is its publisher's then.
  var mayRefuse: Bool { machine.configuration.overflow != .dropHead }

  // MARK: In

  /// What was published before comes in. The first thing under the lock. How many messages.
  @inline(__always) mutating func drain(_ place: QueuePlace, _ work: inout Workspace) -> Int {
    place.lock.willSee()
    guard let node = place.takeIntake() else { return 0 }
    return drain(node, &work)
  }

  @inline(never) private mutating func drain(_ first: QueueRun, _ work: inout Workspace) -> Int {
    var count = 0
    var next: QueueRun? = first
    while let run = next {
      next = unsafe QueueRun(run.next)
      if run.epoch == epoch {
        count += run.count
        if insert(run, &work) { continue }
        insert(run.messages, due: run.due, run.now, &work)
      } else {
        // Routed before this queue was here.
        for index in 0..<run.count { work.cache.release(run.messages[index]) }
      }
      work.cache.free(run)
    }
    return count
  }

  /// Fewer messages are entries of their own.
  private static let few = 4

  /// One entry for all messages of a run, as far as they are alike and find room; the run stays as long as that. False: they are to come in one by one.
  private mutating func insert(_ run: QueueRun, _ work: inout Workspace) -> Bool {
    guard run.isAlike, run.count >= QueueState.few, run.due <= run.now else { return false }
    let refuses = mayRefuse
    // Who has credit gets what is there before anything is dropped for the new ones: one by one.
    guard refuses || machine.hasRoom(bytes: 0, after: run.count - 1, bytes: Int(run.bytes)) else { return false }
    guard machine.publish(run, run.now, &work.gone) else { return false }
    if refuses {
      counted.messages &+= run.count
      counted.bytes &+= Int(run.bytes)
    }
    counts.published &+= UInt64(run.count)
    return true
  }

  /// Runs that no entry is left of go back to the pool. Whoever used the machine does that, at the end.
  @inline(__always) mutating func freeRuns(_ work: inout Workspace) {
    if machine.endedRuns.isEmpty { return }
    for run in machine.endedRuns { work.cache.free(run) }
    machine.endedRuns.removeAll(keepingCapacity: true)
  }

  /// Messages come in, a reference of each with it, and room that was made sure of. `due`: 0 at once.
  mutating func insert(_ messages: MessageList, due: UInt64, _ now: UInt64, _ work: inout Workspace) {
    let refuses = mayRefuse
    for index in 0..<messages.count {
      if index + 6 < messages.count { messages[index + 6].prefetch() }
      let block = messages[index]
      let message = QueueMessage(
        id: block.number, bytes: UInt32(truncatingIfNeeded: block.bytes), priority: block.priority, expiry: block.expiry(from: now),
        due: due)
      // Who has credit gets what is there before anything is dropped for the new one.
      if jobCount > 0, !machine.hasRoom(bytes: block.bytes) { deliver(now, &work) }
      do throws(QueueRefusal) {
        try machine.publish(message, now, isReserved: refuses, &work.gone)
      } catch {
        // Room was made sure of, but for places: 2^31 of them.
        work.gone.append(QueueDeparture(message: block.number, exit: .maxLength, failed: 0))
      }
      if refuses {
        counted.messages &+= 1
        counted.bytes &+= block.bytes
      }
    }
    counts.published += UInt64(messages.count)
  }

  // MARK: Out

  /// Gives consumers that are jobs what they have credit for, a batch at most.
  mutating func deliver(_ now: UInt64, _ work: inout Workspace) {
    let before = work.deliveries.count
    machine.deliver(QueuePlace.batch, now, &work.deliveries, &work.gone)
    for index in before..<work.deliveries.count {
      let delivery = work.deliveries[index]
      guard let consumer = jobs[Int(delivery.consumer)] else { preconditionFailure("invariant broken: who asks is given nothing") }
      work.requests.append(consumer.request(delivery))
      if delivery.acquired > 0 { counts.redelivered += 1 }
    }
    counts.delivered += UInt64(work.deliveries.count - before)
  }

  /// No job was to be had for it: it has not been delivered. What its lease has taken back meanwhile was not either.
  mutating func withdraw(_ delivery: QueueDelivery, _ now: UInt64, _ work: inout Workspace) {
    do throws(QueueRefusal) { try machine.withdraw(delivery.tag, of: delivery.consumer, now, &work.gone) } catch { return }
    counts.delivered -= 1
    if delivery.acquired > 0 { counts.redelivered -= 1 }
  }

  /// The last thing under the lock: what others are to be told. `arrived`: messages that can be had now and could not before, at least one if any.
  @inline(__always) mutating func endTurn(_ place: QueuePlace, arrived: Int, _ now: UInt64, _ work: inout Workspace) -> FollowUp {
    var follow = FollowUp()
    follow.journal = journal
    var due = machine.earliest
    if jobCount > 0 {
      serve(now, &work, &follow)
      if fullUntil > now { due = min(due, fullUntil) }
    }
    if !machine.lost.isEmpty {
      if journal != 0 { for loss in machine.lost { note(loss.tag.entry, loss.message, &work) } }
      keepLost()
    }
    if !work.gone.isEmpty { count(work.gone) }
    freeRuns(&work)
    if mayRefuse { account(place, &follow) }
    if arrived > 0, machine.occupied != 0 {
      follow.arrived = arrived
      _ = place.arrivals.add(1, ordered: true)
    }
    if due < place.armed.loadRelaxed() { follow.alarm = due }
    return follow
  }

  private mutating func serve(_ now: UInt64, _ work: inout Workspace, _ follow: inout FollowUp) {
    follow.hasJobs = true
    if machine.occupied == 0 || now < fullUntil { return }
    let before = work.deliveries.count
    deliver(now, &work)
    follow.hasMore = work.deliveries.count - before == QueuePlace.batch && machine.occupied != 0
  }

  /// Tells publishers how much room there is.
  private mutating func account(_ place: QueuePlace, _ follow: inout FollowUp) {
    let (messages, bytes) = (machine.ready + machine.delayed, machine.bytes)
    if messages != counted.messages { place.messageRoom.change(by: counted.messages - messages) }
    if bytes != counted.bytes { place.byteRoom.change(by: counted.bytes - bytes) }
    counted = (messages, bytes)
    guard waiters > 0, place.messageRoom.value >= min(wanted, machine.configuration.maxSize), place.byteRoom.value > 0 else { return }
    follow.publishers = waiters
    wanted = .max
    place.tellRoom()
  }

  mutating func keepLost() {
    for loss in machine.lost {
      // unsafe: the queue holds it.
      unsafe MessageBlock(loss.message).retain()
      overdue[loss.tag] = loss
    }
    machine.lost.removeAll(keepingCapacity: true)
  }

  /// What the journal is to know of a message that came back: how often it was delivered, and failed.
  func note(_ entry: UInt32, _ message: UInt64, _ work: inout Workspace) {
    guard let counts = machine.counts(of: entry, message) else { return }
    let number = unsafe MessageBlock(message).journalNumber
    if number != 0 { work.counts.append(JournalCount(number, in: journal, acquired: counts.acquired, failed: counts.failed)) }
  }

  mutating func count(_ gone: [QueueDeparture]) {
    for departure in gone { counts.left[Int(departure.exit.rawValue)] += 1 }
  }

  /// A consumer has done with what it had lost before; nil: it had not. The caller gives the reference back.
  mutating func settleOverdue(_ tag: QueueTag, of consumer: UInt32) -> (block: MessageBlock, why: SettleError)? {
    // What it has lost this very moment.
    if !machine.lost.isEmpty { keepLost() }
    guard let loss = overdue[tag], loss.consumer == consumer else { return nil }
    overdue[tag] = nil
    return (unsafe MessageBlock(loss.message), loss.why)
  }
}

extension QueueLoss {
  /// Why its consumer cannot settle it.
  var why: SettleError { isSettled ? .unknownDelivery : .takenBack }
}

/// What is to be done after the lock was given back.
struct FollowUp {
  /// Messages that receivers can have now.
  var arrived = 0
  /// Publishers to be woken.
  var publishers = 0
  /// Consumers are jobs: whoever published meanwhile relies on us to look at the intake.
  var hasJobs = false
  /// When the queue's timer is due, if that is earlier than before; 0: it is not.
  var alarm: UInt64 = 0
  /// Consumers have credit for more than a batch.
  var hasMore = false
  /// By which the journal knows the queue; 0: it does not.
  var journal: UInt32 = 0
}

/// What has happened to a queue's messages so far.
struct QueueCounts {
  var published: UInt64 = 0
  var delivered: UInt64 = 0
  var redelivered: UInt64 = 0
  /// Publications that found no room, and stayed with their publisher.
  var refused: UInt64 = 0
  /// By `QueueExit`.
  var left = InlineArray<7, UInt64>(repeating: 0)
}

/// A dead letter that has not gone on yet, and the queue that it died in.
struct Grave {
  var departure: QueueDeparture
  var place: QueuePlace
  var since: UInt64
  /// By which the journal knows the queue; 0: it does not.
  var journal: UInt32
}

/// A queue that was deleted while consumers had messages of it.
///
/// # Threads
/// One at a time: the broker's monitor.
final class DeletedQueue {
  private let locked: LockedQueue

  init(_ locked: LockedQueue) { self.locked = locked }

  var isDone: Bool { locked.state.machine.acquired == 0 && locked.state.machine.lifted == 0 && locked.state.overdue.isEmpty }

  /// Who was moving a message of it has done so, or has nowhere to put it back to.
  func takeAway(_ entry: UInt32) -> MessageBlock {
    var gone: [QueueDeparture] = []
    locked.state.machine.takeAway(entry, &gone)
    return unsafe MessageBlock(gone[0].message)
  }

  /// The consumer has done with it. False: it has none by this tag.
  func settle(_ tag: QueueTag, of consumer: UInt32, _ work: inout Workspace) -> Bool {
    var gone: [QueueDeparture] = []
    // Unknown to the machine is what was taken back before.
    try? locked.state.machine.settle(tag, of: consumer, .acknowledge, 0, &gone)
    for departure in gone { work.cache.release(unsafe MessageBlock(departure.message)) }
    locked.state.freeRuns(&work)
    if !gone.isEmpty { return true }
    guard let block = locked.state.settleOverdue(tag, of: consumer)?.block else { return false }
    work.cache.release(block)
    return true
  }

  /// Throws as `QueueMachine.unfold`. Runs that end are kept until the next settlement.
  func unfold(_ tag: QueueTag, of consumer: UInt32, _ deliveries: inout [QueueDelivery]) throws(QueueRefusal) {
    try locked.state.machine.unfold(tag, of: consumer, &deliveries)
  }

  func free() { locked.free() }
}

/// What a thread works with: free blocks, and lists that are used again and again.
struct Workspace: ~Copyable {
  /// A list that a full queue has made longer than that once is not kept: there are many workspaces.
  static let longList = 1_024

  var cache: MessageCache
  var gone: [QueueDeparture] = []
  /// For consumers that are jobs, and the requests for them.
  var deliveries: [QueueDelivery] = []
  var requests: [JobRequest] = []
  /// Dead letters that wait until no lock is held.
  var dead: [Grave] = []
  /// What the journal is to be told: messages that have left durable queues, and counts of those that came back.
  var settlements: [JournalSettlement] = []
  var counts: [JournalCount] = []

  init(_ pool: MessagePool) {
    cache = MessageCache(pool)
    gone.reserveCapacity(2 * QueuePlace.batch)
    deliveries.reserveCapacity(2 * QueuePlace.batch)
    requests.reserveCapacity(2 * QueuePlace.batch)
  }
}
