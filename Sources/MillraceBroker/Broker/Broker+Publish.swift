internal import MillraceCore

extension Broker {
  /// A way to publish for one thread. Throws `BrokerError.routing`.
  public func makePublisher() throws(BrokerError) -> Publisher { try Publisher(self) }

  /// See `Publisher.waitForRoom`.
  func waitForRoom(in queue: BrokerName, nanoseconds: UInt64) throws(BrokerError) -> Bool {
    let place = try place(of: queue)
    let (end, overflow) = host.clock.now.addingReportingOverflow(nanoseconds)
    while true {
      let now = host.clock.now
      guard let locked = place.locked() else { throw .noQueue(queue) }
      if locked.state.machine.hasRoom(bytes: 0) {
        place.lock.unlock()
        return true
      }
      if now >= end {
        place.lock.unlock()
        return false
      }
      locked.state.waiters += 1
      let since = locked.state.since
      let seen = place.room.loadRelaxed()
      place.lock.unlock()
      place.sleep(place.room, seen, nanoseconds: overflow ? -1 : Int64(clamping: end - now))
      if let locked = place.locked(exactly: since) {
        locked.state.waiters -= 1
        place.lock.unlock()
      }
    }
  }
}
