import MillraceFaults

/// The log of `Tests/Faults/victim.c`, read by other code.
enum VictimLog {
  static let perSegment = 4

  private static let records = (0...16).map(makeRecord)

  static func record(_ number: Int) -> [UInt8] { records[number] }

  private static func makeRecord(_ number: Int) -> [UInt8] {
    let length = 16 + 20 + number * 379 % 1400
    let payload = (16..<length).map { UInt8(truncatingIfNeeded: number * 31 + $0 * 7) }
    let sum = payload.reduce(2_166_136_261 as UInt32) { ($0 ^ UInt32($1)) &* 16_777_619 }
    let head = [0x4d52_4c47, UInt32(number), UInt32(length), sum].flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }
    return head + payload
  }

  /// How many records are whole, from the first on.
  static func count(_ directory: DirectoryImage, direct: Bool) -> Int {
    var number = 0
    var offset = 0
    while let segment = directory.files["log.\(number / perSegment + 1)"] {
      let expected = record(number + 1)
      guard segment.count >= offset + expected.count, segment[offset..<(offset + expected.count)].elementsEqual(expected) else { break }
      number += 1
      offset = number % perSegment == 0 ? 0 : offset + (direct ? (expected.count + 4095) / 4096 * 4096 : expected.count)
    }
    return number
  }

  private static func highest(_ word: String, _ lines: [String]) -> Int {
    lines.compactMap { $0.hasPrefix(word + " ") ? Int($0.dropFirst(word.count + 1)) : nil }.max() ?? 0
  }

  static func acknowledged(_ lines: [String]) -> Int { highest("acknowledged", lines) }

  /// What is missing of that which the program had promised by these lines. Nil: nothing.
  static func complaint(_ directory: DirectoryImage, _ lines: [String], direct: Bool = false) -> String? {
    let found = count(directory, direct: direct)
    let promised = max(acknowledged(lines), highest("recovered", lines))
    if found < promised { return "\(promised) records were acknowledged, \(found) are there" }
    let sealed = highest("sealed", lines)
    guard let head = directory.files["head"] else { return sealed > 0 ? "the head is not there" : nil }
    let text = String(decoding: head, as: UTF8.self)
    guard text.hasPrefix("sealed "), text.hasSuffix(".\n"), let number = Int(text.dropFirst(7).dropLast(2)) else {
      return "the head is '\(text)'"
    }
    return number < sealed ? "\(sealed) segments were sealed, the head says \(number)" : nil
  }
}
