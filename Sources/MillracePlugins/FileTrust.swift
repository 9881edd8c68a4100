import Glibc

/// Who may write a plugin: whoever may, runs code in this process.
///
/// Refused: a file, or its directory, that anybody may write or that belongs to somebody who is neither root nor the
/// effective user; and any directory above, on the way as named and on the way of the file that was opened, that anybody
/// may write and that is not sticky.
struct FileTrust {
  let path: String
  let user: uid_t

  init(path: String) {
    self.path = path
    user = geteuid()
  }

  /// - Throws: `writableByOthers`, `foreignOwner`.
  func check(file: stat, realPath: String) throws(PluginError) {
    guard file.st_mode & S_IWOTH == 0 else { throw .writableByOthers(path: path, offender: realPath) }
    guard isTrusted(file.st_uid) else { throw .foreignOwner(path: path, offender: realPath, owner: file.st_uid) }
    try check(directoriesOf: realPath)
    let named = path.hasPrefix("/") ? path : currentDirectory() + "/" + path
    if named != realPath { try check(directoriesOf: named) }
  }

  private func check(directoriesOf file: String) throws(PluginError) {
    var rest = file[...]
    var isNearest = true
    while let slash = rest.lastIndex(of: "/") {
      rest = rest[..<slash]
      let directory = rest.isEmpty ? "/" : String(rest)
      // A part of a symbolic link's way that is gone since the file was opened cannot be judged.
      guard let status = status(of: directory) else { throw .unreadable(path: path, reason: "\(directory): \(errorText())") }
      guard status.st_mode & S_IWOTH == 0 || status.st_mode & S_ISVTX != 0 else {
        throw .writableByOthers(path: path, offender: directory)
      }
      guard !isNearest || isTrusted(status.st_uid) else {
        throw .foreignOwner(path: path, offender: directory, owner: status.st_uid)
      }
      isNearest = false
    }
  }

  private func isTrusted(_ owner: uid_t) -> Bool { owner == 0 || owner == user }
}

func status(of path: String) -> stat? {
  var status = stat()
  // `status` outlives the call.
  return unsafe stat(path, &status) == 0 ? status : nil
}

func currentDirectory() -> String {
  // A null buffer: the library allocates, we free.
  guard let name = unsafe getcwd(nil, 0) else { return "." }
  defer { unsafe free(name) }
  return unsafe String(cString: name)
}

/// The target of a symbolic link, as those of `/proc/self`.
func linkTarget(_ path: String) -> String? {
  let capacity = Int(PATH_MAX)
  var target = [CChar](repeating: 0, count: capacity)
  // At most `capacity` bytes are written.
  let count = unsafe readlink(path, &target, capacity)
  return (1..<capacity).contains(count) ? String(validating: target[..<count], as: UTF8.self) : nil
}

/// The words for the current `errno`.
func errorText() -> String {
  // The text is the C library's, copied at once.
  unsafe String(cString: strerror(errno))
}
