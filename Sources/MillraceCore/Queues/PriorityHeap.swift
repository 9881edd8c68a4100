internal import Synchronization

/// Ready jobs in order of a key, smallest first, equal keys in order of arrival: for runs ordered by deadline or by critical path.
///
/// # Threads
/// Any, behind a lock of its own.
/// # Progress
/// Blocking: the holder is inside for O(log n); it never calls out.
/// # Source
/// J. W. J. Williams, "Algorithm 232: Heapsort" (1964), with four children a node.
@safe struct PriorityHeap {
  /// Shared memory of one heap's lock and count.
  static let bytes = padding

  private struct Entry {
    var key: UInt64
    var order: UInt64
    var job: UInt32

    @inline(__always) func precedes(_ other: Entry) -> Bool { key != other.key ? key < other.key : order < other.order }
  }

  private let lock: SpinLock
  /// Entries, written under the lock, read by anyone as a hint.
  private let count: SharedWord
  private let entries: UnsafeMutablePointer<Entry>
  private let arrivals: UnsafeMutablePointer<UInt64>
  private let region: Region
  let capacity: Int

  /// unsafe: `memory` is zeroed, `bytes` long and outlives the heap. Complexity: O(1); pages are touched when used.
  @unsafe init(_ memory: UnsafeMutableRawPointer, capacity: Int) throws(MemoryError) {
    unsafe lock = SpinLock(at: memory)
    unsafe count = SharedWord(memory + 8)
    unsafe arrivals = (memory + 16).assumingMemoryBound(to: UInt64.self)
    region = try Region(bytes: capacity * MemoryLayout<Entry>.stride)
    unsafe entries = region.base.bindMemory(to: Entry.self, capacity: capacity)
    self.capacity = capacity
  }

  func deallocate() { region.free() }

  /// Complexity: O(1). Sequentially consistent, for the check after a bit was cleared.
  func isEmpty() -> Bool { count.loadSequential() == 0 }

  /// Complexity: O(log n). False: full.
  func insert(_ job: UInt32, key: UInt64) -> Bool {
    lock.lock()
    defer { lock.unlock() }
    let n = Int(count.loadRelaxed())
    if n == capacity { return false }
    // unsafe: under the lock; every index is below n + 1 <= capacity.
    let entry = unsafe Entry(key: key, order: arrivals.pointee, job: job)
    unsafe arrivals.pointee &+= 1
    var i = n
    while i > 0 {
      let parent = (i - 1) / 4
      guard unsafe entry.precedes(entries[parent]) else { break }
      unsafe entries[i] = entries[parent]
      i = parent
    }
    unsafe entries[i] = entry
    // Order: sequentially consistent. Pairs with `isEmpty` of a worker that cleared the level's bit.
    _ = count.exchange(UInt64(n + 1))
    return true
  }

  /// The job with the smallest key; nil if there is none. Complexity: O(log n).
  func remove() -> UInt32? {
    if count.loadAcquiring() == 0 { return nil }
    lock.lock()
    defer { lock.unlock() }
    let n = Int(count.loadRelaxed())
    if n == 0 { return nil }
    // unsafe: under the lock; every index is below n.
    let top = unsafe entries[0].job
    let moved = unsafe entries[n - 1]
    count.storeReleasing(UInt64(n - 1))
    var i = 0
    while true {
      let first = 4 * i + 1
      if first >= n - 1 { break }
      var least = first
      for child in first + 1..<max(first + 1, min(first + 4, n - 1)) where unsafe entries[child].precedes(entries[least]) { least = child }
      guard unsafe entries[least].precedes(moved) else { break }
      unsafe entries[i] = entries[least]
      i = least
    }
    if n > 1 { unsafe entries[i] = moved }
    return top
  }
}
