internal import MillraceCore
internal import MillracePlugins

/// Builds of plugins that take the place of others while runs go on: see docs/plugins.md.
extension Engine {
  /// Loads a new build of a plugin beside the one that is there, hands its state over, and gives it to new runs, or to a part of them until it is judged. Runs that go
  /// on have their build to the end; a build that no run has any more is unloaded.
  ///
  /// Waits for the plugin's `init` and for its state, for nothing else: not from a handler, nor from a Swift task. What comes of it tells `PluginSwap.status`, and the log.
  @discardableResult public func swap(plugin path: String, _ options: SwapOptions = SwapOptions()) -> PluginSwap {
    state.swap(.file(path), options, runtime.scheduler)
  }

  /// Ends the trial of a new build, or swaps back to the build that a plugin had before. Only one step back is kept: a second call goes forward again.
  @discardableResult public func rollback(plugin name: String, force: Bool = false) -> PluginSwap {
    var options = SwapOptions()
    options.force = force
    return state.rollBack(name, options, runtime.scheduler)
  }

  /// The builds of plugins that are loaded, in the order of loading, and how many runs have each.
  public var pluginBuilds: [PluginBuildStatus] { state.buildStatuses }
}
