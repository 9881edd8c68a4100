internal import MillraceBroker
internal import MillraceCore
internal import MillraceLog

extension LogQueueJournal {
  private var hasThreads: Bool { settings.log.hasThreads }

  /// Why dead messages keep their room; nil: they do not.
  package var spaceProblem: String? { monitor.locked { space.problem } }

  /// Segments whose messages were looked through, so far.
  package var passes: Int { monitor.locked { space.passes } }

  // MARK: The thread

  func startSpace() throws(JournalError) {
    guard hasThreads else { return }
    monitor.locked {
      space.isRunning = true
      wakeSpace()
    }
    if !OwnThread.run({ [self] in work() }) {
      monitor.locked { space.isRunning = false }
      throw .storage("there is no thread to be had for the journal of queues")
    }
  }

  func stopSpace() {
    monitor.locked {
      space.isStopped = true
      monitor.broadcast(.work)
      while space.isRunning { monitor.wait(.ended) }
    }
  }

  /// With the monitor: there may be something to do.
  func wakeSpace() {
    guard space.isRunning, !space.isWoken, !state.unwritten.isEmpty || space.wantsPass(state) else { return }
    space.isWoken = true
    monitor.signal(.work)
  }

  private func work() {
    while true {
      let goesOn = monitor.locked {
        while !space.isWoken, !space.isStopped { monitor.wait(.work) }
        space.isWoken = false
        return !space.isStopped
      }
      guard goesOn else { break }
      tidy()
    }
    monitor.locked {
      space.isRunning = false
      monitor.broadcast(.ended)
    }
  }

  /// Without a thread whoever writes does what is to be done.
  func tidyWithoutThread() {
    guard !hasThreads else { return }
    let isWanted = monitor.locked { !space.isInSink && !space.isStopped && (!state.unwritten.isEmpty || space.wantsPass(state)) }
    if isWanted { tidy() }
  }

  // MARK: One pass

  private func tidy() {
    guard writeUnwritten() else { return }
    while !isStopped, var pass = begin() {
      // The numbers last: they are above all that goes.
      let isDone = copyDefinitions(&pass) && copyMessages(&pass) && writeUnwritten() && isWritten(writeState().0)
      monitor.locked { if isDone { space.ended(pass, state) } else { space.pass = pass } }
      guard isDone else { return }
      log.truncate(before: pass.floor)
    }
  }

  /// The pass that is under way, or one for the oldest segment that is over; nil: there is nothing to do.
  private func begin() -> JournalSpace.Pass? {
    monitor.locked {
      guard space.wantsPass(state) else { return nil }
      if let pass = space.pass { return pass }
      // All of it has been told, so that the state knows it.
      guard let end = log.segmentStart(after: space.floor), end <= state.nextVersion else { return nil }
      return JournalSpace.Pass(floor: end, next: space.floor)
    }
  }

  /// False: it is not, and the pass waits.
  private func isWritten(_ outcome: AppendRequest.Outcome) -> Bool {
    if outcome == .appended { return true }
    monitor.locked {
      // A log that has failed tells everybody itself.
      if outcome == .tooLarge { space.problem = "a segment has no room for what is to be written again: make segments larger" }
      space.hasNoRoom(state)
    }
    return false
  }

  private var isStopped: Bool { monitor.locked { space.isStopped } }

  /// What the state asks for.
  private func writeUnwritten() -> Bool {
    while true {
      let unwritten = monitor.locked {
        let most = JournalLimits.batch
        let some = JournalState.Unwritten(
          settlements: Array(state.unwritten.settlements.prefix(most)), counts: Array(state.unwritten.counts.prefix(most)),
          undos: Array(state.unwritten.undos.prefix(most)))
        state.unwritten.settlements.removeFirst(some.settlements.count)
        state.unwritten.counts.removeFirst(some.counts.count)
        state.unwritten.undos.removeFirst(some.undos.count)
        return some
      }
      if unwritten.isEmpty { return true }
      guard write(unwritten) else { return false }
    }
  }

  private func write(_ unwritten: JournalState.Unwritten) -> Bool {
    if !unwritten.settlements.isEmpty || !unwritten.counts.isEmpty {
      // As they are now, of those that are still there.
      let counts = monitor.locked { unwritten.counts.compactMap { state.live[$0.message, $0.queue]?.count } }
      let bytes =
        JournalRecord.batchHeader + JournalRecord.settlementBytes * unwritten.settlements.count + JournalRecord.countBytes * counts.count
      let write = newWrite(.batch, bytes, isWhole: false)
      var writer = unsafe RecordWriter(write.payload, room: bytes)
      writer.putBatchHeader(messages: 0, settlements: unwritten.settlements.count, counts: counts.count, seen: 0)
      for settlement in unwritten.settlements { writer.put(settlement) }
      for count in counts { writer.put(count) }
      guard isWritten(wait(for: write).0) else {
        // What is written in the batch is kept by `told`.
        monitor.locked { state.unwritten.undos += unwritten.undos }
        return false
      }
    }
    guard !unwritten.undos.isEmpty else { return true }
    let isDone = isWritten(wait(for: newWrite(unwritten.undos)).0)
    if !isDone { monitor.locked { state.unwritten.undos += unwritten.undos } }
    return isDone
  }

  private func copyDefinitions(_ pass: inout JournalSpace.Pass) -> Bool {
    if pass.hasDefinitions { return true }
    var rest = monitor.locked { state.definitions.copies(before: pass.floor) }[...]
    while !rest.isEmpty {
      var piece: [WrittenChange] = []
      var bytes = 0
      while let next = rest.first, piece.isEmpty || bytes + next.bytes <= settings.copyBytes {
        piece.append(next)
        bytes += next.bytes
        rest = rest.dropFirst()
      }
      guard !isStopped, isWritten(wait(for: newWrite(piece)).0) else { return false }
    }
    pass.hasDefinitions = true
    return true
  }

  private func copyMessages(_ pass: inout JournalSpace.Pass) -> Bool {
    var copies = CopyBatch()
    let now = settings.log.wallClock()
    var isDone = true
    do throws(LogError) {
      try log.replay(from: pass.next) { event in
        guard event.version < pass.floor else { return false }
        isDone = event.type == types.batch ? copy(event, now, &copies, &pass) : true
        if isDone { pass.count(event) }
        return isDone
      }
    } catch {
      monitor.locked { space.problem = error.description }
      return false
    }
    guard isDone, write(&copies, &pass) else { return false }
    pass.next = pass.floor
    return true
  }

  private func copy(_ event: EventView, _ now: Int64, _ copies: inout CopyBatch, _ pass: inout JournalSpace.Pass) -> Bool {
    unsafe event.withPayload { payload in
      do throws(RecordFault) {
        var reader = unsafe RecordReader(payload)
        let header = try BatchHeader(&reader)
        for _ in 0..<header.messages {
          let message = try StoredMessage(&reader)
          let alive = monitor.locked { state.alive(message, at: event.version) }
          guard makeRoom(message.bytes, event, &copies, &pass) else { return false }
          if !alive.isEmpty {
            copies.add(message, alive, source: event.version)
          } else if unsafe !message.id.isEmpty, message.idExpiry > now {
            unsafe copies.add(message.id, until: message.idExpiry)
          }
        }
        try reader.skip(header)
        for _ in 0..<header.seen {
          let seen = try StoredID(&reader)
          guard unsafe makeRoom(seen.id.count, event, &copies, &pass) else { return false }
          if seen.until > now { unsafe copies.add(seen.id, until: seen.until) }
        }
        return true
      } catch { preconditionFailure("invariant broken: what was read before cannot be read: \(error.text)") }
    }
  }

  /// Writes what is ready if it would be too much with `bytes` more: an event has a limit.
  private func makeRoom(_ bytes: Int, _ event: EventView, _ copies: inout CopyBatch, _ pass: inout JournalSpace.Pass) -> Bool {
    if copies.isEmpty || copies.bytes + bytes <= settings.copyBytes { return true }
    guard write(&copies, &pass) else { return false }
    pass.next = event.version
    return true
  }

  /// What of a pass is ready is written, if there is anything.
  private func write(_ copies: inout CopyBatch, _ pass: inout JournalSpace.Pass) -> Bool {
    if copies.isEmpty { return true }
    if isStopped { return false }
    let write = newWrite(.batch, copies.bytes)
    var writer = unsafe RecordWriter(write.payload, room: copies.bytes)
    copies.put(&writer)
    guard isWritten(wait(for: write).0) else { return false }
    pass.carried += copies.seenBytes
    copies.removeAll()
    return true
  }
}

extension JournalState {
  /// The queues in which a message is alive that stands in the event of this version.
  func alive(_ message: borrowing StoredMessage, at version: UInt64) -> [JournalCount] {
    var alive: [JournalCount] = []
    for index in 0..<message.queueCount {
      if let entry = live[message.number, message.place(index).queue], entry.version == version { alive.append(entry.count) }
    }
    return alive
  }
}

extension JournalSpace.Pass {
  /// The event has been looked at, perhaps before a pause too.
  fileprivate mutating func count(_ event: EventView) {
    if event.version < counted { return }
    counted = event.version + 1
    bytes += event.payloadBytes + JournalState.eventBytes
  }
}
