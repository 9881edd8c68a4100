internal import CMillrace
internal import MillraceCore
internal import MillracePlugins
internal import MillraceWorkflow

/// What of an engine changes: handlers, plugins, and whether it runs. Behind one lock; nothing here is on a task's way.
@safe final class EngineState: @unchecked Sendable {
  private let monitor = Monitor()
  private var known: [String: TaskHandler] = [:]
  private var registered: [RegisteredHandler] = []
  private var loader: PluginLoader
  /// Builds that runs are pinned to, beside those that are loaded, by SHA-256.
  private var pinned: [String: PinnedBuild] = [:]
  // unsafe: the host's, which lives as long as the engine.
  private nonisolated(unsafe) let hostTable: UnsafePointer<millrace_host>
  private var refused: [PluginError] = []
  /// Compiled once, by handler.
  private var inputSchemas: [String: InputSchema] = [:]
  private var badSchemas: [(handler: String, reason: String)] = []
  private var stopped = false
  /// No more runs are taken.
  private var isClosed = false
  private var runs: UInt64 = 0
  private var random = SystemRandomWords()

  private let isolation: IsolationChoice
  private let settings: [String: String]

  init(host: TaskHost, isolation: IsolationChoice = IsolationChoice(), settings: [String: String] = [:]) {
    // unsafe: the host's table lives as long as the engine, which unloads first.
    unsafe hostTable = UnsafePointer(host.table)
    loader = unsafe PluginLoader(host: UnsafePointer(host.table), isolation: isolation, settings: settings)
    self.isolation = isolation
    self.settings = settings
  }

  deinit { monitor.deallocate() }

  var handlerNames: Set<String> { monitor.locked { Set(known.keys) } }
  var problems: [PluginError] { monitor.locked { refused } }
  var schemas: [String: InputSchema] { monitor.locked { inputSchemas } }
  var schemaProblems: [(handler: String, reason: String)] { monitor.locked { badSchemas } }
  var plugins: [LoadedPlugin] { monitor.locked { loader.plugins } }

  func handlers() throws(EngineError) -> [String: TaskHandler] {
    try monitor.locked { () throws(EngineError) in
      if stopped || isClosed { throw .stopped }
      return known
    }
  }

  /// Also when no more runs are taken: for those that go on.
  func openHandlers() throws(EngineError) -> [String: TaskHandler] {
    try monitor.locked { () throws(EngineError) in
      if stopped { throw .stopped }
      return known
    }
  }

  var isStopped: Bool { monitor.locked { stopped || isClosed } }

  func load(_ search: PluginSearch, _ scheduler: Scheduler) throws(EngineError) {
    do {
      refused = try loader.loadAll(search)
    } catch {
      throw .plugins(error)
    }
    for plugin in loader.plugins {
      for handler in plugin.handlers {
        // unsafe: valid until the plugin is unloaded, after the runtime has stopped.
        guard let index = scheduler.register(unsafe WorkflowRun.handler(for: handler.pointer)) else {
          throw .tooManyHandlers(limit: Scheduler.maxHandlers)
        }
        known[handler.qualifiedName] = unsafe TaskHandler(name: handler.qualifiedName, index: index, pointer: handler.pointer)
        takeSchema(of: handler)
        look(at: handler.outputSchema, "output_schema", of: handler.qualifiedName)
      }
      look(at: plugin.configurationSchema, "configuration_schema", of: plugin.name)
    }
  }

  /// Loads one more plugin. What it has not room for leaves nothing loaded. Throws `EngineError`.
  func load(file path: String, _ scheduler: Scheduler) throws(EngineError) {
    try monitor.locked { () throws(EngineError) in
      if stopped { throw .stopped }
      let plugin: LoadedPlugin
      do throws(PluginError) { plugin = try loader.load(path) } catch { throw .plugins(error) }
      if let taken = plugin.handlers.first(where: { known[$0.qualifiedName] != nil }) {
        // No run knows its handlers.
        plugin.unload()
        throw .duplicateHandler(taken.qualifiedName)
      }
      var added: [String: TaskHandler] = [:]
      for handler in plugin.handlers {
        // unsafe: as in `load`.
        guard let index = scheduler.register(unsafe WorkflowRun.handler(for: handler.pointer)) else {
          plugin.unload()
          throw .tooManyHandlers(limit: Scheduler.maxHandlers)
        }
        added[handler.qualifiedName] = unsafe TaskHandler(name: handler.qualifiedName, index: index, pointer: handler.pointer)
      }
      known.merge(added) { old, _ in old }
      for handler in plugin.handlers { takeSchema(of: handler) }
    }
  }

  /// Loads another build of a plugin beside the one that is there, for the runs that are pinned to it. Throws `PluginError` or `EngineError`.
  func load(build path: String, _ sha256: String, of name: String, _ scheduler: Scheduler) throws -> PinnedBuild {
    try monitor.locked {
      if let build = pinned[sha256] { return build }
      // unsafe: as in `init`. A loader of its own: the handlers have the names of those that are there.
      var loader = unsafe PluginLoader(host: hostTable, isolation: isolation, settings: settings)
      let plugin = try loader.load(path, sha256: sha256, named: name)
      var handlers: [String: TaskHandler] = [:]
      for handler in plugin.handlers {
        // unsafe: as in `load`.
        guard let index = scheduler.register(unsafe WorkflowRun.handler(for: handler.pointer)) else {
          // No run knows its handlers.
          plugin.unload()
          throw EngineError.tooManyHandlers(limit: Scheduler.maxHandlers)
        }
        handlers[handler.qualifiedName] = unsafe TaskHandler(name: handler.qualifiedName, index: index, pointer: handler.pointer)
      }
      let build = PinnedBuild(plugin: plugin, handlers: handlers)
      pinned[sha256] = build
      return build
    }
  }

  /// One that is no schema keeps nobody from running: its inputs are not looked at.
  private func takeSchema(of handler: LoadedHandler) {
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

  func unload() {
    monitor.locked {
      for build in pinned.values { build.plugin.unload() }
      pinned = [:]
      loader.unloadAll()
    }
  }
}
