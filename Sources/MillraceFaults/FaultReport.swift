/// What the injector says that it did. Of all processes of a program together.
public struct FaultReport: Sendable, Equatable {
  /// One line for each fault that a call met: fault, function, offset, length, result, path.
  public private(set) var injected: [String] = []
  /// How many calls each fault counted, by its text. A run meets no fault when its number is above this.
  public private(set) var counts: [String: Int] = [:]
  /// How many calls of each class touched the directory.
  public private(set) var calls: [String: Int] = [:]

  /// - Parameter text: The file of `MILLRACE_FAULT_REPORT`.
  public init(_ text: String) {
    for line in text.split(separator: "\n") where line.hasPrefix("millrace-fault ") {
      let words = line.split(separator: " ", maxSplits: 3)
      guard words.count >= 3 else { continue }
      let rest = words.count == 4 ? words[3] : ""
      switch words[2] {
      case "injected": injected.append(String(rest))
      case "counts": Self.add(rest, to: &counts)
      case "calls": Self.add(rest, to: &calls)
      default: break
      }
    }
  }

  private static func add(_ words: Substring, to numbers: inout [String: Int]) {
    for word in words.split(separator: " ") {
      guard let mark = word.lastIndex(of: "="), let number = Int(word[word.index(after: mark)...]) else { continue }
      numbers[String(word[..<mark]), default: 0] += number
    }
  }
}
