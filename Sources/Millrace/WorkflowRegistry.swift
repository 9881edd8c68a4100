internal import MillraceCore
public import MillraceWorkflow

/// A workflow that an engine knows by its name: see `Engine.deploy`.
public struct DeployedWorkflow: Sendable {
  /// What tasks and programs call it by.
  public let name: String
  /// From 1.
  public let version: Int
  /// As it was deployed.
  public let definition: Definition
}

/// Workflows by name and version. Any thread.
package final class WorkflowRegistry: @unchecked Sendable {
  /// Versions of all names.
  package static let maximum = 10_000

  private let monitor = Monitor()
  /// The newest last.
  private var versions: [String: [DeployedWorkflow]] = [:]
  private var count = 0

  package init() {}

  deinit { monitor.deallocate() }

  /// The version: the given one, or the one after the newest. Throws `EngineError`.
  package func deploy(_ definition: Definition, version: Int?) throws(EngineError) -> Int {
    try monitor.locked { () throws(EngineError) in
      let name = definition.name
      let next = version ?? (versions[name]?.last?.version ?? 0) + 1
      if next < 1 || versions[name]?.contains(where: { $0.version == next }) == true {
        throw .badVersion(workflow: name, version: next)
      }
      if count >= WorkflowRegistry.maximum { throw .tooManyWorkflows(limit: WorkflowRegistry.maximum) }
      count += 1
      var known = versions[name] ?? []
      known.insert(
        DeployedWorkflow(name: name, version: next, definition: definition), at: known.firstIndex { $0.version > next } ?? known.count)
      versions[name] = known
      return next
    }
  }

  /// `version` nil: the newest. Throws `EngineError`.
  package func find(_ name: String, version: Int? = nil) throws(EngineError) -> Definition {
    let found = monitor.locked { version == nil ? versions[name]?.last : versions[name]?.first { $0.version == version } }
    guard let found else { throw .unknownWorkflow(name, version: version) }
    return found.definition
  }

  /// The newest of each name.
  package var newest: [String: Definition] { monitor.locked { versions.compactMapValues { $0.last?.definition } } }

  package var all: [DeployedWorkflow] { monitor.locked { versions.keys.sorted().flatMap { versions[$0] ?? [] } } }
}

extension Engine {
  /// Makes a workflow known by its name: for `start` and `run` by name, and for tasks of other workflows that run it. What is deployed is not changed
  /// any more; runs take the newest version unless they name another, child workflows the newest when their task begins. At most 10,000.
  ///
  /// `version` nil: the definition's own, or the one after the newest. Gives the version. Throws `DefinitionError` (every fault of the definition) or `EngineError`.
  @discardableResult public func deploy(_ definition: Definition, version: Int? = nil) throws -> Int {
    _ = try DefinitionChecker(handlers: handlerNames, schemas: state.schemas, workflows: workflows).check(definition)
    return try registry.deploy(definition, version: version ?? definition.version)
  }

  /// Deployed workflows, the newest version of each name: what `DefinitionReader` checks against.
  public var workflows: [String: Definition] { registry.newest }

  /// All that is deployed, by name and version.
  public var deployedWorkflows: [DeployedWorkflow] { registry.all }

  /// Starts a workflow that is deployed; `version` nil: the newest. Throws as for a `Definition`.
  public func start(_ name: String, version: Int? = nil, parameters: [String: JSON] = [:]) throws -> WorkflowHandle {
    try startChecked(registry.find(name, version: version), parameters: parameters, state.view(), tenant: nil)
  }

  /// As above, and waits for its end: see `run(_:parameters:)`.
  public func run(_ name: String, version: Int? = nil, parameters: [String: JSON] = [:]) async throws -> WorkflowResult {
    try await run(prepare(registry.find(name, version: version), parameters: parameters))
  }
}

extension Engine: ChildStarter {
  package func start(
    _ child: ChildWorkflow, parameters: [String: JSON], below parent: WorkflowRun, task: String, attempt: Int,
    ended: @escaping WorkflowRun.Ended
  ) throws -> WorkflowRun {
    let definition = try child.definition ?? registry.find(child.name)
    // An engine that is drained lets runs go on, and their children with them.
    let workflow = try compile(definition, parameters: parameters, state.openView())
    let (run, form) = try makeRun(workflow, tenant: parent.tenant, trace: parent.trace, depth: parent.depth + 1, ended: ended)
    try begin(run, form.durable, parent: (parent, RunCreation.Parent(run: parent.id, task: task, attempt: attempt)))
    return run
  }

  package func goesOn(_ child: RunID) -> Bool { children.has(child) }

  package func resumed(_ child: RunID, ended: @escaping WorkflowRun.Ended) -> WorkflowRun? { children.take(child, ended) }
}
