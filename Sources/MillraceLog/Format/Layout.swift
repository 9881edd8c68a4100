internal import CMillrace
internal import Glibc
internal import MillraceCore

// The log on disk, byte by byte: docs/log-format.md. Little-endian throughout; every platform that Swift runs on here is.

/// A number of 128 bits that tells one log from every other: seed of all checksums.
public struct LogID: Hashable, Sendable {
  /// The first 64 bits.
  public var high: UInt64
  /// The last 64 bits.
  public var low: UInt64

  /// From two words.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// Bytes of a log, read and written where they lie. Every access is checked against their count.
@safe struct Bytes {
  let base: UnsafeMutableRawPointer
  let count: Int

  /// unsafe: there are `count` bytes at `base` for as long as the value or a part of it is used.
  @unsafe @inline(__always) init(base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  @inline(__always) func load<Value: BitwiseCopyable>(_ offset: Int, as type: Value.Type = Value.self) -> Value {
    invariant(offset >= 0 && offset &+ MemoryLayout<Value>.size <= count, "a field lies within its bytes")
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: type)
  }

  @inline(__always) func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
    invariant(offset >= 0 && offset &+ MemoryLayout<Value>.size <= count, "a field lies within its bytes")
    unsafe base.storeBytes(of: value, toByteOffset: offset, as: Value.self)
  }

  @inline(__always) func slice(_ offset: Int, _ length: Int) -> Bytes {
    invariant(offset >= 0 && length >= 0 && offset &+ length <= count, "a part lies within its bytes")
    return unsafe Bytes(base: base + offset, count: length)
  }

  /// The checksum's state after these bytes.
  @inline(__always) func checksum(_ seed: UInt32) -> UInt32 { unsafe millrace_crc32c(seed, base, count) }

  /// Copies `bytes` bytes from `source`, which are there.
  @unsafe @inline(__always) func put(_ source: UnsafeRawPointer, _ bytes: Int, at offset: Int) {
    invariant(offset >= 0 && bytes >= 0 && offset &+ bytes <= count, "a copy lies within its bytes")
    unsafe (base + offset).copyMemory(from: source, byteCount: bytes)
  }

  @inline(__always) func zero(_ start: Int, _ end: Int) {
    invariant(start >= 0 && start <= end && end <= count, "zeros lie within their bytes")
    unsafe _ = memset(base + start, 0, end - start)
  }

  /// Complexity: O(count), 8 bytes at a time.
  var isZero: Bool {
    var at = 0
    while at &+ 8 <= count {
      if load(at, as: UInt64.self) != 0 { return false }
      at &+= 8
    }
    while at < count {
      if load(at, as: UInt8.self) != 0 { return false }
      at &+= 1
    }
    return true
  }

  var raw: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: base, count: count) }
}

/// What all checksums of a segment begin with: the log and the segment. So bytes of another log, or of what a recycled file held before, never pass.
struct Seed: Equatable {
  let state: UInt32

  init(_ log: LogID, segment: UInt64) {
    var words = (log.high, log.low, segment)
    state = unsafe withUnsafeBytes(of: &words) { unsafe millrace_crc32c(~0, $0.baseAddress, $0.count) }
  }

  /// The seed of what stands at `offset` of the segment's file: bytes that were moved do not pass either.
  @inline(__always) func at(_ offset: Int) -> UInt32 {
    var word = UInt64(offset)
    return unsafe withUnsafeBytes(of: &word) { unsafe millrace_crc32c(state, $0.baseAddress, 8) }
  }
}

enum Checksum {
  /// The state after four more bytes.
  @inline(__always) static func add(_ word: UInt32, to state: UInt32) -> UInt32 {
    var word = word
    return unsafe withUnsafeBytes(of: &word) { unsafe millrace_crc32c(state, $0.baseAddress, 4) }
  }
}

/// Rounds up to a multiple of `unit`, a power of two.
@inline(__always) func roundUp(_ count: Int, to unit: Int) -> Int { (count &+ unit &- 1) & ~(unit &- 1) }
