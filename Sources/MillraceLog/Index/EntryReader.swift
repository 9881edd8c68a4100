internal import MillraceCore

/// Reads entries from segments by their places, through a window that is filled once for neighbours.
///
/// # Threads
/// One at a time.
@safe struct EntryReader {
  static let windowBytes = 64 << 10

  private var region: Region
  private var segment: UInt64 = 0
  private var file: (any LogFile)?
  private var seed = Seed(LogID(high: 0, low: 0), segment: 0)
  private var start = 0
  private var count = 0
  /// The next place is probably behind the last one, not before it.
  let isForward: Bool

  init(isForward: Bool = true) throws(EventStoreError) {
    region = try Self.make(Self.windowBytes)
    self.isForward = isForward
  }

  private static func make(_ bytes: Int) throws(EventStoreError) -> Region {
    do throws(MemoryError) { return try Region(bytes: bytes) } catch { throw .unavailable(error.description) }
  }

  func free() { region.free() }

  enum Found {
    case entry(EntryView)
    /// The segment is not there any more.
    case gone
  }

  /// The entry at `place`, checked. Valid until the next call. Throws `damaged` if it is not what was written.
  mutating func entry(_ place: LogIndex.Place, _ index: LogIndex) throws(EventStoreError) -> Found {
    guard try open(place.segment, index) else { return .gone }
    let offset = place.offset
    do throws(StorageError) {
      if let view = EntryView(held(offset), at: offset, seed) { return .entry(view) }
      try fill(offset, EntryReader.windowBytes)
      if let view = EntryView(held(offset), at: offset, seed) { return .entry(view) }
      // Perhaps longer than the window.
      let held = held(offset)
      let length = held.count >= Entry.fixed ? Int(held.load(0, as: UInt32.self)) : 0
      if length > held.count, length <= EventLog.Settings.longestEntry {
        if length > region.bytes {
          region.free()
          do throws(EventStoreError) { region = try Self.make(length) } catch {
            throw StorageError("mmap", "", code: 12, error.description)
          }
        }
        // All of it, whatever lies before it.
        try fill(offset, length, fromOffset: true)
        if let view = EntryView(self.held(offset), at: offset, seed) { return .entry(view) }
      }
    } catch { throw .unavailable(error.description) }
    // A segment that was recycled meanwhile holds other bytes.
    let position: UInt64? = index.monitor.locked {
      guard index.segment(place.segment) != nil else { return nil }
      let block = index.blocks.last { $0.place <= place.word }
      return block?.firstPosition ?? 0
    }
    guard let position, index.isThere?(place.segment) ?? true else { return .gone }
    throw .damaged(position: position, "\(SegmentHeader.name(of: place.segment)), byte \(offset) is not what was written")
  }

  private mutating func open(_ number: UInt64, _ index: LogIndex) throws(EventStoreError) -> Bool {
    if file != nil, segment == number { return true }
    guard let found = index.monitor.locked({ index.segment(number) }) else { return false }
    segment = number
    file = found.file
    seed = Seed(found.header.log, segment: number)
    count = 0
    return true
  }

  /// What the window holds from `offset` on.
  private func held(_ offset: Int) -> Bytes {
    guard offset >= start, offset < start + count else { return unsafe Bytes(base: region.base, count: 0) }
    return unsafe Bytes(base: region.base + (offset - start), count: start + count - offset)
  }

  private mutating func fill(_ offset: Int, _ wanted: Int, fromOffset: Bool = false) throws(StorageError) {
    guard let file else { preconditionFailure("invariant broken: a window without a file") }
    // Backward the window ends shortly behind the entry, so that those before it are there, too.
    let least = 4096
    let from = isForward || fromOffset ? offset : max(0, offset + least - Self.windowBytes)
    count = 0
    start = from
    // Safe: the region has so many bytes.
    count = try unsafe file.read(into: UnsafeMutableRawBufferPointer(start: region.base, count: max(wanted, Self.windowBytes)), at: from)
  }
}
