internal import CMillrace
internal import MillraceCore
package import MillraceLog

/// What is appended in one piece.
struct RunRecords {
  /// The beginning of the attempt that `event` ends, if it is not on its way yet.
  let start: RunEvent?
  let event: RunEvent

  init(_ start: RunEvent?, _ event: RunEvent) {
    self.start = start
    self.event = event
  }

  func drafts(of run: RunID) -> [EventDraft] { (start.map { [$0.draft(of: run)] } ?? []) + [event.draft(of: run)] }
}

/// What one durable run writes down.
///
/// # Threads
/// Any.
package final class RunJournal: @unchecked Sendable {
  package let runs: RunStore
  package let run: RunID
  private let stream: StreamName
  private let tenant: String
  /// nil: all is appended by name.
  let target: RunLogStream?
  /// Of a run that was gone on with: how it stood.
  package let history: RunHistory?

  package init(_ runs: RunStore, _ run: RunID, tenant: String, history: RunHistory? = nil) throws(EventStoreError) {
    self.runs = runs
    self.run = run
    self.tenant = tenant
    self.history = history
    stream = try run.stream
    target = try RunLogStream(runs, stream, tenant: tenant)
  }

  /// Appends an event. `then`: nil when it is on stable storage; on any thread, which must not be held up.
  package func append(_ event: RunEvent, then: @escaping @Sendable (EventStoreError?) -> Void) {
    append(RunRecords(nil, event), then: then)
  }

  /// As above.
  func append(_ records: RunRecords, then: @escaping @Sendable (EventStoreError?) -> Void) {
    guard let (id, large) = records.event.largePart(of: run) else { return write(records, then: then) }
    // The stream gets the large part first, which is nothing by itself.
    let draft = EventDraft(id: id, type: RunEvent.payload, contentType: "application/octet-stream", payload: large)
    runs.append([append([draft])]) { [self] result in
      switch result {
      case .failure(let error): then(error)
      case .success(let receipt): write(RunRecords(records.start, records.event.spilled(to: receipt.streams[0].firstVersion)), then: then)
      }
    }
  }

  /// As `append`, and waits for it. Throws `EventStoreError`.
  package func record(_ event: RunEvent) throws(EventStoreError) {
    let reply = Reply<Void>()
    append(event) { error in if let error { reply.give(.failure(error)) } else { reply.give(.success(())) } }
    try reply.wait().get()
  }

  /// Writes down what a task of another run gave, for a run that is to be created from it. Waits. Throws `EventStoreError`, `RecordError`.
  package func copy(_ id: String, _ task: RunHistory.Task, of origin: RunID) throws {
    guard task.status == .completed || task.status == .skipped else { return }
    if let items = task.items {
      if case .spilled(let version) = items {
        try record(.items(id, .list(try runs.payload(of: origin, version: version))))
      } else {
        try record(.items(id, items))
      }
    }
    for (item, state) in task.byItem.sorted(by: { $0.key < $1.key }) { try copy(TaskPlace(id, item: item), state, of: origin) }
    try copy(TaskPlace(id), task, of: origin)
  }

  private func copy(_ place: TaskPlace, _ state: RunHistory.Task, of origin: RunID) throws {
    switch (state.status, state.output) {
    case (.skipped, _): try record(.skipped(place))
    case (.completed, .spilled(let version, let type)?):
      let bytes = try runs.payload(of: origin, version: version)
      try record(
        .completed(
          place, attempt: state.attempts, started: state.started, ended: state.ended, output: .inline(bytes, contentType: type)))
    case (.completed, let output?):
      try record(.completed(place, attempt: state.attempts, started: state.started, ended: state.ended, output: output))
    default: break
    }
  }

  /// What stands or falls with the creation of another run.
  package func with(_ event: RunEvent) -> StreamAppend { append([event.draft(of: run)]) }

  private func write(_ records: RunRecords, then: @escaping @Sendable (EventStoreError?) -> Void) {
    runs.append([append(records.drafts(of: run))]) { result in
      if case .failure(let error) = result { then(error) } else { then(nil) }
    }
  }

  private func append(_ events: [EventDraft]) -> StreamAppend { StreamAppend(stream: stream, tenant: tenant, events: events) }
}

extension RunEvent {
  /// What of it is too large for its record, and by what id it is known.
  fileprivate func largePart(of run: RunID) -> (EventID, [UInt8])? {
    switch self {
    case .completed(let place, let attempt, _, _, .inline(let bytes, _)) where bytes.count > RecordedOutput.inlineBytes:
      (RunEvent.id(run, RunEvent.payload, (place.task, place.item ?? -1, attempt)), bytes)
    case .items(let task, .list(let list)) where list.count > RecordedOutput.inlineBytes:
      (RunEvent.id(run, RunEvent.payload, (task, -2, 0)), list)
    default: nil
    }
  }

  fileprivate func spilled(to version: UInt64) -> RunEvent {
    switch self {
    case .completed(let place, let attempt, let started, let ended, .inline(_, let type)):
      .completed(place, attempt: attempt, started: started, ended: ended, output: .spilled(version: version, contentType: type))
    case .items(let task, .list): .items(task, .spilled(version: version))
    default: self
    }
  }
}
