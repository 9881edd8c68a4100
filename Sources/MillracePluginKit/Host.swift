import CMillrace

/// What the host offers at any time, from any thread, until the plugin has stopped.
@safe public struct Host: Sendable {
  // Owned by the host, immutable.
  nonisolated(unsafe) let pointer: UnsafePointer<millrace_host>

  public enum Level: UInt32, Sendable {
    case debug = 0
    case notice = 1
    case warning = 2
    case error = 3
  }

  /// "millrace" or the embedding program's name.
  public var name: String { unsafe copiedText(pointer.pointee.name) }
  public var version: String { unsafe copiedText(pointer.pointee.version) }

  /// Nanoseconds of the host's monotonic clock, which may be virtual.
  public var now: UInt64 { unsafe pointer.pointee.now(pointer) }

  /// The value of a setting, by its full name, as "replay.mode".
  public func setting(_ key: String) -> String? {
    // Copied at once.
    unsafe pointer.pointee.setting(pointer, key).map { unsafe String(cString: $0) }
  }

  /// One line for the log.
  public func log(_ level: Level, _ line: String) { unsafe pointer.pointee.log(pointer, level.rawValue, line) }
}

/// A copy of a text of the host; empty for NULL.
func copiedText(_ pointer: UnsafePointer<CChar>?) -> String {
  // NUL-terminated, as the interface says.
  unsafe pointer.map { unsafe String(cString: $0) } ?? ""
}

/// Copies as much of `text` as fits before the last byte of `buffer`, never half a character, and a NUL behind it. NULs inside become spaces.
///
/// - Returns: the bytes before the NUL.
func copyText(_ text: String, to buffer: UnsafeMutableRawBufferPointer) -> Int {
  guard buffer.count > 0 else { return 0 }
  let bytes = text.utf8Span.span
  var count = min(bytes.count, buffer.count - 1)
  // A continuation byte behind the cut belongs to a character before it.
  if count < bytes.count { while count > 0 && bytes[count] & 0xc0 == 0x80 { count -= 1 } }
  // `count` is less than the size of the buffer.
  for index in 0..<count { unsafe buffer[index] = bytes[index] == 0 ? 0x20 : bytes[index] }
  unsafe buffer[count] = 0
  return count
}
