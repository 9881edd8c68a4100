internal import Foundation

/// A crash at one point of a trace, and all that it could leave.
public struct CrashMoment {
  /// Which bit is to be flipped besides.
  public enum Flip: Sendable {
    /// One that every image holds: who finds it must refuse it.
    case durable
    /// One that was not yet durable: a tail that may be dropped.
    case unsynced
  }

  public let point: Int
  /// What the program had said when it crashed: the lines of its marks.
  public let marks: [String]
  private let history: CrashHistory
  private let files: [Int: FileMoment]
  /// Records at which something began that the crash may have torn.
  private let begins: [Int]

  init(_ images: CrashImages, at point: Int, from settled: inout [Int: SettledFile]) {
    self.point = point
    history = images.history
    marks = images.trace.marks(before: point)
    var files: [Int: FileMoment] = [:]
    for (node, file) in history.files { files[node] = FileMoment(file, at: point, from: &settled[node, default: SettledFile(file)]) }
    self.files = files
    // In order: a seed picks among them by number.
    begins = (history.entries.begins(before: point) + files.values.flatMap(\.begins)).sorted()
  }

  /// The image of a seed: what a crash is like is chosen first (nothing of the unsynced, all, some in order, each write by itself, each unit by
  /// itself; units of 512 or 4,096 bytes), then what it left.
  public func image(seed: UInt64) -> CrashImage {
    var choices = SeededChoices(seed: seed)
    let unit = [512, 4096][choices.pick(2)]
    let mood: Mood =
      switch choices.pick(8) {
      case 0: .nothing
      case 1: .everything
      case 2, 3: begins.isEmpty ? .nothing : .inOrder(torn: begins[choices.pick(begins.count)])
      case 4, 5, 6: .eachWrite
      default: .eachUnit
      }
    return image(mood, unit: unit, &choices, origin: "seed \(seed)").image
  }

  /// The same with one bit flipped. Nil when there is no such bit.
  public func image(seed: UInt64, flipping flip: Flip) -> CrashImage? {
    var choices = SeededChoices(seed: seed)
    var (image, nodes) = image([.everything, .eachWrite][choices.pick(2)], unit: 512, &choices, origin: "seed \(seed)")
    var candidates: [(path: String, bytes: Range<Int>)] = []
    for (path, node) in nodes.sorted(by: { $0.key < $1.key }) {
      let (certain, open) = files[node]!.certainty(history.files[node]!)
      let size = image.directory.files[path]!.count
      candidates += (flip == .durable ? certain : open).intersection(IndexSet(integersIn: 0..<size)).rangeView.map { (path, $0) }
    }
    let count = candidates.reduce(0) { $0 + $1.bytes.count }
    guard count > 0 else { return nil }
    var left = choices.pick(count)
    let (path, bytes) = candidates.first { candidate in
      defer { left -= candidate.bytes.count }
      return left < candidate.bytes.count
    }!
    let byte = bytes.upperBound + left
    let bit = choices.pick(8)
    image.directory.files[path]![byte] ^= 1 << UInt8(bit)
    image.flipped = CrashImage.Bit(path: path, byte: byte, bit: bit)
    return image
  }

  /// Every image, as long as there are no more than `limit`: each unit, each size, each name by itself. Different choices may come to the same image.
  /// - Returns: whether these were all.
  public func forEach(unit: Int = 512, limit: Int, _ body: (CrashImage) throws -> Void) rethrows -> Bool {
    precondition(unit >= FileHistory.sector && unit % FileHistory.sector == 0, "a unit is whole sectors")
    var choices = EnumeratedChoices()
    for number in 0..<limit {
      try body(image(.eachUnit, unit: unit, &choices, origin: "way \(number)").image)
      guard choices.advance() else { return true }
    }
    return false
  }

  private func image(_ mood: Mood, unit: Int, _ choices: inout some Choices, origin: String) -> (image: CrashImage, nodes: [String: Int]) {
    var children: [Int: [(name: String, node: Int)]] = [:]
    for (name, node) in history.entries.entries(at: point, mood, &choices) {
      children[name.directory, default: []].append((name.name, node))
    }
    var directory = DirectoryImage()
    var nodes: [String: Int] = [:]
    var open = [(path: "", node: 0)]
    while let (path, node) = open.popLast() {
      for (name, child) in children[node] ?? [] {
        let full = path.isEmpty ? name : path + "/" + name
        if history.isDirectory(child) {
          directory.directories.insert(full)
          open.append((full, child))
        } else {
          nodes[full] = child
        }
      }
    }
    // In one order, so that a seed gives one image; a file with two names is chosen once.
    var contents: [Int: [UInt8]] = [:]
    for node in Set(nodes.values).sorted() { contents[node] = files[node]!.content(mood, unit: unit, &choices) }
    directory.files = nodes.mapValues { contents[$0]! }
    return (CrashImage(directory: directory, marks: marks, origin: "crash at record \(point), \(origin), \(mood), units of \(unit)"), nodes)
  }
}

/// What one crash left.
public struct CrashImage: Sendable, CustomStringConvertible {
  public struct Bit: Equatable, Sendable {
    public let path: String
    public let byte: Int
    public let bit: Int
  }

  public internal(set) var directory: DirectoryImage
  public let marks: [String]
  /// Point and seed: enough to make it again.
  public let origin: String
  public internal(set) var flipped: Bit?

  init(directory: DirectoryImage, marks: [String], origin: String) {
    self.directory = directory
    self.marks = marks
    self.origin = origin
  }

  public var description: String {
    flipped.map { "\(origin), bit \($0.bit) of byte \($0.byte) of '\($0.path)' flipped" } ?? origin
  }
}
