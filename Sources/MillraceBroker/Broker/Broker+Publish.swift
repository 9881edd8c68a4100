internal import MillraceCore

extension Broker {
  /// A way to publish for one thread. Throws `BrokerError.routing`.
  public func makePublisher() throws(BrokerError) -> Publisher { try Publisher(self) }

  /// A message of this id is not on stable storage after all, though its queues have it: another one may take its place.
  package func forget(id: String) { duplicates?.withdraw(id) }

  /// So many messages, and no run of them: they go in under the lock, if that is free.
  static let few = 8

  /// Puts messages before a queue, or into it, where they have room. A reference of each goes with it. `template`: a run of them for any queue, if
  /// they are not few.
  @inline(__always) func put(
    _ messages: MessageList, _ template: QueueRun?, into place: QueuePlace, epoch: UInt32, due: UInt64, _ now: UInt64,
    _ work: inout Workspace
  ) {
    if template == nil, place.watchers.loadRelaxed() == 0, place.lock.tryLockToLook() {
      return insert(messages, into: place, epoch: epoch, due: due, now, &work)
    }
    let made =
      if let template { work.cache.makeRun(like: template, epoch: epoch) } else {
        work.cache.makeRun(messages, epoch: epoch, now: now, due: due)
      }
    guard let run = made else {
      // No memory for a run: into the queue itself.
      place.lock.lockToLook()
      return insert(messages, into: place, epoch: epoch, due: due, now, &work)
    }
    // The run is another's from here on, and so may the messages be.
    let (count, deadline) = (messages.count, place.deadline(messages[0], now, due: due))
    let isLong = place.push(run)
    let needs = place.needs.loadSequential()
    if isLong {
      shorten(place, &work)
    } else if place.hasJobs(needs) {
      serve(place, &work)
    } else if needs != 0 {
      wakeReceivers(place, count)
    }
    if deadline != .max, deadline < place.armed.loadSequential() { arm(place, deadline) }
  }

  /// With the lock, which is given back.
  private func insert(
    _ messages: MessageList, into place: QueuePlace, epoch: UInt32, due: UInt64, _ now: UInt64, _ work: inout Workspace
  ) {
    guard let locked = place.state, locked.state.epoch == epoch else {
      place.lock.unlock()
      // It was deleted meanwhile, and the messages with it.
      for index in 0..<messages.count { work.cache.release(messages[index]) }
      return
    }
    let before = locked.state.drain(place, &work)
    locked.state.insert(messages, due: due, now, &work)
    endTurn(place, locked, arrived: before + messages.count, now, &work)
  }

  /// Consumers that are jobs get what has come, unless somebody has the lock, who sees to it then.
  @inline(never) func serve(_ place: QueuePlace, _ work: inout Workspace) {
    while place.intake.loadSequential() != 0, place.lock.lockUnlessSeen() {
      guard let locked = place.state else { return place.lock.unlock() }
      let arrived = locked.state.drain(place, &work)
      _ = endTurnOnce(place, locked, arrived: arrived, host.clock.now, &work)
    }
  }

  /// The intake has become too long: whatever its lock's holder does, this publisher waits for it.
  @inline(never) private func shorten(_ place: QueuePlace, _ work: inout Workspace) {
    guard let locked = place.locked() else { return }
    let arrived = locked.state.drain(place, &work)
    endTurn(place, locked, arrived: arrived, host.clock.now, &work)
  }

  /// Room that was reserved is not used: who waits for some is told.
  func giveBack(_ messages: MessageList, to place: QueuePlace, epoch: UInt32, _ work: inout Workspace) {
    if messages.count == 0 { return }
    place.giveBack(messages, epoch: epoch)
    guard let locked = place.locked(epoch: epoch) else { return }
    endTurn(place, locked, arrived: locked.state.drain(place, &work), host.clock.now, &work)
  }

  /// See `Publisher.waitForRoom`.
  func waitForRoom(in queue: BrokerName, messages: Int, nanoseconds: UInt64, _ patience: inout Patience) throws(BrokerError) -> Bool {
    let place = try place(of: queue)
    let (end, overflow) = host.clock.now.addingReportingOverflow(nanoseconds)
    if nanoseconds > 0 { _ = patience.wait(host.clock, yields: true) { place.messageRoom.value >= messages } }
    while true {
      let now = host.clock.now
      guard let locked = place.locked() else { throw .noQueue(queue) }
      let wanted = min(messages, locked.state.machine.configuration.maxSize)
      if !locked.state.mayRefuse || place.messageRoom.value >= wanted && place.byteRoom.value > 0 {
        place.lock.unlock()
        return true
      }
      if now >= end {
        place.lock.unlock()
        return false
      }
      locked.state.waiters += 1
      locked.state.wanted = min(locked.state.wanted, wanted)
      let since = locked.state.since
      let seen = place.room.loadRelaxed()
      place.lock.unlock()
      _ = place.sleep(place.room, seen, nanoseconds: overflow ? -1 : Int64(clamping: end - now))
      if let locked = place.locked(exactly: since) {
        locked.state.waiters -= 1
        place.lock.unlock()
      }
    }
  }
}
