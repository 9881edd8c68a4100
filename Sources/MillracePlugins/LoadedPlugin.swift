public import CMillrace
import Glibc
import Synchronization

/// A plugin in this process, from a successful `init` until ``unload()``.
///
/// # Threads
/// Its fields never change and may be read from any thread. `unload` belongs to the thread that loads, once no call of
/// its handlers is in progress.
///
/// Dropping the last reference unloads nothing: code that somebody may still run is never pulled away.
@safe public final class LoadedPlugin: Sendable {
  /// `[a-z0-9-]{1,127}`.
  public let name: String
  /// The plugin's own version.
  public let version: String
  /// One line for people.
  public let summary: String
  /// JSON Schema of its settings, as text; nil: it says nothing.
  public let configurationSchema: String?
  /// The layout of the interface that it was compiled with.
  public let manifest: PluginManifest
  /// The file it came from, as it was named.
  public let path: String
  /// SHA-256 of that file when it was loaded: the name of this build. 64 hexadecimal digits.
  public let sha256: String
  /// In the order of the plugin, 1 to 1,024. Their pointers are valid until `unload`.
  public let handlers: [LoadedHandler]
  /// Whether its code stays mapped after `unload`: it said MILLRACE_PLUGIN_STAYS, or the Swift runtime is inside.
  public let stays: Bool

  /// Its signature, if one was asked for.
  let signature: [UInt8]?
  /// Where its code is.
  enum Code {
    /// In this process, for as long as the object is mapped.
    case here(SharedObject)
    case apart(IsolatedPlugin)
  }

  let code: Code
  /// Of a plugin in this process.
  var object: SharedObject {
    guard case .here(let object) = code else { preconditionFailure("the plugin is in a process of its own") }
    return object
  }
  // Reads the plugin's memory, or what its process said of it; valid until `unload`.
  nonisolated(unsafe) let description: PluginDescription
  /// Where its code runs.
  public var isolation: PluginIsolation { isolated?.isolation ?? .inProcess }
  /// nil: its code is in this process.
  public var isolated: IsolatedPlugin? { if case .apart(let isolated) = code { isolated } else { nil } }
  private let unloaded = Atomic<Bool>(false)

  init(
    _ description: PluginDescription, handlers: [LoadedHandler], manifest: PluginManifest, path: String, sha256: String,
    signature: [UInt8]?, code: Code
  ) {
    name = description.name
    version = description.version
    summary = description.summary
    configurationSchema = description.configurationSchema
    self.manifest = manifest
    self.handlers = handlers
    self.path = path
    self.sha256 = sha256
    self.signature = signature
    self.code = code
    stays = if case .here(let object) = code { description.stays || object.mustStay } else { false }
    unsafe self.description = description
  }

  /// Whether `unload` has not been called.
  // Order: acquiring. Pairs with the exchange in `unload`.
  public var isLoaded: Bool { !unloaded.load(ordering: .acquiring) }

  /// Where the sealed copy of its file is, for this process.
  var copyPath: String {
    switch code {
    case .here(let object): object.mappedPath
    case .apart(let isolated): isolated.copyPath
    }
  }

  /// Writes the build as it was loaded to a file, and its signature beside it, on stable storage when this returns: a file is there wholly or not at all. Throws `unreadable`.
  /// Complexity: O(bytes of the file).
  public func copy(to path: String) throws(PluginError) {
    if let signature {
      try write(path + PluginTrust.signatureSuffix) { target in
        // unsafe: 64 bytes of an array that outlives the call.
        unsafe Glibc.write(target, signature, signature.count) == signature.count
      }
    }
    let source = unsafe open(copyPath, O_RDONLY | O_CLOEXEC)
    guard source >= 0 else { throw .unreadable(path: self.path, reason: errorText()) }
    defer { close(source) }
    try write(path) { target in
      var moved = 0
      repeat {
        // The kernel moves the bytes.
        moved = sendfile(target, source, nil, 1 << 30)
      } while moved > 0 || moved < 0 && errno == EINTR
      return moved == 0
    }
  }

  private func write(_ path: String, _ content: (Int32) -> Bool) throws(PluginError) {
    let part = "\(path).\(getpid()).part"
    let target = unsafe open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
    guard target >= 0 else { throw .unreadable(path: part, reason: errorText()) }
    defer {
      close(target)
      _ = unsafe unlink(part)
    }
    guard content(target) else { throw .unreadable(path: part, reason: errorText()) }
    let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    guard fsync(target) == 0, unsafe rename(part, path) == 0 else { throw .unreadable(path: path, reason: errorText()) }
    let folder = unsafe open(directory.isEmpty ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw .unreadable(path: directory, reason: errorText()) }
    defer { close(folder) }
    guard fsync(folder) == 0 else { throw .unreadable(path: directory, reason: errorText()) }
  }

  /// Whether the plugin has an extension of that id. On the thread that loads, before ``unload()``.
  package func has(extension id: String) -> Bool { unsafe description.extensionTable(id) != nil }

  /// Calls the plugin's `deinit` and unmaps its code, unless it ``stays``; ends the processes of an isolated one. A second call does nothing.
  public func unload() { unload {} }

  /// As ``unload()``; `look` is called between the two.
  package func unload(beforeUnmapping look: () -> Void) {
    // Order: acquiring and releasing. Pairs with the load in `isLoaded`; of two callers only one goes on.
    guard !unloaded.exchange(true, ordering: .acquiringAndReleasing) else { return }
    switch code {
    case .here(let object):
      // The object is still mapped.
      unsafe description.deinitialize?()
      look()
      if !stays { object.close() }
    case .apart(let isolated): isolated.stop()
    }
  }
}

/// One handler of a loaded plugin.
@safe public struct LoadedHandler: Sendable {
  /// `plugin/handler`.
  public let qualifiedName: String
  /// One line for people.
  public let summary: String
  /// JSON Schema of input 0, as text.
  public let inputSchema: String?
  /// JSON Schema of its output, as text. Nothing is checked against it.
  public let outputSchema: String?
  /// `MILLRACE_BLOCKING | MILLRACE_EXCLUSIVE`.
  public let flags: UInt32
  /// At most so many attempts at once; 0: no limit of its own.
  public let concurrency: UInt32
  /// The plugin's description, whose `run` and `context` an engine calls. Valid until the plugin is unloaded.
  // Immutable memory of the plugin.
  public internal(set) nonisolated(unsafe) var pointer: UnsafePointer<millrace_handler>
  /// How it runs several attempts in one call; nil: it does not. Valid as `pointer`.
  // As `pointer`.
  public internal(set) nonisolated(unsafe) var batch: UnsafePointer<millrace_batch_handler>? = nil

  /// The handler with its `run` made of batches of one attempt, whose outcomes have the status `UInt32.max` before; nil: it runs none. What its pointer leads to is never freed.
  package var batchOfOne: LoadedHandler? {
    guard let batch = unsafe batch else { return nil }
    var one = self
    let handler = UnsafeMutablePointer<millrace_handler>.allocate(capacity: 1)
    unsafe handler.initialize(to: pointer.pointee)
    unsafe handler.pointee.context = UnsafeMutableRawPointer(mutating: batch)
    unsafe handler.pointee.run = { batch, call, outcome in
      guard let batch = unsafe batch?.assumingMemoryBound(to: millrace_batch_handler.self), let outcome = unsafe outcome else {
        return .max
      }
      unsafe outcome.pointee.status = .max
      var (calls, outcomes) = unsafe (call, Optional(outcome))
      unsafe batch.pointee.run(batch.pointee.context, &calls, &outcomes, 1)
      return unsafe outcome.pointee.status
    }
    unsafe one.pointer = UnsafePointer(handler)
    unsafe one.batch = nil
    return one
  }
}
