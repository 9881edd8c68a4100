internal import MillraceCore
internal import MillraceLog

/// The stream of a run in a log that takes events where they lie.
struct RunLogStream: Sendable {
  let log: EventLog
  let stream: StreamNumber
  let tenant: TenantNumber
  let types: RunLogTypes

  /// nil: the store is none, or seals what it is given.
  init?(_ runs: RunStore, _ stream: StreamName, tenant: String) throws(EventStoreError) {
    guard let log = runs.store as? EventLog, let types = runs.logTypes else { return nil }
    self.log = log
    self.stream = log.number(of: stream)
    self.tenant = try log.number(ofTenant: tenant)
    self.types = types
  }
}

/// The numbers by which a log knows the events that every task has.
struct RunLogTypes: Sendable {
  private let started: EventTypeNumber
  private let completed: EventTypeNumber
  private let ended: EventTypeNumber

  /// nil: the store is no log that takes events where they lie.
  init?(_ store: any EventStore) {
    guard let log = store as? EventLog, !log.seals else { return nil }
    do throws(EventStoreError) {
      started = try log.number(ofType: "task-started")
      completed = try log.number(ofType: "task-completed")
      ended = try log.number(ofType: "run-ended")
    } catch { return nil }  // Whoever appends by name is told why.
  }

  /// nil: it is appended by name, or in parts.
  func number(of event: RunEvent) -> EventTypeNumber? {
    switch event {
    case .started: started
    case .completed(_, _, _, _, .inline(let bytes, _)): bytes.count <= RecordedOutput.inlineBytes ? completed : nil
    case .ended: ended
    default: nil
    }
  }
}

/// Events of a run on their way into a log: the request and all that it points to, in one piece of memory. What the log does not take at once is appended by name, which knows
/// what to do then.
///
/// # Threads
/// Made by the thread that appends, ended by the one that commits.
@safe final class RunAppend: @unchecked Sendable {
  private let journal: RunJournal
  private let run: WorkflowRun
  private let records: RunRecords
  /// Whose attempt has ended, and which is held until this is on stable storage; nil: nobody waits.
  private let node: UInt32?
  private let memory: UnsafeMutableRawPointer
  private var request: UnsafeMutablePointer<AppendRequest> { unsafe memory.assumingMemoryBound(to: AppendRequest.self) }

  // Each has words in it, so that its stride keeps the next one aligned. Two events at most.
  private static let partAt = MemoryLayout<AppendRequest>.stride
  private static let eventsAt = partAt + MemoryLayout<RawStreamAppend>.stride
  private static let contextAt = eventsAt + 2 * MemoryLayout<RawEvent>.stride
  private static let payloadsAt = contextAt + MemoryLayout<EventContext>.stride

  /// False: they are to be appended by name.
  static func submit(_ records: RunRecords, _ journal: RunJournal, _ run: WorkflowRun, _ node: UInt32?) -> Bool {
    guard let target = journal.target, let type = target.types.number(of: records.event) else { return false }
    var startType: EventTypeNumber?
    if let start = records.start {
      startType = target.types.number(of: start)
      if startType == nil { return false }
    }
    let append = RunAppend(records, journal, run, node, target, startType, type)
    journal.runs.begun()
    unsafe append.request.pointee.context = Unmanaged.passRetained(append).toOpaque()
    do throws(EventLog.Refusal) {
      // unsafe: the request lives until `told` lets go of what is retained here.
      try unsafe target.log.append(append.request)
      return true
    } catch {
      unsafe Unmanaged<RunAppend>.fromOpaque(append.request.pointee.context!).release()
      run.appendByName(records, node)
      journal.runs.ended(1)
      return true
    }
  }

  private init(
    _ records: RunRecords, _ journal: RunJournal, _ run: WorkflowRun, _ node: UInt32?, _ target: RunLogStream,
    _ startType: EventTypeNumber?, _ type: EventTypeNumber
  ) {
    self.journal = journal
    self.run = run
    self.records = records
    self.node = node
    let start = records.start?.draft(of: journal.run)
    let end = records.event.draft(of: journal.run)
    let startBytes = start?.payload.count ?? 0
    // unsafe: ours until `deinit`; what lies in it is trivial.
    unsafe memory = .allocate(byteCount: Self.payloadsAt + startBytes + end.payload.count, alignment: 16)
    let context = unsafe (memory + Self.contextAt).assumingMemoryBound(to: EventContext.self)
    unsafe context.initialize(to: EventContext(correlation: end.correlation))
    let events = unsafe (memory + Self.eventsAt).assumingMemoryBound(to: RawEvent.self)
    let payloads = unsafe memory + Self.payloadsAt
    var count = 0
    if let start, let startType {
      unsafe events.initialize(to: RawEvent(start, startType, at: payloads, context))
      count = 1
    }
    unsafe (events + count).initialize(to: RawEvent(end, type, at: payloads + startBytes, context))
    let part = unsafe (memory + Self.partAt).assumingMemoryBound(to: RawStreamAppend.self)
    unsafe part.initialize(to: RawStreamAppend(stream: target.stream, tenant: target.tenant, events: events, count: count + 1))
    unsafe request.initialize(to: AppendRequest(part, sink: Self.sink))
  }

  deinit { unsafe memory.deallocate() }

  // unsafe: a constant of the process.
  private nonisolated(unsafe) static let sink: UnsafePointer<AppendSink> = {
    let sink = UnsafeMutablePointer<AppendSink>.allocate(capacity: 1)
    unsafe sink.initialize(
      to: AppendSink(context: nil) { _, requests, count in
        let requests = unsafe AppendSink.requests(requests, count)
        var ended = EndedAppends()
        for index in 0..<count {
          // unsafe: retained by `submit`.
          unsafe Unmanaged<RunAppend>.fromOpaque(requests[index].pointee.context!).takeRetainedValue().told(&ended)
        }
        ended.flush()
      })
    return unsafe UnsafePointer(sink)
  }()

  private func told(_ ended: inout EndedAppends) {
    if unsafe request.pointee.outcome == .appended {
      ended.add(journal.runs, run.host.scheduler, node.map { HeldNode(run.coreRun, $0) })
    } else {
      run.appendByName(records, node)
      ended.add(journal.runs, run.host.scheduler, nil)
    }
  }
}

extension RawEvent {
  /// Puts the payload of a draft to where there is room for it.
  fileprivate init(
    _ draft: EventDraft, _ type: EventTypeNumber, at payload: UnsafeMutableRawPointer, _ context: UnsafeMutablePointer<EventContext>
  ) {
    let bytes = draft.payload.count
    unsafe draft.payload.withUnsafeBytes { if bytes > 0 { unsafe payload.copyMemory(from: $0.baseAddress!, byteCount: bytes) } }
    unsafe self.init(id: draft.id, type: type, typeVersion: draft.typeVersion, payload: payload, bytes: bytes, context: context)
  }
}

/// What one commit has ended: the workers get many nodes at once, but not so many that they wait for them.
private struct EndedAppends {
  private static let most = 64

  private var runs: RunStore?
  private var scheduler: Scheduler?
  private var nodes: [HeldNode] = []
  private var count = 0

  mutating func add(_ runs: RunStore, _ scheduler: Scheduler, _ node: HeldNode?) {
    if self.runs !== runs || self.scheduler !== scheduler || nodes.count == EndedAppends.most { flush() }
    self.runs = runs
    self.scheduler = scheduler
    count += 1
    if let node { nodes.append(node) }
  }

  mutating func flush() {
    guard let runs, let scheduler else { return }
    scheduler.settle(nodes.span, WorkflowRun.kept)
    nodes.removeAll(keepingCapacity: true)
    runs.ended(count)
    count = 0
  }
}
