internal import CMillrace

/// The fixed part of an entry; optional parts follow in the order of their flags, then the payload, then zeros up to a multiple of 8.
///
/// | Offset | Bytes | |
/// |---|---|---|
/// | 0 | 4 | bytes of the entry without the zeros behind it |
/// | 4 | 4 | checksum of bytes 8 to the end, zeros not included, seeded by log, segment and offset |
/// | 8 | 8 | position; of a system entry: of the next event |
/// | 16 | 8 | version in its stream |
/// | 24 | 16 | event id: high, low |
/// | 40 | 4 | stream |
/// | 44 | 4 | tenant, 0 none |
/// | 48 | 8 | time, ns since 1970 |
/// | 56 | 2 | type |
/// | 58 | 2 | version of the type |
/// | 60 | 2 | flags |
/// | 62 | 2 | content type, 0 `application/json` |
/// | 64 | | correlation (16), causation (16), trace (16 trace, 8 span, 1 flags, 7 zero), key (4, 4 zero): each if its flag is set |
enum Entry {
  static let fixed = 64
  static let traceBytes = 32
  static let keyBytes = 8

  struct Flags: OptionSet {
    let rawValue: UInt16
    /// Not an event: the log's own. Its type says what (`SystemType`).
    static let system = Flags(rawValue: 1)
    /// A reader who does not know the type may go on without it.
    static let optional = Flags(rawValue: 2)
    static let correlation = Flags(rawValue: 4)
    static let causation = Flags(rawValue: 8)
    static let trace = Flags(rawValue: 16)
    /// The payload is sealed by the key that is named.
    static let sealed = Flags(rawValue: 32)
    /// The first of the events of one append to one stream.
    static let first = Flags(rawValue: 64)
    static let known = Flags(rawValue: 127)

    /// Bytes of the optional parts.
    @inline(__always) var bytes: Int {
      // Most events have none.
      if rawValue & 0b11_1100 == 0 { return 0 }
      return (contains(.correlation) ? 16 : 0) + (contains(.causation) ? 16 : 0) + (contains(.trace) ? Entry.traceBytes : 0)
        + (contains(.sealed) ? Entry.keyBytes : 0)
    }
  }

  /// What the log keeps for itself, in entries of its own.
  enum SystemType {
    /// A name that entries of this segment use: kind (1), zero (3), number (4), the name.
    static let name: UInt16 = 1
    /// A stream's limits: count (8), age (8), first version (8); all ones: none.
    static let limits: UInt16 = 2
    /// What a stream comes to: version (8), reducer's version (4), bytes of its name (2), zero (2), the name, the state.
    static let snapshot: UInt16 = 3
  }

  enum NameKind: UInt8 {
    case stream = 1
    case tenant = 2
    case type = 3
    case contentType = 4
  }

  @inline(__always) static func checksum(_ bytes: Bytes, length: Int, at offset: Int, _ seed: Seed) -> UInt32 {
    bytes.slice(8, length - 8).checksum(seed.at(offset))
  }
}

/// An entry where it lies, its length and checksum found good.
struct EntryView {
  let bytes: Bytes
  /// Where the payload begins.
  let payloadStart: Int

  /// nil: the bytes at hand hold no whole, undamaged entry. `bytes` begin with it, and may go on behind.
  @inline(__always) init?(_ bytes: Bytes, at offset: Int, _ seed: Seed) {
    guard bytes.count >= Entry.fixed else { return nil }
    let length = Int(bytes.load(0, as: UInt32.self))
    guard length >= Entry.fixed, length <= bytes.count else { return nil }
    guard bytes.load(4, as: UInt32.self) == Entry.checksum(bytes, length: length, at: offset, seed) else { return nil }
    let start = Entry.fixed + Entry.Flags(rawValue: bytes.load(60)).bytes
    guard start <= length else { return nil }
    self.bytes = bytes.slice(0, length)
    payloadStart = start
  }

  /// The entry at the beginning of `bytes`, which was found good before.
  @inline(__always) init(good bytes: Bytes) {
    let length = Int(bytes.load(0, as: UInt32.self))
    self.bytes = bytes.slice(0, length)
    payloadStart = Entry.fixed + Entry.Flags(rawValue: bytes.load(60)).bytes
  }

  @inline(__always) var checksum: UInt32 { bytes.load(4) }
  /// With the zeros behind it.
  @inline(__always) var stride: Int { roundUp(bytes.count, to: 8) }
  @inline(__always) var position: UInt64 { bytes.load(8) }
  @inline(__always) var version: UInt64 { bytes.load(16) }
  @inline(__always) var id: EventID { EventID(high: bytes.load(24), low: bytes.load(32)) }
  @inline(__always) var stream: UInt32 { bytes.load(40) }
  @inline(__always) var tenant: UInt32 { bytes.load(44) }
  @inline(__always) var time: Int64 { bytes.load(48) }
  @inline(__always) var type: UInt16 { bytes.load(56) }
  @inline(__always) var typeVersion: UInt16 { bytes.load(58) }
  @inline(__always) var flags: Entry.Flags { Entry.Flags(rawValue: bytes.load(60)) }
  @inline(__always) var contentType: UInt16 { bytes.load(62) }
  @inline(__always) var isSystem: Bool { flags.contains(.system) }
  var payload: Bytes { bytes.slice(payloadStart, bytes.count - payloadStart) }

  private func offset(of flag: Entry.Flags) -> Int? {
    let flags = flags
    guard flags.contains(flag) else { return nil }
    return Entry.fixed + Entry.Flags(rawValue: flags.rawValue & (flag.rawValue - 1)).bytes
  }
  private func id(_ flag: Entry.Flags) -> EventID? {
    offset(of: flag).map { EventID(high: bytes.load($0), low: bytes.load($0 + 8)) }
  }
  var correlation: EventID? { id(.correlation) }
  var causation: EventID? { id(.causation) }
  var trace: EventTrace? {
    offset(of: .trace).map {
      EventTrace(trace: EventID(high: bytes.load($0), low: bytes.load($0 + 8)), span: bytes.load($0 + 16), flags: bytes.load($0 + 24))
    }
  }
  /// Who sealed the payload.
  var key: UInt32? { offset(of: .sealed).map { bytes.load($0) } }
}
