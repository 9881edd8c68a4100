import Glibc

/// Why a schedule, or a part of it, cannot be: what is wrong, and what to write.
public struct ScheduleError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is wrong, with the text in quotes where there is one.
  public let message: String
  /// What to write instead.
  public let fix: String
  /// Where in the text of a cron expression, in characters from 1; nil: it concerns the whole.
  public let column: Int?

  /// By default it concerns the whole text.
  public init(_ message: String, fix: String, column: Int? = nil) { (self.message, self.fix, self.column) = (message, fix, column) }

  public var description: String { "\(message); \(fix)" }
}

extension Zone {
  /// Larger files are none of the database: its largest has 3.5 KiB.
  private static let maximumBytes = 256 << 10
  private static let maximumChanges = 8_192
  private static let folder = "/usr/share/zoneinfo"

  /// The zone of this name, as `Europe/Berlin`, from the system's tz database (`$TZDIR`, else /usr/share/zoneinfo). Throws `ScheduleError`.
  public static func named(_ name: String) throws(ScheduleError) -> Zone {
    if name == utc.name { return utc }
    guard isName(name) else {
      throw ScheduleError(
        "'\(name.prefix(80))' is no name of a time zone", fix: "write a name of the tz database, as Europe/Berlin, or UTC")
    }
    // getenv gives a C string that lives until the environment changes; it is copied at once.
    let folder = unsafe getenv("TZDIR").map { unsafe String(cString: $0) } ?? Self.folder
    guard case .success(let bytes) = FileBytes.read("\(folder)/\(name)", limit: maximumBytes) else {
      throw unknown(name, in: folder)
    }
    guard let zone = read(bytes, name: name) else {
      throw ScheduleError("\(folder)/\(name) cannot be read as a time zone", fix: "install tzdata again, or name another zone")
    }
    return zone
  }

  /// Of letters, digits and `_+-`, in at most four parts with `/` between them: no name leads out of the folder.
  private static func isName(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return name.utf8.count <= 64 && parts.count <= 4
      && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { Identifier.isWord($0) || $0 == UInt8(ascii: "+") } }
  }

  private static func unknown(_ name: String, in folder: String) -> ScheduleError {
    guard case .success(let table) = FileBytes.read("\(folder)/tzdata.zi", limit: 1 << 20) else {
      return ScheduleError("the time zone '\(name)' is not in \(folder)", fix: "install tzdata, or write UTC")
    }
    var nearest = NearestName()
    let near = nearest.nearest(to: name, among: names(String(decoding: table, as: UTF8.self)))
    return ScheduleError(
      "the time zone '\(name)' is not in \(folder)",
      fix: near.map { "did you mean '\($0)'?" } ?? "write a name of the tz database, as Europe/Berlin, or UTC")
  }

  /// Names from the database's source: `Z NAME ...` is a zone, `L TARGET NAME` another name of one.
  private static func names(_ table: String) -> [String] {
    table.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ", maxSplits: 3)
      if words.count > 1, words[0] == "Z" { return String(words[1]) }
      return words.count > 2 && words[0] == "L" ? String(words[2]) : nil
    }
  }

  /// A compiled zone, RFC 9636; nil if the bytes are none, or count leap seconds. Complexity: O(bytes).
  package static func read(_ bytes: [UInt8], name: String) -> Zone? {
    var reader = ZoneBytes(bytes)
    guard var header = reader.header() else { return nil }
    var wide = false
    if header.version >= UInt8(ascii: "2") {
      guard reader.skip(header.bodyBytes(wide: false)), let second = reader.header() else { return nil }
      header = second
      wide = true
    }
    guard header.changes <= maximumChanges, 1...256 ~= header.types, header.leaps == 0 else { return nil }
    guard let starts = reader.integers(header.changes, wide: wide), let kinds = reader.bytes(header.changes),
      let types = reader.bytes(header.types * 6), reader.skip(header.bodyBytes(wide: wide) - header.readBytes(wide: wide))
    else { return nil }
    guard zip(starts, starts.dropFirst()).allSatisfy({ $0 < $1 }), starts.allSatisfy({ $0.magnitude <= 1 << 60 }),
      kinds.allSatisfy({ $0 < header.types })
    else { return nil }
    let offsetOfType = (0..<header.types).map { Int32(truncatingIfNeeded: ZoneBytes.integer(types[($0 * 6)..<($0 * 6 + 4)])) }
    guard offsetOfType.allSatisfy({ abs(Int64($0)) <= largestOffset }) else { return nil }
    let offsets = [offsetOfType[0]] + kinds.map { offsetOfType[Int($0)] }
    guard wide, let footer = reader.footer(), !footer.isEmpty else { return Zone(name: name, starts: starts, offsets: offsets, rule: nil) }
    switch ZoneRuleReader.read(footer) {
    case .changing(let rule): return Zone(name: name, starts: starts, offsets: offsets, rule: rule)
    case .constant: return Zone(name: name, starts: starts, offsets: offsets, rule: nil)
    case nil: return nil
    }
  }
}

/// Big-endian fields of a compiled zone.
private struct ZoneBytes {
  struct Header {
    var version: UInt8
    var utcMarks: Int
    var standardMarks: Int
    var leaps: Int
    var changes: Int
    var types: Int
    var letters: Int

    func readBytes(wide: Bool) -> Int { changes * (wide ? 9 : 5) + types * 6 }

    func bodyBytes(wide: Bool) -> Int { readBytes(wide: wide) + letters + leaps * (wide ? 12 : 8) + standardMarks + utcMarks }
  }

  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  mutating func header() -> Header? {
    guard rest.starts(with: "TZif".utf8), let fields = bytes(44) else { return nil }
    let counts = (0..<6).map { Int(UInt32(truncatingIfNeeded: Self.integer(fields[(20 + $0 * 4)..<(24 + $0 * 4)]))) }
    return Header(
      version: fields[4], utcMarks: counts[0], standardMarks: counts[1], leaps: counts[2], changes: counts[3], types: counts[4],
      letters: counts[5])
  }

  mutating func bytes(_ count: Int) -> [UInt8]? {
    guard count <= rest.count else { return nil }
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  mutating func skip(_ count: Int) -> Bool { bytes(count) != nil }

  mutating func integers(_ count: Int, wide: Bool) -> [Int64]? {
    let size = wide ? 8 : 4
    return bytes(count * size).map { bytes in
      (0..<count).map { index in
        let value = Self.integer(bytes[(index * size)..<((index + 1) * size)])
        return wide ? value : Int64(Int32(truncatingIfNeeded: value))
      }
    }
  }

  /// The line after the second body.
  mutating func footer() -> String? {
    guard rest.first == 0x0A else { return nil }
    return String(decoding: rest.dropFirst().prefix { $0 != 0x0A }, as: UTF8.self)
  }

  static func integer(_ bytes: ArraySlice<UInt8>) -> Int64 {
    bytes.reduce(0) { $0 << 8 | Int64($1) }
  }
}
