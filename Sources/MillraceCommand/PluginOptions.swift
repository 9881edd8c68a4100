internal import ArgumentParser
internal import Millrace
internal import MillraceCore

/// Where plugins are looked for: the same on every command that needs them.
struct PluginOptions: ParsableArguments {
  @Option(
    name: .customLong("plugins"),
    help: ArgumentHelp(
      "A plugin's file, or a directory of them; may be repeated. Looked at before MILLRACE_PLUGINS and what lies beside the command.",
      valueName: "path"))
  var paths: [String] = []

  var search: PluginSearch { .ofProcess(paths: paths) }
}

extension Engine {
  /// An engine for asking what its plugins offer: it runs nothing.
  static func forPlugins(_ search: PluginSearch) throws(Refusal) -> Engine {
    var configuration = Configuration()
    configuration.slots = 1
    configuration.threads = 1
    configuration.wait = .park
    configuration.plugins = search
    return try made(configuration)
  }

  /// - Throws: `Refusal` with the exit code that suits.
  static func made(_ configuration: Configuration) throws(Refusal) -> Engine {
    do throws(EngineError) {
      return try Engine(configuration)
    } catch {
      throw Refusal(error.exit, "\(error)")
    }
  }

  /// Says on standard error which plugins were refused.
  func tellPluginProblems() {
    for problem in pluginProblems { Output.note("warning: \(problem)") }
    for problem in schemaProblems { Output.note("warning: \(problem.handler): \(problem.reason)") }
  }
}

extension EngineError {
  fileprivate var exit: Exit {
    switch self {
    case .runtime(.spinNeedsProcessors), .runtime(.outOfRange), .badHandlerName, .stopped, .noSchedule, .noMessages, .preparedElsewhere,
      .badTenant,
      .tooManyTenants, .unknownTenant, .unknownWorkflow, .badVersion:
      .wrongUse
    case .runtime(.memory), .runtime(.loop), .runtime(.thread): .tryAgain
    case .noStore: .wrongUse
    case .data: .tryAgain
    case .plugins: .missing
    case .duplicateHandler, .tooManyHandlers, .tooManySchedules, .tooManyWorkflows: .badData
    }
  }
}
