internal import Glibc

/// Reads small text files, as those of /proc and /sys.
package enum SmallFile {
  /// Bytes at most; what lies behind is not read. A mount table may be long.
  package static let limit = 1 << 20

  /// The text of a file, or nil if it cannot be opened or read.
  package static func text(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    while bytes.count < limit {
      let room = min(limit - bytes.count, 65_536)
      let before = bytes.count
      var got = 0
      bytes.append(contentsOf: repeatElement(0, count: room))
      repeat {
        // Safe: `room` bytes lie behind `before`.
        got = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress! + before, room) }
      } while got < 0 && errno == EINTR
      guard got >= 0 else { return nil }
      bytes.removeLast(room - got)
      if got == 0 { break }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
