internal import CMillrace
internal import MillraceCore
internal import MillraceLog

/// A task that waits now: see `WorkflowHandle.waits`.
public struct OpenWait: Sendable, Hashable {
  /// Its id; of a child workflow's task `TASK/ID`.
  public let task: String
  /// With the values of its expressions.
  public let wait: Wait
  /// When it began to wait, nanoseconds since the start of its run.
  public let since: UInt64
}

/// Why a question was not answered.
public enum ApprovalError: Error, Sendable, Hashable, CustomStringConvertible {
  /// No task of the workflow has this id. `nearest`: one that was probably meant; nil: none is like it.
  case unknownTask(id: String, nearest: String?)
  /// The task waits for no approval, ever.
  case noApproval(task: String)
  /// It does not wait now.
  case notWaiting(task: String, status: TaskStatus)
  /// The run is durable, and its store does not take the answer: why.
  case notRecorded(String)

  public var description: String {
    switch self {
    case .unknownTask(let id, let nearest):
      "no task is called '\(id.prefix(128))'" + (nearest.map { ": did you mean '\($0)'?" } ?? "")
    case .noApproval(let task): "task '\(task)' waits for no approval"
    case .notRecorded(let reason): "the answer could not be recorded, and does not count: \(reason)"
    case .notWaiting(let task, let status): "task '\(task)' does not wait for an approval now: it is \(status.rawValue)"
    }
  }
}

/// What somebody answered to an approval.
public struct Answer: Sendable, Hashable {
  /// False: the task fails with `EngineErrorType.rejected`, and is not retried.
  public var isApproved: Bool
  /// Who answered, as the caller says; nil: not told.
  public var by: String?
  /// Stands in the task's output, or in its error; nil: none.
  public var comment: String?

  /// By default without a name and a comment.
  public init(isApproved: Bool, by: String? = nil, comment: String? = nil) {
    self.isApproved = isApproved
    self.by = by
    self.comment = comment
  }
}

/// Signals and approvals from outside. Any thread.
extension WorkflowRun {
  /// Sends a signal. `payload`: JSON text. Throws `SignalError`.
  package func signal(_ name: String, _ payload: [UInt8]) throws(SignalError) {
    if let slash = name.firstIndex(of: "/") {
      let task = name[..<slash]
      guard let child = openChild(of: task) else { throw .noChild(task: String(task)) }
      return try child.signal(String(name[name.index(after: slash)...]), payload)
    }
    guard let mailbox else { throw .unknown(name: name, nearest: nil, known: []) }
    if let journal {
      try mailbox.check(name, payload)
      let number = monitor.locked {
        signalsRecorded += 1
        return signalsRecorded
      }
      do throws(EventStoreError) {
        try journal.record(.signalled(name: name, number: number, payload: payload))
      } catch { throw .notRecorded("\(error)") }
    }
    try mailbox.signal(name, payload, at: elapsed)
  }

  /// Tasks that wait now, the longest first; cleanup tasks among them, and those of child workflows behind them. Complexity: O(held tasks).
  package var waits: [OpenWait] {
    let open = monitor.locked { held.map { (node: $0.key, number: $0.value.number, start: $0.value.start) } }
    var waits: [OpenWait] = []
    for (node, number, start) in open.sorted(by: { ($0.start, $0.node) < ($1.start, $1.node) }) {
      guard let wait = definition.tasks[Int(node)].wait else { continue }
      let task = HeldTask(run: self, node: node, item: 0, attempt: number)
      if case .signal = wait {
        waits.append(OpenWait(task: definition.tasks[Int(node)].id, wait: wait, since: start &- (origin ?? self).started))
      } else {
        waits.append(OpenWait(task: definition.tasks[Int(node)].id, wait: wait.with(task.text), since: start &- (origin ?? self).started))
      }
    }
    for (task, child) in openChildren {
      waits += child.waits.map { OpenWait(task: "\(task)/\($0.task)", wait: $0.wait, since: $0.since) }
    }
    return waits + (cleanup?.waits ?? [])
  }

  /// Answers the question of a task that waits for an approval. Throws `ApprovalError`; then nothing has happened.
  package func answer(_ id: String, _ answer: Answer) throws(ApprovalError) {
    if let slash = id.firstIndex(of: "/"), let child = openChild(of: id[..<slash]) {
      return try child.answer(String(id[id.index(after: slash)...]), answer)
    }
    guard let node = compiled.index[id] else {
      if let cleanup, cleanup.compiled.index[id] != nil { return try cleanup.answer(id, answer) }
      var nearest = NearestName()
      throw .unknownTask(id: id, nearest: nearest.nearest(to: id, among: definition.tasks.map(\.id)))
    }
    guard case .approval = definition.tasks[Int(node)].wait else { throw .noApproval(task: id) }
    if let number = monitor.locked({ held[node]?.number }) {
      if let journal {
        do throws(EventStoreError) {
          try journal.record(.answered(id, attempt: number, answer))
        } catch { throw .notRecorded("\(error)") }
      }
      let note = { self.answers[node] = answer }
      if HeldTask(run: self, node: node, item: 0, attempt: number).conclude(answer.ending, note: note) { return }
    }
    throw .notWaiting(task: id, status: records.status(node).word)
  }
}

extension Answer {
  var ending: HeldEnding {
    if isApproved {
      let text = { (value: String?) in value.map(JSON.string) ?? .null }
      let output = JSON.object([.init("approved", true), .init("by", text(by)), .init("comment", text(comment))])
      return .output(output.utf8(), contentType: UInt32(MILLRACE_JSON))
    }
    let message = "rejected" + (by.map { " by \($0)" } ?? "") + (comment.map { ": \($0)" } ?? "")
    return .failed(type: EngineErrorType.rejected, message: message, isRetryable: false)
  }
}
