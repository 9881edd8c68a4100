internal import CMillrace
internal import MillraceCore
internal import MillracePlugins
internal import MillraceWorkflow
internal import Synchronization

/// What of an engine changes: handlers, plugins, and whether it runs. Behind one lock; nothing here is on a task's way.
@safe final class EngineState: @unchecked Sendable {
  let monitor = Monitor()
  /// By name: what runs that are made now get. Of a canary see `canary`.
  var known: [String: TaskHandler] = [:]
  private var registered: [RegisteredHandler] = []
  private var loader: PluginLoader
  /// Those that have not gone, in the order of loading: current ones, a canary's, and those that runs are left with.
  var builds: [LoadedBuild] = []
  /// What new runs get, by the plugin's name; and the names, in the order in which they were found.
  var current: [String: LoadedBuild] = [:]
  private var order: [String] = []
  var canary: PluginCanary?
  /// The builds that were current before, by the plugin's name.
  var former: [String: KeptPlugin] = [:]
  /// Changes with the builds that new runs get. Odd: a part of them gets a canary's.
  // Order: written under the monitor, releasing. Pairs with the acquiring loads of who has compiled a workflow: whoever sees the number finds what it stands for.
  let generation = Atomic<UInt64>(0)
  /// Held while functions of plugins are called that are to be called one at a time. Before `monitor`.
  let swapping = Monitor()
  let keeper: PluginKeeper
  /// nil: nobody follows the files of plugins.
  var watch: (files: PluginWatch, options: SwapOptions)?
  /// Set by `connect`, before there are plugins.
  private(set) var scheduler: Scheduler?
  let host: TaskHost
  // unsafe: the host's, which lives as long as the engine.
  nonisolated(unsafe) let hostTable: UnsafePointer<millrace_host>
  private var refused: [PluginError] = []
  /// Compiled once, by handler.
  private var inputSchemas: [String: InputSchema] = [:]
  private var badSchemas: [(handler: String, reason: String)] = []
  private(set) var stopped = false
  /// No more runs are taken.
  private var isClosed = false
  private var runs: UInt64 = 0
  private var random = SystemRandomWords()

  let trust: PluginTrust
  let settings: PluginSettings
  let isolation: IsolationChoice

  init(host: TaskHost, trust: PluginTrust, settings: PluginSettings, isolation: IsolationChoice) {
    self.host = host
    keeper = PluginKeeper(host)
    // unsafe: the host's table lives as long as the engine, which unloads first.
    unsafe hostTable = UnsafePointer(host.table)
    self.trust = trust
    self.settings = settings
    self.isolation = isolation
    loader = unsafe PluginLoader(
      host: UnsafePointer(host.table), trust: trust, isolation: isolation, settings: settings.all, settingsProblem: settings.problem)
  }

  func connect(_ scheduler: Scheduler) { monitor.locked { self.scheduler = scheduler } }

  deinit {
    monitor.deallocate()
    swapping.deallocate()
  }

  var handlerNames: Set<String> { monitor.locked { Set(known.keys) } }
  var problems: [PluginError] { monitor.locked { refused } }
  var schemas: [String: InputSchema] { monitor.locked { inputSchemas } }
  var schemaProblems: [(handler: String, reason: String)] { monitor.locked { badSchemas } }
  var plugins: [LoadedPlugin] { monitor.locked { currentPlugins } }
  /// With the monitor held.
  private var currentPlugins: [LoadedPlugin] { order.compactMap { current[$0]?.plugin } }

  /// What a run that is made now gets; `id` nil: it is made for no canary. Throws `EngineError`.
  func view(for id: RunID? = nil) throws(EngineError) -> HandlerView {
    try monitor.locked { () throws(EngineError) in
      if stopped || isClosed { throw .stopped }
      return viewLocked(id)
    }
  }

  /// Also when no more runs are taken: for those that go on.
  func openView(for id: RunID? = nil) throws(EngineError) -> HandlerView {
    try monitor.locked { () throws(EngineError) in
      if stopped { throw .stopped }
      return viewLocked(id)
    }
  }

  private func viewLocked(_ id: RunID?) -> HandlerView {
    let number = generation.load(ordering: .relaxed)
    guard let canary, let id, canary.takes(id) else {
      return HandlerView(generation: number, isCanary: false, handlers: known, plugins: currentPlugins)
    }
    var plugins = currentPlugins
    if let place = plugins.firstIndex(where: { $0.name == canary.build.plugin.name }) { plugins[place] = canary.build.plugin }
    return HandlerView(
      generation: number, isCanary: true, handlers: known.merging(canary.build.handlers) { $1 }, plugins: plugins)
  }

  /// Whether a run of this id gets the build that is being judged.
  func isCanary(_ id: RunID) -> Bool { monitor.locked { canary?.takes(id) ?? false } }

  var isStopped: Bool { monitor.locked { stopped || isClosed } }

  func load(_ search: PluginSearch, _ scheduler: Scheduler) throws(EngineError) {
    do {
      refused = try loader.loadAll(search)
    } catch {
      throw .plugins(error)
    }
    for plugin in loader.plugins {
      take(try makeBuild(plugin, scheduler))
      look(at: plugin.configurationSchema, "configuration_schema", of: plugin.name)
    }
  }

  /// Gives the handlers of a plugin numbers of their own. Throws `EngineError`; then it has none.
  func makeBuild(_ plugin: LoadedPlugin, _ scheduler: Scheduler) throws(EngineError) -> LoadedBuild {
    let build = LoadedBuild(plugin, wall: host.wall(), keeper)
    for handler in plugin.handlers {
      // unsafe: valid until the plugin is unloaded: when no run pins the build, or after the runtime has stopped.
      let batch = unsafe handler.batch.map { unsafe BatchHandler(handler.pointer, $0, host, build.pins) }
      if let batch { build.batches.append(batch) }
      guard let index = scheduler.register(unsafe batch?.handler ?? WorkflowRun.handler(for: handler.pointer)) else {
        for handler in build.handlers.values { scheduler.retireHandler(handler.index) }
        throw .tooManyHandlers(limit: Scheduler.maxHandlers)
      }
      build.handlers[handler.qualifiedName] = unsafe TaskHandler(
        name: handler.qualifiedName, index: index, pointer: handler.pointer, build: build.pins)
    }
    return build
  }

  /// From here on new runs get it. With the monitor held, or before anybody else has the engine.
  func take(_ build: LoadedBuild) {
    let name = build.plugin.name
    if current[name] == nil { order.append(name) }
    if !builds.contains(where: { $0 === build }) { builds.append(build) }
    current[name] = build
    known.merge(build.handlers) { $1 }
    for handler in build.plugin.handlers {
      takeSchema(of: handler)
      look(at: handler.outputSchema, "output_schema", of: handler.qualifiedName)
    }
  }

  /// Loads one more plugin. What it has not room for leaves nothing loaded. Throws `EngineError`.
  func load(file path: String, _ scheduler: Scheduler) throws(EngineError) {
    try swapping.locked { () throws(EngineError) in
      if monitor.locked({ stopped }) { throw .stopped }
      let plugin: LoadedPlugin
      do throws(PluginError) { plugin = try loader.load(path) } catch { throw .plugins(error) }
      do throws(EngineError) {
        if let taken = plugin.handlers.first(where: { handler in monitor.locked { known[handler.qualifiedName] != nil } }) {
          throw .duplicateHandler(taken.qualifiedName)
        }
        let build = try makeBuild(plugin, scheduler)
        monitor.locked { take(build) }
      } catch {
        // No run knows its handlers.
        plugin.unload()
        throw error
      }
    }
  }

  /// A loader of its own, for handlers with the names of those that are there.
  func loaderBeside() -> PluginLoader {
    // unsafe: as in `init`.
    unsafe PluginLoader(host: hostTable, trust: trust, isolation: isolation, settings: settings.all, settingsProblem: settings.problem)
  }

  /// A build of a plugin, for a run that is pinned to it: one that is there, or loaded beside that. The caller unpins it. Throws `PluginError` or `EngineError`.
  func hold(_ name: String, _ sha256: String, path: String?, _ scheduler: Scheduler) throws -> LoadedBuild? {
    try swapping.locked {
      if let build = monitor.locked({ builds.first { $0.plugin.sha256 == sha256 && $0.plugin.name == name && $0.pins.pin() } }) {
        return build
      }
      guard let path else { return nil }
      if monitor.locked({ stopped }) { throw EngineError.stopped }
      var loader = loaderBeside()
      let plugin = try loader.load(path, sha256: sha256, named: name)
      let build: LoadedBuild
      do throws(EngineError) { build = try makeBuild(plugin, scheduler) } catch {
        plugin.unload()
        throw error
      }
      _ = build.pins.pin()
      build.pins.leave()
      monitor.locked { builds.append(build) }
      keeper.start(self)
      return build
    }
  }

  /// One that is no schema keeps nobody from running: its inputs are not looked at.
  private func takeSchema(of handler: LoadedHandler) {
    inputSchemas[handler.qualifiedName] = nil
    badSchemas.removeAll { $0.handler == handler.qualifiedName }
    guard let text = handler.inputSchema else { return }
    do throws(InputSchema.Malformed) {
      inputSchemas[handler.qualifiedName] = try InputSchema(parsing: text)
    } catch {
      badSchemas.append((handler.qualifiedName, "its input schema is none, so that its inputs are not checked: \(error.description)"))
    }
  }

  /// A schema that is for people and tools.
  private func look(at schema: String?, _ field: String, of owner: String) {
    guard let schema else { return }
    do throws(JSONSyntaxError) {
      guard case .object = try JSON(parsing: schema) else {
        return badSchemas.append((owner, "its \(field) is no JSON object"))
      }
    } catch {
      badSchemas.append((owner, "its \(field) is no JSON: \(JSON.describe(error))"))
    }
  }

  func register(_ handler: RegisteredHandler, _ scheduler: Scheduler) throws(EngineError) {
    guard handler.hasGoodName else { throw .badHandlerName(handler.name) }
    try monitor.locked { () throws(EngineError) in
      if stopped { throw .stopped }
      if known[handler.name] != nil { throw .duplicateHandler(handler.name) }
      guard let index = scheduler.register(unsafe WorkflowRun.handler(for: handler.pointer)) else {
        throw .tooManyHandlers(limit: Scheduler.maxHandlers)
      }
      registered.append(handler)
      inputSchemas[handler.name] = handler.inputSchema
      known[handler.name] = unsafe TaskHandler(name: handler.name, index: index, pointer: handler.pointer)
    }
  }

  /// The id of a run that is made now, and its number, from 0.
  func nextRun(wall: Int64) -> (id: RunID, number: UInt64) {
    monitor.locked {
      defer { runs += 1 }
      return (RunID(wall: wall, random: &random), runs)
    }
  }

  /// Takes no more runs.
  func close() { monitor.locked { isClosed = true } }

  /// True for the first caller.
  func stop() -> Bool {
    monitor.locked {
      if stopped { return false }
      stopped = true
      return true
    }
  }

  /// When no thread of the runtime is left.
  func unload() {
    keeper.stop()
    swapping.locked {
      let (left, trial) = monitor.locked { () -> ([LoadedBuild], PluginCanary?) in
        defer { (builds, canary, current, former) = ([], nil, [:], [:]) }
        return (builds, canary)
      }
      trial?.swap.set(.rolledBack("the engine was shut down before the new build was judged"))
      for build in left.reversed() { build.plugin.unload() }
      loader.unloadAll()
    }
  }
}

/// The handlers that a run gets, as they are at one moment.
struct HandlerView {
  let generation: UInt64
  let isCanary: Bool
  let handlers: [String: TaskHandler]
  let plugins: [LoadedPlugin]
}
