// What the group asks of its store.
extension GroupMachine {
  mutating func take(_ lane: Lane, _ answer: Answer, _ now: UInt64, _ actions: inout [Action]) {
    switch (lane, answer) {
    case (.state, .receipt(.failure(.outcomeUnknown(let text)))):
      // Again with the same ids: it will not be doubled.
      rest(lane, .outcomeUnknown(text), now, &actions)
    case (_, .page(.failure(let error))), (_, .receipt(.failure(let error))):
      guard error.isTemporary else { return fail(lane, error, &actions) }
      rest(lane, error, now, &actions)
    case (_, .page(.success(let page))):
      lanes[lane.rawValue].patience.succeeded()
      switch lane {
      case .state: loaded(page, now, &actions)
      case .fetch: fetched(page)
      case .parked: takeParked(page, &actions)
      case .look: looked(page, &actions)
      }
    case (_, .receipt(.success(let receipt))):
      lanes[lane.rawValue].patience.succeeded()
      written(receipt, now, &actions)
    }
  }

  private mutating func rest(_ lane: Lane, _ error: EventStoreError, _ now: UInt64, _ actions: inout [Action]) {
    if lane == .state, stopReason != nil { return fail(lane, error, &actions) }
    guard let wait = lanes[lane.rawValue].patience.failed() else { return fail(lane, error, &actions) }
    lanes[lane.rawValue].restsUntil = now &+ wait
  }

  private mutating func fail(_ lane: Lane, _ error: EventStoreError, _ actions: inout [Action]) {
    switch (lane, error, phase) {
    case (.state, .wrongExpectedVersion, _): finish(.lostOwnership, &actions)
    // What could not be written is given once more: that was promised.
    case (_, _, .stopping): finish(stopReason ?? .stopped, &actions)
    case (.state, _, .taking) where stopReason != nil: finish(stopReason ?? .stopped, &actions)
    case (.parked, _, _): endReplay(.failure(.store(error)), &actions)
    default: finish(.store(error), &actions)
    }
  }

  private mutating func ask(_ lane: Lane) -> UInt64 {
    question += 1
    lanes[lane.rawValue].question = question
    return question
  }

  // MARK: The state

  mutating func load(_ actions: inout [Action]) {
    if let stopReason { return finish(stopReason, &actions) }
    guard lanes[Lane.state.rawValue].isFree else { return }
    actions.append(.read(.state, ask(.state), ReadRequest(.stream(stream), .backward, limit: 1)))
  }

  private mutating func loaded(_ page: EventPage, _ now: UInt64, _ actions: inout [Action]) {
    version = page.lastVersion
    if let last = page.lastVersion {
      guard let event = page.events.first, event.version == last else {
        return finish(.damagedState(version: last, "it is not there any more"), &actions)
      }
      do throws(KeptFault) {
        record = try GroupRecord(event.payload)
      } catch {
        return finish(.damagedState(version: last, error.text), &actions)
      }
      if record.source != definition.source { return finish(.hasOtherSource(record.source), &actions) }
    }
    record.epoch += 1
    read = record.next
    given = record.next
    for message in record.outstanding {
      entries[message.place] = Entry(event: nil, attempts: message.attempts, place: .toFetch)
      toFetch.append(message.place)
    }
    phase = .taking
  }

  /// What is to be kept now.
  private var current: GroupRecord {
    var current = record
    // Fresh messages that nobody was given yet are read again from there.
    current.next = min(given, read)
    current.outstanding = []
    for (place, entry) in entries where place < current.next {
      if case .parking = entry.place { continue }
      current.outstanding.append(GroupRecord.Outstanding(place: place, attempts: entry.attempts))
    }
    current.outstanding.sort { $0.place < $1.place }
    return current
  }

  private var hasToWrite: Bool {
    switch phase {
    case .taking, .stopping: true
    default:
      isCheckpointDue || !toPark.isEmpty || settingsToWrite != nil || replay?.places.isEmpty == false
        || settled >= record.settings.maxCheckpoint
    }
  }

  mutating func startWrite(_ now: UInt64, _ actions: inout [Action]) {
    guard lanes[Lane.state.rawValue].isFree else { return }
    if write == nil, hasToWrite { write = makeWrite() }
    if let write { actions.append(.append(ask(.state), write.appends)) }
  }

  private mutating func makeWrite() -> Write {
    var next = current
    let number = version.map { $0 + 1 } ?? 0
    var write = Write(appends: [], record: next, settled: settled)
    write.parked = Array(toPark.all.prefix(Self.parkedInWrite))
    // Those for which there is no room in this append are still outstanding.
    for place in toPark.all.dropFirst(write.parked.count) where place < next.next {
      next.outstanding.append(GroupRecord.Outstanding(place: place, attempts: entries[place]?.attempts ?? 0))
    }
    if let replay, !replay.places.isEmpty {
      write.replayed = replay.places
      next.parkedFrom = replay.next
      next.outstanding += replay.places.map { GroupRecord.Outstanding(place: $0, attempts: 0) }
    }
    next.outstanding.sort { $0.place < $1.place }
    if let (settings, request) = settingsToWrite {
      next.settings = settings
      write.settingsRequest = request
      settingsToWrite = nil
    }
    write.record = next
    let state = EventDraft(id: EventID(high: owner.high, low: owner.low &+ number), type: GroupRecord.type, payload: next.bytes)
    let append = StreamAppend(stream: stream, expected: version.map { .exact($0) } ?? .noStream, events: [state])
    let parked = write.parked.enumerated().compactMap {
      draft($1, EventID(high: ~owner.high, low: owner.low &+ number << 16 &+ UInt64($0)))
    }
    write.appends = parked.isEmpty ? [append] : [append, StreamAppend(stream: parkedStream, events: parked)]
    settled = 0
    isChanged = false
    isCheckpointDue = false
    return write
  }

  private func draft(_ place: UInt64, _ id: EventID) -> EventDraft? {
    guard let entry = entries[place], case .parking(let reason) = entry.place, let event = entry.event else { return nil }
    return EventDraft(
      id: id, type: ParkedRecord.type, payload: ParkedRecord.bytes(event, place: place, attempts: entry.attempts, reason: reason),
      correlation: event.correlation, causation: event.id, trace: event.trace)
  }

  private mutating func written(_ receipt: AppendReceipt, _ now: UInt64, _ actions: inout [Action]) {
    guard let write else { return }
    self.write = nil
    record = write.record
    version = receipt.streams[0].lastVersion
    toPark.remove(Set(write.parked))
    for place in write.parked { heldBytes -= entries.removeValue(forKey: place)?.event?.payload.count ?? 0 }
    counts.parked += write.parked.count
    for place in write.replayed {
      entries[place] = Entry(event: nil, attempts: 0, place: .toFetch)
      toFetch.append(place)
    }
    replayWritten(write.replayed.count, &actions)
    if case .taking = phase {
      phase = .running
      nextLook = now.saturating(adding: record.settings.checkpointAfter)
      actions.append(.started)
      if let stopReason { stop(stopReason) }
    }
    if let request = write.settingsRequest {
      reconnect(now, &actions)
      actions.append(.answer(request, .success(0)))
    }
    if let version, version % Self.forgetEvery == Self.forgetEvery - 1 { actions.append(.forget(stream, before: version)) }
  }

  // MARK: Messages that are read again

  mutating func startFetch(_ actions: inout [Action]) {
    guard lanes[Lane.fetch.rawValue].isFree, let place = toFetch.first else { return }
    let request = ReadRequest(record.source.scope, from: .at(place), limit: record.settings.readBatch, tenant: record.source.tenant)
    actions.append(.read(.fetch, ask(.fetch), request))
  }

  /// A page that begins with the first place that was asked for, if that is still there.
  private mutating func fetched(_ page: EventPage) {
    guard let asked = toFetch.first else { return }
    var events: [UInt64: RecordedEvent] = [:]
    for event in page.events { events[record.source.place(of: event)] = event }
    let last = page.events.last.map { record.source.place(of: $0) } ?? asked
    while let place = toFetch.first, place <= max(last, asked), place >= asked {
      _ = toFetch.take { _ in true }
      if let event = events[place] {
        entries[place]?.event = event
        heldBytes += event.payload.count
        fetchedReady(place)
      } else {
        remove(place)
        counts.gone += 1
      }
    }
  }

  /// It may have been given as often as it may before the group was started again.
  private mutating func fetchedReady(_ place: UInt64) {
    guard let attempts = entries[place]?.attempts, attempts > record.settings.maxRetries else {
      entries[place]?.place = .ready
      return retries.append(place)
    }
    entries[place]?.place = .parking(reason: "given \(attempts) times: the last time before the group was started again")
    toPark.append(place)
  }

  // MARK: Parked messages

  mutating func startReplay(_ limit: Int, _ request: UInt64, _ actions: inout [Action]) {
    guard case .running = phase else { return actions.append(.answer(request, .failure(.notRunning(stopReason)))) }
    guard replay == nil else { return actions.append(.answer(request, .failure(.isReplaying))) }
    guard limit > 0 else { return actions.append(.answer(request, .failure(.invalid("a replay is of 1 message at least")))) }
    replay = Replay(request: request, left: limit, next: record.parkedFrom)
  }

  mutating func readParked(_ actions: inout [Action]) {
    guard let replay, replay.places.isEmpty, write?.replayed.isEmpty != false, lanes[Lane.parked.rawValue].isFree else { return }
    let room = min(replay.left, record.settings.readBatch, max(capacity - held, 0))
    guard room > 0 else { return }
    actions.append(.read(.parked, ask(.parked), ReadRequest(.stream(parkedStream), from: .at(replay.next), limit: room)))
  }

  private mutating func takeParked(_ page: EventPage, _ actions: inout [Action]) {
    guard var replay else { return }
    replay.end = replay.end ?? page.lastVersion.map { $0 + 1 } ?? 0
    for event in page.events where event.version < replay.end ?? 0 {
      guard let record = ParkedRecord(event) else {
        return endReplay(.failure(.damaged(version: event.version, "it is not what a group writes there")), &actions)
      }
      // It is being parked just now, by an append that was not answered yet: not one of this replay's.
      if case .parking = entries[record.place]?.place {
        replay.end = event.version
        break
      }
      replay.next = event.version + 1
      // If it is outstanding, it is given again anyway.
      if entries[record.place] == nil, record.place < given, !replay.places.contains(record.place) { replay.places.append(record.place) }
    }
    self.replay = replay
    if replay.places.isEmpty, replay.next >= replay.end ?? 0 || page.events.isEmpty { endReplay(.success(replay.moved), &actions) }
  }

  private mutating func replayWritten(_ count: Int, _ actions: inout [Action]) {
    guard count > 0, var replay else { return }
    replay.moved += count
    replay.left -= count
    replay.places = []
    self.replay = replay
    actions.append(.forget(parkedStream, before: replay.next))
    if replay.left == 0 || replay.next >= replay.end ?? 0 { endReplay(.success(replay.moved), &actions) }
  }

  private mutating func endReplay(_ result: Result<Int, GroupRequestError>, _ actions: inout [Action]) {
    guard let replay else { return }
    self.replay = nil
    actions.append(.answer(replay.request, result))
  }

  // MARK: Ownership

  mutating func lookForOwner(_ actions: inout [Action]) {
    guard isLookDue, write == nil, lanes[Lane.look.rawValue].isFree, let version else { return }
    isLookDue = false
    actions.append(.read(.look, ask(.look), ReadRequest(.stream(stream), from: .at(version + 1), limit: 1)))
  }

  private mutating func looked(_ page: EventPage, _ actions: inout [Action]) {
    // An append that is under way may be what was seen, and learns it anyway.
    guard write == nil, let version, let event = page.events.last, event.version > version else { return }
    finish(.lostOwnership, &actions)
  }
}
