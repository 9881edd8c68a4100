internal import CMillrace
internal import Glibc
internal import MillraceCore

/// How a write becomes stable.
public enum WriteWay: String, Sendable, CaseIterable {
  /// Past the page cache, stable when the write returns: O_DIRECT | O_DSYNC.
  case direct
  /// Stable when the write returns: O_DSYNC.
  case dataSync
  /// A write, then fdatasync.
  case sync

  var isDirect: Bool { self == .direct }

  /// As `millrace_open_at` takes it.
  var how: Int {
    switch self {
    case .direct: MILLRACE_DIRECT | MILLRACE_DATA_SYNC
    case .dataSync: MILLRACE_DATA_SYNC
    case .sync: 0
    }
  }

  /// The fastest that works in this directory: each is tried with `Probe.writes` writes of one unit, and the least time counts, since others may be at the
  /// disk meanwhile. Of two that are nearly equal the first in the order of the cases is taken. A way that fails is left out; `sync` must work.
  static func probe(_ folder: Int32, unit: Int) throws(StorageError) -> WriteWay {
    var best = WriteWay.sync
    var least = UInt64.max
    for way in WriteWay.allCases {
      do throws(StorageError) {
        let time = try Probe.least(way, folder, unit: unit)
        // An eighth less, or it is not worth it.
        if time < least - least / 8 { (best, least) = (way, time) }
      } catch {
        // Not every file system knows every flag. Without the last way there is none.
        if way == .sync, least == .max { throw error }
      }
    }
    return best
  }
}

/// Times small writes.
private enum Probe {
  static let writes = 9
  static let name = "probe"

  static func least(_ way: WriteWay, _ folder: Int32, unit: Int) throws(StorageError) -> UInt64 {
    // One that a killed process left behind.
    unsafe _ = unlinkat(folder, name, 0)
    defer { unsafe _ = unlinkat(folder, name, 0) }
    try DirectoryFile(folder, name, how: MILLRACE_CREATE, .sync).fill(unit * writes) { _ in 1 << 20 }
    let file = try DirectoryFile(folder, name, how: MILLRACE_WRITE, way)
    var memory: UnsafeMutableRawPointer?
    // unsafe: filled in by the call; ours alone, given back below.
    guard unsafe posix_memalign(&memory, unit, unit) == 0, let bytes = unsafe memory else { throw .of("posix_memalign", name, ENOMEM) }
    defer { unsafe free(bytes) }
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 1, count: unit)
    var least = UInt64.max
    for index in 0..<writes {
      let begin = millrace_monotonic()
      try unsafe file.write(UnsafeRawBufferPointer(start: bytes, count: unit), at: index * unit)
      least = min(least, millrace_monotonic() - begin)
    }
    return least
  }
}

/// What a disk writes at once.
enum DiskUnit {
  static let least = 4096
  static let most = 64 << 10

  /// The larger of a page and the physical block of the device under a directory; a page where the system does not tell.
  static func bytes(of folder: Int32) throws(StorageError) -> Int {
    var facts = stat()
    guard unsafe fstat(folder, &facts) == 0 else { throw .last("fstat", "") }
    let device = "/sys/dev/block/\(millrace_major(UInt64(facts.st_dev))):\(millrace_minor(UInt64(facts.st_dev)))"
    // A partition has its queue one folder up.
    let text = SmallFile.text(device + "/queue/physical_block_size") ?? SmallFile.text(device + "/../queue/physical_block_size")
    let block = text.flatMap { Int($0.prefix { $0.isNumber }) } ?? least
    guard block.nonzeroBitCount == 1, block <= most else { return least }
    return max(least, block)
  }
}
