internal import Glibc

/// A directory for a while, removed with all that is in it.
final class Scratch {
  let path: String

  /// In `base`; nil: where temporary files are.
  init(in base: String? = nil) throws(Refusal) {
    let base = base ?? (unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp")
    var template = Array("\(base)/.millrace-XXXXXX".utf8CString)
    // NUL-terminated and writable.
    guard unsafe mkdtemp(&template) != nil else {
      throw Refusal(.tryAgain, "a directory in \(base) cannot be made: \(Output.reason(errno))")
    }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path, depth: 0) }

  /// What cannot be removed stays, in a place for such. No link is followed.
  private static func remove(_ path: String, depth: Int) {
    guard unsafe Glibc.remove(path) != 0, errno == ENOTEMPTY || errno == EEXIST, depth < 64, let open = unsafe opendir(path) else { return }
    while let entry = unsafe readdir(open) {
      // The kernel ends the name with a NUL; it is ours until the next call.
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { remove("\(path)/\(name)", depth: depth + 1) }
    }
    unsafe _ = closedir(open)
    unsafe _ = Glibc.remove(path)
  }
}
