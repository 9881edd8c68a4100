/// A file at a crash: what is certain, and what may or may not have come to the disk.
struct FileMoment {
  private let settled: [UInt8]
  private let settledSize: Int
  /// In their order, from the first that may be missing on.
  private let open: [(change: FileHistory.Change, isDurable: Bool)]
  /// Sizes change in order: those of `open` up to some number hold, from this one on (-1: none need hold).
  private let least: Int
  /// Those of `open` behind `least` that change the size.
  private let later: [Int]
  private let begun: [(change: FileHistory.Change, isDurable: Bool)]
  private let baseSize: Int

  init(_ history: FileHistory, at point: Int) {
    begun = history.changes.filter { $0.begin < point }.map { ($0, ($0.durableFrom ?? .max) < point) }
    baseSize = history.base.count
    let first = begun.firstIndex { !$0.isDurable } ?? begun.count
    var settled = history.base
    for entry in begun[..<first] {
      switch entry.change.effect {
      case .write(let start, let sectors): Self.copy(sectors[...], to: start, of: &settled)
      case .cut(let size): Self.clear(from: size, of: &settled)
      case .size: break
      }
    }
    self.settled = settled
    settledSize = first == 0 ? history.base.count : begun[first - 1].change.sizeAfter
    let open = Array(begun[first...])
    let least = max(-1, (open.filter(\.isDurable).map(\.change.needs).max() ?? -1) - first)
    self.open = open
    self.least = least
    later = open.indices.filter { $0 > least && open[$0].change.changesSize }
  }

  private static func copy(_ bytes: ArraySlice<UInt8>, to offset: Int, of content: inout [UInt8]) {
    let end = offset + bytes.count
    if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
    content.replaceSubrange(offset..<end, with: bytes)
  }

  private static func clear(from size: Int, of content: inout [UInt8]) {
    if size < content.count { content.removeSubrange(size...) }
  }

  private func size(behind number: Int) -> Int {
    number < 0 ? settledSize : open[number].change.sizeAfter
  }

  /// What a crash leaves of the file.
  /// - Complexity: O(size + bytes of the open writes).
  func content(_ mood: Mood, unit: Int, _ choices: inout some Choices) -> [UInt8] {
    let (held, size) = size(mood, &choices)
    var content = settled
    // Behind a cut that did not happen, nothing of what came after it can be seen: it lies in new blocks.
    var border = Int.max
    for (number, entry) in open.enumerated() {
      switch entry.change.effect {
      case .cut(let size): if number <= held { Self.clear(from: size, of: &content) } else { border = min(border, size) }
      case .size: break
      case .write(let start, let sectors):
        if entry.isDurable {
          Self.copy(sectors[...], to: start, of: &content)
        } else {
          write(sectors, at: start, present(entry.change, mood, unit: unit, &choices), unit: unit, below: border, to: &content)
        }
      }
    }
    if content.count > size { content.removeSubrange(size...) }
    if content.count < size { content += [UInt8](repeating: 0, count: size - content.count) }
    return content
  }

  private func write(_ sectors: [UInt8], at start: Int, _ present: [Bool], unit: Int, below border: Int, to content: inout [UInt8]) {
    for sector in stride(from: start, to: start + sectors.count, by: FileHistory.sector) {
      guard present[sector / unit - start / unit], sector + FileHistory.sector <= border else { continue }
      Self.copy(sectors[(sector - start)..<(sector - start + FileHistory.sector)], to: sector, of: &content)
    }
  }

  /// Of a write that may be missing: for each unit that it touches, whether it is on the disk.
  private func present(_ change: FileHistory.Change, _ mood: Mood, unit: Int, _ choices: inout some Choices) -> [Bool] {
    let count = (change.range.upperBound - 1) / unit - change.range.lowerBound / unit + 1
    func prefix(_ length: Int) -> [Bool] { (0..<count).map { $0 < length } }
    func each(_ choices: inout some Choices) -> [Bool] {
      var present: [Bool] = []
      for _ in 0..<count { present.append(choices.pick(2) == 1) }
      return present
    }
    switch mood {
    case .nothing: return prefix(0)
    case .everything: return prefix(count)
    case .inOrder(let torn): return prefix(change.begin < torn ? count : change.begin == torn ? choices.pick(count + 1) : 0)
    case .eachUnit: return each(&choices)
    case .eachWrite:
      switch choices.pick(4) {
      case 0: return prefix(0)
      case 1: return prefix(count)
      case 2: return prefix(choices.pick(count))
      default: return each(&choices)
      }
    }
  }

  /// Up to which change of `open` the sizes hold, and the size.
  private func size(_ mood: Mood, _ choices: inout some Choices) -> (held: Int, size: Int) {
    let count: Int
    switch mood {
    case .nothing: count = 0
    case .everything: count = later.count
    case .inOrder(let torn): count = later.prefix { open[$0].change.begin < torn }.count
    case .eachWrite, .eachUnit: count = choices.pick(later.count + 1)
    }
    let held = count == 0 ? least : later[count - 1]
    let size = size(behind: held)
    guard count < later.count, growsInPieces(open[later[count]].change, mood), choices.pick(3) == 0 else { return (held, size) }
    let first = size / FileHistory.sector + 1
    let last = (open[later[count]].change.sizeAfter - 1) / FileHistory.sector
    return (held, first > last ? size : (first + choices.pick(last - first + 1)) * FileHistory.sector)
  }

  /// A long write makes the file longer piece by piece.
  private func growsInPieces(_ change: FileHistory.Change, _ mood: Mood) -> Bool {
    guard case .write = change.effect else { return false }
    return mood == .eachWrite || mood == .inOrder(torn: change.begin)
  }

  enum Certainty {
    /// No program wrote it, so nobody can miss it.
    case untouched
    /// Each image holds it.
    case certain
    /// Some image does not.
    case open
  }

  /// For each byte that the program could read when it crashed.
  func certainty() -> [Certainty] {
    var bytes = [Certainty](repeating: .certain, count: baseSize)
    func mark(_ range: Range<Int>, _ certainty: Certainty) {
      if bytes.count < range.upperBound { bytes += [Certainty](repeating: .untouched, count: range.upperBound - bytes.count) }
      for index in range { bytes[index] = certainty }
    }
    for entry in begun {
      switch entry.change.effect {
      case .size: break
      case .cut(let size):
        if entry.isDurable {
          if size < bytes.count { bytes.removeSubrange(size...) }
        } else if size < bytes.count {
          mark(size..<bytes.count, .open)
        }
      case .write(let start, let sectors):
        guard entry.isDurable else {
          mark(entry.change.range, .open)
          continue
        }
        mark(entry.change.range, .certain)
        // The sectors go as a whole.
        for index in start..<min(start + sectors.count, bytes.count) where bytes[index] == .open { bytes[index] = .certain }
      }
    }
    let shortest = ([least] + later).map(size(behind:)).min() ?? 0
    for index in bytes.indices.dropFirst(shortest) where bytes[index] == .certain { bytes[index] = .open }
    return bytes
  }
}
