internal import MillraceCore
internal import MillraceLog
internal import MillraceWorkflow

/// What somebody does with one durable run. As `resume` these read what is recorded, and wait for that: not from a handler, nor from a Swift task.
extension Engine {
  /// Goes on with one run, by its id. Throws `EngineError.unknownRun`, `ResumptionError`, `EventStoreError`, or what `start` throws.
  public func resume(_ run: String) throws -> WorkflowHandle {
    let (durable, history) = try history(run)
    if let ended = history.ended { throw RunVerbError.over(run: run, status: ended) }
    return try goOn(history, durable)
  }

  /// Has the tasks of a run that did not end well done again, and all that did not run because of them, with the same idempotency keys and a fresh allowance of
  /// attempts; its cleanup runs again. A run in quarantine goes on. Not for a run that this engine runs. `by`: who wants it, for the record. Throws as `resume`.
  public func retry(_ run: String, by who: String? = nil) throws -> WorkflowHandle {
    let (durable, history) = try history(run)
    if history.creation.isSaga { throw RunVerbError.saga(run: run) }
    if history.ended == .completed { throw RunVerbError.over(run: run, status: .completed) }
    if host.activeRuns.contains(where: { $0.id == history.creation.run }) { throw RunVerbError.active(run: run) }
    let definition = try durable.runs.definition(history.creation.definition)
    let cleanup = Set(definition.cleanup.map(\.id))
    let again = history.tasks.filter { id, task in
      task.isOver && (cleanup.contains(id) || task.status != .completed && task.status != .skipped)
    }
    let journal = try RunJournal(durable.runs, history.creation.run, tenant: history.creation.tenant)
    try journal.record(.retried(by: who, tasks: again.keys.sorted()))
    guard let after = try durable.runs.history(of: history.creation.run) else { throw ResumptionError.gone }
    return try goOn(after, durable)
  }

  /// Starts a run with a new id that takes over what the tasks of another one gave, but for `tasks` and all that depend on them, which are done anew: with keys of
  /// its own. `tasks` empty: what has not completed is. The other run stays as it is. Throws as `resume`.
  public func fork(_ run: String, from tasks: [String] = [], by who: String? = nil) throws -> WorkflowHandle {
    let (durable, history) = try history(run)
    if history.creation.isSaga { throw RunVerbError.saga(run: run) }
    let definition = try durable.runs.definition(history.creation.definition)
    for task in tasks where !definition.tasks.contains(where: { $0.id == task }) { throw RunVerbError.unknownTask(run: run, task: task) }
    var anew = Set(tasks)
    for task in definition.cleanup { anew.insert(task.id) }
    var grows = true
    while grows {
      grows = false
      for task in definition.tasks where !anew.contains(task.id) && task.dependencies.contains(where: anew.contains) {
        anew.insert(task.id)
        grows = true
      }
    }
    let (id, number) = state.nextRun(wall: wallClock())
    var seeds = SeededRandom(seed: seed &+ number)
    var creation = history.creation
    creation.run = id
    creation.wall = wallClock()
    creation.seed = seeds.next()
    creation.boot = durable.runs.now().bootID
    creation.parent = nil
    creation.origin = history.creation.run
    let journal = try RunJournal(durable.runs, id, tenant: creation.tenant)
    for (task, state) in history.tasks.sorted(by: { $0.key < $1.key }) where !anew.contains(task) {
      try journal.copy(task, state, of: history.creation.run)
    }
    let reply = Reply<Void>()
    durable.runs.create(creation, definition, after: true) { error in reply.give(error.map { .failure($0) } ?? .success(())) }
    try reply.wait().get()
    guard let made = try durable.runs.history(of: id) else { throw ResumptionError.gone }
    return try goOn(made, durable)
  }

  private func history(_ run: String) throws -> (DurableRuns, RunHistory) {
    guard let durable else { throw EngineError.noStore(workflow: nil) }
    guard let id = RunID(run), let history = try durable.runs.history(of: id) else { throw RunVerbError.unknown(run: run) }
    return (durable, history)
  }

  private func goOn(_ history: RunHistory, _ durable: DurableRuns) throws -> WorkflowHandle {
    if host.activeRuns.contains(where: { $0.id == history.creation.run }) {
      throw RunVerbError.active(run: history.creation.run.description)
    }
    let (run, handle) = try take(history, durable)
    do { try run.start() } catch {
      children.forget(run.id)
      // Nothing of it ran: this is no crash.
      do { try run.journal?.record(.suspended) } catch { host.report("run \(run.id): that it was not begun is not recorded: \(error)") }
      throw error
    }
    return handle
  }
}

/// Why something cannot be done with a durable run.
public enum RunVerbError: Error, Sendable, Hashable, CustomStringConvertible {
  /// No such run is recorded.
  case unknown(run: String)
  /// It has ended so.
  case over(run: String, status: WorkflowStatus)
  /// It goes on in this engine.
  case active(run: String)
  /// It is a saga: what was done of it is undone, or goes forward, by its own rules.
  case saga(run: String)
  /// Its workflow has no such task.
  case unknownTask(run: String, task: String)

  public var description: String {
    switch self {
    case .unknown(let run): "no run \(run.prefix(80)) is recorded here: `millrace run list --all` shows those that are"
    case .over(let run, let status): "run \(run) is over: \(status.rawValue)"
    case .active(let run): "run \(run) goes on: cancel it first, or wait for its end"
    case .saga(let run): "run \(run) is a saga: resume, skip or force what is parked of it"
    case .unknownTask(let run, let task): "the workflow of run \(run) has no task '\(task.prefix(128))'"
    }
  }
}

/// A durable run as the store tells it.
public struct ListedRun: Sendable, Hashable {
  /// UUIDv7.
  public var id: String
  /// The name of its workflow.
  public var workflow: String
  /// How it ended; nil: it has not.
  public var ended: WorkflowStatus?
}

extension Engine {
  /// All durable runs that the engine's store knows, in the order in which they were created. Complexity: O(events of all runs). Throws `EngineError`, `EventStoreError`.
  public func recordedRuns() throws -> [ListedRun] {
    guard let durable else { throw EngineError.noStore(workflow: nil) }
    return try durable.runs.list().map { ListedRun(id: $0.run.description, workflow: $0.workflow, ended: $0.ended) }
  }
}
