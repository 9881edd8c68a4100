internal import Foundation

/// What of a file cannot be lost: its first changes, all durable. Grows as a crash is looked at later.
struct SettledFile {
  /// Of how many changes.
  fileprivate var count = 0
  fileprivate var content: [UInt8]
  fileprivate var size: Int

  init(_ history: FileHistory) {
    content = history.base
    size = history.base.count
  }

  fileprivate mutating func advance(_ history: FileHistory, to point: Int) {
    while count < history.changes.count {
      let change = history.changes[count]
      guard change.begin < point, (change.durableFrom ?? .max) < point else { return }
      switch change.effect {
      case .write(let start, let sectors): FileMoment.copy(sectors[...], to: start, of: &content)
      case .cut(let size): FileMoment.clear(from: size, of: &content)
      case .size: break
      }
      size = change.sizeAfter
      count += 1
    }
  }
}

/// A file at a crash: what is certain, and what may or may not have come to the disk.
struct FileMoment {
  private let settled: SettledFile
  /// In their order, from the first that may be missing on.
  private let open: [(change: FileHistory.Change, isDurable: Bool)]
  /// Sizes change in order: those of `open` up to some number hold, from this one on (-1: none need hold).
  private let least: Int
  /// Those of `open` behind `least` that change the size.
  private let later: [Int]

  /// - Parameter settled: Of an earlier point, or new.
  init(_ history: FileHistory, at point: Int, from settled: inout SettledFile) {
    settled.advance(history, to: point)
    let first = settled.count
    self.settled = settled
    let open = history.changes[first...].prefix { $0.begin < point }.map { (change: $0, isDurable: ($0.durableFrom ?? .max) < point) }
    let least = max(-1, (open.filter(\.isDurable).map(\.change.needs).max() ?? -1) - first)
    self.open = open
    self.least = least
    later = open.indices.filter { $0 > least && open[$0].change.changesSize }
  }

  /// When what may be missing began.
  var begins: [Int] { open.filter { !$0.isDurable }.map(\.change.begin) }

  fileprivate static func copy(_ bytes: ArraySlice<UInt8>, to offset: Int, of content: inout [UInt8]) {
    let end = offset + bytes.count
    if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
    content.replaceSubrange(offset..<end, with: bytes)
  }

  fileprivate static func clear(from size: Int, of content: inout [UInt8]) {
    if size < content.count { content.removeSubrange(size...) }
  }

  private func size(behind number: Int) -> Int {
    number < 0 ? settled.size : open[number].change.sizeAfter
  }

  /// What a crash leaves of the file.
  /// - Complexity: O(size + bytes of the open writes).
  func content(_ mood: Mood, unit: Int, _ choices: inout some Choices) -> [UInt8] {
    let (held, size) = size(mood, &choices)
    var content = settled.content
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
    let end = min(start + sectors.count, border / FileHistory.sector * FileHistory.sector)
    var from = start
    while from < end {
      // As many units as are alike.
      let isPresent = present[from / unit - start / unit]
      var to = from
      while to < end, present[to / unit - start / unit] == isPresent { to = (to / unit + 1) * unit }
      to = min(to, end)
      if isPresent { Self.copy(sectors[(from - start)..<(to - start)], to: from, of: &content) }
      from = to
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

  /// The bytes that every image holds alike and that were written by the program or found, and those that some image lacks.
  func certainty(_ history: FileHistory) -> (certain: IndexSet, open: IndexSet) {
    var certain = IndexSet(integersIn: 0..<history.base.count)
    var open = IndexSet()
    func move(_ range: Range<Int>, from source: inout IndexSet, to target: inout IndexSet) {
      let moved = source.intersection(IndexSet(integersIn: range))
      source.subtract(moved)
      target.formUnion(moved)
    }
    let settled = history.changes[..<self.settled.count].map { (change: $0, isDurable: true) }
    for entry in settled + self.open {
      let range = entry.change.range
      switch entry.change.effect {
      case .size: break
      case .cut(let size):
        if entry.isDurable {
          certain.remove(integersIn: size..<FileHistory.limit)
          open.remove(integersIn: size..<FileHistory.limit)
        } else {
          move(size..<entry.change.sizeBefore, from: &certain, to: &open)
        }
      case .write(let start, let sectors):
        certain.remove(integersIn: range)
        open.insert(integersIn: range)
        // Sectors go as a whole.
        if entry.isDurable { move(start..<(start + sectors.count), from: &open, to: &certain) }
      }
    }
    let shortest = ([least] + later).map(size(behind:)).min() ?? 0
    move(shortest..<FileHistory.limit, from: &certain, to: &open)
    return (certain, open)
  }
}
