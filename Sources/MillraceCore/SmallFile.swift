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
    let isWhole = unsafe withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 16) { buffer in
      while bytes.count < limit {
        // Safe: at most as many bytes as the buffer has.
        let got = unsafe read(descriptor, buffer.baseAddress, buffer.count)
        if got < 0, errno == EINTR { continue }
        guard got > 0 else { return got == 0 }
        unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<got]))
      }
      return true
    }
    guard isWhole else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
