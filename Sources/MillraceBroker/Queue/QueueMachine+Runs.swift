/// Runs: one entry for messages that were published together, until something happens to one of them. Whoever asks for many at a time gets them as they are; what is for one only is taken out.
extension QueueMachine {
  /// Takes all messages of a run that are alike, for whom there is room, none of them for later. False: there are no more places. The run is the machine's until it stands in `endedRuns`. Complexity: as
  /// for one message.
  @inline(__always) mutating func publish(_ run: QueueRun, _ now: UInt64, _ gone: inout [QueueDeparture]) -> Bool {
    advance(now, &gone)
    if count + run.count > QueueConfiguration.Bounds.entries { return false }
    let index = entries.make()
    let entry = unsafe entries[index]
    run.entries = 1
    unsafe entry.pointee.message = run.address
    unsafe entry.pointee.sequence = sequences &+ 1
    sequences &+= UInt64(run.count)
    let expiry = expiry(run.expiry, now)
    unsafe entry.pointee.expiry = expiry
    unsafe entry.pointee.bytes = run.bytes
    unsafe entry.pointee.acquired = 0
    unsafe entry.pointee.failed = 0
    unsafe entry.pointee.priority = min(run.priority, UInt8(configuration.priorities - 1))
    unsafe entry.pointee.setRun(0, run.count)
    bytes &+= Int(run.bytes)
    list(index, run.count)
    if expiry != .max { putDeadline(index, expiry) }
    return true
  }

  /// Of an entry that has one.
  @inline(__always) private func run(of index: UInt32) -> QueueRun {
    // unsafe: it is the machine's for as long as entries stand for some of it.
    unsafe QueueRun(entries[index].pointee.message).unsafelyUnwrapped
  }

  /// What a delivery says of an entry.
  @inline(__always) func message(of index: UInt32) -> UInt64 {
    let entry = unsafe entries[index]
    return unsafe entry.pointee.runCount == 0 ? entry.pointee.message : run(of: index).address(entry.pointee.runFrom)
  }

  /// All that an entry stands for.
  func messages(of index: UInt32) -> [UInt64] {
    let entry = unsafe entries[index]
    if unsafe entry.pointee.runCount == 0 { return unsafe [entry.pointee.message] }
    let (from, run) = unsafe (entry.pointee.runFrom, run(of: index))
    return unsafe (from..<(from + entry.pointee.runCount)).map { run.number($0) }
  }

  /// Takes up to `most` messages from an entry that is the first of its level: all of them, or some as an entry of their own.
  @inline(__always) mutating func takeOf(_ index: UInt32, _ level: Int, upTo most: Int) -> UInt32 {
    let entry = unsafe entries[index]
    if unsafe entry.pointee.runCount > most { return split(index, level, most) }
    if unsafe entry.pointee.runCount == 1 {
      let run = run(of: index)
      unsafe entry.pointee.message = run.number(entry.pointee.runFrom)
      unsafe entry.pointee.setRun(0, 0)
      end(run)
    }
    return taken(index, level)
  }

  /// The first `count` messages of an entry become one of their own, which is nowhere yet; more remain. Complexity: O(1), O(count) where their sizes differ.
  @inline(never) private mutating func split(_ index: UInt32, _ level: Int, _ count: Int) -> UInt32 {
    let part = entries.make()
    let (one, rest) = unsafe (entries[part], entries[index])
    let run = run(of: index)
    let (from, whole) = unsafe (rest.pointee.runFrom, rest.pointee.runCount)
    let size = run.bytes(from, count)
    unsafe one.pointee.sequence = rest.pointee.sequence
    unsafe one.pointee.expiry = rest.pointee.expiry
    unsafe one.pointee.bytes = size
    unsafe one.pointee.acquired = 0
    unsafe one.pointee.failed = 0
    unsafe one.pointee.priority = rest.pointee.priority
    unsafe one.pointee.generation &+= 1
    if count == 1 {
      unsafe one.pointee.message = run.number(from)
      unsafe one.pointee.setRun(0, 0)
    } else {
      unsafe one.pointee.message = run.address
      unsafe one.pointee.setRun(from, count)
      run.entries &+= 1
    }
    unsafe rest.pointee.sequence &+= UInt64(count)
    unsafe rest.pointee.bytes &-= size
    unsafe rest.pointee.setRun(from &+ count, whole &- count)
    bytes &-= Int(size)
    unsafe (levels + level).pointee.count &-= count
    ready &-= count
    return part
  }

  /// One entry less stands for some of it.
  @inline(__always) private mutating func end(_ run: QueueRun) {
    run.entries &-= 1
    if run.entries == 0 { endedRuns.append(run) }
  }

  /// All messages of an entry are nowhere any more. It has no deadline.
  mutating func leaveRun(_ index: UInt32, _ exit: QueueExit, _ gone: inout [QueueDeparture]) {
    let failed = unsafe entries[index].pointee.failed
    for message in messages(of: index) { gone.append(QueueDeparture(message: message, exit: exit, failed: failed)) }
    forget(index)
  }

  /// An entry that stands for some of a run is nowhere any more, and no word of its messages.
  @inline(__always) private mutating func forget(_ index: UInt32) {
    end(run(of: index))
    entries.give(index)
  }

  // MARK: In the hands of a consumer

  /// A consumer has done with all of a delivery of some of a run. Whoever has their numbers sees to the messages. Throws as `settle`. Complexity: O(1).
  @inline(__always) mutating func finish(
    _ tag: QueueTag, of consumer: UInt32, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    advance(now, &gone)
    try check(tag, consumer)
    release(tag.entry)
    forget(tag.entry)
  }

  /// A delivery of some of a run becomes one for each message, in its place: these are added. Throws as `settle`. Complexity: O(its messages).
  mutating func unfold(_ tag: QueueTag, of consumer: UInt32, _ deliveries: inout [QueueDelivery]) throws(QueueRefusal) {
    try check(tag, consumer)
    guard unsafe entries[tag.entry].pointee.runCount > 0 else { throw .unknownDelivery }
    for index in unfold(tag.entry) {
      let entry = unsafe entries[index]
      unsafe deliveries.append(
        QueueDelivery(
          consumer: consumer, tag: QueueTag(entry: index, generation: entry.pointee.generation), message: entry.pointee.message,
          acquired: entry.pointee.acquired &- 1, failed: entry.pointee.failed))
    }
  }

  /// As above: the entries.
  mutating func unfold(_ index: UInt32) -> [UInt32] {
    let (whole, all) = spread(index)
    let holder = unsafe consumers[whole.consumer]
    if whole.previous == QueueEntries.none { unsafe holder.pointee.first = all[0] }
    if whole.next == QueueEntries.none { unsafe holder.pointee.last = all[all.count - 1] }
    return all
  }

  /// Some of a run that is ready becomes an entry for each message, in its place: these. Complexity: O(its messages).
  mutating func unfoldReady(_ index: UInt32) -> [UInt32] {
    if unsafe entries[index].pointee.deadline != .none { clearDeadline(index) }
    let (whole, all) = spread(index)
    let own = unsafe levels + Int(whole.priority)
    if whole.previous == QueueEntries.none { unsafe own.pointee.first = all[0] }
    if whole.next == QueueEntries.none { unsafe own.pointee.last = all[all.count - 1] }
    if whole.expiry != .max { for one in all { putDeadline(one, whole.expiry) } }
    return all
  }

  /// An entry of some of a run becomes one for each message, which stand in its place in the list that it is in; its ends are the caller's. What it was, without a deadline, and the entries.
  private mutating func spread(_ index: UInt32) -> (whole: QueueEntries.Entry, all: [UInt32]) {
    let run = run(of: index)
    let (from, count) = unsafe (entries[index].pointee.runFrom, entries[index].pointee.runCount)
    // Making entries may move them: first all of them, then their content.
    let all = (0..<count).map { _ in entries.make() }
    let whole = unsafe entries[index].pointee
    for (number, one) in all.enumerated() {
      let entry = unsafe entries[one]
      // Older places in heaps do not hold.
      let (generation, stamp) = unsafe (entry.pointee.generation, entry.pointee.stamp)
      unsafe entry.pointee = whole
      unsafe (entry.pointee.generation, entry.pointee.stamp) = (generation &+ 1, stamp &+ 1)
      unsafe entry.pointee.message = run.number(from + number)
      unsafe entry.pointee.sequence = whole.sequence &+ UInt64(number)
      unsafe entry.pointee.bytes = run.bytes(from + number, 1)
      unsafe entry.pointee.setRun(0, 0)
      unsafe entry.pointee.previous = number == 0 ? whole.previous : all[number - 1]
      unsafe entry.pointee.next = number == count - 1 ? whole.next : all[number + 1]
    }
    if whole.previous != QueueEntries.none { unsafe entries[whole.previous].pointee.next = all[0] }
    if whole.next != QueueEntries.none { unsafe entries[whole.next].pointee.previous = all[count - 1] }
    forget(index)
    return (whole, all)
  }

  /// Not an acknowledgement: for each of its messages by itself.
  @inline(never) mutating func settleRun(
    _ index: UInt32, _ settlement: QueueSettlement, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) {
    for one in unfold(index) {
      release(one)
      settleOtherwise(one, settlement, now, &gone)
    }
  }
}
