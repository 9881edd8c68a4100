/// Why a log cannot be opened, or read.
public enum LogError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What the log's files hold is not what was written, and it was on stable storage: from this position on nothing is served.
  case damaged(position: UInt64, segment: UInt64, offset: Int, String)
  /// The files do not follow each other.
  case missingSegment(UInt64)
  /// A later version wrote this. Use that, or export with it.
  case unknownFormat(segment: UInt64, UInt32)
  /// An entry that a reader must know, and this one does not.
  case unknownEntry(type: UInt16, position: UInt64)
  /// The storage refused.
  case storage(StorageError)
  /// A setting that cannot be: which, and what it may be.
  case configuration(String)
  /// A copy that was never finished.
  case incomplete
  /// There is no log.
  case none

  public var description: String {
    switch self {
    case .damaged(let position, let segment, let offset, let text):
      """
      damaged at position \(position) (\(SegmentHeader.name(of: segment)), byte \(offset)): \(text). What was acknowledged is not whole any more: restore a backup, or \
      see `millrace log verify`
      """
    case .missingSegment(let number): "\(SegmentHeader.name(of: number)) is missing: put it back, or restore a backup"
    case .unknownFormat(let segment, let format):
      "\(SegmentHeader.name(of: segment)) has format \(format), this version knows \(SegmentHeader.format): use a later version of millrace"
    case .unknownEntry(let type, let position):
      "an entry of type \(type) at position \(position) is not known: use a later version of millrace"
    case .storage(let error): error.description
    case .configuration(let text): text
    case .incomplete: "this is a copy of a log that was not finished: remove it and copy again"
    case .none: "there is no log here"
    }
  }
}
