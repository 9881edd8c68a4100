/// A queue as a value: messages go in, deliveries and departures come out. No I/O, no clock, no threads, no memory of messages: it knows them by numbers.
///
/// Strict priorities; within one, the order of arrival, which a message keeps when it comes back. What expires is gone one nanosecond after its expiry for whoever looks, wherever it
/// stands. `advance` does what is due; every operation does that first. See docs/broker.md for the rules.
///
/// # Threads
/// One at a time.
/// # Size
/// 56 bytes an entry, 24 more with a deadline that is not the last expiry so far, and what the lists of `consumers` have. An entry is a message, or all messages of a `QueueRun` that nothing happened to.
@safe struct QueueMachine: ~Copyable {
  let configuration: QueueConfiguration
  var entries = QueueEntries()
  // unsafe: one for each priority, initialised in `init`, freed in `deinit`.
  let levels: UnsafeMutablePointer<QueueLevel>
  /// Bit p: the level p has ready messages.
  var occupied: UInt32 = 0
  /// Ready messages whose expiries came in ascending order, linked by their entries: the ends of this line. Other deadlines are in the heap.
  var firstInLine = QueueEntries.none
  var lastInLine = QueueEntries.none
  var deadlines = LazyHeap(.deadline)
  /// Nothing is due before this.
  var earliest = UInt64.max
  var consumers = QueueConsumers()
  /// The only consumer that gets any, where there may be one.
  var active: UInt32?
  /// The consumer that is there asked to be the only one.
  var hasExclusive = false
  var sequences: UInt64 = 0
  /// What consumers lost that may still read it. Whoever keeps the messages empties it after each operation.
  var lost: [QueueLoss] = []
  /// Runs that no entry is left of. Whoever keeps them empties it.
  var endedRuns: [QueueRun] = []

  /// Messages that can be delivered.
  var ready = 0
  /// Messages that wait for their time.
  var delayed = 0
  /// Messages in the hands of consumers.
  var acquired = 0
  /// Messages that somebody is moving to another queue.
  var lifted = 0
  /// Bytes of those that are ready or wait.
  var bytes = 0

  /// `configuration`: without a fault.
  init(_ configuration: QueueConfiguration) {
    precondition(configuration.fault == nil, "a queue's configuration is checked before the queue is made")
    self.configuration = configuration
    unsafe levels = .allocate(capacity: configuration.priorities)
    for level in 0..<configuration.priorities { unsafe (levels + level).initialize(to: QueueLevel()) }
  }

  deinit {
    unsafe levels.deinitialize(count: configuration.priorities)
    unsafe levels.deallocate()
  }

  /// All that it holds.
  var count: Int { ready + delayed + acquired + lifted }

  // MARK: In

  /// Takes a message, or refuses it with `full`. `isReserved`: there was room for it when it was on its way. `gone`: what had to leave, perhaps this one. Complexity: O(1), O(log n) with a
  /// deadline that is not the last.
  @inline(__always) mutating func publish(
    _ message: QueueMessage, _ now: UInt64, isReserved: Bool = false, _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    advance(now, &gone)
    if !isReserved, isFull(adding: message) {
      switch configuration.overflow {
      case .dropHead: break
      case .rejectPublish: throw .full
      case .rejectPublishDeadLetter:
        gone.append(QueueDeparture(message: message.id, exit: .maxLength, failed: 0))
        throw .full
      }
    }
    if count >= QueueConfiguration.Bounds.entries { throw .full }
    let index = entries.make()
    let entry = unsafe entries[index]
    sequences &+= 1
    unsafe entry.pointee.message = message.id
    unsafe entry.pointee.sequence = sequences
    unsafe entry.pointee.expiry = expiry(message.expiry, now)
    unsafe entry.pointee.bytes = message.bytes
    unsafe entry.pointee.acquired = message.acquired
    unsafe entry.pointee.failed = message.failed
    unsafe entry.pointee.priority = min(message.priority, UInt8(configuration.priorities - 1))
    bytes &+= Int(message.bytes)
    if message.due > now {
      delay(index, until: message.due)
    } else {
      list(index, 1)
      // A new entry has no deadline.
      let expiry = unsafe entry.pointee.expiry
      if expiry != .max { putDeadline(index, expiry) }
    }
    let tag = unsafe QueueTag(entry: index, generation: entry.pointee.generation)
    if !isReserved { while isOver, drop(tag, &gone) {} }
  }

  private func isFull(adding message: QueueMessage) -> Bool { !hasRoom(bytes: Int(message.bytes)) }

  /// Whether one more fits, `before` and their bytes having come first.
  @inline(__always) func hasRoom(bytes more: Int, after before: Int = 0, bytes earlier: Int = 0) -> Bool {
    ready + delayed + before < configuration.maxSize && bytes + earlier + more <= configuration.maxBytes
  }

  private var isOver: Bool { ready + delayed > configuration.maxSize || bytes > configuration.maxBytes }

  /// `own`: the message's; 0: it has none.
  @inline(__always) func expiry(_ own: UInt64, _ now: UInt64) -> UInt64 {
    let own = own == 0 ? UInt64.max : own
    guard let timeToLive = configuration.timeToLive else { return own }
    let (sum, overflow) = now.addingReportingOverflow(timeToLive)
    return overflow ? own : min(own, sum)
  }

  /// The oldest of the lowest priority makes room; where none is ready, the one that came. False: there is nothing to be dropped.
  private mutating func drop(_ new: QueueTag, _ gone: inout [QueueDeparture]) -> Bool {
    if occupied != 0 {
      leave(takeFirst(of: occupied.trailingZeroBitCount), .maxLength, &gone)
      return true
    }
    let entry = unsafe entries[new.entry]
    guard unsafe entry.pointee.state == .delayed && entry.pointee.generation == new.generation else { return false }
    delayed -= 1
    unsafe bytes -= Int(entry.pointee.bytes)
    leave(new.entry, .maxLength, &gone)
    return true
  }

  // MARK: Out

  /// Adds deliveries, `most` at most, to consumers in turn. Complexity: O(1) each.
  mutating func deliver(_ most: Int, _ now: UInt64, _ deliveries: inout [QueueDelivery], _ gone: inout [QueueDeparture]) {
    advance(now, &gone)
    var left = most
    while left > 0, occupied != 0 {
      guard let consumer = nextConsumer() else { return }
      deliveries.append(acquire(takeFirst(), consumer, now))
      consumers.enter(consumer)
      left -= 1
    }
  }

  private mutating func nextConsumer() -> UInt32? {
    guard configuration.isSingleActive else { return consumers.next() }
    guard let active, unsafe consumers[active].pointee.hasCredit else { return nil }
    return active
  }

  /// A message for a consumer that asks, whatever its prefetch. nil: there is none, or it is not its turn. Throws `unknownConsumer`.
  mutating func take(_ consumer: UInt32, _ now: UInt64, _ gone: inout [QueueDeparture]) throws(QueueRefusal) -> QueueDelivery? {
    advance(now, &gone)
    guard consumers.isThere(consumer) else { throw .unknownConsumer }
    if occupied == 0 || configuration.isSingleActive && active != consumer { return nil }
    return acquire(takeFirst(), consumer, now)
  }

  /// As `take`, as many as there are, `most` at most, which are added.
  mutating func take(
    upTo most: Int, _ consumer: UInt32, _ now: UInt64, _ deliveries: inout [QueueDelivery], _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    advance(now, &gone)
    guard consumers.isThere(consumer) else { throw .unknownConsumer }
    if configuration.isSingleActive && active != consumer { return }
    var left = min(most, ready)
    while left > 0 {
      let delivery = acquire(takeFirst(upTo: left), consumer, now)
      deliveries.append(delivery)
      left &-= delivery.weight
    }
  }

  @inline(__always) private mutating func acquire(_ index: UInt32, _ consumer: UInt32, _ now: UInt64) -> QueueDelivery {
    let entry = unsafe entries[index]
    if unsafe entry.pointee.deadline != .none { clearDeadline(index) }
    unsafe entry.pointee.generation &+= 1
    unsafe entry.pointee.state = .acquired
    unsafe entry.pointee.consumer = consumer
    unsafe entry.pointee.since = UInt32(truncatingIfNeeded: now / QueueEntries.tick)
    let delivery = unsafe QueueDelivery(
      consumer: consumer, tag: QueueTag(entry: index, generation: entry.pointee.generation), message: message(of: index),
      acquired: entry.pointee.acquired, failed: entry.pointee.failed, count: UInt16(truncatingIfNeeded: entry.pointee.runCount))
    unsafe entry.pointee.acquired = entry.pointee.acquired == .max ? .max : entry.pointee.acquired + 1
    acquired &+= delivery.weight
    // Behind what the consumer holds.
    unsafe entry.pointee.next = QueueEntries.none
    let holder = unsafe consumers[consumer]
    let last = unsafe holder.pointee.last
    unsafe entry.pointee.previous = last
    if last == QueueEntries.none { unsafe holder.pointee.first = index } else { unsafe entries[last].pointee.next = index }
    unsafe holder.pointee.last = index
    unsafe holder.pointee.held &+= UInt32(truncatingIfNeeded: delivery.weight)
    if let lease = configuration.lease {
      let (end, overflow) = now.addingReportingOverflow(lease)
      setDeadline(index, overflow ? .max : end)
    }
    return delivery
  }

  // MARK: Places

  /// At the end of those of its priority. `weight`: messages that it is.
  @inline(__always) mutating func list(_ index: UInt32, _ weight: Int) {
    let entry = unsafe entries[index]
    unsafe entry.pointee.generation &+= 1
    unsafe entry.pointee.state = .listed
    unsafe entry.pointee.next = QueueEntries.none
    let level = unsafe Int(entry.pointee.priority)
    let last = unsafe (levels + level).pointee.last
    unsafe entry.pointee.previous = last
    if last == QueueEntries.none { unsafe (levels + level).pointee.first = index } else { unsafe entries[last].pointee.next = index }
    unsafe (levels + level).pointee.last = index
    entered(level, weight)
  }

  /// Where it was among those of its priority.
  mutating func putBack(_ index: UInt32) {
    let entry = unsafe entries[index]
    unsafe entry.pointee.generation &+= 1
    unsafe entry.pointee.state = .returned
    let level = unsafe Int(entry.pointee.priority)
    unsafe (levels + level).pointee.returned.put(entry.pointee.sequence, order: 0, index, stamp: entry.pointee.generation)
    entered(level, 1)
  }

  @inline(__always) private mutating func entered(_ level: Int, _ weight: Int) {
    unsafe (levels + level).pointee.count &+= weight
    occupied |= 1 &<< UInt32(level)
    ready &+= weight
  }

  /// The oldest of the highest priority that has one; up to `most` of a run. Where leases end by themselves, each message has one of its own.
  @inline(__always) private mutating func takeFirst(upTo most: Int = 1) -> UInt32 {
    takeFirst(of: 31 - occupied.leadingZeroBitCount, upTo: configuration.lease == nil ? most : 1)
  }

  @inline(__always) private mutating func takeFirst(of level: Int, upTo most: Int = 1) -> UInt32 {
    let first = unsafe (levels + level).pointee.first
    if unsafe (levels + level).pointee.returned.count > 0, let back = firstReturned(level) {
      if first == QueueEntries.none { return taken(back, level) }
      if unsafe entries[back].pointee.sequence < entries[first].pointee.sequence { return taken(back, level) }
    }
    return unsafe entries[first].pointee.runCount == 0 ? taken(first, level) : takeOf(first, level, upTo: most)
  }

  private mutating func firstReturned(_ level: Int) -> UInt32? {
    unsafe (levels + level).pointee.returned.first(entries)?.entry
  }

  /// A ready message is so no more.
  @inline(__always) @discardableResult mutating func taken(_ index: UInt32, _ level: Int) -> UInt32 {
    let entry = unsafe entries[index]
    if unsafe entry.pointee.state == .listed { unsafe unlink(entry.pointee.previous, entry.pointee.next, level) }
    let wasReturned = unsafe entry.pointee.state == .returned
    unsafe bytes &-= Int(entry.pointee.bytes)
    unsafe entry.pointee.generation &+= 1
    let weight = unsafe entry.pointee.weight
    unsafe (levels + level).pointee.count &-= weight
    ready &-= weight
    if unsafe (levels + level).pointee.count == 0 { occupied &= ~(1 &<< UInt32(level)) }
    if wasReturned { unsafe (levels + level).pointee.returned.took(entries) }
    return index
  }

  @inline(__always) private mutating func unlink(_ previous: UInt32, _ next: UInt32, _ level: Int) {
    let own = unsafe levels + level
    if previous == QueueEntries.none { unsafe own.pointee.first = next } else { unsafe entries[previous].pointee.next = next }
    if next == QueueEntries.none { unsafe own.pointee.last = previous } else { unsafe entries[next].pointee.previous = previous }
  }

  /// It is nowhere any more.
  @inline(__always) mutating func leave(_ index: UInt32, _ exit: QueueExit, _ gone: inout [QueueDeparture]) {
    if unsafe entries[index].pointee.deadline != .none { clearDeadline(index) }
    if unsafe entries[index].pointee.runCount > 0 { return leaveRun(index, exit, &gone) }
    unsafe gone.append(QueueDeparture(message: entries[index].pointee.message, exit: exit, failed: entries[index].pointee.failed))
    entries.give(index)
  }
}
