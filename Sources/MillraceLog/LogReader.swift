internal import CMillrace
internal import Glibc

/// Reads a log that another process may be writing: without its lock, as far as it was committed when `refresh` was called.
///
/// # Threads
/// One at a time.
public final class LogReader {
  private let storage: any LogStorage
  private let isUnfinished: Bool
  /// Opens payloads that are sealed; without it they cannot be read.
  public var seal: (any PayloadSeal)?
  private var builder: IndexBuilder
  private var end: LogScan.End?
  private var counts = Counts()

  /// What a log holds.
  public struct Counts: Sendable, Equatable {
    /// Commits.
    public var blocks = 0
    /// Events.
    public var events = 0
    /// Entries of the log's own: names, limits, snapshots.
    public var ownEntries = 0
    /// Of all events.
    public var payloadBytes = 0
  }

  /// One file of the log.
  public struct Segment: Sendable, Equatable {
    /// From 1.
    public var number: UInt64
    /// Its name in the directory.
    public var file: String
    /// Bytes of the file.
    public var fileBytes: Int
    /// The position of the first event that may stand in it.
    public var firstPosition: UInt64
    /// One more than its last position.
    public var endPosition: UInt64
    /// Nanoseconds since 1970.
    public var begun: Int64
  }

  /// Reads and checks all of it. Complexity: O(bytes).
  public convenience init(_ storage: any LogStorage) throws(LogError) { try self.init(storage, isUnfinished: false) }

  /// - Parameter isUnfinished: a copy that is marked as not finished is read all the same.
  init(_ storage: any LogStorage, isUnfinished: Bool) throws(LogError) {
    self.storage = storage
    self.isUnfinished = isUnfinished
    builder = IndexBuilder(storage, nil)
    // A segment that the writer has retired meanwhile is gone, not damaged.
    builder.index.isThere = { number in
      do throws(StorageError) { return try storage.names().contains(SegmentHeader.name(of: number)) } catch { return false }
    }
    try refresh()
  }

  /// Goes on to what was committed since. Complexity: O(bytes since).
  public func refresh() throws(LogError) {
    var attempts = 0
    while true {
      do throws(LogError) {
        var visitor = Counting(builder: builder, counts: counts)
        defer {
          builder = visitor.builder
          counts = visitor.counts
          builder.index.end = end?.nextPosition ?? 0
        }
        return try LogScan(storage, isUnfinished: isUnfinished).walk(&visitor, &end)
      } catch {
        // A writer may have written between two reads of one piece: then the next look finds it whole.
        attempts += 1
        guard case .damaged = error, attempts < Self.attempts else { throw error }
        usleep(5_000)
      }
    }
  }
  private static let attempts = 4

  /// As the contract's. Limits of streams are kept, by the machine's clock.
  public func page(_ request: ReadRequest) throws(EventStoreError) -> EventPage {
    var reader = try PageReader(builder.index, { millrace_wall() }, seal, request)
    defer { reader.free() }
    return try reader.page()
  }

  /// The first position that is not read.
  public var nextPosition: UInt64 { builder.index.end }
  /// What was read so far.
  public var total: Counts { counts }
  /// The last stop was a clean one.
  public var isSealed: Bool { end?.isSealed ?? false }
  /// Bytes behind the last commit that a commit had begun: of a writer at work, or one that was killed.
  public var unfinishedBytes: Int { end?.tail ?? 0 }
  var unit: Int { builder.index.segments[0].header.unit }

  /// The bytes of a segment that were read.
  struct Part {
    let name: String
    let file: any LogFile
    let bytes: Int
    let unit: Int
  }

  var parts: [Part] {
    builder.index.segments.map { segment in
      let isLast = segment.header.number == end?.segment
      return Part(
        name: SegmentHeader.name(of: segment.header.number), file: segment.file, bytes: isLast ? end!.offset : segment.header.fileBytes,
        unit: segment.header.unit)
    }
  }

  /// The log's id.
  public var log: LogID { end?.log ?? LogID(high: 0, low: 0) }

  /// From the oldest on.
  public var segments: [Segment] {
    let all = builder.index.segments
    return all.enumerated().map { index, segment in
      Segment(
        number: segment.header.number, file: SegmentHeader.name(of: segment.header.number), fileBytes: segment.header.fileBytes,
        firstPosition: segment.header.firstPosition,
        endPosition: index + 1 < all.count ? all[index + 1].header.firstPosition : builder.index.end, begun: segment.header.time)
    }
  }

  /// The streams that have had events, by name, with the version of their last one.
  public var streams: [(name: StreamName, lastVersion: UInt64)] {
    builder.index.streams.filter { $0.end > 0 }.map { ($0.name, $0.end - 1) }.sorted { $0.name.description < $1.name.description }
  }
}

/// Counts what the index is made from.
private struct Counting: LogScan.Visitor {
  var builder: IndexBuilder
  var counts: LogReader.Counts

  mutating func segment(_ header: SegmentHeader) throws(LogError) { try builder.segment(header) }
  mutating func block(_ header: BlockHeader, segment: UInt64) throws(LogError) {
    counts.blocks += 1
    try builder.block(header, segment: segment)
  }
  mutating func entry(_ entry: EntryView, segment: UInt64, offset: Int) throws(LogError) -> Bool {
    if entry.isSystem {
      counts.ownEntries += 1
    } else {
      counts.events += 1
      counts.payloadBytes += entry.payload.count
    }
    return try builder.entry(entry, segment: segment, offset: offset)
  }
}
