/// The ids of the last events, and where they stand: by this an append that is repeated is recognised.
///
/// # Threads
/// One at a time.
/// # Complexity
/// `find` and `insert` O(1) expected. 48 bytes an event.
/// # Source
/// Chains of sequence numbers that end by age, so that what falls out needs no work: as in zlib's search for matches.
struct IDWindow {
  struct Place: Equatable {
    var version: UInt64
    var position: UInt64
  }

  private struct Known {
    var id = EventID(high: 0, low: 0)
    var stream: UInt32 = 0
    /// The one before in the same chain, 0 none: as counted by `inserted`.
    var previous: UInt32 = 0
    var place = Place(version: 0, position: 0)
  }

  /// Events that it holds at most.
  let size: Int
  /// Events that it has room for now: it doubles until `size`.
  private var room: Int
  private var mask: UInt32
  private let salt: UInt64
  private var known: [Known]
  /// Of each chain the last one inserted.
  private var chains: [UInt32]
  /// The number of the last one, from 1; 32 bits wide, so that chains of before an overflow look older than they are.
  private var inserted: UInt32 = 0

  /// - Parameters:
  ///   - size: events, a power of two, below 2^31.
  ///   - salt: so that nobody can choose ids that fall into one chain.
  init(size: Int, salt: UInt64) {
    precondition(size.nonzeroBitCount == 1 && size < 1 << 31, "a power of two below 2^31")
    self.size = size
    self.salt = salt
    room = min(size, 256)
    mask = UInt32(room - 1)
    known = Array(repeating: Known(), count: room)
    chains = Array(repeating: 0, count: room)
  }

  /// Twice the room. Complexity: O(events held).
  private mutating func grow() {
    let old = known
    let oldMask = mask
    let first = inserted &- UInt32(room) &+ 1
    room *= 2
    mask = UInt32(room - 1)
    known = Array(repeating: Known(), count: room)
    chains = Array(repeating: 0, count: room)
    for number in first...inserted {
      let event = old[Int(number & oldMask)]
      let chain = chain(event.stream, event.id)
      known[Int(number & mask)] = Known(id: event.id, stream: event.stream, previous: chains[chain], place: event.place)
      chains[chain] = number
    }
  }

  @inline(__always) private func chain(_ stream: UInt32, _ id: EventID) -> Int {
    var hash = (id.low ^ salt) &* 0x9e37_79b9_7f4a_7c15
    hash = (hash ^ hash >> 32 ^ id.high ^ UInt64(stream) << 32) &* 0xd6e8_feb8_6659_fd93
    return Int(UInt32(truncatingIfNeeded: hash >> 32) & mask)
  }

  /// Where the event with this id stands in this stream, if it is one of the last `size` of the log.
  func find(_ stream: UInt32, _ id: EventID) -> Place? {
    var number = chains[chain(stream, id)]
    while number != 0, inserted &- number < UInt32(room) {
      let event = known[Int(number & mask)]
      if event.id == id, event.stream == stream { return event.place }
      // Older than this one, or from before an overflow, which looks so.
      guard number &- event.previous < UInt32(room) else { return nil }
      number = event.previous
    }
    return nil
  }

  mutating func insert(_ stream: UInt32, _ id: EventID, _ place: Place) {
    if room < size, inserted == UInt32(room) { grow() }
    inserted &+= 1
    if inserted == 0 { inserted = 1 }
    let chain = chain(stream, id)
    known[Int(inserted & mask)] = Known(id: id, stream: stream, previous: chains[chain], place: place)
    chains[chain] = inserted
  }
}
