internal import CMillrace
internal import MillraceCore

/// How long a receiver waits for a message.
public enum ReceiveWait: Sendable, Hashable {
  /// Not at all.
  case none
  /// It looks again and again, for so many nanoseconds: the shortest way, for a processor of its own.
  case spin(nanoseconds: UInt64)
  /// It looks for some 20 microseconds, then sleeps, for so many nanoseconds together.
  case sleep(nanoseconds: UInt64)
}

/// Takes messages from a queue on the thread that asks. Consumers that should share the scheduler's slots are jobs: `Broker.consume`.
///
/// # Threads
/// One at a time.
@safe public struct Receiver: ~Copyable, @unchecked Sendable {
  /// Looks before it sleeps.
  private static let patience = 2_000

  private let broker: Broker
  private let queue: BrokerName
  private let place: QueuePlace
  private let since: UInt64
  private let number: UInt32
  private var work: Workspace
  /// What was taken and is not settled. The message 0: it is.
  private var held: [QueueDelivery] = []
  /// The queue's word when nothing was there.
  private var seen: UInt32 = 0
  private var hasFailed = false

  init(_ broker: Broker, _ queue: BrokerName, _ place: QueuePlace, since: UInt64, _ number: UInt32) {
    (self.broker, self.queue, self.place, self.since, self.number) = (broker, queue, place, since, number)
    work = Workspace(broker.pool)
    held.reserveCapacity(QueuePlace.batch)
  }

  deinit {
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
    var wait = wait
    while left > 0 {
      let count = try take(min(left, QueuePlace.batch), wait)
      if count == 0 { break }
      wait = .none
      for index in 0..<count {
        let settlement = body(Message(held[index], place: place, since: since))
        if settlement != .acknowledge { settle(index, settlement) }
      }
      acknowledge()
      left -= count
    }
    return most - left
  }

  /// A message of the caller's own, until it is settled; nil: there is none. Throws as `receive`.
  public mutating func next(wait: ReceiveWait = .none) throws(BrokerError) -> Delivery? {
    guard try take(1, wait) == 1 else { return nil }
    let delivery = held.removeLast()
    return Delivery(broker, Message(delivery, place: place, since: since))
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
    look()
    while true {
      let passed = broker.host.clock.now &- start
      let taken = try takeNow(count, sleep: sleeps && passed < nanoseconds ? nanoseconds - passed : 0)
      if taken > 0 || passed >= nanoseconds { return taken }
      if !sleeps { look() }
    }
  }

  /// Looks at the queue's words until they change, for a while. Delayed messages come by time, which nobody may tell: so not for ever.
  private func look() {
    _ = place.watchers.add(1, ordered: true)
    var looks = 0
    // Order: acquiring. Pairs with `QueuePlace.push`, and with the addition in `QueueState.endTurn`.
    while place.intake.loadAcquiring() == 0, place.arrivals.loadAcquiring() == seen, looks < Receiver.patience {
      millrace_pause()
      looks += 1
    }
    _ = place.watchers.subtract(1)
  }

  /// As `take`, without waiting. `sleep`: where there is none it sleeps once, for so many nanoseconds at most, and takes none.
  private mutating func takeNow(_ count: Int, sleep: UInt64) throws(BrokerError) -> Int {
    held.removeAll(keepingCapacity: true)
    guard let locked = place.locked(exactly: since) else { throw .noQueue(queue) }
    let now = broker.host.clock.now
    let arrived = locked.state.drain(place, &work)
    locked.state.take(upTo: count, number, now, &held, &work.gone)
    let due = locked.state.machine.earliest
    let sleeps = held.isEmpty && sleep > 0
    if sleeps { place.fallAsleep() }
    // Before the last look at the intake: a publisher that we do not see changes it.
    seen = place.arrivals.loadAcquiring()
    let others = max(0, min(arrived, locked.state.machine.ready))
    broker.end(place, locked, arrived: others, now, &work)
    if !sleeps { return held.count }
    let isWoken =
      place.intake.loadSequential() == 0
      && place.sleep(place.arrivals, seen, nanoseconds: Int64(clamping: min(sleep, due > now ? due - now : 0)))
    if !isWoken { place.wakeBySelf() }
    return 0
  }

  // MARK: Settling

  private mutating func settle(_ index: Int, _ settlement: Settlement) {
    // What was taken back meanwhile is not ours to settle, and the queue knows.
    _ = broker.settle(place, since, held[index].tag, of: number, settlement, &work)
    held[index].message = 0
  }

  /// Acknowledges all that is held and was not settled.
  private mutating func acknowledge() {
    guard let locked = place.locked(exactly: since) else {
      for delivery in held where delivery.message != 0 { _ = broker.settleDeleted(since, delivery.tag, of: number) }
      return held.removeAll(keepingCapacity: true)
    }
    let now = broker.host.clock.now
    let arrived = locked.state.drain(place, &work)
    for index in held.indices where held[index].message != 0 {
      do throws(QueueRefusal) {
        try locked.state.machine.settle(held[index].tag, of: number, .acknowledge, now, &work.gone)
      } catch {
        // Its lease was over: others may have it, and it is only read no more.
        if let block = locked.state.settleOverdue(held[index].tag, of: number) { work.cache.release(block) }
      }
    }
    held.removeAll(keepingCapacity: true)
    broker.end(place, locked, arrived: arrived, now, &work)
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
