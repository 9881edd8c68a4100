internal import CMillrace
internal import MillraceCore
internal import MillraceLog
package import MillraceWorkflow

/// Records in runs that no process has what somebody wishes of them. It takes effect when they go on.
///
/// # Threads
/// One.
package final class RunWishes {
  private let durable: DurableRuns

  /// Opens a data directory, as an engine would. Throws `EngineError`: also if another process has it.
  package init(_ directory: String) throws(EngineError) {
    guard let durable = try DurableRuns(nil, directory, wall: { millrace_wall() }, report: { _ in }) else { throw .noStore(workflow: nil) }
    self.durable = durable
  }

  /// Once.
  package func close() { durable.close() }

  /// The run is cancelled when it goes on. Throws `WishError`, `EventStoreError`, `RecordError`.
  package func cancel(_ run: RunID, by who: String?, because reason: String?) throws {
    let history = try open(run)
    if history.creation.isSaga, history.quarantine != nil { throw WishError.quarantined(run.description) }
    try journal(history).record(.cancelAsked(by: who, reason: reason))
  }

  /// The run has the signal when it goes on. `path`: its name, behind the tasks whose child workflow it is for: `TASK/NAME`. Throws `SignalError`, `WishError`, `EventStoreError`,
  /// `RecordError`.
  package func signal(_ run: RunID, _ path: String, _ payload: JSON) throws {
    let history = try open(run)
    if let slash = path.firstIndex(of: "/") {
      let task = String(path[..<slash])
      guard let child = history.task(named: task)?.children.last?.run else { throw SignalError.noChild(task: task) }
      return try signal(child, String(path[path.index(after: slash)...]), payload)
    }
    let names = try durable.runs.definition(history.creation.definition).signalNames
    guard names.contains(path) else {
      var nearest = NearestName()
      let known = Set(names).sorted()
      throw SignalError.unknown(name: path, nearest: nearest.nearest(to: path, among: known), known: Array(known.prefix(8)))
    }
    let number = (history.signals.map(\.number).max() ?? 0) + 1
    try journal(history).record(.signalled(name: path, number: number, payload: payload.utf8()))
  }

  /// What an operator says of a saga that is parked counts when it goes on. `fact`: of its plan. Throws `SagaRefusal`, `WishError`, `EventStoreError`, `RecordError`.
  package func saga(_ run: RunID, _ fact: (SagaPlan) throws -> SagaFact) throws {
    let history = try open(run)
    guard history.creation.isSaga else { throw WishError.noSaga(run.description) }
    let plan = try SagaPlan(durable.runs.definition(history.creation.definition))
    let fact = try fact(plan)
    var machine = try history.saga(in: plan)
    try machine.apply(fact)
    try journal(history).record(RunEvent(wish: fact, in: plan))
  }

  private func open(_ run: RunID) throws -> RunHistory {
    guard let history = try durable.runs.history(of: run) else { throw WishError.unknown(run.description) }
    if let ended = history.ended { throw WishError.ended(ended) }
    return history
  }

  private func journal(_ history: RunHistory) throws(EventStoreError) -> RunJournal {
    try RunJournal(durable.runs, history.creation.run, tenant: history.creation.tenant)
  }
}

/// Why a wish is not recorded.
package enum WishError: Error, CustomStringConvertible {
  case unknown(String)
  case ended(WorkflowStatus)
  /// It is a workflow.
  case noSaga(String)
  /// A saga: what was done would be undone, but nothing of it goes on.
  case quarantined(String)

  package var description: String {
    switch self {
    case .unknown(let run): "there is no run \(run)"
    case .noSaga(let run): "run \(run) is no saga"
    case .ended(let status): "it has ended: \(status.rawValue)"
    case .quarantined(let run): "it is in quarantine: `millrace run retry \(run)` first, then cancel it"
    }
  }
}

extension DurableTime {
  /// This moment.
  package static func now() -> DurableTime { DurableTime(wall: millrace_wall(), boot: millrace_boottime(), bootID: DurableRuns.bootID()) }
}
