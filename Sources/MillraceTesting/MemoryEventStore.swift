internal import MillraceCore
public import MillraceLog

/// An event store in memory, for tests of code that uses one. It keeps the whole contract of `EventStore`, but for what its name says:
/// nothing is on stable storage, and all is gone with the object. Completions come before the call returns.
///
///     let store = MemoryEventStore()
///     store.append([StreamAppend(stream: order, events: [placed])]) { _ in }
///     #expect(store.all.map(\.type) == ["order-placed"])
///
/// Repeated appends are recognised by all events that were ever appended.
///
/// # Threads
/// Any.
public final class MemoryEventStore: EventStore, @unchecked Sendable {
  private let monitor = Monitor()
  private let wall: @Sendable () -> Int64
  // The monitor's.
  private var events: [RecordedEvent] = []
  private var streams: [StreamName: Stream] = [:]
  private var snapshots: [SnapshotKey: Snapshot] = [:]
  private var waits: [Wait] = []
  private var isClosed = false

  private struct Stream {
    /// Positions, by version.
    var positions: [Int] = []
    var versions: [EventID: Int] = [:]
    var limits = StreamLimits()
  }

  private struct SnapshotKey: Hashable {
    var stream: StreamName
    var reducer: String
  }

  /// `wall`: the times of the events, nanoseconds since 1970 in UTC. Without it they are 1, 2, 3, ...: the same in each run of a test.
  public init(wall: (@Sendable () -> Int64)? = nil) {
    let counter = Counter()
    self.wall = wall ?? { counter.next() }
  }

  deinit { monitor.deallocate() }

  public var hasDensePositions: Bool { true }

  /// Everything that was appended, whatever the limits of its streams.
  public var all: [RecordedEvent] { monitor.locked { events } }

  // MARK: Appending

  public func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>) {
    var woken: [(Wait, UInt64)] = []
    let result: Result<AppendReceipt, EventStoreError> = monitor.locked {
      do throws(EventStoreError) {
        if isClosed { throw .closed }
        if let fault = EventStoreError.fault(in: appends) { throw fault }
        if let known = try repetition(of: appends) { return .success(known) }
        for append in appends { try expect(append) }
        let time = wall()
        let receipt = AppendReceipt(streams: appends.map { write($0, time) }, wasKnown: false)
        woken = takeWaits()
        return .success(receipt)
      } catch { return .failure(error) }
    }
    completion(result)
    for (wait, end) in woken { wait.completion(.success(end)) }
  }

  /// The receipt of the first time if this append was made before.
  private func repetition(of appends: [StreamAppend]) throws(EventStoreError) -> AppendReceipt? {
    var receipts: [AppendReceipt.Stream] = []
    var partly: (stream: StreamName, known: EventID)?
    for append in appends {
      guard let stream = streams[append.stream] else { continue }
      guard let known = append.events.first(where: { stream.versions[$0.id] != nil }) else { continue }
      partly = (append.stream, known.id)
      guard let first = stream.versions[append.events[0].id], isRepeated(append, in: stream, from: first) else { break }
      receipts.append(receipt(stream, first, append.events.count))
    }
    if receipts.count == appends.count { return AppendReceipt(streams: receipts, wasKnown: true) }
    if let partly { throw .idsPartlyKnown(stream: partly.stream, known: partly.known) }
    return nil
  }

  private func isRepeated(_ append: StreamAppend, in stream: Stream, from first: Int) -> Bool {
    append.events.enumerated().allSatisfy { stream.versions[$1.id] == first + $0 }
  }

  private func expect(_ append: StreamAppend) throws(EventStoreError) {
    let count = streams[append.stream]?.positions.count ?? 0
    let isAsExpected =
      switch append.expected {
      case .any: true
      case .noStream: count == 0
      case .streamExists: count > 0
      case .exact(let version): count > 0 && UInt64(count - 1) == version
      }
    if isAsExpected { return }
    throw .wrongExpectedVersion(stream: append.stream, expected: append.expected, actual: count > 0 ? UInt64(count - 1) : nil)
  }

  private func write(_ append: StreamAppend, _ time: Int64) -> AppendReceipt.Stream {
    var stream = streams.removeValue(forKey: append.stream) ?? Stream()
    let first = stream.positions.count
    for draft in append.events {
      stream.versions[draft.id] = stream.positions.count
      events.append(
        RecordedEvent(
          position: UInt64(events.count), stream: append.stream, version: UInt64(stream.positions.count), tenant: append.tenant,
          id: draft.id, type: draft.type, typeVersion: draft.typeVersion, contentType: draft.contentType, payload: draft.payload,
          correlation: draft.correlation, causation: draft.causation, trace: draft.trace, time: time))
      stream.positions.append(events.count - 1)
    }
    streams[append.stream] = stream
    return receipt(stream, first, append.events.count)
  }

  private func receipt(_ stream: Stream, _ first: Int, _ count: Int) -> AppendReceipt.Stream {
    let last = first + count - 1
    return AppendReceipt.Stream(
      firstVersion: UInt64(first), lastVersion: UInt64(last), firstPosition: UInt64(stream.positions[first]),
      lastPosition: UInt64(stream.positions[last]))
  }

  // MARK: Reading

  public func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>) {
    completion(
      monitor.locked {
        if isClosed { return .failure(.closed) }
        if let fault = EventStoreError.fault(in: request) { return .failure(fault) }
        return .success(page(request))
      })
  }

  /// Complexity: O(events passed): those of other streams, too.
  private func page(_ request: ReadRequest) -> EventPage {
    let candidates: ClosedRange<Int>?
    let place: (Int) -> Int
    if case .stream(let name) = request.scope {
      let positions = streams[name]?.positions ?? []
      candidates = positions.isEmpty ? nil : 0...positions.count - 1
      place = { positions[$0] }
    } else {
      candidates = events.isEmpty ? nil : 0...events.count - 1
      place = { $0 }
    }
    let isForward = request.direction == .forward
    var index: Int
    switch request.start {
    case .edge: index = isForward ? 0 : candidates?.upperBound ?? -1
    case .at(let start): index = isForward ? Int(clamping: start) : min(Int(clamping: start), candidates?.upperBound ?? -1)
    }
    let now = wallForLimits
    var page = EventPage(events: [], next: nil, isLast: true, lastVersion: lastVersion(request.scope))
    var bytes = 0
    while let candidates, candidates.contains(index) {
      let event = events[place(index)]
      if belongs(event, to: request), isKept(event, now) {
        bytes += event.payload.count
        if page.events.count == request.limit || (bytes > request.bytes && !page.events.isEmpty) {
          page.isLast = false
          page.next = UInt64(index)
          return page
        }
        page.events.append(event)
      }
      index += isForward ? 1 : -1
    }
    if isForward { page.next = UInt64(max(index, 0)) }
    return page
  }

  private func lastVersion(_ scope: ReadRequest.Scope) -> UInt64? {
    guard case .stream(let name) = scope, let count = streams[name]?.positions.count, count > 0 else { return nil }
    return UInt64(count - 1)
  }

  private func belongs(_ event: RecordedEvent, to request: ReadRequest) -> Bool {
    if let tenant = request.tenant, event.tenant != tenant { return false }
    return switch request.scope {
    case .stream, .all: true
    case .category(let category): event.stream.category == category
    }
  }

  /// Asked for only where an age is limited.
  private var wallForLimits: Int64 { streams.values.contains { $0.limits.age != nil } ? wall() : 0 }

  private func isKept(_ event: RecordedEvent, _ now: Int64) -> Bool {
    guard let stream = streams[event.stream] else { return true }
    let limits = stream.limits
    if event.version < limits.firstVersion { return false }
    if let count = limits.count, UInt64(stream.positions.count) - event.version > count { return false }
    if let age = limits.age, now > event.time, UInt64(now - event.time) > age { return false }
    return true
  }

  public func end(completion: @escaping Completion<UInt64>) {
    completion(monitor.locked { isClosed ? .failure(.closed) : .success(UInt64(events.count)) })
  }

  public func position(since time: Int64, completion: @escaping Completion<UInt64>) {
    completion(
      monitor.locked { isClosed ? .failure(.closed) : .success(UInt64(events.firstIndex { $0.time >= time } ?? events.count)) })
  }

  // MARK: Waiting

  private final class Wait: EventWait, @unchecked Sendable {
    let position: UInt64
    let completion: Completion<UInt64>
    weak let store: MemoryEventStore?

    init(_ position: UInt64, _ store: MemoryEventStore, _ completion: @escaping Completion<UInt64>) {
      self.position = position
      self.store = store
      self.completion = completion
    }

    func cancel() { if store?.remove(self) == true { completion(.failure(.cancelled)) } }
  }

  @discardableResult public func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait {
    let wait = Wait(position, self, completion)
    let answer: Result<UInt64, EventStoreError>? = monitor.locked {
      if isClosed { return .failure(.closed) }
      if position < UInt64(events.count) { return .success(UInt64(events.count)) }
      waits.append(wait)
      return nil
    }
    if let answer { completion(answer) }
    return wait
  }

  private func remove(_ wait: Wait) -> Bool {
    monitor.locked {
      guard let index = waits.firstIndex(where: { $0 === wait }) else { return false }
      waits.remove(at: index)
      return true
    }
  }

  private func takeWaits() -> [(Wait, UInt64)] {
    let end = UInt64(events.count)
    defer { waits.removeAll { $0.position < end } }
    return waits.filter { $0.position < end }.map { ($0, end) }
  }

  // MARK: Limits and snapshots

  public func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>) {
    completion(
      monitor.locked {
        if isClosed { return .failure(.closed) }
        streams[stream, default: Stream()].limits = limits
        return .success(())
      })
  }

  public func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>) {
    completion(
      monitor.locked {
        do throws(EventStoreError) {
          if isClosed { throw .closed }
          if let fault = EventStoreError.fault(in: snapshot) { throw fault }
          let last = lastVersion(.stream(snapshot.stream))
          guard let last, snapshot.version <= last else {
            throw .snapshotAhead(stream: snapshot.stream, version: snapshot.version, actual: last)
          }
        } catch { return .failure(error) }
        let key = SnapshotKey(stream: snapshot.stream, reducer: snapshot.reducer)
        if let kept = snapshots[key], kept.version > snapshot.version { return .success(()) }
        snapshots[key] = snapshot
        return .success(())
      })
  }

  public func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>) {
    completion(
      monitor.locked {
        if isClosed { return .failure(.closed) }
        if let fault = EventStoreError.fault(inReducer: reducer) { return .failure(fault) }
        return .success(snapshots[SnapshotKey(stream: stream, reducer: reducer)])
      })
  }

  /// Loses all snapshots, as a store may at any time.
  public func loseSnapshots() { monitor.locked { snapshots = [:] } }

  public func close(completion: @escaping Completion<Void>) {
    let left: [Wait]? = monitor.locked {
      if isClosed { return nil }
      isClosed = true
      defer { waits = [] }
      return waits
    }
    for wait in left ?? [] { wait.completion(.failure(.closed)) }
    completion(left == nil ? .failure(.closed) : .success(()))
  }

  /// Under the monitor of the store.
  private final class Counter: @unchecked Sendable {
    private var last: Int64 = 0

    func next() -> Int64 {
      last += 1
      return last
    }
  }
}
