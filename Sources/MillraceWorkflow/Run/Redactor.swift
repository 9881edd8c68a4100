internal import MillraceCore

/// Keeps the values of secrets out of what is written down: each is replaced by `***`.
///
/// A secret is known here from the start of the first run that uses it until the engine ends, since a handler may log late. Its text as JSON
/// writes it, and each of its lines of 8 bytes or more, are known as well; and where a text was cut off in the middle of one, its beginning
/// of 4 bytes or more at the end of the text.
///
/// # Threads
/// Any.
final class Redactor: @unchecked Sendable {
  /// Shorter ones would be found everywhere.
  static let minimumBytes = 4
  private static let minimumLine = 8
  private static let mark = Array("***".utf8)

  private let monitor = Monitor()
  /// By their first bytes, the longest first; empty while there is no secret.
  private var patterns: [[KeptBytes]] = []
  private var known: Set<[UInt8]> = []

  deinit { monitor.deallocate() }

  func add(_ secret: [UInt8]) {
    monitor.locked {
      for form in Self.forms(of: secret) where form.count >= Self.minimumBytes && known.insert(form).inserted {
        if patterns.isEmpty { patterns = Array(repeating: [], count: 256) }
        patterns[Int(form[0])].append(KeptBytes(form, isSecret: true))
        patterns[Int(form[0])].sort { $0.bytes.count > $1.bytes.count }
      }
    }
  }

  private static func forms(of secret: [UInt8]) -> [[UInt8]] {
    let lines = secret.split(separator: 0x0A).map { Array($0.last == 0x0D ? $0.dropLast() : $0) }
    let plain = [secret] + (lines.count > 1 ? lines.filter { $0.count >= minimumLine } : [])
    return plain + plain.map { Array(JSON.quoted(String(decoding: $0, as: UTF8.self)).utf8.dropFirst().dropLast()) }
  }

  var isEmpty: Bool { monitor.locked { patterns.isEmpty } }

  func redact(_ text: String) -> String { redacted(text.utf8).map { String(decoding: $0, as: UTF8.self) } ?? text }

  func redact(_ bytes: [UInt8]) -> [UInt8] { redacted(bytes) ?? bytes }

  /// nil: nothing was found. Complexity: O(bytes x secrets that begin alike).
  private func redacted(_ text: some Sequence<UInt8>) -> [UInt8]? {
    let patterns = monitor.locked { self.patterns }
    if patterns.isEmpty { return nil }
    let bytes = Array(text)
    var result: [UInt8] = []
    // Where what has not been copied begins.
    var start = 0
    var index = 0
    while index < bytes.count {
      let length = Self.match(patterns[Int(bytes[index])], bytes, index)
      if length > 0 {
        result += bytes[start..<index]
        result += Self.mark
        start = index + length
      }
      index += max(length, 1)
    }
    return start == 0 ? nil : result + bytes[start...]
  }

  /// Bytes from `index` on that belong to a secret.
  @inline(__always) private static func match(_ candidates: [KeptBytes], _ bytes: [UInt8], _ index: Int) -> Int {
    for candidate in candidates {
      let pattern = candidate.bytes
      var length = 0
      while length < pattern.count, index + length < bytes.count, bytes[index + length] == pattern[length] { length += 1 }
      // As a whole, or as much of it as there was room for.
      if length == pattern.count || (index + length == bytes.count && length >= minimumBytes) { return length }
    }
    return 0
  }
}
