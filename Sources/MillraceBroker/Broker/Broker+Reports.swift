internal import MillraceCore

/// A queue at one moment, and what has happened to its messages so far.
public struct QueueStatistics: Sendable, Hashable {
  /// Messages that can be delivered.
  public var ready = 0
  /// Those that wait for their time.
  public var delayed = 0
  /// Those in the hands of consumers.
  public var unacknowledged = 0
  /// Bytes of the payloads of those that are ready or wait.
  public var bytes = 0
  /// Receivers, and consumers that are jobs.
  public var consumers = 0
  /// Deliveries that were taken back from consumers, or settled with later ones, and may still be read.
  public var overdue = 0
  /// Messages that came in.
  public var published: UInt64 = 0
  /// Deliveries.
  public var delivered: UInt64 = 0
  /// Those of them that were not the message's first.
  public var redelivered: UInt64 = 0
  /// Messages that have left, by the way they took.
  public var left: [QueueExit: UInt64] = [:]
}

/// A message in somebody's hands.
public struct Loan: Sendable, Hashable {
  /// The consumer's number in its queue.
  public var consumer: Int
  /// Bytes of memory that it keeps from being used again.
  public var bytes: Int
  /// Nanoseconds since it was delivered, to about a millisecond.
  public var age: UInt64
  /// Nanoseconds until its lease ends; nil: it has none, or it is over.
  public var lease: UInt64?
  /// The message was taken back, or settled with a later one, and its consumer may still read it.
  public var isOverdue: Bool
}

/// What the messages say that are ready in a queue.
public struct QueueContents: Sendable, Hashable {
  /// Those that have died before, or were redriven.
  public var deadLetters = 0
  /// The least of their `Envelope.timestamp`, or of their last death's time, nanoseconds since 1970; nil: none tells one.
  public var oldest: Int64?
}

extension Broker {
  /// Looks at all messages that are ready. Throws `BrokerError.noQueue`. Complexity: O(n log n), the lock given back in between.
  public func contents(of queue: BrokerName) throws(BrokerError) -> QueueContents {
    let place = try place(of: queue)
    let (since, candidates) = try candidates(queue, place)
    var contents = QueueContents()
    var next = 0
    while next < candidates.count {
      guard let locked = place.locked(exactly: since) else { throw .noQueue(queue) }
      let end = min(candidates.count, next + QueuePlace.batch)
      for candidate in candidates[next..<end] {
        guard let message = locked.state.machine.message(candidate) else { continue }
        // unsafe: the queue holds it.
        let properties = unsafe MessageProperties(MessageBlock(message))
        var time = unsafe properties[.timestamp].flatMap { unsafe $0.count == 8 ? $0.loadUnaligned(as: Int64.self) : nil }
        if unsafe properties[.deaths] != nil {
          contents.deadLetters += 1
          time = unsafe MessageBlock(message).deaths.last?.time ?? time
        }
        if let time { contents.oldest = min(contents.oldest ?? time, time) }
      }
      place.lock.unlock()
      next = end
    }
    return contents
  }

  /// Throws `BrokerError.noQueue`. Complexity: O(1).
  public func statistics(of queue: BrokerName) throws(BrokerError) -> QueueStatistics {
    let place = try place(of: queue)
    return try inQueue(queue, place) { locked in
      var statistics = QueueStatistics()
      let state = locked.state.machine.counts
      (statistics.ready, statistics.delayed, statistics.unacknowledged, statistics.bytes) = (
        state.ready, state.delayed, state.acquired, state.bytes
      )
      statistics.consumers = locked.state.machine.consumers.count
      statistics.overdue = locked.state.overdue.count
      let counts = locked.state.counts
      (statistics.published, statistics.delivered, statistics.redelivered) = (counts.published, counts.delivered, counts.redelivered)
      for exit in QueueExit.allCases where counts.left[Int(exit.rawValue)] > 0 { statistics.left[exit] = counts.left[Int(exit.rawValue)] }
      return statistics
    }
  }

  /// What a queue was declared with. Throws `BrokerError.noQueue`.
  public func configuration(of queue: BrokerName) throws(BrokerError) -> QueueConfiguration {
    try inQueue(queue, try place(of: queue)) { $0.state.machine.configuration }
  }

  /// Who holds messages of a queue, `most` at most. Throws `BrokerError.noQueue`. Complexity: O(places of the queue), under its lock.
  public func loans(of queue: BrokerName, most: Int = 1_000) throws(BrokerError) -> [Loan] {
    let now = host.clock.now
    let tick = UInt32(truncatingIfNeeded: now / QueueEntries.tick)
    func age(_ since: UInt32) -> UInt64 { UInt64(tick &- since) * QueueEntries.tick }
    return try inQueue(queue, try place(of: queue)) { locked in
      var loans = locked.state.machine.holdings(most: most).map { holding in
        Loan(
          consumer: Int(holding.consumer), bytes: unsafe MessageBlock(holding.message).size, age: age(holding.since),
          lease: holding.lease == .max ? nil : holding.lease > now ? holding.lease - now : 0, isOverdue: false)
      }
      for loss in locked.state.overdue.values where loans.count < most {
        loans.append(
          Loan(
            consumer: Int(loss.consumer), bytes: unsafe MessageBlock(loss.message).size, age: age(loss.since), lease: nil, isOverdue: true))
      }
      return loans
    }
  }

  /// The moment of its clock, by which messages expire and redrives go.
  public var now: UInt64 { host.clock.now }
  /// Nanoseconds since 1970, as its host tells them.
  public var wall: Int64 { host.wall() }

  /// Bytes of memory that messages have from the system, and may have.
  public var memory: (used: Int, most: Int) { (pool.reservedBytes, pool.capacity) }

  private func inQueue<Value>(_ queue: BrokerName, _ place: QueuePlace, _ body: (LockedQueue) -> Value) throws(BrokerError) -> Value {
    let value = spaces.with { work -> Value? in
      guard let locked = place.locked() else { return nil }
      let arrived = locked.state.drain(place, &work)
      locked.state.machine.advance(host.clock.now, &work.gone)
      let value = body(locked)
      end(place, locked, arrived: arrived, host.clock.now, &work)
      return value
    }
    guard let value else { throw .noQueue(queue) }
    return value
  }
}

extension QueueMachine {
  var counts: (ready: Int, delayed: Int, acquired: Int, bytes: Int) { (ready, delayed, acquired, bytes) }
}
