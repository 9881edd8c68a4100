/// What a program did to the files of one directory, in the order in which a crash could see it. Written by `recorder.so`;
/// `Tests/Faults/recorder.h` has the format and says what the order means.
public struct RecordedTrace: Sendable {
  public enum Kind: UInt16, Sendable {
    case open = 1
    case write, allocate, truncate, rename, unlink, removeDirectory, link, makeDirectory, sync, mark, unseen
  }
  public enum Phase: UInt16, Sendable {
    case begin
    case end, moment
  }

  public struct Record: Sendable {
    public let kind: Kind
    public let phase: Phase
    /// Joins the begin and the return of one call.
    public let call: UInt64
    public let inode: UInt64
    public let offset: Int
    public let count: Int
    /// What the call returned, or the negative error number.
    public let result: Int
    public let flags: Int32
    public let thread: UInt32
    public let created: Bool
    public let isDirectory: Bool
    /// From the directory; empty is the directory itself.
    public let name: String
    public let target: String
    public let bytes: [UInt8]
  }

  public enum Fault: Error, Equatable, CustomStringConvertible {
    case notATrace
    case broken(offset: Int)

    public var description: String {
      switch self {
      case .notATrace: "this is no trace: the head is missing"
      case .broken(let offset): "the record at byte \(offset) of the trace is broken"
      }
    }
  }

  public let records: [Record]
  /// What it said, and the record with which each line was whole.
  private let lines: [(record: Int, line: String)]

  /// - Complexity: O(bytes).
  public init(_ bytes: [UInt8]) throws(Fault) {
    guard bytes.count >= 16, bytes[..<16].elementsEqual(Array("millrace-trace".utf8) + [1, 0]) else { throw .notATrace }
    var records: [Record] = []
    var offset = 16
    while offset < bytes.count {
      guard let (record, length) = Self.record(bytes[offset...]) else { throw .broken(offset: offset) }
      records.append(record)
      offset += length
    }
    self.records = records
    lines = Self.lines(records)
  }

  private static func lines(_ records: [Record]) -> [(record: Int, line: String)] {
    var lines: [(record: Int, line: String)] = []
    var line: [UInt8] = []
    for (index, record) in records.enumerated() where record.kind == .mark {
      for byte in record.bytes {
        if byte == UInt8(ascii: "\n") {
          lines.append((index, String(decoding: line, as: UTF8.self)))
          line = []
        } else {
          line.append(byte)
        }
      }
    }
    return lines
  }

  private static func record(_ bytes: ArraySlice<UInt8>) -> (Record, length: Int)? {
    func number<T: FixedWidthInteger>(_ at: Int, _: T.Type) -> T {
      var value: T = 0
      let first = bytes.startIndex + at
      for byte in bytes[first..<(first + MemoryLayout<T>.size)].reversed() { value = value << 8 | T(truncatingIfNeeded: byte) }
      return value
    }
    guard bytes.count >= 64 else { return nil }
    let length = Int(number(0, UInt32.self))
    let name = Int(number(60, UInt16.self))
    let target = Int(number(62, UInt16.self))
    guard length >= 64 + name + target, length <= bytes.count, let kind = Kind(rawValue: number(4, UInt16.self)),
      let phase = Phase(rawValue: number(6, UInt16.self)), number(24, Int64.self) >= 0, number(32, Int64.self) >= 0
    else { return nil }
    let tail = bytes[(bytes.startIndex + 64)..<(bytes.startIndex + length)]
    let what = number(56, UInt32.self)
    let record = Record(
      kind: kind, phase: phase, call: number(8, UInt64.self), inode: number(16, UInt64.self), offset: Int(number(24, Int64.self)),
      count: Int(number(32, Int64.self)), result: Int(number(40, Int64.self)), flags: number(48, Int32.self),
      thread: number(52, UInt32.self), created: what & 1 != 0, isDirectory: what & 2 != 0,
      name: String(decoding: tail.prefix(name), as: UTF8.self),
      target: String(decoding: tail.dropFirst(name).prefix(target), as: UTF8.self),
      bytes: Array(tail.dropFirst(name + target)))
    return (record, length)
  }

  /// The lines that the program had said before a crash at `point`: what it did not end with a line feed had not been said.
  public func marks(before point: Int) -> [String] { lines.prefix { $0.record < point }.map(\.line) }

  /// Calls by which files changed without a record. No crash image can be made then.
  public var unseen: [String] { records.filter { $0.kind == .unseen }.map(\.name) }
}
