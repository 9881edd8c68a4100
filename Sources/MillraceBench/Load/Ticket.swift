/// All that a subject carries for a request: when it should have been sent, and when it was. Nanoseconds of the load's clock.
///
/// Two words: it fits into a job without memory of its own.
struct Ticket: Sendable, Equatable {
  var intended: UInt64
  var sent: UInt64
}

/// The measured stretch of a round: what lies before it is warm-up.
struct Window: Sendable, Equatable {
  /// Nanoseconds of the load's clock; the end is not part of it.
  var begin: UInt64
  var end: UInt64
  /// Open: a request belongs to the round in which it should have been sent, however late it ended; closed: to the round in which it ended.
  var isOpen: Bool

  init(begin: UInt64, end: UInt64, isOpen: Bool) {
    precondition(begin < end, "a window has a length")
    self.begin = begin
    self.end = end
    self.isOpen = isOpen
  }

  var nanoseconds: UInt64 { end - begin }

  @inline(__always) func contains(_ moment: UInt64) -> Bool { moment >= begin && moment < end }
}
