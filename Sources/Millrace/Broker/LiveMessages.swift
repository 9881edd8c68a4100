internal import MillraceBroker

/// Which messages are alive in which queues, and where they stand: payloads stay on the disk.
///
/// Open addressing with linear probing, in parts that grow one by one, so that none takes long. Numbers that follow each other lie together in fours.
///
/// # Threads
/// One at a time.
/// # Memory
/// 51 to 128 bytes for each message in each of its queues.
/// # Source
/// D. E. Knuth, "The Art of Computer Programming" 3, 6.4: algorithms L and R.
@safe struct LiveMessages: ~Copyable {
  struct Entry {
    /// 0: nobody.
    var message: UInt64 = 0
    /// Of the event that holds it.
    var version: UInt64 = 0
    var queue: UInt32 = 0
    /// Of its record, as far as this queue has it.
    var bytes: UInt32 = 0
    var acquired: UInt16 = 0
    var failed: UInt16 = 0

    var count: JournalCount { JournalCount(message, in: queue, acquired: acquired, failed: failed) }
  }

  @safe private struct Part {
    // unsafe: `capacity` entries, initialised.
    var entries: UnsafeMutablePointer<Entry>
    var capacity: Int
    var count = 0
  }

  private static let parts = 64
  private static let least = 16

  private let parts: UnsafeMutablePointer<Part>
  private(set) var count = 0
  /// Of all entries.
  private(set) var bytes = 0

  init() {
    unsafe parts = .allocate(capacity: LiveMessages.parts)
    for index in 0..<LiveMessages.parts {
      unsafe (parts + index).initialize(to: Part(entries: LiveMessages.make(LiveMessages.least), capacity: LiveMessages.least))
    }
  }

  deinit {
    for index in 0..<LiveMessages.parts { unsafe parts[index].entries.deallocate() }
    unsafe parts.deallocate()
  }

  private static func make(_ capacity: Int) -> UnsafeMutablePointer<Entry> {
    let entries = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
    unsafe entries.initialize(repeating: Entry(), count: capacity)
    return unsafe entries
  }

  @inline(__always) private static func hash(_ message: UInt64, _ queue: UInt32) -> UInt64 {
    var hash = (message >> 2 ^ UInt64(queue) << 40) &* 0x9E37_79B9_7F4A_7C15
    hash ^= hash >> 29
    return hash &* 0xBF58_476D_1CE4_E5B9
  }

  @inline(__always) private static func place(_ message: UInt64, _ hash: UInt64, _ capacity: Int) -> Int {
    (Int(truncatingIfNeeded: hash >> 8) << 2 | Int(truncatingIfNeeded: message & 3)) & (capacity &- 1)
  }

  /// Where it is, in its part; nil: it is not there.
  @inline(__always) private func find(_ message: UInt64, _ queue: UInt32) -> (part: UnsafeMutablePointer<Part>, at: Int)? {
    let hash = LiveMessages.hash(message, queue)
    let part = unsafe parts + Int(hash & 63)
    let capacity = unsafe part.pointee.capacity
    var at = LiveMessages.place(message, hash, capacity)
    while true {
      let entry = unsafe part.pointee.entries + at
      if unsafe entry.pointee.message == message, unsafe entry.pointee.queue == queue { return unsafe (part, at) }
      if unsafe entry.pointee.message == 0 { return nil }
      at = (at &+ 1) & (capacity &- 1)
    }
  }

  subscript(message: UInt64, queue: UInt32) -> Entry? { unsafe find(message, queue).map { unsafe $0.part.pointee.entries[$0.at] } }

  /// It is not there yet. Complexity: O(1), amortised.
  @inline(__always) mutating func insert(_ entry: Entry) {
    let hash = LiveMessages.hash(entry.message, entry.queue)
    let part = unsafe parts + Int(hash & 63)
    if unsafe 5 &* part.pointee.capacity <= 8 &* (part.pointee.count &+ 1) { unsafe resize(part, to: 2 * part.pointee.capacity) }
    unsafe LiveMessages.put(entry, hash, part)
    unsafe part.pointee.count &+= 1
    count &+= 1
    bytes &+= Int(entry.bytes)
  }

  @inline(__always) private static func put(_ entry: Entry, _ hash: UInt64, _ part: UnsafeMutablePointer<Part>) {
    let capacity = unsafe part.pointee.capacity
    var at = place(entry.message, hash, capacity)
    while unsafe part.pointee.entries[at].message != 0 { at = (at &+ 1) & (capacity &- 1) }
    unsafe part.pointee.entries[at] = entry
  }

  private func resize(_ part: UnsafeMutablePointer<Part>, to capacity: Int) {
    let (old, oldCapacity) = unsafe (part.pointee.entries, part.pointee.capacity)
    unsafe part.pointee.entries = LiveMessages.make(capacity)
    unsafe part.pointee.capacity = capacity
    for index in 0..<oldCapacity {
      let entry = unsafe old[index]
      if entry.message != 0 { unsafe LiveMessages.put(entry, LiveMessages.hash(entry.message, entry.queue), part) }
    }
    unsafe old.deallocate()
  }

  /// False: it is not there.
  @discardableResult @inline(__always) mutating func update(_ message: UInt64, _ queue: UInt32, _ body: (inout Entry) -> Void) -> Bool {
    guard let (part, at) = unsafe find(message, queue) else { return false }
    let before = unsafe part.pointee.entries[at].bytes
    unsafe body(&part.pointee.entries[at])
    unsafe bytes += Int(part.pointee.entries[at].bytes) - Int(before)
    return true
  }

  /// False: it is not there.
  @discardableResult @inline(__always) mutating func remove(_ message: UInt64, _ queue: UInt32) -> Bool {
    guard let (part, at) = unsafe find(message, queue) else { return false }
    unsafe bytes &-= Int(part.pointee.entries[at].bytes)
    unsafe LiveMessages.clear(part, at)
    unsafe part.pointee.count &-= 1
    count &-= 1
    if unsafe part.pointee.capacity > LiveMessages.least, unsafe 8 &* part.pointee.count < part.pointee.capacity {
      unsafe resize(part, to: part.pointee.capacity / 2)
    }
    return true
  }

  /// Those behind that may stand nearer to their places move up.
  @inline(__always) private static func clear(_ part: UnsafeMutablePointer<Part>, _ index: Int) {
    let (entries, mask) = unsafe (part.pointee.entries, part.pointee.capacity &- 1)
    var hole = index
    var at = index
    while true {
      at = (at &+ 1) & mask
      let entry = unsafe entries[at]
      if entry.message == 0 { break }
      let home = place(entry.message, hash(entry.message, entry.queue), mask &+ 1)
      // Its home does not lie between the hole and here.
      if (at &- home) & mask >= (at &- hole) & mask {
        unsafe entries[hole] = entry
        hole = at
      }
    }
    unsafe entries[hole].message = 0
  }

  /// Complexity: O(capacity).
  func visit(_ body: (Entry) -> Void) {
    for part in 0..<LiveMessages.parts {
      for index in unsafe 0..<parts[part].capacity {
        let entry = unsafe parts[part].entries[index]
        if entry.message != 0 { body(entry) }
      }
    }
  }

  /// Complexity: O(capacity).
  mutating func removeAll(where isGone: (Entry) -> Bool) {
    var gone: [Entry] = []
    visit { if isGone($0) { gone.append($0) } }
    for entry in gone { remove(entry.message, entry.queue) }
  }
}
