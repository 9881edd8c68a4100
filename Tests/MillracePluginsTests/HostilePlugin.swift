import Foundation

/// A plugin that does on purpose what plugins do by mistake, and worse: a handler for each.
enum HostilePlugin {
  static let source =
    (try? String(contentsOf: Workshop.packageRoot.appending(path: "Tests/PluginChecks/hostile.c"), encoding: .utf8)) ?? "#error hostile.c"

  /// What the file is called, by which it is isolated.
  static let file = "libmillrace-plugin-hostile.so"
}
