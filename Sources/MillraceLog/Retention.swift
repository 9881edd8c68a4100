internal import MillraceCore

/// What a log keeps: whole segments go, the oldest first, when one of the bounds is passed. Looked at whenever a new segment begins. The segment that is written stays.
public struct Retention: Sendable {
  // What groups and projections keep of themselves is no history: a segment with the last event of such a stream stays, and with it those behind.

  /// Bytes of all segments' files; nil: no bound.
  public var bytes: Int?
  /// Nanoseconds since the last event of a segment; nil: no bound.
  public var age: UInt64?
  /// Called with each segment before it goes, one after the other, on a thread of its own; it stays until this returns. If it throws, the segment stays and is tried
  /// again with the next one; `EventLog.retentionProblem` says why. Appends go on meanwhile, into new segments, and the bounds are passed by as much. `close` waits for
  /// it. After a crash it may be called again for the same segment.
  public var archive: (@Sendable (RetiredSegment) throws -> Void)?

  /// Without bounds all is kept.
  public init(bytes: Int? = nil, age: UInt64? = nil, archive: (@Sendable (RetiredSegment) throws -> Void)? = nil) {
    self.bytes = bytes
    self.age = age
    self.archive = archive
  }
}

/// A segment that is to go. Its file is a log's by itself, if the name is kept.
public struct RetiredSegment: Sendable {
  /// Its file's name.
  public let name: String
  /// Its first position.
  public let firstPosition: UInt64
  /// One more than its last position.
  public let endPosition: UInt64
  /// Its file, for reading.
  public let file: any LogFile
}

/// Carries out a log's retention.
///
/// # Threads
/// `work` by the thread of the segments' supply (or, without threads, by whoever appends), `archive` on one of its own. A segment is taken out of the index by the
/// committer, in the order of appends.
final class Retirement: @unchecked Sendable {
  /// A retired file that waits to become the next segment.
  static let spare = "spare"

  private let storage: any LogStorage
  private let index: LogIndex
  private let retention: Retention
  private let wall: @Sendable () -> Int64
  private let monitor = Monitor()
  var forgets: Bool { retention.bytes != nil || retention.age != nil }
  /// Segments without an event from this position on are to go; 0: none is, by this.
  private var floor: UInt64 = 0
  /// Taken out of the index; their files are to go.
  private var gone: [UInt64] = []
  /// One at a time is archived, or on its way through the committer.
  private var underWay = false
  private var text: String?
  /// Why the last segment could not be archived.
  private var archiveText: String?
  /// nil: there are no threads.
  private let archiving: Archiving?

  /// - Parameter hasThreads: archives have threads of their own.
  init(
    _ storage: any LogStorage, _ index: LogIndex, _ retention: Retention, hasThreads: Bool, _ wall: @escaping @Sendable () -> Int64
  ) {
    self.storage = storage
    self.index = index
    self.retention = retention
    self.wall = wall
    archiving = hasThreads ? Archiving() : nil
  }

  deinit { monitor.deallocate() }

  /// Why a segment that should go is still there.
  var problem: String? { monitor.locked { text ?? archiveText } }

  /// Nobody wants events before `position` any more.
  func truncate(before position: UInt64) { monitor.locked { floor = max(floor, position) } }

  /// Takes a segment out of the index, and tells whether it is out.
  typealias Retire = @Sendable (UInt64, @escaping @Sendable (Bool) -> Void) -> Void

  /// Gives the files of what is gone back, then finds what is to go, has it archived, and asks for it by `retire`.
  func work(_ retire: @escaping Retire, _ wake: @escaping @Sendable () -> Void) {
    if !forgets, monitor.locked({ floor == 0 && gone.isEmpty }) { return }
    var problem: String?
    do throws(StorageError) { try removeGone() } catch { problem = error.description }
    let segment = next(&problem)
    monitor.locked { text = problem }
    guard let segment else { return }
    monitor.locked { underWay = true }
    guard let archive = retention.archive else { return self.retire(segment.number, retire, wake) }
    let body: @Sendable () -> Void = { [self] in
      do {
        try archive(segment.retired)
        monitor.locked { archiveText = nil }
        self.retire(segment.number, retire, wake)
      } catch { keep(segment.retired, error) }
    }
    guard let archiving else { return body() }
    do throws(StorageError) { try archiving.begin(body) } catch { keep(segment.retired, error) }
  }

  private func keep(_ segment: RetiredSegment, _ error: any Error) {
    monitor.locked {
      underWay = false
      archiveText = "\(segment.name) is kept, since it cannot be archived: \(error)"
    }
  }

  private func retire(_ number: UInt64, _ retire: Retire, _ wake: @escaping @Sendable () -> Void) {
    retire(number) { [weak self] isGone in
      guard let self else { return }
      monitor.locked {
        underWay = false
        if isGone { gone.append(number) }
      }
      // Refused, as when too much is under way: again with the next segment.
      if isGone { wake() }
    }
  }

  /// Waits for what is archived. When nobody calls `work` any more.
  func finish() { archiving?.finish() }

  /// One that cannot be removed is tried again with the next segment. Only here numbers are taken out, by one thread.
  private func removeGone() throws(StorageError) {
    let numbers = monitor.locked { gone }
    if numbers.isEmpty { return }
    for number in numbers {
      let name = SegmentHeader.name(of: number)
      let names = try storage.names()
      if names.contains(Self.spare) { try storage.remove(name) } else { try storage.rename(name, to: Self.spare) }
      monitor.locked { gone.removeAll { $0 == number } }
    }
    try storage.syncNames()
  }

  /// The oldest segment, if it is to go. `problem`: it stays, for this.
  private func next(_ problem: inout String?) -> (number: UInt64, retired: RetiredSegment)? {
    guard let floor = monitor.locked({ underWay || !gone.isEmpty ? nil : floor }) else { return nil }
    let now = wall()
    return index.monitor.locked {
      guard index.segments.count > 1 else { return nil }
      let bytes = index.segments.reduce(0) { $0 + $1.header.fileBytes }
      let begun = index.segments[1].header.time
      let isOld = retention.age.map { now > begun && UInt64(now - begun) > $0 } ?? false
      // The last event of all stays, so that positions and versions go on.
      let isTruncated = index.segments[1].header.firstPosition <= floor && index.segments[1].header.firstPosition < index.end
      guard isTruncated || isOld || retention.bytes.map({ bytes > $0 }) ?? false else { return nil }
      let header = index.segments[0].header
      // Without it a group or a projection would begin anew, and pass over events.
      if let stream = index.systemStream(endingIn: header.number) {
        problem =
          "\(SegmentHeader.name(of: header.number)) is kept, since it holds the last event of \(stream): let it run, or give that stream limits that leave nothing"
        return nil
      }
      return (
        header.number,
        RetiredSegment(
          name: SegmentHeader.name(of: header.number), firstPosition: header.firstPosition,
          endPosition: index.segments[1].header.firstPosition,
          file: index.segments[0].file)
      )
    }
  }
}

extension LogIndex {
  /// A stream of the library's own of which the last event stands in this segment.
  fileprivate func systemStream(endingIn segment: UInt64) -> StreamName? {
    for number in systemStreams {
      let stream = streams[Int(number)]
      guard !stream.places.isEmpty, Place(word: stream.places[stream.places.end - 1]).segment <= segment, !stream.readable.isEmpty else {
        continue
      }
      return stream.name
    }
    return nil
  }

  /// The oldest segment is gone, with all that stood in it. Gives the streams of which nothing is left, but for `kept`: they are as if they had never been.
  func drop(_ number: UInt64, keeping kept: Set<UInt32>) -> [UInt32] {
    guard let first = segments.first, first.header.number == number, segments.count > 1 else { return [] }
    segments.removeFirst()
    let least = Place(segment: segments[0].header.number, offset: 0).word
    dropBlocks(before: least)
    for category in categories.indices { categories[category].drop(before: categories[category].first(from: least), memory) }
    var forgotten: [UInt32] = []
    for stream in streams.indices where streams[stream].end > 0 {
      streams[stream].places.drop(before: streams[stream].places.first(from: least), memory)
      if streams[stream].places.isEmpty, !kept.contains(UInt32(stream)) {
        forget(UInt32(stream))
        forgotten.append(UInt32(stream))
      }
    }
    for (stream, places) in snapshots {
      let left = places.filter { $0.value.place.word >= least }
      snapshots[stream] = left.isEmpty ? nil : left
    }
    return forgotten
  }
}
