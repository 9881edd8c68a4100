/// Messages that somebody takes out of the queue to put them into another one: nobody gets them meanwhile, and they keep their places.
extension QueueMachine {
  /// Adds what is ready at `most` places from one on; `from` is then the next. `apart`: runs become an entry for each message, so that each can be lifted; some come twice then. Complexity: O(messages).
  mutating func ready(from: inout UInt32, most: Int, apart: Bool, _ all: inout [QueueCandidate]) {
    let end = UInt32(min(Int(entries.touchedCount), Int(from) + most))
    for index in min(from, end)..<end {
      guard unsafe isReady(entries[index]) else { continue }
      if apart, unsafe entries[index].pointee.runCount > 0 {
        for one in unfoldReady(index) { add(one, &all) }
      } else {
        add(index, &all)
      }
    }
    from = end
  }

  private func add(_ index: UInt32, _ all: inout [QueueCandidate]) {
    let entry = unsafe entries[index].pointee
    for number in 0..<entry.weight {
      all.append(QueueCandidate(sequence: entry.sequence &+ UInt64(number), entry: index, priority: entry.priority))
    }
  }

  @unsafe private func isReady(_ entry: UnsafeMutablePointer<QueueEntries.Entry>) -> Bool {
    switch unsafe entry.pointee.state {
    case .listed, .returned: true
    case .free, .delayed, .acquired, .lifted: false
    }
  }

  /// The message, if it is ready still, or again, at its place. Complexity: O(1).
  func message(_ candidate: QueueCandidate) -> UInt64? {
    guard entries.contains(candidate.entry), unsafe isReady(entries[candidate.entry]) else { return nil }
    let entry = unsafe entries[candidate.entry].pointee
    let number = candidate.sequence &- entry.sequence
    guard number < UInt64(entry.weight) else { return nil }
    return entry.runCount == 0 ? entry.message : messages(of: candidate.entry)[Int(number)]
  }

  /// Takes a ready message out, an entry of its own, until `putDown` or `takeAway`. Complexity: O(1), amortised.
  mutating func lift(_ index: UInt32) {
    let entry = unsafe entries[index]
    taken(index, unsafe Int(entry.pointee.priority))
    if unsafe entry.pointee.deadline != .none { clearDeadline(index) }
    unsafe entry.pointee.state = .lifted
    lifted += 1
  }

  /// It stands where it stood, unless it has expired meanwhile. Complexity: O(log n).
  mutating func putDown(_ index: UInt32, _ now: UInt64, _ gone: inout [QueueDeparture]) {
    lifted -= 1
    giveBack(index, after: 0, now, &gone)
  }

  /// It is elsewhere. Complexity: O(1).
  mutating func takeAway(_ index: UInt32, _ gone: inout [QueueDeparture]) {
    lifted -= 1
    leave(index, .moved, &gone)
  }
}

/// A message that was ready, by its place among those of its priority, which no other one ever has.
struct QueueCandidate {
  var sequence: UInt64
  var entry: UInt32
  var priority: UInt8
}
