internal import Glibc

/// Bytes that somebody else keeps for as long as the view is used. Every access is checked against the bounds.
@safe struct Bytes: @unchecked Sendable {
  // unsafe: `count` bytes that do not change while the view is used: the maker's promise.
  private let base: UnsafePointer<UInt8>?
  let count: Int

  static let empty = unsafe Bytes(base: nil, count: 0)

  /// unsafe: `base` has `count` readable bytes that stay as they are for as long as the view is used.
  @unsafe init(base: UnsafePointer<UInt8>?, count: Int) {
    unsafe self.base = base
    self.count = unsafe base == nil ? 0 : count
  }

  var isEmpty: Bool { count == 0 }

  @inline(__always) subscript(index: Int) -> UInt8 {
    precondition(index >= 0 && index < count, "a byte within the view")
    // unsafe: the index has been checked.
    return unsafe base.unsafelyUnwrapped[index]
  }

  subscript(range: Range<Int>) -> Bytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "a part of the view")
    // unsafe: the range has been checked.
    return unsafe Bytes(base: base.map { unsafe $0 + range.lowerBound }, count: range.count)
  }

  func from(_ start: Int) -> Bytes { self[start..<count] }

  /// The bytes for the call.
  func withBuffer<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    // unsafe: the view's own bytes.
    unsafe body(UnsafeBufferPointer(start: base, count: count))
  }

  func first(_ byte: UInt8) -> Int? {
    var index = 0
    while index < count {
      if self[index] == byte { return index }
      index += 1
    }
    return nil
  }

  /// Whether the bytes are text in UTF-8. Source: The Unicode Standard, table 3-7.
  var isUTF8: Bool {
    var index = 0
    while index < count {
      guard let length = utf8Length(at: index) else { return false }
      index += length
    }
    return true
  }

  /// Bytes of the character that begins at `index`; nil: none does.
  @inline(__always) func utf8Length(at index: Int) -> Int? {
    let lead = self[index]
    if lead < 0x80 { return 1 }
    let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
    guard 0xC2...0xF4 ~= lead, count - index >= length else { return nil }
    let second = self[index + 1]
    let range: ClosedRange<UInt8> =
      switch lead {
      case 0xE0: 0xA0...0xBF
      case 0xED: 0x80...0x9F
      case 0xF0: 0x90...0xBF
      case 0xF4: 0x80...0x8F
      default: 0x80...0xBF
      }
    guard range ~= second else { return nil }
    for i in 2..<max(length, 2) where self[index + i] & 0xC0 != 0x80 { return nil }
    return length
  }
}

extension String {
  init(_ bytes: Bytes) { self = unsafe bytes.withBuffer { unsafe String(decoding: $0, as: UTF8.self) } }
}

/// Bytes that stay where they are until the last holder lets go.
@safe final class KeptBytes: @unchecked Sendable {
  private let base: UnsafeMutablePointer<UInt8>
  private let count: Int
  private let isSecret: Bool

  /// `isSecret`: overwritten before they are given back.
  init(_ bytes: some Collection<UInt8>, isSecret: Bool = false) {
    count = bytes.count
    self.isSecret = isSecret
    // unsafe: freed in deinit, written here and never again.
    unsafe base = .allocate(capacity: max(count, 1))
    for (index, byte) in bytes.enumerated() { unsafe base[index] = byte }
  }

  deinit {
    if isSecret { unsafe explicit_bzero(base, count) }
    unsafe base.deallocate()
  }

  /// Where a byte lies. unsafe: valid for as long as this object is.
  @unsafe func address(of index: Int) -> UnsafePointer<UInt8> {
    precondition(index >= 0 && index < count, "a byte of these")
    return unsafe UnsafePointer(base) + index
  }

  /// Valid for as long as this object is.
  var bytes: Bytes { unsafe Bytes(base: base, count: count) }
}
