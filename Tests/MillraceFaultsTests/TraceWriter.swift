import MillraceFaults

/// A trace written by hand, for what no program does on demand: calls that overlap.
struct TraceWriter {
  private(set) var bytes: [UInt8] = Array("millrace-trace".utf8) + [1, 0]
  private(set) var count = 0
  private var calls: UInt64 = 0

  var trace: RecordedTrace { get throws { try RecordedTrace(bytes) } }

  struct Call {
    var kind: RecordedTrace.Kind
    var inode: UInt64 = 0
    var offset = 0
    var count = 0
    var flags: Int32 = 0
    var name = ""
    var target = ""
    var data: [UInt8] = []
    var result = 0
    /// Said at the return.
    var what: UInt32 = 0
    /// Joins begin and end; given by `begin`.
    var number: UInt64 = 0
  }

  mutating func begin(_ call: Call) -> Call {
    calls += 1
    var call = call
    call.number = calls
    append(call, 0)
    return call
  }

  mutating func end(_ call: Call) { append(call, 1) }

  mutating func all(_ call: Call) { end(begin(call)) }

  private mutating func append(_ call: Call, _ phase: UInt16) {
    func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }
    let isEnd = phase == 1
    let tail = isEnd && call.kind != .open ? [] : Array(call.name.utf8) + Array(call.target.utf8) + (isEnd ? [] : call.data)
    var record = number(call.kind.rawValue) + number(phase) + number(call.number)
    record += number(isEnd || call.what == 0 ? call.inode : 0) + number(Int64(call.offset)) + number(Int64(call.count))
    record += number(Int64(isEnd ? call.result : 0)) + number(call.flags) + number(UInt32(1)) + number(isEnd ? call.what : 0)
    record += number(UInt16(tail.isEmpty ? 0 : call.name.utf8.count)) + number(UInt16(tail.isEmpty ? 0 : call.target.utf8.count)) + tail
    bytes += number(UInt32(record.count + 4)) + record
    count += 1
  }

  mutating func create(_ name: String, _ inode: UInt64) {
    all(Call(kind: .open, inode: inode, flags: 0o102, name: name, result: 3, what: 1))
  }

  static func write(_ inode: UInt64, _ name: String, at offset: Int, _ data: [UInt8], dataSync: Bool = false) -> Call {
    Call(
      kind: .write, inode: inode, offset: offset, count: data.count, flags: dataSync ? 0o10002 : 2, name: name, data: data,
      result: data.count)
  }

  static func sync(_ inode: UInt64, _ name: String, result: Int = 0) -> Call { Call(kind: .sync, inode: inode, name: name, result: result) }

  static let syncDirectory = Call(kind: .sync, inode: 1, name: "")
}
