internal import MillraceLog

/// The contract in memory, one call at a time: what a store is compared with.
struct ModelStore {
  private struct Stream {
    var events: [RecordedEvent] = []
    var limits = StreamLimits()

    var lastVersion: UInt64? { events.last?.version }

    /// By count and first version; ages have promises of their own.
    func isKept(_ event: RecordedEvent) -> Bool {
      let last = lastVersion ?? 0
      if let count = limits.count, event.version + count <= last { return false }
      return event.version >= limits.firstVersion
    }
  }

  private enum Standing {
    case unknown
    case partly(EventID)
    case whole(AppendReceipt.Stream)
  }

  private(set) var all: [RecordedEvent] = []
  private var streams: [StreamName: Stream] = [:]

  func lastVersion(of stream: StreamName) -> UInt64? { streams[stream]?.lastVersion }

  /// What it comes to, and what the store may say instead: with several streams it may name another one's fault.
  func judge(_ appends: [StreamAppend]) -> Result<AppendReceipt?, EventStoreError> {
    var receipts: [AppendReceipt.Stream] = []
    for append in appends {
      switch standing(append) {
      case .unknown: break
      case .partly(let id): return .failure(.idsPartlyKnown(stream: append.stream, known: id))
      case .whole(let receipt): receipts.append(receipt)
      }
    }
    if receipts.count == appends.count { return .success(AppendReceipt(streams: receipts, wasKnown: true)) }
    if !receipts.isEmpty { return .failure(.idsPartlyKnown(stream: appends[0].stream, known: appends[0].events[0].id)) }
    for append in appends where !isMet(append.expected, lastVersion(of: append.stream)) {
      return .failure(
        .wrongExpectedVersion(stream: append.stream, expected: append.expected, actual: lastVersion(of: append.stream)))
    }
    return .success(nil)
  }

  private func isMet(_ expected: ExpectedVersion, _ actual: UInt64?) -> Bool {
    switch expected {
    case .any: true
    case .noStream: actual == nil
    case .streamExists: actual != nil
    case .exact(let version): actual == version
    }
  }

  private func standing(_ append: StreamAppend) -> Standing {
    let events = streams[append.stream]?.events ?? []
    let known = append.events.compactMap { draft in events.firstIndex { $0.id == draft.id } }
    guard let first = known.first else { return .unknown }
    if known.count < append.events.count || known != Array(first..<first + known.count) { return .partly(events[first].id) }
    let last = events[first + known.count - 1]
    return .whole(
      AppendReceipt.Stream(
        firstVersion: events[first].version, lastVersion: last.version, firstPosition: events[first].position, lastPosition: last.position))
  }

  /// Keeps what the store has appended, where it says.
  mutating func keep(_ appends: [StreamAppend], _ receipt: AppendReceipt, time: Int64) {
    for (append, place) in zip(appends, receipt.streams) {
      for (index, draft) in append.events.enumerated() {
        let event = RecordedEvent(
          position: place.firstPosition + UInt64(index), stream: append.stream, version: place.firstVersion + UInt64(index),
          tenant: append.tenant, id: draft.id, type: draft.type, typeVersion: draft.typeVersion, contentType: draft.contentType,
          payload: draft.payload, correlation: draft.correlation, causation: draft.causation, trace: draft.trace, time: time)
        all.append(event)
        streams[append.stream, default: Stream()].events.append(event)
      }
    }
  }

  mutating func limit(_ stream: StreamName, _ limits: StreamLimits) { streams[stream, default: Stream()].limits = limits }

  func limits(of stream: StreamName) -> StreamLimits { streams[stream]?.limits ?? StreamLimits() }

  /// All that a request without a limit would give.
  func events(_ request: ReadRequest) -> [RecordedEvent] {
    let kept = all.filter { event in
      guard streams[event.stream]?.isKept(event) == true else { return false }
      if let tenant = request.tenant, event.tenant != tenant { return false }
      let place: UInt64
      switch request.scope {
      case .stream(let name):
        if event.stream != name { return false }
        place = event.version
      case .category(let category):
        if event.stream.category != category { return false }
        place = event.position
      case .all: place = event.position
      }
      guard case .at(let start) = request.start else { return true }
      return request.direction == .forward ? place >= start : place <= start
    }
    return request.direction == .forward ? kept : kept.reversed()
  }

  /// Whether the page is what the request must give.
  func fault(in page: EventPage, for request: ReadRequest) -> String? {
    let rest = events(request)
    let count = page.events.count
    guard page.events == Array(rest.prefix(count)) else {
      return "has \(page.events.map(\.position)), but should begin \(rest.prefix(count + 1).map(\.position))"
    }
    if count > request.limit { return "has \(count) events" }
    // The event that exceeds `bytes` may be the last of the page or the first of the next one.
    let bytes = page.events.map(\.payload.count).reduce(0, +)
    if count > 1, bytes - page.events[count - 1].payload.count > request.bytes { return "has \(bytes) bytes" }
    if page.isLast, count < rest.count { return "isLast is true, \(rest.count - count) follow" }
    // What is looked at for a page may be bounded: where it passes over events, of others or fallen out, it may end early.
    if !page.isLast, request.tenant == nil, all.allSatisfy({ streams[$0.stream]?.isKept($0) == true }) {
      if count == rest.count { return "isLast is false, and nothing follows" }
      let isFull = count == request.limit || bytes >= request.bytes || bytes + rest[count].payload.count > request.bytes
      if count == 0 || !isFull { return "ends early: \(count) events, \(bytes) bytes" }
    }
    if case .stream(let name) = request.scope {
      if page.lastVersion != lastVersion(of: name) { return "lastVersion is \(String(describing: page.lastVersion))" }
    } else if page.lastVersion != nil {
      return "has a lastVersion"
    }
    guard let next = page.next else { return request.direction == .backward && page.isLast ? nil : "has no next" }
    if request.direction == .backward, page.isLast { return "has a next, but nothing more" }
    var following = request
    following.start = .at(next)
    let left = events(following)
    return left == Array(rest.dropFirst(count)) ? nil : "next is \(next): that gives \(left.map(\.position)) instead of the rest"
  }
}
