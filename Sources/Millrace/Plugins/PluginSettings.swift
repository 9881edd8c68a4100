internal import MillraceWorkflow

/// The settings of an engine, held against what each plugin says of its own.
struct PluginSettings: Sendable {
  /// By full name, as `replay.mode`.
  let all: [String: String]

  /// What is wrong with those of a plugin; nil: nothing, or its schema is none, which is told elsewhere.
  @Sendable func problem(of plugin: String, schema: String) -> String? {
    guard let schema = try? InputSchema(parsing: schema) else { return nil }
    let prefix = plugin + "."
    var own: [String: String] = [:]
    for (name, value) in all where name.hasPrefix(prefix) { own[String(name.dropFirst(prefix.count))] = value }
    return schema.problem(of: plugin, settings: own)
  }
}
