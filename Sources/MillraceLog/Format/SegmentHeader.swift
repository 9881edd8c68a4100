/// The first unit of a segment's file.
///
/// | Offset | Bytes | |
/// |---|---|---|
/// | 0 | 8 | `MILLRLOG` |
/// | 8 | 4 | format: 1 |
/// | 12 | 4 | checksum of the 128 bytes, this field zero, unseeded |
/// | 16 | 16 | log id: high, low |
/// | 32 | 8 | segment's number, from 1 |
/// | 40 | 8 | position of the first event that may stand in it |
/// | 48 | 8 | bytes of the file |
/// | 56 | 4 | unit |
/// | 60 | 4 | zero |
/// | 64 | 8 | time of its beginning, ns since 1970 |
/// | 72 | 56 | zero |
struct SegmentHeader: Equatable {
  static let format: UInt32 = 1
  static let bytes = 128
  private static let magic: UInt64 = 0x474f_4c52_4c4c_494d

  var log: LogID
  var number: UInt64
  var firstPosition: UInt64
  var fileBytes: Int
  var unit: Int
  var time: Int64

  func write(to bytes: Bytes) {
    for offset in stride(from: 0, to: Self.bytes, by: 8) { bytes.store(UInt64(0), at: offset) }
    bytes.store(Self.magic, at: 0)
    bytes.store(Self.format, at: 8)
    bytes.store(log.high, at: 16)
    bytes.store(log.low, at: 24)
    bytes.store(number, at: 32)
    bytes.store(firstPosition, at: 40)
    bytes.store(UInt64(fileBytes), at: 48)
    bytes.store(UInt32(unit), at: 56)
    bytes.store(time, at: 64)
    bytes.store(~bytes.slice(0, Self.bytes).checksum(~0), at: 12)
  }

  enum Fault: Equatable {
    /// It is none, or damaged.
    case notAHeader
    /// It was written by a later version.
    case format(UInt32)
  }

  /// `bytes` are changed and put back.
  static func read(_ bytes: Bytes) -> Result<SegmentHeader, FaultError> {
    guard bytes.count >= Self.bytes, bytes.load(0, as: UInt64.self) == magic else { return .failure(FaultError(fault: .notAHeader)) }
    let checksum = bytes.load(12, as: UInt32.self)
    bytes.store(UInt32(0), at: 12)
    let actual = ~bytes.slice(0, Self.bytes).checksum(~0)
    bytes.store(checksum, at: 12)
    guard checksum == actual else { return .failure(FaultError(fault: .notAHeader)) }
    let format = bytes.load(8, as: UInt32.self)
    guard format == Self.format else { return .failure(FaultError(fault: .format(format))) }
    let unit = Int(bytes.load(56, as: UInt32.self))
    let fileBytes = bytes.load(48, as: UInt64.self)
    guard unit.nonzeroBitCount == 1, unit >= 4096, fileBytes < 1 << 40 else { return .failure(FaultError(fault: .notAHeader)) }
    return .success(
      SegmentHeader(
        log: LogID(high: bytes.load(16), low: bytes.load(24)), number: bytes.load(32), firstPosition: bytes.load(40),
        fileBytes: Int(fileBytes),
        unit: unit, time: bytes.load(64)))
  }

  struct FaultError: Error, Equatable { let fault: Fault }

  /// 20 digits, so that names sort as numbers do.
  static func name(of number: UInt64) -> String {
    let digits = String(number)
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits + suffix
  }
  static let suffix = ".log"

  /// The number in a segment's name; nil for other names.
  static func number(in name: String) -> UInt64? {
    guard name.utf8.count == 24, name.hasSuffix(suffix), name.utf8.prefix(20).allSatisfy({ 48...57 ~= $0 }) else { return nil }
    return UInt64(name.prefix(20))
  }
}
