/// What crashes could leave of a directory.
///
/// A crash is at a point from 0 to the number of records of the trace: all records before it have happened. What it leaves, exactly:
/// - Bytes. A sector of 512 bytes holds what the file held there at some moment from the last sync that covers it to the crash. So a write that
///   is not covered is absent, whole or torn between sectors, and may be there though an earlier one is not. A sync (`fsync`, `fdatasync`, `sync`,
///   `syncfs`) covers what had returned before it began, once it has returned; a write through `O_DSYNC` covers itself when it has returned;
///   `sync_file_range` covers nothing. A sync that failed loses for ever its right to what it should have covered.
/// - Size. It is what it was at some such moment; changes of one file's size come in their order, and a write that makes a file longer may do it
///   sector by sector. A size may be there without the bytes: they are zeros then. A size that covered bytes need is covered with them.
/// - Names. See ``EntryHistory``: each by itself, covered by a sync of its directory alone; a rename is one change.
///
/// It is assumed that a disk writes a sector whole or not, that no sector but those written changes, and that changes of one file's size, renames
/// among them, are kept in order by a journal, as by ext4 and XFS.
public struct CrashImages: Sendable {
  public enum Fault: Error, Equatable, CustomStringConvertible {
    /// A call by which a file changed without a record.
    case unseen(String)
    /// The trace names a file that nothing made: it was not in the image of the directory before.
    case unknownFile(String)
    /// Images hold files as bytes: up to 1 GiB each.
    case tooLarge(String)

    public var description: String {
      switch self {
      case .unseen(let call): "the trace is not whole: \(call)"
      case .unknownFile(let path): "'\(path)' was neither there before nor made in the trace"
      case .tooLarge(let path): "'\(path)' is larger than \(FileHistory.limit) bytes"
      }
    }
  }

  public let trace: RecordedTrace
  let history: CrashHistory

  /// - Parameter before: What the directory held when the program started; all of it counts as durable.
  /// - Complexity: O(bytes of the trace), in time and memory.
  public init(_ trace: RecordedTrace, before: DirectoryImage = DirectoryImage()) throws(Fault) {
    self.trace = trace
    history = try CrashHistory(trace, before: before)
  }

  public var points: ClosedRange<Int> { 0...trace.records.count }

  /// - Complexity: O(bytes written before the point). Many images of one point cost only their own size.
  public func moment(at point: Int) -> CrashMoment {
    var settled: [Int: SettledFile] = [:]
    return CrashMoment(self, at: point, from: &settled)
  }

  /// An image at a point that the seed chooses.
  public func image(seed: UInt64) -> CrashImage {
    var choices = SeededChoices(seed: ~seed)
    return moment(at: choices.pick(trace.records.count + 1)).image(seed: seed)
  }

  /// Each point, or each `every`-th, in order.
  /// - Complexity: O(bytes of the trace + points x bytes not yet synced).
  public func forEachMoment(every: Int = 1, _ body: (CrashMoment) throws -> Void) rethrows {
    var settled: [Int: SettledFile] = [:]
    for point in stride(from: points.lowerBound, through: points.upperBound, by: every) {
      try body(CrashMoment(self, at: point, from: &settled))
    }
  }

  /// `perPoint` images at each point. The same seed gives the same images.
  public func forEach(perPoint: Int, seed: UInt64, _ body: (CrashImage) throws -> Void) rethrows {
    try forEachMoment { moment in
      for number in 0..<UInt64(perPoint) {
        // Another seed for each image of all the points.
        try body(moment.image(seed: seed &+ (UInt64(moment.point) &* UInt64(perPoint) &+ number) &* 0x9E37_79B9_7F4A_7C15))
      }
    }
  }
}
