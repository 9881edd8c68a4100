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
  /// Longest first, by their first bytes.
  private var patterns: [UInt8: [KeptBytes]] = [:]
  private var known: Set<[UInt8]> = []

  deinit { monitor.deallocate() }

  func add(_ secret: [UInt8]) {
    monitor.locked {
      for form in Self.forms(of: secret) where form.count >= Self.minimumBytes && known.insert(form).inserted {
        var list = patterns[form[0]] ?? []
        list.append(KeptBytes(form, isSecret: true))
        list.sort { $0.bytes.count > $1.bytes.count }
        patterns[form[0]] = list
      }
    }
  }

  private static func forms(of secret: [UInt8]) -> [[UInt8]] {
    let lines = secret.split(separator: 0x0A).map { Array($0.last == 0x0D ? $0.dropLast() : $0) }
    let plain = [secret] + (lines.count > 1 ? lines.filter { $0.count >= minimumLine } : [])
    return plain + plain.map { Array(JSON.quoted(String(decoding: $0, as: UTF8.self)).utf8.dropFirst().dropLast()) }
  }

  var isEmpty: Bool { monitor.locked { patterns.isEmpty } }

  func redact(_ text: String) -> String {
    let bytes = Array(text.utf8)
    return redacted(bytes).map { String(decoding: $0, as: UTF8.self) } ?? text
  }

  func redact(_ bytes: [UInt8]) -> [UInt8] { redacted(bytes) ?? bytes }

  /// nil: nothing was found. Complexity: O(bytes x secrets that begin alike).
  private func redacted(_ bytes: [UInt8]) -> [UInt8]? {
    monitor.locked {
      if patterns.isEmpty { return nil }
      var result: [UInt8] = []
      var isChanged = false
      var index = 0
      while index < bytes.count {
        let length = Self.match(patterns[bytes[index]], bytes, index)
        if length > 0 {
          result += Self.mark
          isChanged = true
          index += length
        } else {
          result.append(bytes[index])
          index += 1
        }
      }
      return isChanged ? result : nil
    }
  }

  /// Bytes from `index` on that belong to a secret.
  private static func match(_ candidates: [KeptBytes]?, _ bytes: [UInt8], _ index: Int) -> Int {
    guard let candidates else { return 0 }
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
