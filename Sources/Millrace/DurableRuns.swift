internal import CMillrace
internal import Glibc
internal import MillraceCore
internal import MillraceLog
internal import MillracePlugins
internal import MillraceWorkflow

/// What an engine has for durable runs: the store of their events, and the builds of plugins that they are pinned to.
final class DurableRuns: Sendable {
  let runs: RunStore
  let builds: BuildShelf?
  /// The engine's own log, which it closes; nil: the store is the embedder's.
  private let log: EventLog?

  /// `store`: the embedder's; `directory`: of the engine's own log, and of builds; `boot`: as `Engine.Configuration.bootClock`. Throws `EngineError`.
  init?(
    _ store: (any EventStore)?, _ directory: String?, wall: @escaping @Sendable () -> Int64,
    boot: (@Sendable () -> (id: String, nanoseconds: UInt64))? = nil, report: @escaping @Sendable (String) -> Void
  ) throws(EngineError) {
    guard store != nil || directory != nil else { return nil }
    // Segments go by their age, whatever runs are open in them.
    if (store as? EventLog)?.forgets == true {
      throw .data(
        "", "the log's retention has a bound, by which runs that go on would lose their beginnings: record runs in a log that keeps all")
    }
    let id = DurableRuns.bootID()
    let boot = boot ?? { (id, millrace_boottime()) }
    let now = { @Sendable in
      let (id, nanoseconds) = boot()
      return DurableTime(wall: wall(), boot: nanoseconds, bootID: id)
    }
    builds = try directory.map { path throws(EngineError) in
      try DurableRuns.make(path)
      return try BuildShelf(path + "/builds")
    }
    if let store {
      log = nil
      runs = RunStore(store, now: now, report: report, spawn: OwnThread.run)
      return
    }
    do {
      let log = try EventLog(DirectoryStorage((directory ?? "") + "/log"))
      self.log = log
      runs = RunStore(log, now: now, report: report, spawn: OwnThread.run)
    } catch { throw .data(directory ?? "", "\(error)") }
  }

  static func make(_ path: String) throws(EngineError) {
    if unsafe mkdir(path, 0o750) != 0, errno != EEXIST { throw .data(path, unsafe String(cString: strerror(errno))) }
  }

  /// Of this boot of the machine; empty, so that the wall clock decides, if the system does not tell.
  static func bootID() -> String {
    guard let file = unsafe fopen("/proc/sys/kernel/random/boot_id", "r") else { return "" }
    defer { unsafe fclose(file) }
    var text = [CChar](repeating: 0, count: 64)
    guard unsafe fgets(&text, Int32(text.count), file) != nil else { return "" }
    return String(decoding: text.prefix { $0 > 32 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// After the engine's threads have ended: waits for what is being recorded, and closes the engine's own log.
  func close() {
    runs.close()
    log?.close()
  }
}

/// Builds of plugins by their SHA-256, kept for the runs that are pinned to them: `builds/SHA256.so`.
final class BuildShelf: @unchecked Sendable {
  private let directory: String
  private let monitor = Monitor()
  private var kept: Set<String> = []

  /// Makes the directory if it is not there. Throws `EngineError`.
  init(_ directory: String) throws(EngineError) {
    self.directory = directory
    try DurableRuns.make(directory)
  }

  deinit { monitor.deallocate() }

  func path(_ sha256: String) -> String { "\(directory)/\(sha256).so" }

  /// Keeps a build, on stable storage when this returns. Throws `EngineError`.
  func keep(_ plugin: LoadedPlugin) throws(EngineError) {
    try monitor.locked { () throws(EngineError) in
      if kept.contains(plugin.sha256) { return }
      let path = path(plugin.sha256)
      if unsafe access(path, R_OK) != 0 {
        do throws(PluginError) { try plugin.copy(to: path) } catch { throw .data(path, "\(error)") }
      }
      kept.insert(plugin.sha256)
    }
  }

  /// Removes the builds that are not among `needed`, nor kept by this process. Gives what could not be removed, and why. Complexity: O(files in the directory).
  func sweep(needed: Set<String>) -> [String] {
    monitor.locked {
      guard let listing = unsafe opendir(directory) else { return ["\(directory): \(unsafe String(cString: strerror(errno)))"] }
      defer { unsafe closedir(listing) }
      var names: [String] = []
      while let entry = unsafe readdir(listing) {
        // unsafe: the entry's, until the next one is read; copied at once.
        names.append(
          unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
            unsafe name.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
          })
      }
      var problems: [String] = []
      for name in names where name.hasSuffix(".so") {
        let sha256 = String(name.dropLast(3))
        // Nothing but what was put here.
        guard sha256.utf8.count == 64, !needed.contains(sha256), !kept.contains(sha256) else { continue }
        for path in [directory + "/" + name, directory + "/" + name + PluginTrust.signatureSuffix] {
          if unsafe unlink(path) != 0, errno != ENOENT { problems.append("\(path): \(unsafe String(cString: strerror(errno)))") }
        }
      }
      return problems
    }
  }
}
