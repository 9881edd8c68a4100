internal import MillraceCore

/// How much more a queue takes: messages, and bytes, each in a word with the epoch of its queue, so that nobody takes from the room of another one that stands there later.
///
/// # Threads
/// Any.
/// # Progress
/// Lock-free.
@safe struct QueueRoom {
  /// A word: the epoch above 44 bits, the room below, this much too large: what comes back to a full queue makes it negative.
  static let zero: UInt64 = 1 << 43
  private static let mask: UInt64 = 1 << 44 - 1
  /// What counts as no bound.
  static let most = 1 << 42

  private let word: SharedWord

  init(_ word: SharedWord) { self.word = word }

  /// Nobody else has the queue yet.
  func open(_ room: Int, epoch: UInt32) {
    word.storeReleasing(UInt64(epoch & 0xFFFFF) << 44 | QueueRoom.zero + UInt64(min(room, QueueRoom.most)))
  }

  /// At this moment.
  var value: Int { Int(bitPattern: UInt(word.loadRelaxed() & QueueRoom.mask)) - Int(QueueRoom.zero) }

  /// Takes as much as `wanted` says of what there is, 0 at least; nil: it is another queue's.
  @inline(__always) func reserve(epoch: UInt32, _ wanted: (Int) -> Int) -> Int? {
    while true {
      let seen = word.loadAcquiring()
      guard seen >> 44 == UInt64(epoch & 0xFFFFF) else { return nil }
      let take = wanted(Int(bitPattern: UInt(seen & QueueRoom.mask)) - Int(QueueRoom.zero))
      // Order: sequentially consistent. Pairs with the addition in `give`: what was there has left before.
      if take == 0 || word.replace(seen, by: seen - UInt64(take)) { return take }
    }
  }

  /// What was reserved is not used. Nothing, if it is another queue's meanwhile.
  func giveBack(_ count: Int, epoch: UInt32) {
    while true {
      let seen = word.loadAcquiring()
      guard seen >> 44 == UInt64(epoch & 0xFFFFF), !word.replace(seen, by: seen + UInt64(count)) else { return }
    }
  }

  /// There is so much more, or less. By who has the queue's lock.
  @inline(__always) func change(by more: Int) {
    if more > 0 { _ = word.add(UInt64(more)) } else if more < 0 { _ = word.subtract(UInt64(-more)) }
  }
}
