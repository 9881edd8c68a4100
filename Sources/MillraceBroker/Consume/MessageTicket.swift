internal import MillraceCore

/// One wait of `Receiver.whenMessage`.
package struct MessageTicket: Sendable, Hashable {
  fileprivate let number: UInt64
}

extension Receiver {
  /// Calls `action` once when there may be a message for this receiver, or the queue was deleted: on any thread, which it must not block. nil: there is one now, and
  /// nobody is called. Throws `BrokerError.noQueue`. Complexity: O(1).
  package func whenMessage(_ action: @escaping @Sendable () -> Void) throws(BrokerError) -> MessageTicket? {
    guard let locked = place.locked(exactly: since) else { throw .noQueue(queue) }
    place.setAskers(true)
    // After that, so that a publisher that we do not see sees it.
    if place.intake.loadSequential() != 0 || locked.state.machine.hasMessage(for: number, broker.host.clock.now) {
      if !broker.messageWaits.has(place.number, since) { place.setAskers(false) }
      place.lock.unlock()
      return nil
    }
    let ticket = MessageTicket(number: broker.messageWaits.enter(place.number, since, action))
    place.lock.unlock()
    return ticket
  }
}

extension QueueMachine {
  /// Whether `take` would give this consumer one, when what is due has moved.
  fileprivate func hasMessage(for consumer: UInt32, _ now: UInt64) -> Bool {
    if configuration.isSingleActive && active != consumer { return false }
    return occupied != 0 || earliest <= now
  }
}

extension Broker {
  /// Nobody is to be called any more. False: somebody was, or is just now.
  @discardableResult package func cancel(_ ticket: MessageTicket) -> Bool { messageWaits.leave(ticket.number) != nil }

  /// Messages can be had: those that sleep are woken, and those without a thread told. No lock is held.
  @inline(__always) func wakeReceivers(_ place: QueuePlace, _ most: Int) {
    place.wakeReceivers(most)
    if place.hasAskers(place.needs.loadSequential()) { tellMessages(place, nil) }
  }

  /// `since`: of a queue that has gone; nil: of the one that is there.
  @inline(never) func tellMessages(_ place: QueuePlace, _ since: UInt64?) {
    var since = since
    if since == nil {
      guard let locked = place.locked() else { return }
      since = locked.state.since
      // Whoever waits from here on says so again.
      place.setAskers(false)
      place.lock.unlock()
    }
    for action in messageWaits.take(place.number, since ?? 0) { action() }
  }
}
