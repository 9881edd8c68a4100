internal import MillraceBroker
internal import MillraceCore
internal import MillraceLog

extension LogQueueJournal {
  /// By the committer, in the order of commits.
  func told(_ requests: UnsafeBufferPointer<UnsafeMutablePointer<AppendRequest>>) {
    monitor.locked {
      space.isInSink = true
      var hasWaiter = false
      var isWritten = false
      for index in 0..<requests.count {
        let write = unsafe PendingWrite(UnsafeMutableRawPointer(requests[index]))
        let outcome = ended(write)
        if unsafe write.head.pointee.token != 0 {
          endings.append(unsafe JournalEnding(token: write.head.pointee.token, outcome: outcome))
        }
        if let waiter = unsafe write.head.pointee.waiter {
          hasWaiter = true
          unsafe waiter._withUnsafeGuaranteedRef { waiter in
            unsafe waiter.version = write.part.pointee.firstVersion
            unsafe waiter.outcome = write.request.pointee.outcome
          }
        } else if outcome == .written {
          isWritten = true
        }
      }
      if hasWaiter { monitor.broadcast(.ended) }
      if isWritten { wakeSpace() }
    }
    unsafe memory.give(requests)
    sink?.tell(endings.span)
    endings.removeAll(keepingCapacity: true)
    monitor.locked { space.isInSink = false }
  }

  /// With the monitor.
  private func ended(_ write: PendingWrite) -> JournalOutcome {
    let head = unsafe write.head
    switch unsafe head.pointee.request.outcome {
    case .appended:
      apply(write)
      return .written
    case .noSpace:
      if unsafe !head.pointee.isWhole { keep(write) }
      return .noSpace
    case .tooLarge: return .tooLarge
    case .unavailable, .outcomeUnknown:
      // Order: sequentially consistent. Pairs with the acquiring load in `check`.
      _ = phase.replace(Phase.ready, by: Phase.failed)
      return unsafe head.pointee.request.outcome == .unavailable ? .failed : .unknown
    case .underWay, .wrongExpectedVersion, .known:
      preconditionFailure("invariant broken: an event without condition and with an id of its own was compared")
    }
  }

  private func apply(_ write: PendingWrite) {
    let version = unsafe write.part.pointee.firstVersion
    do throws(RecordFault) {
      switch unsafe write.head.pointee.kind {
      case .batch: try unsafe state.apply(batch: write.payloadBytes, version: version)
      case .definitions: try unsafe state.apply(definitions: write.payloadBytes, version: version)
      case .state: try unsafe state.apply(state: write.payloadBytes)
      }
    } catch { preconditionFailure("invariant broken: what was written cannot be read: \(error.text)") }
    unsafe state.wrote(write.payloadBytes.count, version: version)
  }

  /// Settlements and counts for which there was no room: they hold all the same, and are written when there is.
  private func keep(_ write: PendingWrite) {
    do throws(RecordFault) {
      var reader = unsafe RecordReader(write.payloadBytes)
      let header = try BatchHeader(&reader)
      for _ in 0..<header.settlements {
        let settlement = try reader.settlement()
        state.settled(settlement)
        state.unwritten.settlements.append(settlement)
      }
      for _ in 0..<header.counts {
        let count = try reader.journalCount()
        state.counted(count)
        state.unwritten.counts.append(count)
      }
    } catch { preconditionFailure("invariant broken: what was written cannot be read: \(error.text)") }
  }
}
