internal import CMillrace
internal import Glibc

/// A directory of a file system.
public final class DirectoryStorage: LogStorage, @unchecked Sendable {
  /// The directory.
  public let path: String
  public let unit: Int
  /// How writes reach the disk.
  public let way: WriteWay
  private let folder: Int32
  /// The descriptor that holds the lock, or -1. Set by `lock` and `unlock`, which the owner of the log calls, one at a time.
  private var lockDescriptor: Int32 = -1
  static let lockName = "lock"

  /// Opens a directory.
  ///
  /// - Parameters:
  ///   - path: of the directory.
  ///   - create: makes it, not its parents, if it is not there.
  ///   - way: nil: the fastest that works here, found by some thirty small writes to a file `probe`, which is removed again.
  public init(_ path: String, create: Bool = true, way: WriteWay? = nil) throws(StorageError) {
    self.path = path
    if create, unsafe mkdir(path, 0o750) != 0, errno != EEXIST { throw .last("mkdir", path) }
    let descriptor = unsafe millrace_open_at(-1, path, Int32(MILLRACE_DIRECTORY))
    guard descriptor >= 0 else { throw .of("open", path, -descriptor) }
    folder = descriptor
    do throws(StorageError) {
      if create { try Self.syncParent(of: path) }
      unit = try DiskUnit.bytes(of: descriptor)
      self.way = if let way { way } else { try WriteWay.probe(descriptor, unit: unit) }
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit {
    unlock()
    close(folder)
  }

  /// The files live in memory only: nothing survives the machine.
  public var isMemory: Bool { millrace_is_memory(folder) == 1 }

  private static func syncParent(of path: String) throws(StorageError) {
    let descriptor = unsafe millrace_open_at(-1, path + "/..", Int32(MILLRACE_DIRECTORY))
    guard descriptor >= 0 else { throw .of("open", path + "/..", -descriptor) }
    defer { close(descriptor) }
    // Some file systems cannot sync a directory and need not.
    if fsync(descriptor) != 0, errno != EINVAL { throw .last("fsync", path + "/..") }
  }

  public func names() throws(StorageError) -> [String] {
    let again = unsafe millrace_open_at(folder, ".", Int32(MILLRACE_DIRECTORY))
    guard again >= 0 else { throw .of("open", path, -again) }
    guard let stream = unsafe fdopendir(again) else {
      close(again)
      throw .last("opendir", path)
    }
    // Closes the descriptor, too.
    defer { unsafe _ = closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(stream) else {
        if errno != 0 { throw .last("readdir", path) }
        return names
      }
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
        // Safe: a name ends with a zero byte within its field.
        unsafe String(cString: UnsafeRawPointer(field).assumingMemoryBound(to: CChar.self))
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  public func create(_ name: String, bytes: Int, pace: (Int) -> Int) throws(StorageError) -> any LogFile {
    // Past the page cache, if commits go there, too: what it holds of a file is in the way of a direct write. One sync for all of it; then opened as it is written.
    let file = try DirectoryFile(folder, name, how: MILLRACE_CREATE | (way.isDirect ? MILLRACE_DIRECT : 0), .sync)
    do throws(StorageError) {
      try file.fill(bytes, pace: pace)
      return try open(name, writing: true)
    } catch {
      // What was begun is of no use to anybody; a second error would tell less than the first.
      unsafe _ = unlinkat(folder, name, 0)
      throw error
    }
  }

  public func open(_ name: String, writing: Bool) throws(StorageError) -> any LogFile {
    try DirectoryFile(folder, name, how: writing ? MILLRACE_WRITE : MILLRACE_READ, writing ? way : nil)
  }

  public func rename(_ name: String, to other: String) throws(StorageError) {
    // renameat would take the place of a file: the caller knows that there is none, since it holds the lock.
    if unsafe renameat(folder, name, folder, other) != 0 { throw .last("rename", name) }
  }

  /// Removes a file.
  public func remove(_ name: String) throws(StorageError) {
    if unsafe unlinkat(folder, name, 0) != 0 { throw .last("unlink", name) }
  }

  public func syncNames() throws(StorageError) {
    while fsync(folder) != 0 {
      if errno == EINTR { continue }
      throw .last("fsync", path)
    }
  }

  public func lock(owner: String) throws(StorageError) {
    let descriptor = unsafe millrace_open_at(folder, Self.lockName, Int32(MILLRACE_WRITE | MILLRACE_OR_CREATE))
    guard descriptor >= 0 else { throw .of("open", Self.lockName, -descriptor) }
    let result = millrace_lock_file(descriptor)
    guard result == 1 else {
      defer { close(descriptor) }
      if result < 0 { throw .of("flock", Self.lockName, -result) }
      let other = SmallText.read(descriptor)
      throw StorageError(
        "lock", path, code: EWOULDBLOCK, "in use by \(other.isEmpty ? "another process" : other): stop it, or use another directory")
    }
    // Only told to whoever is refused: that it could not be written hinders nobody.
    do throws(StorageError) { try Self.put(owner + "\n", descriptor) } catch {
      close(descriptor)
      throw error
    }
    lockDescriptor = descriptor
  }

  /// The one line of the file of the lock.
  private static func put(_ line: String, _ descriptor: Int32) throws(StorageError) {
    while ftruncate(descriptor, 0) != 0 {
      if errno != EINTR { throw .last("ftruncate", lockName) }
    }
    var rest = Array(line.utf8)[...]
    while !rest.isEmpty {
      // Safe: the bytes outlive the call.
      let wrote = unsafe rest.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(line.utf8.count - rest.count)) }
      if wrote < 0, errno != EINTR { throw .last("write", lockName) }
      rest = rest.dropFirst(max(0, wrote))
    }
  }

  /// Gives the lock back.
  public func unlock() {
    if lockDescriptor >= 0 { close(lockDescriptor) }
    lockDescriptor = -1
  }
}

private enum SmallText {
  /// The first line of a small file.
  static func read(_ descriptor: Int32) -> String {
    unsafe withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { buffer in
      // Safe: at most as many bytes as the buffer has.
      let got = unsafe pread(descriptor, buffer.baseAddress, buffer.count, 0)
      let line = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<max(0, got)]).prefix { $0 != UInt8(ascii: "\n") }
      return unsafe String(decoding: line, as: UTF8.self)
    }
  }
}

extension StorageError {
  static func of(_ call: String, _ file: String, _ code: Int32) -> StorageError {
    // Safe: the system's own text for a number, copied at once.
    StorageError(call, file, code: code, unsafe strerror(code).map { unsafe String(cString: $0) } ?? "errno \(code)")
  }
  static func last(_ call: String, _ file: String) -> StorageError { of(call, file, errno) }
}
