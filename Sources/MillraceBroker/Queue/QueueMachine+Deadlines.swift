/// What comes by time: messages expire, delayed ones become ready, leases end.
extension QueueMachine {
  /// When `advance` has something to do; `UInt64.max`: never. Complexity: O(1), amortised.
  mutating func nextDeadline() -> UInt64 { nextDue()?.key ?? .max }

  /// The entry that is due first, and when; of equal moments the oldest message. nil: none ever is.
  private mutating func nextDue() -> (key: UInt64, entry: UInt32)? {
    let inHeap = deadlines.first(entries)
    if firstInLine == QueueEntries.none { return inHeap.map { ($0.key, $0.entry) } }
    let first = unsafe entries[firstInLine]
    let key = unsafe first.pointee.expiry &+ 1
    guard let inHeap, unsafe (inHeap.key, inHeap.order) < (key, first.pointee.sequence) else { return (key, firstInLine) }
    return (inHeap.key, inHeap.entry)
  }

  /// Does what is due. Complexity: O(1) if nothing is, else O(log n) for each.
  @inline(__always) mutating func advance(_ now: UInt64, _ gone: inout [QueueDeparture]) {
    if now >= earliest { fire(now, &gone) }
  }

  private mutating func fire(_ now: UInt64, _ gone: inout [QueueDeparture]) {
    while true {
      let due = nextDue()
      earliest = due?.key ?? .max
      guard let index = due?.entry, earliest <= now else { return }
      clearDeadline(index)
      let entry = unsafe entries[index]
      switch unsafe entry.pointee.state {
      case .listed, .returned:
        taken(index, unsafe Int(entry.pointee.priority))
        leave(index, .expired, &gone)
      case .delayed:
        delayed -= 1
        if unsafe entry.pointee.expiry < now {
          unsafe bytes -= Int(entry.pointee.bytes)
          leave(index, .expired, &gone)
        } else if unsafe entry.pointee.acquired == 0 {
          // It arrives now.
          sequences += 1
          unsafe entry.pointee.sequence = sequences
          list(index, 1)
          unsafe setDeadline(index, entry.pointee.expiry)
        } else {
          putBack(index)
          unsafe setDeadline(index, entry.pointee.expiry)
        }
      case .acquired:
        // Its consumer is slow, which says nothing of the message.
        lose(index)
        release(index)
        giveBack(index, after: 0, now, &gone)
      case .free, .lifted: preconditionFailure("invariant broken: a place without a message that waits has a deadline")
      }
    }
  }

  /// One deadline for each entry: it replaces the one before. `last`: the last moment at which nothing is due; `UInt64.max`: never.
  mutating func setDeadline(_ index: UInt32, _ last: UInt64) {
    if unsafe entries[index].pointee.deadline != .none { clearDeadline(index) }
    if last != .max { putDeadline(index, last) }
  }

  /// It has one.
  @inline(__always) mutating func clearDeadline(_ index: UInt32) {
    let entry = unsafe entries[index]
    let wasInLine = unsafe entry.pointee.deadline == .inLine
    unsafe entry.pointee.deadline = .none
    if wasInLine {
      let (earlier, later) = unsafe (entry.pointee.earlier, entry.pointee.later)
      if earlier == QueueEntries.none { firstInLine = later } else { unsafe entries[earlier].pointee.later = later }
      if later == QueueEntries.none { lastInLine = earlier } else { unsafe entries[later].pointee.earlier = earlier }
    } else {
      unsafe entry.pointee.stamp &+= 1
      deadlines.took(entries)
    }
  }

  /// It has none.
  @inline(__always) mutating func putDeadline(_ index: UInt32, _ last: UInt64) {
    earliest = min(earliest, last &+ 1)
    if standsLast(index, last) {
      let entry = unsafe entries[index]
      unsafe entry.pointee.deadline = .inLine
      unsafe entry.pointee.earlier = lastInLine
      unsafe entry.pointee.later = QueueEntries.none
      if lastInLine == QueueEntries.none { firstInLine = index } else { unsafe entries[lastInLine].pointee.later = index }
      lastInLine = index
    } else {
      putIntoHeap(index, last)
    }
  }

  /// It is ready until then, and the line's last message expires before.
  @inline(__always) private func standsLast(_ index: UInt32, _ last: UInt64) -> Bool {
    let entry = unsafe entries[index]
    guard unsafe entry.pointee.state == .listed || entry.pointee.state == .returned else { return false }
    if lastInLine == QueueEntries.none { return true }
    let before = unsafe entries[lastInLine]
    return unsafe before.pointee.expiry < last || before.pointee.expiry == last && before.pointee.sequence < entry.pointee.sequence
  }

  @inline(never) private mutating func putIntoHeap(_ index: UInt32, _ last: UInt64) {
    let entry = unsafe entries[index]
    unsafe entry.pointee.deadline = .inHeap
    unsafe deadlines.put(last &+ 1, order: entry.pointee.sequence, index, stamp: entry.pointee.stamp)
  }

  /// It waits until `due`, or until it expires.
  mutating func delay(_ index: UInt32, until due: UInt64) {
    let entry = unsafe entries[index]
    unsafe entry.pointee.generation &+= 1
    unsafe entry.pointee.state = .delayed
    delayed += 1
    unsafe setDeadline(index, min(due - 1, entry.pointee.expiry))
  }
}
