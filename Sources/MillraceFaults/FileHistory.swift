/// All that happened to the content of one file. A **sector** (512 bytes) holds, after a crash, what the file held there at some moment from the
/// last sync that covers it to the crash: sectors do not wait for each other, and are never mixed in themselves.
struct FileHistory {
  static let sector = 512
  static let limit = 1 << 30

  struct Change {
    enum Effect {
      /// Whole sectors from `start` on, as the file held them behind the write.
      case write(start: Int, sectors: [UInt8])
      /// The file ends here.
      case cut(Int)
      /// Only the size, by an allocation or a truncation that makes it longer.
      case size
    }
    let effect: Effect
    /// What the program wrote.
    let range: Range<Int>
    /// Index of the record from which on it may be on the disk.
    let begin: Int
    /// Of its return, when it succeeded.
    let end: Int?
    let sizeBefore: Int
    let sizeAfter: Int
    /// When this is durable, the size must be at least that behind change number `needs`, unless -1.
    let needs: Int
    /// Index of the record from which on it cannot be lost.
    var durableFrom: Int?

    var changesSize: Bool { sizeBefore != sizeAfter }
  }

  private(set) var changes: [Change] = []
  let base: [UInt8]
  /// What the program sees.
  private var live: [UInt8]
  private var size: Int
  private var sizeChanges: [Int] = []

  init(_ base: [UInt8] = []) {
    self.base = base
    live = base
    size = base.count
  }

  mutating func write(_ bytes: [UInt8], at offset: Int, begin: Int, end: Int?, extends: Bool = true) {
    guard !bytes.isEmpty else { return }
    let range = offset..<(offset + bytes.count)
    let start = offset / Self.sector * Self.sector
    let stop = (range.upperBound + Self.sector - 1) / Self.sector * Self.sector
    if live.count < stop { live += [UInt8](repeating: 0, count: stop - live.count) }
    live.replaceSubrange(range, with: bytes)
    append(.write(start: start, sectors: Array(live[start..<stop])), range, extends ? max(size, range.upperBound) : size, begin, end)
  }

  /// Cuts or lengthens.
  mutating func setSize(_ size: Int, begin: Int, end: Int?) {
    if size < self.size {
      if size < live.count { live.replaceSubrange(size..., with: [UInt8](repeating: 0, count: live.count - size)) }
      append(.cut(size), size..<size, size, begin, end)
    } else if size > self.size {
      append(.size, size..<size, size, begin, end)
    }
  }

  mutating func extend(to size: Int, begin: Int, end: Int?) {
    if size > self.size { setSize(size, begin: begin, end: end) }
  }

  private mutating func append(_ effect: Change.Effect, _ range: Range<Int>, _ sizeAfter: Int, _ begin: Int, _ end: Int?) {
    let changed = sizeAfter != size
    // The earliest size that was large enough and stayed so: the one that reading the range needs.
    var needs = changed ? changes.count : -1
    if !changed {
      let wanted = min(range.upperBound, size)
      for index in sizeChanges.reversed() {
        if changes[index].sizeBefore < wanted {
          needs = index
          break
        }
        if changes[index].sizeAfter < wanted { break }
      }
    }
    if changed { sizeChanges.append(changes.count) }
    changes.append(Change(effect: effect, range: range, begin: begin, end: end, sizeBefore: size, sizeAfter: sizeAfter, needs: needs))
    size = sizeAfter
  }

  /// The last change, a write through O_DSYNC, is durable when it has returned.
  mutating func settleLast() { changes[changes.count - 1].durableFrom = changes[changes.count - 1].end }

  /// Tells each change when it became durable. A sync covers what had returned before it began. One that failed makes durable nothing of what had
  /// begun before it failed, for ever: Linux holds those pages for written, and later syncs succeed.
  mutating func settle(_ syncs: [Sync]) {
    for index in changes.indices {
      let change = changes[index]
      for sync in syncs {
        if let end = change.end, sync.succeeded, end < sync.begin {
          changes[index].durableFrom = min(sync.end, change.durableFrom ?? .max)
          break
        }
        if !sync.succeeded, change.begin < sync.end { break }
      }
    }
  }
}

/// A sync of a file or directory that returned. In the order of their returns.
struct Sync {
  let begin: Int
  let end: Int
  let succeeded: Bool
}
