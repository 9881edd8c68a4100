internal import CMillrace
internal import MillraceCore
package import MillraceLog
internal import Synchronization

/// Where the durable runs of an engine are recorded, and how what is there is read.
///
/// # Threads
/// Any. `close` waits for what is under way, and is not called by a completion of the store.
package final class RunStore: @unchecked Sendable {
  package let store: any EventStore
  /// This moment, by the wall clock and by that of this boot.
  package let now: @Sendable () -> DurableTime
  let errands: Errands
  let starts: HeldStarts
  /// nil: the store is no log that takes events where they lie.
  let logTypes: RunLogTypes?
  /// Told what keeps records from being written, in words.
  private let report: @Sendable (String) -> Void
  /// Appends whose end is not told yet.
  private let underWay = Atomic<Int>(0)
  private let isClosing = Atomic<Bool>(false)
  private let monitor = Monitor()
  /// Definitions that are known to stand in the store.
  private var definitions: Set<String> = []
  private var hasReported = false

  /// Bytes of a definition that one event has.
  static let definitionPart = 1 << 20

  /// `spawn`: runs its argument on a new thread; false if there is none.
  package init(
    _ store: any EventStore, now: @escaping @Sendable () -> DurableTime, report: @escaping @Sendable (String) -> Void,
    spawn: @escaping (@escaping @Sendable () -> Void) -> Bool
  ) {
    self.store = store
    self.now = now
    self.report = report
    errands = Errands(spawn: spawn)
    starts = HeldStarts(errands)
    logTypes = RunLogTypes(store)
  }

  deinit { monitor.deallocate() }

  /// As `drain`; nothing is recorded after that.
  package func close() {
    drain()
    errands.stop()
  }

  /// Waits until all that was to be recorded is, or has failed. What the store has no room for is not tried again from here on.
  package func drain() {
    isClosing.store(true, ordering: .sequentiallyConsistent)
    monitor.locked {
      // Order: sequentially consistent. Pairs with `ended`: either it sees that we wait, or we see its count.
      while underWay.load(ordering: .sequentiallyConsistent) > 0 { monitor.wait(.ended) }
    }
  }

  /// An append is under way whose end `ended` tells.
  func begun() { underWay.add(1, ordering: .sequentiallyConsistent) }

  func ended(_ count: Int = 1) {
    let left = underWay.subtract(count, ordering: .sequentiallyConsistent).newValue
    if left == 0, isClosing.load(ordering: .sequentiallyConsistent) { monitor.locked { monitor.broadcast(.ended) } }
  }

  // MARK: Writing

  /// Appends, again and again if the store has no room or cannot be reached just now. `then`: what it gave, on any thread that must not be held up.
  func append(_ appends: [StreamAppend], then: @escaping EventCompletion<AppendReceipt>) {
    begun()
    attempt(appends, wait: RunStore.firstWait) { [self] result in
      then(result)
      ended()
    }
  }

  private static let firstWait: UInt64 = 1_000_000
  private static let longestWait: UInt64 = 1_000_000_000

  private func attempt(_ appends: [StreamAppend], wait: UInt64, then: @escaping EventCompletion<AppendReceipt>) {
    store.append(appends) { [self] result in
      guard case .failure(let error) = result, error.isPassing else { return then(result) }
      // One that is about to close does not wait for better times.
      if isClosing.load(ordering: .sequentiallyConsistent), error != .busy { return then(result) }
      if error != .busy { tell(error) }
      let isTaken = errands.run(after: wait) { [self] in attempt(appends, wait: min(2 * wait, RunStore.longestWait), then: then) }
      if !isTaken { then(result) }
    }
  }

  private func tell(_ error: EventStoreError) {
    let isFirst = monitor.locked {
      defer { hasReported = true }
      return !hasReported
    }
    if isFirst { report("durable runs wait until they can be recorded: \(error)") }
  }

  /// Creates a run, behind its definition if that is new. `others`: what stands or falls with it. `after`: its stream has what the run takes over from another
  /// one, which is nothing without this event.
  package func create(
    _ creation: RunCreation, _ definition: Definition, with others: [StreamAppend] = [], after: Bool = false,
    then: @escaping @Sendable (EventStoreError?) -> Void
  ) {
    createIfNew(creation, definition, with: others, after: after) { result in
      if case .failure(let error) = result { then(error) } else { then(nil) }
    }
  }

  /// As above, and tells whether the run was there already.
  package func createIfNew(
    _ creation: RunCreation, _ definition: Definition, with others: [StreamAppend] = [], after: Bool = false,
    told: @escaping EventCompletion<AppendReceipt>
  ) {
    let append: StreamAppend
    do throws(EventStoreError) {
      append = StreamAppend(
        stream: try creation.run.stream, expected: after ? .any : .noStream, tenant: creation.tenant,
        events: [RunEvent.created(creation).draft(of: creation.run)])
    } catch { return told(.failure(error)) }
    record(definition, creation.definition) { [self] error in
      if let error { return told(.failure(error)) }
      self.append([append] + others, then: told)
    }
  }

  /// Has `work` done after a time, by a thread that may be held up. False: the store is about to close.
  package func whenFree(after nanoseconds: UInt64 = 0, _ work: @escaping @Sendable () -> Void) -> Bool {
    errands.run(after: nanoseconds, work)
  }

  /// Sees to it that a definition stands in the store.
  package func record(_ definition: Definition, _ sha256: String, then: @escaping @Sendable (EventStoreError?) -> Void) {
    if monitor.locked({ definitions.contains(sha256) }) { return then(nil) }
    let text = definition.recorded
    let stream: StreamName
    do throws(EventStoreError) { stream = try StreamName(RunEvent.definitions + "-" + sha256) } catch { return then(error) }
    var parts = stride(from: 0, to: text.count, by: RunStore.definitionPart).map { start in
      EventDraft(
        id: RunStore.id(sha256, start), type: RunStore.partType, contentType: "application/x-ndjson",
        payload: Array(text[start..<min(start + RunStore.definitionPart, text.count)]))
    }
    let end = JSON.object([.init("workflow", .string(definition.name)), .init("parts", .integer(Int64(parts.count)))])
    parts.append(EventDraft(id: RunStore.id(sha256, -1), type: RunStore.endType, payload: end.utf8()))
    append(parts[...], to: stream, from: 0) { [self] error in
      if error == nil { monitor.locked { _ = definitions.insert(sha256) } }
      then(error)
    }
  }

  static let partType = "definition-part"
  static let endType = "definition-end"

  /// Eight parts at a time: an append has a bound.
  private func append(
    _ parts: ArraySlice<EventDraft>, to stream: StreamName, from version: UInt64, then: @escaping @Sendable (EventStoreError?) -> Void
  ) {
    if parts.isEmpty { return then(nil) }
    let some = parts.prefix(8)
    append([StreamAppend(stream: stream, expected: version == 0 ? .noStream : .exact(version - 1), events: Array(some))]) { [self] result in
      if case .failure(let error) = result { return then(error) }
      append(parts.dropFirst(some.count), to: stream, from: version + UInt64(some.count), then: then)
    }
  }

  private static func id(_ sha256: String, _ start: Int) -> EventID {
    RunEvent.id(RunID(high: 0, low: 0), sha256, ("", -1, start))
  }

  package func read(_ request: ReadRequest) throws(EventStoreError) -> EventPage {
    let reply = Reply<EventPage>()
    store.read(request) { reply.give($0) }
    return try reply.wait().get()
  }
}

/// What durable runs are read from: a store, or a log that another process writes.
package protocol RunReading {
  /// Blocks.
  func read(_ request: ReadRequest) throws(EventStoreError) -> EventPage
}

extension RunStore: RunReading {}

extension LogReader: RunReading {
  package func read(_ request: ReadRequest) throws(EventStoreError) -> EventPage { try page(request) }
}

extension RunReading {
  /// Ids of the runs that are not over, in the order in which they were created; `all`: of all runs. Complexity: O(events of all runs). Blocks. Throws
  /// `EventStoreError`.
  package func runs(all: Bool = false) throws(EventStoreError) -> [RunID] {
    var open: [StreamName: Int] = [:]
    var created = 0
    try pages(ReadRequest(.category(RunEvent.category), limit: EventLimits.eventsInPage)) { event in
      switch event.type {
      case "run-created", "run-retried":
        if open[event.stream] == nil {
          open[event.stream] = created
          created += 1
        }
      case "run-ended" where !all: open[event.stream] = nil
      default: break
      }
    }
    return open.sorted { $0.value < $1.value }.compactMap { RunID(String($0.key.description.dropFirst(RunEvent.category.utf8.count + 1))) }
  }

  /// All runs, in the order in which they were created, with how they ended; nil: they have not. Complexity: O(events of all runs). Blocks. Throws `EventStoreError`.
  package func list() throws(EventStoreError) -> [(run: RunID, workflow: String, ended: WorkflowStatus?)] {
    var places: [StreamName: Int] = [:]
    var runs: [(run: RunID, workflow: String, ended: WorkflowStatus?)] = []
    var failure: RecordError?
    try pages(ReadRequest(.category(RunEvent.category), limit: EventLimits.eventsInPage)) { event in
      guard ["run-created", "run-retried", "run-ended"].contains(event.type), failure == nil else { return }
      do throws(RecordError) {
        switch try RunEvent(event) {
        case .created(let creation):
          places[event.stream] = runs.count
          runs.append((creation.run, creation.workflow, nil))
        case .retried: if let place = places[event.stream] { runs[place].ended = nil }
        case .ended(let status, _): if let place = places[event.stream] { runs[place].ended = status }
        default: break
        }
      } catch { failure = error }
    }
    if let failure { throw .damaged(position: 0, failure.description) }
    return runs
  }

  /// The history of a run, up to `position` at most and to the first event after `time`, nanoseconds since 1970; nil: there is no such run, or it was not there
  /// yet. Complexity: O(its events). Blocks. Throws `EventStoreError`, `RecordError`.
  package func history(of run: RunID, until position: UInt64 = .max, at time: Int64 = .max) throws -> RunHistory? {
    var history: RunHistory?
    var failure: RecordError?
    var isThere = false
    // What a run that goes on from another one's history has of it stands before its creation.
    var before: [RecordedEvent] = []
    try pages(ReadRequest(.stream(try run.stream), limit: EventLimits.eventsInPage)) { event in
      isThere = isThere || event.position > position || event.time > time
      if isThere || failure != nil { return }
      do throws(RecordError) {
        if history != nil {
          try history?.apply(event)
        } else if event.type == "run-created" {
          history = try RunHistory(first: event)
          for event in before { try history?.apply(event) }
        } else {
          before.append(event)
        }
      } catch { failure = error }
    }
    if let failure { throw failure }
    return history
  }

  /// The payload of an event of a run's stream. Blocks. Throws `EventStoreError`, `RecordError`.
  package func payload(of run: RunID, version: UInt64) throws -> [UInt8] {
    let stream = try run.stream
    let page = try read(ReadRequest(.stream(stream), from: .at(version), limit: 1))
    guard let event = page.events.first, event.version == version, event.type == RunEvent.payload else {
      throw RecordError("event \(version) of stream \(stream) is no payload")
    }
    return event.payload
  }

  /// A definition that runs have recorded. Blocks. Throws `EventStoreError`, `RecordError`.
  package func definition(_ sha256: String) throws -> Definition {
    var text: [UInt8] = []
    var isWhole = false
    try pages(ReadRequest(.stream(try StreamName(RunEvent.definitions + "-" + sha256)))) { event in
      if event.type == RunStore.partType { text += event.payload }
      if event.type == RunStore.endType { isWhole = true }
    }
    if !isWhole { throw RecordError("the definition \(sha256) is not in the store") }
    return try Definition(recorded: text)
  }

  func pages(_ first: ReadRequest, _ body: (RecordedEvent) -> Void) throws(EventStoreError) {
    var request = first
    while true {
      let page = try read(request)
      for event in page.events { body(event) }
      guard !page.isLast, let next = page.next else { return }
      request.start = .at(next)
    }
  }
}

extension EventStoreError {
  /// It may go well in a moment.
  fileprivate var isPassing: Bool {
    switch self {
    case .busy, .noSpace, .unavailable: true
    default: false
    }
  }
}

/// An answer that a thread waits for.
package final class Reply<Value>: @unchecked Sendable {
  private let monitor = Monitor()
  private var result: Result<Value, EventStoreError>?

  package init() {}
  deinit { monitor.deallocate() }

  package func give(_ result: sending Result<Value, EventStoreError>) {
    monitor.locked {
      self.result = result
      monitor.broadcast(.ended)
    }
  }

  package func wait() -> Result<Value, EventStoreError> {
    monitor.locked {
      while true {
        if let result { return result }
        monitor.wait(.ended)
      }
    }
  }
}
