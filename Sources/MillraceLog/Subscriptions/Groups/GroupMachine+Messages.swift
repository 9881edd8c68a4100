// Messages: from the source to consumers, until they are settled.
extension GroupMachine {
  mutating func take(_ result: Result<SubscriptionDelivery, SubscriptionEnd>, _ now: UInt64, _ actions: inout [Action]) {
    isDemanded = false
    switch result {
    case .success(.caughtUp(let checkpoint)):
      isLive = true
      read = max(read, checkpoint)
    case .success(.fellBehind): isLive = false
    case .success(.events(let events, let checkpoint)):
      for event in events {
        let place = record.source.place(of: event)
        entries[place] = Entry(event: event, attempts: 0, place: .ready)
        heldBytes += event.payload.count
        fresh.append(place)
      }
      read = checkpoint
    case .failure(let end):
      // What is done is still written.
      stop(.source(end))
    }
    if fresh.isEmpty { given = read }
  }

  // MARK: Giving

  mutating func deliverReady(_ now: UInt64, _ actions: inout [Action]) {
    while consumers.hasRoom, let (place, consumer) = chooseNext() {
      guard var entry = entries[place], let event = entry.event else { continue }
      deliveries += 1
      deliveredCount += 1
      entry.attempts += 1
      entry.place = .delivered(to: consumer, delivery: deliveries)
      entries[place] = entry
      consumers.delivered(to: consumer, 1)
      isChanged = true
      let deadline = now.addingReportingOverflow(record.settings.messageTimeout)
      deadlines.insert(
        TimeQueue.Element(time: deadline.overflow ? .max : deadline.partialValue, place: place, number: deliveries),
        keeping: isMeant, meant: deliveredCount)
      actions.append(.tell(consumer, .message(GroupMessage(event: event, attempt: entry.attempts, place: place, delivery: deliveries))))
    }
  }

  private mutating func chooseNext() -> (place: UInt64, consumer: UInt64)? {
    var chosen: UInt64?
    var table = consumers
    let isWanted = { [entries, strategy = record.settings.strategy] (place: UInt64) -> Bool in
      guard let event = entries[place]?.event else { return false }
      chosen = table.choose(strategy, stream: event.stream)
      return chosen != nil
    }
    if let place = retries.take(where: isWanted), let chosen {
      consumers = table
      return (place, chosen)
    }
    guard let place = fresh.take(where: isWanted), let chosen else { return nil }
    consumers = table
    given = max(given, place + 1)
    if fresh.isEmpty { given = read }
    return (place, chosen)
  }

  private func isMeant(_ element: TimeQueue.Element) -> Bool {
    if case .delivered(_, element.number) = entries[element.place]?.place { return true }
    return false
  }

  // MARK: Settling

  /// Takes a message back from a consumer; nil, and counted, if it is no longer its.
  private mutating func takeBack(_ message: GroupMessage, by consumer: UInt64) -> Entry? {
    guard let entry = entries[message.place], entry.place == .delivered(to: consumer, delivery: message.delivery) else {
      counts.late += 1
      return nil
    }
    consumers.delivered(to: consumer, -1)
    deliveredCount -= 1
    return entry
  }

  /// True: the message was the consumer's, and is done.
  mutating func settle(_ message: GroupMessage, by consumer: UInt64) -> Bool {
    guard takeBack(message, by: consumer) != nil else { return false }
    remove(message.place)
    return true
  }

  mutating func remove(_ place: UInt64) {
    heldBytes -= entries.removeValue(forKey: place)?.event?.payload.count ?? 0
    settled += 1
    isChanged = true
  }

  mutating func refuse(_ message: GroupMessage, by consumer: UInt64, _ refusal: GroupRefusal, _ now: UInt64) {
    guard takeBack(message, by: consumer) != nil else { return }
    switch refusal {
    case .retry(let after): giveAgain(message.place, "a consumer has refused it", after: after, now)
    case .park(let reason): park(message.place, reason)
    case .skip:
      remove(message.place)
      counts.settled += 1
    case .stop(let text):
      giveAgain(message.place, "a consumer has stopped the group", after: 0, now)
      stop(.stoppedByConsumer(text))
    }
  }

  /// A message that is at no consumer any more is given again, or parked if that was often enough.
  private mutating func giveAgain(_ place: UInt64, _ reason: String, after wait: UInt64, _ now: UInt64) {
    guard let attempts = entries[place]?.attempts else { return }
    if attempts > record.settings.maxRetries { return park(place, "given \(attempts) times: \(reason)") }
    isChanged = true
    guard wait > 0 else {
      entries[place]?.place = .ready
      return retries.append(place)
    }
    entries[place]?.place = .resting
    let (time, overflow) = now.addingReportingOverflow(wait)
    resting.insert(TimeQueue.Element(time: overflow ? .max : time, place: place, number: 0), keeping: { _ in true }, meant: .max / 4)
  }

  private mutating func park(_ place: UInt64, _ reason: String) {
    entries[place]?.place = .parking(reason: String(reason.prefix(Self.reasonCharacters)))
    toPark.append(place)
    isChanged = true
  }

  mutating func disconnect(_ id: UInt64, _ now: UInt64) {
    guard consumers.remove(id) else { return }
    takeAllBack(from: id, "its consumer has gone", now)
  }

  /// In the order of their places: as near to the old order as can be.
  private mutating func takeAllBack(from id: UInt64, _ reason: String, _ now: UInt64) {
    let places = entries.filter { if case .delivered(to: id, _) = $0.value.place { true } else { false } }.keys.sorted()
    deliveredCount -= places.count
    consumers.delivered(to: id, -places.count)
    for place in places { giveAgain(place, reason, after: 0, now) }
  }

  // MARK: Time

  /// Does what is due.
  mutating func look(at now: UInt64) {
    while let element = deadlines.takeDue(now) {
      guard isMeant(element), case .delivered(let consumer, _) = entries[element.place]?.place else { continue }
      consumers.delivered(to: consumer, -1)
      deliveredCount -= 1
      giveAgain(element.place, "no answer in time", after: 0, now)
    }
    while let element = resting.takeDue(now) {
      guard entries[element.place]?.place == .resting else { continue }
      entries[element.place]?.place = .ready
      retries.append(element.place)
    }
    for index in lanes.indices {
      if let until = lanes[index].restsUntil, until <= now { lanes[index].restsUntil = nil }
    }
    guard case .running = phase, nextLook <= now else { return }
    nextLook = now.saturating(adding: record.settings.checkpointAfter)
    if settled >= record.settings.minCheckpoint { isCheckpointDue = true } else { isLookDue = true }
  }

  // MARK: Settings

  mutating func update(_ settings: GroupSettings, _ request: UInt64, _ actions: inout [Action]) {
    if let fault = settings.fault { return actions.append(.answer(request, .failure(.invalid(fault)))) }
    guard case .running = phase else { return actions.append(.answer(request, .failure(.notRunning(stopReason)))) }
    // A newer wish takes the place of one that is not under way yet.
    if let older = settingsToWrite {
      actions.append(.answer(older.request, .failure(.invalid("other settings came before these were written"))))
    }
    settingsToWrite = (settings, request)
    isChanged = true
  }

  /// The settings are written: all consumers begin anew.
  mutating func reconnect(_ now: UInt64, _ actions: inout [Action]) {
    for consumer in consumers.all {
      takeAllBack(from: consumer.id, "the settings have changed", now)
      actions.append(.tell(consumer.id, .reconnected(record.settings)))
    }
    deadlines.removeAll()
    nextLook = now.saturating(adding: record.settings.checkpointAfter)
  }
}
