internal import CMillrace
internal import MillraceCore
internal import MillraceLog
internal import MillracePlugins
internal import MillraceWorkflow

/// What `Engine.resume` found.
public struct ResumedRuns: Sendable {
  /// Runs that go on, in the order in which they were created.
  public var handles: [WorkflowHandle] = []
  /// Runs that do not, and why. Nothing of them is lost: once the reason is gone, `resume` goes on with them.
  public var problems: [(run: String, reason: String)] = []

  package init() {}
}

extension Engine {
  /// Goes on with the durable runs that are recorded in the engine's store and are not over: completed tasks are not run again, tasks that were under way are, with
  /// the same idempotency keys. Kept builds of plugins that no run needs any more are removed: all runs that had them have completed. Once, before runs are started; handlers and deployed workflows are there by then.
  ///
  /// Reads what is recorded, and waits for that: not from a handler, nor from a Swift task. Complexity: O(events of all runs in the store). Throws `EngineError` or `EventStoreError`.
  @discardableResult public func resume() throws -> ResumedRuns {
    guard let durable else { throw EngineError.noStore(workflow: nil) }
    var resumed = ResumedRuns()
    var ready: [(run: WorkflowRun, handle: WorkflowHandle)] = []
    // Parents by the child that does not go on: without it they would think that it has failed.
    var stuck: [RunID: RunID] = [:]
    for id in try durable.runs.runs() {
      var parent: RunID?
      do {
        guard let history = try durable.runs.history(of: id), history.ended == nil else { continue }
        parent = history.creation.parent?.run
        ready.append(try take(history, durable))
      } catch {
        resumed.problems.append((id.description, "\(error)"))
        // One in quarantine has failed, for its parent.
        if case ResumptionError.quarantined = error { continue }
        if let parent { stuck[parent] = id }
      }
    }
    // A parent that begins finds its children.
    for (run, handle) in ready.sorted(by: { $0.run.depth > $1.run.depth }) {
      do {
        // One that is to be cancelled does not need it.
        if let child = stuck[run.id], run.journal?.history?.cancel == nil { throw ResumptionError.stuckChild(run: child.description) }
        try run.start()
        resumed.handles.append(handle)
      } catch {
        children.forget(run.id)
        if let parent = run.journal?.history?.creation.parent?.run { stuck[parent] = run.id }
        resumed.problems.append((run.id.description, "\(error)"))
        // Nothing of it ran: this is no crash.
        do { try run.journal?.record(.suspended) } catch { resumed.problems.append((run.id.description, "\(error)")) }
      }
    }
    resumed.handles.sort { $0.id < $1.id }
    if let shelf = durable.builds {
      let needed = try durable.runs.pins().filter(\.needsBuilds).flatMap(\.builds).compactMap(\.value.string)
      for problem in shelf.sweep(needed: Set(needed)) { host.report("a build that no run needs could not be removed: \(problem)") }
    }
    return resumed
  }

  /// A run that is about to go on. Throws why it does not.
  func take(_ history: RunHistory, _ durable: DurableRuns) throws -> (WorkflowRun, WorkflowHandle) {
    let creation = history.creation
    if let suspects = history.quarantine { throw ResumptionError.quarantined(suspects: suspects) }
    let tenant = try tenants.find(creation.tenant)
    let journal = try RunJournal(durable.runs, creation.run, tenant: creation.tenant)
    let recorded = try durable.runs.definition(creation.definition)
    let upgrade = upgrade(of: recorded, creation)
    let definition = recorded.kind == .saga ? recorded : (upgrade?.definition ?? recorded).freed(by: history)
    let parameters = Dictionary(creation.parameters.map { ($0.name, $0.value) }) { first, _ in first }
      .filter { name, _ in definition.parameters.contains { $0.name == name } }
    let view = try state.view()
    let build = try upgrade == nil ? builds(of: creation, view) : ResumedBuilds(view)
    // The run has pinned them by then.
    defer { for held in build.held { held.pins.unpin() } }
    let workflow = try compile(definition, parameters: parameters, build.view).first
    if let upgrade { try record(upgrade, durable, journal, build.view.plugins) }
    let interrupted = try history.running(workflow.compiled)
    if history.crashesWithoutProgress + (history.isSuspended || interrupted.isEmpty ? 0 : 1) >= RunHistory.mostCrashes {
      try journal.record(.quarantined(suspects: interrupted))
      throw ResumptionError.quarantined(suspects: interrupted)
    }
    try journal.record(.resumed(number: history.resumptions + 1, interrupted: interrupted, boot: durable.runs.now().bootID))
    guard let now = try durable.runs.history(of: creation.run) else { throw ResumptionError.gone }
    let taken = try RunJournal(durable.runs, creation.run, tenant: creation.tenant, history: now)
    let link = creation.parent == nil ? nil : children.expect(creation.run)
    let run = try makeRun(
      workflow.compiled, creation.run, wall: creation.wall, seed: creation.seed, tenant: tenant, trace: creation.trace,
      depth: creation.depth,
      journal: taken
    ) { link?.ended($0) }
    link?.run = run
    do { try run.restore() } catch {
      children.forget(creation.run)
      throw error
    }
    let handle = WorkflowHandle(run, of: DefinitionSource(upgrade?.definition ?? recorded), engine: self, plugins: build.view.plugins)
    if let schedule = creation.schedule { book.adopt(handle, schedule) }
    return (run, handle)
  }

  /// The version that a run goes over to between two of its tasks; nil: it stays with its own.
  private func upgrade(of definition: Definition, _ creation: RunCreation) -> (definition: Definition, sha256: String)? {
    guard definition.kind == .workflow, definition.versionPolicy == .upgradeAtStepBoundary, let newest = registry.newest[definition.name],
      let sha256 = newest.sha256, sha256 != creation.definition, (newest.version ?? .max) > (definition.version ?? 0)
    else { return nil }
    return (newest, sha256)
  }

  /// From here on the run is pinned to that version, and to the builds of plugins that the engine has for it.
  private func record(
    _ upgrade: (definition: Definition, sha256: String), _ durable: DurableRuns, _ journal: RunJournal, _ plugins: [LoadedPlugin]
  ) throws {
    let builds = try keepBuilds(upgrade.definition.handlerNames, durable, plugins)
    let reply = Reply<Void>()
    durable.runs.record(upgrade.definition, upgrade.sha256) { error in reply.give(error.map { .failure($0) } ?? .success(())) }
    try reply.wait().get()
    try journal.record(.upgraded(definition: upgrade.sha256, version: upgrade.definition.version, builds: builds))
  }

  /// Keeps the builds of those plugins that have these handlers. Name to SHA-256. Throws `EngineError`.
  private func keepBuilds(_ handlers: Set<String>, _ durable: DurableRuns, _ plugins: [LoadedPlugin]) throws(EngineError) -> [JSON.Member] {
    var builds: [JSON.Member] = []
    for plugin in plugins where plugin.handlers.contains(where: { handlers.contains($0.qualifiedName) }) {
      try durable.builds?.keep(plugin)
      builds.append(.init(plugin.name, .string(plugin.sha256)))
    }
    return builds
  }

  // MARK: New runs

  /// What every durable run of a workflow records of it; nil: its runs are not durable. Keeps the builds of its plugins. Throws `EngineError`.
  func durability(
    _ compiled: CompiledWorkflow, _ source: DefinitionSource, _ plugins: [LoadedPlugin]
  ) throws(EngineError) -> DurableWorkflow? {
    let definition = compiled.definition
    if definition.durability == .none { return nil }
    guard let durable else { throw .noStore(workflow: definition.name) }
    guard let sha256 = source.sha256 else { throw .data("", "libcrypto offers no SHA-256") }
    let builds = try keepBuilds(definition.handlerNames, durable, plugins)
    return DurableWorkflow(
      runs: durable.runs, definition: source.definition, sha256: sha256,
      parameters: definition.parameters.compactMap { parameter in parameter.fallback.map { JSON.Member(parameter.name, $0) } },
      builds: builds)
  }

  /// Puts a run on the core; of a durable one behind its creation. Blocks until that is on stable storage. Throws as `start`.
  func begin(
    _ run: WorkflowRun, _ durable: DurableWorkflow?, parent: (run: WorkflowRun, place: RunCreation.Parent)? = nil
  ) throws {
    try record(run, durable, parent: parent)
    guard let journal = run.journal else { return try run.start() }
    // The attempt that a child is of goes on in the next process, and so does the child.
    try start(run, journal, isLeft: parent != nil)
  }

  /// Starts a run whose creation is recorded; if it is refused that is recorded too. `isLeft`: but not that the engine stops, for the next process starts it.
  func start(_ run: WorkflowRun, _ journal: RunJournal, isLeft: Bool = false) throws {
    do { try run.start() } catch {
      if !isLeft || error as? SubmitError != .stopped {
        try journal.record(.ended(.cancelled, reason: "\(WorkflowRun.notBegun)\(error)"))
      }
      throw error
    }
  }

  /// The creation of a run, if it is durable. Blocks until that is on stable storage. `fire`: of the schedule that starts it. Throws `EventStoreError`.
  func record(
    _ run: WorkflowRun, _ durable: DurableWorkflow?, parent: (run: WorkflowRun, place: RunCreation.Parent)? = nil,
    fire: ScheduledFire? = nil
  ) throws {
    guard let durable else { return }
    let reply = Reply<Void>()
    durable.create(run, parent, fire) { error in reply.give(error.map { .failure($0) } ?? .success(())) }
    try reply.wait().get()
  }
}

/// What the durable runs of a workflow have in common.
struct DurableWorkflow: Sendable {
  let runs: RunStore
  /// As its author wrote it.
  let definition: Definition
  let sha256: String
  let parameters: [JSON.Member]
  let builds: [JSON.Member]

  /// Records the creation of a run. `parent`: the attempt that started it, which is recorded with it.
  func create(
    _ run: WorkflowRun, _ parent: (run: WorkflowRun, place: RunCreation.Parent)?, _ fire: ScheduledFire? = nil,
    then: @escaping @Sendable (EventStoreError?) -> Void
  ) {
    createIfNew(run, parent, fire) { if case .failure(let error) = $0 { then(error) } else { then(nil) } }
  }

  /// As above, and tells whether the run was there already.
  func createIfNew(
    _ run: WorkflowRun, _ parent: (run: WorkflowRun, place: RunCreation.Parent)?, _ fire: ScheduledFire? = nil,
    told: @escaping EventCompletion<AppendReceipt>
  ) {
    var creation = RunCreation(
      run: run.id, workflow: definition.name, version: definition.version, definition: sha256, parameters: parameters, builds: builds,
      tenant: run.tenant.name, wall: run.startedWall, seed: run.seed, boot: runs.now().bootID, depth: run.depth, trace: run.trace,
      parent: parent?.place)
    creation.isSaga = definition.kind == .saga
    var others: [StreamAppend] = []
    if let parent, let journal = parent.run.journal {
      others.append(journal.with(.childStarted(TaskPlace(named: parent.place.task), attempt: parent.place.attempt, run: run.id)))
    }
    if let fire {
      creation.schedule = definition.name
      do throws(EventStoreError) { others.append(try runs.fire(definition.name, fire, run: run.id)) } catch { return told(.failure(error)) }
    }
    runs.createIfNew(creation, definition, with: others, told: told)
  }
}

/// Why a durable run does not go on.
public enum ResumptionError: Error, Sendable, Hashable, CustomStringConvertible {
  /// It was taken over again and again, and its processes ended before any of its tasks did. `suspects`: what ran then.
  case quarantined(suspects: [String])
  /// The run is pinned to a build of a plugin that is not there.
  case missingBuild(plugin: String, sha256: String, reason: String)
  /// A run that one of its tasks has started could not begin here: `resume` says why.
  case stuckChild(run: String)
  /// Its stream has gone meanwhile.
  case gone

  public var description: String {
    switch self {
    case .quarantined(let suspects):
      "it is in quarantine: its processes ended \(RunHistory.mostCrashes) times before a task did; what ran then: \(suspects.isEmpty ? "nothing that is known" : suspects.joined(separator: ", ")). Look at these handlers, then `millrace run retry`"
    case .missingBuild(let plugin, let sha256, let reason):
      "it is pinned to the build \(sha256) of the plugin \(plugin), which cannot be loaded: \(reason). Put that file back, or start the run anew"
    case .stuckChild(let run): "its task's run \(run) could not begin here: mend what is told of it, and resume both"
    case .gone: "its stream has gone"
    }
  }
}

/// What a run that is taken over gets.
private struct ResumedBuilds {
  let view: HandlerView
  /// Pinned until the run pins them itself.
  let held: [LoadedBuild]

  init(_ view: HandlerView, held: [LoadedBuild] = []) { (self.view, self.held) = (view, held) }
}

extension Engine {
  /// The handlers for a run, and their plugins: of the builds that it was created with, and else the engine's. Throws `ResumptionError`, `EngineError`.
  private func builds(of creation: RunCreation, _ view: HandlerView) throws -> ResumedBuilds {
    var handlers = view.handlers
    var plugins = view.plugins
    var held: [LoadedBuild] = []
    do {
      for build in creation.builds {
        guard let sha256 = build.value.string else { continue }
        let own = try hold(build.name, sha256)
        held.append(own)
        handlers.merge(own.handlers) { $1 }
        plugins.removeAll { $0.name == build.name }
        plugins.append(own.plugin)
      }
    } catch {
      for build in held { build.pins.unpin() }
      throw error
    }
    return ResumedBuilds(
      HandlerView(generation: view.generation, isCanary: view.isCanary, handlers: handlers, plugins: plugins), held: held)
  }

  private func hold(_ name: String, _ sha256: String) throws -> LoadedBuild {
    // It becomes a path.
    guard PluginTrust.isBuild(sha256) else {
      throw ResumptionError.missingBuild(plugin: name, sha256: sha256, reason: "that is no SHA-256")
    }
    do {
      if let build = try state.hold(name, sha256, path: durable?.builds?.path(sha256), runtime.scheduler) { return build }
    } catch { throw ResumptionError.missingBuild(plugin: name, sha256: sha256, reason: "\(error)") }
    throw ResumptionError.missingBuild(plugin: name, sha256: sha256, reason: "the engine has no data directory")
  }
}

extension Definition {
  /// Tasks that are over wait for nothing: neither for one that a new version has put before them, nor for one whose skip was not recorded.
  fileprivate func freed(by history: RunHistory) -> Definition {
    var definition = self
    for index in tasks.indices where history.tasks[tasks[index].id]?.isOver == true {
      if tasks[index].dependencies.allSatisfy({ history.tasks[$0]?.isOver == true }) { continue }
      definition.tasks[index].dependencies.removeAll { history.tasks[$0]?.isOver != true }
    }
    return definition
  }
}
