internal import Glibc

/// Zeroed memory reserved from the system: pages are taken when first touched, all are given back at once.
///
/// One owner: `free()` is called once, by whoever made it, when no thread uses the memory any more.
@safe package struct Region: @unchecked Sendable {
  package let base: UnsafeMutableRawPointer
  package let bytes: Int

  /// Complexity: one system call, whatever the size. Throws `MemoryError` if the system refuses.
  package init(bytes: Int) throws(MemoryError) {
    let rounded = (max(bytes, 1) + 4095) & ~4095
    // unsafe: a new anonymous mapping, ours alone.
    let address = unsafe mmap(nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw MemoryError(bytes: rounded, code: errno)
    }
    unsafe base = address
    self.bytes = rounded
  }

  package func free() {
    // unsafe: the mapping made by init; the caller promises that nobody uses it.
    unsafe munmap(base, bytes)
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
