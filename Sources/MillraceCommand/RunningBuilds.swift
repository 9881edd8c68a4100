internal import Millrace
internal import MillraceCore

/// The builds of plugins that a process with a data directory has loaded: what it tells of them, and what another one asks it.
enum RunningBuilds {
  /// Builds that are told; more are only counted, so that the answer is one line.
  static let told = 64

  /// The process's side.
  static func members(_ engine: Engine) -> [JSON.Member] {
    let builds = engine.pluginBuilds
    let plugins = engine.plugins
    return [
      .init(
        "builds",
        .array(
          builds.prefix(told).map { build in
            var members = json(build)
            if let plugin = plugins.first(where: { $0.sha256 == build.sha256 }) { members += PluginTable.isolation(plugin) }
            return .object(members)
          })),
      .init("omitted", .integer(Int64(max(0, builds.count - told)))),
    ]
  }

  private static func json(_ build: PluginBuildStatus) -> [JSON.Member] {
    let (role, percent): (String, JSON) =
      switch build.role {
      case .current: ("current", .null)
      case .canary(let percent): ("canary", .integer(Int64(percent)))
      case .draining: ("draining", .null)
      }
    return [
      .init("plugin", .string(build.plugin)), .init("version", .string(build.version)), .init("sha256", .string(build.sha256)),
      .init("path", .string(build.path)), .init("role", .string(role)), .init("percent", percent),
      .init("runCount", .integer(Int64(build.pins))), .init("sinceWallNanoseconds", .integer(build.since)),
      .init("staysMapped", .bool(build.stays)),
    ]
  }

  /// What the process says that has the directory; nil: there is none.
  static func ask(_ directory: String) throws(Refusal) -> [JSON]? {
    try ControlClient.ask(directory, [.init("verb", "plugins")])?["builds"]?.array
  }

  /// A line of the table.
  static func row(_ build: JSON, now: Int64) -> JSON {
    let role = build["role"]?.string ?? ""
    let percent = build["percent"]?.integer.map { " \($0) %" } ?? ""
    let since = build["sinceWallNanoseconds"]?.integer.map { "\(Quantity.nanoseconds(UInt64(max(0, now - $0)))) ago" } ?? ""
    return .object([
      .init("plugin", build["plugin"] ?? .null), .init("version", build["version"] ?? .null),
      .init("build", .string(String((build["sha256"]?.string ?? "").prefix(12)))), .init("is", .string(role + percent)),
      .init("runs", .string("\(build["runCount"]?.integer ?? 0)")), .init("since", .string(since)),
      .init("isolation", build["isolation"] ?? .null),
    ])
  }
}
