/// What one commit wrote: this header, then entries, then zeros up to the next multiple of the unit. Begins at one.
///
/// | Offset | Bytes | |
/// |---|---|---|
/// | 0 | 4 | `MLBK` |
/// | 4 | 4 | checksum of bytes 8 to 63, seeded by log, segment and offset |
/// | 8 | 4 | bytes of header and entries |
/// | 12 | 4 | entries |
/// | 16 | 8 | position of the first event, or of the next one if there is none |
/// | 24 | 8 | all events before this position were on stable storage when the block was written |
/// | 32 | 8 | offset in the file |
/// | 40 | 4 | session: how many times the log had been opened for writing |
/// | 44 | 4 | flags: 1 a clean stop |
/// | 48 | 8 | time of the commit, ns since 1970 |
/// | 56 | 4 | events: entries that have a position |
/// | 60 | 4 | checksum of the entries' checksums, one after the other, seeded as the header's |
struct BlockHeader: Equatable {
  static let bytes = 64
  static let magic: UInt32 = 0x4b42_4c4d
  static let seal: UInt32 = 1

  var used: Int
  var entries: Int
  var events: Int
  var firstPosition: UInt64
  var durableUpTo: UInt64
  var offset: Int
  var session: UInt32
  var flags: UInt32
  var time: Int64
  var digest: UInt32

  func write(to bytes: Bytes, _ seed: Seed) {
    bytes.store(Self.magic, at: 0)
    bytes.store(UInt32(used), at: 8)
    bytes.store(UInt32(entries), at: 12)
    bytes.store(firstPosition, at: 16)
    bytes.store(durableUpTo, at: 24)
    bytes.store(UInt64(offset), at: 32)
    bytes.store(session, at: 40)
    bytes.store(flags, at: 44)
    bytes.store(time, at: 48)
    bytes.store(UInt32(events), at: 56)
    bytes.store(digest, at: 60)
    bytes.store(bytes.slice(8, Self.bytes - 8).checksum(seed.at(offset)), at: 4)
  }

  /// nil: no header of this segment at this offset, or a damaged one.
  static func read(_ bytes: Bytes, at offset: Int, _ seed: Seed) -> BlockHeader? {
    guard bytes.count >= Self.bytes, bytes.load(0, as: UInt32.self) == magic else { return nil }
    guard bytes.load(4, as: UInt32.self) == bytes.slice(8, Self.bytes - 8).checksum(seed.at(offset)) else { return nil }
    return BlockHeader(
      used: Int(bytes.load(8, as: UInt32.self)), entries: Int(bytes.load(12, as: UInt32.self)),
      events: Int(bytes.load(56, as: UInt32.self)),
      firstPosition: bytes.load(16), durableUpTo: bytes.load(24), offset: Int(truncatingIfNeeded: bytes.load(32, as: UInt64.self)),
      session: bytes.load(40), flags: bytes.load(44), time: bytes.load(48), digest: bytes.load(60))
  }
}
