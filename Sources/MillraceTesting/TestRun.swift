public import Millrace

/// A run of a test engine, and its history: everything that happened, in virtual time.
///
/// One thread at a time, but for `cancel`.
public final class TestRun {
  private let run: WorkflowRun
  private let engine: TestEngine

  init(_ run: WorkflowRun, engine: TestEngine) {
    self.run = run
    self.engine = engine
  }

  /// Drawn by the seed: the same seed, the same ids.
  public var id: String { run.id.description }
  /// RUNNING, or how it ended.
  public var status: WorkflowStatus { run.status }
  /// Virtual time from the start to the end, or to now.
  public var elapsed: Duration { .nanoseconds(run.elapsed) }
  /// What a run that is CREATED waits for; nil: it does not wait.
  public var waitsFor: RunWait? { run.waitsFor }
  /// Why it was cancelled, or did not begin, if that was not its caller's wish.
  public var reason: String? { run.reason }
  /// Counters of this moment, in virtual time.
  public func progress() -> Progress { run.progress() }

  /// Lets time pass until the run has ended. Throws `TestEngineError`.
  @discardableResult public func finish() throws(TestEngineError) -> WorkflowStatus {
    try engine.finish(run)
    return run.status
  }

  /// Asks the run to stop, as `WorkflowHandle.cancel`.
  public func cancel() { run.cancel() }

  // MARK: What it waits for

  /// Tasks that wait now, the longest first.
  public var waits: [OpenWait] { run.waits }

  /// Sends a signal, as `WorkflowHandle.signal`. At a virtual time: `engine.after`. Throws `SignalError`.
  public func signal(_ name: String, _ payload: JSON = .null) throws(SignalError) { try run.signal(name, payload.utf8()) }

  /// Says yes to a task that waits for an approval. Throws `ApprovalError`.
  public func approve(task: String, by: String? = nil, comment: String? = nil) throws(ApprovalError) {
    try run.answer(task, Answer(isApproved: true, by: by, comment: comment))
  }

  /// Says no. Throws `ApprovalError`.
  public func reject(task: String, by: String? = nil, comment: String? = nil) throws(ApprovalError) {
    try run.answer(task, Answer(isApproved: false, by: by, comment: comment))
  }

  // MARK: What it made

  /// The output of a completed task; nil: no such task, or it is not completed.
  public func payload(of task: String) -> Payload? { run.payload(of: task) }

  /// The output of a completed task as a type of the program's own. Throws `OutputError`.
  public func output<Value: Decodable>(of task: String, as type: Value.Type) throws(OutputError) -> Value {
    try run.decodedOutput(of: task)
  }

  // MARK: History

  /// Everything that is known of the run. Complexity: O(tasks + attempts).
  public func record() -> RunRecord { run.record(slots: 0, threads: 0) }

  /// What became of a task; nil: there is no such task.
  public func task(_ id: String) -> TaskRecord? { record().tasks.first { $0.id == id } }

  /// The attempts of a task, in order, with their times, results and errors; empty: it was never begun, or does not exist.
  public func attempts(of task: String) -> [AttemptRecord] { self.task(task)?.attempts ?? [] }

  /// When the attempts of a task began, since the start of the run.
  public func startTimes(of task: String) -> [Duration] { attempts(of: task).map { .nanoseconds($0.start) } }

  /// Ids of the tasks in the order in which their first attempts began; those of one time in the order of the definition.
  public var startOrder: [String] {
    let begun = record().tasks.filter { !$0.attempts.isEmpty }.enumerated()
    return begun.sorted { ($0.element.attempts[0].start, $0.offset) < ($1.element.attempts[0].start, $1.offset) }.map(\.element.id)
  }
}
