internal import Glibc

/// Zeroed memory reserved from the system: pages are taken when first touched, all are given back at once. A little comes from the allocator, which
/// costs no system call.
///
/// One owner: `free()` is called once, by whoever made it, when no thread uses the memory any more.
@safe package struct Region: @unchecked Sendable {
  package let base: UnsafeMutableRawPointer
  package let bytes: Int
  /// Up to so many bytes are the allocator's, aligned to `padding`.
  private static let small = 8 << 10

  /// Complexity: one system call, whatever the size, and none up to 8 KiB. Throws `MemoryError` if the system refuses.
  package init(bytes: Int) throws(MemoryError) {
    if bytes <= Region.small {
      var memory: UnsafeMutableRawPointer?
      let size = max(bytes, 1)
      // unsafe: filled in by the call; ours alone.
      let code = unsafe posix_memalign(&memory, padding, size)
      guard let memory = unsafe memory, code == 0 else { throw MemoryError(bytes: size, code: code) }
      unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      unsafe base = memory
      self.bytes = size
      return
    }
    let rounded = (bytes + 4095) & ~4095
    // unsafe: a new anonymous mapping, ours alone.
    let address = unsafe mmap(nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw MemoryError(bytes: rounded, code: errno)
    }
    unsafe base = address
    self.bytes = rounded
  }

  /// Asks for large pages, where the system gives them: for memory that is used from one end to the other, or here and there. Refused: nothing is lost.
  package func useLargePages() {
    // unsafe: our own mapping, of which only the way of backing changes.
    if bytes > Region.small { unsafe _ = madvise(base, bytes, MADV_HUGEPAGE) }
  }

  package func free() {
    // unsafe: made by init; the caller promises that nobody uses it.
    if bytes <= Region.small { unsafe Glibc.free(base) } else { unsafe munmap(base, bytes) }
  }
}

/// The system would not give memory.
public struct MemoryError: Error, CustomStringConvertible {
  public let bytes: Int
  /// errno
  public let code: Int32

  public var description: String {
    "the system refused \(bytes) bytes of memory (errno \(code)): lower the engine's capacity or raise the memory limit"
  }
}

/// Bytes between words that different threads write: two cache lines, since processors fetch them in pairs.
package let padding = 128
