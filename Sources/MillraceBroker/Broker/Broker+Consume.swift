internal import MillraceCore

extension Broker {
  // MARK: Consumers

  /// Messages of a queue become jobs that call `body`, from now on until the consumer is closed. See `ConsumerOptions`. Throws
  /// `BrokerError.noScheduler`, `.noQueue`, `.exclusive`,
  /// `.outOfRange`, `.handlers` or `.memory`.
  @discardableResult
  public func consume(
    _ queue: BrokerName, _ options: ConsumerOptions = ConsumerOptions(), _ body: @escaping ConsumerBody
  ) throws(BrokerError) -> JobConsumer {
    try consume(queue, options, .settle(body))
  }

  /// As `consume`, for work that goes on after the job: `body` takes each delivery, and settles or drops it whenever it likes. At most `prefetch` of
  /// them are out at a time. `closed` is told
  /// once when the consumer is closed or its queue deleted, perhaps with a lock of the broker held: it must not use the broker.
  @discardableResult
  public func take(
    _ queue: BrokerName, _ options: ConsumerOptions = ConsumerOptions(), closed: @escaping @Sendable () -> Void = {},
    _ body: @escaping DeliveryBody
  ) throws(BrokerError) -> JobConsumer {
    try consume(queue, options, .take(body, closed: closed))
  }

  private func consume(_ queue: BrokerName, _ options: ConsumerOptions, _ work: ConsumerWork) throws(BrokerError) -> JobConsumer {
    guard let scheduler = host.scheduler else { throw .noScheduler }
    if let fault = options.fault { throw fault }
    let place = try place(of: queue)
    guard let since = place.locked()?.state.since else { throw .noQueue(queue) }
    place.lock.unlock()
    let consumer: JobConsumer
    do throws(MemoryError) { consumer = try JobConsumer(self, place, since: since, options, work) } catch {
      throw .memory(bytes: error.bytes)
    }
    guard consumer.sit(scheduler) else { throw .handlers }
    do throws(BrokerError) {
      try enter(place, queue, since, prefetch: options.prefetch, isExclusive: options.isExclusive, consumer)
    } catch {
      consumer.left()
      throw error
    }
    return consumer
  }

  /// A way to take messages from a queue for one thread. `isExclusive`: it wants the queue to itself. Throws `BrokerError.noQueue` or `.exclusive`.
  public func makeReceiver(_ queue: BrokerName, isExclusive: Bool = false) throws(BrokerError) -> Receiver {
    let place = try place(of: queue)
    guard let since = place.locked()?.state.since else { throw .noQueue(queue) }
    place.lock.unlock()
    let number = try enter(place, queue, since, prefetch: 0, isExclusive: isExclusive, nil)
    return Receiver(self, queue, place, since: since, number)
  }

  @discardableResult
  private func enter(
    _ place: QueuePlace, _ queue: BrokerName, _ since: UInt64, prefetch: Int, isExclusive: Bool, _ consumer: JobConsumer?
  ) throws(BrokerError) -> UInt32 {
    var failure: BrokerError?
    let number = spaces.with { work -> UInt32 in
      guard let locked = place.locked(exactly: since) else {
        failure = .noQueue(queue)
        return 0
      }
      let number: UInt32
      do throws(QueueRefusal) {
        number = try locked.state.machine.addConsumer(prefetch: prefetch, isExclusive: isExclusive)
      } catch {
        place.lock.unlock()
        failure =
          switch error {
          case .exclusive: .exclusive(queue)
          default:
            .outOfRange(
              name: "consumers", value: QueueConfiguration.Bounds.consumers + 1, least: 0, most: QueueConfiguration.Bounds.consumers)
          }
        return 0
      }
      locked.state.enter(number, consumer)
      if consumer != nil { place.setJobs(true) }
      let arrived = locked.state.drain(place, &work)
      end(place, locked, arrived: arrived, host.clock.now, &work)
      return number
    }
    if let failure { throw failure }
    return number
  }

  /// A consumer that is jobs gets no more.
  func leave(_ consumer: JobConsumer) {
    let hasGone = spaces.with { work in
      // A queue that was deleted knows nobody.
      guard let locked = consumer.place.locked(exactly: consumer.since) else { return true }
      let now = host.clock.now
      _ = locked.state.drain(consumer.place, &work)
      let hasGone = locked.state.close(consumer, now, &work)
      if locked.state.jobCount == 0 { consumer.place.setJobs(false) }
      end(consumer.place, locked, arrived: 1, now, &work)
      return hasGone
    }
    if hasGone { consumer.left() }
  }

  /// A delivery's message becomes a copy of its own, if there is memory: else it stays where it is.
  func copyOut(_ delivery: inout QueueDelivery) {
    spaces.with { work in
      let block = unsafe MessageBlock(delivery.message)
      guard let copy = work.cache.copy(block) else { return }
      work.cache.release(block)
      delivery.message = copy.number
    }
  }

  // MARK: Settling

  /// Settles a delivery. nil: done.
  func settle(
    _ place: QueuePlace, _ since: UInt64, _ tag: QueueTag, of consumer: UInt32, _ settlement: Settlement, _ work: inout Workspace
  ) -> SettleError? {
    guard let locked = place.locked(exactly: since) else {
      return settleDeleted(since, tag, of: consumer) ? .queueDeleted : .unknownDelivery
    }
    let now = host.clock.now
    let arrived = locked.state.drain(place, &work)
    var lost: MessageBlock?
    var failure: SettleError?
    let message = locked.state.machine.message(at: tag.entry)
    do throws(QueueRefusal) {
      try locked.state.machine.settle(tag, of: consumer, settlement.inQueue, now, &work.gone)
    } catch {
      let overdue = locked.state.settleOverdue(tag, of: consumer)
      lost = overdue?.block
      failure = overdue?.why ?? SettleError(error)
    }
    if locked.state.journal != 0, case .retry = settlement, failure == nil { locked.state.note(tag.entry, message, &work) }
    let gone = locked.state.removeIfDone(consumer, now, &work)
    if gone != nil, locked.state.jobCount == 0 { place.setJobs(false) }
    end(place, locked, arrived: arrived + (settlement.givesBack ? 1 : 0), now, &work)
    gone?.left()
    if let lost { work.cache.release(lost) }
    return failure
  }

  /// A receiver's delivery of messages of a run becomes one for each: these are added.
  func unfold(
    _ place: QueuePlace, _ since: UInt64, _ tag: QueueTag, of consumer: UInt32, _ deliveries: inout [QueueDelivery], _ work: inout Workspace
  ) {
    do throws(QueueRefusal) {
      guard let locked = place.locked(exactly: since) else { return try unfoldDeleted(since, tag, of: consumer, &deliveries) }
      let now = host.clock.now
      let arrived = locked.state.drain(place, &work)
      try locked.state.machine.unfold(tag, of: consumer, &deliveries)
      end(place, locked, arrived: arrived, now, &work)
    } catch {
      preconditionFailure("invariant broken: what a receiver holds of a run is nobody else's to settle: \(error)")
    }
  }

  /// Settles a delivery and all that the consumer got before it and still holds; it may go on reading them. How many.
  func settle(
    _ place: QueuePlace, _ since: UInt64, upTo tag: QueueTag, of consumer: UInt32, _ settlement: Settlement, _ work: inout Workspace
  ) -> Result<Int, SettleError> {
    guard let locked = place.locked(exactly: since) else { return .failure(.queueDeleted) }
    let now = host.clock.now
    let arrived = locked.state.drain(place, &work)
    let result: Result<Int, SettleError>
    do throws(QueueRefusal) {
      result = .success(
        try locked.state.machine.settle(upTo: tag, of: consumer, settlement.inQueue, mayRead: true, now, &work.gone))
    } catch {
      locked.state.keepLost()
      result = .failure(locked.state.overdue[tag]?.why ?? SettleError(error))
    }
    var returned = 0
    if settlement.givesBack, case .success(let count) = result { returned = count }
    end(place, locked, arrived: arrived + returned, now, &work)
    return result
  }

  /// The consumer may hold it for so long from now on. nil: done.
  func extend(_ place: QueuePlace, _ since: UInt64, _ tag: QueueTag, of consumer: UInt32, _ lease: UInt64) -> SettleError? {
    spaces.with { work in
      guard let locked = place.locked(exactly: since) else { return .queueDeleted }
      let now = host.clock.now
      let arrived = locked.state.drain(place, &work)
      var failure: SettleError?
      do throws(QueueRefusal) {
        try locked.state.machine.extend(tag, of: consumer, lease, now, &work.gone)
      } catch {
        locked.state.keepLost()
        failure = locked.state.overdue[tag]?.why ?? SettleError(error)
      }
      end(place, locked, arrived: arrived, now, &work)
      return failure
    }
  }
}

extension SettleError {
  /// Of a delivery that the queue does not know, nor has taken back.
  fileprivate init(_ refusal: QueueRefusal) { self = refusal == .notYours ? .notYours : .unknownDelivery }
}

extension Settlement {
  var givesBack: Bool {
    switch self {
    case .acknowledge, .reject: false
    case .retry, .release: true
    }
  }
}

extension QueueState {
  /// Messages for a consumer that asks, as many as there are, `most` at most. How many.
  @inline(__always) mutating func take(
    upTo most: Int, _ consumer: UInt32, _ now: UInt64, _ deliveries: inout [QueueDelivery], _ gone: inout [QueueDeparture]
  ) -> Int {
    do throws(QueueRefusal) { try machine.take(upTo: most, consumer, now, &deliveries, &gone) } catch {
      preconditionFailure("invariant broken: a queue does not know a receiver of its own")
    }
    var count = 0
    for delivery in deliveries {
      count &+= delivery.weight
      if delivery.acquired > 0 { counts.redelivered &+= 1 }
    }
    counts.delivered &+= UInt64(count)
    return count
  }

  /// A receiver has done with messages of a run, and frees them.
  @inline(__always) mutating func finish(
    _ delivery: QueueDelivery, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    try machine.finish(delivery.tag, of: delivery.consumer, now, &gone)
    counts.left[Int(QueueExit.acknowledged.rawValue)] &+= UInt64(delivery.count)
  }

  /// A consumer is there; nil: one that asks.
  mutating func enter(_ number: UInt32, _ consumer: JobConsumer?) {
    while jobs.count <= Int(number) { jobs.append(nil) }
    jobs[Int(number)] = consumer
    guard let consumer else { return }
    jobCount += 1
    consumer.enter(number)
  }

  /// A consumer that is jobs gets no more, and goes when it holds nothing. True: it has gone, now or before.
  mutating func close(_ consumer: JobConsumer, _ now: UInt64, _ work: inout Workspace) -> Bool {
    // Its number may be another's.
    guard Int(consumer.number) < jobs.count, jobs[Int(consumer.number)] === consumer else { return true }
    machine.setPrefetch(of: consumer.number, 0)
    return removeIfDone(consumer.number, now, &work) != nil
  }

  /// A closed consumer that holds nothing any more goes: this one, if it was one.
  mutating func removeIfDone(_ number: UInt32, _ now: UInt64, _ work: inout Workspace) -> JobConsumer? {
    guard Int(number) < jobs.count, let job = jobs[Int(number)] else { return nil }
    let consumer = unsafe machine.consumers[number].pointee
    guard consumer.prefetch == 0, consumer.held == 0 else { return nil }
    jobs[Int(number)] = nil
    jobCount -= 1
    do throws(QueueRefusal) { try machine.removeConsumer(number, isFailure: false, now, &work.gone) } catch {
      preconditionFailure("invariant broken: a queue does not know a consumer of its own")
    }
    return job
  }
}
