internal import MillraceCore

/// An event where it lies in the log's buffer: nothing is copied. Valid within the call that it was given to.
@safe public struct EventView {
  let entry: EntryView

  /// Its place among all events.
  public var position: UInt64 { entry.position }
  /// Its place in its stream.
  public var version: UInt64 { entry.version }
  /// Its stream.
  public var stream: StreamNumber { StreamNumber(value: entry.stream) }
  /// Whom it belongs to.
  public var tenant: TenantNumber { TenantNumber(value: entry.tenant) }
  /// What has happened.
  public var type: EventTypeNumber { EventTypeNumber(value: entry.type) }
  /// The shape of the payload.
  public var typeVersion: UInt16 { entry.typeVersion }
  /// Its id.
  public var id: EventID { entry.id }
  /// Nanoseconds since 1970, UTC.
  public var time: Int64 { entry.time }
  /// What it is part of.
  public var context: EventContext { EventContext(correlation: entry.correlation, causation: entry.causation, trace: entry.trace) }
  /// Bytes of the payload, as stored.
  public var payloadBytes: Int { entry.payload.count }

  /// The payload as it is stored: sealed, if it was sealed.
  public func withPayload<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) rethrows -> Value {
    let payload = entry.payload
    return try unsafe body(payload.raw)
  }
}

extension EventLog {
  /// Gives every event that is committed now from `position` on, in order, each checked: the fastest way through a log. Limits of streams are not looked at.
  ///
  /// Complexity: O(bytes from there). Stops when `body` gives false. Throws `damaged` where something is not what was written.
  public func replay(from position: UInt64 = 0, _ body: (EventView) -> Bool) throws(LogError) {
    let start: (place: LogIndex.Place, position: UInt64, log: LogID)? = index.monitor.locked {
      guard let block = index.block(max(index.block(at: position), index.firstBlock)), let segment = index.segments.first else {
        return nil
      }
      return (LogIndex.Place(word: block.place), block.firstPosition, segment.header.log)
    }
    guard let start, index.monitor.locked({ index.end }) > position else { return }
    let limit = index.monitor.locked { index.end }
    try withoutActuallyEscaping(body) { body throws(LogError) in
      var visitor = Replayed(from: position, limit: limit, body: body)
      var end: LogScan.End? = LogScan.End(
        log: start.log, segment: start.place.segment, offset: start.place.offset, nextPosition: start.position, session: 0, isSealed: false,
        tail: 0)
      try LogScan(storage).walk(&visitor, &end, limit: limit)
    }
  }
}

/// Hands events on.
private struct Replayed: LogScan.Visitor {
  let from: UInt64
  let limit: UInt64
  let body: (EventView) -> Bool

  func segment(_ header: SegmentHeader) throws(LogError) {}
  func block(_ header: BlockHeader, segment: UInt64) throws(LogError) {}
  @inline(__always) func entry(_ entry: EntryView, segment: UInt64, offset: Int) throws(LogError) -> Bool {
    if entry.isSystem || entry.position < from { return true }
    return entry.position < limit && body(EventView(entry: entry))
  }

  init(from: UInt64, limit: UInt64, body: @escaping (EventView) -> Bool) {
    self.from = from
    self.limit = limit
    self.body = body
  }
}
