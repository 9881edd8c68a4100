/// Hashes of words and keys: seeded, so that nobody who does not know the seed makes them collide, and made for words of a few bytes.
///
/// # Source
/// Folded 128-bit products, as in Wang Yi's wyhash.
@safe struct KeyHash: Sendable, Equatable {
  let seed: UInt64
  /// All bits but in tests, which want collisions.
  let mask: UInt64

  init(seed: UInt64, mask: UInt64 = .max) {
    self.seed = seed
    self.mask = mask
  }

  /// Complexity: O(count). unsafe: `count` bytes from `bytes` on are read.
  @unsafe @inline(__always) func of(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    let raw = unsafe UnsafeRawPointer(bytes)
    var state = seed ^ UInt64(truncatingIfNeeded: count)
    var at = 0
    while at &+ 8 <= count {
      let word = unsafe raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      state = KeyHash.fold(state ^ word, 0x9E37_79B9_7F4A_7C15)
      at &+= 8
    }
    let last = unsafe KeyHash.short(bytes + at, count &- at)
    return KeyHash.fold(state ^ last, 0xD1B5_4A32_D192_ED03 ^ seed) & mask
  }

  /// Up to 7 bytes as a number, little-endian. unsafe: `count` bytes from `bytes` on are read.
  @unsafe @inline(__always) static func short(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    // Halves that overlap: the same bytes fall on the same bits.
    let raw = unsafe UnsafeRawPointer(bytes)
    if count >= 4 {
      let low = unsafe UInt64(raw.loadUnaligned(as: UInt32.self).littleEndian)
      let high = unsafe UInt64(raw.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self).littleEndian)
      return low | high &<< UInt64(8 &* (count &- 4))
    }
    if count >= 2 {
      let low = unsafe UInt64(raw.loadUnaligned(as: UInt16.self).littleEndian)
      let high = unsafe UInt64(raw.loadUnaligned(fromByteOffset: count &- 2, as: UInt16.self).littleEndian)
      return low | high &<< UInt64(8 &* (count &- 2))
    }
    return count == 0 ? 0 : unsafe UInt64(bytes[0])
  }

  @inline(__always) private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  func of(_ bytes: some Collection<UInt8>) -> UInt64 {
    let bytes = Array(bytes)
    // unsafe: an array of no bytes has no address, and none of them is read.
    return unsafe bytes.withUnsafeBufferPointer { unsafe of($0.baseAddress ?? KeyHash.none, $0.count) }
  }

  /// The address of no bytes: never read.
  @inline(__always) static var none: UnsafePointer<UInt8> { unsafe UnsafePointer(bitPattern: 8)! }
}

/// What a routing key may be.
public enum RoutingKey {
  /// Most bytes of a key or a pattern.
  public static let maxBytes = 255
  /// As many words as they can be: nothing but separators.
  static let maxWords = maxBytes + 1
}
