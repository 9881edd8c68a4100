internal import MillraceCore

/// What the journal is told, and what it gives back.
extension Broker {
  // MARK: Writing

  /// Messages go to the journal, before their queues have them. nil: they are on their way to the disk.
  ///
  /// `settlements`: what leaves durable queues with it, at once or not at all.
  func journal(
    _ messages: MessageList, for queues: [UInt32], due: UInt64, _ now: UInt64, _ confirms: Confirms?,
    _ settlements: inout [JournalSettlement], _ scratch: inout JournalScratch
  ) -> PublishRefusal? {
    guard let journal else { return .closed }
    scratch.fill(messages, queues, due: due, now, wall: host.wall(), window: duplicates == nil ? 0 : configuration.duplicateWindow, self)
    let token = confirms?.token(messages.count) ?? 0
    _ = confirms?.publish(messages.count)
    var backoff = Backoff()
    for attempt in 0... {
      do throws(JournalRefusal) {
        let first = try unsafe settlements.withUnsafeBufferPointer { settlements throws(JournalRefusal) in
          try unsafe scratch.write(journal, settlements, token)
        }
        for index in 0..<messages.count { messages[index].journalNumber = first + UInt64(index) }
        settlements.removeAll(keepingCapacity: true)
        return nil
      } catch {
        if error == .busy, attempt < Broker.journalPatience {
          backoff.pause()
          continue
        }
        confirms?.withdraw(messages.count)
        return switch error {
        case .busy: .busy
        case .tooLarge: .journal("a message for durable queues has \(JournalLimits.batchBytes) bytes at most, its properties included")
        case .failed: .journal(journal.failureText ?? "a write has failed")
        case .closed: .closed
        }
      }
    }
    return .busy
  }

  /// Looks, and then slices of time, before a publisher is told that the journal is busy.
  private static let journalPatience = 256

  /// What has left durable queues, and what came back: on its way to the disk, which nobody waits for. Lost, it only makes a message come again.
  @inline(__always) func settleJournal(_ work: inout Workspace) {
    if !work.settlements.isEmpty || !work.counts.isEmpty { settleJournalNow(&work) }
  }

  @inline(never) private func settleJournalNow(_ work: inout Workspace) {
    defer {
      work.settlements.removeAll(keepingCapacity: true)
      work.counts.removeAll(keepingCapacity: true)
    }
    guard let journal else { return }
    var (from, fromCounts) = (0, 0)
    var backoff = Backoff()
    while from < work.settlements.count || fromCounts < work.counts.count {
      let end = min(work.settlements.count, from + JournalLimits.batch)
      let endCounts = min(work.counts.count, fromCounts + JournalLimits.batch)
      do throws(JournalRefusal) {
        try unsafe work.settlements.withUnsafeBufferPointer { settlements throws(JournalRefusal) in
          try unsafe work.counts.withUnsafeBufferPointer { counts throws(JournalRefusal) in
            let batch = unsafe JournalBatch(
              settlements: UnsafeBufferPointer(rebasing: settlements[from..<end]),
              counts: UnsafeBufferPointer(rebasing: counts[fromCounts..<endCounts]))
            _ = try unsafe journal.write(batch, token: 0, mayWait: false)
          }
        }
        (from, fromCounts) = (end, endCounts)
      } catch {
        // A journal that has failed, or was closed, takes nothing more: what it has not been told comes again when it is opened.
        guard error == .busy else { return }
        backoff.pause()
      }
    }
  }

  /// Writes definitions, and waits for the disk.
  func record(_ changes: [JournalChange]) throws(BrokerError) {
    guard let journal, !changes.isEmpty else { return }
    let confirms: Confirms
    do throws(MemoryError) { confirms = try takeConfirms() } catch { throw .memory(bytes: error.bytes) }
    defer { giveConfirms(confirms) }
    var backoff = Backoff()
    while true {
      _ = confirms.publish(1)
      do throws(JournalRefusal) {
        try journal.record(changes, token: confirms.token(1))
        break
      } catch {
        confirms.withdraw(1)
        guard error == .busy else { throw .journal(journal.failureText ?? "it was closed") }
        backoff.pause()
      }
    }
    _ = confirms.wait(for: confirms.published, nanoseconds: .max)
    if let failure = confirms.failed.last { throw .journal(failure.why) }
  }

  // MARK: Endings

  /// Nobody else has it.
  func takeConfirms() throws(MemoryError) -> Confirms {
    try monitor.locked { () throws(MemoryError) in
      if let index = freeConfirms.lastIndex(where: { $0.reset() }) { return freeConfirms.remove(at: index) }
      let confirms = try Confirms()
      allConfirms.append(confirms)
      return confirms
    }
  }

  func giveConfirms(_ confirms: Confirms) { monitor.locked { freeConfirms.append(confirms) } }

  /// Who is told of what the journal has ended.
  var journalSink: JournalSink {
    unsafe JournalSink(context: nil) { _, endings, count in
      let all = unsafe JournalSink.endings(endings, count)
      for index in all.indices {
        let ending = unsafe all[index]
        if ending.token == 0 { continue }
        let (confirms, count) = Confirms.of(ending.token)
        let failure: String? =
          switch ending.outcome {
          case .written: nil
          case .noSpace: "the disk is full: it is in its queues, but not on the disk"
          case .tooLarge: "it does not fit into what the journal writes at once"
          case .failed: "the journal has failed before"
          case .unknown: "the storage failed under it: it may be there after a restart, or not"
          }
        confirms.end(count, failure)
      }
    }
  }

  // MARK: Recovery

  /// Everything durable is there again: before anybody else uses the broker.
  func recover() throws(BrokerError) {
    guard let journal else { return }
    var visitor = RecoveryVisitor(self)
    do throws(JournalError) {
      let found = try journal.recover(journalSink, &visitor)
      nextJournal = max(1, found.nextQueue)
    } catch { throw .journal(error.description) }
    if let failure = visitor.failure { throw failure }
  }

  /// A durable queue, as it was.
  fileprivate func restore(_ queue: DurableQueue) throws(BrokerError) {
    try declare(queue: queue.name, queue.configuration, journal: queue.number)
  }

  /// Consumers have stopped, and nothing is published any more: what they hold is told to the journal, which ends cleanly. A broker without a journal has nothing to end.
  public func close() {
    guard let journal, beginClosing() else { return }
    for place in monitor.locked({ numbers.values.compactMap { place($0) } }) {
      spaces.with { work in
        guard let locked = place.locked() else { return }
        let arrived = locked.state.drain(place, &work)
        if locked.state.journal != 0 {
          for holding in locked.state.machine.holdings(most: .max) { locked.state.note(holding.tag.entry, holding.message, &work) }
        }
        end(place, locked, arrived: arrived, host.clock.now, &work)
      }
    }
    journal.close()
  }
}

/// Puts back what the journal gives.
private struct RecoveryVisitor: JournalVisitor {
  private let broker: Broker
  private let now: UInt64
  private let wall: Int64
  /// The first thing that could not be put back.
  private(set) var failure: BrokerError?
  private var places: [UInt32: QueuePlace] = [:]

  init(_ broker: Broker) {
    self.broker = broker
    (now, wall) = (broker.host.clock.now, broker.host.wall())
  }

  /// A moment of the wall clock by the engine's; just over, if it is over.
  private func moment(_ time: Int64) -> UInt64 {
    if time < wall { return max(1, now) &- 1 }
    let (sum, overflow) = now.addingReportingOverflow(UInt64(time &- wall))
    return overflow ? .max : sum
  }

  mutating func seen(_ id: UnsafeRawBufferPointer, until: Int64) {
    if until > wall { unsafe broker.duplicates?.restore(String(decoding: id, as: UTF8.self), until: moment(until)) }
  }

  mutating func declared(_ definition: DurableDefinition) {
    if failure != nil { return }
    do throws(RoutingError) {
      switch definition {
      case .exchange(let exchange):
        try broker.router.declare(exchange.name, exchange.kind, exchange.options)
        broker.durableExchanges.insert(exchange.name)
      case .binding(let binding): try broker.router.bind(binding)
      case .queue(let queue):
        do throws(BrokerError) {
          try broker.restore(queue)
          places[queue.number] = try broker.place(of: queue.name)
        } catch { failure = error }
      }
    } catch { failure = .routing(error) }
  }

  mutating func message(_ message: RecoveredMessage) {
    if failure != nil { return }
    guard let stored = unsafe StoredProperties(message.properties) else {
      failure = .journal("message \(message.number) has properties that this version did not write")
      return
    }
    var exchange: ExchangeID?
    if !stored.exchange.isEmpty {
      do throws(RoutingError) {
        // Deleted since, it is told as the default one: its name is needed only for the story of a death.
        exchange = broker.router.exchange(named: try BrokerName(system: stored.exchange))
      } catch {
        failure = .journal("message \(message.number) names an exchange that this version did not write: \(error)")
        return
      }
    }
    let traits = MessageBlock.Traits(
      flags: [.isPersistent, .hasNumber], priority: message.priority, timeToLive: stored.timeToLive, exchange: exchange ?? .default)
    broker.spaces.with { work in
      let block = unsafe work.cache.claimSurely(message.payload.count, properties: stored.properties.count, traits)
      if let base = unsafe message.payload.baseAddress { unsafe block.payload.copyMemory(from: base, byteCount: message.payload.count) }
      if let base = unsafe stored.properties.baseAddress {
        unsafe block.properties.copyMemory(from: base, byteCount: stored.properties.count)
      }
      block.journalNumber = message.number
      unsafe block.retain(message.places.count - 1)
      for index in unsafe message.places.indices { put(block, message, stored.published, unsafe message.places[index], &work) }
      broker.bury(&work)
    }
  }

  private func put(
    _ block: MessageBlock, _ message: RecoveredMessage, _ published: Int64, _ at: RecoveredMessage.Place, _ work: inout Workspace
  ) {
    guard let place = places[at.queue], let locked = place.locked() else { return work.cache.release(block) }
    // A queue's own time to live counts from the publication on.
    let own = locked.state.machine.configuration.timeToLive.map { published.addingReportingOverflow(Int64(clamping: $0)) }
    let ends = [message.expiry, own.flatMap { $0.overflow ? nil : $0.partialValue }].compactMap { $0 }.min()
    let acquired = max(at.acquired, at.isRedelivered ? 1 : 0)
    let entry = QueueMessage(
      id: block.number, bytes: UInt32(truncatingIfNeeded: block.bytes), priority: message.priority,
      expiry: ends.map { max(1, moment($0)) } ?? 0,
      due: message.due.map { $0 > wall ? moment($0) : 0 } ?? 0, acquired: acquired, failed: at.failed)
    locked.state.restore(entry, now, &work)
    broker.endTurn(place, locked, arrived: 1, now, &work)
  }
}

extension QueueState {
  /// A message that was here before the process began.
  fileprivate mutating func restore(_ message: QueueMessage, _ now: UInt64, _ work: inout Workspace) {
    do throws(QueueRefusal) { try machine.publish(message, now, isReserved: true, &work.gone) } catch {
      work.gone.append(QueueDeparture(message: message.id, exit: .maxLength, failed: 0))
    }
  }
}
