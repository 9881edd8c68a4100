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
  /// Segments that go meanwhile are passed over.
  public func replay(from position: UInt64 = 0, _ body: (EventView) -> Bool) throws(LogError) {
    let limit = index.monitor.locked { index.end }
    try withoutActuallyEscaping(body) { body throws(LogError) in
      var visitor = Replayed(from: position, limit: limit, body: body)
      while visitor.from < limit, let start = start(of: visitor.from) {
        var end: LogScan.End? = LogScan.End(
          log: start.log, segment: start.place.segment, offset: start.place.offset, nextPosition: start.position, session: 0,
          isSealed: false, tail: 0)
        do throws(LogError) {
          try LogScan(storage).walk(&visitor, &end, limit: limit)
          if visitor.isStopped { return }
        } catch { if firstSegment == start.first { throw error } }
        // What was read may have been a file that another segment has by now: what is there still begins behind it.
        if firstSegment == start.first { return }
      }
    }
  }

  private var firstSegment: UInt64? { index.monitor.locked { index.segments.first?.header.number } }

  /// The block where `position` is, or the first that is there; nil: there is none.
  private func start(of position: UInt64) -> (place: LogIndex.Place, position: UInt64, log: LogID, first: UInt64)? {
    index.monitor.locked {
      guard let block = index.block(max(index.block(at: position), index.firstBlock)), let segment = index.segments.first else {
        return nil
      }
      return (LogIndex.Place(word: block.place), block.firstPosition, segment.header.log, segment.header.number)
    }
  }
}

/// Hands events on.
private struct Replayed: LogScan.Visitor {
  /// The next one that is wanted.
  var from: UInt64
  let limit: UInt64
  let body: (EventView) -> Bool
  var isStopped = false

  func segment(_ header: SegmentHeader) throws(LogError) {}
  func block(_ header: BlockHeader, segment: UInt64) throws(LogError) {}
  @inline(__always) mutating func entry(_ entry: EntryView, segment: UInt64, offset: Int) throws(LogError) -> Bool {
    let position = entry.position
    if entry.isSystem || position < from { return true }
    if position < limit, body(EventView(entry: entry)) {
      from = position &+ 1
      return true
    }
    isStopped = true
    return false
  }

  init(from: UInt64, limit: UInt64, body: @escaping (EventView) -> Bool) {
    self.from = from
    self.limit = limit
    self.body = body
  }
}
