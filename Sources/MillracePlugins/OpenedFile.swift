import Glibc

/// A regular file, opened for reading. What is asked of it is asked of the file that was opened, whatever its path leads to by now.
struct OpenedFile: ~Copyable {
  let path: String
  let descriptor: Int32
  private let limit: Int64
  private var status = stat()

  private init(_ path: String, _ descriptor: Int32, limit: Int64) {
    self.path = path
    self.descriptor = descriptor
    self.limit = limit
  }

  /// - Parameter limit: bytes, at most.
  /// - Throws: `missing`, `unreadable`, `tooLarge`.
  static func open(_ path: String, limit: Int64) throws(PluginError) -> OpenedFile {
    // C would end the path there and open another file.
    guard !path.utf8.contains(0) else { throw .missing(path: path) }
    // Not blocking: opening a pipe must not wait for a writer.
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw errno == ENOENT || errno == ENOTDIR ? .missing(path: path) : .unreadable(path: path, reason: errorText())
    }
    var file = OpenedFile(path, descriptor, limit: limit)
    // unsafe: `status` outlives the call.
    guard unsafe fstat(descriptor, &file.status) == 0 else { throw .unreadable(path: path, reason: errorText()) }
    switch file.status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw .unreadable(path: path, reason: "it is a directory")
    case S_IFIFO: throw .unreadable(path: path, reason: "it is a pipe, not a regular file")
    case S_IFCHR, S_IFBLK: throw .unreadable(path: path, reason: "it is a device, not a regular file")
    default: throw .unreadable(path: path, reason: "it is not a regular file")
    }
    guard Int64(file.status.st_size) <= limit else { throw .tooLarge(path: path, bytes: Int64(file.status.st_size), limit: limit) }
    return file
  }

  deinit { close(descriptor) }

  /// Refuses a file that others may write: see ``FileTrust``.
  ///
  /// - Throws: `writableByOthers`, `foreignOwner`, `unreadable`.
  func checkTrust() throws(PluginError) {
    guard let realPath = linkTarget("/proc/self/fd/\(descriptor)"), realPath.hasPrefix("/") else {
      throw .unreadable(path: path, reason: "its real path is unknown: is /proc mounted?")
    }
    try FileTrust(path: path).check(file: status, realPath: realPath)
  }

  /// Hands its bytes on, a block at a time, until its end, which may have moved since it was opened.
  ///
  /// - Throws: `unreadable`, `tooLarge`, and what `body` throws.
  /// - Complexity: O(bytes).
  func forEachBlock(of blockBytes: Int, _ body: (UnsafeRawBufferPointer) throws(PluginError) -> Void) throws(PluginError) {
    // unsafe: freed below; every access stays within its `blockBytes`.
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
    defer { unsafe block.deallocate() }
    var size: Int64 = 0
    while true {
      let got = unsafe read(descriptor, block.baseAddress, blockBytes)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .unreadable(path: path, reason: errorText()) }
      guard got > 0 else { return }
      size += Int64(got)
      guard size <= limit else { throw .tooLarge(path: path, bytes: size, limit: limit) }
      try unsafe body(UnsafeRawBufferPointer(rebasing: block[..<got]))
    }
  }

  /// All of them. Throws as `forEachBlock`.
  func bytes() throws(PluginError) -> [UInt8] {
    var all: [UInt8] = []
    try unsafe forEachBlock(of: 1 << 16) { block throws(PluginError) in unsafe all.append(contentsOf: block) }
    return all
  }
}
