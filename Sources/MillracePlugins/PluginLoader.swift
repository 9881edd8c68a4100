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
  private var loaded: [LoadedPlugin] = []

  /// - Parameters:
  ///   - host: what plugins may call. Valid until every plugin is unloaded.
  ///   - fileLimit: bytes of a file, at most.
  ///   - trust: which builds may be loaded.
  ///   - settingsProblem: asked before `init`, on the thread that loads; nil: the plugin alone looks at its settings.
  public init(
    host: UnsafePointer<millrace_host>, fileLimit: Int64 = PluginLoader.largestFile, trust: PluginTrust = PluginTrust(),
    settingsProblem: SettingsProblem? = nil
  ) {
    unsafe self.host = host
    self.fileLimit = fileLimit
    self.trust = trust
    self.settingsProblem = settingsProblem
  }

  /// Loads one file. Its name is free. `sha256`: what it must have, before any of its code runs; nil: any.
  ///
  /// - Complexity: O(bytes of the file) for the copy and its SHA-256, and what the linker and `init` take.
  /// - Throws: every ``PluginError`` except `tooManyPlugins`.
  public mutating func load(_ path: String, sha256 expected: String? = nil) throws(PluginError) -> LoadedPlugin {
    loaded.removeAll { !$0.isLoaded }
    let copy = try PrivateCopy.make(of: path, limit: fileLimit)
    let sha256 = copy.sha256
    if let expected, expected != sha256 { throw .unreadable(path: path, reason: "it is another build: its SHA-256 is \(sha256)") }
    let signature = try trust.check(copy, path: path)
    let file = try ObjectFile(checking: DescriptorBytes(descriptor: copy.descriptor, size: copy.size), path: path)
    guard let bytes = file.manifest else { throw .missingManifest(path: path) }
    let manifest = try PluginManifest(parsing: bytes, path: path)
    try manifest.check(path: path)
    let object = try SharedObject(copy, mustStay: file.mustStay, path: path)
    let description: PluginDescription
    do throws(PluginError) {
      // The plugin's code runs here for the first time, apart from constructors of the library.
      description = try unsafe PluginDescription(object.entry(path: path)(MILLRACE_ABI_VERSION), path: path)
    } catch {
      object.close()
      throw error
    }
    do throws(PluginError) {
      if let schema = description.configurationSchema, let problem = settingsProblem?(description.name, schema) {
        throw .badSetting(path: path, plugin: "\(description.name) \(description.version)", reason: problem)
      }
      try start(description, path: path)
    } catch {
      if !description.stays { object.close() }
      throw error
    }
    do throws(PluginError) {
      let handlers = try description.handlers()
      try refuseDuplicates(handlers, path: path, sha256: sha256)
      let plugin = LoadedPlugin(
        description, handlers: handlers, manifest: manifest, path: path, sha256: sha256, signature: signature, object: object)
      loaded.append(plugin)
      return plugin
    } catch {
      // `init` succeeded, so that `deinit` is owed.
      description.deinitialize?()
      if !description.stays { object.close() }
      throw error
    }
  }

  /// Loads what a search finds, in its order. One refused plugin does not keep the others out.
  ///
  /// - Returns: why the others were refused; what was loaded is in ``plugins``.
  /// - Throws: what ``PluginSearch/files()`` throws, before anything is loaded.
  public mutating func loadAll(_ search: PluginSearch) throws(PluginError) -> [PluginError] {
    var refused: [PluginError] = []
    for file in try search.files() {
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
