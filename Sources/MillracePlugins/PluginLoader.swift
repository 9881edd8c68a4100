public import CMillrace

/// Loads plugins for one host table, and knows which handlers are taken.
///
/// A file is copied, hashed and checked, its manifest too, before any of its code runs; then it is opened, its description is checked field
/// by field, and `init` is called. What fails leaves nothing loaded.
///
/// # Threads
/// A value for the thread that loads: the interface calls it [main].
///
/// # Source
/// The interface: `millrace/plugin.h`.
@safe public struct PluginLoader: ~Copyable {
  /// Bytes of a plugin's file, at most: 512 MiB.
  public static let largestFile: Int64 = 512 << 20
  /// Bytes of the reason a plugin gives for a failed `init`, with the NUL.
  static let reasonBytes = Int(MILLRACE_MESSAGE_BYTES)

  /// What is wrong with the settings of a plugin, by its name and its configuration schema; nil: nothing.
  public typealias SettingsProblem = @Sendable (_ plugin: String, _ schema: String) -> String?

  /// What is loaded, in the order of loading.
  public var plugins: [LoadedPlugin] { loaded.filter(\.isLoaded) }

  // The embedder's: valid until every plugin is unloaded, as the interface says.
  private let host: UnsafePointer<millrace_host>
  private let fileLimit: Int64
  private let trust: PluginTrust
  private let settingsProblem: SettingsProblem?
  private let isolation: IsolationChoice
  private let settings: [String: String]
  /// Who receives what isolated plugins say, and their clock.
  package var driver = IsolatedPlugin.Driver.thread
  package var clock: @Sendable () -> UInt64 = { millrace_monotonic() }
  private var loaded: [LoadedPlugin] = []

  /// - Parameters:
  ///   - host: what plugins may call. Valid until every plugin is unloaded.
  ///   - fileLimit: bytes of a file, at most.
  ///   - trust: which builds may be loaded.
  ///   - isolation: which plugins run in processes of their own.
  ///   - settings: what those are told of them, each its own.
  ///   - settingsProblem: asked before `init`, on the thread that loads, and of an isolated plugin after it; nil: the plugin alone looks at its settings.
  public init(
    host: UnsafePointer<millrace_host>, fileLimit: Int64 = PluginLoader.largestFile, trust: PluginTrust = PluginTrust(),
    isolation: IsolationChoice = IsolationChoice(), settings: [String: String] = [:], settingsProblem: SettingsProblem? = nil
  ) {
    unsafe self.host = host
    self.fileLimit = fileLimit
    self.trust = trust
    self.isolation = isolation
    self.settings = settings
    self.settingsProblem = settingsProblem
  }

  /// Loads one file. Its name is free. `sha256`: what it must have, before any of its code runs; nil: any. `named`: by which it is isolated, if its file
  /// does not say so.
  ///
  /// - Complexity: O(bytes of the file) for the copy and its SHA-256, and what the linker and `init` take.
  /// - Throws: every ``PluginError`` except `tooManyPlugins`.
  public mutating func load(_ path: String, sha256 expected: String? = nil, named given: String? = nil) throws(PluginError) -> LoadedPlugin
  {
    try load(PrivateCopy.make(of: path, limit: fileLimit), path, sha256: expected, named: given, isBeside: false)
  }

  /// As above, beside another build of the plugin that this loader does not know. Of code that can never be unmapped a process takes
  /// ``LoadedPlugin/mostMapped`` builds so. nil: it is one of the builds `known`, and none of its code has run.
  ///
  /// - Throws: as `load`, and `tooManyMapped` before any of its code runs.
  package mutating func load(beside path: String, unlike known: Set<String>) throws(PluginError) -> LoadedPlugin? {
    let copy = try PrivateCopy.make(of: path, limit: fileLimit)
    return known.contains(copy.sha256) ? nil : try load(copy, path, sha256: nil, isBeside: true)
  }

  /// As above, of a build that was loaded before.
  package mutating func load(beside kept: KeptPlugin) throws(PluginError) -> LoadedPlugin {
    try load(
      PrivateCopy.make(copying: kept.descriptor, limit: fileLimit), kept.path, sha256: kept.sha256, isBeside: true,
      signature: kept.signature)
  }

  private mutating func load(
    _ copy: consuming PrivateCopy, _ path: String, sha256 expected: String?, named given: String? = nil, isBeside: Bool,
    signature checked: [UInt8]?? = nil
  ) throws(PluginError) -> LoadedPlugin {
    loaded.removeAll { !$0.isLoaded }
    let sha256 = copy.sha256
    if let expected, expected != sha256 { throw .unreadable(path: path, reason: "it is another build: its SHA-256 is \(sha256)") }
    // One that was loaded before was trusted then; what lies beside its path by now may be another one's.
    let signature: [UInt8]? = if let checked { checked } else { try trust.check(copy, path: path) }
    let file = try ObjectFile(checking: DescriptorBytes(descriptor: copy.descriptor, size: copy.size), path: path)
    guard let bytes = file.manifest else { throw .missingManifest(path: path) }
    let manifest = try PluginManifest(parsing: bytes, path: path)
    try manifest.check(path: path)
    let name = given ?? IsolationChoice.name(ofFile: path)
    let isolation = isolation.isolation(of: name)
    if let bounds = isolation.bounds { return try loadApart(copy, manifest, path, name, signature, isolation, bounds) }
    if isBeside, file.mustStay, !LoadedPlugin.mayMapForGood() { throw .tooManyMapped(path: path, limit: LoadedPlugin.mostMapped) }
    let object = try SharedObject(copy, mustStay: file.mustStay, path: path)
    let description: PluginDescription
    do throws(PluginError) {
      // The plugin's code runs here for the first time, apart from constructors of the library.
      description = try unsafe PluginDescription(object.entry(path: path)(MILLRACE_ABI_VERSION), path: path)
      // It says so itself: none of its code but the entry has run.
      if isBeside, description.stays, !file.mustStay, !LoadedPlugin.mayMapForGood() {
        throw PluginError.tooManyMapped(path: path, limit: LoadedPlugin.mostMapped)
      }
      try refuseMisnamed(description.name, name, path: path)
    } catch {
      object.close()
      throw error
    }
    do throws(PluginError) {
      try checkSettings(of: description, path: path)
      try start(description, path: path)
    } catch {
      if !description.stays { object.close() }
      throw error
    }
    do throws(PluginError) {
      let handlers = try description.handlers()
      try refuseDuplicates(handlers, path: path, sha256: sha256)
      let plugin = LoadedPlugin(
        description, handlers: handlers, manifest: manifest, path: path, sha256: sha256, signature: signature, code: .here(object))
      loaded.append(plugin)
      return plugin
    } catch {
      // `init` succeeded, so that `deinit` is owed.
      description.deinitialize?()
      if !description.stays { object.close() }
      throw error
    }
  }

  /// As `load`, into processes of its own.
  private mutating func loadApart(
    _ copy: consuming PrivateCopy, _ manifest: PluginManifest, _ path: String, _ name: String?, _ signature: [UInt8]?,
    _ isolation: PluginIsolation, _ bounds: IsolationBounds
  ) throws(PluginError) -> LoadedPlugin {
    let sha256 = copy.sha256
    let isolated = try unsafe IsolatedPlugin(
      copy, path: path, name: name, isolation: isolation, bounds: bounds, settings: settings, host: host, driver: driver, clock: clock)
    try isolated.start()
    do throws(PluginError) {
      guard let told = isolated.description else { preconditionFailure("a plugin that has started has described itself") }
      let description = try unsafe PluginDescription(UnsafePointer(told.plugin), path: path)
      try checkSettings(of: description, path: path)
      let handlers = try description.handlers()
      // The engine waits for late code by the thread that it runs on: here it has none.
      if let exclusive = handlers.first(where: { $0.flags & UInt32(MILLRACE_EXCLUSIVE) != 0 }) {
        throw .badIsolation(
          path: path, reason: "\(exclusive.qualifiedName) says MILLRACE_EXCLUSIVE, which only the engine's own process keeps")
      }
      try refuseDuplicates(handlers, path: path, sha256: sha256)
      isolated.serve(handlers)
      let plugin = LoadedPlugin(
        description, handlers: handlers, manifest: manifest, path: path, sha256: sha256, signature: signature, code: .apart(isolated))
      loaded.append(plugin)
      return plugin
    } catch {
      isolated.stop()
      throw error
    }
  }

  /// One that is to be isolated, but whose file does not say who it is, must not get a call in this process.
  private func refuseMisnamed(_ name: String, _ known: String?, path: String) throws(PluginError) {
    guard known != name, let wanted = isolation.plugins[name], wanted != .inProcess else { return }
    throw .badIsolation(
      path: path, reason: "it is plugin \(name), which is to be isolated, but its file is not called libmillrace-plugin-\(name).so")
  }

  /// Loads what a search finds, in its order. One refused plugin does not keep the others out.
  ///
  /// - Returns: why the others were refused; what was loaded is in ``plugins``.
  /// - Throws: what ``PluginSearch/files()`` throws, and `badIsolation` for a plugin that is not there, before anything is loaded.
  public mutating func loadAll(_ search: PluginSearch) throws(PluginError) -> [PluginError] {
    var refused: [PluginError] = []
    let files = try search.files()
    let names = Set(files.compactMap(IsolationChoice.name))
    // A typing error must not leave a plugin in this process.
    if let unknown = isolation.plugins.keys.sorted().first(where: { !names.contains($0) && isolation.plugins[$0] != .inProcess }) {
      throw .badIsolation(path: unknown, reason: "no file libmillrace-plugin-\(unknown).so was found")
    }
    for file in files {
      do throws(PluginError) {
        _ = try load(file)
      } catch {
        refused.append(error)
      }
    }
    return refused
  }

  /// Unloads every plugin, the last one first. No call of a handler may be in progress.
  public mutating func unloadAll() {
    while let plugin = loaded.popLast() { plugin.unload() }
  }

  private func checkSettings(of description: PluginDescription, path: String) throws(PluginError) {
    guard let schema = description.configurationSchema, let problem = settingsProblem?(description.name, schema) else { return }
    throw .badSetting(path: path, plugin: "\(description.name) \(description.version)", reason: problem)
  }

  private func start(_ description: PluginDescription, path: String) throws(PluginError) {
    guard let initialize = unsafe description.initialize else { return }
    var reason = [CChar](repeating: 0, count: Self.reasonBytes)
    // Whatever the plugin leaves there, the text ends at the first NUL or at the capacity.
    let result = unsafe initialize(host, &reason, Self.reasonBytes)
    guard result == 0 else {
      let text = String(decoding: reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      let words = text.isEmpty ? "it returned \(result) and gave no reason" : text
      throw .failedInit(path: path, plugin: "\(description.name) \(description.version)", reason: words)
    }
  }

  private func refuseDuplicates(_ handlers: [LoadedHandler], path: String, sha256: String) throws(PluginError) {
    for other in loaded {
      let taken = Set(other.handlers.map(\.qualifiedName))
      for handler in handlers where taken.contains(handler.qualifiedName) {
        throw .duplicateHandler(
          path: path, handler: handler.qualifiedName, build: sha256, other: other.path, otherBuild: other.sha256)
      }
    }
  }
}
