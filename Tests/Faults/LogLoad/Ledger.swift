package import MillraceLog

/// What a program said while it appended: its marks, one a line.
///
/// | Mark | |
/// |---|---|
/// | `ack NUMBER POSITION:VERSION ...` | the append took place; of each part the first position and version |
/// | `limit STREAM EVENTS` | so many events are kept |
/// | `snapshot STREAM VERSION` | it is kept |
/// | `refused NUMBER` | the disk was full, nothing was appended |
/// | `failed NUMBER` | it is not known, or the log does not work any more |
package struct Ledger: Sendable {
  package struct Place: Sendable, Equatable {
    package let position: UInt64
    package let version: UInt64
  }

  /// By the appends' numbers.
  package private(set) var acknowledged: [UInt64: [Place]] = [:]
  package private(set) var limits: [String: UInt64] = [:]
  package private(set) var snapshots: [String: UInt64] = [:]
  package private(set) var refused = 0
  package private(set) var failed = 0
  /// Something was acknowledged after something had failed, or one append twice.
  package private(set) var fault: String?

  package init() {}

  package init(_ lines: some Sequence<String>) { add(lines) }

  /// The marks of one life of the program. A failure ends with it.
  package mutating func add(_ lines: some Sequence<String>) {
    var hasFailed = false
    for line in lines {
      let words = line.split(separator: " ").map(String.init)
      guard words.count >= 2 else { continue }
      switch words[0] {
      case "ack":
        guard let number = UInt64(words[1]) else { continue }
        if acknowledged.updateValue(words.dropFirst(2).compactMap(Self.place), forKey: number) != nil { fault = "\(number) twice" }
      case "limit": limits[words[1]] = UInt64(words[2])
      case "snapshot": snapshots[words[1]] = UInt64(words[2])
      case "refused": refused += 1
      case "failed":
        failed += 1
        hasFailed = true
      default: continue
      }
      if hasFailed, words[0] != "failed" { fault = "after a failure: \(line)" }
    }
  }

  private static func place(_ word: String) -> Place? {
    let parts = word.split(separator: ":").compactMap { UInt64($0) }
    return parts.count == 2 ? Place(position: parts[0], version: parts[1]) : nil
  }

  package static func mark(_ number: UInt64, _ receipt: AppendReceipt) -> String {
    "ack \(number)" + receipt.streams.map { " \($0.firstPosition):\($0.firstVersion)" }.joined()
  }
}
