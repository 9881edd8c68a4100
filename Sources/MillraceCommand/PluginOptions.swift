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
  static func forPlugins(_ search: PluginSearch) throws -> Engine {
    var configuration = Configuration()
    configuration.slots = 1
    configuration.threads = 1
    configuration.wait = .park
    configuration.plugins = search
    return try Engine(configuration)
  }

  /// Says on standard error which plugins were refused.
  func tellPluginProblems() {
    for problem in pluginProblems { Output.note("warning: \(problem)") }
  }
}
