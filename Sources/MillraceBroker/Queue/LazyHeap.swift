/// Entries of a queue by a key, smallest first, equal keys by a second one. What is taken back stays until it comes to the top, or half of all has been: its stamp no longer
/// fits. Keys that come in ascending order, as the ends of leases do, form a run beside the heap: they are compared with its top only.
///
/// # Threads
/// One at a time.
/// # Size
/// 24 bytes for each that holds, and for as many that do not, up to twice that where the run has grown.
/// # Source
/// J. W. J. Williams, "Algorithm 232: Heapsort" (1964), with four children a node.
@safe struct LazyHeap: ~Copyable {
  struct Place {
    var key: UInt64
    var order: UInt64
    var entry: UInt32
    /// Of the entry when it was put here.
    var stamp: UInt32

    @inline(__always) func precedes(_ other: Place) -> Bool { key != other.key ? key < other.key : order < other.order }
  }

  /// Which of an entry's words the stamps are.
  enum Stamp { case generation, deadline }

  private let stamp: Stamp
  private var places: [Place] = []
  // unsafe: a ring of `capacity` places, a power of two, those from `start` on until `end` set; nil: none were needed yet. Freed in `deinit`.
  private var run: UnsafeMutablePointer<Place>?
  private var capacity = 0
  private var start = 0
  private var end = 0
  /// Places that were taken back, as far as the owner has told.
  private var dead = 0

  init(_ stamp: Stamp) { self.stamp = stamp }

  deinit { unsafe run?.deallocate() }

  /// With what was taken back.
  var count: Int { places.count + end - start }

  /// The place of the run with this number. unsafe: between `start` and `end`.
  @inline(__always) private func place(_ number: Int) -> UnsafeMutablePointer<Place> {
    unsafe run.unsafelyUnwrapped + (number & (capacity &- 1))
  }

  /// Complexity: O(log n), O(1) where no key is larger.
  @inline(__always) mutating func put(_ key: UInt64, order: UInt64, _ entry: UInt32, stamp: UInt32) {
    let one = Place(key: key, order: order, entry: entry, stamp: stamp)
    if unsafe start == end || place(end &- 1).pointee.precedes(one) {
      if end &- start == capacity { grow() }
      unsafe place(end).initialize(to: one)
      end &+= 1
    } else {
      putIntoHeap(one)
    }
  }

  @inline(never) private mutating func putIntoHeap(_ place: Place) {
    places.append(place)
    rise(places.count - 1)
  }

  @inline(never) private mutating func grow() {
    let larger = UnsafeMutablePointer<Place>.allocate(capacity: max(16, 2 * capacity))
    for number in start..<end { unsafe (larger + (number - start)).initialize(to: place(number).pointee) }
    unsafe run?.deallocate()
    unsafe run = larger
    capacity = max(16, 2 * capacity)
    (start, end) = (0, end - start)
  }

  @inline(__always) private func holds(_ place: Place, _ entries: borrowing QueueEntries) -> Bool {
    let entry = unsafe entries[place.entry]
    return unsafe place.stamp == (stamp == .generation ? entry.pointee.generation : entry.pointee.stamp)
  }

  /// One of the places holds no more: its entry's stamp is another one. Complexity: O(1), amortised.
  @inline(__always) mutating func took(_ entries: borrowing QueueEntries) {
    dead &+= 1
    // Most go in the order in which they came.
    while start != end {
      if unsafe holds(place(start).pointee, entries) { break }
      start &+= 1
      dead &-= 1
    }
    if dead > 64 { cleanIfHalf(entries) }
  }

  @inline(never) private mutating func cleanIfHalf(_ entries: borrowing QueueEntries) {
    if dead <= count / 2 { return }
    // In place: nothing is allocated.
    var kept = 0
    for index in places.indices where holds(places[index], entries) {
      places[kept] = places[index]
      kept += 1
    }
    places.removeLast(places.count - kept)
    for parent in stride(from: (kept + 2) / 4 - 1, through: 0, by: -1) { sink(parent) }
    var to = start
    for number in start..<end {
      let one = unsafe place(number).pointee
      if !holds(one, entries) { continue }
      unsafe place(to).pointee = one
      to += 1
    }
    end = to
    dead = 0
  }

  /// The first one that holds; nil: there is none. Complexity: O(1), O(log n) for each that does not.
  mutating func first(_ entries: borrowing QueueEntries) -> Place? {
    while let place = top {
      if holds(place, entries) { return place }
      removeFirst()
      dead = max(0, dead - 1)
    }
    return nil
  }

  private var top: Place? {
    if start == end { return places.first }
    let first = unsafe place(start).pointee
    guard let other = places.first, other.precedes(first) else { return first }
    return other
  }

  /// The key of each entry that has one. Complexity: O(n).
  func keys(_ entries: borrowing QueueEntries) -> [UInt32: UInt64] {
    var keys: [UInt32: UInt64] = [:]
    for place in places where holds(place, entries) { keys[place.entry] = place.key }
    for number in start..<end {
      let place = unsafe place(number).pointee
      if holds(place, entries) { keys[place.entry] = place.key }
    }
    return keys
  }

  /// Takes out what `first` gave.
  mutating func removeFirst() {
    if start != end, unsafe places.isEmpty || place(start).pointee.precedes(places[0]) {
      start += 1
      return
    }
    let last = places.removeLast()
    if places.isEmpty { return }
    places[0] = last
    sink(0)
  }

  private mutating func rise(_ from: Int) {
    var index = from
    let place = places[index]
    while index > 0 {
      let parent = (index - 1) / 4
      if !place.precedes(places[parent]) { break }
      places[index] = places[parent]
      index = parent
    }
    places[index] = place
  }

  private mutating func sink(_ from: Int) {
    var index = from
    let place = places[index]
    while true {
      let first = 4 * index + 1
      if first >= places.count { break }
      var least = first
      for child in (first + 1)..<max(first + 1, min(first + 4, places.count)) where places[child].precedes(places[least]) {
        least = child
      }
      if !places[least].precedes(place) { break }
      places[index] = places[least]
      index = least
    }
    places[index] = place
  }
}
