internal import CMillrace
internal import MillraceCore

/// How long a receiver waits for a message.
public enum ReceiveWait: Sendable, Hashable {
  /// Not at all.
  case none
  /// It looks again and again, for so many nanoseconds: the shortest way, for a processor of its own.
  case spin(nanoseconds: UInt64)
  /// It looks for 25 microseconds, letting other threads run in between, then sleeps, for so many nanoseconds together.
  case sleep(nanoseconds: UInt64)
}

/// Takes messages from a queue on the thread that asks. Consumers that should share the scheduler's slots are jobs: `Broker.consume`.
///
/// # Threads
/// One at a time.
@safe public struct Receiver: ~Copyable, @unchecked Sendable {
  let broker: Broker
  let queue: BrokerName
  let place: QueuePlace
  let since: UInt64
  let number: UInt32
  private var work: Workspace
  /// What was taken and is not settled. The message 0: it is. Of a run: where its numbers stand in `numbers`, from 1.
  private var held: [QueueDelivery] = []
  /// Runs of which all was acknowledged, and that are still to be freed.
  private var done: [QueueDelivery] = []
  // unsafe: numbers of the messages of runs that are held, in order; room for `QueuePlace.batch` of them twice, used in turn. Freed in `deinit`.
  private let numbers: UnsafeMutablePointer<UInt64>
  private var half = 0
  private var patience = Patience()
  /// The queue's word when nothing was there.
  private var seen: UInt32 = 0
  private var hasFailed = false

  init(_ broker: Broker, _ queue: BrokerName, _ place: QueuePlace, since: UInt64, _ number: UInt32) {
    (self.broker, self.queue, self.place, self.since, self.number) = (broker, queue, place, since, number)
    work = Workspace(broker.pool)
    held.reserveCapacity(QueuePlace.batch)
    unsafe numbers = .allocate(capacity: 2 * QueuePlace.batch)
  }

  deinit {
    defer { unsafe numbers.deallocate() }
    broker.spaces.with { work in
      guard let locked = place.locked(exactly: since) else { return }
      let now = broker.host.clock.now
      _ = locked.state.drain(place, &work)
      // Deliveries that were taken and are not settled stay with whoever has them until their queue gives them to others.
      do throws(QueueRefusal) { try locked.state.machine.removeConsumer(number, isFailure: hasFailed, now, &work.gone) } catch {
        preconditionFailure("invariant broken: a queue does not know a receiver of its own")
      }
      broker.end(place, locked, arrived: 1, now, &work)
    }
  }

  /// Calls `body` with each message that is there, `most` at most, in the queue's order, then settles them as it says. How many. Throws `BrokerError.noQueue` when the queue was deleted.
  ///
  /// Complexity: O(messages).
  @inline(__always) @discardableResult
  public mutating func receive(
    upTo most: Int = 64, wait: ReceiveWait = .none, _ body: (borrowing Message) -> Settlement
  ) throws(BrokerError) -> Int {
    var left = most
    var count = try take(min(left, QueuePlace.batch), wait)
    while count > 0 {
      left -= count
      // What is held may become more on the way: a run is taken apart.
      var index = 0
      while index < held.count {
        if held[index].count > 0 {
          index &+= each(index, body)
        } else {
          one(index, body)
          index &+= 1
        }
      }
      count = acknowledge(andTake: min(left, QueuePlace.batch))
    }
    return most - left
  }

  /// As `receive`, for what is held there: one message.
  @inline(__always) private mutating func one(_ index: Int, _ body: (borrowing Message) -> Settlement) {
    let settlement = body(Message(held[index], place: place, since: since))
    if settlement != .acknowledge { settle(index, settlement) }
  }

  /// As `one`, for messages of a run. How many deliveries it is now.
  @inline(__always) private mutating func each(_ index: Int, _ body: (borrowing Message) -> Settlement) -> Int {
    let run = held[index]
    let first = Int(run.message) &- 1
    let end = first &+ Int(run.count)
    var delivery = QueueDelivery(consumer: run.consumer, tag: run.tag, message: 0, acquired: run.acquired, failed: run.failed)
    for number in first..<end {
      unsafe delivery.message = numbers[number]
      if number &+ 6 < end { unsafe MessageBlock(numbers[number &+ 6]).prefetch() }
      let settlement = body(Message(delivery, place: place, since: since))
      if settlement != .acknowledge {
        takeApart(index)
        settle(index &+ (number &- first), settlement)
        for left in (index &+ number &- first &+ 1)..<(index &+ end &- first) { one(left, body) }
        return end &- first
      }
    }
    return 1
  }

  /// A delivery of messages of a run becomes one for each.
  @inline(never) private mutating func takeApart(_ index: Int) {
    var singles: [QueueDelivery] = []
    broker.unfold(place, since, held[index].tag, of: number, &singles, &work)
    held.replaceSubrange(index...index, with: singles)
  }

  /// A message of the caller's own, until it is settled; nil: there is none. Throws as `receive`.
  public mutating func next(wait: ReceiveWait = .none) throws(BrokerError) -> Delivery? {
    // One of a run is a message by itself.
    guard try take(1, wait) == 1 else { return nil }
    let delivery = held.removeLast()
    return Delivery(broker, Message(delivery, place: place, since: since))
  }

  /// Settles a delivery of its own, and all that it took before that and has not settled: what AMQP calls `multiple`. How many these were.
  ///
  /// What was settled so may be read until it is dropped; whoever settles it again is told `unknownDelivery`. Throws `SettleError`, and nothing was settled: `.notYours` for another receiver's delivery, which
  /// is left to that one. Complexity: O(deliveries), under the queue's lock.
  @discardableResult
  public mutating func settle(upTo delivery: borrowing Delivery, _ settlement: Settlement) throws(SettleError) -> Int {
    guard delivery.message.place == place, delivery.message.since == since else { throw .notYours }
    return try broker.settle(place, since, upTo: delivery.message.tag, of: number, settlement, &work).get()
  }

  /// Leaves, as it would by going out of use. `isFailure`: it has failed, and so have its deliveries, each of which is charged.
  public consuming func close(isFailure: Bool) {
    hasFailed = isFailure
  }

  // MARK: Taking

  /// Puts up to `count` deliveries into `held`.
  @inline(__always) private mutating func take(_ count: Int, _ wait: ReceiveWait) throws(BrokerError) -> Int {
    let taken = try takeNow(count, sleep: 0)
    return taken > 0 || wait == .none ? taken : try waitAndTake(count, wait)
  }

  @inline(never) private mutating func waitAndTake(_ count: Int, _ wait: ReceiveWait) throws(BrokerError) -> Int {
    let start = broker.host.clock.now
    let (nanoseconds, sleeps) =
      switch wait {
      case .none: (0 as UInt64, false)
      case .spin(let nanoseconds): (nanoseconds, false)
      case .sleep(let nanoseconds): (nanoseconds, true)
      }
    look(yields: sleeps)
    while true {
      let passed = broker.host.clock.now &- start
      let taken = try takeNow(count, sleep: sleeps && passed < nanoseconds ? nanoseconds - passed : 0)
      if taken > 0 || passed >= nanoseconds { return taken }
      if !sleeps { look(yields: false) }
    }
  }

  /// Looks at the queue's words until they change, for a while. Delayed messages come by time, which nobody may tell: so not for ever.
  private mutating func look(yields: Bool) {
    _ = place.watchers.add(1, ordered: true)
    // Order: acquiring. Pairs with `QueuePlace.push`, and with the addition in `QueueState.endTurn`.
    _ = patience.wait(broker.host.clock, yields: yields) { [place, seen] in
      place.intake.loadAcquiring() != 0 || place.arrivals.loadAcquiring() != seen
    }
    _ = place.watchers.subtract(1)
  }

  /// As `take`, without waiting. `sleep`: where there is none it sleeps once, for so many nanoseconds at most, and takes none.
  private mutating func takeNow(_ count: Int, sleep: UInt64) throws(BrokerError) -> Int {
    held.removeAll(keepingCapacity: true)
    guard let locked = place.locked(exactly: since) else { throw .noQueue(queue) }
    let now = broker.host.clock.now
    let arrived = locked.state.drain(place, &work)
    let taken = takeLocked(locked, count, now)
    let due = locked.state.machine.earliest
    let sleeps = held.isEmpty && sleep > 0
    if sleeps { place.fallAsleep() }
    // Before the last look at the intake: a publisher that we do not see changes it.
    seen = place.arrivals.loadAcquiring()
    let others = max(0, min(arrived, locked.state.machine.ready))
    broker.end(place, locked, arrived: others, now, &work)
    if !sleeps { return taken }
    let isWoken =
      place.intake.loadSequential() == 0
      && place.sleep(place.arrivals, seen, nanoseconds: Int64(clamping: min(sleep, due > now ? due - now : 0)))
    if !isWoken { place.wakeBySelf() }
    return 0
  }

  /// With the lock. How many messages.
  @inline(__always) private mutating func takeLocked(_ locked: LockedQueue, _ count: Int, _ now: UInt64) -> Int {
    let taken = locked.state.take(upTo: count, number, now, &held, &work.gone)
    copyNumbers()
    return taken
  }

  /// With the lock: what is held of runs is read without it.
  @inline(__always) private mutating func copyNumbers() {
    half ^= QueuePlace.batch
    var at = half
    for index in held.indices where held[index].count > 0 {
      let count = Int(held[index].count)
      // unsafe: the delivery says where so many numbers stand; together they are no more than were asked for.
      unsafe (numbers + at).update(from: UnsafePointer(bitPattern: UInt(held[index].message)).unsafelyUnwrapped, count: count)
      held[index].message = UInt64(at &+ 1)
      at &+= count
    }
    for ahead in half..<min(at, half &+ 6) { unsafe MessageBlock(numbers[ahead]).prefetch() }
  }

  // MARK: Settling

  private mutating func settle(_ index: Int, _ settlement: Settlement) {
    // What was taken back meanwhile is not ours to settle, and the queue knows.
    _ = broker.settle(place, since, held[index].tag, of: number, settlement, &work)
    held[index].message = 0
  }

  /// Acknowledges all that is held and was not settled, and takes up to `count` in the same turn. How many.
  private mutating func acknowledge(andTake count: Int) -> Int {
    guard let locked = place.locked(exactly: since) else {
      for delivery in held where delivery.message != 0 { _ = broker.settleDeleted(since, delivery.tag, of: number) }
      held.removeAll(keepingCapacity: true)
      return 0
    }
    let now = broker.host.clock.now
    let arrived = locked.state.drain(place, &work)
    // What the journal is to know goes one by one.
    let isDurable = locked.state.journal != 0
    for index in held.indices where held[index].message != 0 {
      do throws(QueueRefusal) {
        if held[index].count > 0, !isDurable {
          try locked.state.finish(held[index], now, &work.gone)
          done.append(held[index])
          continue
        }
        try locked.state.machine.settle(held[index].tag, of: number, .acknowledge, now, &work.gone)
      } catch {
        // Its lease was over: others may have it, and it is only read no more.
        if let lost = locked.state.settleOverdue(held[index].tag, of: number) { work.cache.release(lost.block) }
      }
    }
    held.removeAll(keepingCapacity: true)
    let taken = count > 0 ? takeLocked(locked, count, now) : 0
    broker.end(place, locked, arrived: max(0, min(arrived, locked.state.machine.ready)), now, &work)
    for run in done {
      let first = Int(run.message) &- 1
      for number in first..<(first &+ Int(run.count)) { unsafe work.cache.release(MessageBlock(numbers[number])) }
    }
    done.removeAll(keepingCapacity: true)
    return taken
  }
}

/// A message that its receiver has until it says what becomes of it. Dropped, it goes back, and nothing failed.
///
/// # Threads
/// One at a time.
public struct Delivery: ~Copyable, @unchecked Sendable {
  let broker: Broker
  /// What was delivered.
  public let message: Message
  private var isSettled = false

  init(_ broker: Broker, _ message: consuming Message) {
    self.broker = broker
    self.message = message
  }

  /// Settles it, once. Throws `SettleError`: then it was taken back, or its queue was deleted, and the message is no longer the caller's.
  public consuming func settle(_ settlement: Settlement) throws(SettleError) {
    isSettled = true
    if let failure = say(settlement) { throw failure }
  }

  /// It is done. Throws as `settle`.
  public consuming func acknowledge() throws(SettleError) { try settle(.acknowledge) }

  /// May be held for so many nanoseconds from now on. Throws as `settle`.
  public func extend(nanoseconds: UInt64) throws(SettleError) {
    if let failure = broker.extend(message.place, message.since, message.tag, of: message.consumer, nanoseconds) { throw failure }
  }

  private func say(_ settlement: Settlement) -> SettleError? {
    broker.spaces.with { work in broker.settle(message.place, message.since, message.tag, of: message.consumer, settlement, &work) }
  }

  deinit {
    // Whoever drops it says nothing of the message. Taken back before: the queue knows.
    if !isSettled { _ = say(.release(after: 0)) }
  }
}
