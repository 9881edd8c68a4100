/// Consumers, and what they say of what they hold.
extension QueueMachine {
  // MARK: Consumers

  /// A consumer that may hold `prefetch` messages at a time; 0: it only takes what it asks for. Its number may have been that of one that has left. Throws `exclusive`, `prefetch`,
  /// `tooManyConsumers`.
  mutating func addConsumer(prefetch: Int, isExclusive: Bool = false) throws(QueueRefusal) -> UInt32 {
    guard 0...QueueConfiguration.Bounds.prefetch ~= prefetch else { throw .prefetch }
    if consumers.count > 0, isExclusive || hasExclusive || configuration.isExclusive { throw .exclusive }
    if consumers.count >= QueueConfiguration.Bounds.consumers { throw .tooManyConsumers }
    let number = consumers.add(prefetch: UInt32(prefetch))
    hasExclusive = isExclusive
    if active == nil { active = number }
    return number
  }

  /// How many messages a consumer may hold from now on; 0: it gets no more. It may hold more than that already.
  mutating func setPrefetch(of consumer: UInt32, _ prefetch: Int) {
    unsafe consumers[consumer].pointee.prefetch = UInt32(prefetch)
    consumers.enter(consumer)
  }

  /// A consumer leaves; what it holds goes back. `isFailure`: it crashed, or its connection did, which charges each message. Throws `unknownConsumer`.
  mutating func removeConsumer(
    _ consumer: UInt32, isFailure: Bool, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    advance(now, &gone)
    guard consumers.isThere(consumer) else { throw .unknownConsumer }
    while true {
      let index = unsafe consumers[consumer].pointee.first
      if index == QueueEntries.none { break }
      if unsafe entries[index].pointee.runCount > 0 { _ = unfold(index) }
      let one = unsafe consumers[consumer].pointee.first
      lose(one)
      release(one)
      if !isFailure || charge(one, &gone) { giveBack(one, after: 0, now, &gone) }
    }
    consumers.remove(consumer)
    hasExclusive = false
    if active == consumer { active = consumers.oldest }
  }

  // MARK: Settling

  /// Settles a delivery. Throws `unknownDelivery`, `notYours`. Complexity: O(1), O(log n) where it comes back.
  @inline(__always) mutating func settle(
    _ tag: QueueTag, of consumer: UInt32, _ settlement: QueueSettlement, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    advance(now, &gone)
    try check(tag, consumer)
    settle(tag.entry, settlement, now, &gone)
  }

  /// As if it had never been delivered: it goes back to its place, and nothing is counted. Throws as `settle`.
  mutating func withdraw(_ tag: QueueTag, of consumer: UInt32, _ now: UInt64, _ gone: inout [QueueDeparture]) throws(QueueRefusal) {
    advance(now, &gone)
    try check(tag, consumer)
    let entry = unsafe entries[tag.entry]
    // How often more cannot be told of what came too often to be counted.
    if unsafe entry.pointee.acquired < .max { unsafe entry.pointee.acquired -= 1 }
    settle(tag.entry, .release(after: 0), now, &gone)
  }

  /// Settles a delivery and all before it that the consumer still holds. The number of them. `mayRead`: it may read them still, and they are among `lost`. Throws as `settle`.
  /// Complexity: O(deliveries).
  @discardableResult mutating func settle(
    upTo tag: QueueTag, of consumer: UInt32, _ settlement: QueueSettlement, mayRead: Bool = false, _ now: UInt64,
    _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) -> Int {
    advance(now, &gone)
    try check(tag, consumer)
    var count = 0
    while true {
      var index = unsafe consumers[consumer].pointee.first
      if mayRead {
        // Each message is kept by itself.
        if unsafe entries[index].pointee.runCount > 0 { index = unfold(index)[0] }
        lose(index, isSettled: true)
      }
      count += unsafe entries[index].pointee.weight
      settle(index, settlement, now, &gone)
      if index == tag.entry { return count }
    }
  }

  /// The consumer may hold it until `lease` from now. Throws as `settle`.
  mutating func extend(
    _ tag: QueueTag, of consumer: UInt32, _ lease: UInt64, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) throws(QueueRefusal) {
    advance(now, &gone)
    try check(tag, consumer)
    // What is held by the run has no lease.
    if unsafe entries[tag.entry].pointee.runCount > 0 { throw .unknownDelivery }
    let (end, overflow) = now.addingReportingOverflow(lease)
    setDeadline(tag.entry, overflow ? .max : end)
  }

  @inline(__always) func check(_ tag: QueueTag, _ consumer: UInt32) throws(QueueRefusal) {
    guard entries.contains(tag.entry) else { throw .unknownDelivery }
    let entry = unsafe entries[tag.entry]
    guard unsafe entry.pointee.state == .acquired && entry.pointee.generation == tag.generation else { throw .unknownDelivery }
    guard unsafe entry.pointee.consumer == consumer else { throw .notYours }
  }

  @inline(__always) private mutating func settle(
    _ index: UInt32, _ settlement: QueueSettlement, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) {
    if case .acknowledge = settlement {
      release(index)
      return leave(index, .acknowledged, &gone)
    }
    if unsafe entries[index].pointee.runCount > 0 { return settleRun(index, settlement, now, &gone) }
    release(index)
    settleOtherwise(index, settlement, now, &gone)
  }

  @inline(never) mutating func settleOtherwise(
    _ index: UInt32, _ settlement: QueueSettlement, _ now: UInt64, _ gone: inout [QueueDeparture]
  ) {
    switch settlement {
    case .acknowledge: leave(index, .acknowledged, &gone)
    case .reject:
      _ = fail(index)
      leave(index, .rejected, &gone)
    case .retry(let after): if charge(index, &gone) { giveBack(index, after: after ?? retryDelay(index), now, &gone) }
    case .release(let after): giveBack(index, after: after, now, &gone)
    }
  }

  private func retryDelay(_ index: UInt32) -> UInt64 {
    let (product, overflow) = unsafe configuration.retryDelay.multipliedReportingOverflow(by: UInt64(entries[index].pointee.failed))
    return overflow ? configuration.longestRetry : min(product, configuration.longestRetry)
  }

  private func fail(_ index: UInt32) -> Int {
    let entry = unsafe entries[index]
    if unsafe entry.pointee.failed < .max { unsafe entry.pointee.failed += 1 }
    return unsafe Int(entry.pointee.failed)
  }

  /// One more of its deliveries has failed. False: that was the last one, and it is gone.
  private mutating func charge(_ index: UInt32, _ gone: inout [QueueDeparture]) -> Bool {
    let failed = fail(index)
    guard let limit = configuration.deliveryLimit, failed > limit else { return true }
    leave(index, .deliveryLimit, &gone)
    return false
  }

  /// Its consumer is about to lose it without having said so, or `isSettled`: having said so of a later one.
  mutating func lose(_ index: UInt32, isSettled: Bool = false) {
    let entry = unsafe entries[index]
    unsafe lost.append(
      QueueLoss(
        consumer: entry.pointee.consumer, tag: QueueTag(entry: index, generation: entry.pointee.generation), message: entry.pointee.message,
        since: entry.pointee.since, isSettled: isSettled))
  }

  /// What consumers hold, `most` at most, by place. Complexity: O(places + deadlines).
  func holdings(most: Int) -> [QueueHolding] {
    var all: [QueueHolding] = []
    let keys = deadlines.keys(entries)
    for index in 0..<entries.touchedCount where all.count < most {
      let entry = unsafe entries[index]
      guard unsafe entry.pointee.state == .acquired else { continue }
      for message in messages(of: index) {
        unsafe all.append(
          QueueHolding(
            consumer: entry.pointee.consumer, tag: QueueTag(entry: index, generation: entry.pointee.generation),
            message: message, since: entry.pointee.since, lease: keys[index].map { $0 - 1 } ?? .max))
      }
    }
    if all.count > most { all.removeLast(all.count - most) }
    return all
  }

  /// Its consumer no longer holds it.
  @inline(__always) mutating func release(_ index: UInt32) {
    let entry = unsafe entries[index]
    let consumer = unsafe entry.pointee.consumer
    let (previous, next) = unsafe (entry.pointee.previous, entry.pointee.next)
    let holder = unsafe consumers[consumer]
    if previous == QueueEntries.none { unsafe holder.pointee.first = next } else { unsafe entries[previous].pointee.next = next }
    if next == QueueEntries.none { unsafe holder.pointee.last = previous } else { unsafe entries[next].pointee.previous = previous }
    let weight = unsafe entry.pointee.weight
    unsafe holder.pointee.held &-= UInt32(truncatingIfNeeded: weight)
    consumers.enter(consumer)
    acquired &-= weight
    unsafe entry.pointee.generation &+= 1
  }

  /// It is ready again, in its old place, or after a time; unless it has expired meanwhile. Bounds are not looked at: it was there before.
  mutating func giveBack(_ index: UInt32, after wait: UInt64, _ now: UInt64, _ gone: inout [QueueDeparture]) {
    let expiry = unsafe entries[index].pointee.expiry
    if expiry < now { return leave(index, .expired, &gone) }
    unsafe bytes += Int(entries[index].pointee.bytes)
    let (due, overflow) = now.addingReportingOverflow(wait)
    if wait > 0 { return delay(index, until: overflow ? .max : due) }
    putBack(index)
    setDeadline(index, expiry)
  }

  // MARK: Emptying

  /// The message at a place; 0: there is none, or more than one.
  func message(at index: UInt32) -> UInt64 {
    guard entries.contains(index), unsafe entries[index].pointee.runCount == 0 else { return 0 }
    return unsafe entries[index].pointee.message
  }

  /// How often a message was delivered, and failed; nil: it is there no more. Complexity: O(1).
  func counts(of index: UInt32, _ message: UInt64) -> (acquired: UInt16, failed: UInt16)? {
    guard entries.contains(index) else { return nil }
    let entry = unsafe entries[index]
    guard unsafe entry.pointee.state != .free && messages(of: index).contains(message) else { return nil }
    return unsafe (entry.pointee.acquired, entry.pointee.failed)
  }

  /// All that it holds, in no order. Complexity: O(places).
  var messages: [UInt64] {
    (0..<entries.touchedCount).flatMap { unsafe entries[$0].pointee.state == .free ? [] : messages(of: $0) }
  }

  /// Takes out what is ready or waits; consumers keep what they hold. The number of them. Complexity: O(n).
  mutating func purge(_ now: UInt64, _ gone: inout [QueueDeparture]) -> Int {
    var from: UInt32 = 0
    return purge(from: &from, most: .max, now, &gone)
  }

  /// As `purge`, from a place on: so many places, or until so many messages have gone, and the rest of a run. `from` is then the next place.
  mutating func purge(from: inout UInt32, most: Int, _ now: UInt64, _ gone: inout [QueueDeparture]) -> Int {
    advance(now, &gone)
    let before = gone.count
    let end = UInt32(min(Int(entries.touchedCount), most == .max ? .max : Int(from) + most))
    while from < end, gone.count - before < most {
      let index = from
      from += 1
      let entry = unsafe entries[index]
      switch unsafe entry.pointee.state {
      case .listed, .returned: taken(index, unsafe Int(entry.pointee.priority))
      case .delayed:
        delayed -= 1
        unsafe bytes -= Int(entry.pointee.bytes)
      case .free, .acquired, .lifted: continue
      }
      leave(index, .purged, &gone)
    }
    return gone.count - before
  }
}
