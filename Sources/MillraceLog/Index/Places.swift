internal import Glibc

/// Places of events in order of their positions: of a stream, or of a category.
///
/// They lie in chunks, so that nothing is moved when more come or the oldest go: a commit never waits for a copy. A place keeps its number for good, from 0.
///
/// # Threads
/// One at a time, all that share a `PlaceMemory`.
/// # Memory
/// 8 bytes a place; chunks of 8, 16, 32, and then of 64.
/// # Complexity
/// All O(1) but `drop`, O(chunks that go), and `count(below:)`, O(log n).
@safe struct Places {
  /// Where the next one goes, and for how many there is room behind it.
  private var tail: UnsafeMutablePointer<UInt64>?
  private var room = 0
  /// The number of the next one.
  private(set) var end = 0
  /// The number of the first that is still there.
  private(set) var start = 0
  private var chunks = unsafe ContiguousArray<UnsafeMutablePointer<UInt64>>()
  /// Chunks that have gone before `chunks`.
  private var gone = 0

  var count: Int { end - start }
  var isEmpty: Bool { end == start }

  @inline(__always) mutating func append(_ place: UInt64, _ memory: PlaceMemory) {
    if room == 0 { grow(memory) }
    // Safe: there is room for one.
    unsafe tail!.pointee = place
    unsafe tail! += 1
    room &-= 1
    end &+= 1
  }

  @inline(never) private mutating func grow(_ memory: PlaceMemory) {
    // Safe: counted, not looked at; as below.
    let chunk = unsafe gone + chunks.count
    let new = unsafe memory.take(Chunk.size(chunk))
    unsafe chunks.append(new)
    unsafe tail = new
    room = Chunk.size(chunk)
  }

  /// By number.
  @inline(__always) subscript(number: Int) -> UInt64 {
    precondition(start <= number && number < end, "a place that is there")
    let (chunk, offset) = Chunk.of(number)
    // Safe: chunks have gone only with all of their places.
    return unsafe chunks[chunk - gone][offset]
  }

  /// A copy of some.
  subscript(numbers: Range<Int>) -> [UInt64] { numbers.map { self[$0] } }

  /// The number of the first that is not below `place`.
  func first(from place: UInt64) -> Int {
    var low = start
    var high = end
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < place { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Those before `number` go.
  mutating func drop(before number: Int, _ memory: PlaceMemory) {
    precondition(start <= number && number <= end, "no more than there are")
    start = number
    var empty = 0
    while unsafe empty < chunks.count, Chunk.end(gone + empty) <= start {
      unsafe memory.give(chunks[empty], Chunk.size(gone + empty))
      empty += 1
    }
    unsafe chunks.removeFirst(empty)
    gone += empty
    if unsafe chunks.isEmpty { room = 0 }
  }

  /// All go, the last chunk as well. Not to be used any more.
  mutating func removeAll(_ memory: PlaceMemory) {
    for index in unsafe chunks.indices { unsafe memory.give(chunks[index], Chunk.size(gone + index)) }
    self = Places()
  }

  /// Which chunk holds a place, and where.
  private enum Chunk {
    static func size(_ chunk: Int) -> Int { chunk < 3 ? 8 << chunk : 64 }

    /// One more than the number of its last place.
    static func end(_ chunk: Int) -> Int { chunk < 3 ? (16 << chunk) - 8 : 56 + 64 * (chunk - 2) }

    @inline(__always) static func of(_ number: Int) -> (chunk: Int, offset: Int) {
      if number >= 56 { return (3 + (number - 56) >> 6, (number - 56) & 63) }
      return number < 8 ? (0, number) : number < 24 ? (1, number - 8) : (2, number - 24)
    }
  }
}

/// Memory for chunks of places; what was given back is used again, and all of it goes with this object.
///
/// The first piece is small, for small logs. The others are one large page each, where the system has such: many streams of equal length need their next chunks at
/// the same time, and a fault for every eighth of these would keep a commit waiting for milliseconds.
@safe final class PlaceMemory {
  private static let first = 64 << 10
  private static let slab = 2 << 20
  private var slabs = unsafe [UnsafeMutableRawPointer]()
  private var used = 0
  private var bytes = 0
  /// From the system.
  private(set) var bytesTaken = 0
  /// Chunks that were given back, by the power of two of their size.
  private var free = unsafe [[UnsafeMutablePointer<UInt64>]](repeating: [], count: 7)

  deinit { for index in unsafe slabs.indices { unsafe slabs[index].deallocate() } }

  func take(_ places: Int) -> UnsafeMutablePointer<UInt64> {
    if let chunk = unsafe free[places.trailingZeroBitCount].popLast() { return unsafe chunk }
    let bytes = places * 8
    if used + bytes > self.bytes {
      self.bytes = unsafe slabs.isEmpty ? Self.first : Self.slab
      let slab = UnsafeMutableRawPointer.allocate(byteCount: self.bytes, alignment: self.bytes)
      // Safe: memory of our own; how it is backed changes nothing in it. Refused: nothing is lost.
      unsafe _ = madvise(slab, self.bytes, MADV_HUGEPAGE)
      unsafe slabs.append(slab)
      used = 0
      bytesTaken += self.bytes
    }
    defer { used += bytes }
    // Safe: within the last slab, handed out once.
    return unsafe (slabs[slabs.count - 1] + used).bindMemory(to: UInt64.self, capacity: places)
  }

  func give(_ chunk: UnsafeMutablePointer<UInt64>, _ places: Int) { unsafe free[places.trailingZeroBitCount].append(chunk) }
}
