import CCrypto
import CMillrace
import Glibc

/// A sealed copy of a plugin's file in memory: what was checked and hashed is what is loaded, whatever happens to the file.
///
/// The copy has a path of its own, so that a new version of the same file is another library to the dynamic linker. The
/// linker knows libraries by path and by inode: the descriptor must stay open for as long as the library is mapped, or
/// the number, and with it the path, would be given to another copy.
struct PrivateCopy: ~Copyable {
  static let blockBytes = 1 << 18

  let descriptor: Int32
  private(set) var size: UInt64 = 0
  /// SHA-256 of the bytes, 64 hexadecimal digits.
  private(set) var sha256 = ""
  /// Where the linker finds it.
  var path: String { "/proc/self/fd/\(descriptor)" }

  private init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Copies the plugin at `path` after checking who may write it.
  ///
  /// - Throws: `missing`, `unreadable`, `tooLarge`, `writableByOthers`, `foreignOwner`, `noPrivateCopy`.
  /// - Complexity: O(bytes of the file); one pass copies and hashes.
  static func make(of path: String, limit: Int64) throws(PluginError) -> PrivateCopy {
    // C would end the path there and open another file.
    guard !path.utf8.contains(0) else { throw .missing(path: path) }
    // Not blocking: opening a pipe must not wait for a writer.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else {
      throw errno == ENOENT || errno == ENOTDIR ? .missing(path: path) : .unreadable(path: path, reason: errorText())
    }
    defer { close(file) }
    try check(file, path: path, limit: limit)

    let made = unsafe millrace_memory_file("millrace-plugin")
    guard made >= 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
    var copy = PrivateCopy(descriptor: made)
    (copy.size, copy.sha256) = try fill(made, from: file, path: path, limit: limit)
    guard millrace_seal(made) == 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
    return copy
  }

  /// Copies a copy: what it was checked for, it still is. `path`: where the first one came from.
  ///
  /// - Throws: `unreadable`, `tooLarge`, `noPrivateCopy`.
  static func make(copying other: Int32, path: String, limit: Int64) throws(PluginError) -> PrivateCopy {
    guard lseek(other, 0, SEEK_SET) == 0 else { throw .unreadable(path: path, reason: errorText()) }
    let made = unsafe millrace_memory_file("millrace-plugin")
    guard made >= 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
    var copy = PrivateCopy(descriptor: made)
    (copy.size, copy.sha256) = try fill(made, from: other, path: path, limit: limit)
    guard millrace_seal(made) == 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
    return copy
  }

  private static func check(_ file: Int32, path: String, limit: Int64) throws(PluginError) {
    var status = stat()
    // `status` outlives the call.
    guard unsafe fstat(file, &status) == 0 else { throw .unreadable(path: path, reason: errorText()) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw .unreadable(path: path, reason: "it is a directory")
    case S_IFIFO: throw .unreadable(path: path, reason: "it is a pipe, not a regular file")
    case S_IFCHR, S_IFBLK: throw .unreadable(path: path, reason: "it is a device, not a regular file")
    default: throw .unreadable(path: path, reason: "it is not a regular file")
    }
    guard Int64(status.st_size) <= limit else { throw .tooLarge(path: path, bytes: Int64(status.st_size), limit: limit) }
    guard let realPath = linkTarget("/proc/self/fd/\(file)"), realPath.hasPrefix("/") else {
      throw .unreadable(path: path, reason: "its real path is unknown: is /proc mounted?")
    }
    try FileTrust(path: path).check(file: status, realPath: realPath)
  }

  /// Copies until the end of the file, which may have grown or shrunk since it was opened.
  private static func fill(_ copy: Int32, from file: Int32, path: String, limit: Int64) throws(PluginError) -> (UInt64, String) {
    guard var digest = Digest() else { throw .noPrivateCopy(path: path, reason: "libcrypto offers no SHA-256") }
    // Freed below; every access stays within its `blockBytes`.
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
    defer { unsafe block.deallocate() }
    var size: UInt64 = 0
    while true {
      let got = unsafe read(file, block.baseAddress, blockBytes)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .unreadable(path: path, reason: errorText()) }
      guard got > 0 else { break }
      size += UInt64(got)
      guard size <= UInt64(limit) else { throw .tooLarge(path: path, bytes: Int64(size), limit: limit) }
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: block[..<got])
      unsafe digest.update(bytes)
      var written = 0
      while written < got {
        let step = unsafe write(copy, bytes.baseAddress! + written, got - written)
        if step < 0 && errno == EINTR { continue }
        guard step > 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
        written += step
      }
    }
    return (size, digest.finish())
  }
}

/// SHA-256 by libcrypto.
@safe package struct Digest: ~Copyable {
  private let context: OpaquePointer

  /// Nil if libcrypto has no memory, or its configuration offers no SHA-256.
  package init?() {
    // The context is freed in `deinit`, or here.
    guard let made = unsafe EVP_MD_CTX_new() else { return nil }
    guard unsafe EVP_DigestInit_ex(made, EVP_sha256(), nil) == 1 else {
      unsafe EVP_MD_CTX_free(made)
      return nil
    }
    unsafe context = made
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let accepted = unsafe EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    precondition(accepted == 1, "a started digest takes bytes")
  }

  /// 64 hexadecimal digits.
  package consuming func finish() -> String {
    var bytes = [UInt8](repeating: 0, count: 32)
    // SHA-256 writes 32 bytes.
    let finished = unsafe EVP_DigestFinal_ex(context, &bytes, nil)
    precondition(finished == 1, "a started digest finishes")
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
