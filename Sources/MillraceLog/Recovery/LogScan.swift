internal import MillraceCore

/// Walks through a log's files from the oldest on, and checks everything. What it ends with tells where a writer goes on.
///
/// Complexity: O(bytes), read once, in pieces of `pieceBytes` or of a block, if that is larger.
struct LogScan {
  static let pieceBytes = 4 << 20

  /// Where the log ends, and in what state.
  struct End: Equatable {
    var log: LogID
    var segment: UInt64
    /// Where the next block goes.
    var offset: Int
    var nextPosition: UInt64
    var session: UInt32
    /// The last block is one of a clean stop.
    var isSealed: Bool
    /// Bytes from `offset` up to the end of what a commit had begun to write that was never acknowledged; they count as not there.
    var tail: Int
  }

  /// What is walked through, in this order: a segment, its blocks, their entries.
  @safe protocol Visitor {
    mutating func segment(_ header: SegmentHeader) throws(LogError)
    mutating func block(_ header: BlockHeader, segment: UInt64) throws(LogError)
    /// False: enough.
    mutating func entry(_ entry: EntryView, segment: UInt64, offset: Int) throws(LogError) -> Bool
  }

  let storage: any LogStorage
  let numbers: [UInt64]

  /// Throws `none` if there is no segment, `missingSegment` if one is missing in their midst, `incomplete` for a copy that was not finished.
  init(_ storage: any LogStorage, isUnfinished: Bool = false) throws(LogError) {
    self.storage = storage
    let names: [String]
    do throws(StorageError) { names = try storage.names() } catch { throw .storage(error) }
    if !isUnfinished, names.contains(LogCopy.mark) { throw .incomplete }
    numbers = names.compactMap(SegmentHeader.number).sorted()
    guard let first = numbers.first else { throw .none }
    for (index, number) in numbers.enumerated() where number != first + UInt64(index) { throw .missingSegment(first + UInt64(index)) }
  }

  func walk(_ visitor: inout some Visitor) throws(LogError) -> End {
    var end: End?
    try walk(&visitor, &end)
    guard let end else { preconditionFailure("invariant broken: a walk without an end") }
    return end
  }

  /// Goes on behind `end`, or begins if that is nil. `end` says how far it has come, also when it throws.
  /// - Parameter limit: a position that is on stable storage: nothing behind it is looked at.
  func walk(_ visitor: inout some Visitor, _ end: inout End?, limit: UInt64 = .max) throws(LogError) {
    var piece = try Piece()
    defer { piece.free() }
    let headers = try headers(from: end?.segment ?? numbers[0], &piece)
    for (index, header) in headers.enumerated() {
      let next = index + 1 < headers.count ? headers[index + 1] : nil
      var here =
        end
        ?? End(
          log: header.log, segment: header.number, offset: header.unit, nextPosition: header.firstPosition, session: 0, isSealed: false,
          tail: 0)
      let isBegun = end.map { $0.segment == header.number } ?? false
      defer { end = here }
      guard try walk(header, next, isBegun: isBegun, &here, &piece, &visitor, limit) else { return }
    }
  }

  /// The headers of the segments from a number on, which follow each other.
  private func headers(from first: UInt64, _ piece: inout Piece) throws(LogError) -> [SegmentHeader] {
    guard numbers.contains(first) else { throw .missingSegment(first) }
    var headers: [SegmentHeader] = []
    for number in numbers where number >= first {
      let (header, _) = try open(number, &piece)
      if let previous = headers.last {
        guard header.log == previous.log else {
          throw .damaged(position: previous.firstPosition, segment: number, offset: 0, "it is of another log")
        }
        guard header.firstPosition >= previous.firstPosition else {
          throw .damaged(
            position: previous.firstPosition, segment: number, offset: 0, "its first position is less than that of the segment before")
        }
      }
      headers.append(header)
    }
    return headers
  }

  private func open(_ number: UInt64, _ piece: inout Piece) throws(LogError) -> (SegmentHeader, any LogFile) {
    do {
      let file = try storage.open(SegmentHeader.name(of: number), writing: false)
      let bytes = try piece.bytes(file, 0, SegmentHeader.bytes, isSmall: true)
      switch SegmentHeader.read(bytes) {
      case .success(let header):
        guard header.number == number, header.fileBytes <= file.bytes else {
          throw LogError.damaged(
            position: header.firstPosition, segment: number, offset: 0,
            "the header is of segment \(header.number) with \(header.fileBytes) bytes, the file has \(file.bytes)")
        }
        return (header, file)
      case .failure(let error):
        if case .format(let format) = error.fault { throw LogError.unknownFormat(segment: number, format) }
        throw LogError.damaged(position: 0, segment: number, offset: 0, "the segment's header is no header")
      }
    } catch { throw LogError(error) }
  }

  /// False: enough.
  private func walk(
    _ header: SegmentHeader, _ next: SegmentHeader?, isBegun: Bool, _ end: inout End, _ piece: inout Piece, _ visitor: inout some Visitor,
    _ limit: UInt64
  ) throws(LogError) -> Bool {
    let (_, file) = try open(header.number, &piece)
    let seed = Seed(header.log, segment: header.number)
    if !isBegun {
      guard header.firstPosition == end.nextPosition else {
        throw .damaged(
          position: end.nextPosition, segment: header.number, offset: 0, "the segment begins with position \(header.firstPosition)")
      }
      end.segment = header.number
      end.offset = header.unit
      end.isSealed = false
      try visitor.segment(header)
    }
    while end.nextPosition < limit, let (block, bytes) = try block(file, header, seed, end, &piece) {
      try visitor.block(block, segment: header.number)
      var at = BlockHeader.bytes
      while at < block.used {
        let entry = EntryView(good: bytes.slice(at, block.used - at))
        guard try visitor.entry(entry, segment: header.number, offset: block.offset + at) else { return false }
        at += entry.stride
      }
      end.offset += roundUp(block.used, to: header.unit)
      end.nextPosition = block.firstPosition + UInt64(block.events)
      end.session = block.session
      end.isSealed = block.flags & BlockHeader.seal != 0
    }
    if end.nextPosition >= limit { return false }
    if let next {
      guard next.firstPosition == end.nextPosition else {
        throw .damaged(
          position: end.nextPosition, segment: header.number, offset: end.offset,
          "the next segment begins with position \(next.firstPosition)")
      }
      _ = try tail(file, header, seed, end, &piece)
      return true
    }
    end.tail = try tail(file, header, seed, end, &piece)
    return true
  }

  /// The block at `end.offset`, all of it checked; nil if there is none.
  private func block(
    _ file: any LogFile, _ header: SegmentHeader, _ seed: Seed, _ end: End, _ piece: inout Piece
  ) throws(LogError) -> (BlockHeader, Bytes)? {
    guard end.offset + header.unit <= header.fileBytes else { return nil }
    do throws(StorageError) {
      guard let block = BlockHeader.read(try piece.bytes(file, end.offset, BlockHeader.bytes), at: end.offset, seed),
        block.offset == end.offset, block.session >= end.session, block.firstPosition == end.nextPosition, block.used >= BlockHeader.bytes,
        end.offset + roundUp(block.used, to: header.unit) <= header.fileBytes
      else { return nil }
      let bytes = try piece.bytes(file, end.offset, roundUp(block.used, to: header.unit))
      return block.isWhole(bytes, seed) ? (block, bytes) : nil
    } catch { throw .storage(error) }
  }

  /// Looks at what lies behind the last good block: throws if something there was on stable storage, else tells how many bytes a commit had begun to write.
  private func tail(
    _ file: any LogFile, _ header: SegmentHeader, _ seed: Seed, _ end: End, _ piece: inout Piece
  ) throws(LogError) -> Int {
    var last = end.offset
    var offset = end.offset
    do {
      while offset + header.unit <= header.fileBytes {
        let bytes = try piece.bytes(file, offset, header.unit)
        // A block is written when the one before is on stable storage, which holds names, limits and snapshots even where it has no events.
        if let block = BlockHeader.read(bytes, at: offset, seed), offset > end.offset || block.durableUpTo > end.nextPosition {
          throw LogError.damaged(
            position: end.nextPosition, segment: header.number, offset: end.offset,
            "a later block says that all before position \(block.durableUpTo) was on stable storage")
        }
        if !bytes.isZero { last = offset + header.unit }
        offset += header.unit
      }
    } catch { throw LogError(error) }
    return last - end.offset
  }
}

extension LogError {
  /// As caught in a function that throws both.
  init(_ error: any Error) {
    switch error {
    case let error as LogError: self = error
    case let error as StorageError: self = .storage(error)
    default: preconditionFailure("invariant broken: an error of another kind: \(error)")
    }
  }
}

extension BlockHeader {
  /// All entries are good, and there are as many as the header says; the rest is zero. `bytes` go up to the next multiple of the unit.
  func isWhole(_ bytes: Bytes, _ seed: Seed) -> Bool {
    var digest = seed.at(offset)
    var at = BlockHeader.bytes
    var count = 0
    var numbered = 0
    while at < used {
      guard let entry = EntryView(bytes.slice(at, used - at), at: offset + at, seed) else { return false }
      guard entry.position == firstPosition + UInt64(numbered) else { return false }
      digest = Checksum.add(entry.checksum, to: digest)
      // The zeros behind it, up to 7.
      guard bytes.slice(at + entry.bytes.count, min(entry.stride, used - at) - entry.bytes.count).isZero else { return false }
      count += 1
      if !entry.isSystem { numbered += 1 }
      at += entry.stride
    }
    return at == used && count == entries && numbered == events && digest == self.digest && bytes.slice(used, bytes.count - used).isZero
  }
}

/// A buffer that slides over a file.
@safe private struct Piece {
  private var region: Region
  /// What it holds: `count` bytes from `start` of `file` on.
  private var file: (any LogFile)?
  private var start = 0
  private var count = 0

  init() throws(LogError) { region = try Self.make(LogScan.pieceBytes) }

  private static func make(_ bytes: Int) throws(LogError) -> Region {
    do throws(MemoryError) { return try Region(bytes: bytes) } catch { throw .configuration(error.description) }
  }

  func free() { region.free() }

  /// `wanted` bytes of `file` from `offset` on, and no more if it `isSmall`. Valid until the next call.
  mutating func bytes(_ file: any LogFile, _ offset: Int, _ wanted: Int, isSmall: Bool = false) throws(StorageError) -> Bytes {
    if self.file !== file || offset < start || offset + wanted > start + count {
      if wanted > region.bytes {
        region.free()
        do throws(LogError) { region = try Self.make(wanted) } catch { throw StorageError("mmap", "", code: 12, error.description) }
      }
      self.file = nil
      start = offset
      // Safe: the region is that long.
      count = try unsafe file.read(
        into: UnsafeMutableRawBufferPointer(start: region.base, count: isSmall ? wanted : region.bytes), at: offset)
      self.file = file
    }
    guard offset + wanted <= start + count else {
      throw StorageError("read", "", code: 5, "the file ends before byte \(offset + wanted)")
    }
    // Safe: within what was read.
    return unsafe Bytes(base: region.base + (offset - start), count: wanted)
  }
}
