/// Which places of a slab are free again: a tree of bits, 64 children a word, that gives the lowest first.
///
/// A list of free places hands them out in the order of freeing, and after some churn every use misses the cache; the lowest first keeps those
/// in use close together.
/// # Threads
/// One at a time.
/// # Limits
/// Numbers below 2^24: four levels.
/// - Complexity: four bit scans to take, one to four writes to put.
@safe
struct FreePlaces {
  /// Bytes that `init(memory:places:)` needs.
  static func bytes(places: Int) -> Int {
    var total = 8
    var words = places
    for _ in 0..<3 {
      words = (words + 63) / 64
      total += words * 8
    }
    return total
  }

  private let top: UnsafeMutablePointer<UInt64>
  private let third: UnsafeMutablePointer<UInt64>
  private let second: UnsafeMutablePointer<UInt64>
  private let first: UnsafeMutablePointer<UInt64>

  /// - Parameters:
  ///   - memory: zeroed, aligned to 8, `bytes(places:)` long.
  ///   - places: at most 2^24.
  init(memory: UnsafeMutableRawPointer, places: Int) {
    let firstWords = (places + 63) / 64
    let secondWords = (firstWords + 63) / 64
    let thirdWords = (secondWords + 63) / 64
    // Safe: the levels lie one behind the other within the bytes asked for.
    unsafe top = memory.assumingMemoryBound(to: UInt64.self)
    unsafe third = top + 1
    unsafe second = third + thirdWords
    unsafe first = second + secondWords
  }

  /// The lowest free place, which is free no longer; nil if there is none.
  @inline(__always)
  func take() -> Int? {
    // Safe: a set bit names a word of the level below that is not zero.
    guard unsafe top.pointee != 0 else { return nil }
    let c = unsafe top.pointee.trailingZeroBitCount
    let b = unsafe c << 6 | third[c].trailingZeroBitCount
    let a = unsafe b << 6 | second[b].trailingZeroBitCount
    let bits = unsafe first[a]
    let rest = bits & (bits - 1)
    unsafe first[a] = rest
    if rest == 0 { clear(a, b, c) }
    return a << 6 | bits.trailingZeroBitCount
  }

  private func clear(_ a: Int, _ b: Int, _ c: Int) {
    // Safe: as above.
    unsafe second[b] &= second[b] - 1
    guard unsafe second[b] == 0 else { return }
    unsafe third[c] &= third[c] - 1
    guard unsafe third[c] == 0 else { return }
    unsafe top.pointee &= top.pointee - 1
  }

  /// Makes a place free that was not.
  @inline(__always)
  func put(_ place: Int) {
    let a = place >> 6
    // Safe: the place is below the number given to init.
    let bits = unsafe first[a]
    unsafe first[a] = bits | 1 << UInt64(place & 63)
    guard bits == 0 else { return }
    let b = a >> 6
    let c = b >> 6
    unsafe second[b] |= 1 << UInt64(a & 63)
    unsafe third[c] |= 1 << UInt64(b & 63)
    unsafe top.pointee |= 1 << UInt64(c)
  }
}
