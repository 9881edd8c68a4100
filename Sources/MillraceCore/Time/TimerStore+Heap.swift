extension TimerStore {
  /// Four children: half the levels of a binary heap, and a family of 64 bytes.
  private static let fan = 4

  @inline(__always)
  private func isBefore(_ a: HeapEntry, _ b: HeapEntry) -> Bool {
    if a.due != b.due { return a.due < b.due }
    // Safe: entries name nodes of the slab. Only ties look there.
    return unsafe nodes[Int(a.index)].sequence < nodes[Int(b.index)].sequence
  }

  /// Writes an entry and tells its node where it is.
  @inline(__always)
  private func place(_ entry: HeapEntry, at position: Int) {
    // Safe: position is below the capacity, the entry names a node of the slab.
    unsafe heap[position] = entry
    unsafe nodes[Int(entry.index)].previous = UInt32(truncatingIfNeeded: position)
  }

  /// O(log n), on average O(1).
  @inline(__always)
  mutating func pushHeap(_ index: UInt32, due: UInt64) {
    // Safe: as many entries as nodes, so there is room.
    unsafe nodes[Int(index)].place = Place.heap
    let position = heapCount
    heapCount += 1
    siftUp(HeapEntry(due: due, index: index), from: position)
  }

  /// O(log n)
  mutating func removeFromHeap(at position: Int) {
    heapCount -= 1
    guard position < heapCount else { return }
    // Safe: both positions were below the count.
    let last = unsafe heap[heapCount]
    if position > 0, isBefore(last, unsafe heap[(position - 1) / Self.fan]) {
      siftUp(last, from: position)
    } else {
      siftDown(last, from: position)
    }
  }

  @inline(__always)
  private func siftUp(_ entry: HeapEntry, from start: Int) {
    var position = start
    while position > 0 {
      let parent = (position - 1) / Self.fan
      // Safe: a parent's position is below its child's.
      let above = unsafe heap[parent]
      guard isBefore(entry, above) else { break }
      place(above, at: position)
      position = parent
    }
    place(entry, at: position)
  }

  private func siftDown(_ entry: HeapEntry, from start: Int) {
    var position = start
    while true {
      let first = position * Self.fan + 1
      guard first < heapCount else { break }
      var best = first
      // Safe: children are checked against the count.
      var bestEntry = unsafe heap[first]
      var child = first + 1
      let end = Swift.min(first + Self.fan, heapCount)
      while child < end {
        let candidate = unsafe heap[child]
        if isBefore(candidate, bestEntry) {
          best = child
          bestEntry = candidate
        }
        child += 1
      }
      guard isBefore(bestEntry, entry) else { break }
      place(bestEntry, at: position)
      position = best
    }
    place(entry, at: position)
  }
}
