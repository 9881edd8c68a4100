public import MillraceCore
public import MillracePlugins
internal import MillraceWorkflow

/// Why an engine could not be had, or a handler not be registered.
public enum EngineError: Error, CustomStringConvertible {
  /// The threads, the memory or the event loop could not be had, or the configuration is out of its bounds.
  case runtime(RuntimeError)
  /// The search for plugins failed as a whole. A single file that is refused is told by `Engine.pluginProblems`.
  case plugins(PluginError)
  /// The name is no handler's: `name` or `plugin/name` of a-z, 0-9 and -.
  case badHandlerName(String)
  /// A handler of this name is there already, of a plugin or registered.
  case duplicateHandler(String)
  /// The engine has as many handlers as it can: 65,536.
  case tooManyHandlers(limit: Int)
  /// The engine follows as many schedules as it can.
  case tooManySchedules(limit: Int)
  /// The workflow of this name has no `schedule` to follow.
  case noSchedule(String)
  /// The workflow of this name has no `onMessage` that starts runs of it.
  case noMessages(String)
  /// The engine takes no more runs and handlers: it is drained, or has been shut down.
  case stopped
  /// `version` nil: no version of that name is deployed.
  case unknownWorkflow(String, version: Int?)
  /// It is deployed already, or no number from 1 on.
  case badVersion(workflow: String, version: Int)
  /// As many workflows, versions counted, are deployed as an engine keeps.
  case tooManyWorkflows(limit: Int)
  /// A workflow was prepared by one engine and started on another.
  case preparedElsewhere
  /// A tenant of the configuration has a name that is none, or a weight out of bounds.
  case badTenant(String, weight: Int)
  /// The configuration has more tenants than an engine.
  case tooManyTenants(limit: Int)
  /// A run is for a tenant that the configuration does not have; `known`: those it has.
  case unknownTenant(String, known: [String])

  /// A workflow says `durability: log`, or runs are to be resumed, and the engine has neither a store nor a directory for them.
  case noStore(workflow: String?)
  /// What durable runs need on the disk could not be had: the path, and why.
  case data(String, String)

  public var description: String {
    switch self {
    case .noStore(let workflow):
      (workflow.map { "\($0) says 'durability: log', and the engine" } ?? "the engine")
        + " has nowhere to record runs: set Engine.Configuration.data, or give --data DIR"
    case .data(let path, let reason): path.isEmpty ? reason : "\(path): \(reason)"
    case .runtime(let error): "\(error)"
    case .plugins(let error): "\(error)"
    case .badHandlerName(let name):
      "\"\(name)\" cannot be the name of a handler: use a-z, 0-9 and -, at most 127 of them, with one / between plugin and handler if it is to have one"
    case .duplicateHandler(let name): "a handler called \(name) is registered already: names are unique in an engine"
    case .tooManyHandlers(let limit): "\(limit) handlers are registered, the most an engine has"
    case .tooManySchedules(let limit): "\(limit) schedules are followed, the most an engine does"
    case .noSchedule(let name): "\(name) has no schedule: set its `schedule`, or add `schedule:` to the file"
    case .noMessages(let name): "\(name) names no messages that start it: set its `onMessage`, or add `on_message:` to the file"
    case .unknownWorkflow(let name, let version):
      "no workflow is deployed as \(name)" + (version.map { " in version \($0)" } ?? "") + ": deploy it first"
    case .badVersion(let workflow, let version):
      "version \(version) of \(workflow) cannot be deployed: \(version < 1 ? "versions begin with 1" : "it is already, and does not change")"
    case .tooManyWorkflows(let limit): "\(limit) workflows are deployed, the most an engine keeps"
    case .stopped: "the engine has been shut down"
    case .badTenant(let name, let weight):
      "the tenant \"\(name)\" of weight \(weight): a name has 1 to 128 of A-Z a-z 0-9 . _ and -, a weight is 1 to \(Tenants.maximumWeight)"
    case .tooManyTenants(let limit): "more than \(limit) tenants, the most an engine has"
    case .unknownTenant(let name, let known):
      "no tenant is called \"\(name)\": the engine's are \(known.prefix(20).joined(separator: ", "))"
        + (known.count > 20 ? " and \(known.count - 20) more" : "") + "; name it in Engine.Configuration.tenants"
    case .preparedElsewhere: "the workflow was prepared by another engine: prepare it with the one that shall run it"
    }
  }
}
