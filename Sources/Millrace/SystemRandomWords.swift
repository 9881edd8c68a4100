internal import Glibc

/// Random words of the system, fetched many at once: a system call for each would cost more than all else that a run's id does.
struct SystemRandomWords: RandomNumberGenerator {
  /// getentropy(3) gives up to 256 bytes.
  private static let count = 32
  private var words: [UInt64] = []

  mutating func next() -> UInt64 {
    if words.isEmpty { fill() }
    return words.removeLast()
  }

  private mutating func fill() {
    var fresh = [UInt64](repeating: 0, count: SystemRandomWords.count)
    let bytes = SystemRandomWords.count * 8
    // Filled in during the call.
    let failed = unsafe fresh.withUnsafeMutableBytes { unsafe getentropy($0.baseAddress!, bytes) } != 0
    if failed {
      var system = SystemRandomNumberGenerator()
      for i in fresh.indices { fresh[i] = system.next() }
    }
    words = fresh
  }
}
