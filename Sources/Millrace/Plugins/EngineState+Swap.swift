internal import CMillrace
internal import MillraceCore
internal import MillracePlugins
internal import MillraceWorkflow
internal import Synchronization

/// How a build of a plugin takes the place of another while runs go on.
///
/// A run has the builds that it began with to its end. What changes is what new runs get, by one store under the lock: `known`, or `canary`. Whoever has compiled a
/// workflow before finds out by `generation`.
extension EngineState {
  /// Builds of all plugins that an engine has loaded at once.
  static let mostBuilds = 256

  /// Where a new build comes from.
  enum BuildSource {
    case file(String)
    /// It was current before.
    case former(KeptPlugin)

    var path: String {
      switch self {
      case .file(let path): path
      case .former(let kept): kept.path
      }
    }
  }

  /// Why a build does not take the place of another.
  private struct SwapRefusal: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  /// Replaces a build. On the calling thread, which waits for the plugins' functions; none of the engine's.
  func swap(_ source: BuildSource, _ options: SwapOptions, _ scheduler: Scheduler) -> PluginSwap {
    let swap = PluginSwap(source.path, .canary(percent: options.percent))
    keeper.start(self)
    swapping.locked {
      retireIdle(scheduler)
      do throws(SwapRefusal) {
        try begin(source, options, scheduler, swap)
      } catch {
        swap.set(.refused(error.reason))
        host.report("plugin \(source.path): not swapped: \(error.reason)")
      }
      // The old build, if nobody pins it.
      retireIdle(scheduler)
    }
    return swap
  }

  private func begin(_ source: BuildSource, _ options: SwapOptions, _ scheduler: Scheduler, _ swap: PluginSwap) throws(SwapRefusal) {
    if let fault = options.fault { throw SwapRefusal(fault) }
    let (there, isBusy, isFull, isOver) = monitor.locked {
      (current, canary?.build.plugin.name, builds.count >= EngineState.mostBuilds, stopped)
    }
    if isOver { throw SwapRefusal("the engine has been shut down") }
    if let isBusy { throw SwapRefusal("a new build of \(isBusy) is being judged: wait for the outcome, or roll it back") }
    if isFull {
      throw SwapRefusal("\(EngineState.mostBuilds) builds are loaded, the most an engine has: wait until runs of older ones have ended")
    }
    let new = try load(source, known: Set(there.values.map(\.plugin.sha256)))
    do throws(SwapRefusal) {
      guard let old = there[new.name] else {
        throw SwapRefusal("no plugin called \(new.name) is loaded that it could replace: load it instead")
      }
      swap.name(new.name, from: old.plugin.sha256, to: new.sha256)
      try compare(old.plugin, new, options)
      let kept: KeptPlugin
      do throws(PluginError) { kept = try KeptPlugin(old.plugin) } catch { throw SwapRefusal("\(error)") }
      let build: LoadedBuild
      do throws(EngineError) { build = try makeBuild(new, scheduler) } catch { throw SwapRefusal("\(error)") }
      do throws(SwapRefusal) {
        try handOver(old.plugin, new, options)
        try publish(build, replacing: old, kept, options, swap)
      } catch {
        // No run knows their numbers.
        for handler in build.handlers.values { scheduler.retireHandler(handler.index) }
        throw error
      }
    } catch {
      new.unload()
      throw error
    }
  }

  private func load(_ source: BuildSource, known: Set<String>) throws(SwapRefusal) -> LoadedPlugin {
    var loader = loaderBeside()
    do throws(PluginError) {
      switch source {
      case .former(let kept): return try loader.load(beside: kept)
      case .file(let path):
        if let plugin = try loader.load(beside: path, unlike: known) { return plugin }
      }
    } catch { throw SwapRefusal("\(error)") }
    throw SwapRefusal("it is the build that is there already")
  }

  private func compare(_ old: LoadedPlugin, _ new: LoadedPlugin, _ options: SwapOptions) throws(SwapRefusal) {
    let names = Set(new.handlers.map(\.qualifiedName))
    let missing = old.handlers.map(\.qualifiedName).filter { !names.contains($0) }
    if !missing.isEmpty {
      throw SwapRefusal("it lacks \(missing.count == 1 ? "the handler" : "the handlers") \(missing.joined(separator: ", "))")
    }
    let taken = monitor.locked { names.filter { name in known[name] != nil && !old.handlers.contains { $0.qualifiedName == name } } }
    if let taken = taken.min() { throw SwapRefusal("a handler called \(taken) is registered already") }
    var comparison = PluginComparison()
    comparison.compare(old, new)
    let breaking = comparison.differences.filter(\.isBreaking).map { "\($0.subject) \($0.what)" }
    if !breaking.isEmpty, !options.force {
      throw SwapRefusal(
        "it is not compatible with the build that is there: \(breaking.joined(separator: "; ")). Swap with force, if that is meant")
    }
  }

  private func handOver(_ old: LoadedPlugin, _ new: LoadedPlugin, _ options: SwapOptions) throws(SwapRefusal) {
    do throws(PluginError) {
      guard try old.hasState() else { return }
      if try !new.hasState() {
        guard options.force else {
          throw PluginError.badState(
            path: new.path, plugin: "\(new.name) \(new.version)",
            reason: "it has none, and that of the build that is there would be lost (swap with force, if that is meant)")
        }
        host.note("plugin \(new.name): the state of \(old.version) is dropped, as \(new.version) has none")
        return
      }
      if let state = try old.saveState() { try new.load(state) }
    } catch { throw SwapRefusal("\(error)") }
  }

  private func publish(
    _ build: LoadedBuild, replacing old: LoadedBuild, _ kept: KeptPlugin, _ options: SwapOptions, _ swap: PluginSwap
  ) throws(SwapRefusal) {
    if options.percent == 100 {
      let isDone = monitor.locked {
        if stopped { return false }
        promote(build, over: old, kept)
        return true
      }
      guard isDone else { throw SwapRefusal("the engine has been shut down") }
      old.pins.leave()
      host.note("plugin \(build.plugin.name): swapped \(old.text) for \(build.text)")
      swap.set(.promoted)
      return
    }
    let made = PluginCanary(build, replacing: old, kept, swap, options, host: host, now: millrace_monotonic(), keeper)
    build.pins.watch(made.tally)
    old.pins.watch(made.oldTally)
    let isDone = monitor.locked {
      if stopped { return false }
      builds.append(build)
      canary = made
      // Order: releasing. As `generation` says.
      generation.add(1, ordering: .releasing)
      return true
    }
    guard isDone else { throw SwapRefusal("the engine has been shut down") }
    host.note("plugin \(build.plugin.name): \(options.percent) of 100 new runs get \(build.text) in place of \(old.text)")
  }

  /// With the monitor held.
  private func promote(_ build: LoadedBuild, over old: LoadedBuild, _ kept: KeptPlugin) {
    for name in old.handlers.keys { known[name] = nil }
    take(build)
    old.replaced = host.wall()
    former[build.plugin.name] = kept
    // Order: releasing. As `generation` says.
    generation.add(generation.load(ordering: .relaxed) & 1 == 0 ? 2 : 1, ordering: .releasing)
  }

  /// Ends a canary, or goes back to the build that was current before.
  func rollBack(_ plugin: String, _ options: SwapOptions, _ scheduler: Scheduler) -> PluginSwap {
    let ended = swapping.locked { () -> PluginSwap? in
      guard let canary = monitor.locked({ canary }), canary.build.plugin.name == plugin else { return nil }
      rollBack(canary, because: "it was asked for")
      retireIdle(scheduler)
      return canary.swap
    }
    if let ended { return ended }
    if let kept = monitor.locked({ former[plugin] }) { return swap(.former(kept), options, scheduler) }
    let swap = PluginSwap("", .refused("no other build of \(plugin) was current before in this process"))
    host.report("plugin \(plugin): not rolled back: no other build was current before in this process")
    return swap
  }

  /// With `swapping` held.
  private func rollBack(_ canary: PluginCanary, because reason: String) {
    monitor.locked {
      self.canary = nil
      canary.build.replaced = host.wall()
      // Order: releasing. As `generation` says.
      generation.add(1, ordering: .releasing)
    }
    unwatch(canary)
    canary.build.pins.leave()
    host.report("plugin \(canary.build.plugin.name): \(canary.build.text) is rolled back to \(canary.old.text): \(reason)")
    canary.swap.set(.rolledBack(reason))
  }

  private func unwatch(_ canary: PluginCanary) {
    canary.build.pins.watch(nil)
    canary.old.pins.watch(nil)
  }

  // MARK: The keeper's

  /// Unloads what nobody pins, judges a canary, looks at files. When to come again without being woken, by the monotonic clock; `UInt64.max`: not.
  func keep(now: UInt64) -> UInt64 {
    guard let scheduler = monitor.locked({ self.scheduler }) else { return .max }
    let next = swapping.locked { () -> UInt64 in
      retireIdle(scheduler)
      guard let canary = monitor.locked({ canary }) else { return .max }
      switch canary.judge(now: now) {
      case .tooEarly:
        let (end, overflow) = canary.began.addingReportingOverflow(UInt64(clamping: canary.options.window))
        return overflow || end <= now ? .max : end
      case .worse(let reason): rollBack(canary, because: reason)
      case .good:
        monitor.locked {
          self.canary = nil
          promote(canary.build, over: canary.old, canary.kept)
        }
        unwatch(canary)
        canary.old.pins.leave()
        host.note("plugin \(canary.build.plugin.name): swapped \(canary.old.text) for \(canary.build.text), which was judged good")
        canary.swap.set(.promoted)
      }
      retireIdle(scheduler)
      return .max
    }
    return min(next, lookAtFiles(now: now, scheduler))
  }

  /// Unloads the builds that shall go and that nobody pins. With `swapping` held.
  func retireIdle(_ scheduler: Scheduler) {
    let gone = monitor.locked { () -> [LoadedBuild] in
      // None of these is current: it has been left, and from here on nobody can pin it.
      let gone = builds.filter { $0.pins.close() }
      if !gone.isEmpty { builds.removeAll { build in gone.contains { $0 === build } } }
      return gone
    }
    for build in gone {
      build.plugin.unload()
      for handler in build.handlers.values { scheduler.retireHandler(handler.index) }
    }
  }
}

extension LoadedBuild {
  /// For the log.
  fileprivate var text: String { "\(plugin.version) (\(plugin.sha256.prefix(12)))" }
}
