internal import Glibc

/// Why a file could not be written.
struct FileError: Error, CustomStringConvertible {
  var path: String
  /// An errno value.
  var code: Int32

  var description: String { "cannot write \(path): \(Output.reason(code)); \(remedy)" }

  var isOutOfSpace: Bool { [ENOSPC, EDQUOT, EFBIG].contains(code) }

  private var remedy: String {
    switch code {
    case ENOSPC, EDQUOT, EFBIG: "free space there, or name another place"
    case EACCES, EPERM, EROFS: "name a place that you may write to"
    case ENOTDIR, EEXIST, EISDIR: "something of that name is in the way: name another place"
    case ENOENT: "make the directory first"
    default: "name another place"
    }
  }
}

/// Files that are there whole or not at all: written beside their place, synced, then renamed.
enum AtomicFile {
  static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    let place = resolved(path)
    if isSpecial(place) { return try fill(place, O_WRONLY | O_CLOEXEC, bytes, syncs: false) }
    let (folder, name) = split(place)
    let temporary = "\(folder)/.\(name).\(getpid()).part"
    // Left behind by a process of the same number that was killed. Paths are C strings for the call, here and below.
    _ = unsafe unlink(temporary)
    do throws(FileError) {
      try fill(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, bytes, syncs: true)
      guard unsafe rename(temporary, place) == 0 else { throw FileError(path: path, code: errno) }
    } catch {
      _ = unsafe unlink(temporary)
      throw FileError(path: path, code: error.code)
    }
    syncFolder(folder)
  }

  /// Makes a directory and those above it.
  static func makeFolder(_ path: String) throws(FileError) {
    var failure: Int32 = 0
    var end = path.startIndex
    while end < path.endIndex {
      end = path[end...].dropFirst().firstIndex(of: "/") ?? path.endIndex
      if unsafe mkdir(String(path[..<end]), 0o777) != 0, errno != EEXIST, failure == 0 { failure = errno }
    }
    var found = stat()
    // Filled in during the call.
    guard unsafe stat(path, &found) == 0 else { throw FileError(path: path, code: failure == 0 ? errno : failure) }
    guard found.st_mode & S_IFMT == S_IFDIR else { throw FileError(path: path, code: ENOTDIR) }
    guard unsafe access(path, W_OK | X_OK) == 0 else { throw FileError(path: path, code: errno) }
  }

  private static func fill(_ path: String, _ flags: Int32, _ bytes: [UInt8], syncs: Bool) throws(FileError) {
    let descriptor = unsafe open(path, flags, 0o666)
    guard descriptor >= 0 else { throw FileError(path: path, code: errno) }
    var code = Output.write(bytes, to: descriptor)
    if code == 0, syncs, fsync(descriptor) != 0 { code = errno }
    if close(descriptor) != 0, code == 0 { code = errno }
    guard code == 0 else { throw FileError(path: path, code: code) }
  }

  /// The name lasts only when the directory is synced; a file system that cannot do so has done what it can.
  private static func syncFolder(_ path: String) {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { return }
    fsync(descriptor)
    close(descriptor)
  }

  /// A link keeps pointing where it did: what it names is replaced.
  private static func resolved(_ path: String) -> String {
    // The result is ours to free.
    guard let found = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  /// Pipes and devices are written to, not replaced.
  private static func isSpecial(_ path: String) -> Bool {
    var found = stat()
    // Filled in during the call.
    guard unsafe stat(path, &found) == 0 else { return false }
    return found.st_mode & S_IFMT != S_IFREG && found.st_mode & S_IFMT != S_IFDIR
  }

  private static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let folder = String(path[..<slash])
    return (folder.isEmpty ? "/" : folder, String(path[path.index(after: slash)...]))
  }
}
