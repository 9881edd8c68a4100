package import MillraceLog

extension Ledger {
  /// What is wrong with a log of which this was said; nil: nothing. The log holds nothing but appends of the load.
  ///
  /// Nothing that was acknowledged is lost or stands elsewhere than was told; each event is as it was appended; appends are whole, their events together;
  /// positions and versions have no gaps.
  /// - Parameter isWhole: no segment has gone by retention.
  package func complaint(about log: EventLog, isWhole: Bool = true) -> String? {
    if let fault { return fault }
    var check = LedgerCheck(firstPosition: isWhole ? 0 : log.recovery.firstPosition, isWhole: isWhole)
    do throws(LogError) { try log.replay { check.take($0) } } catch { return "it cannot be read: \(error)" }
    check.end()
    return check.complaint ?? lost(check, log) ?? streams(check, log)
  }

  private func lost(_ check: LedgerCheck, _ log: EventLog) -> String? {
    for (number, places) in acknowledged {
      guard places.count == LoadAppend(number).appends.count else { return "the mark of \(number) is not whole" }
      if let found = check.found[number] {
        if found != places { return "append \(number) stands at \(found), acknowledged was \(places)" }
      } else if places[0].position >= check.firstPosition {
        return "append \(number), acknowledged at \(places[0].position), is lost: the log ends at \(check.next)"
      }
    }
    return nil
  }

  private func streams(_ check: LedgerCheck, _ log: EventLog) -> String? {
    for (stream, first) in check.firsts {
      let name = stream.description
      let end = check.ends[stream]!
      do throws(EventStoreError) {
        let page = try log.page(ReadRequest(.stream(stream), limit: 4096, bytes: 1 << 30))
        if page.lastVersion != end - 1 { return "\(name) ends with \(String(describing: page.lastVersion)), not \(end - 1)" }
        if limits[name] == nil, !check.isWhole || stream != LoadAppend.limited, page.events.first?.version != first {
          return "\(name) begins with \(String(describing: page.events.first?.version)), not \(first)"
        }
        // A limit that was set and not acknowledged may hold as well: all of them are between these.
        if limits[name] != nil, check.isWhole {
          guard UInt64(page.events.count) <= 8, UInt64(page.events.count) >= min(3, end) else {
            return "\(name) gives \(page.events.count) events in spite of its limit"
          }
        }
      } catch { return "\(name) cannot be read: \(error)" }
      if let wrong = snapshot(stream, end, check, log) { return wrong }
    }
    return nil
  }

  private func snapshot(_ stream: StreamName, _ end: UInt64, _ check: LedgerCheck, _ log: EventLog) -> String? {
    // The log answers before it returns.
    let answer = Answer<Snapshot?>()
    log.snapshot(of: stream, reducer: "load") { answer.result = $0 }
    switch answer.result {
    case .success(let found?)?:
      if found != LoadAppend.snapshot(of: stream, version: found.version) || found.version >= end {
        return "the snapshot of \(stream) is another"
      }
      if let told = snapshots[stream.description], check.isWhole, found.version < told { return "the snapshot of \(stream) is an old one" }
      return nil
    case .success(nil)?:
      return snapshots[stream.description] != nil && check.isWhole ? "the snapshot of \(stream) is lost" : nil
    case .failure(let error)?: return "the snapshot of \(stream) cannot be read: \(error)"
    case nil: return "the log has not answered"
    }
  }

  private final class Answer<Value: Sendable>: @unchecked Sendable {
    var result: Result<Value, EventStoreError>?
  }
}

/// Goes through a log from its first event on.
struct LedgerCheck {
  let firstPosition: UInt64
  let isWhole: Bool
  private(set) var next: UInt64
  private(set) var complaint: String?
  private(set) var found: [UInt64: [Ledger.Place]] = [:]
  private(set) var firsts: [StreamName: UInt64] = [:]
  private(set) var ends: [StreamName: UInt64] = [:]
  private var numbers: [StreamName: StreamNumber] = [:]
  /// Events of the append at hand that are to come, the next one last.
  private var rest: [(StreamName, EventDraft, isFirst: Bool)] = []

  init(firstPosition: UInt64, isWhole: Bool) {
    self.firstPosition = firstPosition
    self.isWhole = isWhole
    next = firstPosition
  }

  /// False: enough.
  mutating func take(_ event: EventView) -> Bool {
    complaint = wrong(event)
    return complaint == nil
  }

  mutating func end() {
    if complaint == nil, !rest.isEmpty { complaint = "the last append is not whole" }
  }

  private mutating func wrong(_ event: EventView) -> String? {
    guard event.position == next else { return "position \(event.position) comes after \(next)" }
    next += 1
    if rest.isEmpty {
      let number = event.id.high
      guard found[number] == nil else { return "append \(number) is there twice" }
      for part in LoadAppend(number).appends.reversed() {
        for (index, draft) in part.events.enumerated().reversed() { rest.append((part.stream, draft, index == 0)) }
      }
      found[number] = []
    }
    let (stream, draft, isFirst) = rest.removeLast()
    guard event.id == draft.id else { return "at \(event.position) is \(event.id), not \(draft.id): an append is not whole" }
    guard unsafe event.withPayload({ unsafe Array($0) }) == draft.payload else { return "event \(draft.id) is altered" }
    guard numbers.updateValue(event.stream, forKey: stream).map({ $0 == event.stream }) ?? true else {
      return "event \(draft.id) is of another stream"
    }
    if let end = ends[stream] {
      // A stream of which retention has left nothing begins anew; its last segment may still be here.
      guard event.version == end || !isWhole && event.version == 0 else {
        return "version \(event.version) of \(stream) comes after \(end)"
      }
      if event.version == 0 { firsts[stream] = 0 }
    } else {
      if isWhole, event.version != 0 { return "\(stream) begins with \(event.version)" }
      firsts[stream] = event.version
    }
    ends[stream] = event.version + 1
    if isFirst { found[draft.id.high]!.append(Ledger.Place(position: event.position, version: event.version)) }
    return nil
  }
}
