internal import CMillrace
internal import Glibc

/// One file of a `DirectoryStorage`.
final class DirectoryFile: LogFile, @unchecked Sendable {
  let name: String
  private let descriptor: Int32
  /// nil: for reading only.
  private let way: WriteWay?
  private(set) var bytes: Int
  private let isDirect: Bool

  init(_ folder: Int32, _ name: String, how: Int, _ way: WriteWay?) throws(StorageError) {
    self.name = name
    self.way = way
    isDirect = (how | (way?.how ?? 0)) & MILLRACE_DIRECT != 0
    descriptor = unsafe millrace_open_at(folder, name, Int32(how | (way?.how ?? 0)))
    guard descriptor >= 0 else {
      bytes = 0
      throw .of("open", name, -descriptor)
    }
    var facts = stat()
    guard unsafe fstat(descriptor, &facts) == 0 else {
      bytes = 0
      throw .last("fstat", name)
    }
    bytes = Int(facts.st_size)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Takes the room and writes it, so that a later write needs no change of the file's map.
  func fill(_ bytes: Int, pace: (Int) -> Int) throws(StorageError) {
    while true {
      let code = posix_fallocate(descriptor, 0, off_t(bytes))
      if code == EINTR { continue }
      if code != 0 { throw .of("fallocate", name, code) }
      break
    }
    let step = min(bytes, 1 << 20)
    var memory: UnsafeMutableRawPointer?
    // unsafe: filled in by the call; ours alone, given back below.
    guard unsafe posix_memalign(&memory, 4096, step) == 0, let zeros = unsafe memory else { throw .of("posix_memalign", name, ENOMEM) }
    defer { unsafe free(zeros) }
    unsafe zeros.initializeMemory(as: UInt8.self, repeating: 0, count: step)
    var offset = 0
    while offset < bytes {
      let most = pace(offset)
      guard most > 0 else { throw .of("write", name, ECANCELED) }
      let count = min(step, most, bytes - offset)
      try unsafe writeAll(UnsafeRawBufferPointer(start: zeros, count: count), at: offset, multiple: isDirect ? 512 : 1)
      offset += count
      // What piles up in the page cache would be written at once, and stand in the way of commits.
      if !isDirect, offset % (1 << 20) == 0 { try sync() }
    }
    try sync()
    self.bytes = bytes
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(StorageError) -> Int {
    var done = 0
    while done < buffer.count {
      // Safe: within the buffer.
      let got = unsafe pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
      if got < 0 {
        if errno == EINTR { continue }
        throw .last("read", name)
      }
      if got == 0 { break }
      done += got
    }
    return done
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
    guard let way else { throw .of("write", name, EBADF) }
    try unsafe writeAll(bytes, at: offset, multiple: isDirect ? 512 : 1)
    if way == .sync { try sync() }
  }

  /// A write that took only a part goes on behind it, if that is a multiple of `multiple`.
  private func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int, multiple: Int) throws(StorageError) {
    var done = 0
    while done < bytes.count {
      // Safe: within the caller's bytes.
      let wrote = unsafe pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if wrote < 0 {
        if errno == EINTR { continue }
        throw .last("write", name)
      }
      guard wrote > 0, wrote % multiple == 0 else { throw .of("write", name, EIO) }
      done += wrote
    }
  }

  /// Never again after an error: the kernel may have dropped what it could not write, and would call the next sync a success.
  private func sync() throws(StorageError) {
    while fdatasync(descriptor) != 0 {
      if errno == EINTR { continue }
      throw .last("fdatasync", name)
    }
  }
}
