/// What comes by time: messages expire, delayed ones become ready, leases end.
extension QueueMachine {
  /// When `advance` has something to do; `UInt64.max`: never. Complexity: O(1), amortised.
  mutating func nextDeadline() -> UInt64 {
    deadlines.first(entries)?.key ?? .max
  }

  /// Does what is due. Complexity: O(1) if nothing is, else O(log n) for each.
  @inline(__always) mutating func advance(_ now: UInt64, _ gone: inout [QueueDeparture]) {
    if now >= earliest { fire(now, &gone) }
  }

  private mutating func fire(_ now: UInt64, _ gone: inout [QueueDeparture]) {
    while true {
      earliest = nextDeadline()
      if earliest > now { return }
      guard let place = deadlines.first(entries) else { return }
      deadlines.removeFirst()
      let entry = unsafe entries[place.entry]
      unsafe entry.pointee.hasDeadline = false
      unsafe entry.pointee.stamp &+= 1
      switch unsafe entry.pointee.state {
      case .listed, .returned:
        taken(place.entry, unsafe Int(entry.pointee.priority))
        leave(place.entry, .expired, &gone)
      case .delayed:
        delayed -= 1
        if unsafe entry.pointee.expiry < now {
          unsafe bytes -= Int(entry.pointee.bytes)
          leave(place.entry, .expired, &gone)
        } else if unsafe entry.pointee.acquired == 0 {
          // It arrives now.
          sequences += 1
          unsafe entry.pointee.sequence = sequences
          list(place.entry, 1)
          unsafe setDeadline(place.entry, entry.pointee.expiry)
        } else {
          putBack(place.entry)
          unsafe setDeadline(place.entry, entry.pointee.expiry)
        }
      case .acquired:
        // Its consumer is slow, which says nothing of the message.
        lose(place.entry)
        release(place.entry)
        giveBack(place.entry, after: 0, now, &gone)
      case .free, .lifted: preconditionFailure("invariant broken: a place without a message that waits has a deadline")
      }
    }
  }

  /// One deadline for each entry: it replaces the one before. `last`: the last moment at which nothing is due; `UInt64.max`: never.
  mutating func setDeadline(_ index: UInt32, _ last: UInt64) {
    if unsafe entries[index].pointee.hasDeadline { clearDeadline(index) }
    if last != .max { putDeadline(index, last) }
  }

  /// It has one.
  @inline(__always) mutating func clearDeadline(_ index: UInt32) {
    let entry = unsafe entries[index]
    unsafe entry.pointee.hasDeadline = false
    unsafe entry.pointee.stamp &+= 1
    deadlines.took(entries)
  }

  /// It has none.
  @inline(__always) mutating func putDeadline(_ index: UInt32, _ last: UInt64) {
    let entry = unsafe entries[index]
    unsafe entry.pointee.hasDeadline = true
    earliest = min(earliest, last &+ 1)
    unsafe deadlines.put(last &+ 1, index, stamp: entry.pointee.stamp)
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
