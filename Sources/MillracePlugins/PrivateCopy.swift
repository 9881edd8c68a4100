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
    let file = try OpenedFile.open(path, limit: limit)
    try file.checkTrust()
    let made = unsafe millrace_memory_file("millrace-plugin")
    guard made >= 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
    var copy = PrivateCopy(descriptor: made)
    (copy.size, copy.sha256) = try fill(made, from: file)
    guard millrace_seal(made) == 0 else { throw .noPrivateCopy(path: path, reason: errorText()) }
    return copy
  }

  private static func fill(_ copy: Int32, from file: borrowing OpenedFile) throws(PluginError) -> (UInt64, String) {
    guard var digest = Digest() else { throw .noPrivateCopy(path: file.path, reason: "libcrypto offers no SHA-256") }
    let path = file.path
    var size: UInt64 = 0
    // unsafe: the block is read within its bounds.
    try unsafe file.forEachBlock(of: blockBytes) { block throws(PluginError) in
      size += UInt64(block.count)
      unsafe digest.update(block)
      var written = 0
      while written < block.count {
        let step = unsafe write(copy, block.baseAddress! + written, block.count - written)
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
