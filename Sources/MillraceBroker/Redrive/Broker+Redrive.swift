internal import MillraceCore

/// Dead letters on their way back.
extension Broker {
  /// A way to move the messages of a queue that are ready now back to where they died, or elsewhere. Nothing is moved before its first step. Throws `BrokerError.noQueue`, `.configuration`,
  /// `.memory` or `.routing`. Complexity: O(n log n) of the queue's messages, its lock given back in between; 16 bytes each.
  public func redrive(from queue: BrokerName, _ options: RedriveOptions = RedriveOptions()) throws(BrokerError) -> Redrive {
    try Redrive(self, queue, options)
  }

  /// What such a redrive would do now, with the first `letters` that are meant: nothing is taken. Whether there is room is not looked at. Throws as `redrive`. Complexity: as `redrive`.
  public func redrivePreview(
    from queue: BrokerName, _ options: RedriveOptions = RedriveOptions(), letters: Int = 10
  ) throws(BrokerError) -> RedrivePreview {
    if let fault = options.fault { throw .configuration("redrive of '\(queue)': \(fault)") }
    let place = try place(of: queue)
    let (since, candidates) = try candidates(queue, place)
    let sieve = RedriveSieve(options.filter)
    let wall = host.wall()
    var preview = RedrivePreview()
    var next = 0
    while next < candidates.count, options.limit != preview.matching {
      // Held one by one, so that targets are looked up without the lock.
      var held: [MessageBlock] = []
      guard let locked = place.locked(exactly: since) else { throw .noQueue(queue) }
      let end = min(candidates.count, next + QueuePlace.batch)
      for candidate in candidates[next..<end] {
        // unsafe: the queue holds it.
        guard let message = locked.state.machine.message(candidate) else { continue }
        let block = unsafe MessageBlock(message)
        block.retain()
        held.append(block)
      }
      place.lock.unlock()
      next = end
      for block in held {
        if options.limit != preview.matching {
          preview.examined += 1
          if sieve.wants(block, wall: wall) { add(block, queue, options.target, to: &preview, letters) }
        }
        spaces.release(block)
      }
    }
    return preview
  }

  private func add(_ block: MessageBlock, _ queue: BrokerName, _ target: RedriveTarget, to preview: inout RedrivePreview, _ most: Int) {
    // unsafe: the caller holds the block.
    let properties = unsafe MessageProperties(block)
    let deaths = block.deaths
    var letter = DeadLetter(
      messageID: properties.text(.messageID), key: properties.text(.key) ?? queue.description, bytes: block.bytes, priority: block.priority,
      deaths: deaths)
    do throws(RedriveRefusal) {
      let route = try RedriveRoute(block, deaths, from: queue, target, self)
      letter.key = route.key
      if route.exchange == .default, !isThere(route.name) { throw .noQueue(route.name) }
      letter.target = route.name
      preview.targets[route.name, default: 0] += 1
    } catch {
      letter.refusal = error
      preview.stay += 1
    }
    preview.matching += 1
    if preview.letters.count < most { preview.letters.append(letter) }
  }

  private func isThere(_ queue: String) -> Bool {
    do throws(RoutingError) {
      let name = try BrokerName(system: queue)
      return monitor.locked { numbers[name] != nil }
    } catch { return false }
  }

  /// What is ready in a queue, in its order, and which queue that is. `apart`: each can be lifted.
  func candidates(
    _ queue: BrokerName, _ place: QueuePlace, apart: Bool = false
  ) throws(BrokerError) -> (since: UInt64, all: [QueueCandidate]) {
    var all: [QueueCandidate] = []
    var from: UInt32 = 0
    var since: UInt64?
    var isDone = false
    while !isDone {
      let isThere = spaces.with { work in
        guard let locked = since.map({ place.locked(exactly: $0) }) ?? place.locked() else { return false }
        since = locked.state.since
        let arrived = locked.state.drain(place, &work)
        locked.state.machine.advance(host.clock.now, &work.gone)
        locked.state.machine.ready(from: &from, most: QueuePlace.batch * 16, apart: apart, &all)
        isDone = from >= locked.state.machine.entries.touchedCount
        end(place, locked, arrived: arrived, host.clock.now, &work)
        return true
      }
      if !isThere { throw .noQueue(queue) }
    }
    all.sort { $0.priority != $1.priority ? $0.priority > $1.priority : $0.sequence < $1.sequence }
    // What was taken apart may have come to places that were looked at later.
    var last: UInt64?
    all.removeAll { candidate in
      defer { last = candidate.sequence }
      return candidate.sequence == last
    }
    return (since ?? 0, all)
  }

  /// The queue of this number, if it would drop another message for one of so many bytes.
  func dropsFor(_ bytes: Int, _ number: UInt32, _ work: inout Workspace) -> BrokerName? {
    guard let place = place(number), let locked = place.locked() else { return nil }
    if locked.state.mayRefuse {
      place.lock.unlock()
      return nil
    }
    let now = host.clock.now
    let arrived = locked.state.drain(place, &work)
    locked.state.machine.advance(now, &work.gone)
    let name = locked.state.machine.hasRoom(bytes: bytes) ? nil : locked.state.name
    end(place, locked, arrived: arrived, now, &work)
    return name
  }
}
