internal import MillraceCore
internal import MillracePlugins
internal import MillraceWorkflow

/// A build of a plugin in an engine.
///
/// # Threads
/// `handlers` is written by whoever makes it, before anybody else has it; the rest is constant.
final class LoadedBuild: @unchecked Sendable {
  let plugin: LoadedPlugin
  /// Who may still call into it.
  let pins: HandlerBuild
  /// By name, with numbers of their own.
  var handlers: [String: TaskHandler] = [:]
  /// Those of them that run several attempts in one call: what the core was given leads to these.
  var batches: [BatchHandler] = []
  /// When it was loaded, nanoseconds since 1970.
  let loaded: Int64
  /// When another one took its place; 0: none has. Under the monitor of the state.
  var replaced: Int64 = 0

  init(_ plugin: LoadedPlugin, wall: Int64, _ keeper: PluginKeeper) {
    self.plugin = plugin
    loaded = wall
    pins = HandlerBuild { keeper.wake() }
  }
}

/// A build of a plugin that an engine has loaded, and who keeps it.
public struct PluginBuildStatus: Sendable, Hashable {
  /// What becomes of it.
  public enum Role: Sendable, Hashable {
    /// New runs get it.
    case current
    /// So many of 100 new runs get it, until it is judged.
    case canary(percent: Int)
    /// Another one has taken its place, or runs that were resumed are pinned to it: it goes with the last of its runs.
    case draining
  }

  /// The plugin's name.
  public let plugin: String
  /// The plugin's own version.
  public let version: String
  /// SHA-256 of its file.
  public let sha256: String
  /// Where it came from.
  public let path: String
  /// What becomes of it.
  public let role: Role
  /// Runs that pin it.
  public let pins: Int
  /// When it was loaded, or, of one that drains, when another took its place: nanoseconds since 1970.
  public let since: Int64
  /// Its code stays mapped when it has gone, as Swift's does.
  public let stays: Bool
}

extension EngineState {
  /// In the order of loading.
  var buildStatuses: [PluginBuildStatus] {
    monitor.locked {
      builds.map { build in
        let isCurrent = current[build.plugin.name] === build
        let role: PluginBuildStatus.Role =
          isCurrent ? .current : canary?.build === build ? .canary(percent: canary?.options.percent ?? 0) : .draining
        return PluginBuildStatus(
          plugin: build.plugin.name, version: build.plugin.version, sha256: build.plugin.sha256, path: build.plugin.path, role: role,
          pins: build.pins.pins, since: isCurrent || build.replaced == 0 ? build.loaded : build.replaced, stays: build.plugin.stays)
      }
    }
  }
}
