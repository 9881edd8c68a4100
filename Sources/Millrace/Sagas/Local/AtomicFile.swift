internal import Glibc

/// Small files that are there as a whole or not at all, and on stable storage when a call returns. Throws `TaskFailure` of type `io`.
enum AtomicFile {
  /// Puts a file in the place of the one that is there. `mode`: permissions.
  static func write(_ bytes: [UInt8], to path: String, mode: mode_t) throws(TaskFailure) {
    let new = path + ".new"
    do throws(TaskFailure) {
      try fill(new, bytes, mode)
      if unsafe Glibc.rename(new, path) != 0 { throw .file(path) }
    } catch {
      // A second error would tell less than the first; the next write takes its place.
      unsafe _ = unlink(new)
      throw error
    }
    try syncDirectory(of: path)
  }

  private static func fill(_ path: String, _ bytes: [UInt8], _ mode: mode_t) throws(TaskFailure) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw .file(path) }
    defer { close(descriptor) }
    // What a crash left may have had other permissions.
    if fchmod(descriptor, mode) != 0 { throw .file(path) }
    try write(bytes, descriptor, path)
    if fsync(descriptor) != 0 { throw .file(path) }
  }

  private static func write(_ bytes: [UInt8], _ descriptor: Int32, _ path: String) throws(TaskFailure) {
    var done = 0
    while done < bytes.count {
      // unsafe: the rest of the array, for the call.
      let wrote = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress! + done, bytes.count - done) }
      if wrote < 0, errno == EINTR { continue }
      if wrote < 0 { throw .file(path) }
      done += wrote
    }
  }

  /// The bytes of a file; nil: it is not there.
  static func read(_ path: String) throws(TaskFailure) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      if errno == ENOENT { return nil }
      throw .file(path)
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
      // unsafe: filled in during the call.
      let got = unsafe block.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if got < 0, errno == EINTR { continue }
      if got < 0 { throw .file(path) }
      if got == 0 { return bytes }
      bytes += block[..<got]
    }
  }

  /// Removes a file, and what a crash left of one that was to take its place. Neither need be there.
  static func remove(_ path: String) throws(TaskFailure) {
    for file in [path + ".new", path] where unsafe unlink(file) != 0 && errno != ENOENT { throw .file(file) }
    try syncDirectory(of: path)
  }

  /// Makes a directory for its user only, if it is not there.
  static func makeDirectory(_ path: String) throws(TaskFailure) {
    if unsafe mkdir(path, 0o700) != 0 {
      if errno == EEXIST { return }
      throw .file(path)
    }
    try syncDirectory(of: path)
  }

  /// The path of what is there, from the root and without links.
  static func absolute(_ path: String) throws(TaskFailure) -> String {
    // unsafe: allocated by the call, copied and freed here.
    guard let real = unsafe realpath(path, nil) else { throw .file(path) }
    defer { unsafe free(real) }
    return unsafe String(cString: real)
  }

  /// Removes a directory and the files in it; neither need be there.
  static func removeDirectory(_ path: String, files: [String]) throws(TaskFailure) {
    for file in files where unsafe unlink("\(path)/\(file)") != 0 && errno != ENOENT { throw .file("\(path)/\(file)") }
    if unsafe rmdir(path) != 0 {
      if errno == ENOENT { return }
      throw .file(path)
    }
    try syncDirectory(of: path)
  }

  static func syncDirectory(of path: String) throws(TaskFailure) {
    let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    let descriptor = unsafe open(directory.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .file(directory) }
    defer { close(descriptor) }
    if fsync(descriptor) != 0, errno != EINVAL { throw .file(directory) }
  }
}
