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
  /// The broker's journal keeps it.
  let isJournaled: Bool
  var machine: QueueMachine
  /// Consumers that are jobs, by number; nil: one that asks.
  var jobs: [JobConsumer?] = []
  var jobCount = 0
  /// Receivers that sleep until something arrives.
  var sleepers = 0
  /// Publishers that sleep until there is room.
  var waiters = 0
  /// When the timer that was armed last is due.
  var armed = UInt64.max
  /// Deliveries that were taken back from consumers who may still read them: each has a reference of its own.
  var overdue: [QueueTag: QueueLoss] = [:]
  var counts = QueueCounts()

  init(_ name: BrokerName, number: UInt32, since: UInt64, isJournaled: Bool, _ configuration: QueueConfiguration) {
    (self.name, self.number, self.since, self.isJournaled) = (name, number, since, isJournaled)
    machine = QueueMachine(configuration)
  }

  /// A message may find no room, and is its publisher's then.
  var mayRefuse: Bool { machine.configuration.overflow != .dropHead }

  /// How many of these messages fit, from the first on.
  func room(_ blocks: MessageList) -> Int {
    var bytes = 0
    for index in 0..<blocks.count {
      let own = blocks[index].bytes
      if !machine.hasRoom(bytes: own, after: index, bytes: bytes) { return index }
      bytes += own
    }
    return blocks.count
  }

  /// Messages come in, a reference of each with it. `due`: 0 at once.
  mutating func insert(_ blocks: MessageList, due: UInt64, _ now: UInt64, _ work: inout Workspace) {
    for index in 0..<blocks.count {
      let block = blocks[index]
      let message = QueueMessage(id: block.number, bytes: UInt32(block.bytes), priority: block.priority, expiry: block.expiry, due: due)
      // Who has credit gets what is there before anything is dropped for the new one.
      if jobCount > 0, !machine.hasRoom(bytes: block.bytes) { deliver(now, &work) }
      do throws(QueueRefusal) {
        try machine.publish(message, now, &work.gone)
      } catch {
        // Room was made sure of, but for places: 2^31 of them.
        work.gone.append(QueueDeparture(message: block.number, exit: .maxLength, failed: 0))
      }
    }
    counts.published += UInt64(blocks.count)
  }

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

  /// The last thing under the lock: what others are to be told. `arrived`: messages that can be had now and could not before, at least one if any.
  mutating func endTurn(_ place: QueuePlace, arrived: Int, _ now: UInt64, _ work: inout Workspace) -> FollowUp {
    var follow = FollowUp()
    if jobCount > 0, machine.occupied != 0 {
      let before = work.deliveries.count
      deliver(now, &work)
      follow.hasMore = work.deliveries.count - before == QueuePlace.batch && machine.occupied != 0
    }
    if !machine.lost.isEmpty { keepLost() }
    if !work.gone.isEmpty { count(work.gone) }
    if arrived > 0, machine.occupied != 0 { follow.receivers = min(sleepers, max(arrived, 1)) }
    if waiters > 0, machine.hasRoom(bytes: 0) { follow.publishers = waiters }
    place.tell(arrivals: arrived > 0 && machine.occupied != 0, room: follow.publishers > 0)
    if machine.earliest < armed {
      armed = machine.earliest
      follow.alarm = armed
    }
    return follow
  }

  private mutating func keepLost() {
    for loss in machine.lost {
      // unsafe: the queue holds it.
      unsafe MessageBlock(loss.message).retain()
      overdue[loss.tag] = loss
    }
    machine.lost.removeAll(keepingCapacity: true)
  }

  mutating func count(_ gone: [QueueDeparture]) {
    for departure in gone { counts.left[Int(departure.exit.rawValue)] += 1 }
  }

  /// A consumer has done with what it had lost before; nil: it had not. The caller gives the reference back.
  mutating func settleOverdue(_ tag: QueueTag, of consumer: UInt32) -> MessageBlock? {
    guard let loss = overdue[tag], loss.consumer == consumer else { return nil }
    overdue[tag] = nil
    return unsafe MessageBlock(loss.message)
  }
}

/// What is to be done after the lock was given back.
struct FollowUp {
  /// Receivers and publishers to be woken.
  var receivers = 0
  var publishers = 0
  /// When the queue's timer is due, if that is earlier than before; 0: it is not.
  var alarm: UInt64 = 0
  /// Consumers have credit for more than a batch.
  var hasMore = false
}

/// What has happened to a queue's messages so far.
struct QueueCounts {
  var published: UInt64 = 0
  var delivered: UInt64 = 0
  var redelivered: UInt64 = 0
  /// Publications that found no room, and stayed with their publisher.
  var refused: UInt64 = 0
  /// By `QueueExit`.
  var left = InlineArray<6, UInt64>(repeating: 0)
}

/// A dead letter that has not gone on yet, and the queue that it died in.
struct Grave {
  var departure: QueueDeparture
  var place: QueuePlace
  var since: UInt64
}

/// A queue that was deleted while consumers had messages of it.
///
/// # Threads
/// One at a time: the broker's monitor.
final class DeletedQueue {
  private let locked: LockedQueue

  init(_ locked: LockedQueue) { self.locked = locked }

  var isDone: Bool { locked.state.machine.acquired == 0 && locked.state.overdue.isEmpty }

  /// The message that the consumer has done with; nil: it has none by this tag.
  func settle(_ tag: QueueTag, of consumer: UInt32) -> MessageBlock? {
    var gone: [QueueDeparture] = []
    // Unknown to the machine is what was taken back before.
    try? locked.state.machine.settle(tag, of: consumer, .acknowledge, 0, &gone)
    if let departure = gone.first { return unsafe MessageBlock(departure.message) }
    return locked.state.settleOverdue(tag, of: consumer)
  }

  func free() { locked.free() }
}

/// What a thread works with: free blocks, and lists that are used again and again.
struct Workspace: ~Copyable {
  var cache: MessageCache
  var gone: [QueueDeparture] = []
  /// For consumers that are jobs, and the requests for them.
  var deliveries: [QueueDelivery] = []
  var requests: [JobRequest] = []
  /// Dead letters that wait until no lock is held.
  var dead: [Grave] = []

  init(_ pool: MessagePool) {
    cache = MessageCache(pool)
    gone.reserveCapacity(2 * QueuePlace.batch)
    deliveries.reserveCapacity(2 * QueuePlace.batch)
    requests.reserveCapacity(2 * QueuePlace.batch)
  }
}
