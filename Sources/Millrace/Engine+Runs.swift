internal import CMillrace
internal import MillraceCore
public import MillraceWorkflow

/// How runs are made, started and waited for.
extension Engine {
  /// Checks and starts a workflow. Throws `DefinitionError` (every fault of the definition), `SecretError`, `CompileError`, `SubmitError`, `RunLineFull` or
  /// `EngineError`.
  ///
  /// A workflow that says how many of its runs go on at once (`concurrency`) may have to wait: its handle is CREATED until then, and tells what it waits for. `tenant`: one
  /// of `Configuration.tenants`; nil: "default". `trace`: what the run is part of; handlers find it in their contexts.
  public func start(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    let view = try state.view()
    _ = try DefinitionChecker(handlers: Set(view.handlers.keys), schemas: state.schemas, workflows: workflows).check(definition)
    return try startChecked(definition, parameters: parameters, view, tenant: tenant, trace: trace)
  }

  /// Starts a workflow that `DefinitionReader` has checked against this engine's handlers. Throws as `start`.
  public func start(
    _ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    try startChecked(reading.definition, parameters: parameters, try state.view(), tenant: tenant, trace: trace)
  }

  func handlerTable() throws(EngineError) -> [String: TaskHandler] { try state.view().handlers }

  /// Checks and compiles a workflow once, for any number of runs with the same parameters. Throws as `start`, but no `SubmitError`.
  public func prepare(_ definition: Definition, parameters: [String: JSON] = [:]) throws -> PreparedWorkflow {
    let view = try state.view()
    _ = try DefinitionChecker(handlers: Set(view.handlers.keys), schemas: state.schemas, workflows: workflows).check(definition)
    return try compile(definition, parameters: parameters, view)
  }

  /// The same of a workflow that `DefinitionReader` has checked against this engine's handlers.
  public func prepare(_ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:]) throws -> PreparedWorkflow {
    try compile(reading.definition, parameters: parameters, try state.view())
  }

  /// Starts a run of a prepared workflow. Throws `CompileError.memory`, `SubmitError`, `RunLineFull` or `EngineError`.
  public func start(_ workflow: PreparedWorkflow, tenant: String? = nil, trace: TraceContext? = nil) throws -> WorkflowHandle {
    try check(workflow)
    return try start(workflow, tenants.find(tenant), trace)
  }

  private func check(_ workflow: PreparedWorkflow) throws(EngineError) {
    guard workflow.state === state else { throw .preparedElsewhere }
    if state.isStopped { throw .stopped }
  }

  func compile(_ definition: Definition, parameters: [String: JSON], _ view: HandlerView) throws -> PreparedWorkflow {
    let source = DefinitionSource(definition)
    return PreparedWorkflow(try compile(source, parameters, view), source, parameters: parameters, state)
  }

  private func compile(_ source: DefinitionSource, _ parameters: [String: JSON], _ view: HandlerView) throws -> PreparedForm {
    let compiled = try CompiledWorkflow.compile(
      source.definition, parameters: parameters, handlers: view.handlers, held: host.heldIndex, order: order, keys: host.keys)
    return PreparedForm(
      generation: view.generation, isCanary: view.isCanary, compiled: compiled, durable: try durability(compiled, source, view.plugins),
      plugins: view.plugins)
  }

  /// As the engine's plugins are now, for the run of an id.
  private func form(of workflow: PreparedWorkflow, for id: RunID) throws -> PreparedForm {
    try workflow.form(for: id) { try compile(workflow.source, workflow.parameters, state.openView(for: id)) }
  }

  func startChecked(
    _ definition: Definition, parameters: [String: JSON], _ view: HandlerView, tenant: String?, trace: TraceContext? = nil
  ) throws -> WorkflowHandle {
    let tenant = try tenants.find(tenant)
    return try start(compile(definition, parameters: parameters, view), tenant, trace)
  }

  /// The run of a schedule's fire, with which it is recorded if it is durable. It is still to be started.
  func makeRun(_ definition: Definition, parameters: [String: JSON], tenant: String?, fire: ScheduledFire) throws -> WorkflowHandle {
    let tenant = try tenants.find(tenant)
    let workflow = try compile(definition, parameters: parameters, state.view())
    let (handle, durable) = try makeRun(workflow, tenant, nil)
    try record(handle.run, durable, fire: fire)
    return handle
  }

  private func start(_ workflow: PreparedWorkflow, _ tenant: RunTenant, _ trace: TraceContext?) throws -> WorkflowHandle {
    let (handle, durable) = try makeRun(workflow, tenant, trace)
    try begin(handle.run, durable)
    return handle
  }

  private func makeRun(
    _ workflow: PreparedWorkflow, _ tenant: RunTenant, _ trace: TraceContext?
  ) throws -> (WorkflowHandle, DurableWorkflow?) {
    let (run, form) = try makeRun(workflow, tenant: tenant, trace: trace, depth: 0) { _ in }
    return (WorkflowHandle(run, of: workflow.source, engine: self, plugins: form.plugins), form.durable)
  }

  /// A run that has not been started, and what it was made of. `given`: its id; nil: one that is made now.
  func makeRun(
    _ workflow: PreparedWorkflow, tenant: RunTenant, trace: TraceContext?, depth: Int, id given: RunID? = nil,
    ended: @escaping WorkflowRun.Ended
  ) throws -> (WorkflowRun, PreparedForm) {
    let wall = wallClock()
    let (made, number) = state.nextRun(wall: wall)
    let id = given ?? made
    // Runs that fail together must not come back together: each has waits of its own.
    var seeds = SeededRandom(seed: seed &+ number)
    let seed = seeds.next()
    while true {
      let form = try form(of: workflow, for: id)
      let journal = try form.durable.map { try RunJournal($0.runs, id, tenant: tenant.name) }
      do {
        let run = try makeRun(
          form.compiled, id, wall: wall, seed: seed, tenant: tenant, trace: trace, depth: depth, journal: journal, ended: ended)
        return (run, form)
      } catch CompileError.buildGone {
        // Another build has taken its place just now: what is current is never gone.
      }
    }
  }

  /// As above; also of one that is taken over.
  func makeRun(
    _ compiled: CompiledWorkflow, _ id: RunID, wall: Int64, seed: UInt64, tenant: RunTenant, trace: TraceContext?, depth: Int,
    journal: RunJournal?, ended: @escaping WorkflowRun.Ended
  ) throws -> WorkflowRun {
    var values: [String: [UInt8]] = [:]
    for (name, task) in compiled.secrets {
      guard let secrets else { throw SecretError.noSource(name: name, task: task) }
      values[name] = try secrets.value(name, for: task)
    }
    return try WorkflowRun(
      compiled, id: id, wall: wall, seed: seed, host: host, secrets: values, tenant: tenant, trace: trace, depth: depth, journal: journal,
      ended: ended)
  }

  // MARK: Runs that are awaited

  /// Starts a workflow and waits for its end without a thread. Cancelling the Swift task that waits cancels the run.
  ///
  /// Where the engine has nothing else to do, the calling thread runs tasks until the run has ended or there is nothing to do for it: nobody has to be
  /// woken. So handlers that compute for long, and do not say that they block, hold up one of Swift's threads.
  ///
  /// Throws what `start` throws, `WorkflowError` if the run did not complete, `CancellationError` if that is because the Swift task was cancelled.
  public func run(
    _ definition: Definition, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(prepare(definition, parameters: parameters), tenant: tenant, trace: trace)
  }

  /// As above, for a workflow that `DefinitionReader` has checked against this engine's handlers.
  public func run(
    _ reading: DefinitionReader.Reading, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(prepare(reading, parameters: parameters), tenant: tenant, trace: trace)
  }

  /// As above, for a workflow that was put together by `addTask`.
  public func run(
    _ workflow: Workflow, parameters: [String: JSON] = [:], tenant: String? = nil, trace: TraceContext? = nil
  ) async throws -> WorkflowResult {
    try await run(workflow.definition, parameters: parameters, tenant: tenant, trace: trace)
  }

  /// As above, for a workflow that this engine has prepared: the shortest way.
  public func run(_ workflow: PreparedWorkflow, tenant: String? = nil, trace: TraceContext? = nil) async throws -> WorkflowResult {
    try check(workflow)
    let (handle, durable) = try makeRun(workflow, tenants.find(tenant), trace)
    if let durable {
      let error = await withCheckedContinuation { continuation in
        durable.create(handle.run, nil) { continuation.resume(returning: $0) }
      }
      if let error { throw error }
    }
    let status = try await withTaskCancellationHandler {
      let run = handle.run
      if let journal = run.journal {
        try start(run, journal)
      } else {
        try run.start { [runtime] core in try runtime.startHere(core) { handle.hasEnded } }
      }
      return await handle.finished()
    } onCancel: {
      handle.cancel()
    }
    if status == .completed { return WorkflowResult(handle, status) }
    if status == .cancelled, _Concurrency.Task.isCancelled { throw CancellationError() }
    throw WorkflowError(WorkflowResult(handle, status))
  }
}
