internal import CMillrace
internal import MillraceCore

/// The ids of the last events, and where they stand: by this an append that is repeated is recognised.
///
/// The last `size` events lie in a ring. A table of lines finds them: of each line's eight words seven are a tag, 32 bits of the id's hash, and the event's number. So looking
/// for an id that is not there, as nearly all are, touches one line of memory. A line that was full sends a word on to the next one, and keeps in its last word the
/// number of the latest that it has sent. What falls out of the ring needs no work: its number tells its age.
///
/// # Threads
/// One at a time.
/// # Complexity
/// `find` and `insert` O(1) expected. 64 bytes an event, taken from the system as they are used.
@safe final class IDWindow {
  struct Place: Equatable {
    var version: UInt64
    var position: UInt64
  }

  private struct Known {
    var id: EventID
    var place: Place
    var stream: UInt32
  }

  /// Words of a line, the last of which is not an event's.
  private static let words = 8
  private static let places = 7

  /// Events that it holds at most.
  let size: Int
  private let salt: UInt64
  private let region: Region
  /// `size` events, by number modulo `size`.
  private let ring: UnsafeMutablePointer<Known>
  /// `lines` lines of eight words. A word: tag in the upper half, number in the lower; 0 free.
  private let table: UnsafeMutablePointer<UInt64>
  private let lines: Int
  /// The number of the last one, from 1.
  private var inserted: UInt32

  /// - Parameters:
  ///   - size: events, a power of two, 8 to 2^30.
  ///   - salt: so that nobody can choose ids that meet in one line.
  ///   - inserted: how many there were before; for tests.
  init(size: Int, salt: UInt64, inserted: UInt32 = 0) throws(MemoryError) {
    precondition(size.nonzeroBitCount == 1 && 8...1 << 30 ~= size, "a power of two from 8 to 2^30")
    self.size = size
    self.salt = salt
    self.inserted = inserted
    // Two words for each event: one line in nine is full then.
    lines = size * 2 / Self.words
    let tableBytes = lines * Self.words * 8
    let ringBytes = size * MemoryLayout<Known>.stride
    region = try Region(bytes: tableBytes + ringBytes)
    // Each event touches two places of it that no other has touched lately.
    region.useLargePages()
    // Safe: the region is that long, zeroed, and aligned to a line.
    unsafe table = region.base.assumingMemoryBound(to: UInt64.self)
    unsafe ring = (region.base + tableBytes).assumingMemoryBound(to: Known.self)
  }

  deinit { region.free() }

  @inline(__always) private func hash(_ stream: UInt32, _ id: EventID) -> UInt64 {
    var hash = (id.low ^ salt) &* 0x9e37_79b9_7f4a_7c15
    hash = (hash ^ hash >> 32 ^ id.high) &* 0xd6e8_feb8_6659_fd93
    hash = (hash ^ hash >> 32 ^ UInt64(stream)) &* 0x9e37_79b9_7f4a_7c15
    return hash ^ hash >> 29
  }

  @inline(__always) private func isHeld(_ word: UInt64) -> Bool {
    word != 0 && inserted &- UInt32(truncatingIfNeeded: word) < UInt32(size)
  }

  @inline(__always) private func place(_ number: UInt32) -> UnsafeMutablePointer<Known> {
    // Safe: the ring has so many places.
    unsafe ring + Int(number & UInt32(size - 1))
  }

  /// Where the event with this id stands in this stream, if it is one of the last `size` of the log.
  func find(_ stream: UInt32, _ id: EventID) -> Place? {
    var lines = 0
    return search(stream, id, &lines)
  }

  /// Lines that `find` looks at; for tests.
  func lines(of stream: UInt32, _ id: EventID) -> Int {
    var lines = 0
    _ = search(stream, id, &lines)
    return lines
  }

  @inline(__always) private func search(_ stream: UInt32, _ id: EventID, _ looked: inout Int) -> Place? {
    let hash = hash(stream, id)
    var line = Int(hash & UInt64(lines - 1))
    while true {
      looked &+= 1
      for word in 0..<Self.places {
        // Safe: there are so many lines of so many words.
        let entry = unsafe table[line &* Self.words &+ word]
        if entry >> 32 == hash >> 32, isHeld(entry) {
          let event = unsafe place(UInt32(truncatingIfNeeded: entry)).pointee
          if event.id == id, event.stream == stream { return event.place }
        }
      }
      // All lines at most.
      if !isHeld(sentOn(line)) || looked == lines { return nil }
      line = (line &+ 1) & (lines &- 1)
    }
  }

  /// The latest word that the line has sent to the next one.
  @inline(__always) private func sentOn(_ line: Int) -> UInt64 { unsafe table[line &* Self.words &+ Self.places] }

  /// Has the memory on its way that `find` and `insert` will need.
  @inline(__always) func fetch(_ stream: UInt32, _ id: EventID) {
    // Safe: as in `find`.
    unsafe millrace_prefetch(table + Int(hash(stream, id) & UInt64(lines - 1)) &* Self.words)
  }

  func insert(_ stream: UInt32, _ id: EventID, _ place: Place) {
    if inserted == .max { renumber() }
    inserted &+= 1
    unsafe self.place(inserted).pointee = Known(id: id, place: place, stream: stream)
    enter(hash(stream, id), inserted)
  }

  @inline(__always) private func enter(_ hash: UInt64, _ number: UInt32) {
    var line = Int(hash & UInt64(lines - 1))
    while true {
      for word in 0..<Self.places {
        let at = line &* Self.words &+ word
        // Safe: as in `find`.
        if !isHeld(unsafe table[at]) {
          unsafe table[at] = hash & ~0xffff_ffff | UInt64(number)
          return
        }
      }
      unsafe table[line &* Self.words &+ Self.places] = UInt64(number)
      line = (line &+ 1) & (lines &- 1)
    }
  }

  /// Before the numbers overflow: those that are held get small ones, at the same places of the ring. Complexity: O(size), once in 2^32 events.
  private func renumber() {
    unsafe table.update(repeating: 0, count: lines * Self.words)
    inserted = UInt32(size) + (inserted & UInt32(size - 1))
    for number in inserted &- UInt32(size) &+ 1...inserted {
      let event = unsafe place(number).pointee
      enter(hash(event.stream, event.id), number)
    }
  }
}
