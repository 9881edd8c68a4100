internal import Glibc
package import MillraceBroker
internal import MillraceCore
internal import MillraceLog

extension LogQueueJournal {
  package func recover(_ sink: JournalSink, _ visitor: inout some JournalVisitor) throws(JournalError) -> JournalRecovery {
    precondition(phase.loadAcquiring() == Phase.opened && self.sink == nil, "a journal is recovered once")
    self.sink = sink
    let wasClean = log.recovery.wasClean
    state = JournalState(recoveringFrom: log.recovery.firstPosition)
    try fold(&visitor)
    state.recovered()
    let (messages, places) = try give(&visitor)
    // More than what was under way at the last stop.
    let first = ((state.nextMessage + 1 << 30) >> LogQueueJournal.sessionBits + 1) << LogQueueJournal.sessionBits
    session = first
    numbers.put(first)
    let outcome = writeState(next: first, redeliveredBelow: wasClean ? state.redeliveredBelow : first)
    guard outcome.0 == .appended else {
      throw .storage("the journal of queues cannot be written: \(outcome.0 == .noSpace ? "the disk is full" : log.failureText)")
    }
    try startSpace()
    // Order: sequentially consistent. Pairs with the acquiring loads of whoever writes: the state is there.
    _ = phase.exchange(Phase.ready)
    return JournalRecovery(wasClean: wasClean, messages: messages, places: places, nextQueue: state.nextQueue, nextMessage: first)
  }

  private func fold(_ visitor: inout some JournalVisitor) throws(JournalError) {
    let now = settings.log.wallClock()
    var fault: JournalError?
    do throws(LogError) {
      try log.replay { event in
        do throws(JournalError) {
          try fold(event)
          if event.type == types.batch { try seen(event, now, &visitor) }
          return true
        } catch {
          fault = error
          return false
        }
      }
    } catch { throw JournalError(error) }
    if let fault { throw fault }
  }

  private func fold(_ event: EventView) throws(JournalError) {
    guard event.stream == stream, event.version == event.position else {
      throw .damaged(position: event.position, "it is no event of a journal: the log has been used for something else")
    }
    guard event.typeVersion == JournalRecord.typeVersion else {
      throw .unknownFormat(position: event.position, "an event of version \(event.typeVersion)")
    }
    let result: Result<Void, RecordFault>? = unsafe event.withPayload { payload in
      Result { () throws(RecordFault) in
        switch event.type {
        case types.batch: try unsafe state.apply(batch: payload, version: event.version)
        case types.definitions: try unsafe state.apply(definitions: payload, version: event.version)
        case types.state: try unsafe state.apply(state: payload)
        default: throw RecordFault("an event of another kind")
        }
      }
    }
    if case .failure(let fault)? = result {
      // All is covered by checksums: this was written so.
      throw .unknownFormat(position: event.position, fault.text)
    }
    state.wrote(event.payloadBytes, version: event.version)
  }

  private func seen(_ event: EventView, _ now: Int64, _ visitor: inout some JournalVisitor) throws(JournalError) {
    let fault: RecordFault? = unsafe event.withPayload { payload in
      do throws(RecordFault) {
        try unsafe JournalRecord.forEachID(payload) { id, until in if until > now { unsafe visitor.seen(id, until: until) } }
        return nil
      } catch { return error }
    }
    if let fault { throw .unknownFormat(position: event.position, fault.text) }
  }

  /// Gives definitions and messages.
  private func give(_ visitor: inout some JournalVisitor) throws(JournalError) -> (messages: Int, places: Int) {
    for kept in state.definitions.ordered { visitor.declared(kept.definition) }
    var all: [LiveMessages.Entry] = []
    all.reserveCapacity(state.live.count)
    state.live.visit { all.append($0) }
    all.sort { ($0.message, $0.queue) < ($1.message, $1.queue) }
    var messages = 0
    do {
      var reader = try StoredMessages(log, stream)
      var start = 0
      while start < all.count {
        var end = start + 1
        while end < all.count, all[end].message == all[start].message { end += 1 }
        try reader.give(all[start..<end], redeliveredBelow: state.redeliveredBelow, wasClean: log.recovery.wasClean, &visitor)
        messages += 1
        start = end
      }
    } catch { throw JournalError(error) }
    return (messages, all.count)
  }
}

extension JournalError {
  init(_ error: any Error) {
    switch error {
    case let error as JournalError: self = error
    case LogError.damaged(let position, _, _, let text): self = .damaged(position: position, text)
    case LogError.storage(let storage) where storage.code == EWOULDBLOCK: self = .inUse("\(storage)")
    case EventStoreError.damaged(let position, let text): self = .damaged(position: position, text)
    default: self = .storage("\(error)")
    }
  }
}
