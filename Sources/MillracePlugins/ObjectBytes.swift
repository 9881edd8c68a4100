import Glibc

/// Where the bytes of an object file come from: a descriptor, or, for the tests of the checker, an array.
protocol ObjectBytes {
  var size: UInt64 { get }
  /// Exactly `count` bytes from `offset`, or nil.
  func read(at offset: UInt64, count: Int) -> [UInt8]?
}

/// An open file of a size that does not change any more.
struct DescriptorBytes: ObjectBytes {
  let descriptor: Int32
  let size: UInt64

  func read(at offset: UInt64, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      // The range lies within the `count` bytes.
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe pread(descriptor, $0.baseAddress! + filled, count - filled, off_t(offset) + off_t(filled))
      }
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else { return nil }
      filled += got
    }
    return bytes
  }
}

/// Bytes by range, each range checked against the size of the file first.
struct ObjectReader<Source: ObjectBytes> {
  let source: Source
  let path: String

  func damaged(_ reason: String) -> PluginError { .damaged(path: path, reason: reason) }

  /// - Throws: `truncated` unless `count` bytes from `offset` lie within the file.
  func require(_ offset: UInt64, _ count: UInt64, part: String) throws(PluginError) {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard !overflow else { throw damaged("\(part) ends beyond 2^64") }
    guard end <= source.size else { throw .truncated(path: path, part: part, needed: end, bytes: source.size) }
  }

  /// - Throws: `truncated`, or `unreadable` if the system could not read what is there.
  func bytes(at offset: UInt64, count: Int, part: String) throws(PluginError) -> [UInt8] {
    try require(offset, UInt64(count), part: part)
    guard let bytes = source.read(at: offset, count: count) else {
      throw .unreadable(path: path, reason: "reading \(part) failed")
    }
    return bytes
  }
}

extension [UInt8] {
  /// The little-endian integer at `start`.
  func integer<Value: FixedWidthInteger & UnsignedInteger>(at start: Int, as: Value.Type) -> Value {
    var value: Value = 0
    for index in (0..<MemoryLayout<Value>.size).reversed() { value = value << 8 | Value(self[start + index]) }
    return value
  }
}
