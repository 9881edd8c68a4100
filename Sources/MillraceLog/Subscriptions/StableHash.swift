/// Hashes that are the same in every process and release: what they decide is stored, or shared by several processes.
enum StableHash {
  static let empty: UInt64 = 0xcbf2_9ce4_8422_2325

  /// Each change of a single byte changes it. Source: Fowler, Noll and Vo, FNV-1a.
  static func bytes(_ bytes: some Sequence<UInt8>, after hash: UInt64 = empty) -> UInt64 {
    bytes.reduce(hash) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  /// One to one. Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
  static func mix(_ word: UInt64) -> UInt64 {
    var z = word &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
