internal import MillraceCore

/// Single events of one stream by their versions, where they lie in the log's buffer: nothing is copied. Neighbours are read at once.
///
/// # Threads
/// One at a time. The log stays open meanwhile.
@safe package struct EventPicker: ~Copyable {
  private let index: LogIndex
  private let stream: Int
  private var reader: EntryReader

  /// Throws `unavailable` if the system has no memory for its window, 64 KiB.
  package init(_ log: EventLog, _ stream: StreamNumber) throws(EventStoreError) {
    index = log.index
    self.stream = Int(stream.value)
    reader = try EntryReader()
  }

  deinit { reader.free() }

  /// The event of this version, checked; nil: it is not there, or not any more. Valid until the next call. The stream's limits are not looked at. Throws `damaged` where something is not
  /// what was written. Complexity: O(1), one read at most for an event that fits into the window.
  package mutating func event(_ version: UInt64) throws(EventStoreError) -> EventView? {
    let place: UInt64? = index.monitor.locked {
      let found = index.streams[stream]
      guard version >= found.start, version < found.end else { return nil }
      return found.places[Int(version - found.firstVersion)]
    }
    guard let place, case .entry(let entry) = try reader.entry(LogIndex.Place(word: place), index) else { return nil }
    return EventView(entry: entry)
  }
}
