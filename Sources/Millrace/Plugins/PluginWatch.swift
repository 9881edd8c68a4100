internal import CMillrace
internal import Glibc
internal import MillraceCore
internal import MillracePlugins

/// The files that plugins came from, looked at from time to time: a build that appears in the place of an old one is swapped in.
///
/// A file counts as written when it was the same at two looks, so that one that is being written is not loaded by half. One that was refused is tried again when it
/// has changed once more.
struct PluginWatch {
  /// What tells one state of a file from another.
  struct Stamp: Hashable {
    var device: UInt64
    var inode: UInt64
    var size: Int64
    var seconds: Int
    var nanoseconds: Int

    /// nil: it is not there, or no regular file.
    init?(_ path: String) {
      var status = stat()
      // unsafe: `status` outlives the call.
      guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
      (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
      (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }
  }

  /// Nanoseconds between two looks.
  let interval: UInt64
  private(set) var due: UInt64 = 0
  /// As the files were when they were taken, or refused; and as they were at the last look, where that is something else.
  private var settled: [String: Stamp] = [:]
  private var seen: [String: Stamp] = [:]

  init(interval: UInt64) { self.interval = interval }

  /// The files that have changed since they were taken, and no more since the last look.
  mutating func look(_ paths: [String], now: UInt64) -> [String] {
    if now < due { return [] }
    let (next, overflow) = now.addingReportingOverflow(interval)
    due = overflow ? .max : next
    var changed: [String] = []
    for path in paths {
      // One that is just being replaced may be away for a moment.
      guard let stamp = Stamp(path) else { continue }
      guard let old = settled[path] else {
        settled[path] = stamp
        continue
      }
      if stamp == old {
        seen[path] = nil
      } else if seen[path] == stamp {
        seen[path] = nil
        settled[path] = stamp
        changed.append(path)
      } else {
        seen[path] = stamp
      }
    }
    let wanted = Set(paths)
    settled = settled.filter { wanted.contains($0.key) }
    seen = seen.filter { wanted.contains($0.key) }
    return changed
  }
}

extension EngineState {
  /// Follows the files of the plugins. Once, after they have been loaded.
  func watchFiles(interval: UInt64, _ options: SwapOptions) {
    monitor.locked {
      var watch = PluginWatch(interval: interval)
      _ = watch.look(current.values.map(\.plugin.path), now: 0)
      self.watch = (watch, options)
    }
    keeper.start(self)
    keeper.wake()
  }

  /// When to look again; `UInt64.max`: nobody follows them. The keeper's thread.
  func lookAtFiles(now: UInt64, _ scheduler: Scheduler) -> UInt64 {
    let changed = monitor.locked { () -> [String] in
      guard watch != nil else { return [] }
      let paths = Set(current.values.map(\.plugin.path)).sorted()
      return watch?.files.look(paths, now: now) ?? []
    }
    let options = monitor.locked { watch?.options } ?? SwapOptions()
    // What comes of it is told in the log.
    for path in changed { _ = swap(.file(path), options, scheduler) }
    return monitor.locked { watch?.files.due } ?? .max
  }
}
