internal import Glibc
internal import MillraceCore

/// Random bytes: of a seed, the same in each run, or the system's.
///
/// # Threads
/// Any. With a seed those that ask at once take turns, in whatever order they come.
package final class Randomness: @unchecked Sendable {
  private let monitor = Monitor()
  // The monitor's; nil: the system's are given.
  private var seeded: SeededRandom?

  package init(seed: UInt64? = nil) { seeded = seed.map { SeededRandom(seed: $0) } }

  deinit { monitor.deallocate() }

  /// From now on of this seed.
  package func follow(seed: UInt64) { monitor.locked { seeded = SeededRandom(seed: seed) } }

  /// False: the system has none. Complexity: O(bytes).
  package func fill(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
    let isFilled = monitor.locked {
      guard var random = seeded else { return false }
      var word: UInt64 = 0
      for index in bytes.indices {
        if index % 8 == 0 { word = random.next() }
        // unsafe: an index of the bytes.
        unsafe bytes[index] = UInt8(truncatingIfNeeded: word)
        word >>= 8
      }
      seeded = random
      return true
    }
    return isFilled ? true : unsafe Randomness.system(bytes)
  }

  /// getentropy(3) gives up to 256 bytes.
  private static func system(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
    var start = 0
    while start < bytes.count {
      let count = min(256, bytes.count - start)
      // unsafe: `count` bytes from `start` are the caller's.
      guard unsafe getentropy(bytes.baseAddress! + start, count) == 0 else { return false }
      start += count
    }
    return true
  }
}
