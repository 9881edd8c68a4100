internal import MillraceCore

/// One wait of `Broker.whenRoom`.
public struct RoomTicket: Sendable, Hashable {
  fileprivate let number: UInt64
}

extension Broker {
  /// Waits of `whenRoom` that nobody was called for yet.
  public var waitingPublishers: Int { roomWaits.count }

  /// Calls `action` once when a queue may have room, or was deleted: on any thread, which it must not block. nil: there is room now, and nobody is
  /// called. Throws `BrokerError.noQueue`.
  public func whenRoom(in queue: BrokerName, _ action: @escaping @Sendable () -> Void) throws(BrokerError) -> RoomTicket? {
    let place = try place(of: queue)
    guard let locked = place.locked() else { throw .noQueue(queue) }
    defer { place.lock.unlock() }
    if !locked.state.mayRefuse || place.messageRoom.value > 0 && place.byteRoom.value > 0 { return nil }
    locked.state.waiters += 1
    locked.state.wanted = 1
    return RoomTicket(number: roomWaits.enter(place.number, locked.state.since, action))
  }

  /// Nobody is to be called any more. False: somebody was, or is just now.
  @discardableResult public func cancel(_ ticket: RoomTicket) -> Bool {
    guard let wait = roomWaits.leave(ticket.number) else { return false }
    if let place = place(wait.number), let locked = place.locked(exactly: wait.since) {
      locked.state.waiters -= 1
      place.lock.unlock()
    }
    return true
  }

  /// A queue with waiters may have room. No lock is held.
  @inline(never) func tellPublishers(_ place: QueuePlace, _ since: UInt64, _ count: Int) {
    place.wakePublishers(count)
    tellRoom(place, since)
  }

  /// As above, or it has gone: those without a thread.
  @inline(never) func tellRoom(_ place: QueuePlace, _ since: UInt64) {
    let actions = roomWaits.take(place.number, since)
    if actions.isEmpty { return }
    if let locked = place.locked(exactly: since) {
      locked.state.waiters -= actions.count
      place.lock.unlock()
    }
    for action in actions { action() }
  }
}
