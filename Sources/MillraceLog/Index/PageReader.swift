internal import MillraceCore

/// Reads one page: copies the places of some entries under the index's lock, then reads these entries without it, until the page is full.
@safe struct PageReader {
  private let index: LogIndex
  private let wall: @Sendable () -> Int64
  private let seal: (any PayloadSeal)?
  private let request: ReadRequest
  private var reader: EntryReader
  private var isForward: Bool { request.direction == .forward }
  /// Positions from here on are not read: what is committed later belongs to the next page.
  private let end: UInt64
  private var events: [RecordedEvent] = []
  private var bytes = 0

  /// Throws `invalid` for a request that breaks a rule.
  init(
    _ index: LogIndex, _ wall: @escaping @Sendable () -> Int64, _ seal: (any PayloadSeal)?, _ request: ReadRequest
  ) throws(EventStoreError) {
    if let fault = EventStoreError.fault(in: request) { throw fault }
    self.index = index
    self.wall = wall
    self.seal = seal
    self.request = request
    reader = try EntryReader(isForward: request.direction == .forward)
    end = index.monitor.locked { index.end }
  }

  func free() { reader.free() }

  private var isFull: Bool { events.count == request.limit || bytes >= request.bytes && !events.isEmpty }

  mutating func page() throws(EventStoreError) -> EventPage {
    switch request.scope {
    case .stream(let name): try stream(name)
    case .category(let name):
      try listed { index in index.categoryNumbers[name].map { index.categories[$0] } }
    case .all: isForward ? try allForward() : try allBackward()
    }
  }

  // MARK: A stream

  private mutating func stream(_ name: StreamName) throws(EventStoreError) -> EventPage {
    let now = wall()
    let found: (places: [UInt64], first: UInt64, readable: Range<UInt64>, limits: StreamLimits?)? = index.monitor.locked {
      guard let number = index.streamNumbers[name.description] else { return nil }
      let stream = index.streams[Int(number)]
      if stream.end == 0 { return nil }
      let readable = stream.readable
      // One more than the page, to know whether it is the last.
      let versions = range(in: readable, one: request.limit + 1)
      let places = stream.places[stream.numbers(versions)]
      return (places, versions.lowerBound, readable, stream.limits)
    }
    guard let found else {
      return EventPage(events: [], next: isForward ? startVersion : nil, isLast: true, lastVersion: nil)
    }
    let last = found.readable.upperBound - 1
    // Nothing is read that is newer than `end`: a version that came meanwhile does no harm, the page says how far it goes.
    var version = isForward ? found.first : found.first + UInt64(found.places.count)
    for place in isForward ? found.places : found.places.reversed() {
      if isFull { break }
      if !isForward { version -= 1 }
      switch try reader.entry(LogIndex.Place(word: place), index) {
      case .gone: break
      case .entry(let entry): try take(entry, limits: found.limits, now: now)
      }
      if isForward { version += 1 }
    }
    if isForward {
      let next = max(version, startVersion)
      return EventPage(events: events, next: next, isLast: next > last, lastVersion: last)
    }
    let isLast = version <= found.readable.lowerBound
    return EventPage(events: events, next: isLast ? nil : version - 1, isLast: isLast, lastVersion: last)
  }

  private var startVersion: UInt64 { if case .at(let version) = request.start { version } else { 0 } }

  /// The part of `whole` that a page of `one` begins with in its direction.
  private func range(in whole: Range<UInt64>, one: Int) -> Range<UInt64> {
    let count = UInt64(one)
    if isForward {
      let first = min(max(whole.lowerBound, startVersion), whole.upperBound)
      return first..<min(whole.upperBound, first.addingReportingOverflow(count).overflow ? .max : first + count)
    }
    var last = whole.upperBound
    if case .at(let version) = request.start, version < last { last = max(version + 1, whole.lowerBound) }
    return (last - min(count, last - whole.lowerBound))..<last
  }

  // MARK: Positions

  /// Of a list of places, in order of positions.
  private mutating func listed(_ list: (LogIndex) -> Places?) throws(EventStoreError) -> EventPage {
    let start: UInt64 = if case .at(let position) = request.start { position } else { isForward ? 0 : .max }
    var cursor: Int?
    var isAtStart = false
    let chunk = 512
    while !isFull {
      // Places keep their numbers when others go meanwhile.
      let places: [UInt64]? = index.monitor.locked {
        guard let all = list(index) else { return nil }
        if isForward {
          let first = max(cursor ?? all.first(from: index.placeOfBlock(start)), all.start)
          cursor = min(all.end, first + chunk)
          return all[first..<cursor!]
        }
        let behind = max(cursor ?? all.first(from: index.placeBehindBlock(start)), all.start)
        cursor = max(all.start, behind - chunk)
        isAtStart = cursor == all.start
        return all[cursor!..<behind]
      }
      guard let places, !places.isEmpty else { return page(isLast: true, start) }
      for place in isForward ? places : places.reversed() {
        if isFull { break }
        guard case .entry(let entry) = try reader.entry(LogIndex.Place(word: place), index) else { continue }
        if isForward ? entry.position < start : entry.position > start { continue }
        if entry.position >= end { if isForward { return page(isLast: true, start) } else { continue } }
        try take(entry)
      }
      if isAtStart, !isFull { return page(isLast: true, start) }
    }
    return page(isLast: false, start)
  }

  private mutating func allForward() throws(EventStoreError) -> EventPage {
    let start: UInt64 = if case .at(let position) = request.start { position } else { 0 }
    var block = index.monitor.locked { index.block(at: start) }
    while !isFull {
      // Blocks that go meanwhile are passed over.
      block = index.monitor.locked { max(block, index.firstBlock) }
      guard let (place, count) = blockPlace(block) else {
        if index.monitor.locked({ block < index.firstBlock }) { continue }
        return page(isLast: true, start)
      }
      guard try walk(place, count, { $0 >= start }) else { return page(isLast: true, start) }
      block += 1
    }
    return page(isLast: false, start)
  }

  private mutating func allBackward() throws(EventStoreError) -> EventPage {
    let start: UInt64 = if case .at(let position) = request.start { position } else { .max }
    var block = index.monitor.locked { index.block(at: start) }
    while !isFull {
      guard let (place, count) = blockPlace(block) else { return page(isLast: true, start) }
      let whole = events
      let wholeBytes = bytes
      events = []
      bytes = 0
      // A block is read forward; its events are then turned round.
      _ = try walk(place, count, { $0 <= start }, isWhole: true)
      let found = events
      (events, bytes) = (whole, wholeBytes)
      for event in found.reversed() {
        if isFull { break }
        events.append(event)
        bytes += event.payload.count
      }
      block -= 1
    }
    if isFull { return page(isLast: events.last.map { $0.position == 0 } ?? true, start) }
    return page(isLast: true, start)
  }

  /// The place of the first entry of a block, and how many events it has.
  private func blockPlace(_ block: Int) -> (LogIndex.Place, Int)? {
    index.monitor.locked {
      guard let found = index.block(block) else { return nil }
      let behind = index.block(block + 1)?.firstPosition ?? index.end
      let place = LogIndex.Place(word: found.place)
      return (LogIndex.Place(segment: place.segment, offset: place.offset + BlockHeader.bytes), Int(behind - found.firstPosition))
    }
  }

  /// Takes the events of a block that are wanted. False: what follows is not committed yet.
  private mutating func walk(
    _ place: LogIndex.Place, _ count: Int, _ isWanted: (UInt64) -> Bool, isWhole: Bool = false
  ) throws(EventStoreError) -> Bool {
    var place = place
    var left = count
    while left > 0, isWhole || !isFull {
      guard case .entry(let entry) = try reader.entry(place, index) else { return true }
      if !entry.isSystem {
        if entry.position >= end { return false }
        if isWanted(entry.position) { try take(entry) }
        left -= 1
      }
      place = LogIndex.Place(segment: place.segment, offset: place.offset + entry.stride)
    }
    return true
  }

  private func page(isLast: Bool, _ start: UInt64) -> EventPage {
    if isForward {
      let next = isLast ? max(end, start) : events.last!.position + 1
      return EventPage(events: events, next: next, isLast: isLast || next >= end, lastVersion: nil)
    }
    guard !isLast, let last = events.last, last.position > 0 else {
      return EventPage(events: events, next: nil, isLast: true, lastVersion: nil)
    }
    return EventPage(events: events, next: last.position - 1, isLast: false, lastVersion: nil)
  }

  // MARK: Events

  private mutating func take(_ entry: EntryView) throws(EventStoreError) {
    let limits: (StreamLimits, Range<UInt64>)? = index.monitor.locked {
      guard index.hasLimits, let limits = index.streams[Int(entry.stream)].limits else { return nil }
      return (limits, index.streams[Int(entry.stream)].readable)
    }
    if let limits, !limits.1.contains(entry.version) { return }
    try take(entry, limits: limits?.0, now: limits == nil ? 0 : wall())
  }

  private mutating func take(_ entry: EntryView, limits: StreamLimits?, now: Int64) throws(EventStoreError) {
    if let age = limits?.age, now > entry.time, UInt64(now - entry.time) > age { return }
    let names: (stream: StreamName, tenant: String?, type: String, contentType: String)? = index.monitor.locked {
      let tenant = entry.tenant == 0 ? nil : index.tenants.names[Int(entry.tenant)]
      if let wanted = request.tenant, wanted != tenant { return nil }
      return (
        index.streams[Int(entry.stream)].name, tenant, index.types.names[Int(entry.type)], index.contentTypes.names[Int(entry.contentType)]
      )
    }
    guard let names else { return }
    // A payload may be long: commits do not wait for its copy.
    let payload = entry.payload
    var event = unsafe RecordedEvent(
      position: entry.position, stream: names.stream, version: entry.version, tenant: names.tenant, id: entry.id, type: names.type,
      typeVersion: entry.typeVersion, contentType: names.contentType, payload: Array(payload.raw), correlation: entry.correlation,
      causation: entry.causation, trace: entry.trace, time: entry.time)
    if let key = entry.key { event.payload = try open(event, key) }
    events.append(event)
    bytes += event.payload.count
  }
}

extension PageReader {
  private func open(_ event: RecordedEvent, _ key: UInt32) throws(EventStoreError) -> [UInt8] {
    guard let seal else {
      throw .invalid("the event at position \(event.position) is sealed with key \(key): give the log the seal that it was written with")
    }
    return try seal.open(event.payload, key: key, stream: event.stream, id: event.id)
  }
}

extension LogIndex.Stream {
  /// The versions that are there and within the limits of count and version.
  var readable: Range<UInt64> {
    var first = start
    if let limits {
      first = max(first, limits.firstVersion)
      if let count = limits.count, end > count { first = max(first, end - count) }
    }
    return min(first, end)..<end
  }
}

extension LogIndex {
  /// The place of the block that `position` is in; the least of all before the first.
  func placeOfBlock(_ position: UInt64) -> UInt64 { block(block(at: position))?.place ?? 0 }

  /// The place of the block behind the one that `position` is in.
  func placeBehindBlock(_ position: UInt64) -> UInt64 { block(block(at: position) + 1)?.place ?? .max }
}
